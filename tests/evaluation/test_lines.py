"""Linear heads trained together are the ones that training one by one gives."""

import pytest
import torch
from torch.testing import assert_close

from vaebench.evaluation import few_labels
from vaebench.evaluation.features import Codes
from vaebench.evaluation.few_labels import Ledger, Parts, label_draws, learning_curve
from vaebench.evaluation.lines import are_lines, fit_lines
from vaebench.evaluation.probes import Head, Logistic
from vaebench.models.networks import MLP
from vaebench.models.objectives import CrossEntropy
from vaebench.training.compute import Compute
from vaebench.training.loop import train
from vaebench.training.schedules import SGD, Adam, OneCycle

CPU = Compute(device="cpu", precision="fp32", threads=1)
HEADS = {
    "constant rate": Head(epochs=4, batch=16),
    "one cycle, decay, other beta2": Head(
        epochs=3, batch=10, optimiser=Adam(rate=3e-2, beta2=0.99, weight_decay=0.1), schedule=OneCycle()
    ),
    "steps added": Head(epochs=1, batch=64, least_steps=12),
}
SIZES = (40, 3, 33, 97, 17, 3)  # 33 and 17 leave one row over; several end at different steps


def codes(count, seed, dtype, features=5):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(count, features, generator=generator, dtype=dtype)
    return Codes(mean, torch.randint(0, 4, (count,), generator=generator))


def one_by_one(head, source, seed):
    model = head.build(source.shape, 4, seed)
    return train(model, CrossEntropy(), source, head.training(len(source), seed), compute=CPU, seed=seed).model[-1]


def check(head, dtype, tolerance):
    sources = [codes(count, index, dtype) for index, count in enumerate(SIZES)]
    seeds = [3, 0, 1, 2, 2, 9]
    for line, source, seed in zip(fit_lines(head, sources, 4, seeds), sources, seeds, strict=True):
        alone = one_by_one(head, source, seed)
        assert_close(line.weight, alone.weight.detach(), atol=tolerance, rtol=0)
        assert_close(line.bias, alone.bias.detach(), atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", HEADS)
def test_weights_are_those_of_training_one_by_one(name):
    check(HEADS[name], torch.float32, 1e-4)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.usefixtures("float64")
def test_weights_are_equal_but_for_rounding(name):
    check(HEADS[name], torch.float64, 1e-11)


def test_only_lines_without_noise_are_trained_together():
    plain, noisy = codes(9, 0, torch.float32), Codes(torch.zeros(9, 5), torch.zeros(9).long(), sampled=True)
    assert are_lines(Head(), plain)
    assert not are_lines(Head(), noisy)
    assert not are_lines(Head(network=MLP(hidden=(4,))), plain)
    assert not are_lines(Head(optimiser=SGD()), plain)
    assert not are_lines(Logistic(), plain)


def curve(ledger, head):
    train_part, test = codes(200, 0, torch.float32), codes(300, 1, torch.float32)
    draws = label_draws(train_part.labels, (1, 3, 10, "all"), 3, 0)
    parts = {name: Parts(train_part, test) for name in ("vae", "pca")}
    readers = {name: [head, Logistic()] for name in parts}
    learning_curve(parts, readers, draws, 4, ledger=ledger, compute=CPU)


def test_the_learning_curve_is_the_same_together_one_by_one_and_resumed(tmp_path, monkeypatch):
    whole = Ledger(tmp_path / "whole.jsonl")
    curve(whole, HEADS["constant rate"])
    assert len(whole.done) == 2 * 2 * (3 * 3 + 1)
    lines = whole.path.read_text().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_text("".join(lines[:5]))
    resumed = Ledger(cut)
    curve(resumed, HEADS["constant rate"])
    assert resumed.done == whole.done
    monkeypatch.setattr(few_labels, "are_lines", lambda probe, source: False)
    alone = Ledger(tmp_path / "alone.jsonl")
    curve(alone, HEADS["constant rate"])
    for cell, accuracy in alone.done.items():
        assert accuracy == pytest.approx(whole.done[cell], abs=1 / 300 + 1e-9)
