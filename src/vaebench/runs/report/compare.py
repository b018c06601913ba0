"""`write_comparison()`: a page on several runs, with scores, differences, curves and differing recipe fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np

from vaebench.core.files import write_text
from vaebench.plotting.palette import clean, shortened
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.plotting.style import STYLE, signed
from vaebench.plotting.templates import template
from vaebench.runs.report.comparison import (
    SUBJECTS,
    Comparison,
    Group,
    Score,
    accuracy_values,
    compare,
    has_seeds,
)
from vaebench.runs.report.curves import mean_series
from vaebench.runs.report.figures import EmbeddedFigure, embed
from vaebench.runs.report.tables import NONE, Table, accuracy_rows, data_title, probe_names
from vaebench.runs.rows import ResultRow
from vaebench.runs.run import Run

BETTER = {"ELBO": 1, "accuracy": 1, "reconstruction, -log p(x|z)": -1}
"""Sign of an improvement, by name or unit of the score; other scores have no better direction."""
METHOD_TITLES = {"graph": "label propagation on latents", "self-training": "self-trained VAE"}
"""Titles of the panels of methods that use no probe."""
LOSSES = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
MAX_LEGEND_NAME = 34


class Cell(NamedTuple):
    """A difference and its interval as text; ``outcome`` is "win", "lose" or empty."""

    difference: str
    interval: str
    outcome: str


def write_comparison(paths: Sequence[str | Path], out: Path) -> Comparison:
    """Write the comparison page of the runs in these folders and return its contents.

    Raises:
        VaebenchError: there are fewer than two runs, one cannot be read, or ``out`` cannot be written.
    """
    comparison = compare(paths)
    write_text(out, render(comparison))
    return comparison


def render(comparison: Comparison) -> str:
    """Return the page as HTML, with every name escaped."""
    groups, scores = comparison.groups, comparison.scores
    names = [group.name for group in groups]
    seeds, paired = has_seeds(groups), any(score.paired for score in scores)
    score_rows = [[score.name, score.unit, *map(score.mean_and_sd, range(len(names)))] for score in scores]
    return template("compare.html.j2", "vaebench.runs.report").render(
        title=shortened(" and ".join(names), 80),
        names=names,
        notes=comparison.notes,
        scores=Table(["on the test images", "unit", *names], score_rows),
        differences=[(score.name, [difference_cell(score, i) for i in range(1, len(names))]) for score in scores],
        over="seeds" if seeds else "label draws (scores in nats have one value per run)",
        paired=f"paired by {'seed' if seeds else 'draw'} if the label draws are the same" if paired else "by Welch's t",
        figures=_figures(groups),
        fields=Table(["field", *names], [[key, *values] for key, values in comparison.fields]),
        runs=runs_table(groups),
    )


def difference_cell(score: Score, group: int) -> Cell:
    """Difference of a group from the first as text, with its outcome."""
    result = score.difference(group)
    if result is None:
        return Cell(NONE, "", "")
    difference, interval = result
    form = ".3f" if score.unit == "accuracy" else ".2f"
    if interval is None:
        return Cell(signed(difference, form), "one value", "")
    better = BETTER.get(score.name, BETTER.get(score.unit, 0))
    low, high = sorted(better * end for end in interval)
    outcome = "win" if low > 0 else "lose" if high < 0 else ""
    return Cell(signed(difference, form), " to ".join(signed(end, form) for end in interval), outcome)


def runs_table(groups: Sequence[Group]) -> Table:
    """One row per run."""
    columns: dict[str, Callable[[Run], str]] = {
        "folder": lambda run: clean(str(run.path)),
        "data": data_title,
        "latents": lambda run: str(run.recipe.model.latent),
        "objective": lambda run: run.results["recipe"]["objective"]["kind"],
        "seed": lambda run: str(run.recipe.seed),
        "epochs": lambda run: str(len(run.history)),
        "minutes": lambda run: f"{run.results['seconds'] / 60:.1f}",
        "commit": lambda run: (run.results["commit"] or "unknown")[:12],
    }
    return Table([*columns], [[text(run) for text in columns.values()] for group in groups for run in group.runs])


def _figures(groups: Sequence[Group]) -> list[EmbeddedFigure]:
    figures = []
    with matplotlib.rc_context(STYLE):
        if panels := accuracy_panels(groups):
            caption = (
                "Test accuracy against labels per class: means, with 95 % intervals of the mean as bands. Differences "
                "larger than the bands are clear. Accuracies with all labels are in the table."
            )
            figure = lines(panels, columns=2, size=(4.6, 3.6))
            figures.append(embed(figure, "learning-curves", "Learning curves", caption))
        caption = (
            "On validation images, in nats per image; bands span the minimum and maximum over seeds. Nats are "
            "comparable only between runs with the same likelihood and images."
        )
        figures.append(embed(lines(loss_panels(groups)), "training", "Training", caption))
    return figures


def accuracy_panels(groups: Sequence[Group]) -> list[Panel]:
    """Accuracy against labels per class: one panel per probe or method, one line per recipe."""
    by_seed, panels = has_seeds(groups), []
    probes = dict.fromkeys(name for group in groups for name in probe_names(group.runs[0]) if name != "supervised")
    for probe in probes:
        if curves := _curves(groups, partial(_accuracy_curve, probe=probe, by_seed=by_seed)):
            title = METHOD_TITLES.get(probe, f"latents, {probe}")
            panels.append(Panel(title, curves, "labels per class", "test accuracy (%)", log_x=True))
    return panels


def _curves(groups: Sequence[Group], curve: Callable[[Group], Series]) -> dict[str, Series]:
    """The curve of each group that has one, by the name in the legend."""
    curves = {shortened(group.name, MAX_LEGEND_NAME): curve(group) for group in groups}
    return {name: series for name, series in curves.items() if series.x}


def _accuracy_curve(group: Group, probe: str, by_seed: bool) -> Series:
    rows_at: dict[int, list[ResultRow]] = {}
    for run in group.runs:
        for row in accuracy_rows(run):
            count = row["labels_per_class"]
            if row["probe"] == probe and row["features"] in SUBJECTS and count != "all":
                rows_at.setdefault(count, []).append(row)
    counts = sorted(rows_at)
    values = [accuracy_values(rows_at[count], by_seed) for count in counts]
    return mean_series([float(count) for count in counts], values, 100.0, (0.0, 100.0))


def loss_panels(groups: Sequence[Group]) -> list[Panel]:
    """ELBO, reconstruction and KL on validation images by epoch: one panel each, one line per recipe."""
    panels = []
    for key, title in LOSSES.items():
        if curves := _curves(groups, partial(_loss_curve, key=f"validation_{key}")):
            panels.append(Panel(title, curves, "epoch", "nats per image", limits=_y_limits(curves)))
    return panels


def _loss_curve(group: Group, key: str) -> Series:
    """Means over the group's runs, up to the last epoch that all of them reached."""
    curves = [[epoch[key] for epoch in run.history if key in epoch] for run in group.runs]
    values = np.array([curve[: min(map(len, curves))] for curve in curves])
    epochs = list(range(1, values.shape[1] + 1))
    band = (values.min(0).tolist(), values.max(0).tolist()) if len(curves) > 1 else (None, None)
    return Series(epochs, values.mean(0).tolist(), *band)


def _y_limits(curves: dict[str, Series]) -> tuple[float, float]:
    """Range of the last nine tenths of the epochs, because the first would compress the rest."""
    late = np.concatenate([series.y[len(series.y) // 10 :] for series in curves.values()])
    margin = 0.05 * float(np.ptp(late)) or 1.0
    return float(late.min()) - margin, float(late.max()) + margin
