"""Unknown pixels: the likelihood of the known ones against loops over pixels, enumeration and an exact evidence."""

import itertools

import pytest
import torch
from exact import Affine
from torch import nn
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from vaebench.core.errors import VaebenchError
from vaebench.data.augment import Augmentation
from vaebench.data.images import Batch, Images
from vaebench.models.adgm import ADGMElbo, ADGMModel
from vaebench.models.classifying_vae import ClassifyingVAE, SelfTrainingLoss
from vaebench.models.likelihoods import LIKELIHOODS, BernoulliPixels, GaussianPixels
from vaebench.models.local_decoder import LocalDecoderModel
from vaebench.models.loss import AttachableObjective, elbo_terms, log_likelihood
from vaebench.models.m2 import M2Elbo, M2Model
from vaebench.models.networks import MLP
from vaebench.models.objectives import OBJECTIVES, CrossEntropy, ImportanceWeighted
from vaebench.models.posteriors import LogVariance
from vaebench.models.vae import VAE, Model

pytestmark = pytest.mark.usefixtures("float64")
SHAPE = (2, 3, 3)
NETWORK = MLP(hidden=(7,))
HOLE = (1, 2, 0)
"""Channel, row and column of a pixel that no image has."""
SEMI_SUPERVISED = {
    "m2": (M2Elbo(), lambda: M2Model(latent=2, network=NETWORK, classifier=NETWORK, features=5).build(SHAPE, 3)),
    "adgm": (ADGMElbo(), lambda: ADGMModel(latent=2, network=NETWORK, features=5).build(SHAPE, 3)),
    "self-training": (
        SelfTrainingLoss(generative=1.0, elbo_fraction=1.0, threshold=0.0),
        lambda: ClassifyingVAE(Model(latent=2, network=NETWORK).build(SHAPE), 3),
    ),
}


def batch_with_holes(count=6):
    x, known = torch.rand(count, *SHAPE), torch.rand(count, *SHAPE) < 0.6
    return Batch(x.where(known, 0.0), torch.arange(count) % 4 - 1, known)


def without_augmentation(objective):
    plain = {"augmentation": Augmentation()} if hasattr(objective, "augmentation") else {}
    return objective.model_copy(update=plain)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_log_likelihood_is_the_sum_over_known_pixels(name):
    batch = batch_with_holes()
    likelihood = LIKELIHOODS[name]()
    p = likelihood(likelihood.last_layer(SHAPE[0])(torch.randn(4, 6, likelihood.outputs * SHAPE[0], *SHAPE[1:])))
    found = log_likelihood(p, batch)
    assert found.shape == (4, 6)
    every = p.base_dist.log_prob(batch.x)
    for sample, image in itertools.product(range(4), range(6)):
        terms = [
            every[sample, image][place] for place in itertools.product(*map(range, SHAPE)) if batch.known[image][place]
        ]
        assert_close(found[sample, image], torch.stack(terms).sum(), atol=1e-12, rtol=0)


def test_leaving_pixels_out_sums_over_all_their_values():
    p = BernoulliPixels()(torch.randn(1, *SHAPE))
    known = torch.ones(1, *SHAPE, dtype=torch.bool)
    hidden = [(0, 0, 0), (0, 1, 2), (1, 2, 2)]
    for place in hidden:
        known[0][place] = False
    x = torch.bernoulli(torch.full((1, *SHAPE), 0.5))
    joint = []
    for values in itertools.product((0.0, 1.0), repeat=len(hidden)):
        filled = x.clone()
        for place, value in zip(hidden, values, strict=True):
            filled[0][place] = value
        joint.append(p.log_prob(filled))
    assert_close(log_likelihood(p, Batch(x, torch.tensor([-1]), known)), torch.stack(joint).logsumexp(0))


