"""What is read once and kept: warnings that a run on the same images shows, and a reading that continues."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from vaebench.classification import image_store
from vaebench.classification.collection import collect
from vaebench.data.loading import load_images
from vaebench.data.opening import open_images
from vaebench.data.reading import Reading
from vaebench.data.survey import choose_rule, survey
from vaebench.data.survey_files import read_survey, write_survey


def picture(seed, side=20):
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def doubtful(tmp_path):
    """A set with one of each fault: copies under two labels, a class written twice, a rare class, and so on."""
    root = tmp_path / "in"
    for number, (name, count) in enumerate((("boot", 60), ("Boot", 6), ("rare", 2), ("nan", 5))):
        (root / name).mkdir(parents=True)
        for row in range(count):
            picture(1000 * number + row, 20 + row % 2).save(root / name / f"{row:02}.png")
    picture(3).save(root / "rare" / "copy.png")
    picture(3).save(root / "boot" / "copy.png")
    picture(5).resize((21, 20)).save(root / "Boot" / "near.png")
    Image.new("RGB", (20, 20), "red").save(root / "boot" / "flat.png")
    (root / "boot" / "broken.png").write_bytes(b"no image")
    whole = (root / "boot" / "00.png").read_bytes()
    (root / "boot" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "boot" / "notes.txt").write_text("no image")
    return root


def collected(path, folder, labels=()):
    return collect(path, Reading(labels=tuple(map(str, labels))), folder / "run" / "work", lambda task, done: None)


def test_classify_shows_the_warnings_of_run(doubtful, tmp_path):
    expected = load_images(doubtful).warnings
    assert collected(doubtful, tmp_path).warnings == expected
    text = "; ".join(expected)
    for words in (
        "with different labels",
        "look like one class",
        "fewer than 5",
        "very different sizes",
        "missing labels",
    ):
        assert words in text, words
    for words in ("one colour", "1 image left out, for example boot/broken.png", "boot/cut.png: is damaged", ".txt 1"):
        assert words in text, words


def table(path, names, label_of):
    path.write_text("file,label\n" + "".join(f"{name},{label_of(row)}\n" for row, name in enumerate(names)))
    return path


def test_warnings_follow_the_labels_without_reading_again(doubtful, tmp_path, monkeypatch):
    names = [f"boot/{row:02}.png" for row in range(60)]
    good = table(tmp_path / "good.csv", names, lambda row: "ab"[row % 2])
    bad = table(tmp_path / "bad.csv", [*names, "boot/gone.png"], lambda row: "a" if row < 58 else "A")
    assert not any("class" in each for each in collected(doubtful, tmp_path, [good]).warnings)
    monkeypatch.setattr(image_store, "survey", None)
    monkeypatch.setattr(image_store, "write_pixels", None)
    said = "; ".join(collected(doubtful, tmp_path, [bad]).warnings)
    for words in ("look like one class", "A has fewer than 5", "1 labelled file is not among the images read"):
        assert words in said, words
    assert said.count("look like one class") == 1
    page = (tmp_path / "run" / "inspection.html").read_text()
    assert "A has fewer than 5 labelled images" in page
    assert "1 labelled file is not among the images read" in page


def test_an_interrupted_reading_continues_without_another_survey(doubtful, tmp_path, monkeypatch):
    expected = collected(doubtful, tmp_path / "whole")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_store, "write_pixels", interrupt)
        with pytest.raises(KeyboardInterrupt):
            collected(doubtful, tmp_path / "resumed")
    monkeypatch.setattr(image_store, "survey", None)
    resumed = collected(doubtful, tmp_path / "resumed")
    assert resumed.warnings == expected.warnings
    assert resumed.rule == expected.rule
    assert resumed.skipped == expected.skipped
    assert resumed.images.fingerprint() == expected.images.fingerprint()
    files = [sorted(path.name for path in (tmp_path / each / "run").rglob("*")) for each in ("whole", "resumed")]
    assert files[0] == files[1] == ["images.json", "inspection.html", "pixels.npy", "survey.npz", "work"]


def test_a_survey_comes_back_as_it_was_written(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 12, 9, 2))
    for row, each in enumerate(values):
        tifffile.imwrite(
            tmp_path / f"{row}.tif", each.astype(np.float32), photometric="minisblack", planarconfig="contig"
        )
        Image.fromarray(np.full((9, 8), row, np.uint16)).save(tmp_path / f"{row}.png")
        picture(row).save(tmp_path / f"{row}.jpg")
    (tmp_path / "broken.png").write_bytes(b"")
    with open_images(tmp_path) as images:
        seen = survey(images)
    write_survey(tmp_path / "survey.npz", seen)
    read = read_survey(tmp_path / "survey.npz")
    assert read._replace(values=None) == seen._replace(values=None)
    assert read.formats == seen.formats
    assert read.values.keys() == seen.values.keys() == {"grey", "colour", "channels"}
    for kind, arrays in seen.values.items():
        assert [each.dtype for each in read.values[kind]] == [each.dtype for each in arrays]
        for one, other in zip(read.values[kind], arrays, strict=True):
            np.testing.assert_array_equal(one, other)
    assert choose_rule(read) == choose_rule(seen)
