"""Baselines with all labels: probes of frozen codes, and the information bottleneck."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vaebench.core.frozen import Frozen, stable_key
from vaebench.core.statistics import summary, wilson_interval
from vaebench.data.augment import Augmentation
from vaebench.data.images import Batch, Images
from vaebench.deprecated import upgrade_rows
from vaebench.evaluation.probes import KNN, Head, Logistic, Probe
from vaebench.evaluation.scores import Split, score
from vaebench.few_label_benchmark.context import PAIRED, DatasetContext
from vaebench.few_label_benchmark.titles import METHOD_TITLES
from vaebench.models.information_bottleneck import (
    InformationBottleneck,
    InformationBottleneckLoss,
    InformationBottleneckModel,
)
from vaebench.models.loss import LossOutput
from vaebench.models.networks import MLP
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, OneCycle

PROBES: dict[str, Probe] = {
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
Row = dict[str, Any]


def all_label_rows(context: DatasetContext, selected: str) -> list[Row]:
    """Accuracy of each probe on the baselines and the selected representation, with all labels of the training part."""
    return [
        row
        for representation in dict.fromkeys(("pca", "random", "elbo", selected))
        for name in PROBES
        for row in _probe_rows(context, representation, name)
    ]


def _probe_rows(context: DatasetContext, representation: str, name: str) -> list[Row]:
    probe, experiment, key = PROBES[name], context.experiment, f"{representation}-{name}"

    def measure() -> dict[str, Any]:
        features = context.features(representation)
        codes = features.standardised()
        split = Split(codes.train, codes.validation, codes.test)
        dimensions = features.train.mean.shape[1]
        return score(probe, split, context.classes, 0, experiment.compute) | {"dimensions": dimensions}

    identity = {"probe": stable_key(probe), "of": context.key(representation)}
    result = experiment.step(f"{context.name}/all/{key}", identity, measure)
    augmentation = context.augmentation_at(PAIRED.get(representation, "none"))
    base = _row(context, key, METHOD_TITLES[key], "accuracy", augmentation) | {
        "dimensions": result["dimensions"],
        "seconds": result["seconds"],
    }
    accuracies = {"validation": result["validation_accuracy"], "test": result["accuracy"]}
    return [{**base, "split": part, **summary([value])} for part, value in accuracies.items()]


def _row(context: DatasetContext, key: str, title: str, metric: str, augmentation: Augmentation) -> Row:
    return {
        "data": context.name,
        "method": key,
        "group": "all labels",
        "labels_per_class": "all",
        "title": title,
        "metric": metric,
        "augmentation": augmentation.amounts or None,
        "budget": context.experiment.budget,
    }


class AugmentedBottleneckLoss(Frozen):
    """Loss of the information bottleneck on augmented images."""

    augmentation: Augmentation
    loss: InformationBottleneckLoss = InformationBottleneckLoss()

    def __call__(self, model: InformationBottleneck, batch: Batch, progress: float) -> LossOutput:
        """Loss of the augmented batch."""
        return self.loss(model, self.augmentation.augment(batch), progress)


def bottleneck_tasks(context: DatasetContext) -> dict[str, Callable[[], dict[str, Any]]]:
    """Training and test of each information bottleneck, by "method/seed"."""
    return {
        f"{key}/{seed}": partial(_train_bottleneck, context, key, seed)
        for key in _bottlenecks(context)
        for seed in context.experiment.seeds(SEEDS)
    }


def _bottlenecks(context: DatasetContext) -> dict[str, tuple[Augmentation, int]]:
    """Augmentation and epochs by method."""
    return {
        "bottleneck": (Augmentation(), context.experiment.pick(1, 10, 60)),
        "bottleneck-augmented": (context.augmentation, context.experiment.pick(1, 60, 200)),
    }


def bottleneck_rows(context: DatasetContext) -> list[Row]:
    """Test error of the information bottleneck, without and with augmentation, over seeds; 12 samples of z per image.

    The interval is over seeds; ``wilson`` is the 95 % interval of the mean error for this number of images.
    """
    rows = []
    for key, (augmentation, epochs) in _bottlenecks(context).items():
        results = [_train_bottleneck(context, key, seed) for seed in context.experiment.seeds(SEEDS)]
        base = _row(context, key, f"information bottleneck, {epochs} epochs", "error", augmentation) | {
            "published": 0.0113,
            "source": "Alemi et al. 2017",
            "seconds": sum(result["seconds"] for result in results) / len(results),
        }
        for part, images in context.parts.items():
            errors = [result[part] for result in results]
            wilson = list(wilson_interval(sum(errors) / len(errors), len(images)))
            rows.append({**base, "split": part, **summary(errors), "wilson": wilson})
    return rows


def _train_bottleneck(context: DatasetContext, key: str, seed: int) -> dict[str, Any]:
    model, data = InformationBottleneckModel(), context.data
    augmentation, epochs = _bottlenecks(context)[key]
    trained = context.experiment.network(
        f"{context.name}/{key}-{seed}",
        data,
        lambda: model.build(data.train.shape, context.classes),
        (data.train, None),
        AugmentedBottleneckLoss(augmentation=augmentation),
        Training(epochs=epochs, batch=128, optimiser=Adam(rate=5e-3, beta2=0.99), ema=0.998),
        seed,
        {"model": model.model_dump()},
    )

    def test() -> dict[str, Any]:
        network = trained.model
        assert isinstance(network, InformationBottleneck)
        return {part: _error(network, images) for part, images in context.parts.items()} | {"seconds": trained.seconds}

    step = f"{context.name}/{key}-{seed}-test"
    errors: dict[str, Any] = upgrade_rows(context.experiment.step(step, {"trial": trained.key}, test))
    return errors


@torch.no_grad()
def _error(network: InformationBottleneck, images: Images) -> float:
    wrong = 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for rows in torch.arange(len(images)).split(1000):
            batch = images.batch(rows).to(network.zero.device)
            missed: Tensor = network.probabilities(batch.x, SAMPLES).argmax(1) != batch.labels
            wrong += int(missed.sum())
    return wrong / len(images)
