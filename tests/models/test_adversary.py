"""FactorVAE: the critic estimates a known total correlation; VAE and critic do not update each other."""

import math

import pytest
import torch
from exact import unlabelled
from torch import nn
from torch.distributions import Independent, Normal
from torch.testing import assert_close

from vaebench.data.datasets import Data
from vaebench.models.adversary import LEARNING_RATE, Critic, FactorVAE, critic_loss
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
    return unlabelled(torch.rand(count, 1, 4, 4))


def grads(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


class Quadratic(nn.Module):
    """A critic whose log-odds are quadratic, as those of Gaussians are."""

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
        found = critic(torch.randn(50_000, 2) @ root.T).mean().item()
    assert found == pytest.approx(-math.log(1 - 0.81) / 2, abs=0.05)


def posteriors(count=256):
    """Posteriors whose two latents have correlation 0.9."""
    root = torch.linalg.cholesky(torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
    return Independent(Normal(torch.randn(count, 2) @ root.T, 0.05), 1)


def test_the_critics_own_training_finds_the_total_correlation():
    torch.manual_seed(0)
    critic = Critic((2, 64, 64))
    for _ in range(150):
        critic.fit(posteriors(), 5)
    q = posteriors(20_000)
    assert critic(q.sample()).mean().item() == pytest.approx(-math.log(1 - 0.81) / 2, abs=0.2)


def test_critic_training_equals_adam():
    q = posteriors(32)
    torch.manual_seed(1)
    critic = Critic((2, 8))
    torch.manual_seed(1)
    twin = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Flatten(0))
    optimiser = torch.optim.Adam(twin.parameters(), LEARNING_RATE, betas=(0.5, 0.9))
    torch.manual_seed(2)
    critic.fit(q, 7)
    torch.manual_seed(2)
    for _ in range(7):
        loss = critic_loss(twin, q.sample(), q.sample())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert critic.steps == 7
    for found, expected in zip(critic.layers.buffers(), twin.parameters(), strict=True):
        assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)


def test_a_constant_critic_has_a_loss_of_log_two(vae):
    FactorVAE().attach(vae)
    vae.critic.layers[-2].weight.zero_()
    vae.critic.layers[-2].bias.zero_()
    output = FactorVAE()(vae.eval(), batch_of(), 0.0)
    assert_close(output.components["critic"], torch.full((12,), math.log(2)))
    assert_close(output.components["total_correlation"], torch.zeros(12))


def test_the_loss_is_the_negative_elbo_plus_gamma_times_the_log_odds(vae):
    objective, batch = FactorVAE(gamma=7.0), batch_of()
    objective.attach(vae)
    torch.manual_seed(1)
    output = objective(vae, batch, 0.0)
    expected = -output.components["elbo"].mean() + 7 * output.components["total_correlation"].mean()
    assert_close(output.loss.detach(), expected)


def test_the_critic_is_trained_in_training_mode_only(vae):
    FactorVAE().attach(vae)
    before = [part.clone() for part in vae.critic.buffers()]
    FactorVAE()(vae.eval(), batch_of(), 0.0)
    assert all(torch.equal(one, other) for one, other in zip(before, vae.critic.buffers(), strict=True))
    FactorVAE(critic_steps=3)(vae.train(), batch_of(), 0.0)
    assert vae.critic.steps == 3
    assert all(part.grad is None for part in vae.parameters())
    assert not any(torch.equal(one, other) for one, other in zip(before, vae.critic.buffers(), strict=True))


def test_vae_and_critic_do_not_update_each_other(vae):
    batch = batch_of()
    plain = list(vae.parameters())
    FactorVAE().attach(vae.eval())
    assert [*map(id, vae.parameters())] == [*map(id, plain)]  # the critic has no parameters
    found = {}
    for objective in (FactorVAE(gamma=0.0), FactorVAE(gamma=10.0), Elbo()):
        torch.manual_seed(1)
        vae.zero_grad()
        objective(vae, batch, 0.0).loss.backward()
        found[str(objective)] = grads(vae)
    none, some, elbo = found.values()
    for name, grad in none.items():
        assert_close(grad, elbo[name])
    assert not torch.allclose(some["encoder.1.weight"], elbo["encoder.1.weight"])
    decoder = [name for name in elbo if name.startswith("decoder")]
    assert decoder
    assert all(torch.equal(some[name], elbo[name]) for name in decoder)  # the penalty depends on the encoder only


def test_permutation_keeps_marginals_and_breaks_dependence(vae):
    torch.manual_seed(0)
    codes = torch.arange(40.0).reshape(20, 2)
    seen = []

    class Recorder(nn.Module):
        def forward(self, z):
            seen.append(z)
            return z.sum(1)

    critic_loss(Recorder(), codes, codes)
    shuffled = seen[1]
    assert torch.equal(shuffled.sort(0).values, codes)
    assert (shuffled[:, 1] - shuffled[:, 0] != 1).any()


@pytest.mark.parametrize("stopped", [False, True])
def test_training_returns_a_plain_vae_and_resumes_to_the_same_bits(tmp_path, stopped):
    data = Data(source="digits", per_class=20).load()
    training = Training(epochs=3, batch=32, checkpoint_seconds=0)

    other_seeds = iter(range(100, 110))

    class Stop(Exception):
        pass

    def run(checkpoint=None, last=None):
        torch.manual_seed(0)
        model = Model(latent=3, network=MLP(hidden=(9,))).build(data.train.shape)
        torch.manual_seed(next(other_seeds))  # earlier random numbers have no effect

        def callback(at):
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
            callback=callback,
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


def test_the_loss_of_one_image_is_finite(vae):
    FactorVAE().attach(vae)
    with torch.no_grad():
        assert FactorVAE()(vae.eval(), batch_of(1), 1.0).loss.isfinite()
