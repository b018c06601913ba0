"""Pixels on the disk: stopped at any image and called again, the same bytes, and hardly an image read twice."""

import numpy as np
import pytest
from PIL import Image

from vaebench.data import pixel_store
from vaebench.data.listing import Files, list_folder
from vaebench.data.photos import PreprocessingRule
from vaebench.data.pixel_store import read_pixels, write_pixels

RULE = PreprocessingRule(height=6, width=5, channels=1)


def silent(what, share):
    pass


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Fifty small images, three of them damaged, and a list of those that were opened."""
    monkeypatch.setattr(pixel_store, "KEPT_EVERY", 8)
    monkeypatch.setattr("vaebench.data.photos.BLOCK", 4)
    monkeypatch.setattr("vaebench.data.photos.THREADS", 1)
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(50):
        pixels = np.random.default_rng(index).integers(0, 256, (6, 5), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    for index in (7, 20, 49):
        (folder / f"{index:02}.png").write_bytes(b"no image")
    files = list_folder(folder, 3)
    opened = []

    def read(parts):
        opened.append(parts[-1])
        return files.read(parts)

    return Files(files.root, files.images, files.folders, read, files.stamp), opened


def stopped_after(files, count):
    """The same files, but Ctrl-C comes at an image."""
    left = iter(range(count))

    def read(parts):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return files.read(parts)

    return Files(files.root, files.images, files.folders, read, files.stamp)


@pytest.mark.parametrize("count", [0, 1, 17, 33, 49])
def test_a_stopped_reading_goes_on_to_the_same_bytes(photos, tmp_path, count):
    files, opened = photos
    whole = write_pixels(files, files.images, RULE, tmp_path / "whole.npy", silent)
    opened.clear()
    target = tmp_path / "again.npy"
    with pytest.raises(KeyboardInterrupt):
        write_pixels(stopped_after(files, count), files.images, RULE, target, silent)
    assert not target.exists()
    before = len(opened)
    assert write_pixels(files, files.images, RULE, target, silent) == whole
    assert target.read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert len(opened) - before <= 50 - max(0, count - 16)
    assert len(read_pixels(target)) == 47
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.npy", "photos", "whole.npy"]


@pytest.mark.parametrize("kept", [0, 60, 128 + 30 * 7, "longer"])
def test_files_cut_by_a_kill_are_not_trusted(photos, tmp_path, kept):
    files, _ = photos
    whole = write_pixels(files, files.images, RULE, tmp_path / "whole.npy", silent)
    target = tmp_path / "again.npy"
    with pytest.raises(KeyboardInterrupt):
        write_pixels(stopped_after(files, 40), files.images, RULE, target, silent)
    part, notes = tmp_path / "again.npy.part", tmp_path / "again.npy.part.jsonl"
    assert part.stat().st_size > 128 + 30 * 8  # something was kept
    part.write_bytes(part.read_bytes() + bytes(9999) if kept == "longer" else part.read_bytes()[:kept])
    notes.write_text(notes.read_text() + '{"done": 4, "na')
    assert write_pixels(files, files.images, RULE, target, silent) == whole
    assert target.read_bytes() == (tmp_path / "whole.npy").read_bytes()


@pytest.mark.parametrize("other", [{"identity": "changed"}, {"rule": RULE.model_copy(update={"width": 4})}])
def test_what_was_begun_for_other_files_or_another_rule_is_begun_anew(photos, tmp_path, other):
    files, _ = photos
    with pytest.raises(KeyboardInterrupt):
        write_pixels(stopped_after(files, 40), files.images, RULE, tmp_path / "x.npy", silent, "first")
    Image.new("L", (5, 6), 77).save(tmp_path / "photos" / "00.png")  # as a changed identity would say
    arguments = {"rule": RULE, "identity": "first"} | other
    found = write_pixels(files, files.images, arguments["rule"], tmp_path / "x.npy", silent, arguments["identity"])
    expected = write_pixels(files, files.images, arguments["rule"], tmp_path / "y.npy", silent)
    assert found == expected
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()
