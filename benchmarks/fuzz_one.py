"""One reader under atheris, in a process of its own: `python fuzz_one.py NAME FOLDER SECONDS MEGABYTES PATIENCE`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vaebench"]):  # before anything else imports them
    from fuzzed import READERS, seeds

    from vaebench.core.errors import VaebenchError


def main() -> None:
    """Fuzz; atheris ends the process."""
    name, folder, seconds, megabytes, patience = sys.argv[1:]
    read, corpus = READERS[name], Path(folder) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds(name)):
        (corpus / f"seed-{index}").write_bytes(seed)

    def one(data: bytes) -> None:
        with contextlib.suppress(VaebenchError):
            read(data)

    options = [f"-max_total_time={seconds}", f"-rss_limit_mb={megabytes}", f"-timeout={patience}"]
    options += ["-print_final_stats=1", f"-artifact_prefix={folder}/", str(corpus)]
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
