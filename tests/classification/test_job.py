"""classify(): the files that it writes, resuming, errors, and the report."""

import csv
import json
import os

import numpy as np
import pytest
import torch
from miniature import COMPUTE, EACH, tiny
from PIL import Image

from vaebench.classification import collection, job, steps
from vaebench.classification.classifier import ImageClassifier, load_classifier
from vaebench.classification.cross_validation import FIRST_FOLDS
from vaebench.classification.job import classify
from vaebench.classification.methods import TEMPERATURE
from vaebench.classification.outliers import OutlierDetector
from vaebench.classification.page import write_page
from vaebench.classification.selection import FOLDS
from vaebench.cli import main
from vaebench.core.errors import VaebenchError
from vaebench.data import decoding
from vaebench.data.blocks import Blocks
from vaebench.semi_supervised.self_training import SelfTraining


def rows_of(path):
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_every_image_is_predicted_with_a_probability(result, shared):
    rows = rows_of(result.folder / "predictions.csv")
    assert sorted(row["file"] for row in rows) == sorted(shared.truth)
    assert {row["label"] for row in rows} <= set(shared.truth.values())
    for row, probabilities in zip(rows, result.probabilities, strict=True):
        assert float(row["probability"]) == pytest.approx(float(probabilities.max()), abs=1e-4)
    given = [row for row in rows if row["given"]]
    assert len(given) == 10 * EACH
    assert all(row["given"] == shared.truth[row["file"]] for row in given)


def test_the_interval_contains_the_true_accuracy(result, shared):
    correct = [label == shared.truth[name] for label, name in zip(result.labels, result.collection.names, strict=True)]
    true = np.mean([correct[row] for row in result.collection.unlabelled_rows.tolist()])
    assert result.selection.expected_accuracy.low <= true <= result.selection.expected_accuracy.high


def test_images_to_label_next_are_unlabelled_and_their_labels_empty(result):
    rows = rows_of(result.folder / "to-label-next.csv")
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    given = {result.collection.names[row] for row in result.collection.labelled_rows.tolist()}
    assert not given & {row["file"] for row in rows}
    assert {row["label"] for row in rows} == {""}


