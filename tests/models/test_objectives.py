"""Objectives compared with a linear-Gaussian VAE whose evidence and posterior are known."""

import math

import pytest
import torch
from exact import Affine, unlabelled
from torch import nn
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from vaebench.data.augment import Augmentation
from vaebench.data.images import Batch
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.loss import AttachableObjective
from vaebench.models.objectives import (
    OBJECTIVES,
    Capacity,
    Consistent,
    Contrastive,
    CrossEntropy,
    Elbo,
    FreeBits,
    ImportanceWeighted,
    Reconstruction,
    WarmUp,
)
from vaebench.models.posteriors import LogVariance, kl, kl_per_latent
from vaebench.models.vae import VAE, Model
from vaebench.runs.recipe import read_recipe

pytestmark = pytest.mark.usefixtures("float64")
DETERMINISTIC = ("reconstruction", "wae-mmd", "rae")
"""Objectives that do not use the posterior's scale."""
SHAPE, LATENT, SCALE = (1, 3, 4), 2, 0.7


@pytest.fixture
def linear_gaussian():
    """x = W z + b + noise, W with orthogonal columns, so that the exact posterior is diagonal."""
    columns, _ = torch.linalg.qr(torch.randn(12, LATENT))
    w, b = columns * torch.tensor([1.5, 0.6]), torch.randn(12)
    precision = 1 + (w * w).sum(0) / SCALE**2
    encode = w.T / SCALE**2 / precision[:, None]
    vae = VAE(
        Affine(encode, -encode @ b, tail=-precision.log()),
        Affine(w, b, SHAPE),
        LATENT,
        LogVariance(),
        GaussianPixels(scale=SCALE),
    )
    x = (torch.randn(6, LATENT) @ w.T + b + SCALE * torch.randn(6, 12)).view(6, *SHAPE)
    evidence = MultivariateNormal(b, w @ w.T + SCALE**2 * torch.eye(12)).log_prob(x.flatten(1))
    return vae, x, evidence


def with_wrong_posterior(vae):
    """The VAE with changed posterior parameters, in place."""
    with torch.no_grad():
        vae.encoder.bias += 0.4
        vae.encoder.tail += 0.5
    return vae


def test_exact_posterior_makes_every_one_sample_bound_the_log_evidence(linear_gaussian):
    vae, x, evidence = linear_gaussian
    for _ in range(5):
        components = ImportanceWeighted(samples=1)(vae, unlabelled(x), 0.0).components
        assert_close(components["bound"], evidence, atol=1e-12, rtol=0)


def test_any_number_of_samples_keeps_an_exact_bound(linear_gaussian):
    vae, x, evidence = linear_gaussian
    components = ImportanceWeighted(samples=50)(vae, unlabelled(x), 0.0).components
    assert_close(components["bound"], evidence, atol=1e-12, rtol=0)


def test_the_elbo_is_the_evidence_minus_the_kl_to_the_true_posterior(linear_gaussian):
    vae, x, evidence = linear_gaussian
    true = vae.posterior(x)
    true = type(true)(type(true.base_dist)(true.base_dist.loc.detach(), true.base_dist.scale.detach()), 1)
    with_wrong_posterior(vae)
    many = x.repeat_interleave(40_000, 0)
    elbo = Elbo()(vae, unlabelled(many), 0.0).components["elbo"].view(6, -1)
    error = elbo.std(1) / elbo.shape[1] ** 0.5
    gap = kl(vae.posterior(x), true)
    assert (gap > 0.1).all()
    assert ((elbo.mean(1) - (evidence - gap)).abs() < 4.5 * error).all()


def test_the_importance_weighted_bound_rises_with_samples_towards_the_evidence(linear_gaussian):
    vae, x, evidence = linear_gaussian
    with_wrong_posterior(vae)
    many = x.repeat_interleave(2_000, 0)
    bounds = [
        ImportanceWeighted(samples=k)(vae, unlabelled(many), 0.0).components["bound"].view(6, -1).mean(1)
        for k in (1, 5, 50)
    ]
    assert (bounds[0] + 0.05 < bounds[1]).all()
    assert (bounds[1] < bounds[2]).all()
    assert (bounds[2] < evidence + 0.01).all()
    assert_close(bounds[2], evidence, atol=0.02, rtol=0)


def one_batch():
    vae = Model(latent=3, network={"kind": "mlp", "hidden": (7,)}).build((1, 4, 4))
    x = torch.rand(9, 1, 4, 4)
    return vae, unlabelled(x)


