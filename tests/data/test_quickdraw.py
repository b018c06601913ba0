import io

import numpy as np
import pytest

from vaebench.core.errors import VaebenchError
from vaebench.data import official
from vaebench.data.datasets import Data
from vaebench.data.official import DRAWING, DRAWING_HEADER, load_drawings

ROWS = np.random.default_rng(0).integers(0, 256, (3000, DRAWING), np.uint8)


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@pytest.fixture
def cats(served):
    served.files["cat.npy"] = npy(ROWS)
    return served


@pytest.mark.parametrize("ranges", [True, False])
def test_only_the_requested_rows_are_downloaded_and_cached(cats, cache, ranges):
    cats.ranges = ranges
    np.testing.assert_array_equal(load_drawings("cat", 10), ROWS[:10].reshape(10, 28, 28))
    assert cats.requests == [("cat.npy", f"bytes=0-{DRAWING_HEADER + 10 * DRAWING - 1}")]
    cached = np.load(cache / "quickdraw" / "numpy_bitmap" / "cat.npy", allow_pickle=False)
    np.testing.assert_array_equal(cached, ROWS[:10])


def test_fewer_rows_come_from_the_cache_and_more_are_downloaded(cats):
    load_drawings("cat", 10)
    np.testing.assert_array_equal(load_drawings("cat", 5), ROWS[:5].reshape(5, 28, 28))
    assert len(cats.requests) == 1
    np.testing.assert_array_equal(load_drawings("cat", 30), ROWS[:30].reshape(30, 28, 28))
    assert len(cats.requests) == 2


def test_at_most_all_rows_can_be_requested(cats):
    assert len(load_drawings("cat", 3000)) == 3000
    with pytest.raises(VaebenchError, match=r"cat\.npy has 3,000 drawings, but per_class is 3,001"):
        load_drawings("cat", 3001)


def test_errors_and_truncated_bodies_are_retried_and_reported(cats, cache):
    cats.failures = 2
    assert len(load_drawings("cat", 5)) == 5
    cats.sent_fraction = 0.5
    with pytest.raises(VaebenchError, match=r"cat\.npy could not be downloaded.*truncated"):
        load_drawings("cat", 50)
    assert len(np.load(cache / "quickdraw" / "numpy_bitmap" / "cat.npy", allow_pickle=False)) == 5


def test_a_file_shorter_than_its_header_states_is_refused(cats):
    cats.files["cat.npy"] = npy(ROWS)[: 100 + 4 * DRAWING]
    with pytest.raises(VaebenchError, match="truncated"):
        load_drawings("cat", 50)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>" * 500, "not an npy file"),
        (npy(ROWS.astype(np.float32)), "float32"),
        (npy(ROWS[:, :100]), r"shape \(3000, 100\)"),
    ],
)
def test_other_files_are_refused(cats, body, message):
    cats.files["cat.npy"] = body
    with pytest.raises(VaebenchError, match=message):
        load_drawings("cat", 5)


def test_the_message_for_an_unknown_class_links_the_names(served):
    with pytest.raises(VaebenchError, match=r"no class 'kat'; the names are at https://"):
        load_drawings("kat", 5)


@pytest.mark.parametrize("name", ["../cat", "a/b", "", "a\\b", ".."])
def test_a_name_that_is_a_path_is_refused(served, name):
    with pytest.raises(VaebenchError, match="which is not a quickdraw class"):
        load_drawings(name, 5)
    assert served.requests == []


@pytest.fixture
def data_folder(served, tmp_path, monkeypatch):
    folder = tmp_path / "data_folder" / "quickdraw" / "numpy_bitmap"
    folder.mkdir(parents=True)
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "data_folder"))
    return folder


def test_a_local_file_is_used_and_its_size_reported(data_folder, served):
    np.save(data_folder / "coffee cup.npy", ROWS[:20])
    assert len(load_drawings("coffee cup", 20)) == 20
    with pytest.raises(
        VaebenchError, match=r"coffee cup\.npy has 20 drawings, but per_class is 21; set per_class to 20"
    ):
        load_drawings("coffee cup", 21)
    assert served.requests == []


@pytest.mark.parametrize("cut", [0, 5, 60, 1000])
def test_a_damaged_local_file_is_named(data_folder, cut):
    (data_folder / "cat.npy").write_bytes(npy(ROWS)[:cut])
    with pytest.raises(VaebenchError, match=r"numpy_bitmap/cat\.npy is not a complete npy file"):
        load_drawings("cat", 5)


def test_objects_are_not_unpickled(data_folder):
    np.save(data_folder / "cat.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(VaebenchError, match=r"cat\.npy is not a complete npy file"):
        load_drawings("cat", 5)


def test_the_data_set_states_classes_and_counts(cats):
    cats.files["coffee cup.npy"] = npy(ROWS[::-1])
    data = Data(source="quickdraw", classes=("cat", "coffee cup"), per_class=40).load()
    assert data.classes == ("cat", "coffee cup")
    assert data.note == "the first 40 drawings of each of 2 classes: cat, coffee cup"
    assert len(data.train) + len(data.validation) + len(data.test) == 80


def test_ten_classes_and_2000_rows_are_the_default(monkeypatch):
    requests = []
    monkeypatch.setattr(
        official,
        "load_drawings",
        lambda name, count, progress: requests.append((name, count)) or np.zeros((count, 28, 28), np.uint8),
    )
    Data(source="quickdraw").load()
    assert requests == [(name, 2000) for name in official.TEN_DRAWINGS]
