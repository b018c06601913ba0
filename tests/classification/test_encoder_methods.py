"""Methods on an encoder's features: against independent oracles, and saved and loaded to the same bits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from encoders import digits_for_cnn, trained_cnn, write_cnn
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from vaebench.classification.classifier import Description, ImageClassifier, load_classifier
from vaebench.classification.encoded_images import (
    EncodedFiles,
    build_feature_vae,
    encoded_images,
    standardise_by,
    standardised_source,
)
from vaebench.classification.encoder import EncoderFile
from vaebench.classification.encoder_file import read_encoder
from vaebench.classification.encoder_methods import ALL_METHODS, ENCODER_METHODS
from vaebench.classification.encoder_report import advantage, best_methods, comparison, encoder_sentences
from vaebench.classification.methods import METHODS
from vaebench.core.errors import VaebenchError
from vaebench.core.files import write_arrays
from vaebench.data.draws import balanced_draw
from vaebench.data.images import HIDDEN, Images
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.models.export import to_onnx
from vaebench.models.objectives import Elbo
from vaebench.training.checkpoint import write_tensors
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train

pytest.importorskip("onnxruntime")
ONE_THREAD = Compute(device="cpu", precision="fp32", threads=1)
OWN_RULE = PreprocessingRule(height=8, width=8, channels=1)


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The encoder of a CNN that was trained on all digits, for images that are read at 8 x 8 pixels."""
    folder = tmp_path_factory.mktemp("encoder")
    path = write_cnn(folder / "digits.onnx", trained_cnn(range(10)))
    return read_encoder(EncoderFile(path), folder / "work").for_images(OWN_RULE)


@pytest.fixture(scope="module")
def encoded(checked):
    """Features of 400 digits with a VAE of them."""
    features = checked.encoder.features(digits_for_cnn(slice(400)))
    torch.manual_seed(0)
    training = Training(epochs=10, batch=64)
    vae = train(build_feature_vae(24), Elbo(), standardised_source(features), training, compute=ONE_THREAD).model
    return encoded_images(features, vae)


@pytest.fixture(scope="module")
def with_encoder(context, encoded):
    return replace(context, encoded=encoded)


def draw(truth, each=8):
    rows = balanced_draw(truth, each, (0, 0))
    return rows, truth[rows]


def test_features_are_those_of_the_network_in_torch(checked):
    x = digits_for_cnn(slice(57))
    with torch.no_grad():
        expected = trained_cnn(range(10))((x - 0.5) / 0.25)
    assert float((checked.encoder.features(x) - expected).abs().max()) < 1e-4
    rows = checked.encoder(Images((x * 255).round().to(torch.uint8), torch.full((57,), HIDDEN)))
    np.testing.assert_allclose(rows["features"], expected.numpy(), atol=1e-4)
    assert rows["seconds"].shape == (57,)
    assert (rows["seconds"] > 0).all()


def test_the_encoder_of_a_vae_of_vaebench_is_an_encoder(context, tmp_path):
    path = tmp_path / "vae.onnx"
    example = torch.zeros(2, 1, 8, 8)
    path.write_bytes(to_onnx(context.vae.encoder, example, ["x"], ["raw"]).SerializeToString())
    encoder = read_encoder(EncoderFile(path, (0.0,), (1.0,)), tmp_path / "work").encoder
    x = context.images.batch(torch.arange(60)).x
    with torch.no_grad():
        raw = context.vae.encoder(x)
    assert float((encoder.features(x) - raw).abs().max()) < 1e-4