def seeded(objective, vae, batch, progress=1.0):
    torch.manual_seed(3)
    return objective(vae, batch, progress)


def test_beta_weighs_the_kl_per_image():
    vae, batch = one_batch()
    output = {beta: seeded(Elbo(beta=beta), vae, batch) for beta in (0.0, 1.0, 4.0)}
    mean_kl = kl(vae.posterior(batch.x), vae.prior()).mean()
    assert_close(output[4.0].loss - output[0.0].loss, 4 * mean_kl)
    assert_close(output[1.0].loss, -output[1.0].components["elbo"].mean())
    assert_close(output[4.0].components["reconstruction"], output[0.0].components["reconstruction"])


def test_the_loss_is_a_sum_over_pixels_and_a_mean_over_images():
    vae, batch = one_batch()
    torch.manual_seed(3)
    q = vae.posterior(batch.x)
    p = vae.decode(q.rsample()).mean
    cross_entropy = -(batch.x * p.log() + (1 - batch.x) * (1 - p).log()).sum((1, 2, 3))
    mean, variance = q.base_dist.loc, q.base_dist.scale.square()
    kl_q = 0.5 * (mean.square() + variance - variance.log() - 1).sum(1)
    assert_close(seeded(Elbo(beta=2.0), vae, batch).loss, (cross_entropy + 2 * kl_q).mean())


def test_warm_up_rises_to_beta_and_stays():
    vae, batch = one_batch()
    at = {p: seeded(WarmUp(beta=3.0, fraction=0.5), vae, batch, p).loss for p in (0.0, 0.25, 0.5, 1.0)}
    weights = {0.0: 0.0, 0.25: 1.5, 0.5: 3.0, 1.0: 3.0}
    for progress, loss in at.items():
        assert_close(loss, seeded(Elbo(beta=weights[progress]), vae, batch).loss)


def test_recipes_with_the_old_field_share_are_read(tmp_path):
    old = tmp_path / "old.toml"
    for kind in ("warm-up", "capacity"):
        old.write_text(
            f'objective = {{kind = "{kind}", share = 0.4}}\nevaluation.self_training.objective.share = 0.6\n'
        )
        with pytest.warns(FutureWarning, match=r"share is now .*fraction"):
            recipe = read_recipe(old)
        assert recipe.objective == OBJECTIVES[kind](fraction=0.4)
        assert recipe.evaluation.self_training.objective == SelfTrainingLoss(elbo_fraction=0.6)


def test_free_bits_floor_each_latents_batch_mean():
    vae, batch = one_batch()
    per_latent = kl_per_latent(vae.posterior(batch.x), vae.prior()).mean(0).detach()
    floor = float(per_latent.sort().values[1])  # one latent below, one above
    loss = seeded(FreeBits(floor=floor), vae, batch).loss
    reconstruction = seeded(Elbo(), vae, batch).components["reconstruction"].mean()
    assert_close(loss, reconstruction + sum(max(floor, float(v)) for v in per_latent))
    assert_close(seeded(FreeBits(floor=0.0), vae, batch).loss, seeded(Elbo(), vae, batch).loss)


def test_capacity_pulls_the_kl_to_its_target():
    vae, batch = one_batch()
    mean_kl = float(kl(vae.posterior(batch.x), vae.prior()).mean().detach())
    base = seeded(Elbo(), vae, batch).components["reconstruction"].mean()
    half = seeded(Capacity(nats=8.0, gamma=10.0, fraction=0.5), vae, batch, 0.25).loss
    assert_close(half, base + 10 * abs(mean_kl - 4.0))


def test_one_importance_sample_is_the_elbo_by_monte_carlo():
    vae, batch = one_batch()
    torch.manual_seed(3)
    q = vae.posterior(batch.x)
    z = q.rsample((1,))[0]
    expected = vae.decode(z).log_prob(batch.x) + vae.prior().log_prob(z) - q.log_prob(z)
    assert_close(seeded(ImportanceWeighted(samples=1), vae, batch).loss, -expected.mean())


