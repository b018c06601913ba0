import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaebench.core.errors import VaebenchError
from vaebench.data.npz import as_pixels, read_npz

GREY = np.random.default_rng(0).integers(0, 256, (12, 8, 6), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 8, 6, 3), np.uint8)
LABELS = np.arange(12) % 3


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "mine.npz", **arrays)
        return tmp_path / "mine.npz"

    return write


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (GREY, (1, 8, 6)),
        (GREY[..., None], (1, 8, 6)),
        (GREY[:, None], (1, 8, 6)),
        (COLOUR, (3, 8, 6)),
        (np.moveaxis(COLOUR, 3, 1), (3, 8, 6)),
        (GREY.astype(np.int64), (1, 8, 6)),
        (GREY / 255, (1, 8, 6)),
        ((GREY / 255).astype(np.float32), (1, 8, 6)),
    ],
)
def test_every_layout_gives_the_same_pixels(save, x, shape):
    train = read_npz(save(x_train=x, y_train=LABELS)).train
    assert train.shape == shape
    expected = GREY[:, None] if shape[0] == 1 else np.moveaxis(COLOUR, 3, 1)
    np.testing.assert_array_equal(train.pixels.numpy(), expected)


def test_booleans_are_black_and_white(save):
    train = read_npz(save(x_train=GREY > 127, y_train=LABELS)).train
    np.testing.assert_array_equal(train.pixels[:, 0].numpy(), (GREY > 127) * 255)


def test_the_test_set_and_the_class_names_are_read(save):
    loaded = read_npz(save(x_train=GREY, y_train=LABELS, x_test=GREY[:2], y_test=[2, 0], class_names=["a", "b", "c"]))
    assert loaded.name == "mine"
    assert loaded.train.classes == ("a", "b", "c")
    assert loaded.test is not None
    assert loaded.test.labels.tolist() == [2, 0]
    assert read_npz(save(x_train=GREY, y_train=LABELS)).test is None


def test_labels_with_gaps_become_class_names(save):
    loaded = read_npz(save(x_train=GREY, y_train=LABELS * 5, x_test=GREY[:1], y_test=[[10]]))
    assert loaded.train.classes == ("0", "5", "10")
    assert loaded.train.labels.tolist() == LABELS.tolist()
    assert loaded.test is not None
    assert loaded.test.labels.tolist() == [2]