def test_pixels_beyond_memory_are_read_from_the_disk_in_blocks(shared, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(steps, "IN_MEMORY", 1000)
    monkeypatch.setattr(steps, "Blocks", lambda path: read.append(path) or Blocks(path, block_bytes=640, window=8))
    result = shared.classify(tmp_path / "out")
    assert read == [tmp_path / "out" / "work" / "pixels.npy"]
    correct = [label == shared.truth[name] for label, name in zip(result.labels, result.collection.names, strict=True)]
    assert np.mean(correct) > 0.6


def test_the_summary_holds_the_numbers(result):
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["images"] == 240
    assert sum(summary["predicted_counts"].values()) == 240
    assert summary["expected_accuracy"]["accuracy"] == pytest.approx(result.selection.expected_accuracy.accuracy)
    assert [row["title"] for row in summary["methods"] if row["selected"]] == [result.method]
    assert "240 images" in repr(result)


def test_more_labels_keep_the_vae_and_the_same_call_trains_nothing(files, tmp_path, monkeypatch):
    first = files.classify(tmp_path / "out")
    more = tmp_path / "more.csv"
    asked = rows_of(tmp_path / "out" / "to-label-next.csv")[:5]
    more.write_text("rank,file,label\n" + "".join(f"{r['rank']},{r['file']},{files.truth[r['file']]}\n" for r in asked))
    fitted = []
    fit = SelfTraining.fit
    monkeypatch.setattr(SelfTraining, "fit", lambda self, *args: fitted.append(1) or fit(self, *args))
    monkeypatch.setattr(
        "vaebench.experiments.networks.train", lambda *args, **kwargs: pytest.fail("the VAE was trained again")
    )
    with monkeypatch.context() as nothing:
        nothing.setattr(OutlierDetector, "statistics", lambda *args: pytest.fail("outliers were computed again"))
        nothing.setattr(ImageClassifier, "probabilities", lambda *args: pytest.fail("all were classified again"))
        again = files.classify(tmp_path / "out")
    assert torch.equal(again.probabilities, first.probabilities)
    np.testing.assert_array_equal(again.outlier_scores, first.outlier_scores)
    assert fitted == []
    second = files.classify(tmp_path / "out", [files.labels, more])
    assert len(second.collection.labelled_rows) == len(first.collection.labelled_rows) + 5
    assert not torch.equal(second.probabilities, first.probabilities)
    assert len(fitted) >= len(FIRST_FOLDS)


def test_when_all_are_labelled_no_page_asks_for_labels(files, tmp_path):
    out = tmp_path / "out"
    write_page(files.classify(out))
    assert (out / "label.html").exists()
    every = tmp_path / "every.csv"
    every.write_text("file,label\n" + "".join(f"{name},{label}\n" for name, label in files.truth.items()))
    result = files.classify(out, [every])
    write_page(result)
    assert not len(result.to_label_next)
    assert not (out / "label.html").exists()
    assert not (out / "to-label-next.png").exists()
    assert rows_of(out / "to-label-next.csv") == []


def with_few_labels(files, tmp_path, count, classes):
    """A table with ``count`` labels of each of these classes, and all labels of the others."""
    lines = files.labels.read_text().splitlines()
    few = {name: [line for line in lines if line.endswith(f",{name}")][count:] for name in classes}
    dropped = {line for each in few.values() for line in each}
    (tmp_path / "few.csv").write_text("\n".join(line for line in lines if line not in dropped) + "\n")
    return [tmp_path / "few.csv"]


def test_too_few_labels_are_reported(files, tmp_path):
    classes = [f"digit {number}" for number in range(9)]
    result = files.classify(tmp_path / "out", with_few_labels(files, tmp_path, 4, classes))
    assert result.selection is None
    page = write_page(result).read_text()
    assert "The accuracy cannot be estimated: a cross-validation needs at least 5 labels of two classes or more" in page
    assert "fewer: digit 0 (4), digit 1 (4), digit 2 (4), digit 3 (4), digit 4 (4), ..." in page
    assert result.method == "semi-supervised VAE"
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["expected_accuracy"] is None
    assert summary["temperature"] == TEMPERATURE > 1
    assert f"temperature scaling by {summary['temperature']:.2f}, fitted on other data sets" in page


def test_a_rare_class_is_named_and_the_others_are_estimated(files, tmp_path):
    result = files.classify(tmp_path / "out", with_few_labels(files, tmp_path, 4, ["digit 3"]))
    labels = result.collection.labels
    rare = result.collection.classes.index("digit 3")
    positions = np.flatnonzero(labels != rare)
    np.testing.assert_array_equal(result.selection.positions, positions)
    assert torch.equal(result.selection.labels, labels[positions])
    assert set(result.selection.folds) == set(range(FOLDS))
    assert "leaves out the classes with fewer than 5 labels: digit 3 (4)." in write_page(result).read_text()
    suspects = result.selection.label_suspects()
    assert all(labels[suspect.position] != rare for suspect in suspects)


def test_labels_of_the_test_part_are_not_fitted_to_and_measure_the_accuracy(files, tmp_path):
    for place, (name, label) in enumerate(sorted(files.truth.items())):
        target = files.folder / ("test" if place % 2 else "train") / label / name
        target.parent.mkdir(exist_ok=True, parents=True)
        os.rename(files.folder / name, target)
    result = files.classify(tmp_path / "out", [])
    collection = result.collection
    assert len(collection.labelled_rows) == len(collection.test_rows) == 120
    assert not set(collection.labelled_rows.tolist()) & set(collection.test_rows.tolist())
    truth = [files.truth[os.path.basename(collection.names[row])] for row in collection.test_rows]
    assert not set(result.to_label_next) & set(collection.test_rows.tolist())
    expected = np.mean([result.labels[row] == label for row, label in zip(collection.test_rows, truth, strict=True)])
    assert result.test_accuracy.accuracy == pytest.approx(expected)
    assert "Accuracy on the 120 labelled images of the part test, which nothing was" in write_page(result).read_text()


def test_one_label_a_class_and_two_classes_are_enough(files, tmp_path):
    labels = tmp_path / "few.csv"
    names = {label: name for name, label in files.truth.items() if label in ("digit 0", "digit 1")}
    labels.write_text("".join(f"{name},{label}\n" for label, name in names.items()))
    result = files.classify(tmp_path / "out", [labels])
    assert result.probabilities.shape == (240, 2)


def test_the_page_escapes_names_and_loads_nothing(files, tmp_path):
    hostile = "<script>alert(1)<script>,\n'\".png"
    name = next(iter(files.truth))
    os.rename(files.folder / name, files.folder / hostile)
    text = files.labels.read_text().replace("digit 1", "<img src=x>")
    (tmp_path / "l.csv").write_text("\n".join(line for line in text.splitlines() if not line.startswith(f"{name},")))
    (files.folder / "&<i>.png").write_bytes(b"broken")
    result = files.classify(tmp_path / "out", [tmp_path / "l.csv"])
    page = write_page(result).read_text()
    for raw in ("<script>alert", "<img src=x>", "<i>.png"):
        assert raw not in page
    assert "&lt;img src=x&gt;" in page
    assert "&amp;&lt;i&gt;.png" in page
    assert "http://" not in page
    assert "https://" not in page
    assert hostile in [row["file"] for row in rows_of(tmp_path / "out" / "predictions.csv")]


def test_a_single_path_of_labels_and_old_arguments(shared, tmp_path):
    events, messages = [], []
    with pytest.warns(FutureWarning) as warned:
        result = shared.classify(tmp_path / "out", str(shared.labels), watch=events.append, tell=messages.append)
    assert len(result.collection.labelled_rows) == 10 * EACH
    assert [str(one.message).partition(";")[0] for one in warned if "classify(" in str(one.message)] == [
        "classify(watch=...) is now classify(callback=...)",
        "classify(tell=...) is now classify(message_callback=...)",
    ]
    assert events
    assert messages[0].startswith("240 images read, 60 of them labelled")


def test_class_folders_beside_an_unlabelled_one(files, tmp_path):
    for place, (name, label) in enumerate(sorted(files.truth.items())):
        target = files.folder / (label if place % 2 else "unlabelled") / name
        target.parent.mkdir(exist_ok=True)
        os.rename(files.folder / name, target)
    result = files.classify(tmp_path / "out", [])
    assert result.collection.classes == tuple(sorted(set(files.truth.values())))
    assert len(result.collection.labelled_rows) == 120


def test_an_npz_with_hidden_labels(tmp_path):
    generator = np.random.default_rng(0)
    y = np.repeat([7, -1, 3], 30)
    x = np.where(y[:, None, None] == 3, 200, 40) + generator.integers(0, 40, (90, 8, 8))
    np.savez(tmp_path / "a.npz", x_train=x.astype(np.uint8), y_train=y)
    result = classify(tmp_path / "a.npz", out=tmp_path / "out", compute=COMPUTE, settings=tiny(90))
    assert result.collection.classes == ("3", "7")
    assert result.labels[:30] == ["7"] * 30
    assert result.labels[60:] == ["3"] * 30
    assert write_page(result).exists()


def test_labels_of_other_images_are_refused(tmp_path, draw):
    for i in range(12):
        draw(tmp_path / "in" / f"{i + 10 if i == 9 else i}.png", seed=i)
    (tmp_path / "l.csv").write_text("9.png,cat\n")
    with pytest.raises(VaebenchError, match="labels none of the 12 images"):
        classify(tmp_path / "in", [tmp_path / "l.csv"], tmp_path / "out", compute=COMPUTE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist; expected a folder, an archive"),
        (["in", "--labels", "gone.csv"], "gone.csv cannot be read"),
        (["in", "--size", "4"], "--size is 4; expected 8 to 512 pixels"),
        (["in", "--size", "x"], "--size is 'x'; expected a whole number above 0"),
        (["in", "more"], "'more' is not expected here; see vaebench classify --help"),
        (["l.csv"], "is a table of file names"),
        (["few"], "has 3 readable images; expected at least 10"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(tmp_path, draw, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    for i in range(12):
        draw(tmp_path / "in" / f"{i}.png", seed=i)
    for i in range(3):
        draw(tmp_path / "few" / "a" / f"{i}.png", seed=i)
    (tmp_path / "l.csv").write_text("0.png,cat\n")
    assert main(["classify", *words]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert message in errors[-1]
    assert errors[-1].startswith("vaebench: ")


def test_a_folder_about_other_images_is_not_overfiles(result, files):
    with pytest.raises(VaebenchError, match=r"holds the classification of .*images; choose another folder \(--out\)"):
        files.classify(result.folder)


def test_beyond_the_pool_all_images_are_still_classified(files, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "POOL", 100)
    result = files.classify(tmp_path / "out")
    assert len(result.probabilities) == 240
    assert result.selection is not None


def test_the_last_steps_report_progress(shared, tmp_path):
    events = []
    shared.classify(tmp_path / "out", callback=events.append)
    for task in ("classifying all images", "encoding all images", "computing outlier scores"):
        notes = [event.note for event in events if event.note.startswith(task)]
        assert notes[-1] == f"{task}, 100% of it done"
    assert events[0].stage == f"listing {shared.folder.name}"


def test_thumbnails_do_not_list_the_folder_again(result, monkeypatch):
    monkeypatch.setattr("os.walk", lambda *args, **kwargs: pytest.fail("listed the folder again"))
    monkeypatch.setattr(collection, "enlarge", lambda *args: pytest.fail("did not read the file"))
    assert [image.size for image in result.collection.thumbnails([0, 5, 9])] == [(96, 96)] * 3


def test_the_command_goes_from_a_folder_to_a_report(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "settings_for", lambda shape, images, labels, name: tiny(images))
    monkeypatch.setattr(job, "candidates", lambda channels: ["gentle"])
    monkeypatch.setattr(job, "Compute", lambda: COMPUTE)
    labels = ["--labels", str(files.labels)]
    assert main(["classify", str(files.folder), *labels, "--out", "out"]) == 0
    output = capsys.readouterr().out
    assert "240 images read, 60 of them labelled in 10 classes" in output
    assert "Estimated time on this machine: 1 minute to the first results" in output
    assert "Expected accuracy: " in output
    assert output.splitlines()[-2:] == ["label more: open out/label.html", "open out/report.html"]
    assert 'href="label.html"' in (tmp_path / "out" / "report.html").read_text()
    with Image.open(tmp_path / "out" / "to-label-next.png") as sheet:
        assert sheet.width > 500


def test_results_are_written_before_networks_are_trained(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "FIRST_RESULTS", 0.0)
    monkeypatch.setattr(SelfTraining, "fit", lambda *args: pytest.fail("a network was trained before the results"))
    seen, messages = [], []

    def stop(result):
        seen.append(result)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared.classify(tmp_path / "out", result_callback=stop, message_callback=messages.append)
    (first,) = seen
    assert not set(first.selection.probabilities) & {"self-trained", "supervised"}
    assert len(rows_of(tmp_path / "out" / "predictions.csv")) == 240
    model = load_classifier(tmp_path / "out" / "model")
    assert torch.equal(model.probabilities(first.collection.images), first.probabilities)


def test_a_hostile_folder_gives_a_correct_summary(files, tmp_path, monkeypatch):
    """Corrupt, huge, tiny, 16-bit, animated, empty files, odd names, links."""
    monkeypatch.setattr(decoding, "PIXEL_LIMIT", 10_000)
    folder, some = files.folder, sorted(files.truth)
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
    result = files.classify(tmp_path / "out")
    assert len(result.collection.names) == 240 + 5
    assert set(result.collection.skipped) == {"corrupt.png", "empty.jpg", "text.gif", "huge.png", "nowhere.png"}
    said = "; ".join(result.collection.warnings)
    for sentence in (
        "1 image with more than 8 bits",
        "1 image with several frames, of which the first is taken",
        "1 image with transparent parts, laid on black",
        "1 file that is no image left out: .txt 1",
    ):
        assert sentence in said
    page = write_page(result).read_text()
    assert "5 image files" in page
    for name in result.collection.skipped:
        assert name in page
    names = [row["file"] for row in rows_of(result.folder / "predictions.csv")]
    assert names == list(result.collection.names)
    assert 'a "quoted", name\nof two lines.png' in names
