"""The report of a sweep: a table of all points, the best by validation ELBO, and each score against each axis."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from vaebench.core.files import write_text
from vaebench.core.statistics import summary
from vaebench.plotting.palette import clean, shortened
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.plotting.style import STYLE
from vaebench.plotting.templates import template
from vaebench.runs.report.curves import mean_series
from vaebench.runs.report.figures import EmbeddedFigure, embed
from vaebench.runs.report.tables import Table, mean_and_sd
from vaebench.sweeps.grid import Axis
from vaebench.sweeps.sweep import Point, Sweep, score_names
from vaebench.sweeps.trial import BEST

MAX_LINES = 8
BOUNDS = {"accuracy": (0.0, 100.0), "KL": (0.0, math.inf), "units": (0.0, math.inf), "minutes": (0.0, math.inf)}
"""Range of a score, to which its intervals are clipped; by a part of its name."""
UNITS = {"ELBO": "nats per image", "KL": "nats per image", "accuracy": "accuracy (%)", "minutes": "minutes"}


def write_page(result: Sweep) -> Path:
    """Write report.html into the folder of the sweep and return its path.

    Raises:
        VaebenchError: the folder cannot be written.
    """
    page = result.folder / "report.html"
    write_text(page, render(result))
    return page


def render(result: Sweep) -> str:
    """Return the page as HTML, with every name escaped."""
    return template("sweep.html.j2", "vaebench.sweeps").render(
        title=f"Sweep of {result.name}",
        lead=_lead(result),
        best=verdict(result),
        table=points_table(result),
        figures=[_figure(axis, result) for axis in result.axes if len(axis.values) > 1],
        errors=[(point.description, error) for point in result.points for error in point.errors],
    )


def _lead(result: Sweep) -> str:
    axes = " x ".join(f"{len(axis.values)} values of {axis.field}" for axis in result.axes) or "the recipe unchanged"
    count = len(result.points) * result.seeds
    return (
        f"{axes}, {result.seeds} seed{'' if result.seeds == 1 else 's'} each: {count} trial{'' if count == 1 else 's'}."
    )


def verdict(result: Sweep) -> str:
    """The best point, in one sentence."""
    best = result.best
    if best is None:
        return "No trial succeeded."
    return f"Best by {BEST}: {clean(best.description)}, {_score_text(best, BEST)} nats per image."


def _score_text(point: Point, name: str) -> str:
    """Mean and standard deviation over seeds."""
    values = point.scores.get(name)
    return mean_and_sd(summary(values) if values else None, ".3f" if "accuracy" in name else ".2f")


def _validation_elbo(point: Point) -> float:
    elbo = point.mean(BEST)
    return -math.inf if elbo is None else elbo


def points_table(result: Sweep) -> Table:
    """All points by descending validation ELBO, with the best one highlighted."""
    names = score_names(result)
    ordered = sorted(result.points, key=_validation_elbo)[::-1]
    rows = []
    for point in ordered:
        scores = (_score_text(point, name) for name in names)
        rows.append([clean(point.description), str(len(point.folders)), *scores])
    return Table(["values", "seeds (n)", *names], rows, (0,) if result.best else ())


def _figure(axis: Axis, result: Sweep) -> EmbeddedFigure:
    with matplotlib.rc_context(STYLE):
        return embed(plot_axis(axis, result), axis.field, axis.field)


def plot_axis(axis: Axis, result: Sweep) -> Figure:
    """One panel per score against the values of an axis, one line per combination of the other axes."""
    x, names = _x_values(axis)
    panels = []
    for name in score_names(result):
        curves = {title: _series(axis, name, result, others, x) for title, others in _others(axis, result)[:MAX_LINES]}
        curves = {title: series for title, series in curves.items() if series.x}
        unit = next((unit for part, unit in UNITS.items() if part in name), "count")
        if curves:
            label = axis.field.split(".")[-1]
            panels.append(Panel(name, curves, label, unit, log_x=min(x) > 0 and max(x) / min(x) >= 10, names=names))
    return lines(panels)


def _x_values(axis: Axis) -> tuple[list[float], list[str]]:
    """The values as numbers; values that are not numbers are numbered, and returned as tick labels."""
    try:
        return [float(value) for value in axis.values], []
    except ValueError:
        return [float(index + 1) for index in range(len(axis.values))], [shortened(clean(v), 14) for v in axis.values]


def _others(axis: Axis, result: Sweep) -> list[tuple[str, dict[str, str]]]:
    """The combinations of values of all other axes, each with its title."""
    combinations: dict[str, dict[str, str]] = {}
    for point in result.points:
        others = {field: value for field, value in point.values.items() if field != axis.field}
        title = ", ".join(f"{field.split('.')[-1]} {value}" for field, value in others.items())
        combinations.setdefault(shortened(clean(title or "mean over seeds"), 30), others)
    return list(combinations.items())


def _series(axis: Axis, name: str, result: Sweep, others: dict[str, str], numbers: list[float]) -> Series:
    x, values = [], []
    for value, number in zip(axis.values, numbers, strict=True):
        point = next(p for p in result.points if p.values == {**others, axis.field: value})
        if name in point.scores:
            x.append(number)
            values.append(point.scores[name])
    bounds = next((bounds for part, bounds in BOUNDS.items() if part in name), (-math.inf, math.inf))
    return mean_series(x, values, 100.0 if "accuracy" in name else 1.0, bounds)
