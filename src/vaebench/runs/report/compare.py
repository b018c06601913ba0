"""write_comparison(): several runs to one page: scores, differences, curves overlaid, where the recipes differ."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from vaebench.core.files import write_text
from vaebench.core.statistics import summary
from vaebench.plotting.palette import clean, shortened
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.plotting.style import STYLE, png, signed
from vaebench.plotting.templates import template
from vaebench.runs.report.comparison import SUBJECTS, Comparison, Group, Score, by_seeds, compare, values_of
from vaebench.runs.report.tables import Table, accuracy_rows, data_title, probe_names

BETTER = {"ELBO": 1, "accuracy": 1, "reconstruction, -log p(x|z)": -1}
"""Sign of a better score, by its name or unit; others are neither."""
ALONE = {"graph": "latents on a graph", "self-training": "self-trained VAE"}
"""Titles of panels on what is no probe of each representation."""
PARTS = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
LONGEST = 34


class Shown(NamedTuple):
    """A figure as the page holds it."""

    name: str
    title: str
    caption: str
    base64: str
    width: int


class Cell(NamedTuple):
    """A difference in words; ``outcome`` is win, lose or nothing."""

    difference: str
    interval: str
    outcome: str


class DifferenceRow(NamedTuple):
    """The differences of one score."""

    name: str
    cells: list[Cell]


def write_comparison(paths: Sequence[str | Path], out: Path) -> Comparison:
    """Write the page on the runs in these folders.

    Raises:
        VaebenchError: fewer than two runs, or one that cannot be read; or ``out`` cannot be written.
    """
    found = compare(paths)
    write_text(out, render(found))
    return found


def render(found: Comparison) -> str:
    """The page as HTML; every name and number in it is escaped."""
    names = [group.name for group in found.groups]
    paired, seeds = any(score.paired for score in found.scores), by_seeds(found.groups)
    return template("compare.html.j2", "vaebench.runs.report").render(
        title=shortened(" and ".join(names), 80),
        names=names,
        notes=found.notes,
        scores=Table(["on the test images", "unit", *names], [_score_row(score, names) for score in found.scores]),
        differences=[_difference_row(score, names) for score in found.scores],
        over="seeds" if seeds else "draws of labels (nats have one value a run)",
        paired=f"{'seed by seed' if seeds else 'draw by draw'} where labels are the same" if paired else "by Welch's t",
        figures=_figures(found),
        fields=Table(["field", *names], [[key, *values] for key, values in found.fields]),
        runs=runs_table(found.groups),
    )


def _score_row(score: Score, names: Sequence[str]) -> list[str]:
    return [score.name, score.unit, *(score.spread(index) for index in range(len(names)))]


def _difference_row(score: Score, names: Sequence[str]) -> DifferenceRow:
    return DifferenceRow(score.name, [difference_cell(score, index) for index in range(1, len(names))])


def difference_cell(score: Score, group: int) -> Cell:
    """A group minus the first, in words and as better, worse or neither."""
    found = score.difference(group)
    if found is None:
        return Cell("\N{EN DASH}", "", "")
    form = ".3f" if score.unit == "accuracy" else ".2f"
    apart, interval = found
    if interval is None:
        return Cell(signed(apart, form), "one value", "")
    better = BETTER.get(score.name, BETTER.get(score.unit, 0))
    low, high = sorted(better * end for end in interval)
    outcome = "win" if low > 0 else "lose" if high < 0 else ""
    return Cell(signed(apart, form), f"{signed(interval[0], form)} to {signed(interval[1], form)}", outcome)


def runs_table(groups: Sequence[Group]) -> Table:
    """A row for every run."""
    header = ["folder", "data", "latents", "objective", "seed", "epochs", "minutes", "commit"]
    rows = []
    for run in (run for group in groups for run in group.runs):
        recipe = run.results["recipe"]
        rows.append(
            [
                clean(str(run.path)),
                data_title(run),
                str(recipe["model"]["latent"]),
                recipe["objective"]["kind"],
                str(recipe["seed"]),
                str(len(run.history)),
                f"{run.results['seconds'] / 60:.1f}",
                (run.results["commit"] or "not known")[:12],
            ]
        )
    return Table(header, rows)


def _figures(found: Comparison) -> list[Shown]:
    made = []
    with matplotlib.rc_context(STYLE):
        if panels := curve_panels(found.groups):
            caption = (
                "Test accuracy over labels a class: means, bands are 95 % intervals of the mean. "
                "Look for lines that leave one another by more than the bands. All labels at once are in the table."
            )
            made.append(
                _shown("learning-curves", "Learning curves", caption, lines(panels, columns=2, size=(4.6, 3.6)))
            )
        caption = (
            "On validation images, in nats per image; bands are the least and the greatest over seeds. Nats compare "
            "only between runs of one likelihood on the same images."
        )
        made.append(_shown("training", "Training", caption, lines(training_panels(found.groups))))
    return made


def _shown(name: str, title: str, caption: str, figure: Figure) -> Shown:
    content = base64.b64encode(png(figure)).decode()
    return Shown(name, title, caption, content, round(figure.get_figwidth() * 100))


def curve_panels(groups: Sequence[Group]) -> list[Panel]:
    """A panel a probe, a line a recipe: accuracy of its latents, of their graph, or of its self-trained VAE."""
    probes = list(dict.fromkeys(name for group in groups for name in probe_names(group.first)))
    panels = []
    for probe in [name for name in probes if name != "supervised"]:
        found = {shortened(group.name, LONGEST): _curve(group, probe, by_seeds(groups)) for group in groups}
        found = {name: series for name, series in found.items() if series.x}
        if found:
            title = ALONE.get(probe, f"latents, {probe}")
            panels.append(Panel(title, found, "labels a class", "test accuracy (%)", log_x=True))
    return panels


def _curve(group: Group, probe: str, seeds: bool) -> Series:
    cells: dict[int, list[dict[str, Any]]] = {}
    for run in group.runs:
        for row in accuracy_rows(run):
            if row["probe"] == probe and row["features"] in SUBJECTS and row["labels_per_class"] != "all":
                cells.setdefault(row["labels_per_class"], []).append(row)
    counts = sorted(cells)
    found: list[dict[str, Any]] = [summary(values_of(cells[count], seeds)) for count in counts]
    ends = [each["interval"] or (each["mean"], each["mean"]) for each in found]
    means, low, high = (
        [100 * value for value in values]
        for values in ([each["mean"] for each in found], [end[0] for end in ends], [end[1] for end in ends])
    )
    return Series(counts, means, np.clip(low, 0, 100).tolist(), np.clip(high, 0, 100).tolist())


def training_panels(groups: Sequence[Group]) -> list[Panel]:
    """ELBO, reconstruction and KL on validation images over epochs, a line a recipe."""
    panels = []
    for part, title in PARTS.items():
        found = {shortened(group.name, LONGEST): _history(group, f"validation_{part}") for group in groups}
        found = {name: series for name, series in found.items() if series.x}
        if found:
            panels.append(Panel(title, found, "epoch", "nats per image", limits=_frame(found)))
    return panels


def _history(group: Group, part: str) -> Series:
    """Means over the group's runs as far as all of them were trained."""
    curves = [[epoch[part] for epoch in run.history if part in epoch] for run in group.runs]
    values = np.array([curve[: min(map(len, curves))] for curve in curves])
    epochs = list(range(1, values.shape[1] + 1))
    band = (values.min(0).tolist(), values.max(0).tolist()) if len(curves) > 1 else (None, None)
    return Series(epochs, values.mean(0).tolist(), *band)


def _frame(found: dict[str, Series]) -> tuple[float, float]:
    """The range of all but the first tenth of epochs, which would flatten the rest."""
    late = np.concatenate([series.y[len(series.y) // 10 :] for series in found.values()])
    margin = 0.05 * float(np.ptp(late)) or 1.0
    return float(late.min()) - margin, float(late.max()) + margin
