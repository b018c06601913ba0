"""Discrete latents by brute force: codes, gradients, moving averages, restarts, priors and the bound over all codes."""

import itertools
import math

import pytest
import torch
from exact import unlabelled
from torch.testing import assert_close

from vaebench.data.images import Images
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.code_use import CodeUse
from vaebench.evaluation.features import encode
from vaebench.models import quantisers
from vaebench.models.code_priors import CODE_PRIORS, AutoregressiveCodes, MaskedCodeNetwork, UniformCodes
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.quantised import FSQModel, VQElbo, VQModel
from vaebench.models.quantisers import Codebook, FiniteScalar, PointMass

pytestmark = pytest.mark.usefixtures("float64")
SHAPE = (1, 3, 3)
NETWORK = MLP(hidden=(6,))


def book(groups=2, codes=4, width=3, decay=0.9, restart=0.0):
    torch.manual_seed(0)
    return Codebook(groups, codes, width, decay, restart).double()


def vq(prior="uniform", **fields):
    settings = {"latent": 4, "groups": 2, "codes": 3, "network": NETWORK, "prior": CODE_PRIORS[prior](), **fields}
    return built(VQModel(**settings))


def fsq(prior="uniform", **fields):
    settings = {"latent": 3, "levels": (2, 3, 4), "network": NETWORK, "prior": CODE_PRIORS[prior](), **fields}
    return built(FSQModel(**settings))


def built(model):
    torch.manual_seed(1)
    return model.build(SHAPE).double().eval()


def all_codes(sizes):
    return torch.tensor(list(itertools.product(*map(range, sizes))))


def images(count=5):
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(2)).round()


def test_a_vector_is_the_nearest_of_its_group():
    quantiser = book()
    z = torch.randn(50, 6)
    for row, codes in zip(z, quantiser.codes_of(z), strict=True):
        for group in range(2):
            part = row[3 * group : 3 * group + 3]
            distances = [float(((part - e) ** 2).sum()) for e in quantiser.codebook[group]]
            assert int(codes[group]) == distances.index(min(distances))
            assert_close(quantiser.vectors(codes)[3 * group : 3 * group + 3], quantiser.codebook[group, codes[group]])


@pytest.mark.parametrize("quantiser", [book(), FiniteScalar((2, 3, 5, 8, 3, 4))], ids=["codebook", "scalars"])
def test_vectors_have_their_own_codes(quantiser):
    codes = all_codes(quantiser.sizes)
    assert torch.equal(quantiser.double().codes_of(quantiser.vectors(codes)), codes)


@pytest.mark.parametrize("build", [vq, fsq])
def test_the_gradient_at_z_is_passed_to_the_value_before_rounding(build):
    vae, x = build(), images()
    raw = vae.encoder(x).detach().requires_grad_()
    z = vae.to_posterior(raw).rsample()
    z.retain_grad()
    vae.decode(z).log_prob(x).sum().backward()
    slope = 1 - raw.detach().tanh() ** 2 if build is fsq else torch.ones_like(raw)
    assert z.grad.abs().max() > 0
    assert_close(raw.grad, z.grad * slope)
    leaf = z.detach().requires_grad_()
    vae.decode(leaf).log_prob(x).sum().backward()
    assert_close(z.grad, leaf.grad)
    assert torch.equal(z, vae.to_posterior.nearest(z))


def test_levels_are_rounded_to_the_nearest():
    """Three levels at -1, 0, 1 with limits at +-1/2; four at -1, -1/3, 1/3, 1 with limits at 0 and +-2/3."""
    odd, even = FiniteScalar((3,)).double(), FiniteScalar((4,)).double()
    z = torch.tensor([[-1.0], [-0.51], [-0.49], [0.49], [0.51], [1.0]])
    assert odd.codes_of(z).flatten().tolist() == [0, 0, 1, 1, 2, 2]
    assert_close(odd.nearest(z).flatten(), torch.tensor([-1.0, -1, 0, 0, 1, 1]))
    z = torch.tensor([[-0.67], [-0.66], [-0.01], [0.01], [0.66], [0.67]])
    assert even.codes_of(z).flatten().tolist() == [0, 1, 1, 2, 2, 3]
    assert_close(even.nearest(z).flatten(), torch.tensor([-3.0, -1, -1, 1, 1, 3]) / 3)


