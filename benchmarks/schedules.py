"""Epochs that a VAE needs, by optimiser: `python benchmarks/schedules.py [--minutes N] [--out DIR]`.

One-cycle schedules of four epochs with several optimisers and rates, compared with twenty epochs of Adam at a constant
rate, by validation loss alone, on MNIST, Fashion-MNIST and Quick Draw, three seeds each. Resumes where it was stopped;
writes schedules.json, schedules.md and schedules/*.png.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
from benchmark_script import BenchmarkScript, Report, Row, Tasks, import_script, provenance
from matplotlib.figure import Figure

from vaebench.core.statistics import mean_interval
from vaebench.data.datasets import Data
from vaebench.deprecated import upgrade_rows
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.networks import Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Constant, Muon

MINUTES = 29
"""Time on two cores."""
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


def train_vae(experiment: Experiment, name: str, rule: str, seed: int) -> TrainedModel:
    """VAE trained with one rule."""
    return experiment.vae(
        f"{name}/{rule}-{seed}", experiment.data(Data(source=name)), MODEL, Elbo(), RULES[rule][1], seed
    )


def tasks(experiment: Experiment) -> Tasks:
    """Training on every data set with every rule and seed."""
    return {
        f"{name}/{rule}-{seed}": partial(train_vae, experiment, name, rule, seed)
        for seed, name, rule in product(range(SEEDS), DATA, RULES)
    }


def rows(experiment: Experiment) -> list[Row]:
    """One row per data set and rule."""
    rows = []
    for name in DATA:
        constant = losses(experiment, name, CONSTANT)[:, -1]
        for rule, (title, training) in RULES.items():
            curves = losses(experiment, name, rule)
            behind = curves[:, -1] - constant
            seconds = [train_vae(experiment, name, rule, seed).seconds / training.epochs for seed in range(SEEDS)]
            rows.append(
                {
                    "data": name,
                    "rule": rule,
                    "title": title,
                    "epochs": training.epochs,
                    "loss": float(curves[:, -1].mean()),
                    "behind": float(behind.mean()),
                    "interval": None if rule == CONSTANT else list(mean_interval(behind.tolist())),
                    "reached": int((behind <= 0).sum()),
                    "seconds_an_epoch": float(np.median(seconds)),
                    "values": curves.tolist(),
                }
            )
    experiment.figure("losses", lambda: draw_losses(rows))
    return rows


def losses(experiment: Experiment, name: str, rule: str) -> np.ndarray:
    """Validation losses in nats per image, shape (seeds, epochs)."""
    trials = [train_vae(experiment, name, rule, seed) for seed in range(SEEDS)]
    return np.array([[record["validation_loss"] for record in trial.history] for trial in trials])


def draw_losses(rows: list[Row]) -> Figure:
    """Validation loss by epoch, mean over seeds; the y range is that of the final losses."""
    panels = []
    for name in DATA:
        own = [row for row in rows if row["data"] == name]
        series = {}
        for row in own:
            mean = np.mean(row["values"], axis=0)
            series[row["title"]] = Series(list(range(1, len(mean) + 1)), mean.tolist())
        low, high = (
            min(row["loss"] for row in own),
            max(np.mean(row["values"], axis=0)[min(2, row["epochs"] - 1)] for row in own),
        )
        panels.append(Panel(name, series, "epoch", "validation loss (nats)", limits=(low - 0.5, float(high))))
    return lines(panels, 3, (4.2, 3.4))


def best_rule(rows: list[Row]) -> str:
    """One-cycle rule with the lowest loss: mean over data sets of the difference from the constant rate."""
    rules = [rule for rule in RULES if rule != CONSTANT]
    return min(rules, key=lambda rule: float(np.mean([row["behind"] for row in rows if row["rule"] == rule])))


def describe_best(rows: list[Row]) -> str:
    """Data sets on which the mean loss of the best rule is below that of the constant rate, as a sentence."""
    own = [row for row in rows if row["rule"] == best_rule(rows)]
    below = [row["data"] for row in own if row["behind"] < 0]
    above = [row["data"] for row in own if row["behind"] >= 0]
    sentence = f"After {EPOCHS} epochs its mean loss is below that of 20 epochs at the constant rate on "
    return f"{sentence}{' and '.join(below) or 'none'}{', not on ' + ' and '.join(above) if above else ''}."


def render(report: Report) -> str:
    rows = upgrade_rows(report["rows"])
    out = [
        "# Epochs that a VAE needs",
        "",
        f"{provenance(report, 'schedules')} 32-64-64 convolutions, 20 latents, beta 1, batches of 128, {SEEDS} seeds. "
        "Losses are those of validation images, split from the training images, in nats per image; test images were "
        "not used. The difference is from Adam at a constant rate after 20 epochs, mean over the same seeds (95 % "
        "interval, Student's t); negative is better. Seconds are those of one thread, with two trainings in parallel.",
        "",
        f"Lowest over the three data sets: **{RULES[best_rule(rows)][0]}**. {describe_best(rows)}",
        "",
        "| data | rule | epochs | validation loss | difference | seeds at or below 0 | seconds per epoch |",
        "|---|---|---|---|---|---|---|",
    ]
    out += [table_row(row) for row in rows]
    return "\n".join([*out, "", "![Validation loss by epoch](schedules/losses.png)"]) + "\n"


def table_row(row: dict[str, Any]) -> str:
    """Row of the table in Markdown."""
    cells = [row["data"], row["title"], str(row["epochs"]), f"{row['loss']:.2f}"]
    if row["interval"] is None:
        cells += ["", ""]
    else:
        low, high = row["interval"]
        cells += [f"{row['behind']:+.2f} ({low:+.2f} to {high:+.2f})", f"{row['reached']} of {SEEDS}"]
    return f"| {' | '.join(cells)} | {row['seconds_an_epoch']:.0f} |"


BENCHMARK = BenchmarkScript("schedules", MINUTES, tasks, rows, render, {"losses": "Validation loss by epoch"})

if __name__ == "__main__":
    import_script("schedules").BENCHMARK.run(__doc__)
