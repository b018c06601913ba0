import os
import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from vaebench.core.errors import VaebenchError
from vaebench.data import official
from vaebench.data.augment import rotate
from vaebench.data.datasets import DATASETS, Data
from vaebench.data.draws import balanced_draw
from vaebench.data.images import ignore_progress
from vaebench.data.loading import load_images

EMBEDDED = ("digits", "sprites")
FILES = {"cifar10": ("cifar-10/cifar-10-binary.tar.gz", "cifar-10/cifar-10-batches-bin")}


def local(*paths):
    """Return the first of these paths in VAEBENCH_DATA; skip the test if there is none: tests never download."""
    root = os.environ.get("VAEBENCH_DATA")
    for path in paths:
        if root and (Path(root) / path).exists():
            return Path(root) / path
    pytest.skip(f"VAEBENCH_DATA is not set or has no {paths[0]}")


@pytest.fixture(scope="module", params=list(DATASETS))
def real(request):
    if request.param not in EMBEDDED:
        local(*FILES.get(request.param, (request.param,)))
    return Data(source=request.param).load()


def test_all_splits_have_all_classes(real):
    for part in (real.train, real.validation, real.test):
        assert part.shape == real.train.shape
        assert part.classes == real.classes
        assert len(torch.unique(part.labels)) == len(real.classes)
    assert real.labelled
    assert int(real.train.pixels.max()) > 250
    assert int(real.train.pixels.min()) == 0


def test_the_validation_fraction_is_a_twelfth(real):
    rest = len(real.train) + len(real.validation)
    assert len(real.validation) / rest == pytest.approx(1 / 12, abs=0.005)


def test_no_row_is_in_two_splits(monkeypatch):
    """The first pixels of every image encode its row, which distinguishes duplicates."""

    def numbered(data, progress):
        loaded = official.digits()
        rows = torch.arange(len(loaded.train))
        loaded.train.pixels[:, 0, 0, 0], loaded.train.pixels[:, 0, 0, 1] = rows // 256, rows % 256
        return loaded

    monkeypatch.setitem(DATASETS, "digits", numbered)
    data = Data().load()
    parts = [data.train, data.validation, data.test]
    rows = [set((256 * p.pixels[:, 0, 0, 0].int() + p.pixels[:, 0, 0, 1]).tolist()) for p in parts]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 1797


def test_the_splits_contain_every_image_once(real):
    """Duplicates are counted; a test set of the source stays unchanged."""
    loaded = DATASETS[real.name](Data(source=real.name), ignore_progress)
    if loaded.test is not None:
        assert real.test.fingerprint() == loaded.test.fingerprint()
    whole = [loaded.train] if loaded.test is None else [loaded.train, loaded.test]
    assert counted(real.train, real.validation, real.test) == counted(*whole)


def counted(*parts):
    return Counter(
        (int(y), row.tobytes()) for part in parts for y, row in zip(part.labels, part.pixels.numpy(), strict=True)
    )


def test_label_draws_are_balanced_and_reproducible(real):
    labels = real.train.labels
    rows = balanced_draw(labels, 5, (0, 3))
    assert torch.equal(rows, balanced_draw(labels, 5, (0, 3)))
    assert not torch.equal(rows, balanced_draw(labels, 5, (0, 4)))
    assert torch.bincount(labels[rows]).tolist() == [5] * len(real.classes)


def test_loading_is_reproducible():
    data = Data(per_class=50, rotation=20.0)
    first, second, other = data.load(), data.load(), data.model_copy(update={"seed": 1}).load()
    for part in ("train", "validation", "test"):
        same = getattr(first, part).fingerprint()
        assert same == getattr(second, part).fingerprint()
        assert same != getattr(other, part).fingerprint()


