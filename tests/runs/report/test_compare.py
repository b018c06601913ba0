"""Comparison of runs: grouping, pairing of draws, and notes on numbers that are not comparable."""

import json

import numpy as np
import pytest
from made_up import accuracy_row, write_run
from scipy import stats

from vaebench.core.errors import VaebenchError
from vaebench.core.statistics import difference_interval
from vaebench.runs.report.compare import difference_cell, write_comparison
from vaebench.runs.report.comparison import compare
from vaebench.runs.run import Run

TWO = ("a", "b")


def changed(folder, **fields):
    """The run's recipe with some fields changed, in both of its files."""
    for name in ("recipe.json", "results.json"):
        values = json.loads((folder / name).read_text())
        recipe = values if name == "recipe.json" else values["recipe"]
        for path, value in fields.items():
            *parents, last = path.split("__")
            place = recipe
            for parent in parents:
                place = place[parent]
            place[last] = value
        (folder / name).write_text(json.dumps(values))
    return folder


@pytest.fixture
def runs(tmp_path):
    """A function that writes a run: accuracies at 1 label per class, label draws, changed recipe fields."""

    def make(name, accuracies=(0.5, 0.6, 0.7), draws=None, data="made up", **fields):
        rows = [accuracy_row("vae", 1, accuracies), accuracy_row("pixels", 1, accuracies)]
        folder = write_run(tmp_path / name, classes=TWO, rows=rows, counts=(1,), data=data).path
        if draws is not None:
            (folder / "label-draws.json").write_text(json.dumps(draws))
        return changed(folder, **fields)

    return make


def score(comparison, name):
    return next(each for each in comparison.scores if each.name == name)


ACCURACY = "latents, logistic, 1 label per class"


def test_runs_that_differ_only_in_seed_are_grouped(runs):
    paths = [runs("one"), runs("two", seed=1), runs("three", objective__beta=4.0), runs("four", seed=2)]
    comparison = compare(paths)
    assert [group.name for group in comparison.groups] == ["made-up, beta 1.0 (3 runs)", "made-up, beta 4.0"]
    assert [run.recipe.seed for run in comparison.groups[0].runs] == [0, 1, 2]
    assert comparison.fields == [("objective.beta", ["1.0", "4.0"])]
    assert score(comparison, "ELBO").values == [[-95.25] * 3, [-95.25]]


def test_draws_are_paired_only_where_they_are_the_same(runs):
    first, second = (0.5, 0.6, 0.7), (0.52, 0.622, 0.718)
    same = compare(
        [runs("a", first, draws={"1": [[0]]}), runs("b", second, draws={"1": [[0]]}, seed=0, model__latent=3)]
    )
    other = compare([runs("c", first, draws={"1": [[0]]}), runs("d", second, draws={"1": [[9]]}, model__latent=3)])
    difference, interval = score(same, ACCURACY).difference(1)
    assert difference == pytest.approx(0.02)
    exact = stats.ttest_rel(second, first).confidence_interval()
    assert interval == pytest.approx((exact.low, exact.high))
    assert interval[0] > 0
    exact = stats.ttest_ind(second, first, equal_var=False).confidence_interval()
    assert score(other, ACCURACY).difference(1)[1] == pytest.approx((exact.low, exact.high))


def test_with_several_seeds_each_run_is_one_value(runs):
    paths = [runs("a", (0.5, 0.7)), runs("b", (0.6, 0.8), seed=1)]
    paths += [runs("c", (0.1, 0.3), objective__beta=4.0), runs("d", (0.3, 0.5), objective__beta=4.0, seed=1)]
    assert np.allclose(score(compare(paths), ACCURACY).values, [[0.6, 0.7], [0.2, 0.4]])
    alone = compare(paths[:3])
    assert np.allclose(score(alone, ACCURACY).values[0], [0.5, 0.7, 0.6, 0.8])


def test_one_value_has_no_interval_and_a_missing_score_no_difference(runs):
    comparison = compare([runs("a", (0.5,)), runs("b", (0.6,), model__latent=3)])
    assert score(comparison, ACCURACY).difference(1) == (pytest.approx(0.1), None)
    assert difference_cell(score(comparison, ACCURACY), 1) == ("+0.100", "one value", "")
    assert any("one run of each recipe" in note for note in comparison.notes)


@pytest.mark.parametrize(
    ("name", "values", "outcome"),
    [
        ("ELBO", 5.0, "win"),
        ("ELBO", -5.0, "lose"),
        ("reconstruction, -log p(x|z)", 5.0, "lose"),
        ("KL to the prior", 5.0, ""),
    ],
)
def test_better_is_coloured_by_the_sign_of_the_score(runs, name, values, outcome):
    comparison = compare([runs("a"), runs("b", seed=1), runs("c", model__latent=3), runs("d", seed=1, model__latent=3)])
    each = score(comparison, name)
    each.values[:] = [[1.0, 1.1], [1.0 + values, 1.1 + values]]
    assert difference_cell(each, 1).outcome == outcome


def test_numbers_that_are_not_comparable_have_a_note(runs):
    notes = compare([runs("a"), runs("b", model__likelihood={"kind": "gaussian", "scale": 1.0})]).notes
    assert any("likelihoods differ (bernoulli, gaussian)" in note for note in notes)
    other = runs("c", data="other", model__latent=3)
    results = json.loads((other / "results.json").read_text())
    results["data"]["fingerprint"] = "beef"
    (other / "results.json").write_text(json.dumps(results))
    assert any("different images (made up, other)" in note for note in compare([runs("d"), other]).notes)


def test_the_page_escapes_names_and_draws_every_curve(runs, tmp_path):
    paths = [runs("a", data="<script>x</script>"), runs("b", data="<script>x</script>", model__latent=3)]
    write_comparison(paths, tmp_path / "compare.html")
    text = (tmp_path / "compare.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    assert text.count('src="data:image/png;base64,') == 2
    assert "model.latent" in text
    assert str(Run.load(paths[0]).path) in text


def test_two_different_finished_runs_are_needed(runs, tmp_path):
    path = runs("a")
    for paths in ([path], [path, path], []):
        with pytest.raises(VaebenchError, match="two different runs or more"):
            compare(paths)
    unfinished = runs("b")
    (unfinished / "results.json").unlink()
    with pytest.raises(VaebenchError, match="is not finished; continue it with --resume"):
        compare([path, unfinished])


def test_difference_intervals_are_students_and_welchs():
    first, second = [0.5, 0.6, 0.9], [0.3, 0.35, 0.5, 0.1]
    exact = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    assert difference_interval(first, second, paired=False) == pytest.approx((exact.low, exact.high))
    exact = stats.ttest_rel(first, second[:3]).confidence_interval()
    assert difference_interval(first, second[:3], paired=True) == pytest.approx((exact.low, exact.high))
    assert difference_interval([2.0, 2.0], [1.0, 1.0], paired=False) == (1.0, 1.0)
    assert difference_interval([2.0], [1.0, 1.0], paired=False) is None
