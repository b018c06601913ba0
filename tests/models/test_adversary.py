"""FactorVAE: the critic finds a known total correlation, and neither loss moves the other's weights."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vaebench.data.datasets import Data
from vaebench.data.images import Batch
from vaebench.models.adversary import FactorVAE, critic_loss, odds
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.training.checkpoint import Checkpoint
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train

ALONE = Compute(device="cpu", precision="fp32", threads=1)


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return Model(latent=3, network=MLP(hidden=(9,))).build((1, 4, 4))


def batch_of(count=12):
    return Batch(torch.rand(count, 1, 4, 4), torch.full((count,), -1))


def grads(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


class Quadratic(nn.Module):
    """All that the log-odds of Gaussians can be."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 1)

    def forward(self, z):
        a, b = z.unbind(1)
        return self.line(torch.stack([a * a, b * b, a * b, a + b], 1))[:, 0]


def test_the_critics_log_odds_are_the_total_correlation_of_a_known_gaussian():
    """Two latents with correlation 0.9: TC = -log(1 - 0.81) / 2 = 0.830 nats."""
    torch.manual_seed(0)
    root = torch.linalg.cholesky(torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
    critic = Quadratic()
    optimiser = torch.optim.Adam(critic.parameters(), 0.05)
    for step in range(800):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / 800)
        optimiser.zero_grad()
        critic_loss(critic, torch.randn(2000, 2) @ root.T, torch.randn(2000, 2) @ root.T).backward()
        optimiser.step()
    with torch.no_grad():
        found = odds(critic, torch.randn(50_000, 2) @ root.T).mean().item()
    assert found == pytest.approx(-math.log(1 - 0.81) / 2, abs=0.05)


def test_a_critic_that_cannot_tell_has_a_loss_of_log_two(vae):
    FactorVAE().attach(vae)
    with torch.no_grad():
        vae.critic[-2].weight.zero_()
        vae.critic[-2].bias.zero_()
    terms = FactorVAE()(vae, batch_of(), 0.0)
    assert_close(terms.parts["critic"], torch.full((12,), math.log(2)))
    assert_close(terms.parts["total_correlation"], torch.zeros(12))


def test_the_loss_is_the_vaes_and_gamma_weighs_the_critics_odds(vae):
    objective, batch = FactorVAE(gamma=7.0), batch_of()
    objective.attach(vae)
    torch.manual_seed(1)
    terms = objective(vae, batch, 0.0)
    expected = -terms.parts["elbo"].mean() + 7 * terms.parts["total_correlation"].mean()
    assert_close(terms.loss.detach(), expected)


def test_neither_loss_moves_the_others_weights(vae):
    batch = batch_of()
    FactorVAE().attach(vae)
    found = {}
    for gamma in (0.0, 10.0):
        torch.manual_seed(1)
        vae.zero_grad()
        FactorVAE(gamma=gamma)(vae, batch, 0.0).loss.backward()
        found[gamma] = grads(vae)
    torch.manual_seed(1)
    vae.zero_grad()
    Elbo()(vae, batch, 0.0).loss.backward()
    plain = grads(vae)
    for name, grad in found[0.0].items():
        if name.startswith("critic"):
            assert grad.abs().sum() > 0
            assert_close(grad, found[10.0][name])  # however the VAE weighs it
        else:
            assert_close(grad, plain[name])  # the critic's own learning moves no weight of the VAE
    assert not torch.allclose(found[10.0]["encoder.1.weight"], plain["encoder.1.weight"])


def test_shuffling_keeps_each_latent_and_parts_them(vae):
    torch.manual_seed(0)
    codes = torch.arange(40.0).reshape(20, 2)
    seen = []

    class Watched(nn.Module):
        def forward(self, z):
            seen.append(z)
            return z.sum(1)

    critic_loss(Watched(), codes, codes)
    shuffled = seen[1]
    assert torch.equal(shuffled.sort(0).values, codes)
    assert (shuffled[:, 1] - shuffled[:, 0] != 1).any()


@pytest.mark.parametrize("stopped", [False, True])
def test_training_gives_back_a_plain_vae_and_resumes_to_the_same_bits(tmp_path, stopped):
    data = Data(source="digits", per_class=20).load()
    training = Training(epochs=3, batch=32, checkpoint_seconds=0)

    stirred = iter(range(100, 110))

    class Stop(Exception):
        pass

    def run(checkpoint=None, last=None):
        torch.manual_seed(0)
        model = Model(latent=3, network=MLP(hidden=(9,))).build(data.train.shape)
        torch.manual_seed(next(stirred))  # what was drawn before decides nothing

        def watch(at):
            if last is not None and at.epoch is not None and at.epoch["epoch"] == last:
                raise Stop

        train(
            model,
            FactorVAE(hidden=(8,)),
            data.train,
            training,
            compute=ALONE,
            seed=0,
            checkpoint=checkpoint,
            watch=watch,
        )
        return model.state_dict()

    whole = run()
    assert not [name for name in whole if name.startswith("critic")]
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", {})
    if stopped:
        with pytest.raises(Stop):
            run(checkpoint, last=2)
    again = run(checkpoint)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_one_image_is_enough_for_a_look(vae):
    FactorVAE().attach(vae)
    with torch.no_grad():
        assert FactorVAE()(vae.eval(), batch_of(1), 1.0).loss.isfinite()
