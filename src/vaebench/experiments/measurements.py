"""What several studies measure of a trained VAE, each as a step: bounds, sheets of images, a classifier's judgement."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vaebench.data.images import Dataset, Images
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.panels import Arrays, decoded, prior_samples, spread_over_classes
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.networks import Conv
from vaebench.models.objectives import CrossEntropy
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, OneCycle

EVALUATION_NETWORK = Conv(
    filters=(32, 64), kernel=(3,), stride=(1,), padding=(1,), pool=(2,), hidden=(128,), dropout=0.3
)
SAMPLES = 64
MAP_POINTS = 2000


def bounds_step(experiment: Experiment, name: str, trial: TrainedModel) -> dict[str, Any]:
    """ELBO parts in nats per image, and what each latent carries, on ``test`` and ``validation``."""

    def measure() -> dict[str, Any]:
        return {part: _bounds(trial, getattr(trial.data, part)) for part in ("test", "validation")}

    return experiment.step(f"bounds/{name}", {"trial": trial.key}, measure)


def _bounds(trial: TrainedModel, images: Images) -> dict[str, Any]:
    found = bounds(trial.vae, images)
    return {
        "elbo": found.elbo,
        "reconstruction": float(found.reconstruction.mean()),
        "kl": found.kl,
        "dead": found.dead,
        "active": found.active,
        "kl_per_latent": found.kl_per_latent.tolist(),
        "variance_of_mean": found.variance_of_mean.tolist(),
    }


def image_grids_step(experiment: Experiment, name: str, trial: TrainedModel, count: int = 16) -> Arrays:
    """Test ``images``, their ``outputs`` (decoded means), the ``worst_images``, ``worst_outputs``, and ``samples``."""

    def measure() -> Arrays:
        test, vae = trial.data.test, trial.vae
        mean = trial.features.test.mean.to(vae.zero.device)
        rows = spread_over_classes(test, count)
        worst = bounds(vae, test).reconstruction.topk(min(count, len(test))).indices
        return {
            "images": test.pixels[rows].numpy(),
            "outputs": decoded(vae, mean[rows]),
            "worst_images": test.pixels[worst].numpy(),
            "worst_outputs": decoded(vae, mean[worst]),
            "samples": decoded(vae, prior_samples(vae, 0, SAMPLES)),
        }

    return experiment.arrays(f"sheets/{name}", {"trial": trial.key, "count": count}, measure)


def train_evaluation_classifier(experiment: Experiment, data: Dataset, name: str = "judge") -> TrainedModel:
    """A supervised CNN that reads images, so that reconstructions and samples can be counted."""
    training = Training(
        epochs=experiment.pick(6, 3, 10), batch=128, optimiser=Adam(rate=3e-3, beta2=0.99), schedule=OneCycle()
    )

    def build() -> nn.Module:
        return EVALUATION_NETWORK.encoder(data.train.shape, len(data.classes))

    identity = {"network": EVALUATION_NETWORK.model_dump()}
    return experiment.network(name, data, build, (data.train, data.validation), CrossEntropy(), training, 0, identity)


@torch.no_grad()
def evaluation_probabilities(classifier: TrainedModel, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N Y"]:
    """The classifier's probabilities of images with pixels in [0, 1]."""
    model = classifier.model
    device = next(model.parameters()).device
    return torch.cat([model(part.to(device)).cpu() for part in x.split(1000)]).softmax(-1)


def pixels(images: Images) -> Float[Tensor, "N C H W"]:
    """All pixels of these images, in [0, 1]."""
    return images.batch(torch.arange(len(images))).x


@torch.no_grad()
def reconstructions(trial: TrainedModel, part: str = "test") -> Float[Tensor, "N C H W"]:
    """Decoded posterior means of a part of the trial's data."""
    mean: Tensor = getattr(trial.features, part).mean.to(trial.vae.zero.device)
    return torch.cat([trial.vae.decode(z).mean.cpu() for z in mean.split(1000)])


def latent_map(experiment: Experiment, name: str, trial: TrainedModel, latents: list[int] | None = None) -> Arrays:
    """Means (``codes``) and ``labels`` of 2,000 test images, evenly spaced, for a scatter of these latents (or all)."""

    def measure() -> Arrays:
        test = trial.features.test
        rows = torch.linspace(0, len(test) - 1, min(MAP_POINTS, len(test))).long()
        codes = test.mean[rows] if latents is None else test.mean[rows][:, latents]
        return {"codes": codes.numpy(), "labels": test.labels[rows].numpy()}

    return experiment.arrays(f"maps/{name}", {"trial": trial.key, "latents": latents, "points": MAP_POINTS}, measure)


def confusion_counts(true: Int[Tensor, " N"], found: Int[Tensor, " N"], classes: int) -> np.ndarray:
    """A confusion matrix (Y, Y), rows true."""
    return (true * classes + found).bincount(minlength=classes**2).view(classes, classes).numpy()
