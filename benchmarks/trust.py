"""How far the answers of `vaebench classify` can be trusted: `python benchmarks/trust.py [--minutes N] [--out DIR]`.

Coverage: 20 draws of 10 labels a class from CIFAR-10 and Fashion-MNIST, one VAE for all; how often the interval
that the report gives holds the true accuracy on the hidden labels. Asking: accuracy after labels chosen by
`to-label-next`, and after as many random ones. Goes on where it was stopped; writes trust.json, trust.md and
trust/*.png.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from bench import About, Bench, Row, Tasks
from torch import Tensor
from trust_page import CAPTIONS, asking, intervals, page, true_accuracy

from vaebench.classification.active_learning import select_to_label_next
from vaebench.classification.methods import METHODS
from vaebench.classification.methods import MethodContext as Material
from vaebench.classification.selection import cross_validate, selected_method
from vaebench.classification.settings import Settings, settings_for
from vaebench.core.statistics import mean_interval
from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Images, balanced_draw
from vaebench.evaluation.calibration import apply_temperature, brier_score
from vaebench.experiments.experiment import Experiment, cifar10
from vaebench.training.prediction import predict_with

COVERED = ("cifar10", "fashion-mnist")
ASKED = ("mnist", "fashion-mnist")
HOW = ("asked", "random")
EACH, DRAWS = 10, 20
FIRST, MORE, ROUNDS, ASKED_DRAWS = 20, 30, 2, 5
"""Labels that are given first, at random; labels a round; rounds; draws."""
MINUTES = 160


@dataclass
class Field:
    """One data set, its truth apart."""

    name: str
    images: Images
    truth: Tensor
    settings: Settings
    bench: Material
    key: str
    note: str = ""
    """What a reader must know of the images."""


MADE: dict[str, Field] = {}


def field(experiment: Experiment, name: str) -> Field:
    """The training images of a data set, and one VAE of them; one for all draws."""
    if name not in MADE:
        MADE[name] = made_field(experiment, name)
    return MADE[name]


def made_field(experiment: Experiment, name: str) -> Field:
    """The same, from what the study has kept."""
    data = experiment.data(cifar10() if name == "cifar10" else Data(source=name))
    parts = data.train, data.validation
    pixels, truth = (torch.cat([getattr(part, what) for part in parts]) for what in ("pixels", "labels"))
    images = Images(pixels, torch.full_like(truth, -1), data.classes)
    settings = settings_for(images.shape, len(images), 10 * EACH)
    none = images.take(slice(0, 0))
    trial = experiment.network(
        f"{name}/vae",
        Dataset(name, images, none, none),
        lambda: settings.model.build(images.shape),
        (images, None),
        settings.objective,
        settings.training,
        settings.seed,
        {"model": settings.model.model_dump()},
    )
    bench = Material(
        images,
        len(data.classes),
        settings.model,
        trial.vae,
        settings.semi_supervised,
        settings.supervised,
        experiment.compute,
    )
    return Field(name, images, truth, settings, bench, trial.key, data.note)


def covered(experiment: Experiment, name: str, draw: int) -> dict[str, Any]:
    """One draw of labels: what the report would say, and the truth."""
    one = field(experiment, name)
    rows = balanced_draw(one.truth, EACH, (0, draw))
    identity = {"vae": one.key, "rows": rows.tolist(), "settings": one.settings.model_dump(mode="json")}
    labels, hidden = one.truth[rows], torch.ones(len(one.truth), dtype=torch.bool)
    hidden[rows] = False

    def keep(name: str, fold: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        step = f"{one.name}/draw-{draw}/{name}-{fold}"
        return experiment.arrays(step, {**identity, "fold": fold}, lambda: {"answers": make()})["answers"]

    choice = cross_validate(one.bench, rows, labels, keep)
    assert choice is not None
    method, temperature = selected_method(choice)
    truth = one.truth[hidden]

    def make() -> dict[str, Any]:
        accuracies, scores = {}, {}
        for name, each in METHODS.items():
            network = each.fit(one.bench, rows, labels, one.settings.seed)
            shares = predict_with(network, 0, experiment.compute)(one.images)[hidden]
            accuracies[name] = float((shares.argmax(1) == truth).double().mean())
            if name == method:
                scores = {"brier": brier_score(apply_temperature(shares, temperature), truth)}
        frequencies = torch.bincount(truth).double() / len(truth)
        scores["brier_by_frequencies"] = brier_score(frequencies.expand(len(truth), -1), truth)
        return {"true": accuracies, **scores}

    found = experiment.step(f"{one.name}/draw-{draw}/truth", {**identity, "method": method}, make)
    return {
        "draw": draw,
        "method": method,
        "expected": choice.expected_accuracy._asdict(),
        "held_out": choice.accuracies,
        **found,
    }


def asked(experiment: Experiment, name: str, draw: int, how: str) -> list[float]:
    """Accuracy on the images that were never labelled, after each round of labels; the first labels are shared."""
    one = field(experiment, name)
    generator = np.random.default_rng((1, draw))
    rows, accuracies = first_labels(one.truth, generator), []
    for step in range(ROUNDS + 1):
        rows = rows.sort().values
        found = labelled(experiment, one, f"{how}-{draw}/{step}" if step else f"first-{draw}", rows, draw)
        accuracies.append(float(found["accuracy"]))
        more = torch.tensor(found["ask"])
        if how == "random":
            free = np.setdiff1d(np.arange(len(one.truth)), rows.numpy())
            more = torch.from_numpy(generator.permutation(free)[:MORE])
        rows = torch.cat([rows, more])
    return accuracies


def labelled(experiment: Experiment, one: Field, step: str, rows: Tensor, draw: int) -> dict[str, Any]:
    """Accuracy on the other images when these are labelled, and what to label next."""
    identity = {"vae": one.key, "settings": one.settings.model_dump(mode="json"), "draw": draw, "rows": rows.tolist()}

    def make() -> dict[str, Any]:
        network = METHODS["self-trained"].fit(one.bench, rows, one.truth[rows], draw)
        shares = predict_with(network, 0, experiment.compute)(one.images)
        free = torch.ones(len(one.truth), dtype=torch.bool)
        free[rows] = False
        ask = select_to_label_next(one.bench.means, shares.numpy(), rows.numpy(), MORE, seed=draw)
        return {"accuracy": float((shares.argmax(1) == one.truth)[free].double().mean()), "ask": ask.tolist()}

    return experiment.step(f"{one.name}/{step}", identity, make)


def first_labels(truth: Tensor, generator: np.random.Generator) -> Tensor:
    """Random labels, at least one of each class, as the methods need."""
    while True:
        rows = torch.from_numpy(generator.permutation(len(truth))[:FIRST])
        if len(truth[rows].unique()) == len(truth.unique()):
            return rows


def coverage_row(name: str, note: str, draws: list[dict[str, Any]]) -> dict[str, Any]:
    """What the draws say together."""
    true = [true_accuracy(draw) for draw in draws]
    spans = [(draw["expected"]["low"], draw["expected"]["high"]) for draw in draws]
    singles = {method: float(np.median([draw["true"][method] for draw in draws])) for method in METHODS}
    best = max(singles, key=lambda method: singles[method])
    return {
        "data": name,
        "note": note,
        "measure": "coverage",
        "labels_per_class": EACH,
        "draws": len(draws),
        "covered": sum(low <= share <= high for share, (low, high) in zip(true, spans, strict=True)),
        "mean_width": float(np.mean([high - low for low, high in spans])),
        "median_accuracy": float(np.median(true)),
        "best_single": best,
        "median_accuracy_of_best_single": singles[best],
        "medians": singles,
        "brier": float(np.mean([draw["brier"] for draw in draws])),
        "brier_by_frequencies": float(np.mean([draw["brier_by_frequencies"] for draw in draws])),
        "values": draws,
    }


def asking_rows(name: str, found: dict[str, list[list[float]]]) -> Iterator[dict[str, Any]]:
    """Accuracy by number of labels, asked for and random, and their difference with its interval."""
    for step in range(1, ROUNDS + 1):
        values = {how: [curve[step] for curve in curves] for how, curves in found.items()}
        gaps = [a - b for a, b in zip(values["asked"], values["random"], strict=True)]
        yield {
            "data": name,
            "measure": "asking",
            "labels": FIRST + step * MORE,
            "draws": len(gaps),
            "asked": float(np.mean(values["asked"])),
            "random": float(np.mean(values["random"])),
            "difference": float(np.mean(gaps)),
            "interval": list(mean_interval(gaps)),
            "values": values,
        }


def tasks(experiment: Experiment) -> Tasks:
    """The VAEs, then every draw."""
    found: dict[str, Callable[[], object]] = {
        f"{name}/vae": partial(field, experiment, name) for name in dict.fromkeys(COVERED + ASKED)
    }
    for name, draw in product(COVERED, range(DRAWS)):
        found[f"{name}/covered-{draw}"] = partial(covered, experiment, name, draw)
    for name, draw, how in product(ASKED, range(ASKED_DRAWS), HOW):
        found[f"{name}/{how}-{draw}"] = partial(asked, experiment, name, draw, how)
    return found


def rows(experiment: Experiment) -> list[Row]:
    """All rows."""
    found = []
    for name in COVERED:
        draws = [covered(experiment, name, draw) for draw in range(DRAWS)]
        found.append(coverage_row(name, field(experiment, name).note, draws))
    for name in ASKED:
        found += asking_rows(name, {how: [asked(experiment, name, d, how) for d in range(ASKED_DRAWS)] for how in HOW})
    experiment.figure("intervals", lambda: intervals([row for row in found if row["measure"] == "coverage"]))
    experiment.figure("asking", lambda: asking([row for row in found if row["measure"] == "asking"]))
    return found


def render(about: About) -> str:
    """trust.json as a page."""
    return page(about, f"{EACH} random labels of each class", FIRST, MORE, ASKED_DRAWS)


BENCH = Bench(
    "trust",
    MINUTES,
    tasks,
    rows,
    render,
    CAPTIONS,
)

if __name__ == "__main__":
    BENCH.run(__doc__)
