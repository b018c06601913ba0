"""Every registered paper: its quick budget records every result, and the published results are complete."""

import io
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from vaebench.core.local_pool import LocalPool
from vaebench.papers.page import page, read_rows
from vaebench.papers.paper import Rule
from vaebench.papers.registry import PAPERS
from vaebench.papers.reproduce import reproduce
from vaebench.training.loop import train

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.parametrize("short", PAPERS)
def test_quick_records_every_result_draws_every_figure_and_repeats_nothing(short, tmp_path, small_data):
    paper = PAPERS[short]
    experiment = reproduce([paper], "quick", tmp_path, executor=LocalPool(1))[0]
    rows = json.loads((tmp_path / "papers.json").read_text())
    assert [row["quantity"] for row in rows] == [result.quantity for result in paper.reported_results.values()]
    assert all(np.isfinite(row["reproduced"]) for row in rows if row["reproduced"] is not None)
    assert all(row["explanation"] for row in rows if row["agrees"] is not True)
    assert paper.captions
    assert set(experiment.figures.images) == set(paper.captions)
    for name, image in experiment.figures.images.items():
        pixels = np.asarray(Image.open(io.BytesIO(image)).convert("L"))
        assert pixels.shape[1] <= 1600, name
        assert (pixels < 250).mean() > 0.01, f"{name} is empty"
    assert reproduce([paper], "quick", tmp_path, executor=LocalPool(1))[0].computed == []


@pytest.mark.soak
@pytest.mark.parametrize("short", PAPERS)
def test_the_full_protocol_runs_when_cut_to_an_epoch_on_few_images(short, tmp_path, small_data, monkeypatch):
    def cut(model, objective, source, training, **rest):
        return train(model, objective, source, training.model_copy(update={"epochs": 2}), **rest)

    def few(experiment, data):
        if data.per_class is None or data.per_class > 30:
            data = data.model_copy(update={"per_class": 30})
        return data.load()

    for module in ("experiments.networks", "evaluation.scores", "evaluation.probes"):
        monkeypatch.setattr(f"vaebench.{module}.train", cut)
    monkeypatch.setattr("vaebench.experiments.experiment.Experiment.data", few)
    counts = {10: 8, 100: 12, 1000: 20}
    monkeypatch.setattr(
        "vaebench.papers.disentangling.Comparison.available", lambda comparison, count: counts.get(count, count)
    )
    experiment = reproduce([PAPERS[short]], "full", tmp_path, executor=LocalPool(1))[0]
    assert len(experiment.result_rows()) == len(PAPERS[short].reported_results)
    assert set(experiment.figures.images) == set(PAPERS[short].captions)


@pytest.mark.parametrize("short", PAPERS)
def test_a_paper_is_described_completely(short):
    paper = PAPERS[short]
    assert paper.short == short
    assert set(paper.minutes) == {"quick", "cpu", "full"}
    assert paper.minutes["cpu"] <= 30
    assert paper.deviations
    quantities = [(result.source, result.quantity) for result in paper.reported_results.values()]
    assert len(set(quantities)) == len(quantities), "two reported results read alike"
    assert all(result.rule in get_args(Rule) for result in paper.reported_results.values())
    assert any(result.reported is not None for result in paper.reported_results.values()) or short in "CD"


@pytest.mark.parametrize("short", PAPERS)
def test_the_published_results_are_complete(short):
    rows = read_rows(RESULTS / "papers.json")
    published = [
        (row["source"], row["quantity"], row["reported"])
        for row in rows
        if (row["paper"], row["budget"]) == (short, "cpu")
    ]
    expected = [(r.source, r.quantity, r.reported) for r in PAPERS[short].reported_results.values()]
    assert published == expected


def test_the_published_page_is_rendered_from_the_published_rows():
    rows, made = read_rows(RESULTS / "papers.json"), json.loads((RESULTS / "papers-made.json").read_text())
    assert (RESULTS / "papers.md").read_text() == page(PAPERS, rows, made, RESULTS)