def test_digits_never_change():
    """Saved runs refer to rows of these splits, so a change would silently shift them."""
    data = Data().load()
    assert (len(data.train), len(data.validation), len(data.test)) == (1318, 120, 359)
    assert data.train.labels[:12].tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9, 0, 1, 3]
    assert data.train.fingerprint() == "1a706e1abdf09f0844089d3faeaea640"
    assert data.test.fingerprint() == "fae47c8b6fb0c566734bd92b630cc66a"


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_local_official_files_have_the_official_checksum(name):
    local(name)
    loaded = DATASETS[name](Data(source=name), ignore_progress)
    assert loaded.train.pixels.shape == (60_000, 1, 28, 28)
    assert loaded.test is not None
    assert loaded.test.pixels.shape == (10_000, 1, 28, 28)


def test_a_damaged_copy_of_fashion_mnist_is_refused(tmp_path, monkeypatch):
    whole = local("fashion-mnist/t10k-labels-idx1-ubyte.gz").read_bytes()
    folder = tmp_path / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    for file in official.FASHION_MNIST:
        (folder / file.name).symlink_to(local("fashion-mnist") / file.name)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(whole[:-2000])
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "data"))
    with pytest.raises(VaebenchError, match=r"t10k-labels-idx1-ubyte\.gz cannot be unpacked"):
        Data(source="fashion-mnist").load()


def test_the_lossless_cifar_subset_and_its_jpeg_copies_match(tmp_path):
    """The peak signal-to-noise ratio of the JPEG copies is about 30 dB."""
    exact = np.load(local("cifar-10/cifar-10-lossless-subset.npz"), allow_pickle=False)
    x, y, names = exact["x_test_first1000"], exact["y_test_first1000"], exact["class_names"]
    np.savez(tmp_path / "exact.npz", x_train=x, y_train=y, class_names=names)
    pixels = Data(source=str(tmp_path / "exact.npz"))._read().train.pixels
    np.testing.assert_array_equal(pixels.numpy(), np.moveaxis(x, 3, 1))
    copies = load_images(_first_test_copies(tmp_path)).train
    order = np.lexsort((np.arange(1000), y))
    error = (copies.pixels.double() - pixels[order].double()).pow(2).mean(dim=(1, 2, 3))
    assert copies.labels.tolist() == y[order].tolist()
    assert float((10 * torch.log10(255**2 / error)).median()) == pytest.approx(30.5, abs=0.5)


def _first_test_copies(tmp_path):
    with (
        zipfile.ZipFile(local("cifar-10/cifar-10-jpeg.zip")) as whole,
        zipfile.ZipFile(tmp_path / "first.zip", "w") as part,
    ):
        for name in whole.namelist():
            if name.startswith("test/") and int(Path(name).stem) < 1000:
                part.writestr(name.removeprefix("test/"), whole.read(name))
    return tmp_path / "first.zip"


def test_classes_are_numbered_in_the_requested_order():
    data = Data(classes=("7", "1"), per_class=30).load()
    assert data.classes == ("7", "1")
    whole = official.digits().train
    parts = [data.train, data.validation, data.test]
    assert sum(map(len, parts)) == 60
    sevens = torch.cat([part.pixels[part.labels == 0] for part in parts]).flatten(1).tolist()
    assert sorted(sevens) == sorted(whole.pixels[whole.labels == 7][:30].flatten(1).tolist())
    assert data.note == "only 7, 1; at most 30 images a class"


@pytest.mark.parametrize("classes", [("7", "eleven"), ("7", "7")])
def test_the_message_for_unknown_classes_lists_the_known_ones(classes):
    with pytest.raises(VaebenchError, match=r"distinct classes of digits: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"):
        Data(classes=classes).load()


def test_classes_of_unlabelled_images_are_refused(tmp_path, draw):
    for i in range(4):
        draw(tmp_path / "flat" / f"{i}.png", seed=i)
    source = str(tmp_path / "flat")
    assert not Data(source=source).load().labelled
    with pytest.raises(VaebenchError, match=r"classes is cat, but the images of .*flat have no labels"):
        Data(source=source, classes=("cat",)).load()


