"""classify() with a user's encoder: what is written, what is reused, and what predict makes of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import SIDE, SmallCNN, trained_cnn, write_cnn, write_flatten
from PIL import Image

from vaebench.classification import encoder_steps, file_blocks
from vaebench.classification.classifier import load_classifier
from vaebench.classification.encoder import EncoderFile
from vaebench.classification.encoder_methods import ALL_METHODS, ENCODER_METHODS
from vaebench.classification.encoding import encode_files
from vaebench.classification.page import verdict, write_page
from vaebench.classification.prediction import predict
from vaebench.cli import main
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_arrays
from vaebench.core.local_pool import LocalPool
from vaebench.data.decoding import from_pillow
from vaebench.data.preprocessing import PreprocessingRule

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def strong(tmp_path_factory):
    """An encoder that was trained on all digits, with the images that are classified among them."""
    return write_cnn(tmp_path_factory.mktemp("strong") / "digits.onnx", trained_cnn(range(10)))


@pytest.fixture(scope="module")
def weak(tmp_path_factory):
    """An encoder that gives all images the same features."""
    torch.manual_seed(0)
    network = SmallCNN().eval()
    network.body[0].weight.data.zero_()
    return write_cnn(tmp_path_factory.mktemp("weak") / "constant.onnx", network)


@pytest.fixture(scope="module")
def chosen(shared, strong, tmp_path_factory):
    """A classification that selects a method with the encoder, and its messages."""
    messages = []
    out = tmp_path_factory.mktemp("chosen") / "out"
    return shared.classify(out, encoder=strong, message_callback=messages.append), messages


def accuracy(result, shared):
    names = result.collection.names
    return np.mean([label == shared.truth[name] for label, name in zip(result.labels, names, strict=True)])


def test_a_strong_encoder_is_selected_and_said_to_be_worth_it(chosen, shared, result):
    with_it, messages = chosen
    selection = with_it.selection
    assert set(selection.accuracies) | set(selection.stopped) >= set(ENCODER_METHODS)
    assert {name for name in ALL_METHODS if not ALL_METHODS[name].trains_network} <= set(selection.accuracies)
    assert with_it.selection.method in ENCODER_METHODS
    assert accuracy(with_it, shared) > max(0.95, accuracy(result, shared))
    assert any(line.startswith("encoder digits.onnx: 16 x 16 pixels of 1 channel from 0 to 1") for line in messages)
    assert any(line.startswith("The encoder was worth it: ") for line in verdict(with_it))
    summary = json.loads((with_it.folder / "summary.json").read_text())["encoder"]
    assert summary["best_with"] == with_it.selection.method
    assert summary["difference"]["low"] > 0
    assert summary["images"] == 240
    assert summary["milliseconds_per_image"] == pytest.approx(1000 * summary["seconds"] / 240, abs=1e-2)
    size = (with_it.folder / "model" / "encoder.onnx").stat().st_size
    assert summary["megabytes"] == pytest.approx(size / 1e6, abs=1e-3)
    page = write_page(with_it).read_text()
    assert "The encoder digits.onnx has " in page
    assert "16 x 16 pixels of 1 channel" in page
    assert "(without model.onnx: the classifier reads the features of an encoder" in page


def test_own_methods_are_the_same_with_and_without_an_encoder(chosen, result):
    with_it, without = chosen[0].selection.probabilities, result.selection.probabilities
    cheap = [name for name in without if not ALL_METHODS[name].trains_network]
    assert len(cheap) >= 5
    for name in cheap:
        assert torch.equal(with_it[name], without[name]), name
    np.testing.assert_array_equal(chosen[0].outlier_scores, result.outlier_scores)


def test_features_are_those_of_the_files_at_the_size_of_the_encoder(chosen, shared, strong):
    with_it, _ = chosen
    rule = PreprocessingRule(height=SIDE, width=SIDE, channels=1)
    pixels = [rule.pixels(from_pillow(Image.open(shared.folder / name))) for name in with_it.collection.names]
    x = torch.from_numpy(np.stack(pixels)).float() / 255
    with torch.no_grad():
        expected = trained_cnn(range(10))((x - 0.5) / 0.25).numpy()
    kept = read_arrays(with_it.folder / "work" / "steps" / "encoder" / "features.npz")["features"]
    np.testing.assert_allclose(kept, expected, atol=1e-4)


def test_predict_and_the_loaded_classifier_give_the_bits_of_classify(chosen, shared, tmp_path):
    with_it, _ = chosen
    model = with_it.folder / "model"
    assert json.loads((model / "model.json").read_text())["format"] == "vaebench image classifier, 2"
    predicted = predict(model, shared.folder)
    assert predicted.names == with_it.collection.names
    assert torch.equal(predicted.probabilities, with_it.probabilities)
    np.testing.assert_allclose(predicted.outlier_scores, with_it.outlier_scores, atol=1e-5)
    several = predict(model, shared.folder, executor=LocalPool(2))
    assert torch.equal(several.probabilities, predicted.probabilities)
    files = [shared.folder / name for name in predicted.names[:4]]
    torch.testing.assert_close(load_classifier(model).predict(files), with_it.probabilities[:4])
    assert encode_files(model, shared.folder).mean.shape == (240, 8)


def test_files_of_any_size_are_predicted(chosen, shared, tmp_path):
    with_it, _ = chosen
    name = with_it.collection.names[0]
    with Image.open(shared.folder / name) as image:
        large = image.resize((160, 160), Image.Resampling.NEAREST).convert("RGB")
    large.save(tmp_path / "large.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    predicted = predict(with_it.folder / "model", tmp_path)
    assert predicted.names == ("large.png",)
    assert list(predicted.skipped) == ["broken.png"]
    assert predicted.classes[int(predicted.probabilities[0].argmax())] == shared.truth[name]
    torch.testing.assert_close(with_it.classifier.predict([large]), predicted.probabilities)


def test_the_same_call_encodes_nothing_again(chosen, shared, strong, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    shutil.copytree(chosen[0].folder, folder)
    monkeypatch.setattr(encoder_steps, "process_blocks", lambda *given: pytest.fail("encoded again"))
    monkeypatch.setattr("vaebench.experiments.networks.train", lambda *given, **more: pytest.fail("trained again"))
    again = shared.classify(folder, encoder=strong)
    assert torch.equal(again.probabilities, chosen[0].probabilities)
    assert again.encoder.seconds == chosen[0].encoder.seconds


def test_an_encoder_that_is_of_no_use_is_not_selected_and_not_saved(chosen, shared, weak, result, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(chosen[0].folder, folder)
    again = shared.classify(folder, encoder=weak)
    assert again.selection.method not in ENCODER_METHODS
    assert any(line.startswith("The encoder was not worth it: ") for line in verdict(again))
    assert torch.equal(again.probabilities, result.probabilities)
    model = folder / "model"
    assert not (model / "encoder.onnx").exists()
    stored = json.loads((model / "model.json").read_text())
    assert stored["format"] == "vaebench image classifier, 1"
    assert "encoder" not in stored
    assert torch.equal(load_classifier(model).probabilities(again.collection.images), again.probabilities)


def test_an_interrupted_call_keeps_its_blocks(chosen, shared, strong, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_steps, "BLOCK", 50)
    monkeypatch.setattr(encoder_steps, "LONG", -1.0)
    monkeypatch.setattr(encoder_steps, "available_cores", lambda: 1)
    encoded, process = [], file_blocks.process_block

    def stop_at_third(worker, job, rule, names):
        if len(encoded) == 2:
            raise KeyboardInterrupt
        encoded.append(names)
        return process(worker, job, rule, names)

    with monkeypatch.context() as stopping:
        stopping.setattr(file_blocks, "process_block", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            shared.classify(tmp_path / "out", encoder=strong)
    kept = list((tmp_path / "out" / "work" / "encoder").glob("*/*.npz"))
    assert sorted(path.stem for path in kept) == ["0", "50"]
    asked, blocks = [], encoder_steps.process_blocks

    def spy(job, rule, missing, executor):
        asked.append((list(missing), executor))
        return blocks(job, rule, missing, executor)

    monkeypatch.setattr(encoder_steps, "process_blocks", spy)
    monkeypatch.setattr(encoder_steps, "available_cores", lambda: 2)
    again = shared.classify(tmp_path / "out", encoder=strong)
    assert asked == [([f"block {number} of 5" for number in (3, 4, 5)], LocalPool(2))]
    assert torch.equal(again.probabilities, chosen[0].probabilities)
    assert not list((tmp_path / "out" / "work" / "encoder").glob("*/*.npz"))


def test_two_workers_give_the_bits_of_one(chosen, shared, strong, tmp_path):
    two = shared.classify(tmp_path / "out", encoder=strong, executor=LocalPool(2))
    for name, probabilities in chosen[0].selection.probabilities.items():
        assert torch.equal(two.selection.probabilities[name], probabilities), name
    assert torch.equal(two.probabilities, chosen[0].probabilities)


def test_without_a_cross_validation_the_encoder_is_not_used_and_that_is_said(files, strong, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_steps, "process_blocks", lambda *given: pytest.fail("encoded"))
    labels = tmp_path / "few.csv"
    names = {label: name for name, label in files.truth.items() if label in ("digit 0", "digit 1")}
    labels.write_text("".join(f"{name},{label}\n" for label, name in names.items()))
    messages = []
    result = files.classify(tmp_path / "out", [labels], encoder=strong, message_callback=messages.append)
    assert "the encoder is not used: too few images have labels to compare methods" in messages
    assert "The encoder digits.onnx was not used, as methods cannot be compared." in verdict(result)
    assert json.loads((result.folder / "summary.json").read_text())["encoder"]["images"] == 0


def test_a_file_that_is_gone_before_it_is_encoded_is_named(files, strong, tmp_path, monkeypatch):
    gone = sorted(files.truth)[0]
    real = encoder_steps.process_blocks

    def remove(*given):
        (files.folder / gone).write_bytes(b"")
        return real(*given)

    monkeypatch.setattr(encoder_steps, "process_blocks", remove)
    with pytest.raises(VaebenchError, match=rf"^{gone} can no longer be read: it .*; restore it, or run the same"):
        files.classify(tmp_path / "out", encoder=strong)


def test_an_encoder_is_refused_before_any_image_is_read(shared, tmp_path, monkeypatch):
    monkeypatch.setattr("vaebench.classification.job.collect", lambda *given: pytest.fail("read images"))
    with pytest.raises(VaebenchError, match=r"nothing\.onnx does not exist"):
        shared.classify(tmp_path / "out", encoder=EncoderFile(tmp_path / "nothing.onnx"))


def test_the_command_takes_an_encoder_and_what_its_file_does_not_say(shared, tmp_path, monkeypatch, capsys):
    given = []

    def record(*args, **named):
        given.append(named["encoder"])
        raise VaebenchError("recorded")

    words = ["classify", str(shared.folder), "--labels", str(shared.labels), "--out", str(tmp_path / "out")]
    further = ["--encoder-mean", "0.5,0.25", "--encoder-std=0.25", "--encoder-size", "9"]
    with monkeypatch.context() as recording:
        recording.setattr("vaebench.classification.job.classify", record)
        for more in ([], ["--encoder", "plain.onnx"], ["--encoder", "plain.onnx", *further]):
            assert main([*words, *more]) == 2
    assert given == [
        None,
        EncoderFile(Path("plain.onnx")),
        EncoderFile(Path("plain.onnx"), mean=(0.5, 0.25), std=(0.25,), size=9),
    ]
    capsys.readouterr()
    path = str(write_flatten(tmp_path / "plain.onnx"))
    for more, message in (
        (further, "--encoder-mean, --encoder-std and --encoder-size describe an encoder; give it by --encoder"),
        (["--encoder", path, "--encoder-mean", "grey"], "--encoder-mean is 'grey'; expected numbers separated by"),
        (["--encoder", path, *further[:2]], "--encoder-mean and --encoder-std belong together"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err