def test_standardised_features_have_mean_0_and_deviation_1_and_constants_stay():
    features = torch.randn(500, 6) * torch.tensor([1.0, 5.0, 0.5, 2.0, 1.0, 0.0]) + 7
    features[:, 5] = 3.0
    by = standardise_by(features)(features)
    assert_close(by.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    assert_close(by.std(0, correction=0), torch.tensor([1.0] * 5 + [0.0]), atol=1e-4, rtol=0)
    assert standardised_source(features).batch(torch.arange(3)).x.shape == (3, 1, 1, 6)


@pytest.mark.parametrize("name", ENCODER_METHODS)
def test_few_labels_give_more_than_chance_and_permuted_ones_do_not(with_encoder, truth, name):
    rows, labels = draw(truth)
    codes = with_encoder.encoded.codes.mean
    with torch.no_grad():
        correct = ENCODER_METHODS[name].fit(with_encoder, rows, labels, 0)(codes).argmax(1) == truth
        assert correct.float().mean() > 0.85
        wrong = labels[torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))]
        chance = ENCODER_METHODS[name].fit(with_encoder, rows, wrong, 0)(codes).argmax(1) == truth
    hidden = torch.ones(len(truth), dtype=torch.bool)
    hidden[rows] = False
    assert chance[hidden].float().mean() < 0.3


def test_the_linear_probe_predicts_as_scikit_learn(with_encoder, truth):
    rows, labels = draw(truth)
    features = with_encoder.encoded.codes.mean.numpy().astype(np.float64)
    centre, scale = features.mean(0), np.sqrt(np.square(features - features.mean(0)).mean())
    model = LogisticRegression(C=1.0, max_iter=300, tol=1e-3)
    model.fit((features[rows.numpy()] - centre) / scale, labels.numpy())
    with torch.no_grad():
        network = ENCODER_METHODS["encoder-line"].fit(with_encoder, rows, labels, 0)
        predicted = network(with_encoder.encoded.codes.mean).softmax(1)
    expected = torch.from_numpy(model.predict_proba((features - centre) / scale)).float()
    assert_close(predicted, expected, atol=2e-3, rtol=0)


def test_nearest_neighbours_are_weighted_by_distance(with_encoder, truth):
    rows, labels = draw(truth)
    codes = with_encoder.encoded.codes.mean.double()
    distances = torch.cdist(codes, codes[rows]) ** 2
    nearest, places = distances.topk(10, largest=False)
    weights = (-4 * nearest / nearest[:, -1:]).exp()
    scores = torch.zeros(len(codes), 10, dtype=torch.float64).scatter_add_(1, labels[places], weights)
    with torch.no_grad():
        network = ENCODER_METHODS["encoder-neighbours"].fit(with_encoder, rows, labels, 0)
        predicted = network(with_encoder.encoded.codes.mean)
    assert_close(predicted.double() / 10, scores / scores.sum(1, keepdim=True), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["encoder-graph", "encoder-vae-graph"])
def test_a_class_without_a_label_is_not_predicted(with_encoder, truth, name):
    rows = torch.nonzero(truth < 9)[:60, 0]
    with torch.no_grad():
        network = ENCODER_METHODS[name].fit(with_encoder, rows, truth[rows], 0)
        predicted = network(with_encoder.encoded.codes.mean).softmax(1)
    assert float(predicted[:, 9].max()) < 1e-6


def test_many_features_are_projected_before_their_graph_is_built(with_encoder, truth, encoded):
    rotation = torch.linalg.qr(torch.randn(100, 24))[0]
    wide = encoded_images(encoded.codes.mean @ rotation.T, build_feature_vae(100))
    assert wide.projection.weight.shape == (64, 100)
    rows, labels = draw(truth)
    with torch.no_grad():
        network = ENCODER_METHODS["encoder-graph"].fit(replace(with_encoder, encoded=wide), rows, labels, 0)
        few = ENCODER_METHODS["encoder-graph"].fit(with_encoder, rows, labels, 0)
        first, second = network(wide.codes.mean).argmax(1), few(encoded.codes.mean).argmax(1)
    assert (first == second).float().mean() > 0.98  # a rotation keeps all distances


