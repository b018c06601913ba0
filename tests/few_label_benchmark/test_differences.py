"""Paired differences against scipy, and the tables, sentences and figures made from them."""

import numpy as np
import pytest
from scipy import stats

from vaebench.few_label_benchmark.differences import (
    ablation_table,
    by_key,
    comparison_table,
    describe_generative_term,
    difference,
)
from vaebench.few_label_benchmark.page import (
    _all_labels_table,
    _augmentation_list,
    _augmentations,
    _effects,
    _method_table,
    _summary,
    draw_learning_curves,
)


def row(method, values, count=10, data="mnist", group="self-training", **more):
    base = {"data": data, "split": "test", "method": method, "title": f"title of {method}", "group": group}
    return {**base, "labels_per_class": count, "metric": "accuracy", "values": values, **more}


FULL = [0.98, 0.97, 0.99, 0.96, 0.98]
NOISE = np.array([0.0, 0.01, -0.01, 0.004, -0.004])


def test_a_difference_is_taken_draw_by_draw_over_the_draws_in_common():
    found = by_key([row("a", FULL), row("b", [0.9, 0.95, 0.91])])
    got = difference(found, ("mnist", "a", 10), ("mnist", "b", 10))
    paired = stats.ttest_rel(FULL[:3], [0.9, 0.95, 0.91]).confidence_interval()
    assert got.mean == pytest.approx((0.08 + 0.02 + 0.08) / 3)
    assert got.interval == pytest.approx((paired.low, paired.high))
    assert difference(found, ("mnist", "a", 10), ("mnist", "b", 3)) is None


def test_one_draw_has_no_interval_and_no_significance():
    found = by_key([row("a", [0.9]), row("b", [0.5])])
    got = difference(found, ("mnist", "a", 10), ("mnist", "b", 10))
    assert got.interval is None
    assert not got.significant
    assert str(got) == "+40.0"


def test_validation_rows_errors_and_rows_of_all_labels_are_left_out():
    kept = row("a", FULL)
    others = [row("a", [0.1], split="validation"), row("a", [0.1], metric="error"), row("a", [0.1], count="all")]
    assert by_key([*others, kept]) == {("mnist", "a", 10): kept}


def test_the_table_shows_where_the_simpler_method_wins():
    rows = [row("elbo-line", (0.5 + NOISE).tolist()), row("pixels-line", (0.6 + NOISE / 2).tolist())]
    table = comparison_table(rows).splitlines()
    assert table[2].startswith("| mnist | 10 | **-10.0 (")
    assert table[2].count("|") == table[0].count("|")


def test_the_summary_has_the_highest_mean_in_bold():
    rows = [row("whole", FULL, mean=0.976), row("supervised-augmented", FULL, mean=0.91)]
    lines = _summary([*rows, row("whole", FULL, count=3, mean=0.9)]).splitlines()
    assert lines[2:] == ["| mnist, 10 |  |  | **97.6** | 91.0 |"]


def test_methods_with_augmentation_are_marked_and_the_augmentations_listed():
    own, bold = {"gamma": 0.3, "mirror": True}, {"gamma": 0.6, "mirror": True}
    amounts_by_method = {"bold": bold, "own": own, "plain": None}
    rest = {"mean": 0.5, "interval": None, "worst": 0.5, "n": 1, "seconds": 1.0, "images": 1, "temperature": 1}
    rest |= {"uniform_assumed": None, "published": None}
    rows = [
        {**row(method, (0.5,), augmentation=amounts, **rest), "split": part}
        for method, amounts in amounts_by_method.items()
        for part in ("test", "validation")
    ]
    assert _augmentation_list(rows) == ["mnist*: gamma 0.3, mirror 1", "mnist†: gamma 0.6, mirror 1"]
    for table in (
        _all_labels_table(rows, _augmentations(rows, "mnist")),
        _method_table(rows, _augmentations(rows, "mnist")),
    ):
        for mark, method in (("†", "bold"), ("*", "own"), ("", "plain")):
            assert f"| title of {method}{mark} | " in table


def test_the_effect_of_a_component_is_the_full_method_minus_the_ablation():
    rows = [row("whole", FULL), row("without-graph", [value - 0.05 for value in FULL], group="ablations")]
    line = ablation_table(rows).splitlines()[-1]
    assert line.startswith("| graph | **+5.0 (+5.0 to +5.0)**")
    assert ablation_table(rows[:1]) == ""


def test_the_bottlenecks_error_has_its_seeds_interval_and_published_error():
    own = row("bottleneck", (0.005, 0.006), metric="error", count="all", group="all labels", wilson=[0.0044, 0.0074])
    own |= {"mean": 0.0055, "augmentation": None, "published": 0.0113, "source": "Alemi et al. 2017"}
    last = _all_labels_table([{**own, "split": split} for split in ("test", "validation")], []).splitlines()[-1]
    assert (
        "| 0.55 % (seeds 0.50, 0.60; 95 % interval 0.44 to 0.74; published 1.13, Alemi et al. 2017) | 0.55 % |" in last
    )


@pytest.mark.parametrize(
    ("loss", "text"), [(0.03, "significantly in 1 of 1 cases"), (0.0, "significantly in none of 1 cases")]
)
def test_the_sentence_about_the_generative_term_follows_the_numbers(loss, text):
    without = [value - loss + jolt for value, jolt in zip(FULL, NOISE.tolist(), strict=True)]
    rows = [row("whole", FULL), row("without-generative", without, group="ablations")]
    assert text in describe_generative_term(rows)
    bounds = [
        row(key, None, metric="elbo", mean=-mean)
        for key, mean in (("before", 100.0), ("whole", 110.0), ("without-generative", 300.0))
    ]
    sentences = describe_generative_term(rows + bounds)
    assert "-100.0 nats per image before self-training, -110.0 after it, -300.0 after it without" in sentences
    assert describe_generative_term(rows[:1]) == ""


def test_the_figure_of_effects_agrees_with_the_table():
    apart = np.array([0.02, 0.01, 0.03, 0.02, 0.02])
    without = row("without-graph", (np.array(FULL) - apart).tolist(), group="ablations")
    rows = [row("whole", FULL), without, row("whole", FULL, count=1)]
    found = _effects(rows)
    paired = stats.ttest_1samp(100 * apart, 0).confidence_interval()
    assert found == {"mnist": {"10 labels per class": {"graph": pytest.approx((2.0, paired.low, paired.high))}}}
    assert "| graph | **+2.0 (" in ablation_table(rows)


def test_intervals_of_accuracies_are_cut_to_0_to_100():
    rows = [row("whole", FULL, mean=0.5, interval=[-0.2, 1.2])]
    (panel,) = draw_learning_curves(rows, {"whole": "whole"}).axes
    low, high = panel.dataLim.intervaly
    assert (low, high) == (0.0, 100.0)
