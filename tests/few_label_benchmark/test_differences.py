"""Differences against scipy's paired test, and the words that stand on them."""

import numpy as np
import pytest
from scipy import stats

from vaebench.few_label_benchmark.differences import by_key, difference, generative_verdict, parts_table, plain_table
from vaebench.few_label_benchmark.page import _all_labels, _curves, _knowledge, _known, _short, _table, _worth


def row(method, values, count=10, data="mnist", group="whole", **more):
    base = {"data": data, "split": "test", "method": method, "words": f"the whole, without {method}", "group": group}
    return {**base, "labels_per_class": count, "metric": "accuracy", "values": values, **more}


WHOLE = [0.98, 0.97, 0.99, 0.96, 0.98]
NOISE = np.array([0.0, 0.01, -0.01, 0.004, -0.004])


def test_a_difference_is_taken_draw_by_draw_over_the_draws_in_common():
    found = by_key([row("a", WHOLE), row("b", [0.9, 0.95, 0.91])])
    got = difference(found, ("mnist", "a", 10), ("mnist", "b", 10))
    paired = stats.ttest_rel(WHOLE[:3], [0.9, 0.95, 0.91]).confidence_interval()
    assert got.mean == pytest.approx((0.08 + 0.02 + 0.08) / 3)
    assert got.interval == pytest.approx((paired.low, paired.high))
    assert difference(found, ("mnist", "a", 10), ("mnist", "b", 3)) is None


def test_one_draw_has_no_interval_and_no_verdict():
    found = by_key([row("a", [0.9]), row("b", [0.5])])
    got = difference(found, ("mnist", "a", 10), ("mnist", "b", 10))
    assert got.interval is None
    assert not got.clear
    assert str(got) == "+40.0"


def test_rows_of_the_held_part_of_errors_and_of_all_labels_are_no_test_accuracies():
    kept = row("a", WHOLE)
    others = [row("a", [0.1], split="held"), row("a", [0.1], metric="error"), row("a", [0.1], count="all")]
    assert by_key([*others, kept]) == {("mnist", "a", 10): kept}


def test_where_the_plain_method_wins_the_table_says_so():
    rows = [row("elbo-line", (0.5 + NOISE).tolist()), row("pixels-line", (0.6 + NOISE / 2).tolist())]
    table = plain_table(rows).splitlines()
    assert table[2].startswith("| mnist | 10 | **-10.0 (")
    assert table[2].count("|") == table[0].count("|")


def test_the_summary_sets_means_side_by_side_and_marks_the_highest():
    rows = [row("whole", WHOLE, mean=0.976), row("supervised-augmented", WHOLE, mean=0.91)]
    lines = _short([*rows, row("whole", WHOLE, count=3, mean=0.9)]).splitlines()
    assert lines[4:] == ["| mnist, 10 |  |  | **97.6** | 91.0 |"]


def test_the_page_marks_who_knows_of_augmentation_and_lists_what_by_its_own_mark():
    own, bold = {"gamma": 0.3, "mirror": True}, {"gamma": 0.6, "mirror": True}
    knows = {"bold": bold, "own": own, "plain": None}
    rest = {"mean": 0.5, "interval": None, "worst": 0.5, "n": 1, "seconds": 1.0, "images": 1, "temperature": 1}
    rest |= {"uniform_assumed": None, "published": None}
    rows = [
        {**row(method, (0.5,), augmentation=amounts, **rest), "split": part}
        for method, amounts in knows.items()
        for part in ("test", "held")
    ]
    assert _knowledge(rows).splitlines()[2:] == ["- mnist*: gamma 0.3, mirror 1", "- mnist†: gamma 0.6, mirror 1"]
    for table in (_all_labels(rows, _known(rows, "mnist")), _table("", rows, _known(rows, "mnist"))):
        for mark, method in (("†", "bold"), ("*", "own"), ("", "plain")):
            assert f"| the whole, without {method}{mark} | " in table


def test_the_worth_of_a_part_is_the_whole_minus_the_rest():
    rows = [row("whole", WHOLE), row("without-graph", [value - 0.05 for value in WHOLE], group="without")]
    line = parts_table(rows).splitlines()[-1]
    assert line.startswith("| without-graph | **+5.0 (+5.0 to +5.0)**")
    assert parts_table(rows[:1]) == ""


def test_the_bottlenecks_error_stands_beside_its_seeds_its_interval_and_the_printed_one():
    own = row("bottleneck", (0.005, 0.006), metric="error", count="all", group="all labels", wilson=[0.0044, 0.0074])
    own |= {"mean": 0.0055, "augmentation": None, "published": 0.0113, "source": "Alemi et al. 2017"}
    last = _all_labels([{**own, "split": split} for split in ("test", "held")], []).splitlines()[-1]
    assert (
        "| 0.55 % (seeds 0.50, 0.60; 95 % interval 0.44 to 0.74; published 1.13, Alemi et al. 2017) | 0.55 % |" in last
    )


@pytest.mark.parametrize(
    ("loss", "said"), [(0.03, "a clear difference in 1 of 1"), (0.0, "no clear difference in any")]
)
def test_the_generative_terms_verdict_follows_the_numbers(loss, said):
    without = [value - loss + jolt for value, jolt in zip(WHOLE, NOISE.tolist(), strict=True)]
    rows = [row("whole", WHOLE), row("without-generative", without, group="without")]
    assert said in generative_verdict(rows)
    bounds = [
        row(key, None, metric="elbo", mean=-mean)
        for key, mean in (("before", 100.0), ("whole", 110.0), ("without-generative", 300.0))
    ]
    words = generative_verdict(rows + bounds)
    assert "-100.0 nats per image before self-training, -110.0 after it, -300.0 after it without" in words
    assert generative_verdict(rows[:1]) == ""


def test_the_figure_of_parts_shows_what_the_table_says():
    apart = np.array([0.02, 0.01, 0.03, 0.02, 0.02])
    without = row("graph", (np.array(WHOLE) - apart).tolist(), group="without")
    rows = [row("whole", WHOLE), without, row("whole", WHOLE, count=1)]
    found = _worth(rows)
    paired = stats.ttest_1samp(100 * apart, 0).confidence_interval()
    assert found == {"mnist": {"10 labels a class": {"graph": pytest.approx((2.0, paired.low, paired.high))}}}
    assert "| graph | **+2.0 (" in parts_table(rows)


def test_no_band_of_accuracies_leaves_the_scale():
    rows = [row("whole", WHOLE, mean=0.5, interval=[-0.2, 1.2])]
    (panel,) = _curves(rows, {"whole": "whole"}).axes
    low, high = panel.dataLim.intervaly
    assert (low, high) == (0.0, 100.0)
