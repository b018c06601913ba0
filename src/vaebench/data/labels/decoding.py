"""Text of a table, whatever program wrote it."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from vaebench.core.errors import VaebenchError

SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
"""First bytes of spreadsheets, whatever their suffix."""


def read_text(path: Path, names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the text of a table, and a warning if its encoding had to be guessed.

    UTF-8 and, with its byte order mark, UTF-16 are read. What is neither is read as Windows-1252, unless the only
    bytes that are not UTF-8 lie in the names of images.

    Args:
        path: file of the table.
        names: names of the images; bytes that are no Unicode are surrogates in them.

    Raises:
        VaebenchError: the file cannot be read, is a spreadsheet or is no text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error.strerror}); expected a CSV of file and label") from error
    if path.suffix.lower() in SPREADSHEETS or data.startswith((ZIP, OLE)):
        raise VaebenchError(f"{path} is a spreadsheet; expected a CSV of file and label: save the sheet as CSV (UTF-8)")
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if encoding == "utf-8-sig" and b"\0" in data:
        raise VaebenchError(f"{path} contains zero bytes, so it is no text; expected a CSV of file and label in UTF-8")
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise VaebenchError(f"{path} is damaged UTF-16; expected a CSV of file and label in UTF-8") from error
    return _decode_other(path, data, names)


def _decode_other(path: Path, data: bytes, names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    text = rest = data.decode("utf-8-sig", "surrogateescape")
    for name in names:
        if not name.isascii() and not _is_unicode(name):
            rest = rest.replace(name, "")
    if _is_unicode(rest):
        return text, ()
    try:
        return data.decode("cp1252"), (f"{path.name} is read as Windows-1252, as it is not UTF-8",)
    except UnicodeDecodeError as error:
        raise VaebenchError(
            f"{path} is neither UTF-8 nor Windows-1252; expected a CSV of file and label: save it as UTF-8"
        ) from error


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
