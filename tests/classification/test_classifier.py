"""The kept classifier: the same answers after loading, in ONNX, and for images of any size."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaebench.classification.classifier import load_classifier
from vaebench.classification.predict import predict, write_predicted
from vaebench.core.errors import VaebenchError
from vaebench.training.checkpoint import read_tensors, write_tensors

HOSTILE = '<b>"x",\n.png'


def test_a_loaded_classifier_gives_the_same_bits(found):
    again = load_classifier(found.folder / "model")
    assert again.description == found.classifier.description
    assert torch.equal(again.probabilities(found.collection.images), found.probabilities)


def test_files_pictures_and_arrays_are_answered_alike(found, shared):
    names = found.collection.names[:7]
    paths = [shared.folder / name for name in names]
    pictures = [Image.open(path) for path in paths]
    arrays = [np.asarray(Image.open(path)) for path in paths]
    expected = found.probabilities[:7]
    for images in (paths, pictures, arrays):
        torch.testing.assert_close(found.classifier.predict(images), expected)
    assert found.classifier.predict([]).shape == (0, 10)


def test_images_of_another_size_go_by_the_rule(found):
    large = Image.new("RGB", (300, 100), (200, 200, 200))
    rule = found.classifier.description.rule
    pixels = torch.from_numpy(rule.pixels(large).copy())[None].permute(0, 2, 3, 1)
    assert torch.equal(found.classifier.predict([large]), found.classifier(pixels))


@pytest.mark.parametrize("kind", ["pixel-line", "latent-line", "self-trained"])
def test_onnx_answers_as_torch(bench, truth, tmp_path, kind):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from vaebench.classification.classifier import Description, ImageClassifier
    from vaebench.classification.methods import METHODS
    from vaebench.data.photos import PreprocessingRule

    rows = torch.arange(100)
    network = METHODS[kind].fit(bench, rows, truth[rows], 0)
    names = tuple(f"class {label}" for label in range(10))
    description = Description(
        kind=METHODS[kind].kind,
        method="tested",
        rule=PreprocessingRule(height=8, width=8, channels=1),
        classes=names,
        model=bench.model,
        temperature=1.7,
    )
    classifier = ImageClassifier(description, network)
    path = classifier.save(tmp_path)
    session = runtime.InferenceSession(str(path))
    x = bench.images.batch(rows[:5]).x
    by_hand = (network(x) / 1.7).softmax(1)
    torch.testing.assert_close(classifier.probabilities(bench.images.take(rows[:5])), by_hand)
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 8, 8, 1), np.uint8)
    (found,) = session.run(["probabilities"], {"images": pixels})
    with torch.no_grad():
        expected = classifier(torch.from_numpy(pixels)).numpy()
    assert np.abs(found - expected).max() < 1e-4
    assert session.get_modelmeta().custom_metadata_map["classes"].split("\n") == list(names)
    assert session.run(None, {"images": pixels[:1]})[0].shape == (1, 10)


def test_predict_answers_as_classify_did_and_skips_by_name(found, shared, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    names = found.collection.names[:20]
    for name in names:
        (folder / name).write_bytes((shared.folder / name).read_bytes())
    (folder / HOSTILE).write_bytes((shared.folder / names[0]).read_bytes())
    (folder / "broken.png").write_bytes(b"no image")
    answer = predict(found.folder / "model", folder)
    assert set(answer.names) == {*names, HOSTILE}
    assert list(answer.skipped) == ["broken.png"]
    row = {name: index for index, name in enumerate(found.collection.names)}
    for name, shares in zip(answer.names, answer.probabilities, strict=True):
        torch.testing.assert_close(shares, found.probabilities[row[names[0] if name == HOSTILE else name]])
    write_predicted(tmp_path / "p.csv", answer)
    first = (tmp_path / "p.csv").read_text().splitlines()[0]
    assert first == "file,label,probability,unlike_the_rest"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / "model.json").unlink(), "holds no model.json; expected the model folder"),
        (lambda folder: (folder / "model.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"x"), "is not a whole vaebench file"),
        (lambda folder: edit(folder, "classes", ["only", "two"]), "does not fit"),
        (lambda folder: edit(folder, "kind", "magic"), "kind"),
    ],
)
def test_a_damaged_model_is_told_in_a_sentence(found, tmp_path, harm, told):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (found.folder / "model").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    harm(folder)
    with pytest.raises(VaebenchError, match=told):
        load_classifier(folder)


def edit(folder, key, value):
    values = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(values | {key: value}))


def test_the_command_predicts(found, shared, tmp_path):
    command = [sys.executable, "-m", "vaebench.cli", "predict", found.folder / "model", shared.folder]
    done = subprocess.run([*command, "--out", tmp_path / "p.csv"], capture_output=True, text=True, check=True)
    assert "240 images, " in done.stdout
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 241


@pytest.mark.parametrize("size", [(8, 8), (900, 600)])
def test_the_script_of_the_readme_answers_as_the_classifier(found, tmp_path, monkeypatch, capsys, size):
    pytest.importorskip("onnxruntime")
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    script = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "onnxruntime" in block)
    (tmp_path / "model").symlink_to(found.folder / "model")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_mandelbrot(size, (-2, -1, 1, 1), 50).save(tmp_path / "photo.jpg", exif=exif)
    monkeypatch.chdir(tmp_path)
    exec(script, {})
    (expected,) = found.classifier.predict([tmp_path / "photo.jpg"])
    *name, share = capsys.readouterr().out.split()
    assert " ".join(name) == found.classifier.classes[int(expected.argmax())]
    assert float(share) == pytest.approx(float(expected.max()), abs=1e-4)


@pytest.mark.parametrize("harm", ["other model", "other kind"])
def test_codes_of_another_model_are_told_in_a_sentence(found, shared, tmp_path, harm):
    for path in (found.folder / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    usual = tmp_path / "usual.safetensors"
    if harm == "other kind":
        usual.write_bytes((tmp_path / "weights.safetensors").read_bytes())
    else:
        tensors, _ = read_tensors(usual)
        del tensors["codes"]
        write_tensors(usual, tensors, {})
    with pytest.raises(VaebenchError, match=r"usual.safetensors does not fit model.json"):
        predict(tmp_path, shared.folder)
