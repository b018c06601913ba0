"""The training loop: exact resume, clipping, schedules, averaging, early stopping, and errors."""

import copy
import math
import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Images
from vaebench.models.loss import LossOutput
from vaebench.models.networks import Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.training.averaging import moving_average
from vaebench.training.checkpoint import Checkpoint, read_tensors, write_tensors
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.schedules import OPTIMISERS, SCHEDULES, SGD, Adam, Constant, Muon, OneCycle, WarmUpCosine

FP32 = Compute(device="cpu", precision="fp32", threads=1)
BF16 = Compute(device="cpu", precision="bf16", threads=1)
SMALL = Model(latent=3, network=Conv(filters=(4, 6), kernel=(3,), stride=(2,), hidden=(16,), dropout=0.1))


class Killed(Exception):
    """Simulates a killed process."""


def some_images(count=70, seed=1):
    pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    return Images(pixels.to(torch.uint8), torch.full((count,), -1))


def fresh(seed=0):
    torch.manual_seed(seed)
    return SMALL.build((1, 8, 8))


def run(training, compute=FP32, checkpoint=None, callback=None, seed=0, objective=None):
    return train(
        fresh(), objective or Elbo(beta=2.0), some_images(), training, compute=compute, seed=seed,
        validation=some_images(30, 2), checkpoint=checkpoint, callback=callback,
    )  # fmt: skip


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


