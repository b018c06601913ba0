"""Fuzzing of one reader by atheris: `python fuzz_target.py NAME FOLDER SECONDS MAX_MEGABYTES MAX_SECONDS`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vaebench"]):  # before any other import of them
    from fuzz_readers import READERS, seeds

    from vaebench.core.errors import VaebenchError


def main() -> None:
    """Fuzz the reader; atheris exits the process."""
    name, folder, seconds, megabytes, max_seconds = sys.argv[1:]
    read, corpus = READERS[name], Path(folder) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds(name)):
        (corpus / f"seed-{index}").write_bytes(seed)

    def read_one(data: bytes) -> None:
        with contextlib.suppress(VaebenchError):
            read(data)

    options = [f"-max_total_time={seconds}", f"-rss_limit_mb={megabytes}", f"-timeout={max_seconds}"]
    options += ["-print_final_stats=1", f"-artifact_prefix={folder}/", str(corpus)]
    atheris.Setup([sys.argv[0], *options], read_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
