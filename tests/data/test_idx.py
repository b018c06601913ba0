import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vaebench.core.errors import VaebenchError
from vaebench.data.official import read_idx


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return header + array.tobytes()


images = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, max_side=5))


@given(images)
def test_a_written_array_is_read(array):
    np.testing.assert_array_equal(read_idx(idx(array), "a"), array)


@given(images, st.data())
def test_a_truncated_file_is_refused(array, data):
    whole = idx(array)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(VaebenchError, match="train-images"):
        read_idx(whole[:cut], "train-images")


@given(st.binary(max_size=64) | st.binary(max_size=60).map(lambda rest: b"\0\0\x08" + rest))
def test_garbage_is_read_or_refused(data):
    message = ""
    try:
        read_idx(data, "a")
    except VaebenchError as error:
        message = str(error)
    assert "\n" not in message


def test_a_length_that_contradicts_the_header_is_reported():
    with pytest.raises(VaebenchError, match=r"x has 24 values, but its header states 240 \(10, 4, 6\)"):
        read_idx(idx(np.zeros((1, 4, 6), np.uint8)).replace(b"\0\0\0\1", b"\0\0\0\x0a", 1), "x")


def test_a_header_of_huge_sides_takes_no_memory():
    with pytest.raises(VaebenchError, match="x has 0 values, but its header states"):
        read_idx(bytes([0, 0, 8, 3]) + b"\xff" * 12, "x")


def test_other_types_are_refused():
    with pytest.raises(VaebenchError, match="0x0d"):
        read_idx(bytes([0, 0, 0x0D, 1, 0, 0, 0, 0]), "x")


@pytest.mark.parametrize("sizes", [(0x40000, 0, 0xFF000000, 0xFFF7), (0,) * 70])
def test_a_header_that_no_array_can_have_is_refused(sizes):
    header = bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
    with pytest.raises(VaebenchError, match="which no array can have"):
        read_idx(header, "images")
