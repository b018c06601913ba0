"""Label draws are balanced and saved; every fit runs once; rows have intervals."""

import json
from contextlib import nullcontext

import pytest
import torch

from vaebench.core.errors import VaebenchError
from vaebench.evaluation.features import Codes
from vaebench.evaluation.learning_curves import (
    FitKey,
    FitLog,
    ProbeData,
    curve_rows,
    label_draws,
    learning_curve,
    save_draws,
)
from vaebench.evaluation.probes import KNN, Logistic
from vaebench.training.compute import Compute

CPU = Compute(device="cpu", precision="fp32", threads=1)


def part(seed, count=60):
    labels = torch.arange(count) % 3
    mean = torch.nn.functional.one_hot(labels).float() + 0.3 * torch.randn(
        count, 3, generator=torch.Generator().manual_seed(seed)
    )
    return Codes(mean, labels)


def parts():
    return ProbeData(part(0), part(2))


def test_draws_are_balanced_distinct_and_repeatable():
    labels = torch.arange(3000) % 10
    draws = label_draws(labels, (1, 7, "all"), 5, seed=4)
    again = label_draws(labels, (1, 7, "all"), 5, seed=4)
    for count in (1, 7):
        for rows, same in zip(draws[count], again[count], strict=True):
            assert labels[rows].bincount().tolist() == [count] * 10
            assert rows.unique().numel() == 10 * count
            assert torch.equal(rows, same)
        assert len({tuple(rows.tolist()) for rows in draws[count]}) == 5
    assert torch.equal(draws["all"][0], torch.arange(3000))
    assert len(draws["all"]) == 1


def test_counts_that_a_class_cannot_give_are_left_out():
    labels = torch.tensor([0] * 50 + [1] * 5)
    assert list(label_draws(labels, (1, 5, 6, "all"), 2, 0)) == [1, 5, "all"]


def test_draws_are_saved_as_rows(tmp_path):
    draws = label_draws(torch.arange(30) % 3, (1, 2, "all"), 3, 0)
    save_draws(tmp_path / "draws.json", draws)
    kept = json.loads((tmp_path / "draws.json").read_text())
    assert kept == {str(n): [rows.tolist() for rows in draws[n]] for n in (1, 2)}


def curve(log, probes=None):
    draws = label_draws(part(0).labels, (1, 4, "all"), 3, 0)
    learning_curve({"codes": parts()}, {"codes": probes or [Logistic(), KNN()]}, draws, 3, log=log, compute=CPU)
    return log


def test_every_fit_runs_once_and_a_resumed_curve_is_the_same(tmp_path):
    whole = curve(FitLog(tmp_path / "whole.jsonl"))
    assert len(whole.done) == 2 * (3 + 3 + 1)
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines[:5]) + lines[5][:17])

    fits = []

    class Counting(Logistic):
        def fit(self, *arguments):
            fits.append(1)
            return super().fit(*arguments)

    resumed = curve(FitLog(tmp_path / "cut.jsonl"), [Counting(), KNN()])
    assert resumed.done == whole.done
    assert FitLog(tmp_path / "cut.jsonl").done == whole.done
    done_before = sum(1 for line in lines[:5] if '"logistic"' in line)
    assert len(fits) == 7 - done_before


def test_fits_that_another_process_makes_are_left_to_it(tmp_path):
    draws, probes = label_draws(torch.arange(60) % 3, (1, 2), 2, 0), {"codes": [Logistic(), KNN()]}
    first, second = (FitLog(tmp_path / "fits.jsonl", shared=True) for _ in range(2))
    claimed = []

    def claim(fit):
        claimed.append(fit)
        return nullcontext(fit.probe != KNN().name)

    learning_curve({"codes": parts()}, probes, draws, 3, log=first, compute=CPU, claim=claim)
    assert {fit.probe for fit in first.done} == {Logistic().name}
    assert {fit.probe for fit in claimed} == {Logistic().name, KNN().name}
    learning_curve({"codes": parts()}, probes, draws, 3, log=second, compute=CPU)
    assert len((tmp_path / "fits.jsonl").read_text().splitlines()) == len(second.done) == 8  # each fit once
    alone = FitLog(tmp_path / "alone.jsonl")
    learning_curve({"codes": parts()}, probes, draws, 3, log=alone, compute=CPU)
    assert list(alone.done.items()) == list(second.done.items())  # in the same order, too


def test_an_unlabelled_images_label_is_never_read(tmp_path):
    draws = label_draws(part(0).labels, (2,), 2, 0)
    clean = parts()
    labels = clean.train.labels.clone()
    drawn = torch.cat(draws[2])
    hidden = torch.ones(len(labels), dtype=torch.bool)
    hidden[drawn] = False
    labels[hidden] = (labels[hidden] + 1) % 3
    poisoned = ProbeData(Codes(clean.train.mean, labels), clean.test)
    logs = []
    for index, which in enumerate((clean, poisoned)):
        logs.append(FitLog(tmp_path / f"{index}.jsonl"))
        learning_curve({"codes": which}, {"codes": [Logistic(), KNN()]}, draws, 3, log=logs[-1], compute=CPU)
    assert logs[0].done == logs[1].done


def test_curve_rows_have_mean_deviation_and_interval(tmp_path):
    log = FitLog(tmp_path / "cells.jsonl")
    for draw, value in enumerate((0.5, 0.7, 0.9)):
        log.add(FitKey("vae", "knn", 3, draw), value)
    log.add(FitKey("vae", "knn", "all", 0), 0.95)
    rows = curve_rows(log, "toy")
    three = next(r for r in rows if r["labels_per_class"] == 3 and r["split"] == "test")
    assert {k: three[k] for k in ("data", "features", "probe", "metric", "n")} == {
        "data": "toy", "features": "vae", "probe": "knn", "metric": "accuracy", "n": 3,
    }  # fmt: skip
    assert three["mean"] == pytest.approx(0.7)
    assert three["sd"] == pytest.approx(0.2)
    assert three["interval"] == pytest.approx([0.7 - 0.4968275, 0.7 + 0.4968275], abs=1e-6)
    everything = next(r for r in rows if r["labels_per_class"] == "all")
    assert (everything["mean"], everything["n"], everything["sd"], everything["interval"]) == (0.95, 1, None, None)


@pytest.mark.parametrize(
    "line", ["{}", "no json", "[1]", '{"fit": [1], "accuracy": 0.5}', '{"fit": null, "accuracy": "x"}']
)
def test_a_damaged_log_is_refused(tmp_path, line):
    (tmp_path / "cells.jsonl").write_text(line + "\n")
    with pytest.raises(VaebenchError, match=r"cells\.jsonl has a damaged line"):
        FitLog(tmp_path / "cells.jsonl")


def test_logs_with_the_key_cell_of_earlier_versions_are_read(tmp_path):
    (tmp_path / "cells.jsonl").write_text('{"cell": ["vae", "knn", "all", 0], "accuracy": 0.5}\n')
    log = FitLog(tmp_path / "cells.jsonl")
    log.add(FitKey("vae", "knn", 1, 0), 0.25)
    expected = {FitKey("vae", "knn", "all", 0): 0.5, FitKey("vae", "knn", 1, 0): 0.25}
    assert log.done == FitLog(tmp_path / "cells.jsonl").done == expected
    assert json.loads(log.path.read_text().splitlines()[1]) == {"fit": ["vae", "knn", 1, 0], "accuracy": 0.25}
