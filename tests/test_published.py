"""Pages in docs/results are rendered from their JSON files: numbers are never written by hand."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from vaebench.few_label_benchmark.page import render_page
from vaebench.few_label_benchmark.run import BenchmarkInfo

ROOT = Path(__file__).parents[1]
BENCHMARKS = {
    name: f"results/{name}.md"
    for name in (
        "disentangling",
        "explorer",
        "fuzz",
        "growth",
        "likelihood",
        "missing_pixels",
        "schedules",
        "speed",
        "outliers",
        "readers",
        "peers",
        "crowded",
    )
} | {"faults": "reliability.md"}


@pytest.mark.parametrize(("name", "where"), BENCHMARKS.items())
def test_the_published_page_is_the_rendered_one(name, where, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, benchmark)  # dataclasses look up their module there
    spec.loader.exec_module(benchmark)
    report = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
    assert (ROOT / "docs" / where).read_text() == benchmark.render(report)


def test_the_page_of_trust_is_the_rendered_one(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.chdir(ROOT)
    trust_page = importlib.import_module("trust_page")
    reports = trust_page.published()
    assert len(reports) == len(list((ROOT / "docs" / "results" / "trust").glob("*.json")))
    assert (ROOT / "docs" / "results" / "trust.md").read_text() == trust_page.render_page(reports)


def test_the_page_of_the_few_label_benchmark_is_the_rendered_one_and_has_its_figures():
    results = ROOT / "docs" / "results"
    rows, made = (json.loads((results / f"few-labels{end}.json").read_text()) for end in ("", "-made"))
    assert (results / "few-labels.md").read_text() == render_page(rows, made, BenchmarkInfo.captions)
    assert {path.stem for path in (results / "few-labels").glob("*.png")} == set(BenchmarkInfo.captions)


def test_the_guides_table_of_few_labels_equals_that_of_the_page():
    page = (ROOT / "docs" / "results" / "few-labels.md").read_text()
    summary = [line.strip("| ").split(" | ") for line in page.splitlines() if re.match(r"\| [a-z0-9-]+, \d+ \| ", line)]
    guide = (ROOT / "docs" / "few-labels.md").read_text().replace("**", "")
    for data, name in {
        "mnist": "MNIST",
        "fashion-mnist": "Fashion-MNIST",
        "quickdraw": "Quick Draw",
        "cifar10": "CIFAR-10",
    }.items():
        methods = zip(
            *[[cell.strip("*") for cell in cells] for where, *cells in summary if where.startswith(f"{data},")],
            strict=True,
        )
        assert f"| {name} | {' | '.join(' / '.join(means) for means in methods)} |" in guide


def test_every_explorer_redraws_at_30_frames_per_second_and_is_ready_in_two_seconds():
    rows = json.loads((ROOT / "docs" / "results" / "explorer.json").read_text())["rows"]
    assert len(rows) >= 5
    for row in rows:
        assert row["redraw_milliseconds"]["p99"] < 1000 / 30
        assert max(row["ready_seconds"]) < 2
        assert row["page_megabytes"] * 1e6 < 5.2e6 + 3 * row["parameters"] + 1e6


def test_no_fault_loses_data():
    faults = json.loads((ROOT / "docs" / "results" / "faults.json").read_text())["faults"]
    assert len(faults) >= 11
    for fault in faults:
        assert fault["tried"] >= 20
        assert fault["same"] == fault["tried"]
        assert not fault["notes"]
