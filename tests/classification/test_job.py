"""classify() from a folder to its files: what is written, resumed, refused, and shown."""

import csv
import json
import os

import numpy as np
import pytest
import torch
from miniature import COMPUTE, EACH, tiny
from PIL import Image

from vaebench.classification import job
from vaebench.classification.classifier import ImageClassifier
from vaebench.classification.job import classify
from vaebench.classification.outliers import OutlierDetector
from vaebench.classification.page import write_page
from vaebench.classification.selection import TEMPERATURE
from vaebench.cli import main
from vaebench.core.errors import VaebenchError
from vaebench.data import photos
from vaebench.data.blocks import Blocks
from vaebench.semi_supervised.self_training import SelfTraining


def rows_of(path):
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_every_image_is_predicted_with_a_probability(found, shared):
    rows = rows_of(found.folder / "predictions.csv")
    assert sorted(row["file"] for row in rows) == sorted(shared.truth)
    assert {row["label"] for row in rows} <= set(shared.truth.values())
    for row, shares in zip(rows, found.probabilities, strict=True):
        assert float(row["probability"]) == pytest.approx(float(shares.max()), abs=1e-4)
    given = [row for row in rows if row["given"]]
    assert len(given) == 10 * EACH
    assert all(row["given"] == shared.truth[row["file"]] for row in given)


def test_the_expected_accuracy_is_about_the_true_one(found, shared):
    right = [label == shared.truth[name] for label, name in zip(found.labels, found.collection.names, strict=True)]
    true = np.mean([right[row] for row in found.collection.unlabelled.tolist()])
    assert found.choice.expected.low <= true <= found.choice.expected.high


def test_what_to_label_next_is_unlabelled_and_can_be_filled_in(found):
    rows = rows_of(found.folder / "to-label-next.csv")
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    given = {found.collection.names[row] for row in found.collection.rows.tolist()}
    assert not given & {row["file"] for row in rows}
    assert {row["label"] for row in rows} == {""}


