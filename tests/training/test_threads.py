"""Number of threads: measured on the steps of a training, with a clock that the tests set."""

import pytest
import torch

from vaebench.data.images import Images
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.training import threads
from vaebench.training.checkpoint import Checkpoint
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.threads import GAIN, INTERVAL, PROBE, ThreadTuner


class Machine:
    """A clock that moves by the time of a step with the number of threads in use."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.threads, self.seconds = 0.0, 1, seconds
        monkeypatch.setattr(threads.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(threads.torch, "set_num_threads", self._use)

    def _use(self, number):
        self.threads = number

    def steps(self, tuner, first, count):
        """Numbers of threads of the steps."""
        used = []
        for step in range(first, first + count):
            with tuner.timed(step):
                used.append(self.threads)
                self.now += self.seconds[self.threads]
        return used


def test_faster_threads_are_used_until_the_next_probe(monkeypatch):
    machine, tuner = Machine(monkeypatch, {1: 1.0, 2: 0.6}), ThreadTuner(2)
    used = machine.steps(tuner, 0, INTERVAL)
    assert used == [1] * PROBE + [2] * (INTERVAL - PROBE)
    assert tuner.choices == [(0, 1), (PROBE, 2)]


@pytest.mark.parametrize("seconds", [1.0, 1.0 / GAIN + 0.01])
def test_a_small_gain_is_left_to_other_programs(monkeypatch, seconds):
    machine, tuner = Machine(monkeypatch, {1: 1.0, 2: seconds}), ThreadTuner(2)
    used = machine.steps(tuner, 0, INTERVAL)
    assert used == [1] * PROBE + [2] * PROBE + [1] * (INTERVAL - 2 * PROBE)


def test_a_probe_beside_busy_programs_ends_after_one_step(monkeypatch):
    machine, tuner = Machine(monkeypatch, {1: 1.0, 2: 60.0}), ThreadTuner(2)
    used = machine.steps(tuner, 0, 100)
    assert used == [1] * PROBE + [2] + [1] * (99 - PROBE)


def test_threads_that_become_slow_between_probes_are_given_up_within_a_few_steps(monkeypatch):
    machine, tuner = Machine(monkeypatch, {1: 1.0, 2: 0.5}), ThreadTuner(2)
    assert machine.steps(tuner, 0, 50)[-1] == 2
    machine.seconds = {1: 1.0, 2: 20.0}
    assert machine.steps(tuner, 50, 20) == [2] + [1] * 19


def test_later_probes_find_a_machine_that_has_become_quiet_and_are_rarer_while_it_is_not(monkeypatch):
    machine, tuner = Machine(monkeypatch, {1: 1.0, 2: 60.0}), ThreadTuner(2)
    used = machine.steps(tuner, 0, 8 * INTERVAL)
    probes = [step for step, number in enumerate(used) if number == 2]
    assert len(probes) == 3  # at steps 0, 2 x 250 and 6 x 250, about
    assert probes[2] - probes[1] > 1.9 * (probes[1] - probes[0])
    machine.seconds = {1: 1.0, 2: 0.5}
    used = machine.steps(tuner, 8 * INTERVAL, 8 * INTERVAL)
    assert used[-1] == 2
    assert tuner.interval == INTERVAL


def test_one_core_is_never_probed(monkeypatch):
    machine, tuner = Machine(monkeypatch, {1: 1.0}), ThreadTuner(1)
    assert machine.steps(tuner, 0, 20) == [1] * 20
    assert tuner.choices == []


def test_a_restored_tuner_makes_the_same_choices(monkeypatch):
    seconds = {1: 1.0, 2: 0.6}
    whole = Machine(monkeypatch, seconds)
    expected = whole.steps(ThreadTuner(2), 0, 2 * INTERVAL)
    for stop in (3, PROBE + 2, 100, INTERVAL + PROBE + 1):
        machine, first, second = Machine(monkeypatch, seconds), ThreadTuner(2), ThreadTuner(2)
        before = machine.steps(first, 0, stop)
        machine.threads = 1
        second.restore(first.state())
        assert before + machine.steps(second, stop, 2 * INTERVAL - stop) == expected


def _train(checkpoint, epochs, threads=None):
    torch.manual_seed(0)
    model = Model(latent=2, network=MLP(hidden=(8,))).build((1, 4, 4))
    pixels = torch.randint(0, 256, (64, 1, 4, 4), dtype=torch.uint8)
    source = Images(pixels, torch.full((64,), -1))
    compute = Compute(device="cpu", precision="fp32", threads=threads)
    training = Training(epochs=epochs, batch=8, checkpoint_seconds=0)
    return train(model, Elbo(), source, training, compute=compute, checkpoint=checkpoint)


def test_a_training_records_its_numbers_of_threads_and_keeps_them_with_its_state(monkeypatch, tmp_path):
    monkeypatch.setattr("vaebench.training.compute.available_cores", lambda: 2)
    checkpoint = Checkpoint(tmp_path / "state.safetensors", {})
    result = _train(checkpoint, 2)
    assert result.threads[:2] == [(0, 1), (PROBE, 2)]
    _, record = checkpoint.load()
    assert record["threads"]["maximum"] == 2
    assert [tuple(choice) for choice in record["threads"]["choices"]] == result.threads


def test_threads_that_are_given_are_kept(monkeypatch):
    monkeypatch.setattr("vaebench.training.compute.available_cores", lambda: 2)
    assert _train(None, 1, threads=1).threads == [(0, 1)]
