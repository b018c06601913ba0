"""The fully labelled end: heads that read frozen codes with every label, and the information bottleneck."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vaebench.data.augment import Augmentation
from vaebench.data.images import Batch
from vaebench.evaluation.calibration import wilson
from vaebench.evaluation.few_labels import summary
from vaebench.evaluation.probes import KNN, Head, Logistic, Probe
from vaebench.evaluation.scores import Split, score
from vaebench.frozen import Frozen, stable_key
from vaebench.ladder.arena import PAIRED, Arena
from vaebench.ladder.choice import Choice
from vaebench.models.bottleneck import Bottleneck, BottleneckLoss, BottleneckModel
from vaebench.models.networks import MLP
from vaebench.models.terms import Terms
from vaebench.studies.study import Study
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


def full_rows(study: Study, arena: Arena, choice: Choice) -> list[dict[str, Any]]:
    """Accuracy of each head on each representation of a data set with all labels of the training part."""
    rows = []
    for representation in dict.fromkeys(("pca", "random", "elbo", choice.representation)):
        for head, probe in HEADS.items():
            rows += _head_rows(study, arena, representation, head, probe)
    return rows


def _head_rows(study: Study, arena: Arena, representation: str, head: str, probe: Probe) -> list[dict[str, Any]]:
    identity = {"probe": stable_key(probe), "of": arena.key(representation)}

    def measure() -> dict[str, Any]:
        split = _labelled_codes(arena, representation)
        return score(probe, split, arena.classes, 0, study.compute) | {
            "dimensions": arena.features(representation).train.mean.shape[1]
        }

    found = study.step(f"{arena.name}/all/{representation}-{head}", identity, measure)
    known = arena.known(PAIRED.get(representation, "nothing"))
    base: dict[str, Any] = {
        "data": arena.name,
        "method": f"{representation}-{head}",
        "group": "all labels",
        "labels_per_class": "all",
    }
    base |= {"words": f"{representation}, {head}", "metric": "accuracy", "dimensions": found["dimensions"]}
    base |= {"augmentation": known.amounts or None, "seconds": found["seconds"], "budget": study.budget}
    parts = {"held": found["validation_accuracy"], "test": found["accuracy"]}
    return [{**base, "split": part, **summary([value])} for part, value in parts.items()]


def _labelled_codes(arena: Arena, representation: str) -> Split:
    standard = arena.features(representation).standardised()
    return Split(standard.train, standard.validation, standard.test)


class AugmentedBottleneck(Frozen):
    """The bottleneck's loss on augmented images."""

    augmentation: Augmentation
    loss: BottleneckLoss = BottleneckLoss()

    def __call__(self, model: Bottleneck, batch: Batch, progress: float) -> Terms:
        """The loss of the images as changed."""
        return self.loss(model, Batch(self.augmentation(batch.x), batch.labels), progress)


def bottlenecks(study: Study, arena: Arena) -> dict[str, Callable[[], dict[str, Any]]]:
    """Each training of an information bottleneck, by method and seed."""
    return {
        f"{key}/{seed}": partial(_bottleneck, study, arena, key, augmentation, epochs, seed)
        for key, (augmentation, epochs) in _variants(study, arena).items()
        for seed in study.seeds(SEEDS)
    }


def _variants(study: Study, arena: Arena) -> dict[str, tuple[Augmentation, int]]:
    """Augmentation and epochs by method."""
    return {
        "bottleneck": (Augmentation(), study.pick(1, 10, 60)),
        "bottleneck-augmented": (arena.augmentation, study.pick(1, 60, 200)),
    }


def bottleneck_rows(study: Study, arena: Arena) -> list[dict[str, Any]]:
    """Test error of the information bottleneck, without and with augmentation, over seeds; 12 samples of z an image.

    The interval is over seeds; ``wilson`` is the 95 % interval of the mean error for so many test images.
    """
    rows, made = [], {name: make() for name, make in bottlenecks(study, arena).items()}
    for key, (augmentation, epochs) in _variants(study, arena).items():
        found = [made[f"{key}/{seed}"] for seed in study.seeds(SEEDS)]
        base: dict[str, Any] = {
            "data": arena.name,
            "method": key,
            "group": "all labels",
            "labels_per_class": "all",
            "metric": "error",
        }
        base |= {"words": f"information bottleneck, {epochs} epochs", "budget": study.budget}
        base |= {"augmentation": augmentation.amounts or None, "published": 0.0113, "source": "Alemi et al. 2017"}
        base |= {"seconds": sum(one["seconds"] for one in found) / len(found)}
        for part in ("held", "test"):
            values = [one[part] for one in found]
            count = len(getattr(arena.data, "validation" if part == "held" else part))
            mean = sum(values) / len(values)
            rows.append({**base, "split": part, **summary(values), "wilson": list(wilson(mean, count))})
    return rows


def _bottleneck(
    study: Study, arena: Arena, key: str, augmentation: Augmentation, epochs: int, seed: int
) -> dict[str, Any]:
    model, data = BottleneckModel(), arena.data
    training = Training(epochs=epochs, batch=128, optimiser=Adam(rate=5e-3, beta2=0.99), ema=0.998)
    objective = AugmentedBottleneck(augmentation=augmentation)
    trial = study.network(
        f"{arena.name}/{key}-{seed}",
        data,
        lambda: model.build(data.train.shape, arena.classes),
        (data.train, None),
        objective,
        training,
        seed,
        {"model": model.model_dump()},
    )

    def test() -> dict[str, Any]:
        network = trial.model
        assert isinstance(network, Bottleneck)
        return {part: _error(network, arena, part) for part in ("held", "test")} | {"seconds": trial.seconds}

    return study.step(f"{arena.name}/{key}-{seed}-test", {"trial": trial.key}, test)


@torch.no_grad()
def _error(network: Bottleneck, arena: Arena, part: str) -> float:
    images, wrong = arena.parts[part], 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for rows in torch.arange(len(images)).split(1000):
            batch = images.batch(rows).to(network.zero.device)
            missed: Tensor = network.probabilities(batch.x, SAMPLES).argmax(1) != batch.labels
            wrong += int(missed.sum())
    return wrong / len(images)