def test_consistent_adds_the_kl_of_augmented_and_original_posterior():
    vae, batch = one_batch()
    objective = Consistent(beta=2.0, weight=0.7, augmentation=Augmentation(shift=1, rotation=20))
    output = seeded(objective, vae, batch)
    torch.manual_seed(3)
    warped = objective.augmentation(batch.x)
    both = torch.cat([batch.x, warped])
    q = vae.posterior(both)
    log_px, kl_q = vae.decode(q.rsample()).log_prob(both), kl(q, vae.prior())
    (m, m_warped), (s, s_warped) = q.base_dist.loc.chunk(2), q.base_dist.scale.chunk(2)
    apart = (s / s_warped).log() + (s_warped.square() + (m_warped - m).square()) / (2 * s.square()) - 0.5
    assert_close(output.components["apart"], apart.sum(1))
    assert_close(output.loss, (2 * kl_q - log_px).mean() + 0.7 * apart.sum(1).mean())
    assert_close(output.components["elbo"], (log_px - kl_q)[:9])
    still = seeded(Consistent(augmentation=Augmentation()), vae, batch)
    assert_close(still.components["apart"], torch.zeros(9), atol=1e-12, rtol=0)


def test_contrastive_adds_nt_xent():
    vae, batch = one_batch()
    objective = Contrastive(beta=2.0, weight=0.7, temperature=0.3, augmentation=Augmentation(shift=1, rotation=20))
    output = seeded(objective, vae, batch)
    torch.manual_seed(3)
    both = torch.cat([batch.x, objective.augmentation(batch.x)])
    q = vae.posterior(both)
    log_px, kl_q = vae.decode(q.rsample()).log_prob(both), kl(q, vae.prior())
    search = []
    for i in range(18):
        cosines = [torch.cosine_similarity(q.mean[i], q.mean[j], dim=0) / 0.3 for j in range(18) if j != i]
        partner = torch.cosine_similarity(q.mean[i], q.mean[(i + 9) % 18], dim=0) / 0.3
        search.append(torch.stack(cosines).logsumexp(0) - partner)
    search = torch.stack(search)
    assert_close(output.components["search"], search[:9])
    assert_close(output.loss, (2 * kl_q - log_px).mean() + 0.7 * search.mean())


def test_contrastive_with_the_elbo_of_a_part_of_the_batch():
    vae, batch = one_batch()
    settings = {"beta": 2.0, "weight": 0.7, "temperature": 0.3, "augmentation": Augmentation(shift=1, rotation=20)}
    whole, output = (seeded(Contrastive(**settings, elbo_fraction=part), vae, batch) for part in (1.0, 0.4))
    torch.manual_seed(3)
    both = torch.cat([batch.x, Contrastive(**settings).augmentation(batch.x)])
    part = torch.cat([both[:4], both[9:13]])  # 0.4 of 9, rounded up, of the images and of their copies
    q = vae.posterior(part)
    log_px, kl_q = vae.decode(q.rsample()).log_prob(part), kl(q, vae.prior())
    search = whole.components["search"]
    assert_close(output.components["search"], search)
    contrast = whole.loss - seeded(Contrastive(**settings | {"weight": 0.0}), vae, batch).loss
    assert_close(output.loss, (2 * kl_q - log_px).mean() + contrast)
    assert_close(output.components["elbo"], (log_px - kl_q)[:4].mean().expand(9))


def test_reconstruction_is_deterministic_at_the_mean_code():
    vae, batch = one_batch()
    first, second = (Reconstruction()(vae, batch, 0.0).loss for _ in range(2))
    assert first == second
    assert_close(first, -vae.decode(vae.posterior(batch.x).mean).log_prob(batch.x).mean())


def test_cross_entropy_and_accuracy():
    logits = torch.tensor([[2.0, 0, 0], [0, 0, 1]])
    output = CrossEntropy()(nn.Identity(), Batch(logits, torch.tensor([0, 1])), 0.0)
    nats = [math.log(math.e**2 + 2) - 2, math.log(2 + math.e)]
    assert_close(output.components["cross_entropy"], torch.tensor(nats))
    assert_close(output.components["accuracy"], torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_per_image_components_and_gradients(name):
    vae, batch = one_batch()
    objective = OBJECTIVES[name]()
    if isinstance(objective, AttachableObjective):
        objective.attach(vae)
    loss, components = objective(vae, batch, 0.7)
    assert loss.shape == ()
    assert all(value.shape == (9,) and not value.requires_grad for value in components.values())
    loss.backward()
    scale_rows = vae.encoder[-1].weight.grad[3:]
    touched = {n for n, p in vae.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert touched == {n for n, _ in vae.named_parameters()}
    assert (scale_rows.abs().sum() > 0) == (name not in DETERMINISTIC)
