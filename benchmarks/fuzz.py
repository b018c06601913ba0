"""Coverage-guided fuzzing of the file readers: `python benchmarks/fuzz.py [--only NAME ...] [--seconds N] [--out DIR]`.

Requires atheris (`pip install 'vaebench[fuzz]'`). Each reader gets valid files, mutated towards new code paths. It may
reject them with a ``VaebenchError``; anything else is a finding: another exception, more than 2 GB of memory, more than
10 seconds, or a file written outside its folder. Resumes where it was stopped; writes fuzz.json and fuzz.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmark_script import KeptResults, write_report

from vaebench.core.files import write_text
from vaebench.core.provenance import commit
from vaebench.training.compute import machine

MAX_MEGABYTES, MAX_SECONDS = 2048, 10
"""Limits of memory, including torch, and of the time per file."""
FIXED: dict[str, list[str]] = {
    "zip of images": ["an entry without a name raised an IndexError in zipfile (2026-11-22)"],
    "results.json": ["JSON that is not an object, or has no rows, raised an AttributeError or KeyError (2026-11-22)"],
    "container .parquet": ["contradictory types of columns ended the process in pyarrow 26.0.1 (2026-11-30)"],
    "TIFF image": [
        "148 million values of one bit became 1.5 GB of floats (2026-11-30)",
        "5 million strips of which the file stated one took 26 seconds (2026-11-30)",
    ],
    "IDX": ["a header with no values on axes too long for NumPy raised NumPy's error (2026-11-22)"],
}
"""Findings in earlier versions, all fixed."""


def fuzz(name: str, seconds: int, out: Path) -> dict[str, Any]:
    """Fuzz one reader in a process of its own; its corpus is kept for the next run."""
    folder = out / re.sub(r"\W+", "-", name)
    folder.mkdir(parents=True, exist_ok=True)
    options = [name, str(folder), str(seconds), str(MAX_MEGABYTES), str(MAX_SECONDS)]
    command = [sys.executable, str(Path(__file__).with_name("fuzz_target.py")), *options]
    start = time.monotonic()
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    log = process.stdout + process.stderr
    write_text(folder / "log.txt", log)
    statistics = dict(re.findall(r"stat::(\w+):\s+(\d+)", log))
    coverage = re.findall(r"cov: (\d+)", log)
    findings = sorted(str(path) for path in folder.glob("*-*") if path.is_file())
    if not statistics:
        raise SystemExit(f"fuzz.py: {name} did not run: {log[-2000:]}")
    return {
        "reader": name,
        "cases": int(statistics["number_of_executed_units"]),
        "seconds": round(time.monotonic() - start),
        "edges": int(coverage[-1]) if coverage else None,
        "peak_mb": int(statistics["peak_rss_mb"]),
        "open_findings": findings,
        "fixed": FIXED.get(name, []),
    }


def render(report: dict[str, Any]) -> str:
    here = report["machine"]
    lines = [
        "# Fuzzing of the file readers",
        "",
        "Coverage-guided (atheris, libFuzzer), starting from valid files. A reader may reject a file with a "
        f"`VaebenchError`. A finding is any other exception, a process over {MAX_MEGABYTES:,} MB (torch alone takes "
        f"most of the lowest value), more than {MAX_SECONDS} seconds for a file, or a file written outside its "
        "folder. `make soak` runs property-based tests of the same readers.",
        "",
        f"`make fuzz`, {here['processor']}, commit {report['commit']}.",
        "",
        "| reader | cases | seconds | edges reached | peak memory (MB) | open findings | earlier findings, fixed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["readers"]:
        fixed = "; ".join(row["fixed"]) or "none"
        lines.append(
            f"| {row['reader']} | {row['cases']:,} | {row['seconds']} | {row['edges']} | {row['peak_mb']:,} | "
            f"{len(row['open_findings'])} | {fixed} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fuzz the readers, and write the report."""
    from fuzz_readers import READERS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(READERS), default=tuple(READERS))
    parser.add_argument("--seconds", type=int, default=45)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    options = parser.parse_args()
    kept, revision, rows = KeptResults(options.out / "kept.json"), commit(), []
    for name in options.only:
        print(f"{name}, {options.seconds} seconds", flush=True)
        key = f"{name}, {options.seconds} seconds, commit {revision}"
        rows.append(kept.get(key, partial(fuzz, name, options.seconds, options.out)))
        print(f"  {rows[-1]['cases']:,} cases, {len(rows[-1]['open_findings'])} findings", flush=True)
    report = {"machine": machine(), "commit": revision, "readers": rows}
    write_report(report, render, options.out / "fuzz.json")


if __name__ == "__main__":
    main()
