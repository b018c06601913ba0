"""How few epochs a VAE needs: `python benchmarks/schedules.py [--minutes N] [--out DIR]`.

Optimisers and rates under one cycle of four epochs, beside twenty epochs of Adam at a constant rate, by the loss of
validation images alone: MNIST, Fashion-MNIST and Quick Draw, three seeds. Goes on where it was stopped; writes
schedules.json, schedules.md and schedules/*.png.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
from bench import About, Bench, Row, Tasks, made_by
from matplotlib.figure import Figure

from vaebench.core.statistics import mean_interval
from vaebench.data.datasets import Data
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.networks import Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Constant, Muon

MINUTES = 29
"""On two cores."""
SEEDS, EPOCHS = 3, 4
DATA = ("mnist", "fashion-mnist", "quickdraw")
MODEL = Model(latent=20, network=Conv())
CONSTANT = "constant"
RULES: dict[str, tuple[str, Training]] = {
    CONSTANT: ("Adam at a constant 0.001", Training(epochs=20, optimiser=Adam(rate=1e-3), schedule=Constant())),
    "adam-5": ("Adam, one cycle up to 0.005", Training(epochs=EPOCHS, optimiser=Adam(rate=5e-3, beta2=0.99))),
    "adam-10": ("Adam, one cycle up to 0.01", Training(epochs=EPOCHS, optimiser=Adam(rate=1e-2, beta2=0.99))),
    "muon-35": ("Muon, one cycle up to 0.035", Training(epochs=EPOCHS, optimiser=Muon(rate=0.035))),
    "muon-50": ("Muon, one cycle up to 0.05", Training(epochs=EPOCHS, optimiser=Muon(rate=0.05))),
    "muon-70": ("Muon, one cycle up to 0.07", Training(epochs=EPOCHS, optimiser=Muon(rate=0.07))),
}


def trained(experiment: Experiment, name: str, rule: str, seed: int) -> TrainedModel:
    """One VAE by one rule."""
    return experiment.vae(
        f"{name}/{rule}-{seed}", experiment.data(Data(source=name)), MODEL, Elbo(), RULES[rule][1], seed
    )


def tasks(experiment: Experiment) -> Tasks:
    """Every data set, rule and seed."""
    return {
        f"{name}/{rule}-{seed}": partial(trained, experiment, name, rule, seed)
        for seed, name, rule in product(range(SEEDS), DATA, RULES)
    }


def rows(experiment: Experiment) -> list[Row]:
    """One a data set and rule."""
    found = []
    for name in DATA:
        constant = losses(experiment, name, CONSTANT)[:, -1]
        for rule, (words, training) in RULES.items():
            curves = losses(experiment, name, rule)
            behind = curves[:, -1] - constant
            seconds = [trained(experiment, name, rule, seed).seconds / training.epochs for seed in range(SEEDS)]
            found.append(
                {
                    "data": name,
                    "rule": rule,
                    "words": words,
                    "epochs": training.epochs,
                    "loss": float(curves[:, -1].mean()),
                    "behind": float(behind.mean()),
                    "interval": None if rule == CONSTANT else list(mean_interval(behind.tolist())),
                    "reached": int((behind <= 0).sum()),
                    "seconds_an_epoch": float(np.median(seconds)),
                    "values": curves.tolist(),
                }
            )
    experiment.figure("losses", lambda: figure(found))
    return found


def losses(experiment: Experiment, name: str, rule: str) -> np.ndarray:
    """Validation loss in nats per image, (seeds, epochs)."""
    trials = [trained(experiment, name, rule, seed) for seed in range(SEEDS)]
    return np.array([[record["validation_loss"] for record in trial.history] for trial in trials])


def figure(found: list[Row]) -> Figure:
    """Validation loss by epoch, means over seeds; the range is that of the ends."""
    panels = []
    for name in DATA:
        own = [row for row in found if row["data"] == name]
        series = {}
        for row in own:
            mean = np.mean(row["values"], axis=0)
            series[row["words"]] = Series(list(range(1, len(mean) + 1)), mean.tolist())
        low, high = (
            min(row["loss"] for row in own),
            max(np.mean(row["values"], axis=0)[min(2, row["epochs"] - 1)] for row in own),
        )
        panels.append(Panel(name, series, "epoch", "validation loss (nats)", limits=(low - 0.5, float(high))))
    return lines(panels, 3, (4.2, 3.4))


def best(found: list[Row]) -> str:
    """The rule of one cycle whose loss is least, mean over data sets of its difference from the constant rate."""
    rules = [rule for rule in RULES if rule != CONSTANT]
    return min(rules, key=lambda rule: float(np.mean([row["behind"] for row in found if row["rule"] == rule])))


def reached(found: list[Row]) -> str:
    """Where the mean of the best rule is below that of the constant rate, and where it is not."""
    own = [row for row in found if row["rule"] == best(found)]
    below = [row["data"] for row in own if row["behind"] < 0]
    above = [row["data"] for row in own if row["behind"] >= 0]
    words = (
        f"In {EPOCHS} epochs its mean falls below that of 20 at the constant rate on {' and '.join(below) or 'none'}"
    )
    return f"{words}{', not on ' + ' and '.join(above) if above else ''}."


def render(about: About) -> str:
    """schedules.json as a page."""
    found = about["rows"]
    out = [
        "# How few epochs a VAE needs",
        "",
        f"{made_by(about, 'schedules')} 32-64-64 convolutions, 20 latents, beta 1, batches of 128, {SEEDS} seeds. "
        "Losses are those of validation images, split from the training images, in nats per image; no test image was "
        "looked at. Behind: the mean difference from Adam at a constant rate after 20 epochs, same seeds (95 % "
        "interval, Student's t); below 0 is better. Seconds are those of one thread, two trainings side by side.",
        "",
        f"Least over the three data sets: **{RULES[best(found)][0]}**. {reached(found)}",
        "",
        "| data | rule | epochs | validation loss | behind | seeds that reach it | seconds an epoch |",
        "|---|---|---|---|---|---|---|",
    ]
    out += [line(row) for row in found]
    return "\n".join([*out, "", "![Validation loss by epoch](schedules/losses.png)"]) + "\n"


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    cells = [row["data"], row["words"], str(row["epochs"]), f"{row['loss']:.2f}"]
    if row["interval"] is None:
        cells += ["", ""]
    else:
        low, high = row["interval"]
        cells += [f"{row['behind']:+.2f} ({low:+.2f} to {high:+.2f})", f"{row['reached']} of {SEEDS}"]
    return f"| {' | '.join(cells)} | {row['seconds_an_epoch']:.0f} |"


BENCH = Bench("schedules", MINUTES, tasks, rows, render, {"losses": "Validation loss by epoch"})

if __name__ == "__main__":
    BENCH.run(__doc__)