@pytest.mark.parametrize("levels", [(2, 3), (4, 5), (8, 2)])
def test_every_combination_of_levels_is_reached_and_no_other(levels):
    quantiser = FiniteScalar(levels).double()
    steps = torch.linspace(-6, 6, 1001)
    raw = torch.cartesian_prod(*[steps[::10]] * 2)
    found = {tuple(z) for z in quantiser(raw).mean.tolist()}
    expected = {tuple(z) for z in quantiser.vectors(all_codes(levels)).tolist()}
    assert found == expected
    assert len(found) == math.prod(levels)
    for value, count in zip(quantiser(steps[:, None].expand(-1, 2)).mean.unbind(1), levels, strict=True):
        nearest = (steps.tanh()[:, None] - torch.linspace(-1, 1, count)).abs().min(1)
        assert_close((value - steps.tanh()).abs(), nearest.values)


def test_vectors_are_the_moving_averages_of_their_outputs():
    quantiser = book()
    before, counts, sums = quantiser.codebook.clone(), torch.zeros(2, 4), torch.zeros(2, 4, 3)
    for seed in range(3):
        values = torch.randn(7, 6, generator=torch.Generator().manual_seed(seed))
        codes = quantiser.codes_of(values)
        quantiser.update(values)
        for group, code in itertools.product(range(2), range(4)):
            own = [values[i, 3 * group : 3 * group + 3] for i in range(7) if codes[i, group] == code]
            counts[group, code] = 0.9 * counts[group, code] + 0.1 * len(own)
            sums[group, code] = 0.9 * sums[group, code] + 0.1 * sum(own, torch.zeros(3))
    assert_close(quantiser.counts, counts)
    for group, code in itertools.product(range(2), range(4)):
        used = counts[group, code] > 0
        expected = sums[group, code] / counts[group, code] if used else before[group, code]
        assert_close(quantiser.codebook[group, code], expected)


