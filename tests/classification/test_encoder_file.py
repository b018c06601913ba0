"""A user's encoder: what is read from its file, the features that it gives, and files that are refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import FLATTEN, write_flatten, write_graph

from vaebench.classification import encoder as encoder_module
from vaebench.classification.encoder import EncoderFile, OnnxEncoder, load_encoder
from vaebench.classification.encoder_file import read_encoder
from vaebench.classification.encoder_values import IMAGENET
from vaebench.core.errors import VaebenchError
from vaebench.data.preprocessing import PreprocessingRule

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
COLOURS, GREY = ("N", 3, 6, 4), ("N", 1, 8, 8)
PLAIN = {"mean": "0", "std": "1"}


def pixels(count=5, shape=(1, 8, 8)):
    return torch.from_numpy(np.random.default_rng(1).random((count, *shape), np.float32))


def read(path, folder=None, **more):
    return read_encoder(EncoderFile(path, **more), folder or path.parent / "work")


@pytest.mark.parametrize(
    ("metadata", "options", "expected"),
    [
        ({"mean": "[0.1, 0.2, 0.3]", "std": "[0.5, 0.6, 0.7]"}, {}, ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), 0, 1)),
        ({"image_mean": "0.1,0.2,0.3", "image_std": "0.5"}, {}, ((0.1, 0.2, 0.3), (0.5,), 0, 1)),
        ({"standardization_mean": "[0.1]", "standardization_std": "[0.5]"}, {}, ((0.1,), (0.5,), 0, 1)),
        ({"mean": "[127.5]", "std": "[127.5]", "range": "[0, 255]"}, {}, ((127.5,), (127.5,), 0, 255)),
        ({"Image.NominalPixelRange": "Normalized_1_1"}, {}, ((0.0,), (1.0,), -1, 1)),
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, {}, ((0.0,), (1.0,), 0, 255)),
        ({"mean": "[0.9]", "std": "[0.9]"}, {"mean": (0.1,), "std": (0.5,)}, ((0.1,), (0.5,), 0, 1)),
        ({}, {}, (*IMAGENET, 0, 1)),
    ],
)
def test_features_of_the_identity_are_the_normalised_pixels(tmp_path, metadata, options, expected):
    mean, std, low, high = expected
    checked = read(write_flatten(tmp_path / "e.onnx", COLOURS, metadata=metadata), **options)
    x = pixels(shape=(3, 6, 4))
    channels = [torch.tensor(each).view(-1, 1, 1) for each in (mean, std)]
    by_hand = (low + x * (high - low) - channels[0]) / channels[1]
    torch.testing.assert_close(checked.encoder.features(x), by_hand.flatten(1), rtol=1e-5, atol=1e-5)
    assert checked.encoder.rule.shape == (3, 6, 4)
    assert any("ImageNet were assumed" in sentence for sentence in checked.sentences) is not bool(metadata)


def test_blue_comes_first_where_the_file_says_so(tmp_path):
    metadata = {"Image.BitmapPixelFormat": "Bgr8", "mean": "[0.1, 0.2, 0.3]", "std": "[1, 1, 1]"}
    checked = read(write_flatten(tmp_path / "e.onnx", COLOURS, metadata=metadata))
    x = pixels(shape=(3, 6, 4))
    by_hand = x.flip(1) - torch.tensor([0.1, 0.2, 0.3]).view(-1, 1, 1)
    torch.testing.assert_close(checked.encoder.features(x), by_hand.flatten(1))
    assert "blue first" in checked.sentences[0]


def test_mean_and_deviation_of_transformers_beside_the_file(tmp_path):
    path = write_flatten(tmp_path / "model.onnx", COLOURS)
    stored = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stored))
    description = read(path).encoder.description
    assert (description.mean, description.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**stored, "do_normalize": False}))
    description = read(path).encoder.description
    assert (description.mean, description.std) == ((0.0,), (1.0,))
    path = write_flatten(tmp_path / "model.onnx", COLOURS, metadata={"mean": "[0.4]", "std": "[0.4]"})
    assert read(path).encoder.description.mean == (0.4,)


def test_grey_without_metadata_is_taken_from_0_to_1_and_said(tmp_path):
    checked = read(write_flatten(tmp_path / "e.onnx"))
    x = pixels()
    torch.testing.assert_close(checked.encoder.features(x), x.flatten(1))
    assert "e.onnx says no mean and deviation: pixels from 0 to 1 were assumed" in checked.sentences[1]
    assert checked.sentences[0].startswith("encoder e.onnx: 8 x 8 pixels of 1 channel from 0 to 1; 64 features; ")


def test_channels_may_be_last_and_pixels_of_8_bits(tmp_path):
    cast = [("Cast", ["images"], ["floats"], {"to": 1}), ("Flatten", ["floats"], ["features"], {"axis": 1})]
    path = write_graph(tmp_path / "e.onnx", cast, ("N", 6, 4, 3), dtype=onnx.TensorProto.UINT8)
    checked = read(path)
    x = pixels(shape=(3, 6, 4))
    by_hand = (x * 255).round().permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close(checked.encoder.features(x), by_hand)
    assert checked.encoder.description.layout == "NHWC"
    assert len(checked.sentences) == 1


@pytest.mark.parametrize(("kind", "tolerance"), [("FLOAT16", 1e-3), ("DOUBLE", 1e-6)])
def test_floats_of_16_and_64_bits_are_taken(tmp_path, kind, tolerance):
    cast = [("Cast", ["images"], ["floats"], {"to": 1}), ("Flatten", ["floats"], ["features"], {"axis": 1})]
    path = write_graph(tmp_path / "e.onnx", cast, GREY, dtype=getattr(onnx.TensorProto, kind), metadata=PLAIN)
    x = pixels()
    torch.testing.assert_close(read(path).encoder.features(x), x.flatten(1), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("node", "by_hand", "said"),
    [
        (("Reshape", ["images", "tokens"], ["features"], {}), lambda x: x.flatten(2).mean(1), "mean over the tokens"),
        (("Abs", ["images"], ["features"], {}), lambda x: x.mean((2, 3)), "mean over the positions"),
    ],
)
def test_tokens_and_maps_are_averaged(tmp_path, node, by_hand, said):
    weights = [onnx.helper.make_tensor("tokens", onnx.TensorProto.INT64, [3], [0, 3, -1])]
    path = write_graph(tmp_path / "e.onnx", [node], COLOURS, weights=weights, metadata=PLAIN)
    checked, x = read(path), pixels(shape=(3, 6, 4))
    torch.testing.assert_close(checked.encoder.features(x), by_hand(x))
    assert said in checked.sentences[1]


def test_of_several_outputs_the_one_with_a_row_of_features_is_taken(tmp_path):
    nodes = [("Abs", ["images"], ["map"], {}), ("Flatten", ["images"], ["rows"], {"axis": 1})]
    path = write_graph(tmp_path / "e.onnx", nodes, ("N", 1, 8, 8), ("map", "rows"), metadata=PLAIN)
    assert read(path).encoder.description.output == "rows"


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_fixed_number_of_images_is_filled_up(tmp_path, batch):
    encoder = read(write_flatten(tmp_path / "e.onnx", (batch, 1, 8, 8), metadata=PLAIN)).encoder
    x = pixels(21)
    torch.testing.assert_close(encoder.features(x), x.flatten(1))


def test_any_size_and_unnamed_channels_need_the_size_and_are_said(tmp_path):
    path = write_flatten(tmp_path / "e.onnx", ("N", "channels", "height", "width"), metadata=PLAIN)
    with pytest.raises(VaebenchError, match=r"takes images of any size; say which by --encoder-size"):
        read(path)
    checked = read(path, size=12)
    assert checked.encoder.rule.shape == (3, 12, 12)
    assert checked.sentences[1] == "e.onnx does not say how many channels its images have: 3 were assumed"


def test_weights_in_another_file_become_part_of_the_copy(tmp_path):
    table = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    flat = ("Flatten", ["images"], ["flat"], {"axis": 1})
    nodes = [flat, ("MatMul", ["flat", "table"], ["features"], {})]
    weights, saving = (
        [onnx.numpy_helper.from_array(table, "table")],
        {"save_as_external_data": True, "size_threshold": 0},
    )
    saving["location"] = "e.weights"
    path = write_graph(tmp_path / "e.onnx", nodes, ("N", 1, 8, 8), weights=weights, saving=saving, metadata=PLAIN)
    encoder = read(path).encoder
    (tmp_path / "e.weights").unlink()
    x = pixels()
    torch.testing.assert_close(encoder.features(x), x.flatten(1) @ torch.from_numpy(table))
    with pytest.raises(VaebenchError, match=r"^the external data of .*e\.onnx cannot be read .*copy the file of"):
        read(path)


def test_the_kept_encoder_gives_the_same_bits(tmp_path):
    encoder = read(write_flatten(tmp_path / "e.onnx")).encoder
    encoder.describe_in(tmp_path / "work")
    loaded = load_encoder(tmp_path / "work")
    assert loaded == OnnxEncoder(tmp_path / "work" / "encoder.onnx", encoder.description, encoder.rule)
    assert torch.equal(loaded.features(pixels()), encoder.features(pixels()))


SUBTRACT = ("Sub", ["images", "mean"], ["difference"], {})
CENTRED = [
    ("ReduceMean", ["images"], ["mean"], {"axes": [0], "keepdims": 1}),
    SUBTRACT,
    ("Flatten", ["difference"], ["features"], {"axis": 1}),
]
NOISE = [("RandomUniformLike", ["images"], ["mean"], {}), *CENTRED[1:]]
INFINITE = [
    ("Sub", ["images", "images"], ["zero"], {}),
    ("Log", ["zero"], ["log"], {}),
    ("Flatten", ["log"], ["features"], {}),
]
ONE_ROW = [("ReduceMean", ["images"], ["features"], {"axes": [0], "keepdims": 1})]
TWO_INPUTS = [("Add", ["images", "masks"], ["sum"], {}), ("Flatten", ["sum"], ["features"], {})]
UNKNOWN = [("Whiten", ["images"], ["features"], {"domain": "custom"})]


@pytest.mark.parametrize(
    ("nodes", "shape", "settings", "message"),
    [
        (CENTRED, GREY, {}, "gives an image other features among others than alone; export it in evaluation mode"),
        (NOISE, GREY, {}, "gives an image other features when it is encoded again; export it in evaluation mode"),
        (INFINITE, GREY, {}, "gives features that are not finite for pixels 8 x 8"),
        (ONE_ROW, GREY, {}, r"gives features \(1, 1, 8, 8\) for 3 images; expected floats with a row for each image"),
        (TWO_INPUTS, GREY, {"inputs": ("images", "masks")}, r"has 2 inputs \(images, masks\); expected one, of images"),
        (UNKNOWN, GREY, {}, r"cannot be opened by onnxruntime \(.*\); export it again, in evaluation mode"),
        ([FLATTEN], ("N", 64), {}, r"has an input of shape \(N, 64\) and type tensor\(float\); expected images"),
        ([FLATTEN], ("N", 20, 8, 40), {}, r"shape \(N, 20, 8, 40\); expected 1 to 16 channels as second or as last"),
        ([FLATTEN], GREY, {"metadata": {"mean": "[0.1, 0.2]", "std": "[1]"}}, "has 2 numbers; expected 1, one for"),
        ([FLATTEN], COLOURS, {"metadata": {"mean": "[0.1]"}}, r"^std of the metadata of e\.onnx is ''; expected"),
        ([FLATTEN], COLOURS, {"metadata": {"mean": "grey", "std": "1"}}, r"^mean of the metadata of e\.onnx is 'grey'"),
        ([FLATTEN], COLOURS, {"metadata": {"mean": "0", "std": "0"}}, r"^std of the metadata of e\.onnx is 0; exp"),
        ([FLATTEN], COLOURS, {"metadata": {"range": "[0]"}}, r"^range of the metadata of e\.onnx is '\[0\]'; exp"),
    ],
)
def test_a_file_that_is_no_encoder_is_refused_in_one_sentence(tmp_path, nodes, shape, settings, message):
    path = write_graph(tmp_path / "e.onnx", nodes, shape, **{"metadata": PLAIN, **settings})
    with pytest.raises(VaebenchError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert "e.onnx" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; expected an encoder as an ONNX file"),
        (b"", "is not an ONNX file"),
        (b"not a graph at all, but a sentence", "is not an ONNX file"),
        ("folder", "is a folder; expected an encoder as an ONNX file"),
    ],
)
def test_what_is_no_onnx_file_is_refused(tmp_path, content, message):
    path = tmp_path / "e.onnx"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(VaebenchError, match=f"^{re.escape(str(path))} {message}"):
        read(path)


def test_options_that_do_not_fit_the_file_are_refused(tmp_path):
    path = write_flatten(tmp_path / "e.onnx", metadata=PLAIN)
    for options, message in (
        ({"size": 9}, r"--encoder-size is 9; e\.onnx takes images of \(8, 8\) pixels: leave it out"),
        ({"mean": (0.5,)}, "--encoder-mean and --encoder-std belong together"),
        ({"mean": (0.5, 0.5), "std": (1.0,)}, r"mean \(--encoder-mean, --encoder-std\) has 2 numbers; expected 1"),
        ({"mean": (0.5,), "std": (-1.0,)}, r"std \(--encoder-mean, --encoder-std\) is -1; expected numbers above 0"),
    ):
        with pytest.raises(VaebenchError, match=message):
            read(path, **options)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command(tmp_path, monkeypatch, package):
    path = write_flatten(tmp_path / "e.onnx", metadata=PLAIN)
    monkeypatch.setattr(encoder_module, "find_spec", lambda name: name != package)
    with pytest.raises(VaebenchError, match=rf"^an encoder needs {package}; install it with pip install 'vaebench"):
        read(path)


def rule(channels, names=(), **more):
    return PreprocessingRule(height=32, width=32, channels=channels, channel_names=names, **more)


def test_the_rule_of_the_images_takes_the_size_and_channels_of_the_encoder(tmp_path):
    grey = read(write_flatten(tmp_path / "grey.onnx", metadata=PLAIN))
    colour = read(write_flatten(tmp_path / "colour.onnx", COLOURS, metadata=PLAIN))
    five = read(write_flatten(tmp_path / "five.onnx", ("N", 5, 6, 4), metadata=PLAIN))
    deep = rule(1, low=(3.0,), high=(900.0,), unit=4095.0)
    assert colour.for_images(deep).encoder.rule == PreprocessingRule(
        height=6, width=4, channels=3, low=(3.0,) * 3, high=(900.0,) * 3, unit=4095.0
    )
    assert grey.for_images(rule(3)).encoder.rule == PreprocessingRule(height=8, width=8, channels=1)
    names = ("a", "b", "c", "d", "e")
    assert five.for_images(rule(5, names)).encoder.rule.channel_names == names
    with pytest.raises(VaebenchError, match=r"^colour\.onnx takes images of 3 channels, and these have 5; choose an"):
        colour.for_images(rule(5, names))
    with pytest.raises(VaebenchError, match=r"^five\.onnx takes images of 5 channels, and these have 3; choose an"):
        five.for_images(rule(3))


@pytest.mark.filterwarnings("ignore")
def test_the_export_of_the_guide_is_an_encoder(tmp_path):
    pytest.importorskip("onnxscript")
    guide = (Path(__file__).parents[2] / "docs" / "your-images.md").read_text()
    names = {}
    exec(next(block for block in re.findall(r"```python\n(.*?)```", guide, re.S) if "def export(" in block), names)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, 2), torch.nn.BatchNorm2d(5), torch.nn.Flatten())
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    names["export"](network, (3, 8, 8), mean, std, str(tmp_path / "e.onnx"))
    checked = read(tmp_path / "e.onnx")
    x = pixels(30, (3, 8, 8))
    with torch.no_grad():
        expected = network((x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    assert float((checked.encoder.features(x) - expected).abs().max()) < 1e-4
    assert len(checked.sentences) == 1
