"""The terms of the self-training loss."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from vaebench.data.augment import Augmentation
from vaebench.data.images import Batch
from vaebench.models.classifying_vae import ClassifyingVAE, SelfTrainingLoss
from vaebench.models.networks import MLP, Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model

pytestmark = pytest.mark.usefixtures("float64")
CLASSES = 4
WEAK, STRONG = Augmentation(shift=1), Augmentation(shift=2, rotation=30, mirror=True)


@pytest.fixture(params=[MLP(hidden=(9, 7)), Conv(filters=(4, 5), stride=(2,), batch_norm="none")], ids=["mlp", "conv"])
def model(request):
    torch.manual_seed(0)
    vae = Model(latent=3, network=request.param).build((1, 8, 8))
    return ClassifyingVAE(vae, CLASSES, dropout=0.0).double()


def batch(labels):
    torch.manual_seed(1)
    return Batch(torch.rand(len(labels), 1, 8, 8), torch.tensor(labels))


def seeded(objective, model, at, seed=2):
    torch.manual_seed(seed)
    return objective(model, at, 0.0)


def test_classifier_and_posterior_share_features(model):
    x = torch.rand(5, 1, 8, 8)
    features = model.features(x)
    assert_close(model(x), model.classifier(features))
    own, through = model.vae.posterior(x), model.posterior(features)
    assert_close(through.mean, own.mean)
    assert_close(through.variance, own.variance)


def test_the_loss_is_the_sum_of_its_three_terms(model):
    at = batch([2, -1, -1, 0, -1])
    with torch.no_grad():
        model.classifier[1].weight.mul_(20)  # confident in some predictions only
    objective = SelfTrainingLoss(
        weak=WEAK, strong=STRONG, threshold=0.5, consistency=0.7, generative=0.01, beta=2.0, elbo_fraction=0.6
    )
    found = seeded(objective, model, at)
    torch.manual_seed(2)
    strong, weak = STRONG(at.x), WEAK(at.x[[1, 2, 4]])
    log_q, guesses = model(strong).log_softmax(1), dict(zip((1, 2, 4), model(weak).softmax(1), strict=True))
    seen = -(log_q[0, 2] + log_q[3, 0]) / 2
    sure = [i for i in (1, 2, 4) if guesses[i].max() > 0.5]
    assert len(sure) > 0
    unseen = -sum(log_q[i, guesses[i].argmax()] for i in sure) / 3
    q = model.vae.posterior(strong[2:])
    log_px = model.vae.decode(q.rsample()).log_prob(strong[2:])
    kl = torch.distributions.kl_divergence(q, model.vae.prior())
    assert_close(found.loss, seen + 0.7 * unseen + 0.01 * (2.0 * kl - log_px).mean())


def test_without_labels_or_confident_predictions_the_loss_is_the_elbo(model):
    at = batch([-1] * 6)
    alone = SelfTrainingLoss(threshold=0.999, generative=1.0, beta=1.5, elbo_fraction=1.0)
    assert_close(seeded(alone, model, at).loss, seeded(Elbo(beta=1.5), model.vae, at).loss)


def test_pseudo_labels_have_no_gradient(model):
    at = batch([-1] * 8)
    seeded(SelfTrainingLoss(weak=WEAK, strong=STRONG, threshold=0.0), model, at).loss.backward()
    torch.manual_seed(2)
    strong, weak = STRONG(at.x), WEAK(at.x)
    guess = model(weak).argmax(1)
    expected = torch.autograd.grad(F.cross_entropy(model(strong), guess), model.classifier[1].weight)[0]
    assert_close(model.classifier[1].weight.grad, expected)


@pytest.mark.parametrize("labels", [[-1] * 4, [0, 1, 2, 3]])
def test_all_or_none_labelled_is_finite(model, labels):
    output = seeded(SelfTrainingLoss(weak=WEAK, strong=STRONG, generative=0.1), model, batch(labels))
    output.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert all(value.shape == (4,) for value in output.components.values())