def test_pixels_beyond_memory_are_trained_on_from_the_disk_in_blocks(shared, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(job, "IN_MEMORY", 1000)
    monkeypatch.setattr(job, "Blocks", lambda path: read.append(path) or Blocks(path, block_bytes=640, window=8))
    found = shared.classify(tmp_path / "out")
    assert read == [tmp_path / "out" / "work" / "pixels.npy"]
    right = [label == shared.truth[name] for label, name in zip(found.labels, found.collection.names, strict=True)]
    assert np.mean(right) > 0.6


def test_the_summary_holds_the_numbers(found):
    summary = json.loads((found.folder / "summary.json").read_text())
    assert summary["images"] == 240
    assert sum(summary["predicted"].values()) == 240
    assert summary["expected_accuracy"]["accuracy"] == pytest.approx(found.choice.expected.accuracy)
    assert [row["words"] for row in summary["methods"] if row["chosen"]] == [found.method]
    assert "240 images" in repr(found)


def test_more_labels_keep_the_vae_and_the_same_call_trains_nothing(written, tmp_path, monkeypatch):
    first = written.classify(tmp_path / "out")
    more = tmp_path / "more.csv"
    asked = rows_of(tmp_path / "out" / "to-label-next.csv")[:5]
    more.write_text(
        "rank,file,label\n" + "".join(f"{r['rank']},{r['file']},{written.truth[r['file']]}\n" for r in asked)
    )
    fitted = []
    fit = SelfTraining.fit
    monkeypatch.setattr(SelfTraining, "fit", lambda self, *given: fitted.append(1) or fit(self, *given))
    monkeypatch.setattr(
        "vaebench.experiments.experiment.train", lambda *given, **named: pytest.fail("the VAE was trained again")
    )
    with monkeypatch.context() as nothing:
        nothing.setattr(OutlierDetector, "measures", lambda *given: pytest.fail("what is usual was measured again"))
        nothing.setattr(ImageClassifier, "probabilities", lambda *given: pytest.fail("all were classified again"))
        again = written.classify(tmp_path / "out")
    assert torch.equal(again.probabilities, first.probabilities)
    np.testing.assert_array_equal(again.rarities, first.rarities)
    assert fitted == []
    second = written.classify(tmp_path / "out", [written.labels, more])
    assert len(second.collection.rows) == len(first.collection.rows) + 5
    assert not torch.equal(second.probabilities, first.probabilities)
    assert len(fitted) >= 5


def test_too_few_labels_are_said_to_be_too_few(written, tmp_path):
    labels = tmp_path / "few.csv"
    lines = written.labels.read_text().splitlines()
    labels.write_text("\n".join(line for line in lines if not line.endswith("digit 3")) + "\n" + "\n".join(
        [line for line in lines if line.endswith("digit 3")][:4]
    ))  # fmt: skip
    found = written.classify(tmp_path / "out", [labels])
    assert found.choice is None
    page = write_page(found).read_text()
    assert "Accuracy cannot be estimated from so few labels: digit 3 has 4, and 5 of each class" in page
    assert found.method == "semi-supervised VAE"
    summary = json.loads((found.folder / "summary.json").read_text())
    assert summary["expected_accuracy"] is None
    assert summary["temperature"] == TEMPERATURE > 1
    assert f"logits divided by {summary['temperature']:.2f}, chosen on other data sets" in page


def test_one_label_a_class_and_two_classes_are_enough(written, tmp_path):
    labels = tmp_path / "few.csv"
    names = {label: name for name, label in written.truth.items() if label in ("digit 0", "digit 1")}
    labels.write_text("".join(f"{name},{label}\n" for label, name in names.items()))
    found = written.classify(tmp_path / "out", [labels])
    assert found.probabilities.shape == (240, 2)


def test_the_page_escapes_names_and_asks_for_nothing(written, tmp_path):
    hostile = "<script>alert(1)<script>,\n'\".png"
    name = next(iter(written.truth))
    os.rename(written.folder / name, written.folder / hostile)
    text = written.labels.read_text().replace("digit 1", "<img src=x>")
    (tmp_path / "l.csv").write_text("\n".join(line for line in text.splitlines() if not line.startswith(f"{name},")))
    (written.folder / "&<i>.png").write_bytes(b"broken")
    found = written.classify(tmp_path / "out", [tmp_path / "l.csv"])
    page = write_page(found).read_text()
    for raw in ("<script>alert", "<img src=x>", "<i>.png"):
        assert raw not in page
    assert "&lt;img src=x&gt;" in page
    assert "&amp;&lt;i&gt;.png" in page
    assert "http://" not in page
    assert "https://" not in page
    assert hostile in [row["file"] for row in rows_of(tmp_path / "out" / "predictions.csv")]


def test_class_folders_beside_an_unlabelled_one(written, tmp_path):
    for place, (name, label) in enumerate(sorted(written.truth.items())):
        target = written.folder / (label if place % 2 else "unlabelled") / name
        target.parent.mkdir(exist_ok=True)
        os.rename(written.folder / name, target)
    found = written.classify(tmp_path / "out", [])
    assert found.collection.classes == tuple(sorted(set(written.truth.values())))
    assert len(found.collection.rows) == 120


def test_an_npz_with_hidden_labels(tmp_path):
    generator = np.random.default_rng(0)
    y = np.repeat([7, -1, 3], 30)
    x = np.where(y[:, None, None] == 3, 200, 40) + generator.integers(0, 40, (90, 8, 8))
    np.savez(tmp_path / "a.npz", x_train=x.astype(np.uint8), y_train=y)
    found = classify(tmp_path / "a.npz", out=tmp_path / "out", compute=COMPUTE, settings=tiny(90))
    assert found.collection.classes == ("3", "7")
    assert found.labels[:30] == ["7"] * 30
    assert found.labels[60:] == ["3"] * 30
    assert write_page(found).exists()


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("1.png,cat\n", "the labels name the class 'cat' alone; expected at least 2"),
        ("9.png,cat\n", "labels none of the 12 images"),
    ],
)
def test_labels_that_do_not_do_are_refused(tmp_path, draw, labels, told):
    for i in range(12):
        draw(tmp_path / "in" / f"{i + 10 if i == 9 else i}.png", seed=i)
    (tmp_path / "l.csv").write_text(labels)
    with pytest.raises(VaebenchError, match=told):
        classify(tmp_path / "in", [tmp_path / "l.csv"], tmp_path / "out", compute=COMPUTE)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere does not exist; expected a folder or a .zip of image files"),
        (["in"], "lies in no class folder"),
        (["in", "--labels", "gone.csv"], "gone.csv cannot be read"),
        (["in", "--size", "4"], "--size is 4; expected 8 to 512 pixels"),
        (["in", "--size", "x"], "--size is 'x'; expected a whole number above 0"),
        (["in", "more"], "'more' is not expected here; see vaebench classify --help"),
        (["l.csv"], "neither a folder nor a .zip; expected one of these"),
        (["few"], "has 3 images that can be read; expected at least 10"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(tmp_path, draw, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    for i in range(12):
        draw(tmp_path / "in" / f"{i}.png", seed=i)
    for i in range(3):
        draw(tmp_path / "few" / "a" / f"{i}.png", seed=i)
    (tmp_path / "l.csv").write_text("0.png,cat\n")
    assert main(["classify", *words]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert told in errors[-1]
    assert errors[-1].startswith("vaebench: ")


def test_a_folder_about_other_images_is_not_overwritten(found, written):
    with pytest.raises(VaebenchError, match=r"holds what was found of .*images; choose another folder \(--out\)"):
        written.classify(found.folder)


def test_beyond_the_pool_all_images_are_still_classified(written, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "POOL", 100)
    found = written.classify(tmp_path / "out")
    assert len(found.probabilities) == 240
    assert found.choice is not None


def test_the_last_steps_tell_how_far_they_are(shared, tmp_path):
    told = []
    shared.classify(tmp_path / "out", callback=told.append)
    for words in ("classifying all images", "encoding all images", "looking for images unlike the rest"):
        notes = [tick.note for tick in told if tick.note.startswith(words)]
        assert notes[-1] == f"{words}, 100% of it done"
    assert told[0].stage == f"listing {shared.folder.name}"


def test_pictures_do_not_list_the_folder_again(found, monkeypatch):
    found.collection.__dict__.pop("_bytes", None)
    monkeypatch.setattr("os.walk", lambda *given, **more: pytest.fail("listed the folder again"))
    monkeypatch.setattr(type(found.collection), "_enlarged", lambda *given: pytest.fail("did not read the file"))
    assert [image.size for image in found.collection.thumbnails([0, 5, 9])] == [(96, 96)] * 3


def test_the_command_goes_from_a_folder_to_a_report(written, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "settings_for", lambda shape, images, labels: tiny(images))
    monkeypatch.setattr(job, "Compute", lambda: COMPUTE)
    labels = ["--labels", str(written.labels)]
    assert main(["classify", str(written.folder), *labels, "--out", "out"]) == 0
    told = capsys.readouterr().out
    assert "240 images read, 60 of them labelled in 10 classes" in told
    assert "minutes on this machine" in told
    assert "of the answers to be right" in told
    assert told.splitlines()[-1] == "open out/report.html"
    with Image.open(tmp_path / "out" / "to-label-next.png") as sheet:
        assert sheet.width > 500


def test_a_hostile_folder_is_survived_with_a_right_summary(written, tmp_path, monkeypatch):
    """Corrupt, huge, tiny, 16-bit, animated, empty files, odd names, links."""
    monkeypatch.setattr(photos, "PIXEL_LIMIT", 10_000)
    folder, some = written.folder, sorted(written.truth)
    (folder / "corrupt.png").write_bytes((folder / some[0]).read_bytes()[:60])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.gif").write_text("<html>")
    Image.new("L", (200, 200)).save(folder / "huge.png")
    Image.new("L", (1, 1), 90).save(folder / "tiny.png")
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(folder / "deep.tif")
    Image.new("L", (8, 8)).save(folder / "film.gif", save_all=True, append_images=[Image.new("L", (8, 8), 255)])
    Image.new("LA", (9, 9), (200, 100)).save(folder / 'a "quoted", name\nof two lines.png')
    (folder / "link.png").symlink_to(folder / some[1])
    (folder / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (folder / "loop").symlink_to(folder)
    (folder / "notes.txt").write_text("not an image")
    found = written.classify(tmp_path / "out")
    assert len(found.collection.names) == 240 + 5
    assert set(found.collection.skipped) == {"corrupt.png", "empty.jpg", "text.gif", "huge.png", "nowhere.png"}
    assert found.collection.notes == {
        "more than 8 bits": 1,
        "animated, first frame taken": 1,
        "transparent parts laid on black": 1,
    }
    assert found.collection.others == 1
    page = write_page(found).read_text()
    assert "5 image files" in page
    for name in found.collection.skipped:
        assert name in page
    names = [row["file"] for row in rows_of(found.folder / "predictions.csv")]
    assert names == list(found.collection.names)
    assert 'a "quoted", name\nof two lines.png' in names
