"""The loss of the information bottleneck written out, its bound, and its collapse."""

import math

import pytest
import torch
from torch import nn

from vaebench.data.images import Batch
from vaebench.models.information_bottleneck import (
    InformationBottleneck,
    InformationBottleneckLoss,
    InformationBottleneckModel,
)
from vaebench.models.networks import MLP
from vaebench.models.posteriors import LogVariance


class Fixed(nn.Module):
    """An encoder with the same raw values (mean, log-variance) for every image of a class."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(torch.tensor(table, dtype=torch.float64))

    def forward(self, x):
        return self.table[x.flatten(1)[:, 0].long()]


def build(means, log_variance, weight):
    """Two classes, one latent; class c is encoded to N(means[c], exp(log_variance)), logits are +-weight z."""
    linear = nn.Linear(1, 2, bias=False).double()
    linear.weight.data = torch.tensor([[weight], [-weight]], dtype=torch.float64)
    table = [[mean, log_variance] for mean in means]
    return InformationBottleneck(Fixed(table), linear, 1, LogVariance()).double()


def batch(n=20000):
    labels = torch.arange(n) % 2
    return Batch(labels.double().view(-1, 1, 1, 1), labels)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_the_loss_is_cross_entropy_plus_beta_kl():
    model = build((1.5, -1.5), -30.0, 2.0)  # the log-variance is clamped to -20: z is the mean to 5e-5
    output = InformationBottleneckLoss(beta=0.25)(model, batch(), 0.0)
    cross_entropy = math.log(1 + math.exp(-6))
    divergence = 0.5 * (1.5**2 + math.exp(-20) - 1 + 20)
    assert output.components["kl"].mean().item() == pytest.approx(divergence, rel=1e-9)
    assert output.components["cross_entropy"].mean().item() == pytest.approx(cross_entropy, abs=1e-4)
    assert output.loss.item() == pytest.approx(cross_entropy + 0.25 * divergence, abs=1e-4)
    assert output.components["accuracy"].mean().item() == 1.0


@pytest.mark.parametrize("beta", [1.0, 3.0, 128.0])
def test_at_beta_one_or_more_the_collapsed_encoder_is_optimal(beta):
    collapsed = InformationBottleneckLoss(beta=beta)(build((0.0, 0.0), 0.0, 0.0), batch(), 0.0).loss.item()
    assert collapsed == pytest.approx(math.log(2), abs=1e-12)
    for mean in (0.1, 0.5, 1.0, 3.0):
        for log_variance in (-6.0, -1.0, 0.0):
            for weight in (0.2, 1.0, 4.0):
                loss = InformationBottleneckLoss(beta=beta)(
                    build((mean, -mean), log_variance, weight), batch(), 0.0
                ).loss.item()
                assert loss > collapsed - 0.01  # 0.01 is the noise of 20,000 samples


def test_below_beta_one_an_informative_encoder_is_better():
    informative = InformationBottleneckLoss(beta=0.1)(build((2.0, -2.0), -1.0, 2.0), batch(), 0.0).loss.item()
    assert informative < math.log(2) - 0.2


def test_probabilities_are_the_mean_over_samples():
    model = build((0.0, 0.0), 0.0, 1.0)
    p = model.probabilities(batch(400).x, samples=500)
    assert p.shape == (400, 2)
    torch.testing.assert_close(p.sum(1), torch.ones(400, dtype=torch.float64))
    assert (p[:, 0] - 0.5).abs().max() < 0.12  # 0.5 by symmetry; the standard deviation of a sample is about 0.2


def test_every_weight_of_a_built_model_has_a_gradient():
    model = InformationBottleneckModel(latent=3, network=MLP(hidden=(8,))).build((1, 4, 4), 5)
    output = InformationBottleneckLoss()(model, Batch(torch.rand(6, 1, 4, 4), torch.arange(6) % 5), 0.0)
    output.loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert all(value.shape == (6,) for value in output.components.values())