def test_with_the_exact_posterior_of_the_known_pixels_the_bound_is_their_log_evidence():
    known = torch.ones(12, dtype=torch.bool)
    known[[1, 4, 5, 10]] = False
    w, b, scale = torch.randn(12, 2), torch.randn(12), 0.7
    w[known] = torch.linalg.qr(torch.randn(8, 2))[0] * torch.tensor([1.5, 0.6])  # so that p(z|x) is diagonal
    seen = w * known[:, None]
    precision = 1 + (seen * seen).sum(0) / scale**2
    encode = seen.T / scale**2 / precision[:, None]
    encoder = Affine(encode, -encode @ b, tail=-precision.log())
    vae = VAE(encoder, Affine(w, b, (1, 3, 4)), 2, LogVariance(), GaussianPixels(scale=scale))
    x = torch.randn(6, 2) @ w.T + b + scale * torch.randn(6, 12)
    covariance = w[known] @ w[known].T + scale**2 * torch.eye(8)
    evidence = MultivariateNormal(b[known], covariance).log_prob(x[:, known])
    batch = Batch(x.where(known, 0.0).view(6, 1, 3, 4), torch.full((6,), -1), known.expand(6, 12).reshape(6, 1, 3, 4))
    bound = ImportanceWeighted(samples=3)(vae, batch, 0.0).components["bound"]
    assert_close(bound, evidence, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("under", [0.3, 1.0, float("nan"), float("inf")])
def test_value_and_gradient_are_the_same_whatever_stands_under_the_hole(name, under):
    batch = batch_with_holes()
    vae = Model(latent=3, network=NETWORK, likelihood={"kind": name}).build(SHAPE)
    q = vae.posterior(batch.x)
    results = []
    for x in (batch.x, batch.x.where(batch.known, under)):
        vae.zero_grad()
        torch.manual_seed(3)
        _, log_px, _ = elbo_terms(vae, Batch(x, batch.labels, batch.known), q)
        log_px.sum().backward(retain_graph=True)
        results.append([log_px, *(p.grad.clone() for p in vae.parameters() if p.grad is not None)])
    assert len(results[0]) > 4
    for first, second in zip(*results, strict=True):
        assert torch.isfinite(first).all()
        assert torch.equal(first, second)


@pytest.mark.parametrize("name", [*OBJECTIVES, *SEMI_SUPERVISED])
def test_no_objective_reads_what_the_decoder_says_under_the_hole(name):
    if name in SEMI_SUPERVISED:
        objective, build = SEMI_SUPERVISED[name]
    else:
        objective, build = (
            without_augmentation(OBJECTIVES[name]()),
            lambda: Model(latent=3, network=NETWORK).build(SHAPE),
        )
    torch.manual_seed(0)
    model, batch = build().eval(), batch_with_holes()
    batch.known[(slice(None), *HOLE)] = False
    batch = Batch(batch.x.where(batch.known, 0.0), batch.labels, batch.known)
    if isinstance(objective, AttachableObjective):
        objective.attach(model)
    layer = [module for module in (getattr(model, "vae", model)).decoder.modules() if isinstance(module, nn.Linear)][-1]
    pixel = torch.arange(layer.out_features).view(SHAPE)[HOLE]

    def result():
        model.zero_grad()
        torch.manual_seed(3)
        output = objective(model, batch, 0.7)
        output.loss.backward()
        return output

    first = result()
    assert torch.isfinite(first.loss)
    assert layer.bias.grad[pixel] == 0
    assert (layer.bias.grad != 0).sum() == layer.out_features - 1
    with torch.no_grad():
        layer.bias[pixel] += 3
    assert torch.equal(result().loss, first.loss)
    with torch.no_grad():
        layer.bias[pixel - 1] += 3
    assert result().loss != first.loss


@pytest.mark.parametrize("name", [*OBJECTIVES, *SEMI_SUPERVISED])
def test_no_nan_of_the_images_reaches_loss_or_gradients(name):
    if name in SEMI_SUPERVISED:
        objective, build = SEMI_SUPERVISED[name]
    else:
        objective, build = OBJECTIVES[name](), lambda: Model(latent=3, network=NETWORK).build(SHAPE)
    pixels = torch.rand(8, *SHAPE, dtype=torch.float32)
    pixels[torch.rand(8, *SHAPE) < 0.4] = torch.nan
    pixels[3] = torch.nan  # nothing is known
    model, batch = build(), Images(pixels, torch.arange(8) % 4 - 1).batch(torch.arange(8))
    if isinstance(objective, AttachableObjective):
        objective.attach(model)
    output = objective(model, batch, 0.7)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(torch.isfinite(value).all() for value in output.components.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_objectives_of_classifiers_take_unknown_pixels_too():
    batch = batch_with_holes()
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(18, 3))
    assert torch.isfinite(CrossEntropy()(classifier, Batch(batch.x, batch.labels.clamp(min=0), batch.known), 0.0).loss)


def test_a_mask_of_ones_changes_nothing():
    x = torch.rand(5, *SHAPE)
    vae, labels = Model(latent=3, network=NETWORK).build(SHAPE), torch.full((5,), -1)
    for objective in (cls() for name, cls in OBJECTIVES.items() if name != "factor"):
        losses = []
        for known in (None, torch.ones(5, *SHAPE, dtype=torch.bool)):
            torch.manual_seed(3)
            losses.append(objective(vae, Batch(x, labels, known), 0.7).loss)
        assert_close(*losses, atol=1e-10, rtol=0)


def test_a_local_decoder_refuses_unknown_pixels():
    vae = LocalDecoderModel(latent=2, network=NETWORK).build(SHAPE)
    with pytest.raises(VaebenchError, match="those of a LocalDistribution are not"):
        elbo_terms(vae, batch_with_holes())
