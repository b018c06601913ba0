"""Bounds in nats against values computed by hand; alarms for the bounds that should raise them and no others."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vaebench.data.images import Images
from vaebench.evaluation.alarms import alarms
from vaebench.evaluation.bounds import Bounds, bounds
from vaebench.evaluation.code_use import CodeUse
from vaebench.models.likelihoods import BernoulliPixels
from vaebench.models.posteriors import LogVariance
from vaebench.models.vae import VAE


class Fixed(nn.Module):
    """A constant raw output plus a slope times the mean pixel."""

    def __init__(self, raw, slope=0.0):
        super().__init__()
        self.raw, self.slope = raw, slope

    def forward(self, x):
        return self.raw.expand(len(x), *self.raw.shape) + self.slope * x.flatten(1).mean(1).view(
            -1, *[1] * self.raw.ndim
        )


def fixed_vae(encoder, decoder):
    return VAE(encoder, decoder, 2, LogVariance(), BernoulliPixels()).eval()


def half_and_half(count=40):
    pixels = torch.zeros(count, 1, 2, 2, dtype=torch.uint8)
    pixels[::2] = 255
    return Images(pixels, torch.full((count,), -1))


def test_nats_by_hand():
    # q = N((1, 0), (1, e^-2)): KL 0.5 and 0.5 (e^-2 + 2 - 1); p(x) = 0.75 for every white pixel
    vae = fixed_vae(Fixed(torch.tensor([1.0, 0, 0, -2])), Fixed(torch.full((1, 2, 2), math.log(3))))
    found = bounds(vae, half_and_half())
    assert_close(
        found.kl_per_latent, torch.tensor([0.5, 0.5 * (math.exp(-2) + 1)], dtype=torch.float64), atol=1e-6, rtol=0
    )
    assert_close(found.reconstruction[:2], torch.tensor([-4 * math.log(0.75), -4 * math.log(0.25)]))
    mean_nats = -2 * (math.log(0.75) + math.log(0.25))
    assert found.elbo == pytest.approx(-mean_nats - found.kl, abs=1e-5)
    assert found.active == 0  # the mean never varies
    assert found.dead == 0
    assert found.saturated == 0


def test_active_units_are_counted_by_the_variance_of_the_mean():
    vae = fixed_vae(Fixed(torch.zeros(4), slope=1.0), Fixed(torch.zeros(1, 2, 2)))
    assert bounds(vae, half_and_half()).active == 2  # means 0 and 1, half each: variance 0.25


def test_the_same_seed_gives_the_same_bounds_and_batches_do_not_matter():
    vae = fixed_vae(Fixed(torch.tensor([1.0, 0, 0, -2])), Fixed(torch.full((1, 2, 2), 0.3)))
    a, b = bounds(vae, half_and_half(), batch=7), bounds(vae, half_and_half(), batch=40)
    assert a.kl == pytest.approx(b.kl, abs=1e-9)
    assert a.reconstruction.shape == (40,)


def test_a_certain_and_wrong_decoder_is_saturated():
    vae = fixed_vae(Fixed(torch.tensor([1.0, 0, 0, -2])), Fixed(torch.full((1, 2, 2), 30.0)))
    found = bounds(vae, half_and_half())
    assert found.saturated == pytest.approx(0.5)
    assert [alarm.name for alarm in alarms(found)] == ["saturated-decoder"]


def bounds_with(kl, saturated=0.0):
    kl = torch.tensor(kl, dtype=torch.float64)
    return Bounds(torch.zeros(3), kl, torch.ones(len(kl)), saturated)


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (bounds_with([1.0, 2.0]), []),
        (bounds_with([1.0, 0.049]), ["dead-latents"]),
        (bounds_with([1.0, 0.051]), []),
        (bounds_with([0.01, 0.02]), ["dead-latents", "posterior-collapse"]),
        (bounds_with([0.3, 0.15]), ["posterior-collapse"]),
        (bounds_with([1.0], saturated=0.02), ["saturated-decoder"]),
        (bounds_with([1.0], saturated=0.005), []),
    ],
)
def test_alarms_by_name(found, names):
    assert [alarm.name for alarm in alarms(found)] == names


def test_the_alarm_of_discrete_latents_counts_groups_with_one_code():
    use = CodeUse(torch.tensor([[50, 50], [100, 0], [0, 100]]), (2, 2, 2))
    found = Bounds(torch.zeros(3), use.entropies, torch.ones(3), 0.0, 2.08, use)
    (alarm,) = alarms(found)
    assert alarm.name == "unused-codes"
    assert alarm.message.startswith("in 2 of 3 groups almost all test images have the same code")


def test_the_alarm_counts_dead_latents():
    (alarm,) = alarms(bounds_with([1.0, 0.0, 0.01, 3.0]))
    assert alarm.message.startswith("2 of 4 latents have collapsed to the prior")
