"""Pixel files: an interrupted write resumes to the same bytes and reads few images twice."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vaebench.data import blocks
from vaebench.data.blocks import read_pixels, write_pixels
from vaebench.data.folder import file_set
from vaebench.data.listing import list_folder
from vaebench.data.preprocessing import PreprocessingRule

RULE = PreprocessingRule(height=6, width=5, channels=1)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Fifty small images, three of them damaged, and the list of opened ones."""
    monkeypatch.setattr(blocks, "CHUNK", 8)
    monkeypatch.setattr("vaebench.data.survey.BLOCK", 4)
    monkeypatch.setattr("vaebench.data.survey.THREADS", 1)
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

    return replace(files, read=read), opened


def stopped_after(files, count):
    """The same files, with KeyboardInterrupt after ``count`` reads."""
    left = iter(range(count))

    def read(parts):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return files.read(parts)

    return replace(files, read=read)


@pytest.mark.parametrize("count", [0, 1, 17, 33, 49])
def test_an_interrupted_write_resumes_to_the_same_bytes(photos, tmp_path, count):
    files, opened = photos
    whole = write_pixels(file_set(files), RULE, tmp_path / "whole.npy")
    opened.clear()
    target = tmp_path / "again.npy"
    with pytest.raises(KeyboardInterrupt):
        write_pixels(file_set(stopped_after(files, count)), RULE, target)
    assert not target.exists()
    before = len(opened)
    assert write_pixels(file_set(files), RULE, target) == whole
    assert target.read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert len(opened) - before <= 50 - max(0, count - 16)
    assert len(read_pixels(target)) == 47
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.npy", "photos", "whole.npy"]


@pytest.mark.parametrize("remaining", [0, 60, 128 + 30 * 7, "longer"])
def test_truncated_files_are_not_trusted(photos, tmp_path, remaining):
    files, _ = photos
    whole = write_pixels(file_set(files), RULE, tmp_path / "whole.npy")
    target = tmp_path / "again.npy"
    with pytest.raises(KeyboardInterrupt):
        write_pixels(file_set(stopped_after(files, 40)), RULE, target)
    part, journal = tmp_path / "again.npy.part", tmp_path / "again.npy.part.jsonl"
    assert part.stat().st_size > 128 + 30 * 8  # something was remaining
    part.write_bytes(part.read_bytes() + bytes(9999) if remaining == "longer" else part.read_bytes()[:remaining])
    journal.write_text(journal.read_text() + '{"done": 4, "na')
    assert write_pixels(file_set(files), RULE, target) == whole
    assert target.read_bytes() == (tmp_path / "whole.npy").read_bytes()


@pytest.mark.parametrize("other", [{"identity": "changed"}, {"rule": RULE.model_copy(update={"width": 4})}])
def test_other_files_or_another_rule_restart_the_write(photos, tmp_path, other):
    files, _ = photos
    with pytest.raises(KeyboardInterrupt):
        write_pixels(file_set(stopped_after(files, 40)), RULE, tmp_path / "x.npy", identity="first")
    Image.new("L", (5, 6), 77).save(tmp_path / "photos" / "00.png")  # the change that the identity stands for
    arguments = {"rule": RULE, "identity": "first"} | other
    written = write_pixels(file_set(files), arguments["rule"], tmp_path / "x.npy", identity=arguments["identity"])
    expected = write_pixels(file_set(files), arguments["rule"], tmp_path / "y.npy")
    assert written == expected
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()
