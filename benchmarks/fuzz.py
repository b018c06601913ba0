"""Coverage-guided fuzzing of every reader: `python benchmarks/fuzz.py [--only NAME ...] [--seconds N] [--out DIR]`.

Needs atheris (`pip install 'vaebench[fuzz]'`). Each reader is given well-formed files changed by what reaches new
code. It may refuse them with the project's own error; anything else is a finding: another exception, more than 2 GB of
memory, more than 10 seconds, a file written outside of its folder. Goes on where it was stopped; writes fuzz.json and
fuzz.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vaebench.core.files import read_json, write_json, write_text
from vaebench.core.provenance import commit
from vaebench.training.compute import machine

MEMORY, PATIENCE = 2048, 10
"""Megabytes, torch's own included; seconds for one file."""
FOUND: dict[str, list[str]] = {
    "zip of images": ["an entry without a name ended in an IndexError of zipfile (2026-11-22)"],
    "results.json": ["JSON that is no object, or without rows, ended in an AttributeError or KeyError (2026-11-22)"],
    "IDX": ["a header of no values on axes too long for numpy ended in numpy's own error (2026-11-22)"],
}
"""What fuzzing has found in earlier versions, and what became of it."""


def fuzz(name: str, seconds: int, out: Path) -> dict[str, Any]:
    """One reader, in a process of its own; its corpus is kept for the next time."""
    place = out / re.sub(r"\W+", "-", name)
    place.mkdir(parents=True, exist_ok=True)
    options = [name, str(place), str(seconds), str(MEMORY), str(PATIENCE)]
    command = [sys.executable, str(Path(__file__).with_name("fuzz_one.py")), *options]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    write_text(place / "log.txt", said)
    figures = dict(re.findall(r"stat::(\w+):\s+(\d+)", said))
    covered = re.findall(r"cov: (\d+)", said)
    findings = sorted(str(path) for path in place.glob("*-*") if path.is_file())
    if not figures:
        raise SystemExit(f"fuzz.py: {name} did not run: {said[-2000:]}")
    return {
        "reader": name,
        "cases": int(figures["number_of_executed_units"]),
        "seconds": round(time.monotonic() - start),
        "edges": int(covered[-1]) if covered else None,
        "peak_mb": int(figures["peak_rss_mb"]),
        "open_findings": findings,
        "fixed": FOUND.get(name, []),
    }


def render(about: dict[str, Any]) -> str:
    """fuzz.json as a page."""
    here = about["machine"]
    lines = [
        "# What fuzzing finds in the readers",
        "",
        "Coverage-guided (atheris, libFuzzer), from well-formed files. A reader may refuse a file with the project's "
        f"own error. A finding is any other exception, a process over {MEMORY:,} MB (most of the lowest is torch), "
        f"more than {PATIENCE} seconds for a file, or a file written outside of its folder. Besides, `make soak` runs "
        "property-based tests of the same readers.",
        "",
        f"`make fuzz`, {here['processor']}, commit {about['commit']}.",
        "",
        "| reader | cases | seconds | edges reached | peak memory (MB) | open findings | found before, and fixed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in about["readers"]:
        fixed = "; ".join(row["fixed"]) or "none"
        lines.append(
            f"| {row['reader']} | {row['cases']:,} | {row['seconds']} | {row['edges']} | {row['peak_mb']:,} | "
            f"{len(row['open_findings'])} | {fixed} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fuzz and write."""
    from fuzzed import READERS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(READERS), default=tuple(READERS))
    parser.add_argument("--seconds", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    asked = parser.parse_args()
    kept_file = asked.out / "kept.json"
    kept: dict[str, Any] = read_json(kept_file) if kept_file.exists() else {}
    sources = commit()
    keys = {name: f"{name}, {asked.seconds} seconds, commit {sources}" for name in asked.only}
    for name, key in keys.items():
        if key not in kept:
            print(f"{name}, {asked.seconds} seconds", flush=True)
            kept[key] = fuzz(name, asked.seconds, asked.out)
            write_json(kept_file, kept)
            print(f"  {kept[key]['cases']:,} cases, {len(kept[key]['open_findings'])} findings", flush=True)
    rows = [kept[key] for key in keys.values()]
    about = {"machine": machine(), "commit": sources, "readers": rows}
    write_json(asked.out / "fuzz.json", about)
    write_text(asked.out / "fuzz.md", render(about))
    print(f"open {asked.out / 'fuzz.md'}")


if __name__ == "__main__":
    main()
