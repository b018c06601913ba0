"""Subnormal moments arise in training and are cleared without changing any weight."""

import copy

import pytest
import torch
from torch.testing import assert_close

from vaebench.data.images import Images
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.numerics import CLEAR_EVERY, clear_subnormals
from vaebench.training.schedules import SGD, Adam, Muon

SMALLEST = torch.finfo(torch.float32).tiny
OPTIMISERS = {"adam": Adam(beta2=0.9), "muon": Muon(beta2=0.9), "sgd": SGD()}


def subnormal(optimiser):
    """Number of subnormal values in the optimiser's moments."""
    moments = [one for state in optimiser.state.values() for one in state.values() if one.dim()]
    return sum(int(((one != 0) & (one.abs() < SMALLEST)).sum()) for one in moments)


def descended(optimiser, clears, steps=1500):
    """Weights, and the most subnormal values at any step; half the weights have a gradient at the first step only."""
    weights = torch.nn.Parameter(torch.linspace(-1, 1, 40))
    built, most = optimiser.build([weights]), 0
    for step in range(steps):
        weights.grad = torch.where(torch.arange(40) < 20, float(step == 0), torch.cos(torch.arange(40.0) + step))
        built.step()
        if clears and (step + 1) % CLEAR_EVERY == 0:
            clear_subnormals(built)
        most = max(most, subnormal(built))
    return weights.detach(), most


@pytest.mark.parametrize("name", OPTIMISERS)
def test_clearing_prevents_subnormal_moments_and_changes_no_weight(name):
    plain, there = descended(OPTIMISERS[name], clears=False)
    cleared, left = descended(OPTIMISERS[name], clears=True)
    assert there >= 20
    assert left == 0
    assert_close(cleared, plain, rtol=0, atol=0)


def test_clearing_keeps_other_moments_and_nan():
    weights = torch.nn.Parameter(torch.zeros(4))
    built = Adam().build([weights])
    weights.grad = torch.tensor([1.0, 1e-20, float("nan"), -1e-28])
    built.step()
    before = copy.deepcopy(built.state[weights])
    clear_subnormals(built)
    mean, square = (built.state[weights][name] for name in ("exp_avg", "exp_avg_sq"))
    assert torch.equal(mean.nan_to_num(9.0), before["exp_avg"].nan_to_num(9.0))
    assert square.nan_to_num(9.0).tolist() == [pytest.approx(1e-3), 0.0, 9.0, 0.0]
    assert built.state[weights]["step"] == 1


BUILT = []


class RecordingAdam(Adam):
    """Records the optimisers that it builds."""

    def build(self, parameters):
        BUILT.append(super().build(parameters))
        return BUILT[-1]


def test_a_training_ends_without_subnormal_moments():
    pixels = torch.zeros(10, 1, 4, 4, dtype=torch.uint8)
    pixels[:, :, 1] = torch.randint(0, 256, (10, 1, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    torch.manual_seed(0)
    model = Model(latent=2, network=MLP(hidden=(64,))).build((1, 4, 4))
    rule = Training(epochs=10 * CLEAR_EVERY, batch=10, optimiser=RecordingAdam(rate=0.03))
    train(model, Elbo(), Images(pixels, torch.full((10,), -1)), rule, compute=Compute(threads=1, precision="fp32"))
    assert subnormal(BUILT.pop()) == 0
