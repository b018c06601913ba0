"""Blocks: every image once per epoch, exact pixels, shuffled over the whole file, in constant memory."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from vaebench.core.errors import VaebenchError
from vaebench.data.blocks import Blocks
from vaebench.data.draws import epoch_batches
from vaebench.data.images import HIDDEN, Images
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.training.checkpoint import Checkpoint
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train

FP32 = Compute(device="cpu", precision="fp32", threads=1)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (1003, 3, 5, 4), dtype=np.uint8)


@pytest.fixture
def source(pixels, tmp_path):
    np.save(tmp_path / "pixels.npy", pixels)
    return Blocks(tmp_path / "pixels.npy", block_bytes=60 * 8, window=5)


def test_an_epoch_visits_every_image_once_with_exact_pixels(pixels, source):
    for epoch in (0, 1):
        rows = list(epoch_batches(source, 32, (7, epoch)))
        assert sorted(torch.cat(rows).tolist()) == list(range(1003))
        for some in rows:
            batch = source.batch(some)
            assert torch.equal((batch.x * 255).round().to(torch.uint8), torch.from_numpy(pixels[some.numpy()]))
            assert batch.x.shape == (len(some), 3, 5, 4)
            assert batch.labels.tolist() == [HIDDEN] * len(some)


def test_rows_in_any_order_are_read_exactly(pixels, source):
    generator = torch.Generator().manual_seed(1)
    for size in (1, 3, 40, 1003):
        rows = torch.randint(0, 1003, (size,), generator=generator)
        assert torch.equal((source.batch(rows).x * 255).round().to(torch.uint8), torch.from_numpy(pixels[rows.numpy()]))


def test_an_epoch_reads_each_block_once(source, monkeypatch):
    reads = []
    read = source._read

    def recorded(wanted):
        each = list(wanted)
        reads.extend(first for first, _ in each)
        read(each)

    monkeypatch.setattr(source, "_read", recorded)
    for rows in epoch_batches(source, 32, (3, 0)):
        source.batch(rows)
    assert sorted(reads) == list(range(0, 1003, 8))


def test_the_order_depends_on_the_seed_and_mixes_the_whole_file(source):
    order, same, other = (np.concatenate([*source.order((5, epoch))]) for epoch in (0, 0, 1))
    assert np.array_equal(order, same)
    assert not np.array_equal(order, other)
    windows = order[:1000].reshape(25, 40)
    assert np.all(np.ptp(windows, 1) > 200)  # blocks from all over
    assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.15
    within = np.diff(windows, axis=1)
    assert np.mean(within == 1) < 0.05  # no runs of neighbours


def test_training_from_blocks_equals_training_from_memory_in_the_same_order(pixels, source):
    class SameOrder(Images):
        def order(self, seed):
            return source.order(seed)

    in_memory = SameOrder(torch.from_numpy(pixels), torch.full((1003,), HIDDEN))
    training = Training(epochs=2, batch=64)

    def trained(images):
        torch.manual_seed(0)
        model = Model(latent=2, network=MLP(hidden=(8,))).build((3, 5, 4))
        return train(model, Elbo(), images, training, compute=FP32).model.state_dict()

    first, second = trained(in_memory), trained(source)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_stopped_within_an_epoch_and_resumed_gives_the_same_bits(source, tmp_path):
    class Stop(Exception):
        pass

    class Stopping(Elbo):
        def __call__(self, vae, batch, progress):
            if progress > 0.6:
                raise Stop
            return super().__call__(vae, batch, progress)

    def trained(objective, checkpoint=None):
        torch.manual_seed(0)
        model = Model(latent=2, network=MLP(hidden=(8,))).build((3, 5, 4))
        training = Training(epochs=2, batch=64, checkpoint_seconds=0)
        return train(model, objective, source, training, compute=FP32, checkpoint=checkpoint).model.state_dict()

    whole, checkpoint = trained(Elbo()), Checkpoint(tmp_path / "checkpoint", {})
    with pytest.raises(Stop):
        trained(Stopping(), checkpoint)
    resumed = trained(Elbo(), checkpoint)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


STATUS = Path("/proc/self/status")
PEAK = """
import sys
import torch
from vaebench.data.blocks import Blocks
from vaebench.data.draws import epoch_batches
def peak():  # ru_maxrss of a process begins with that of the one that started it
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
before = peak()
source = Blocks(sys.argv[1])
for rows in epoch_batches(source, 128, (0, 0)):
    source.batch(rows)
print((peak() - before) / 1024)
"""


def _peak(path):
    run = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    return float(run.stdout)


@pytest.mark.skipif(not STATUS.exists(), reason="a process's peak memory is read from /proc/self/status")
def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for images in (100_000, 400_000):
        path = tmp_path / f"{images}.npy"
        np.lib.format.open_memmap(path, "w+", np.uint8, (images, 1, 28, 28))  # holes: no disk is filled
        peaks.append(_peak(path))
    assert 1 < peaks[1] < 100  # MB, of a file of 314; the buffer alone is more than 1
    assert peaks[1] - peaks[0] < 12  # a huge page or two of the system's choice come and go


def test_the_order_of_an_epoch_is_generated_lazily(tmp_path):
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (1_000_000, 1, 28, 28))
    source = Blocks(tmp_path / "x.npy")
    tracemalloc.start()
    count = sum(len(rows) for rows in epoch_batches(source, 128, (0, 0)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1_000_000
    assert peak < 1e6  # bytes; every row's number at once would be 8 million


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 2, 2), np.uint8), "array"),
        (np.zeros((4, 1, 2, 2), np.float64), "float64"),
        (np.asfortranarray(np.zeros((4, 3, 2, 2), np.uint8)), "C order"),
        (np.zeros((0, 1, 2, 2), np.uint8), "array"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(VaebenchError, match=message):
        Blocks(tmp_path / "x.npy")


def test_missing_truncated_and_other_files_are_refused(tmp_path, source):
    with pytest.raises(VaebenchError, match="cannot be read"):
        Blocks(tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(VaebenchError, match="cannot be read"):
        Blocks(tmp_path / "text.npy")
    whole = source.path.read_bytes()
    source.path.write_bytes(whole[:-500])
    with pytest.raises(VaebenchError, match="it was truncated"):
        Blocks(source.path)
    with pytest.raises(VaebenchError, match="it was truncated"):
        source.batch(torch.arange(990, 1003))
    source.path.unlink()
    with pytest.raises(VaebenchError, match="restore it"):
        source.batch(torch.arange(10))
