import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch

from vaebench.core.errors import VaebenchError
from vaebench.data import official
from vaebench.data.download import Official


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def published(served, name, body):
    served.files[name] = gzip.compress(body, mtime=0)
    return Official("mnist", name, hashlib.md5(served.files[name]).hexdigest(), hashlib.md5(body).hexdigest())


def small_mnist(served, labels=lambda n: np.arange(n) % 10, count=20):
    draw = np.random.default_rng(0)
    arrays = []
    for n in (count, 10):
        arrays += [draw.integers(0, 256, (n, 28, 28), np.uint8), labels(n).astype(np.uint8)]
    return tuple(published(served, f"{i}.gz", idx(array)) for i, array in enumerate(arrays)), arrays


def test_the_idx_files_become_images(served, monkeypatch):
    files, arrays = small_mnist(served)
    monkeypatch.setattr(official, "MNIST", files)
    loaded = official.mnist()
    np.testing.assert_array_equal(loaded.train.pixels[:, 0].numpy(), arrays[0])
    np.testing.assert_array_equal(loaded.test.labels.numpy(), arrays[3])
    assert loaded.train.shape == (1, 28, 28)


@pytest.mark.parametrize("labels", [lambda n: np.arange(n - 1) % 10, lambda n: np.full(n, 11)])
def test_labels_that_do_not_match_the_images_are_refused(served, monkeypatch, labels):
    files, _ = small_mnist(served, labels)
    monkeypatch.setattr(official, "MNIST", files)
    with pytest.raises(VaebenchError, match=r"0\.gz has pixels of shape \(20, 28, 28\) but 1\.gz"):
        official.mnist()


def records(count, seed, label=None):
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 10 if label is None else np.full(count, label)
    body = draw.integers(0, 256, (count, 3072), np.uint8)
    return np.concatenate([labels[:, None].astype(np.uint8), body], axis=1)


@pytest.fixture
def cifar(served, monkeypatch):
    """Records of a small CIFAR-10 archive with the official layout."""
    monkeypatch.setattr(official, "CIFAR_BATCH", 20)
    names = official.CIFAR_TRAIN + official.CIFAR_TEST
    batches = {name: records(20, seed) for seed, name in enumerate(names)}
    served.files[official.CIFAR10.name] = packed({name: batch.tobytes() for name, batch in batches.items()})
    publish(served, monkeypatch)
    return batches


def packed(files, folder="cifar-10-batches-bin"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return out.getvalue()


def publish(served, monkeypatch):
    body = served.files[official.CIFAR10.name]
    monkeypatch.setattr(official, "CIFAR10", Official("cifar-10", official.CIFAR10.name, hashlib.md5(body).hexdigest()))


def check_cifar(loaded, batches):
    whole = np.concatenate([batches[name] for name in official.CIFAR_TRAIN])
    assert loaded.train.shape == (3, 32, 32)
    np.testing.assert_array_equal(loaded.train.labels.numpy(), whole[:, 0])
    # a record is the label, then 1,024 red, 1,024 green and 1,024 blue values, row by row
    assert int(loaded.train.pixels[25, 1, 2, 5]) == int(whole[25, 1 + 1024 + 2 * 32 + 5])
    np.testing.assert_array_equal(loaded.test.pixels.flatten(1).numpy(), batches[official.CIFAR_TEST[0]][:, 1:])


def test_the_binary_archive_becomes_images(cifar, cache):
    check_cifar(official.cifar10(), cifar)
    assert [path.name for path in (cache / "cifar-10").iterdir()] == ["cifar-10-binary.tar.gz"]


def test_the_unpacked_folder_is_accepted(cifar, served, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "cifar-10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, batch in cifar.items():
        (folder / name).write_bytes(batch.tobytes())
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "data"))
    check_cifar(official.cifar10(), cifar)
    assert served.requests == []
    (folder / "data_batch_3.bin").write_bytes(b"short")
    with pytest.raises(VaebenchError, match=r"data_batch_3\.bin has 5 bytes, not 61,460"):
        official.cifar10()
    (folder / "data_batch_3.bin").write_bytes(records(20, 0, label=200).tobytes())
    with pytest.raises(VaebenchError, match="label 200"):
        official.cifar10()
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(VaebenchError, match=r"data_batch_3\.bin cannot be read"):
        official.cifar10()


def test_an_archive_without_a_batch_is_refused(served, monkeypatch, cifar):
    files = {name: batch.tobytes() for name, batch in cifar.items() if name != "data_batch_2.bin"}
    served.files[official.CIFAR10.name] = packed(files)
    publish(served, monkeypatch)
    with pytest.raises(VaebenchError, match=r"data_batch_2\.bin has 0 bytes"):
        official.cifar10()


def test_names_in_the_archive_are_never_used_as_paths(served, monkeypatch, cifar, tmp_path):
    served.files[official.CIFAR10.name] = packed({"data_batch_1.bin": b"x"}, folder="../../evil")
    publish(served, monkeypatch)
    with pytest.raises(VaebenchError, match=r"data_batch_1\.bin has 0 bytes"):
        official.cifar10()
    assert not list(tmp_path.rglob("data_batch*"))


def test_the_digits_keep_their_17_levels():
    pixels = official.digits().train.pixels
    assert torch.unique(pixels).tolist() == [round(level * 255 / 16) for level in range(17)]
    assert pixels.shape == (1797, 1, 8, 8)
