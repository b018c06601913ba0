"""The sentences of the verdict for rows whose outcome is known."""

import pytest
from made_up import accuracy_row
from scipy import stats

from vaebench.runs.report.verdict import compare_rows, default_probe, verdict

NOISE = (0.0, 0.01, -0.01, 0.02, -0.02)
TEN = tuple(str(digit) for digit in range(10))


def rows_of(latents, baselines, counts, draws=5):
    """Rows whose values share a random shift per draw, so that only paired differences are clear."""
    rows = []
    for index, count in enumerate(counts):
        shifts = [0.0] if count == "all" else [10 * noise for noise in NOISE[:draws]]
        rows.append(accuracy_row("vae", count, [latents[index] + shift for shift in shifts]))
        for features, means in baselines.items():
            own = [0.0] if count == "all" else NOISE[:draws][::-1]
            values = [means[index] + shift + 0.1 * jolt for shift, jolt in zip(shifts, own, strict=True)]
            probe = "supervised" if features == "images" else "logistic"
            rows.append(accuracy_row(features, count, values, probe))
    return rows


def judged(make_run, latents, baselines, counts=(1, 10, 100), **more):
    return verdict(make_run(classes=TEN, counts=counts, rows=rows_of(latents, baselines, counts, **more)))


def test_won_everywhere(make_run):
    result = judged(make_run, (0.5, 0.6, 0.7), {"pixels": (0.45, 0.55, 0.65)})
    assert result.summary == ["Latents beat raw pixels at every label count."]
    assert {c.outcome for c in result.comparisons} == {"win"}


def test_lost_everywhere_is_said_plainly(make_run):
    baselines = {"pixels": (0.55, 0.65, 0.75), "images": (0.6, 0.7, 0.8)}
    result = judged(make_run, (0.5, 0.6, 0.7), baselines)
    assert result.summary == [
        "Latents lose to raw pixels at every label count.",
        "Latents lose to the supervised network at every label count.",
        "They beat all 2 baselines at no label count.",
    ]


def test_won_with_few_labels_and_lost_with_many(make_run):
    counts = (1, 5, 10, 100, 1000)
    result = judged(make_run, (0.6,) * 5, {"pixels": (0.5, 0.5, 0.5, 0.7, 0.7)}, counts)
    assert result.summary == ["Latents beat raw pixels at 1 to 10 labels per class and lose from 100 upwards."]


def test_mixed_counts_are_listed(make_run):
    counts = (1, 3, 5, 10)
    result = judged(make_run, (0.6,) * 4, {"pixels": (0.6, 0.7, 0.6, 0.5)}, counts)
    assert result.summary == [
        "Latents beat raw pixels at 10 labels per class and lose at 3; no clear difference at 1 and 5."
    ]


def test_one_label_is_not_plural(make_run):
    result = judged(make_run, (0.6, 0.6), {"pixels": (0.5, 0.7)}, (1, 10))
    assert result.summary == ["Latents beat raw pixels at 1 label per class and lose at 10."]


def test_losses_without_a_win(make_run):
    result = judged(make_run, (0.6, 0.6, 0.6), {"pca": (0.6, 0.7, 0.7)})
    assert result.summary == ["Latents lose to PCA from 10 labels per class upwards; no clear difference at 1."]


def test_no_clear_difference(make_run):
    result = judged(make_run, (0.6, 0.7, 0.8), {"pixels": (0.6, 0.7, 0.8)})
    assert result.summary == ["No clear difference between latents and raw pixels at any label count."]


def test_one_draw_gives_numbers_without_a_verdict(make_run):
    result = judged(make_run, (0.9,), {"pixels": (0.5,), "images": (0.4,)}, ("all",))
    assert result.summary[0] == ("Latents against raw pixels: no verdict, because there is only one draw of labels.")
    assert len(result.summary) == 2
    assert {c.outcome for c in result.comparisons} == {"one draw"}
    assert result.numbers == ["All 1,234 labels (one draw): latents 0.90, pixels 0.50, supervised 0.40"]
    assert not any("interval" in note for note in result.notes)