VARIANTS = {
    "adam": (Training(epochs=3, batch=16, checkpoint_seconds=0), FP32),
    "bf16": (Training(epochs=3, batch=16, checkpoint_seconds=0), BF16),
    "ema": (Training(epochs=3, batch=16, checkpoint_seconds=0, ema=0.9, clip_norm=1.0), FP32),
    "muon": (Training(epochs=3, batch=16, checkpoint_seconds=0, optimiser=Muon()), FP32),
    "sgd": (
        Training(epochs=3, batch=16, checkpoint_seconds=0, optimiser=SGD(rate=1e-4), schedule=Constant(), clip_value=5),
        FP32,
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_at_any_step_and_resumed_gives_the_same_bits(tmp_path, variant):
    training, compute = VARIANTS[variant]
    whole = run(training, compute)
    steps = 5 * training.epochs  # 70 images by 16: four whole batches and one of six
    for stop in range(1, steps + 1, 2):
        checkpoint = Checkpoint(tmp_path / f"{stop}.safetensors", {"test": 1})

        objective = _CountingElbo(stop)
        with pytest.raises(Killed):
            run(training, compute, checkpoint, objective=objective)
        resumed = run(training, compute, checkpoint)
        assert same_bits(whole.model.state_dict(), resumed.model.state_dict()), f"stopped at step {stop}"
        assert whole.history == resumed.history
        assert whole.best_epoch == resumed.best_epoch


class _CountingElbo:
    """An ELBO that raises :class:`Killed` at its n-th training step."""

    def __init__(self, stop):
        self.stop, self.calls = stop, 0

    def __call__(self, model, batch, progress):
        if model.training:
            self.calls += 1
            if self.calls >= self.stop:
                raise Killed
        return Elbo(beta=2.0)(model, batch, progress)


def test_another_seed_gives_other_bits_and_the_same_seed_the_same():
    training = Training(epochs=1, batch=16)
    first, again, other = (run(training, seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert same_bits(first, again)
    assert not same_bits(first, other)


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    model = SMALL.build((1, 8, 8))
    state = torch.get_rng_state()
    train(model, Elbo(), some_images(), Training(epochs=1, batch=16), compute=FP32)
    assert torch.equal(torch.get_rng_state(), state)
    assert expected.shape == (3,)


def test_a_checkpoint_of_another_training_is_refused_by_name(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    run(Training(epochs=1, batch=16, checkpoint_seconds=0), checkpoint=Checkpoint(path, {"threads": 2, "seed": 0}))
    with pytest.raises(VaebenchError, match="threads was 2 and is now 1; resume under the old settings"):
        run(Training(epochs=1, batch=16), checkpoint=Checkpoint(path, {"threads": 1, "seed": 0}))


def test_a_checkpoint_of_another_schema_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", {"seed": 0})
    write_tensors(checkpoint.path, {"a": torch.arange(3)}, {"schema": 1, "identity": {"seed": 0}, "record": {}})
    with pytest.raises(VaebenchError, match="has schema 1; expected 4: resume with the version"):
        checkpoint.load()


def test_a_truncated_checkpoint_is_an_error(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_tensors(path, {"a": torch.arange(100)}, {"schema": 1})
    whole = path.read_bytes()
    for length in (0, 3, 8, 60, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(VaebenchError, match="is not a whole vaebench file"):
            read_tensors(path)


def test_the_previous_checkpoint_replaces_a_truncated_one(tmp_path, caplog):
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", {"seed": 0})
    for epoch in (1, 2, 3):
        checkpoint.save({"weight": torch.full((50,), float(epoch))}, {"epoch": epoch})
    whole = checkpoint.path.read_bytes()
    assert checkpoint.load()[1] == {"epoch": 3}
    for length in range(0, len(whole), 7):
        checkpoint.path.unlink()
        checkpoint.path.write_bytes(whole[:length])
        caplog.clear()
        tensors, record = checkpoint.load()
        assert (record, float(tensors["weight"][0])) == ({"epoch": 2}, 2.0)
        assert "is not a whole vaebench file" in caplog.text
        assert "going on from the checkpoint before it" in caplog.text
    checkpoint.path.unlink()
    assert checkpoint.load()[1] == {"epoch": 2}
    checkpoint.previous.write_bytes(b"cut")
    with pytest.raises(VaebenchError, match="before is not a whole vaebench file"):
        checkpoint.load()
    checkpoint.clear()
    assert checkpoint.load() is None
    assert list(tmp_path.iterdir()) == []


def test_the_two_checkpoints_are_always_separate_files(tmp_path, monkeypatch):
    """Truncating the last file must not change the previous one, at whatever moment the process is killed."""
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", {})
    renamed, replace = [], Path.replace

    def watched(source, target):
        replace(source, target)
        there = [file for file in (checkpoint.path, checkpoint.previous) if file.exists()]
        assert len({file.stat().st_ino for file in there}) == len(there) > 0
        assert checkpoint.load()[1]["epoch"] in (epoch, epoch - 1)
        renamed.append(target)

    monkeypatch.setattr(Path, "replace", watched)
    for epoch in (1, 2, 3):
        checkpoint.save({"weight": torch.zeros(2)}, {"epoch": epoch})
    assert len(renamed) == 5


@pytest.mark.parametrize("stopped", [False, True])
def test_a_run_whose_checkpoint_is_damaged_ends_with_the_same_bits(tmp_path, stopped):
    training = Training(epochs=3, batch=16, checkpoint_seconds=0)
    whole = run(training)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", {"test": 1})
    with pytest.raises(Killed):
        run(training, checkpoint=checkpoint, objective=_CountingElbo(9))
    if stopped:
        checkpoint.path.unlink()
    else:
        os.truncate(checkpoint.path, 100)
    resumed = run(training, checkpoint=checkpoint)
    assert same_bits(whole.model.state_dict(), resumed.model.state_dict())
    assert whole.history == resumed.history


def test_a_nan_loss_names_step_and_components_and_keeps_the_last_good_weights(tmp_path):
    class Poisoned:
        steps = 0

        def __call__(self, model, batch, progress):
            loss, parts = Elbo()(model, batch, progress)
            self.steps += model.training
            if self.steps >= 8:
                loss = loss * torch.nan
            return LossOutput(loss, parts)

    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", {})
    training = Training(epochs=3, batch=16, checkpoint_seconds=0)
    with pytest.raises(FloatingPointError, match=r"nan at step 8 of 15 \(means: elbo -?\d"):
        run(training, checkpoint=checkpoint, objective=Poisoned())
    tensors, record = checkpoint.load()
    assert record["step"] == 7
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())


def test_an_infinite_gradient_behind_a_finite_loss_is_found_before_it_is_saved(tmp_path):
    class Edge:  # sqrt has an infinite derivative at 0
        def __call__(self, model, batch, progress):
            weight = next(model.parameters())
            return LossOutput((weight - weight.detach()).abs().sum().sqrt() + 1.0, {"one": torch.ones(len(batch.x))})

    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", {})
    with pytest.raises(FloatingPointError, match=r"some weights are not finite after step 1 of"):
        run(Training(epochs=1, batch=16, checkpoint_seconds=0), checkpoint=checkpoint, objective=Edge())
    assert checkpoint.load() is None


def gradients_of_one_step(**clip):
    model = fresh()
    before = copy.deepcopy(model)
    training = Training(epochs=1, batch=70, optimiser=SGD(rate=1.0, momentum=0), schedule=Constant(), **clip)
    after = train(model, Elbo(), some_images(), training, compute=FP32).model
    return [b.detach() - a.detach() for a, b in zip(after.parameters(), before.parameters(), strict=True)]


def test_clipping_by_value_and_by_norm():
    free = gradients_of_one_step()
    assert max(g.abs().max() for g in free) > 0.5
    for got, plain in zip(gradients_of_one_step(clip_value=0.5), free, strict=True):
        assert_close(got, plain.clamp(-0.5, 0.5), atol=1e-5, rtol=1e-4)
    norm = math.sqrt(sum(float(g.square().sum()) for g in free))
    for got, plain in zip(gradients_of_one_step(clip_norm=0.5), free, strict=True):
        assert_close(got, plain * 0.5 / norm, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("decay", [0.9, 0.9999])
def test_an_average_of_equal_values_is_that_value(decay):
    update = moving_average(decay)
    values = torch.randn(1000)
    for current in (values, torch.arange(3000)):
        average = current.clone()
        update([average], [current], 1)
        assert torch.equal(average, current)


def test_averaged_weights_are_the_exponential_average_of_the_steps():
    class Pull:  # the gradient is always -1, so that SGD at rate 1 gives the weights 1, 2, 3, ...
        def __call__(self, model, batch, progress):
            return LossOutput(-model.weight, {})

    training = Training(epochs=1, batch=10, optimiser=SGD(rate=1.0, momentum=0), schedule=Constant(), ema=0.5)
    got = train(Scalar(), Pull(), some_images(40), training, compute=FP32).model.weight
    average = 1.0
    for weight in (2.0, 3.0, 4.0):
        average = 0.5 * average + 0.5 * weight
    assert_close(got.detach(), torch.tensor(average))


class Scalar(nn.Module):
    """A model with one weight, which is 0 at the start."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=dtype))


def script(losses):
    """An objective whose validation losses are given: the weight counts epochs."""

    def objective(model, batch, progress):
        if model.training:
            return LossOutput(-model.weight, {})  # SGD at rate 1: one step per epoch adds 1
        return LossOutput(torch.tensor(losses[int(model.weight) - 1]), {})

    return objective


@pytest.mark.parametrize(
    ("losses", "patience", "best", "epochs"),
    [([5.0, 3, 4, 6, 2], None, 5, 5), ([5.0, 3, 4, 6, 2], 2, 2, 4), ([5.0, 4, 3, 2, 1], 1, 5, 5)],
)
def test_validation_chooses_the_weights_and_patience_ends_the_training(losses, patience, best, epochs):
    training = Training(epochs=5, batch=40, optimiser=SGD(rate=1.0, momentum=0), schedule=Constant(), patience=patience)
    images = some_images(40)
    out = train(Scalar(), script(losses), images, training, compute=FP32, validation=images)
    assert (out.best_epoch, len(out.history)) == (best, epochs)
    assert out.model.weight.item() == best


def test_history_holds_exact_means_over_all_images():
    def brightness(model, batch, progress):
        value = batch.x.mean((1, 2, 3))
        return LossOutput(model.weight * 0 + value.mean(), {"brightness": value})

    images = some_images(70)
    out = train(Scalar(), brightness, images, Training(epochs=1, batch=16), compute=FP32, validation=images)
    expected = float(images.pixels.double().mean() / 255)
    for key in ("loss", "brightness", "validation_loss", "validation_brightness"):
        assert out.history[0][key] == pytest.approx(expected, abs=1e-6)


def test_the_trace_has_the_means_between_snapshots(monkeypatch):
    monkeypatch.setattr("vaebench.training.metrics.TRACE_EVERY", 2)
    seen = []

    def brightness(model, batch, progress):
        value = batch.x.mean((1, 2, 3))
        seen.append(value)
        return LossOutput(model.weight * 0 + value.mean(), {"brightness": value})

    out = train(Scalar(), brightness, some_images(70), Training(epochs=2, batch=16), compute=FP32)
    for epoch, record in enumerate(out.history):
        batches = seen[5 * epoch : 5 * epoch + 5]
        steps = [2, 4] if epoch == 0 else [6, 8, 10]
        starts = [0, 2] if epoch == 0 else [0, 1, 3]
        ends = [2, 4] if epoch == 0 else [1, 3, 5]
        assert [mark["step"] for mark in record["trace"]] == steps
        for mark, start, end in zip(record["trace"], starts, ends, strict=True):
            expected = torch.cat(batches[start:end]).double().mean().item()
            assert mark["loss"] == pytest.approx(expected, abs=1e-6)
            assert mark["brightness"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_pure_positive_and_at_most_one(name):
    schedule = SCHEDULES[name]()
    values = [schedule(step / 1000) for step in range(1000)]
    assert max(values) == pytest.approx(1.0, abs=1e-4)
    assert min(values) >= 0
    assert max(abs(a - b) for a, b in pairwise(values)) < 0.03


def test_schedules_at_known_points():
    assert WarmUpCosine(warm_up=0.1)(0.05) == pytest.approx(0.5)
    assert WarmUpCosine(warm_up=0.1)(0.55) == pytest.approx(0.5)
    assert WarmUpCosine(warm_up=0.1)(1.0) == pytest.approx(0.0)
    assert OneCycle(rise=0.3)(0.0) == pytest.approx(1 / 25)
    assert OneCycle(rise=0.3)(0.3) == pytest.approx(1.0)
    assert OneCycle(rise=0.3)(1.0) == pytest.approx(1e-4)


def test_the_schedule_scales_the_rate():
    def steps_taken(model, batch, progress):
        return LossOutput(-model.weight, {})

    training = Training(epochs=2, batch=10, optimiser=SGD(rate=0.5, momentum=0), schedule=WarmUpCosine(warm_up=0.3))
    got = train(Scalar(torch.float64), steps_taken, some_images(40), training, compute=FP32).model.weight.item()
    assert got == pytest.approx(0.5 * sum(WarmUpCosine(warm_up=0.3)(step / 8) for step in range(8)))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_lowers_the_loss(name):
    rate = {"adam": 1e-2, "muon": 5e-2, "sgd": 1e-3}[name]
    training = Training(epochs=15, batch=16, optimiser=OPTIMISERS[name](rate=rate))
    history = run(training).history
    assert history[-1]["loss"] < history[0]["loss"] - 1


def test_adam_follows_kingma_and_ba_on_its_first_step():
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = Adam(rate=0.1).build([weight])
    weight.grad = torch.tensor([3.0, -0.5])
    optimiser.step()
    assert_close(weight.detach(), torch.tensor([0.9, -1.9]), atol=1e-5, rtol=0)
