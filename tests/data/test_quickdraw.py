import io

import numpy as np
import pytest

from vaebench.core.errors import VaebenchError
from vaebench.data import quickdraw
from vaebench.data.datasets import Data
from vaebench.data.quickdraw import HEADER, ROW, drawings

ROWS = np.random.default_rng(0).integers(0, 256, (3000, ROW), np.uint8)


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def silent(what, share):
    pass


@pytest.fixture
def cats(served):
    served.files["cat.npy"] = npy(ROWS)
    return served


@pytest.mark.parametrize("ranges", [True, False])
def test_only_the_rows_asked_are_read_and_kept(cats, cache, ranges):
    cats.ranges = ranges
    np.testing.assert_array_equal(drawings("cat", 10, silent), ROWS[:10].reshape(10, 28, 28))
    assert cats.asked == [("cat.npy", f"bytes=0-{HEADER + 10 * ROW - 1}")]
    kept = np.load(cache / "quickdraw" / "numpy_bitmap" / "cat.npy", allow_pickle=False)
    np.testing.assert_array_equal(kept, ROWS[:10])


def test_fewer_rows_come_from_the_cache_and_more_are_fetched(cats):
    drawings("cat", 10, silent)
    np.testing.assert_array_equal(drawings("cat", 5, silent), ROWS[:5].reshape(5, 28, 28))
    assert len(cats.asked) == 1
    np.testing.assert_array_equal(drawings("cat", 30, silent), ROWS[:30].reshape(30, 28, 28))
    assert len(cats.asked) == 2


def test_all_rows_can_be_asked_but_no_more(cats):
    assert len(drawings("cat", 3000, silent)) == 3000
    with pytest.raises(VaebenchError, match=r"cat\.npy holds 3,000 drawings, but 3,001 were asked"):
        drawings("cat", 3001, silent)


def test_errors_and_cut_bodies_are_tried_again_and_said(cats, cache):
    cats.failures = 2
    assert len(drawings("cat", 5, silent)) == 5
    cats.sent_share = 0.5
    with pytest.raises(VaebenchError, match=r"cat\.npy could not be downloaded.*cut short"):
        drawings("cat", 50, silent)
    assert len(np.load(cache / "quickdraw" / "numpy_bitmap" / "cat.npy", allow_pickle=False)) == 5


def test_a_file_shorter_than_its_header_says_is_refused(cats):
    cats.files["cat.npy"] = npy(ROWS)[: 100 + 4 * ROW]
    with pytest.raises(VaebenchError, match="cut short"):
        drawings("cat", 50, silent)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>" * 500, "no npy file"),
        (npy(ROWS.astype(np.float32)), "float32"),
        (npy(ROWS[:, :100]), r"shape \(3000, 100\)"),
    ],
)
def test_what_is_no_bitmap_file_is_refused(cats, body, said):
    cats.files["cat.npy"] = body
    with pytest.raises(VaebenchError, match=said):
        drawings("cat", 5, silent)


def test_an_unknown_class_is_told_where_the_names_are(served):
    with pytest.raises(VaebenchError, match=r"no class 'kat'; the names are at https://"):
        drawings("kat", 5, silent)


@pytest.mark.parametrize("name", ["../cat", "a/b", "", "a\\b", ".."])
def test_a_name_that_could_be_a_path_is_refused(served, name):
    with pytest.raises(VaebenchError, match="which is no quickdraw class"):
        drawings(name, 5, silent)
    assert served.asked == []


@pytest.fixture
def given(served, tmp_path, monkeypatch):
    folder = tmp_path / "given" / "quickdraw" / "numpy_bitmap"
    folder.mkdir(parents=True)
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "given"))
    return folder


def test_a_given_file_is_used_and_says_how_many_it_has(given, served):
    np.save(given / "coffee cup.npy", ROWS[:20])
    assert len(drawings("coffee cup", 20, silent)) == 20
    with pytest.raises(VaebenchError, match=r"coffee cup\.npy holds 20 drawings, but 21 .*per_class to 20"):
        drawings("coffee cup", 21, silent)
    assert served.asked == []


@pytest.mark.parametrize("cut", [0, 5, 60, 1000])
def test_a_damaged_given_file_is_named(given, cut):
    (given / "cat.npy").write_bytes(npy(ROWS)[:cut])
    with pytest.raises(VaebenchError, match=r"numpy_bitmap/cat\.npy is no whole npy file"):
        drawings("cat", 5, silent)


def test_objects_are_not_unpickled(given):
    np.save(given / "cat.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(VaebenchError, match=r"cat\.npy is no whole npy file"):
        drawings("cat", 5, silent)


def test_the_data_set_states_classes_and_counts(cats):
    cats.files["coffee cup.npy"] = npy(ROWS[::-1])
    data = Data(source="quickdraw", classes=("cat", "coffee cup"), per_class=40).load()
    assert data.classes == ("cat", "coffee cup")
    assert data.note == "the first 40 drawings of each of 2 classes: cat, coffee cup"
    assert len(data.train) + len(data.validation) + len(data.test) == 80


def test_ten_classes_and_2000_rows_are_the_default(monkeypatch):
    asked = []
    monkeypatch.setattr(
        quickdraw,
        "drawings",
        lambda name, count, progress: asked.append((name, count)) or np.zeros((count, 28, 28), np.uint8),
    )
    Data(source="quickdraw").load()
    assert asked == [(name, 2000) for name in quickdraw.TEN]
