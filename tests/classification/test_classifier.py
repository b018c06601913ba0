"""A saved classifier gives the same probabilities after loading, in ONNX, and for images of any size."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaebench.classification.classifier import Description, ImageClassifier, load_classifier
from vaebench.classification.methods import METHODS
from vaebench.classification.outliers import load_outlier_detector
from vaebench.classification.prediction import predict
from vaebench.classification.results import write_predictions
from vaebench.core.errors import VaebenchError
from vaebench.data.decoding import from_pillow
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.deprecated import CLASSIFIER_TENSORS
from vaebench.training.checkpoint import read_tensors, write_tensors

HOSTILE = '<b>"x",\n.png'


def test_a_loaded_classifier_gives_the_same_bits(result):
    loaded = load_classifier(result.folder / "model")
    assert loaded.description == result.classifier.description
    assert torch.equal(loaded.probabilities(result.collection.images), result.probabilities)


def test_files_pillow_images_and_arrays_give_the_same_probabilities(result, shared):
    names = result.collection.names[:7]
    paths = [shared.folder / name for name in names]
    pictures = [Image.open(path) for path in paths]
    arrays = [np.asarray(Image.open(path)) for path in paths]
    expected = result.probabilities[:7]
    for images in (paths, pictures, arrays):
        torch.testing.assert_close(result.classifier.predict(images), expected)
    assert result.classifier.predict([]).shape == (0, 10)


def test_images_of_another_size_are_preprocessed(result):
    large = Image.new("RGB", (300, 100), (200, 200, 200))
    rule = result.classifier.description.rule
    pixels = torch.from_numpy(rule.pixels(from_pillow(large)).copy())[None].permute(0, 2, 3, 1)
    assert torch.equal(result.classifier.predict([large]), result.classifier(pixels))


@pytest.mark.parametrize("kind", ["pixel-line", "latent-line", "self-trained"])
def test_onnx_agrees_with_torch(context, truth, tmp_path, kind):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    rows = torch.arange(100)
    network = METHODS[kind].fit(context, rows, truth[rows], 0)
    names = tuple(f"class {label}" for label in range(10))
    description = Description(
        kind=METHODS[kind].kind,
        method="tested",
        rule=PreprocessingRule(height=8, width=8, channels=1),
        classes=names,
        model=context.settings.model,
        temperature=1.7,
    )
    classifier = ImageClassifier(description, network)
    path = classifier.save(tmp_path)
    session = runtime.InferenceSession(str(path))
    x = context.images.batch(rows[:5]).x
    by_hand = (network(x) / 1.7).softmax(1)
    torch.testing.assert_close(classifier.probabilities(context.images.take(rows[:5])), by_hand)
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 8, 8, 1), np.uint8)
    (probabilities,) = session.run(["probabilities"], {"images": pixels})
    with torch.no_grad():
        expected = classifier(torch.from_numpy(pixels)).numpy()
    assert np.abs(probabilities - expected).max() < 1e-4
    assert session.get_modelmeta().custom_metadata_map["classes"].split("\n") == list(names)
    assert session.run(None, {"images": pixels[:1]})[0].shape == (1, 10)


def test_predict_agrees_with_classify_and_names_skipped_files(result, shared, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    names = result.collection.names[:20]
    for name in names:
        (folder / name).write_bytes((shared.folder / name).read_bytes())
    (folder / HOSTILE).write_bytes((shared.folder / names[0]).read_bytes())
    (folder / "broken.png").write_bytes(b"no image")
    predicted = predict(result.folder / "model", folder)
    assert set(predicted.names) == {*names, HOSTILE}
    assert list(predicted.skipped) == ["broken.png"]
    row = {name: index for index, name in enumerate(result.collection.names)}
    for name, probabilities in zip(predicted.names, predicted.probabilities, strict=True):
        torch.testing.assert_close(probabilities, result.probabilities[row[names[0] if name == HOSTILE else name]])
    write_predictions(tmp_path / "p.csv", predicted)
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0] == "file,label,probability,outlier,outlier_score"
    assert [line.rsplit(",", 2)[1] for line in lines[1:]].count("yes") == predicted.outliers.sum()
    assert float(lines[1].rsplit(",", 1)[1]) == pytest.approx(predicted.outlier_scores[0], abs=0.01)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), "contains no model.json; expected the model folder"),
        (lambda folder: (folder / "model.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"x"), "is not a whole vaebench file"),
        (lambda folder: edit(folder, "classes", ["only", "two"]), "does not match"),
        (lambda folder: edit(folder, "kind", "magic"), "kind"),
    ],
)
def test_a_damaged_model_raises_one_sentence(result, tmp_path, damage, message):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (result.folder / "model").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    damage(folder)
    with pytest.raises(VaebenchError, match=message):
        load_classifier(folder)


def as_version_0_1(folder):
    """Rename the files and tensors of a model folder as vaebench 0.1 wrote them."""
    (folder / "outliers.safetensors").rename(folder / "usual.safetensors")
    tensors, _ = read_tensors(folder / "weights.safetensors")
    old = {new: name for name, new in CLASSIFIER_TENSORS.items()}
    write_tensors(folder / "weights.safetensors", {old.get(name, name): value for name, value in tensors.items()}, {})


@pytest.mark.parametrize("kind", ["pixel-line", "latent-line", "self-trained"])
def test_a_model_of_version_0_1_predicts_the_same(result, shared, context, truth, tmp_path, kind):
    rows = torch.arange(60)
    description = result.classifier.description.model_copy(update={"kind": METHODS[kind].kind})
    network = METHODS[kind].fit(context, rows, truth[rows], 0)
    ImageClassifier(description, network).save(tmp_path)
    shutil.copy(result.folder / "model" / "outliers.safetensors", tmp_path)
    today = predict(tmp_path, shared.folder)
    as_version_0_1(tmp_path)
    old = predict(tmp_path, shared.folder)
    assert torch.equal(old.probabilities, today.probabilities)
    np.testing.assert_array_equal(old.outlier_scores, today.outlier_scores)
    load_outlier_detector(description.model.build(description.shape), tmp_path).save(tmp_path)
    assert not (tmp_path / "usual.safetensors").exists()


def test_old_names_of_the_results_warn(result, shared):
    predicted = predict(result.folder / "model", shared.folder)
    for instance, old, new in [
        (result, "choice", "selection"),
        (result, "unlike", "outliers"),
        (result, "rarities", "outlier_scores"),
        (result, "asked", "to_label_next"),
        (result.selection, "expected", "expected_accuracy"),
        (result.collection, "rows", "labelled_rows"),
        (result.collection, "unlabelled", "unlabelled_rows"),
        (predicted, "unlike", "outliers"),
    ]:
        with pytest.warns(FutureWarning, match=rf"{old} is now {new}; .* removed in vaebench 0\.3"):
            value = getattr(instance, old)
        np.testing.assert_array_equal(value, getattr(instance, new))
    with pytest.warns(FutureWarning, match="suspects is now label_suspects"):
        assert result.selection.suspects() == result.selection.label_suspects()


def test_old_arguments_of_predict_warn(result, shared):
    events = []
    with pytest.warns(FutureWarning, match=r"predict\(watch=...\) is now predict\(callback=...\)"):
        predict(result.folder / "model", shared.folder, watch=events.append)
    assert events[-1].done == 1


def edit(folder, key, value):
    values = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(values | {key: value}))


def test_the_command_predicts(result, shared, tmp_path):
    command = [sys.executable, "-m", "vaebench.cli", "predict", result.folder / "model", shared.folder]
    done = subprocess.run([*command, "--out", tmp_path / "p.csv"], capture_output=True, text=True, check=True)
    assert "240 images, " in done.stdout
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 241


def test_a_single_image_is_a_folder_of_one(result, shared, tmp_path):
    name = result.collection.names[0]
    one = predict(result.folder / "model", shared.folder / name)
    assert one.names == (name,)
    torch.testing.assert_close(one.probabilities, result.probabilities[:1])


@pytest.mark.parametrize("size", [(8, 8), (900, 600)])
def test_the_script_of_the_guide_agrees_with_the_classifier(result, tmp_path, monkeypatch, capsys, size):
    pytest.importorskip("onnxruntime")
    guide = (Path(__file__).parents[2] / "docs" / "your-images.md").read_text()
    script = next(block for block in re.findall(r"```python\n(.*?)```", guide, re.S) if "onnxruntime" in block)
    (tmp_path / "model").symlink_to(result.folder / "model")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_mandelbrot(size, (-2, -1, 1, 1), 50).save(tmp_path / "photo.jpg", exif=exif)
    monkeypatch.chdir(tmp_path)
    exec(script, {})
    (expected,) = result.classifier.predict([tmp_path / "photo.jpg"])
    *name, probability = capsys.readouterr().out.split()
    assert " ".join(name) == result.classifier.classes[int(expected.argmax())]
    assert float(probability) == pytest.approx(float(expected.max()), abs=1e-4)


@pytest.mark.parametrize("damage", ["other model", "other kind"])
def test_an_outlier_detector_of_another_model_raises_one_sentence(result, shared, tmp_path, damage):
    for path in (result.folder / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    detector = tmp_path / "outliers.safetensors"
    if damage == "other kind":
        detector.write_bytes((tmp_path / "weights.safetensors").read_bytes())
    else:
        tensors, _ = read_tensors(detector)
        del tensors["codes"]
        write_tensors(detector, tensors, {})
    with pytest.raises(VaebenchError, match=r"outliers.safetensors does not match model.json"):
        predict(tmp_path, shared.folder)