def test_all_labels_never_count_as_a_win(make_run):
    result = judged(make_run, (0.6, 0.99), {"pixels": (0.7, 0.1)}, (10, "all"))
    assert result.summary == ["Latents lose to raw pixels at 10 labels per class, the only count with several draws."]


def test_numbers_name_the_baselines_that_matter_most(make_run):
    baselines = {"random": (0.3,), "images": (0.75,), "pixels": (0.77,)}
    result = judged(make_run, (0.82,), baselines, (10,))
    expected = "10 labels per class: latents 0.82, pixels 0.77, supervised 0.75"
    assert result.numbers == [expected]
    assert result.others == [
        "Latents beat the random encoder at 10 labels per class, the only count with several draws."
    ]


def test_pairing_sees_what_overlapping_intervals_hide():
    latents = accuracy_row("vae", 10, [0.50, 0.60, 0.70, 0.80])
    baseline = accuracy_row("pixels", 10, [0.48, 0.59, 0.68, 0.79])
    assert latents["interval"][0] < baseline["interval"][1]
    assert compare_rows(latents, baseline).outcome == "win"
    assert compare_rows(baseline, latents).outcome == "lose"


def test_interval_is_students_paired_one():
    first, second = [0.61, 0.64, 0.58, 0.7], [0.6, 0.66, 0.5, 0.69]
    exact = stats.ttest_rel(first, second).confidence_interval()
    result = compare_rows(accuracy_row("vae", 10, first), accuracy_row("pixels", 10, second))
    assert result.interval == pytest.approx((exact.low, exact.high))
    assert result.difference == pytest.approx(0.02)


def test_other_numbers_of_draws_are_not_paired():
    result = compare_rows(accuracy_row("vae", 10, [0.6, 0.61, 0.6]), accuracy_row("pixels", 10, [0.5, 0.51]))
    assert result.outcome == "win"


def test_equal_draw_by_draw_is_no_win():
    row = accuracy_row("vae", 10, [0.5, 0.6, 0.7])
    assert compare_rows(row, {**row, "features": "pixels"}).outcome == "unclear"


def test_the_probe_is_logistic_though_knn_scores_higher(make_run):
    rows = rows_of((0.6,), {"pixels": (0.7,)}, (10,))
    rows += [accuracy_row("vae", 10, [0.99] * 5, "knn"), accuracy_row("pixels", 10, [0.1] * 5, "knn")]
    run = make_run(classes=TEN, counts=(10,), rows=rows)
    assert default_probe(run) == "logistic"
    assert verdict(run).summary[0].startswith("Latents lose to raw pixels")


def test_counts_that_were_left_out_are_named(make_run):
    rows = rows_of((0.6,), {"pixels": (0.7,)}, (10,))
    result = verdict(make_run(classes=TEN, counts=(10, 1000), rows=rows))
    assert result.notes[-1].endswith("too few training images: 1000 labels per class.")


def test_without_latents_there_is_no_verdict(make_run):
    rows = [accuracy_row("pixels", 10, [0.5, 0.6])]
    assert verdict(make_run(classes=TEN, counts=(10,), rows=rows)) is None


def test_without_labels_there_is_no_verdict(make_run):
    assert verdict(make_run()) is None


def test_with_a_self_trained_vae_the_verdict_is_on_it_and_the_latents_are_a_baseline(make_run):
    counts = (1, 10)
    rows = rows_of((0.5, 0.6), {"pixels": (0.45, 0.95), "images": (0.4, 0.7)}, counts)
    for index, count in enumerate(counts):
        values = [(0.7, 0.8)[index] + 10 * shift for shift in NOISE]
        rows.append(accuracy_row("self-trained", count, values, "self-training"))
    result = verdict(make_run(classes=TEN, counts=counts, rows=rows))
    assert result.summary == [
        "Self-trained VAEs beat raw pixels at 1 label per class and lose at 10.",
        "Self-trained VAEs beat the supervised network at every label count.",
        "Self-trained VAEs beat the frozen latents at every label count.",
        "They beat all 3 baselines at 1 label per class.",
    ]
    assert result.numbers[0] == "1 label per class: self-trained 0.70, pixels 0.45, supervised 0.40, latents 0.50"