def test_sums_of_the_moving_averages_are_over_all_processes(monkeypatch):
    """Two processes with the same images have the counts and sums of one with each image twice."""
    values = torch.randn(6, 6)
    one, two = book(), book()
    one.update(torch.cat([values, values]))
    monkeypatch.setattr(quantisers.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(quantisers.dist, "all_reduce", lambda total: total.mul_(2))
    two.update(values)
    assert_close((two.counts, two.sums, two.codebook), (one.counts, one.sums, one.codebook))


def test_codes_are_not_chosen_in_bf16():
    quantiser = book(groups=1, codes=2, width=1).float()
    quantiser.codebook[0, :, 0] = torch.tensor([1.0, 1.001])
    with torch.autocast("cpu", torch.bfloat16):
        assert quantiser.codes_of(torch.tensor([[1.0], [1.001]])).tolist() == [[0], [1]]


def test_restarts_replace_unused_codes_by_outputs_and_no_others():
    quantiser, kept = book(restart=0.1), book(restart=0.0)
    for each in (quantiser, kept):
        each.codebook[:, 2:] = 50.0  # far from all outputs
        each.counts.fill_(1.0)
        each.counts[:, 3] = 0.01
        each.sums.copy_(each.codebook * each.counts[..., None])
    values = torch.randn(9, 6)
    for each in (quantiser, kept):
        each.update(values)
    used = kept.counts >= 0.1 * kept.counts.mean(1, keepdim=True)
    assert used.tolist() == [[True, True, True, False]] * 2
    assert_close(quantiser.codebook[used], kept.codebook[used])
    assert_close(quantiser.counts[used], kept.counts[used])
    for group in range(2):
        outputs = values[:, 3 * group : 3 * group + 3]
        assert any(torch.equal(quantiser.codebook[group, 3], each) for each in outputs)
        assert_close(quantiser.counts[group, 3], kept.counts[group].mean())
        assert_close(quantiser.sums[group, 3], quantiser.counts[group, 3] * quantiser.codebook[group, 3])


def test_the_first_update_starts_codes_at_outputs_and_is_repeatable():
    first, second = book(codes=20, restart=0.05), book(codes=20, restart=0.05)
    values = torch.randn(8, 6)
    for each in (first, second):
        torch.manual_seed(3)
        each.update(values)
    assert torch.equal(first.codebook, second.codebook)
    assert first.codebook.norm(dim=-1).max() <= values.norm(dim=-1).max()
    assert torch.equal(first.vectors(first.codes_of(values)), first.nearest(values))


def test_the_vq_loss_is_the_bound_and_the_commitment():
    vae, x = vq(restart=0.0), images()
    output = VQElbo(beta=2.0, commitment=0.3)(vae, unlabelled(x), 0.0)
    raw = vae.encoder(x)
    z = vae.to_posterior.vectors(vae.to_posterior.codes_of(raw))
    expected = -vae.decode(z).log_prob(x) + 2 * 2 * math.log(3) + 0.3 * ((raw - z) ** 2).sum(1)
    assert_close(output.loss, expected.mean())
    assert_close(output.components["elbo"], vae.decode(z).log_prob(x) - 2 * math.log(3))
    output.loss.backward()
    assert vae.to_posterior.counts.sum() == 0  # not updated in evaluation mode
    vae.train()
    VQElbo()(vae, unlabelled(x), 0.0)
    assert_close(vae.to_posterior.counts.sum(1), torch.full((2,), 0.01 * 5))


def test_the_commitment_moves_the_encoder_towards_the_vector():
    vae, x = vq(), images()
    raw = vae.encoder(x).detach().requires_grad_()
    z = vae.to_posterior(raw).rsample()
    ((raw - z.detach()).square().sum()).backward()
    assert_close(raw.grad, 2 * (raw - z).detach())


@pytest.mark.parametrize("prior", CODE_PRIORS)
@pytest.mark.parametrize("build", [vq, fsq])
def test_the_probabilities_of_all_codes_sum_to_1(build, prior):
    vae = build(prior)
    if prior == "autoregressive":
        torch.nn.init.normal_(vae.to_prior.layers[-1].weight)
    z = vae.to_posterior.vectors(all_codes(vae.to_posterior.sizes))
    probabilities = vae.prior().log_prob(z).exp()
    assert_close(probabilities.sum(), torch.tensor(1.0))
    if prior == "uniform":
        assert_close(probabilities, torch.full_like(probabilities, 1 / math.prod(vae.to_posterior.sizes)))
    else:
        assert probabilities.std() > 1e-3


def test_a_code_depends_on_the_codes_before_it_alone():
    torch.manual_seed(0)
    network = MaskedCodeNetwork((3, 4, 2, 4), hidden=32).double()
    codes = torch.tensor([1, 2, 1, 3])
    before = network.logits(codes)
    assert torch.isinf(before).tolist() == [[c >= size for c in range(4)] for size in (3, 4, 2, 4)]
    for changed in range(4):
        other = codes.clone()
        other[changed] = 0
        moved = ((network.logits(other) - before).nan_to_num().abs() > 1e-9).any(1)
        assert moved.tolist() == [group > changed for group in range(4)]


def test_samples_have_the_frequencies_of_the_prior():
    vae = fsq("autoregressive", latent=2, levels=(2, 3))
    torch.nn.init.normal_(vae.to_prior.layers[-1].weight)
    torch.manual_seed(5)
    codes = vae.to_posterior.codes_of(vae.prior().sample((20_000,)))
    for combination in all_codes((2, 3)):
        p = float(vae.prior().log_prob(vae.to_posterior.vectors(combination)).detach().exp())
        fraction = float((codes == combination).all(1).double().mean())
        assert abs(fraction - p) < 5 * math.sqrt(p * (1 - p) / 20_000) + 1e-9


@pytest.mark.parametrize("prior", CODE_PRIORS)
@pytest.mark.parametrize("build", [vq, fsq])
def test_the_elbo_is_below_log_p_of_x_summed_over_all_codes(build, prior):
    vae, x = build(prior), images()
    elbo = Elbo()(vae, unlabelled(x), 0.0).components["elbo"]
    z = vae.to_posterior.vectors(all_codes(vae.to_posterior.sizes))
    joint = vae.decode(z[:, None]).log_prob(x) + vae.prior().log_prob(z)[:, None]
    assert (elbo <= joint.logsumexp(0)).all()
    own = vae.to_posterior.codes_of(vae.posterior(x).mean)
    terms = [joint[(all_codes(vae.to_posterior.sizes) == code).all(1), i] for i, code in enumerate(own)]
    assert_close(elbo, torch.cat(terms))


def test_the_prior_passes_no_gradient_to_the_encoder():
    vae = vq("autoregressive")
    z = vae.posterior(images()).rsample()
    log_p = vae.prior().log_prob(z).sum()
    encoder = torch.autograd.grad(log_p, vae.encoder.parameters(), retain_graph=True, allow_unused=True)
    assert set(encoder) == {None}
    assert torch.autograd.grad(log_p, vae.to_prior.layers[0].weight)[0].abs().max() > 0


def test_a_learned_prior_fits_the_codes():
    """Two codes that always agree have log 2 nats, of 2 log 2 under a uniform prior."""
    vae = fsq("autoregressive", latent=2, levels=(2,))
    codes = torch.tensor([[0, 0], [1, 1]])
    optimiser = torch.optim.Adam(vae.to_prior.parameters(), 3e-2)
    for _ in range(60):
        loss = -vae.prior().log_prob(vae.to_posterior.vectors(codes)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert math.log(2) <= float(loss.detach()) < math.log(2) + 0.01


def test_perplexity_in_closed_form():
    use = CodeUse(torch.tensor([[4, 0, 0, 0], [1, 1, 2, 0]]), (4, 4))
    assert use.used == 4 / 8
    assert_close(use.entropies, torch.tensor([0.0, 1.5 * math.log(2)]))
    assert_close(use.perplexities, torch.tensor([1.0, 2**1.5]))
    assert use.perplexity == pytest.approx((1 + 2**1.5) / 2)
    assert use.most_used(torch.tensor([1]), 2).tolist() in ([[0, 2]], [[1, 2]])
    z = FiniteScalar((2, 3)).double().vectors(torch.tensor([[0, 2], [1, 2], [1, 0]]))
    assert CodeUse.of(FiniteScalar((2, 3)).double(), z).counts.tolist() == [[1, 2, 0], [1, 0, 2]]


@pytest.mark.parametrize("build", [vq, fsq])
def test_bounds_of_discrete_latents_have_the_use_of_codes(build):
    vae, x = build(), images(40)
    data = Images((x * 255).to(torch.uint8), torch.zeros(40, dtype=torch.long))
    found = bounds(vae, data)
    sizes = vae.to_posterior.sizes
    assert found.kl == pytest.approx(sum(map(math.log, sizes)), rel=1e-6)
    assert found.elbo == pytest.approx(float(Elbo()(vae, unlabelled(x), 0.0).components["elbo"].mean()), rel=1e-5)
    codes = encode(vae, data)
    assert codes.log_variance is None
    fractions = [codes.mean[:, d].unique(return_counts=True)[1] / 40 for d in range(len(vae.zero))]
    expected = torch.stack([-(fraction * fraction.log()).sum() for fraction in fractions]).double()
    assert_close(found.kl_per_latent, expected, atol=1e-6, rtol=0)


def test_a_point_mass_has_all_probability_at_its_place():
    p = PointMass(torch.tensor([0.5, -1.0]))
    assert p.log_prob(torch.tensor([0.5, 0.5])).tolist() == [0.0, -math.inf]
    assert torch.equal(p.sample((2,)), p.mean.expand(2, 2))
    assert p.variance.tolist() == [0.0, 0.0]
    assert p.expand((3, 2)).batch_shape == (3, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latent": 10, "groups": 4}, "latent is 10 and groups is 4; expected a multiple"),
        ({"kind": "fsq", "levels": [1]}, "expected at least 2 levels"),
        ({"kind": "fsq", "latent": 3, "levels": [4, 5]}, "levels has 2 values for 3 latents"),
    ],
)
def test_groups_and_levels_that_do_not_fit_are_refused(values, message):
    owner = FSQModel if values.get("kind") == "fsq" else VQModel
    with pytest.raises(ValueError, match=message):
        owner(**values)


def test_titles_and_settings():
    assert VQModel(latent=8, groups=1, codes=16).title == "VQ-VAE with 1 group of 16 codes and 8 latents"
    assert (
        FSQModel(latent=2, levels=(8, 5)).title == "VAE with finite scalar quantisation to 5 or 8 levels and 2 latents"
    )
    assert VQModel().plain.latent == 32
    assert VQModel(commitment=0.5).objective_from(Elbo(beta=3.0)) == VQElbo(beta=3.0, commitment=0.5)
    assert FSQModel().objective_from(Elbo(beta=3.0)) == Elbo(beta=3.0)
    assert (UniformCodes().kind, AutoregressiveCodes().hidden) == ("uniform", 256)
