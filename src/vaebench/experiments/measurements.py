"""Measurements of a trained VAE that several experiments share, each kept as a step."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vaebench.data.images import Dataset, Images
from vaebench.data.pixels import to_8_bits
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.panels import MAP_POINTS, PAIRS, SAMPLES, Arrays, decoded, prior_samples, spread_over_classes
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.networks import Conv
from vaebench.models.objectives import CrossEntropy
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, OneCycle

EVALUATION_NETWORK = Conv(
    filters=(32, 64), kernel=(3,), stride=(1,), padding=(1,), pool=(2,), hidden=(128,), dropout=0.3
)


def bounds_step(experiment: Experiment, name: str, trained: TrainedModel) -> dict[str, Any]:
    """Return ELBO and its terms (nats per image) and the KL of each latent, for ``test`` and ``validation``."""

    def measure() -> dict[str, Any]:
        return {part: _bounds(trained, getattr(trained.data, part)) for part in ("test", "validation")}

    return experiment.step(f"bounds/{name}", {"trial": trained.key}, measure)


def _bounds(trained: TrainedModel, images: Images) -> dict[str, Any]:
    result = bounds(trained.vae, images)
    return {
        "elbo": result.elbo,
        "reconstruction": float(result.reconstruction.mean()),
        "kl": result.kl,
        "dead": result.dead,
        "active": result.active,
        "kl_per_latent": result.kl_per_latent.tolist(),
        "variance_of_mean": result.variance_of_mean.tolist(),
    }


def image_grids_step(experiment: Experiment, name: str, trained: TrainedModel) -> Arrays:
    """Return test ``images``, their reconstructions ``outputs``, the worst of both, and ``samples`` from the prior."""

    def measure() -> Arrays:
        test, vae = trained.data.test, trained.vae
        mean = trained.features.test.mean
        rows = spread_over_classes(test, PAIRS)
        worst = bounds(vae, test).reconstruction.topk(min(PAIRS, len(test))).indices
        return {
            "images": to_8_bits(test.pixels[rows]),
            "outputs": decoded(vae, mean[rows]),
            "worst_images": to_8_bits(test.pixels[worst]),
            "worst_outputs": decoded(vae, mean[worst]),
            "samples": decoded(vae, prior_samples(vae, 0, SAMPLES)),
        }

    return experiment.arrays(f"sheets/{name}", {"trial": trained.key, "count": PAIRS}, measure)


def train_evaluation_classifier(experiment: Experiment, data: Dataset) -> TrainedModel:
    """Train a supervised CNN that classifies reconstructions and samples."""
    epochs, optimiser = experiment.pick(6, 3, 10), Adam(rate=3e-3, beta2=0.99)
    training = Training(epochs=epochs, batch=128, optimiser=optimiser, schedule=OneCycle())

    def build() -> nn.Module:
        return EVALUATION_NETWORK.encoder(data.train.shape, len(data.classes))

    parts, identity = (data.train, data.validation), {"network": EVALUATION_NETWORK.model_dump()}
    return experiment.network("evaluation-classifier", data, build, parts, CrossEntropy(), training, 0, identity)


@torch.no_grad()
def evaluation_probabilities(classifier: TrainedModel, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N Y"]:
    """Return the classifier's class probabilities for images with pixels in [0, 1]."""
    model, device = classifier.model, next(classifier.model.parameters()).device
    return torch.cat([model(part.to(device)).cpu() for part in x.split(1000)]).softmax(-1)


def pixels(images: Images) -> Float[Tensor, "N C H W"]:
    """Return all images with pixels in [0, 1]."""
    return images.batch(torch.arange(len(images))).x


@torch.no_grad()
def reconstructions(trained: TrainedModel) -> Float[Tensor, "N C H W"]:
    """Return the decoded posterior means of the test images."""
    mean = trained.features.test.mean.to(trained.vae.zero.device)
    return torch.cat([trained.vae.decode(z).mean.cpu() for z in mean.split(1000)])


def latent_map(experiment: Experiment, name: str, trained: TrainedModel, latents: list[int] | None = None) -> Arrays:
    """Return posterior means ``codes`` and ``labels`` of 2,000 evenly spaced test images, of these latents or all."""

    def measure() -> Arrays:
        test = trained.features.test
        rows = torch.linspace(0, len(test) - 1, min(MAP_POINTS, len(test))).long()
        codes = test.mean[rows] if latents is None else test.mean[rows][:, latents]
        return {"codes": codes.numpy(), "labels": test.labels[rows].numpy()}

    return experiment.arrays(f"maps/{name}", {"trial": trained.key, "latents": latents, "points": MAP_POINTS}, measure)
