"""Arrays of figures: reconstructions, samples, traversals, interpolations, maps of codes. Plotting computes nothing."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.distributions import Independent

from vaebench.data.images import HIDDEN, Images
from vaebench.data.pixels import to_8_bits
from vaebench.evaluation.bounds import Bounds
from vaebench.evaluation.features import Codes, encode
from vaebench.evaluation.probes import LinearClassifier
from vaebench.models.quantisers import Quantiser
from vaebench.models.vae import VAE

Arrays = dict[str, np.ndarray]
PAIRS = 16
SAMPLES = 64
STEPS = 11
INTERPOLATIONS = 6
TRAVERSALS = 20
MAP_POINTS = 2000
MAP_SIDE = 64
"""Longest side in pixels of the images of the map; larger images are downscaled, to half of it above three channels."""


@torch.no_grad()
def panels(vae: VAE, test: Images, codes: Codes, bounds: Bounds, seed: int) -> Arrays:
    """Arrays of every figure of a VAE; images are uint8 (..., C, H, W), outputs are means of p(x|z)."""
    first = spread_over_classes(test, PAIRS)
    worst = bounds.reconstruction.topk(min(PAIRS, len(test))).indices
    order = bounds.kl_per_latent.argsort(descending=True)
    return {
        "kl_per_latent": bounds.kl_per_latent.numpy(),
        "variance_of_mean": bounds.variance_of_mean.numpy(),
        "reconstruction_images": to_8_bits(test.pixels[first]),
        "reconstruction_outputs": decoded(vae, codes.mean[first]),
        "worst_images": to_8_bits(test.pixels[worst]),
        "worst_outputs": decoded(vae, codes.mean[worst]),
        "worst_nats": bounds.reconstruction[worst].numpy(),
        "samples": decoded(vae, prior_samples(vae, seed, SAMPLES)),
        **_traversal_arrays(vae, codes.mean[first[0]], bounds),
        "interpolations": interpolations(vae, codes.mean[first]),
        **_map_arrays(test, codes, order, seed),
    }


def classifier_panels(vae: VAE, test: Images, probabilities: Float[Tensor, "N Y"], seed: int) -> Arrays:
    """Reconstructions, samples and confusion matrix of a self-trained VAE."""
    first = spread_over_classes(test, PAIRS)
    codes = encode(vae, test.take(first))
    return {
        "taught_images": to_8_bits(test.pixels[first]),
        "taught_outputs": decoded(vae, codes.mean),
        "taught_samples": decoded(vae, prior_samples(vae, seed, SAMPLES)),
        "taught_confusion": confusion(probabilities, test.labels),
    }


def confusion(probabilities: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]) -> Int[np.ndarray, "Y Y"]:
    """Confusion matrix of counts; rows are true classes, columns predicted ones."""
    classes = probabilities.shape[1]
    return (labels * classes + probabilities.argmax(-1)).bincount(minlength=classes**2).view(classes, classes).numpy()


@torch.no_grad()
def decoded(vae: VAE, z: Float[Tensor, "*batch D"]) -> UInt8[np.ndarray, "*batch C H W"]:
    """Means of p(x|z) as 8-bit images; of discrete latents, of the values nearest to ``z`` that z can have."""
    z = z.to(vae.zero.device)
    z = vae.to_posterior.nearest(z) if isinstance(vae.to_posterior, Quantiser) else z
    return to_8_bits(vae.decode(z).mean)


@torch.no_grad()
def prior_samples(vae: VAE, seed: int, count: int) -> Float[Tensor, "N D"]:
    """Draw codes from the prior."""
    if isinstance(prior := vae.prior(), Independent):  # N(0, I), with the same samples on every device
        return torch.randn(count, len(vae.zero), generator=torch.Generator().manual_seed(seed))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return prior.sample((count,)).cpu()


def _traversal_arrays(vae: VAE, code: Float[Tensor, " D"], bounds: Bounds) -> Arrays:
    """Traversals of latents, or of the codes of discrete latents, with what they vary."""
    if isinstance(vae.to_posterior, Quantiser) and bounds.code_use is not None:
        groups = bounds.code_use.entropies.argsort(descending=True)[:TRAVERSALS]
        codes = bounds.code_use.most_used(groups, STEPS)
        return {
            "code_counts": bounds.code_use.counts.numpy(),
            "traversal_groups": groups.numpy(),
            "traversal_codes": codes.numpy(),
            "code_traversals": code_traversals(vae, code, groups, codes),
        }
    latents = bounds.kl_per_latent.argsort(descending=True)[:TRAVERSALS]
    return {"traversal_latents": latents.numpy(), "traversals": traversals(vae, code, latents)}


def code_traversals(
    vae: VAE, z: Float[Tensor, " D"], groups: Int[Tensor, " G"], codes: Int[Tensor, "G S"]
) -> UInt8[np.ndarray, "G S C H W"]:
    """One row per group: the codes of ``z`` with that of the group replaced by each of its row, decoded."""
    quantiser = vae.to_posterior
    assert isinstance(quantiser, Quantiser)
    changed = quantiser.codes_of(z.to(vae.zero.device)).repeat(*codes.shape, 1)
    changed[torch.arange(len(groups)), :, groups] = codes.to(changed)
    return decoded(vae, quantiser.vectors(changed))


def traversals(vae: VAE, code: Float[Tensor, " D"], latents: Int[Tensor, " L"]) -> np.ndarray:
    """One row per latent: ``code`` with that latent varied over +-3 standard deviations of the prior, decoded."""
    z = code.repeat(len(latents), STEPS, 1)
    z[torch.arange(len(latents)), :, latents] = torch.linspace(-3, 3, STEPS)
    return decoded(vae, z)


def interpolations(vae: VAE, codes: Float[Tensor, "M D"]) -> np.ndarray:
    """Decoded linear interpolations between pairs of consecutive codes, one row per pair."""
    pairs = codes[: 2 * min(INTERPOLATIONS, len(codes) // 2)].view(-1, 2, codes.shape[1])
    fraction = torch.linspace(0, 1, STEPS)[:, None]
    return decoded(vae, torch.stack([a + fraction * (b - a) for a, b in pairs]))


def _map_arrays(test: Images, codes: Codes, order: Int[Tensor, " D"], seed: int) -> Arrays:
    shuffled = torch.from_numpy(np.random.default_rng(seed).permutation(len(test)))
    rows = shuffled[spread_over_classes(test.take(shuffled), MAP_POINTS)].sort().values
    mean, log_variance = codes.mean[rows].numpy(), codes.log_variance
    perplexity = min(30.0, (len(mean) - 1) / 3)
    from sklearn.manifold import TSNE

    tsne = TSNE(2, perplexity=perplexity, init="pca" if mean.shape[1] > 1 else "random", random_state=seed, n_jobs=-1)
    return {
        "map_rows": rows.numpy(),
        "map_images": _downscale(to_8_bits(test.pixels[rows]), MAP_SIDE if test.shape[0] <= 3 else MAP_SIDE // 2),
        "map_labels": test.labels[rows].numpy(),
        "map_codes": mean,
        "map_log_variance": np.zeros_like(mean) if log_variance is None else log_variance[rows].numpy(),
        "map_latents": order[:3].numpy(),
        "map_tsne": tsne.fit_transform(mean),
    }


def _downscale(pixels: UInt8[np.ndarray, "N C H W"], side: int) -> UInt8[np.ndarray, "N C h w"]:
    """Images downscaled so that neither side is longer than ``side``."""
    longest = max(pixels.shape[2:])
    if longest <= side:
        return pixels
    size = [max(1, round(length * side / longest)) for length in pixels.shape[2:]]
    parts = [
        torch.nn.functional.interpolate(part.float(), size, mode="area") for part in torch.from_numpy(pixels).split(250)
    ]
    return torch.cat(parts).round().to(torch.uint8).numpy()


def head_arrays(classifier: LinearClassifier) -> Arrays:
    """Weights of a linear probe, for the explorer."""
    return {"head_weight": classifier.weight.numpy(), "head_bias": classifier.bias.numpy()}


def spread_over_classes(images: Images, count: int) -> Int[Tensor, " M"]:
    """First ``count`` rows in round-robin order of classes: the first image of each class, then the second ones."""
    labels = images.labels.numpy()
    if (labels == HIDDEN).all():
        return torch.arange(min(count, len(labels)))
    occurrence = np.zeros(len(labels), dtype=int)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        occurrence[members] = np.arange(len(members))
    return torch.from_numpy(np.lexsort((labels, occurrence))[:count])