def test_each_image_is_rotated_by_its_own_random_angle():
    still, turned = Data().load(), Data(rotation=45.0).load()
    assert turned.name == "rotated digits"
    assert turned.note == "each image rotated once by up to 45 degrees either way"
    assert torch.equal(turned.test.labels, still.test.labels)
    degrees = torch.from_numpy(np.random.default_rng((0, 0)).uniform(-45, 45, 1797))
    whole = rotate(official.digits().train.pixels, degrees)
    rows = {bytes(row.flatten().tolist()) for row in whole}
    assert all(bytes(row.flatten().tolist()) in rows for row in turned.test.pixels)


@pytest.mark.parametrize(
    ("channels", "mode", "message"), [(3, "L", "grey images for a colour"), (1, "RGB", "colour images for a grey")]
)
def test_channels_must_match_the_recipe(tmp_path, draw, channels, mode, message):
    for i in range(4):
        draw(tmp_path / "mine" / f"{i}.png", seed=i, mode=mode)
    with pytest.raises(VaebenchError, match=rf"mine has {message} recipe \(channels = {channels}\)"):
        Data(source=str(tmp_path / "mine"), channels=channels).load()


def test_parts_of_different_sizes_are_scaled_alike(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=[0, 0, 0, 1, 1, 1], x_test=x[:, :4], y_test=[0] * 6)
    data = Data(source=str(tmp_path / "a.npz")).load()
    assert data.test.shape == data.train.shape == (1, 8, 8)
    assert "images of 8 x 4 to 8 x 8 pixels are scaled to fit 8 x 8" in data.warnings


def test_a_class_too_small_to_split_is_named(tmp_path, draw):
    for name in ("cat/1", "cat/2", "cat/3", "dog/1", "dog/2"):
        draw(tmp_path / "mine" / f"{name}.png")
    with pytest.raises(VaebenchError, match=r"class 'dog' of .*mine has 2 images to split into 3 sets"):
        Data(source=str(tmp_path / "mine")).load()


def test_a_test_set_without_the_selected_classes_is_refused(tmp_path, draw):
    for name in ("train/a/1", "train/a/2", "train/b/1", "train/b/2", "test/a/1"):
        draw(tmp_path / "mine" / f"{name}.png")
    assert len(Data(source=str(tmp_path / "mine")).load().test) == 1
    with pytest.raises(VaebenchError, match="has no test image of b"):
        Data(source=str(tmp_path / "mine"), classes=("b",)).load()


@pytest.mark.parametrize("kind", ["folder", "zip", "npz"])
def test_a_source_can_be_a_folder_a_zip_or_an_npz(tmp_path, draw, kind):
    paths = [draw(tmp_path / "mine" / name / f"{i}.png", seed=i) for name in "ab" for i in range(4)]
    images = load_images(tmp_path / "mine").train
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
            for path in paths:
                archive.write(path, path.relative_to(tmp_path).as_posix())
    if kind == "npz":
        np.savez(tmp_path / "mine.npz", x_train=images.pixels, y_train=images.labels, class_names=["a", "b"])
    source = tmp_path / ("mine" if kind == "folder" else f"mine.{kind}")
    data = Data(source=str(source)).load()
    assert data.name == "mine"
    assert data.classes == ("a", "b")
    assert len(data.train) == 4
    expected = Data(source=str(tmp_path / "mine")).load()
    assert data.train.fingerprint() == expected.train.fingerprint()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("minst", "source is 'minst', .*did you mean 'mnist'.*data sets are digits, mnist, fashion-mnist"),
        ("/no/such/place", "source is '/no/such/place', neither a data set nor an existing path"),
        (__file__, re.escape(f"{__file__} is in no format that is read; expected a folder, an archive")),
    ],
)
def test_an_unknown_source_is_named(source, message):
    with pytest.raises(VaebenchError, match=message):
        Data(source=source).load()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("per_class", 0),
        ("rotation", -1.0),
        ("channels", 17),
        ("test_fraction", 1.0),
        ("validation_fraction", 0.0),
        ("seed", -1),
    ],
)
def test_values_out_of_range_are_refused(field, value):
    with pytest.raises(ValidationError):
        Data(**{field: value})
