"""Images of 16 bits, of floats and of several channels, from files to predictions and ONNX."""

import json

import numpy as np
import pytest
import tifffile
import torch
from miniature import COMPUTE, tiny
from PIL import Image
from sklearn.datasets import load_digits

from vaebench.classification.classifier import load_classifier
from vaebench.classification.job import classify
from vaebench.classification.page import write_page
from vaebench.classification.prediction import predict
from vaebench.cli import main

DIGITS = load_digits()
COUNT = 120


def write(folder, values, suffix="tif", labelled=60):
    """Write images in class folders, all but the first ``labelled`` in ``unlabelled``."""
    for row, array in enumerate(values):
        place = f"digit {DIGITS.target[row]}" if row < labelled else "unlabelled"
        path = folder / place / f"{row:03}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == "tif":
            tifffile.imwrite(path, array, photometric="minisblack", planarconfig="contig" if array.ndim == 3 else None)
        else:
            Image.fromarray(array).save(path)
    return folder


def channels():
    """Five channels of floats in other units, one pixel of each fifth image unknown."""
    one = DIGITS.images[:COUNT].astype(np.float32)
    values = np.stack([100 + one * 20, one * 1e-3, -one, one[:, ::-1] * 7, one.transpose(0, 2, 1) + 5], -1)
    values[::5, 2, 3] = np.nan
    return values


@pytest.fixture(scope="module", params=["channels", "uint16"])
def deep(request, tmp_path_factory):
    """A classification of deep images, and the stored values by file name."""
    torch.set_num_threads(1)
    values = channels() if request.param == "channels" else (DIGITS.images[:COUNT] * 140 + 200).astype(np.uint16)
    folder = write(tmp_path_factory.mktemp("deep") / "images", values)
    result = classify(folder, [], folder.parent / "out", compute=COMPUTE, settings=tiny(COUNT))
    return folder, result, {f"{row:03}.tif": array for row, array in enumerate(values)}


def test_the_rule_is_kept_and_values_keep_their_precision(deep):
    _, result, values = deep
    rule = load_classifier(result.folder / "model").description.rule
    assert rule == result.collection.rule
    assert rule.dtype == np.float32
    stored = np.stack([values[name.rpartition("/")[2]] for name in result.collection.names])
    stored = stored[..., None] if stored.ndim == 3 else stored
    low, high = (np.asarray(each) for each in (rule.low, rule.high))
    expected = np.moveaxis(np.clip((stored - low) / (high - low), 0, 1), 3, 1)
    np.testing.assert_allclose(result.collection.images.pixels.numpy(), expected, atol=1e-5)
    assert len(np.unique(result.collection.images.pixels[0].numpy())) > 10


def test_onnx_takes_stored_values_and_equals_python(deep, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    folder, result, values = deep
    session = runtime.InferenceSession(str(result.onnx))
    names = list(result.collection.names)[:30]
    stored = np.stack([values[name.rpartition("/")[2]] for name in names]).astype(np.float32)
    stored = stored[..., None] if stored.ndim == 3 else stored
    (probabilities,) = session.run(["probabilities"], {"images": stored})
    predicted = result.classifier.predict([folder / name for name in names]).detach()
    assert np.abs(probabilities - predicted.numpy()).max() < 1e-4
    torch.testing.assert_close(predicted, result.probabilities[:30], atol=1e-4, rtol=0)


def test_predict_reads_them_alike(deep):
    folder, result, _ = deep
    predicted = predict(result.folder / "model", folder)
    assert predicted.names == result.collection.names
    torch.testing.assert_close(predicted.probabilities, result.probabilities, atol=1e-5, rtol=0)


def test_the_report_states_the_range_and_the_inspection_is_beside_it(deep):
    _, result, _ = deep
    page = write_page(result).read_text()
    assert ("Channels alone" in page) == (result.collection.rule.channels > 3)
    assert "stored values" in page
    assert (result.folder / "inspection.html").exists()
    assert (
        json.loads((result.folder / "summary.json").read_text())["preprocessing"] == result.collection.rule.description
    )


@pytest.fixture(scope="module")
def shallow(tmp_path_factory):
    """A classification of 8-bit images."""
    torch.set_num_threads(1)
    values = (DIGITS.images[:COUNT] * 15.9).astype(np.uint8)
    folder = write(tmp_path_factory.mktemp("shallow") / "images", values, "png")
    return classify(folder, [], folder.parent / "out", compute=COMPUTE, settings=tiny(COUNT)), values


@pytest.mark.parametrize("factor", [257, 16])
def test_a_model_of_8_bit_images_gives_16_bit_ones_the_same_answers(shallow, tmp_path, factor):
    result, values = shallow
    folder = write(tmp_path / "new", values.astype(np.uint16) * factor, "png")
    predicted = predict(result.folder / "model", folder)
    assert predicted.names == result.collection.names
    if factor == 257:
        torch.testing.assert_close(predicted.probabilities, result.probabilities, atol=1e-5, rtol=0)
    same = (predicted.probabilities.argmax(1) == result.probabilities.argmax(1)).double().mean()
    assert same > 0.97


def test_the_onnx_file_of_8_bit_images_takes_the_high_bits_of_16(shallow, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    result, values = shallow
    deep = values[:20].astype(np.uint16) * 257
    paths = []
    for row, array in enumerate(deep):
        Image.fromarray(array).save(tmp_path / f"{row}.png")
        paths.append(tmp_path / f"{row}.png")
    pixels = np.rint(deep / 257).astype(np.uint8)[..., None]
    (probabilities,) = runtime.InferenceSession(str(result.onnx)).run(["probabilities"], {"images": pixels})
    assert np.abs(probabilities - result.classifier.predict(paths).detach().numpy()).max() < 1e-4


def test_predict_says_which_images_it_converted(shallow, deep, tmp_path, capsys):
    result, values = shallow
    folder = write(tmp_path / "new", values[:4].astype(np.uint16) * 257, "png")
    Image.fromarray(values[5]).save(folder / "unlabelled.png")
    predicted = predict(result.folder / "model", folder)
    (sentence,) = predicted.notes
    assert sentence.startswith("4 images of type uint16, whose white is taken to be 65,535, scaled")
    model = str(result.folder / "model")
    assert main(["predict", model, str(folder), "--out", str(tmp_path / "new.csv")]) == 0
    assert sentence in capsys.readouterr().out
    assert predict(deep[1].folder / "model", deep[0]).notes == ()