STANDARDISED = np.linspace(-0.42, 2.82, GREY.size).reshape(GREY.shape)
NAN = np.where(GREY > 250, np.nan, 0.5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": GREY, "labels": LABELS}, r"has no y_train, only 'x_train', 'labels'; expected"),
        ({"a": GREY}, r"has no x_train and no y_train, only 'a'"),
        ({"x_train": GREY, "y_train": LABELS, "x_test": GREY}, r"has no y_test, only 'x_train', 'y_train', 'x_test'"),
        ({"x_train": GREY, "y_train": LABELS[:7]}, r"x_train has 12 images but y_train has 7 labels"),
        ({"x_train": STANDARDISED, "y_train": LABELS}, r"x_train has pixels from -0\.42 to 2\.82"),
        ({"x_train": GREY.astype(float), "y_train": LABELS}, r"pixels from 0 to 255; expected floats from 0 to 1"),
        ({"x_train": GREY.astype(int) - 3, "y_train": LABELS}, r"pixels from -3 to 252; expected integers"),
        ({"x_train": GREY.astype(int) * 257, "y_train": LABELS}, r"pixels from 0 to 6\.5\d+e\+04"),
        ({"x_train": np.uint8(9) < GREY, "y_train": LABELS * 1.0}, r"y_train is float64; expected integers"),
        ({"x_train": (GREY > 9).astype(np.uint8), "y_train": LABELS}, r"uint8 with no pixel above 1"),
        ({"x_train": NAN, "y_train": LABELS}, r"x_train has pixels that are NaN"),
        ({"x_train": np.full(GREY.shape, -np.inf), "y_train": LABELS}, r"NaN or infinite"),
        ({"x_train": GREY, "y_train": LABELS - 1}, r"y_train has label -1"),
        ({"x_train": GREY, "y_train": LABELS.astype(str)}, r"y_train is <U"),
        ({"x_train": GREY, "y_train": np.eye(12, dtype=int)}, r"y_train has shape \(12, 12\)"),
        ({"x_train": GREY.reshape(12, -1), "y_train": LABELS}, r"x_train has shape \(12, 48\)"),
        ({"x_train": COLOUR[..., :2], "y_train": LABELS}, r"x_train has shape \(12, 8, 6, 2\)"),
        ({"x_train": np.zeros((4, 3, 8, 3), np.uint8), "y_train": LABELS[:4]}, r"shape \(4, 3, 8, 3\)"),
        ({"x_train": GREY[:0], "y_train": LABELS[:0]}, r"has no pixels"),
        ({"x_train": GREY.astype(complex), "y_train": LABELS}, r"x_train is complex128"),
        ({"x_train": GREY, "y_train": LABELS, "class_names": ["a", "b"]}, r"y_train has label 2, but class_names"),
        ({"x_train": GREY, "y_train": LABELS, "class_names": list("abcd")}, r"class 'd' of class_names has no image"),
        ({"x_train": GREY, "y_train": LABELS, "class_names": list("aba")}, r"class_names is \['a', 'b', 'a'\]"),
        ({"x_train": GREY, "y_train": LABELS, "class_names": [1, 2, 3]}, r"class_names is \[1, 2, 3\]"),
        (
            {"x_train": GREY, "y_train": LABELS, "x_test": GREY[:1], "y_test": [7]},
            r"y_test has label 7, which is not in y_train",
        ),
    ],
)
def test_invalid_arrays_are_named_with_their_value(save, arrays, message):
    path = save(**arrays)
    with pytest.raises(VaebenchError, match=message) as caught:
        read_npz(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_python_objects_are_refused(save):
    path = save(x_train=np.array([{}, []], dtype=object), y_train=LABELS)
    with pytest.raises(VaebenchError, match=r"mine\.npz: x_train contains Python objects"):
        read_npz(path)


@pytest.mark.parametrize("body", [b"", b"no zip at all", b"\x93NUMPY\x01\x00"])
def test_other_files_are_named(tmp_path, body):
    path = tmp_path / "mine.npz"
    path.write_bytes(body)
    with pytest.raises(VaebenchError, match=r"mine\.npz is not a complete npz file"):
        read_npz(path)


def test_an_array_that_is_no_npy_is_refused(tmp_path):
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train", b"text")
        archive.writestr("y_train.npy", b"text")
    with pytest.raises(VaebenchError, match=r"mine\.npz"):
        read_npz(path)


def test_a_header_larger_than_memory_is_refused(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (1 << 30, 1 << 20)})
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", head.getvalue())
        archive.writestr("y_train.npy", head.getvalue())
    with pytest.raises(VaebenchError, match=r"mine\.npz: x_train is too large|not a complete npz"):
        read_npz(path)


@given(st.integers(1, 400), st.integers(0, 255))
def test_a_garbled_npz_is_read_or_refused(tmp_path_factory, at, value):
    path = tmp_path_factory.mktemp("npz") / "mine.npz"
    np.savez(path, x_train=GREY[:4], y_train=LABELS[:4])
    body = bytearray(path.read_bytes())
    body[-at] = value
    path.write_bytes(body)
    message = "mine.npz"
    try:
        read_npz(path)
    except VaebenchError as error:
        message = str(error)
    assert "mine.npz" in message


def test_floats_are_rounded_not_truncated():
    x = np.array([0.5 / 255 + 1e-6, 254.4 / 255, 1.0]).reshape(1, 1, 3)
    assert as_pixels(x, "x").flatten().tolist() == [1, 254, 255]
