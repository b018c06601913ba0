"""Contents of the page: networks with 16-bit weights, numbers, and its size."""

import base64
import hashlib
import json
from importlib.resources import files

import numpy as np
import pytest
import torch
from made import SMALL, made_explorer, reference_network, session
from numpy.testing import assert_allclose
from torch.testing import assert_close

from vaebench.core.errors import VaebenchError
from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import LinearClassifier, Logistic
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.networks import Conv
from vaebench.models.vae import Model
from vaebench.runs.explorer.explorer import Points, quantise, slider_ranges
from vaebench.runs.explorer.networks import decoder_onnx, encoder_onnx, stored_error
from vaebench.training.compute import Compute

RUNTIME = files("vaebench.runs.explorer") / "runtime"


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_stored_networks_agree_with_the_vae(likelihood):
    torch.manual_seed(0)
    vae = Model(latent=3, network=SMALL, likelihood=LIKELIHOODS[likelihood]()).build((1, 6, 5)).eval()
    head = LinearClassifier(torch.randn(4, 3), torch.randn(4))
    codes = torch.randn(7, 3)
    decoder, encoder = decoder_onnx(vae, head), encoder_onnx(vae, (1, 6, 5))
    assert 0 < stored_error(vae, decoder, codes) < 2e-3
    page = {"decoder": decoder, "encoder": encoder}
    import onnxruntime

    run = {name: onnxruntime.InferenceSession(model.SerializeToString()) for name, model in page.items()}
    probabilities = run["decoder"].run(["probabilities"], {"z": codes.numpy()})[0]
    assert_allclose(probabilities, (codes @ head.weight.T + head.bias).softmax(-1), atol=1e-5)
    x = torch.rand(5, 1, 6, 5)
    mean, log_variance = run["encoder"].run(None, {"x": x.numpy()})
    q = vae.posterior(x).base_dist
    assert_allclose(mean, q.loc.detach(), atol=2e-3)
    assert_allclose(log_variance, 2 * q.scale.log().detach(), atol=2e-3)


def test_transposed_convolutions_are_exported_as_such():
    vae = Model(latent=3, network=Conv(filters=(4,), stride=(2,))).build((1, 6, 6)).eval()
    steps = [node.op_type for node in decoder_onnx(vae, None).graph.node]
    assert steps.count("ConvTranspose") == 1
    assert "Col2Im" not in steps


def test_the_error_of_stored_weights_is_measured():
    vae = Model(latent=3, network=SMALL).build((1, 6, 5)).eval()
    decoder = decoder_onnx(vae, None)
    with torch.no_grad():
        list(vae.decoder.parameters())[-1].add_(0.5)
    assert stored_error(vae, decoder, torch.randn(5, 3)) > 0.05


def test_weights_beyond_16_bits_are_refused():
    vae = Model(latent=3, network=SMALL).build((1, 6, 5))
    with torch.no_grad():
        next(vae.decoder.parameters()).fill_(1e5)
    with pytest.raises(VaebenchError, match="above 65,504"):
        decoder_onnx(vae, None)


def test_the_page_of_the_reference_network_has_at_most_8_megabytes():
    explorer = made_explorer(latent=20, count=1797, network=reference_network())
    explorer.points.images[:] = np.roll(explorer.points.images, 1, axis=3)  # as many different images as possible
    page = explorer.html
    assert len(page.encode()) <= 8e6
    page_data = json.loads(page.split('id="page-data">')[1].split("</script>")[0])
    parts = {name: len(page.split(f'id="blob-{name}">')[1].split("<")[0]) for name in ("runtime", "wasm", "sheet-0")}
    parameters = sum(weights.numel() for weights in explorer.vae.parameters())
    rest = len(page.encode()) - sum(parts.values()) - len(json.dumps(page_data))
    assert rest <= 3 * parameters + 60_000  # the page's own scripts and styles


def test_the_vendored_runtime_matches_its_checksums():
    about = json.loads((RUNTIME / "about.json").read_text())
    assert about["package"].startswith("onnxruntime-web ")
    for name, expected in about["sha256"].items():
        assert hashlib.sha256((RUNTIME / name).read_bytes()).hexdigest() == expected
    assert "MIT License" in (RUNTIME / "LICENSE.txt").read_text()


def test_quantised_numbers_are_exact_to_half_a_step():
    values = np.random.default_rng(0).normal(size=(50, 3)) * 7
    step, content = quantise(values)
    assert step == pytest.approx(np.abs(values).max() / 32767)
    assert np.abs(np.frombuffer(content, "<i2").reshape(50, 3) * step - values).max() <= step / 2 * (1 + 1e-9)
    assert quantise(np.zeros(3)) == (1.0, bytes(6))


def test_large_sets_of_colour_images_are_compressed_lossily():
    images = np.random.default_rng(0).integers(0, 256, (400, 3, 48, 48), np.uint8)
    zeros = np.zeros((400, 2), np.float32)
    points = Points(images, zeros, zeros, np.zeros(400, int), zeros)
    assert not points.lossless
    assert len(points.sheets()[0]) < images.nbytes / 2
    assert points.pca()[2].tolist() == [0, 0]


@pytest.mark.parametrize("background", [0, 255])
def test_the_background_is_estimated_from_the_edges(background):
    images = np.full((5, 1, 8, 8), background, np.uint8)
    images[:, :, 1:-1, 1:-1] = 255 - background
    zeros = np.zeros((5, 2), np.float32)
    assert Points(images, zeros, zeros, np.zeros(5, int), zeros).background == background


def test_sliders_cover_all_codes():
    mean = np.array([[0.5, -4.2], [-0.1, 3.9]], np.float32)
    assert slider_ranges(mean).tolist() == [3.0, 4.5]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_weights_of_the_logistic_probe_agree_with_it(classes):
    torch.manual_seed(0)
    codes = Codes(torch.randn(60, 4) * 3 + 1, torch.arange(60) % classes)
    codes.mean[:, 0] += 2 * codes.labels
    centre, scale = codes.centre_and_scale()
    standard = codes.standardised_by(codes)
    probe = Logistic().fit_linear(standard, classes)
    expected = Logistic().fit(standard, classes, 0, Compute(device="cpu"))(standard)
    assert_close(probe(standard), expected, atol=1e-5, rtol=0)
    assert_close(probe.unstandardised(centre, scale)(codes), expected, atol=1e-4, rtol=0)


def test_classes_without_labels_have_no_probability():
    codes = Codes(torch.randn(20, 3), torch.tensor([1, 3] * 10))
    probabilities = Logistic().fit_linear(codes, 5)(codes)
    assert_close(probabilities[:, [0, 2, 4]], torch.zeros(20, 3))
    assert_close(Logistic().fit_linear(Codes(torch.randn(4, 3), torch.full((4,), 2)), 5)(codes)[:, 2], torch.ones(20))


def test_the_page_is_reproducible_to_the_byte():
    first, second = (made_explorer(count=40, latent=3) for _ in range(2))
    assert session(first.html, "decoder") is not None
    assert base64.b64encode(first.html.encode()) == base64.b64encode(second.html.encode())
