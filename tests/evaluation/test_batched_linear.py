"""Linear heads trained together have the weights of heads trained one by one."""

import pytest
import torch
from torch.testing import assert_close

from vaebench.evaluation import batched_linear, learning_curves
from vaebench.evaluation.batched_linear import are_linear_probes, fit_each, fit_linear_probes
from vaebench.evaluation.features import Codes, Grid
from vaebench.evaluation.learning_curves import FitLog, ProbeData, label_draws, learning_curve
from vaebench.evaluation.probes import Head, LinearClassifier, Logistic
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
SIZES = (40, 3, 33, 97, 17, 3)  # 33 and 17 leave a last batch of one row; jobs end at different steps


def codes(count, seed, dtype, features=5, sampled=False):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(count, features, generator=generator, dtype=dtype)
    labels = torch.randint(0, 4, (count,), generator=generator)
    log_variance = torch.randn(count, features, generator=generator, dtype=dtype) if sampled else None
    return Codes(mean, labels, log_variance, sampled)


def one_by_one(head, source, seed):
    model = head.build(source.shape, 4, seed)
    return train(model, CrossEntropy(), source, head.training(len(source), seed), compute=CPU, seed=seed).model[-1]


def check(head, dtype, tolerance, sampled):
    sources = [codes(count, index, dtype, sampled=sampled) for index, count in enumerate(SIZES)]
    seeds = [3, 0, 1, 2, 2, 9]
    for together, source, seed in zip(fit_linear_probes(head, sources, 4, seeds), sources, seeds, strict=True):
        alone = one_by_one(head, source, seed)
        assert_close(together.weight, alone.weight.detach(), atol=tolerance, rtol=0)
        assert_close(together.bias, alone.bias.detach(), atol=tolerance, rtol=0)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_weights_equal_those_of_training_one_by_one(name, sampled):
    check(HEADS[name], torch.float32, 1e-4, sampled)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.usefixtures("float64")
def test_weights_are_equal_up_to_rounding(name, sampled):
    check(HEADS[name], torch.float64, 1e-11, sampled)


def test_linear_heads_by_adam_on_codes_are_trained_together():
    plain, noisy = codes(9, 0, torch.float32), codes(9, 0, torch.float32, sampled=True)
    assert are_linear_probes(Head(), [plain, plain])
    assert are_linear_probes(Head(), [noisy, noisy])
    assert not are_linear_probes(Head(), [plain, noisy])
    assert not are_linear_probes(Head(), [Grid(plain, 1)])
    assert not are_linear_probes(Head(network=MLP(hidden=(4,))), [plain])
    assert not are_linear_probes(Head(optimiser=SGD()), [plain])
    assert not are_linear_probes(Logistic(), [plain])


@pytest.mark.parametrize("sampled", [False, True])
def test_predictions_equal_those_of_the_training_loop(sampled):
    train_part, test = codes(90, 0, torch.float32, sampled=sampled), codes(2300, 1, torch.float32, sampled=sampled)
    head = HEADS["constant rate"]
    batched, alone = fit_each(head, [train_part], 4, [7], CPU)[0], head.fit(train_part, 4, 7, CPU)
    assert isinstance(batched, LinearClassifier)
    assert_close(batched(test), alone(test), atol=1e-5, rtol=0)


def test_other_probes_are_fitted_one_by_one():
    sources = [codes(30, seed, torch.float32) for seed in range(2)]
    for predict, source in zip(fit_each(Logistic(), sources, 4, [0, 1], CPU), sources, strict=True):
        assert torch.equal(predict(sources[0]), Logistic().fit(source, 4, 0, CPU)(sources[0]))


def curve(path, head):
    train_part, test = codes(200, 0, torch.float32), codes(300, 1, torch.float32)
    draws = label_draws(train_part.labels, (1, 3, 10, "all"), 3, 0)
    data = {name: ProbeData(train_part, test) for name in ("vae", "pca")}
    probes = {name: [head, Logistic()] for name in data}
    log = FitLog(path)
    learning_curve(data, probes, draws, 4, log=log, compute=CPU)
    return log


def test_the_learning_curve_is_the_same_together_one_by_one_and_resumed(tmp_path, monkeypatch):
    complete = curve(tmp_path / "complete.jsonl", HEADS["constant rate"])
    assert len(complete.done) == 2 * 2 * (3 * 3 + 1)
    lines = complete.path.read_text().splitlines(keepends=True)
    (tmp_path / "interrupted.jsonl").write_text("".join(lines[:5]))
    assert curve(tmp_path / "interrupted.jsonl", HEADS["constant rate"]).done == complete.done
    for module in (learning_curves, batched_linear):
        monkeypatch.setattr(module, "are_linear_probes", lambda probe, sources: False)
    for fit, accuracy in curve(tmp_path / "alone.jsonl", HEADS["constant rate"]).done.items():
        assert accuracy == pytest.approx(complete.done[fit], abs=1 / 300 + 1e-9)