def test_a_worker_loads_the_same_features_and_the_same_vae(encoded, tmp_path):
    files = EncodedFiles(tmp_path / "features.npz", tmp_path / "vae.safetensors")
    write_arrays(files.features, {"features": encoded.codes.mean.numpy()})
    vae = build_feature_vae(24)
    vae.encoder.load_state_dict(encoded.network[1].state_dict())
    write_tensors(files.vae, vae.state_dict(), {})
    loaded = files.load()
    np.testing.assert_array_equal(loaded.latents, encoded.latents)
    rows = torch.tensor([3, 5, 8])
    np.testing.assert_array_equal(loaded.take(rows).latents, encoded.take(rows).latents)


@pytest.mark.parametrize("name", ENCODER_METHODS)
def test_a_saved_classifier_gives_the_same_bits(with_encoder, truth, checked, tmp_path, name):
    rows, labels = draw(truth)
    description = Description(
        format="vaebench image classifier, 2",
        kind="encoder",
        method=ENCODER_METHODS[name].title,
        rule=OWN_RULE,
        classes=tuple(map(str, range(10))),
        model=with_encoder.settings.model,
        temperature=1.5,
        encoder=checked.encoder.description,
    )
    network = ENCODER_METHODS[name].fit(with_encoder, rows, labels, 0)
    classifier = ImageClassifier(description, network, checked.encoder)
    assert classifier.save(tmp_path) is None
    loaded = load_classifier(tmp_path)
    images = Images((digits_for_cnn(slice(300)) * 255).round().to(torch.uint8), torch.full((300,), HIDDEN))
    expected = classifier.probabilities(images)
    assert torch.equal(loaded.probabilities(images), expected)
    features = torch.from_numpy(checked.encoder(images)["features"])
    assert torch.equal(loaded.probabilities_of_features(features), expected)
    assert loaded.encoder.path == tmp_path / "encoder.onnx"
    assert not (tmp_path / "model.onnx").exists()
    assert "encoder.onnx with weights.safetensors" in loaded.without_onnx
    assert (expected.argmax(1) == truth[:300]).float().mean() > 0.8
    loaded.save(tmp_path)  # onto itself
    (tmp_path / "encoder.onnx").write_bytes(b"another")
    with pytest.raises(VaebenchError, match=r"encoder\.onnx does not match model\.json; copy both"):
        load_classifier(tmp_path)
    (tmp_path / "encoder.onnx").unlink()
    with pytest.raises(VaebenchError, match=r"encoder\.onnx cannot be read \(.*\); copy the whole model folder"):
        load_classifier(tmp_path)


def test_titles_and_names_of_all_methods_differ():
    assert not set(METHODS) & set(ENCODER_METHODS)
    assert len({method.title for method in ALL_METHODS.values()}) == len(ALL_METHODS)


@pytest.mark.parametrize(
    ("with_it", "without", "sentence"),
    [
        (90, 60, "The encoder was worth it: linear probe on the encoder's features, the best method with it, is 30.0 "
         "points more accurate than supervised network with augmentation, the best without it (difference +30.0, "),
        (60, 90, "The encoder was not worth it: linear probe on the encoder's features, the best method with it, is "
         "30.0 points less accurate than supervised network with augmentation, the best without it (difference "),
        (81, 80, "These labels do not tell whether the encoder is worth it: linear probe on the encoder's features, "),
    ],
)  # fmt: skip
def test_the_report_says_whether_the_encoder_was_worth_it(with_it, without, sentence):
    from test_selection import selection_of

    order = np.random.default_rng(0).permutation(100)
    correct = {
        "pixel-line": np.arange(100) < 20,
        "supervised": np.arange(100) < without,
        "encoder-line": (np.arange(100) if with_it != 81 else order) < with_it,
        "encoder-graph": np.arange(100) < 30,
    }
    selection = selection_of(correct)
    assert best_methods(selection) == ("encoder-line", "supervised")
    assert comparison(selection).startswith(sentence)
    gap = correct["encoder-line"].astype(float) - correct["supervised"]
    half = 1.96 * gap.std(ddof=1) / 10
    expected = gap.mean(), gap.mean() - half, gap.mean() + half
    np.testing.assert_allclose(advantage(selection), expected, atol=1e-12)
    assert encoder_sentences(None, selection) == []
