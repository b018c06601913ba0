"""The fully labelled end: heads that read frozen codes with every label, and the information bottleneck."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vaebench.core.frozen import Frozen, stable_key
from vaebench.core.statistics import summary, wilson_interval
from vaebench.data.augment import Augmentation
from vaebench.data.images import Batch
from vaebench.evaluation.probes import KNN, Head, Logistic, Probe
from vaebench.evaluation.scores import Split, score
from vaebench.experiments.experiment import Experiment
from vaebench.few_label_benchmark.context import PAIRED, DatasetContext
from vaebench.few_label_benchmark.selection import Choice
from vaebench.models.information_bottleneck import (
    InformationBottleneck,
    InformationBottleneckLoss,
    InformationBottleneckModel,
)
from vaebench.models.loss import LossOutput
from vaebench.models.networks import MLP
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, OneCycle

HEADS: dict[str, Probe] = {
    "line": Logistic(),
    "knn": KNN(),
    "mlp": Head(
        name="mlp",
        network=MLP(hidden=(1024, 1024), dropout=0.3, batch_norm="before"),
        epochs=15,
        batch=256,
        optimiser=Adam(rate=3e-3, beta2=0.99, weight_decay=0.01),
        schedule=OneCycle(),
    ),
}
SEEDS = 3
SAMPLES = 12


def full_rows(experiment: Experiment, context: DatasetContext, choice: Choice) -> list[dict[str, Any]]:
    """Accuracy of each head on each representation of a data set with all labels of the training part."""
    rows = []
    for representation in dict.fromkeys(("pca", "random", "elbo", choice.representation)):
        for head, probe in HEADS.items():
            rows += _head_rows(experiment, context, representation, head, probe)
    return rows


def _head_rows(
    experiment: Experiment, context: DatasetContext, representation: str, head: str, probe: Probe
) -> list[dict[str, Any]]:
    identity = {"probe": stable_key(probe), "of": context.key(representation)}

    def measure() -> dict[str, Any]:
        split = _labelled_codes(context, representation)
        return score(probe, split, context.classes, 0, experiment.compute) | {
            "dimensions": context.features(representation).train.mean.shape[1]
        }

    found = experiment.step(f"{context.name}/all/{representation}-{head}", identity, measure)
    known = context.known(PAIRED.get(representation, "nothing"))
    base: dict[str, Any] = {
        "data": context.name,
        "method": f"{representation}-{head}",
        "group": "all labels",
        "labels_per_class": "all",
    }
    base |= {"words": f"{representation}, {head}", "metric": "accuracy", "dimensions": found["dimensions"]}
    base |= {"augmentation": known.amounts or None, "seconds": found["seconds"], "budget": experiment.budget}
    parts = {"held": found["validation_accuracy"], "test": found["accuracy"]}
    return [{**base, "split": part, **summary([value])} for part, value in parts.items()]


def _labelled_codes(context: DatasetContext, representation: str) -> Split:
    standard = context.features(representation).standardised()
    return Split(standard.train, standard.validation, standard.test)


class AugmentedBottleneck(Frozen):
    """The bottleneck's loss on augmented images."""

    augmentation: Augmentation
    loss: InformationBottleneckLoss = InformationBottleneckLoss()

    def __call__(self, model: InformationBottleneck, batch: Batch, progress: float) -> LossOutput:
        """The loss of the images as changed."""
        return self.loss(model, Batch(self.augmentation(batch.x), batch.labels), progress)


def bottlenecks(experiment: Experiment, context: DatasetContext) -> dict[str, Callable[[], dict[str, Any]]]:
    """Each training of an information bottleneck, by method and seed."""
    return {
        f"{key}/{seed}": partial(_bottleneck, experiment, context, key, augmentation, epochs, seed)
        for key, (augmentation, epochs) in _variants(experiment, context).items()
        for seed in experiment.seeds(SEEDS)
    }


def _variants(experiment: Experiment, context: DatasetContext) -> dict[str, tuple[Augmentation, int]]:
    """Augmentation and epochs by method."""
    return {
        "bottleneck": (Augmentation(), experiment.pick(1, 10, 60)),
        "bottleneck-augmented": (context.augmentation, experiment.pick(1, 60, 200)),
    }


def bottleneck_rows(experiment: Experiment, context: DatasetContext) -> list[dict[str, Any]]:
    """Test error of the information bottleneck, without and with augmentation, over seeds; 12 samples of z an image.

    The interval is over seeds; ``wilson`` is the 95 % interval of the mean error for so many test images.
    """
    rows, made = [], {name: make() for name, make in bottlenecks(experiment, context).items()}
    for key, (augmentation, epochs) in _variants(experiment, context).items():
        found = [made[f"{key}/{seed}"] for seed in experiment.seeds(SEEDS)]
        base: dict[str, Any] = {
            "data": context.name,
            "method": key,
            "group": "all labels",
            "labels_per_class": "all",
            "metric": "error",
        }
        base |= {"words": f"information bottleneck, {epochs} epochs", "budget": experiment.budget}
        base |= {"augmentation": augmentation.amounts or None, "published": 0.0113, "source": "Alemi et al. 2017"}
        base |= {"seconds": sum(one["seconds"] for one in found) / len(found)}
        for part in ("held", "test"):
            values = [one[part] for one in found]
            count = len(getattr(context.data, "validation" if part == "held" else part))
            mean = sum(values) / len(values)
            rows.append({**base, "split": part, **summary(values), "wilson": list(wilson_interval(mean, count))})
    return rows


def _bottleneck(
    experiment: Experiment, context: DatasetContext, key: str, augmentation: Augmentation, epochs: int, seed: int
) -> dict[str, Any]:
    model, data = InformationBottleneckModel(), context.data
    training = Training(epochs=epochs, batch=128, optimiser=Adam(rate=5e-3, beta2=0.99), ema=0.998)
    objective = AugmentedBottleneck(augmentation=augmentation)
    trial = experiment.network(
        f"{context.name}/{key}-{seed}",
        data,
        lambda: model.build(data.train.shape, context.classes),
        (data.train, None),
        objective,
        training,
        seed,
        {"model": model.model_dump()},
    )

    def test() -> dict[str, Any]:
        network = trial.model
        assert isinstance(network, InformationBottleneck)
        return {part: _error(network, context, part) for part in ("held", "test")} | {"seconds": trial.seconds}

    return experiment.step(f"{context.name}/{key}-{seed}-test", {"trial": trial.key}, test)


@torch.no_grad()
def _error(network: InformationBottleneck, context: DatasetContext, part: str) -> float:
    images, wrong = context.parts[part], 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for rows in torch.arange(len(images)).split(1000):
            batch = images.batch(rows).to(network.zero.device)
            missed: Tensor = network.probabilities(batch.x, SAMPLES).argmax(1) != batch.labels
            wrong += int(missed.sum())
    return wrong / len(images)
