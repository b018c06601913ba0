"""A sweep to report.html: all points in a table, the best by validation, each axis against each score."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from vaebench.core.files import write_text
from vaebench.core.statistics import summary
from vaebench.plotting.palette import clean, shortened
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.plotting.style import STYLE, png
from vaebench.plotting.templates import template
from vaebench.runs.report.tables import Table
from vaebench.sweeps.grid import Axis
from vaebench.sweeps.sweep import Sweep, score_names
from vaebench.sweeps.trial import BEST

MOST_LINES = 8
BOUNDS = {"accuracy": (0.0, 100.0), "KL": (0.0, math.inf), "units": (0.0, math.inf), "minutes": (0.0, math.inf)}
"""What no value of a score lies beyond, so that no interval need either."""
UNITS = {"ELBO": "nats per image", "KL": "nats per image", "accuracy": "accuracy (%)", "minutes": "minutes"}


def write_page(found: Sweep) -> Path:
    """Write report.html into the sweep's folder.

    Raises:
        VaebenchError: the folder cannot be written.
    """
    page = found.folder / "report.html"
    write_text(page, render(found))
    return page


def render(found: Sweep) -> str:
    """The page as HTML; every name in it is escaped."""
    return template("sweep.html.j2", "vaebench.sweeps").render(
        title=f"Sweep of {found.name}",
        lead=_lead(found),
        best=verdict(found),
        table=points_table(found),
        figures=[_shown(axis, found) for axis in found.axes if len(axis.values) > 1],
        troubles=[(point.words, trouble) for point in found.points for trouble in point.troubles],
    )


def _lead(found: Sweep) -> str:
    axes = " x ".join(f"{len(axis.values)} values of {axis.field}" for axis in found.axes) or "the recipe as it is"
    count = len(found.points) * found.seeds
    return (
        f"{axes}, {found.seeds} seed{'' if found.seeds == 1 else 's'} each: {count} trial{'' if count == 1 else 's'}."
    )


def verdict(found: Sweep) -> str:
    """The best point in words."""
    best = found.best
    if best is None:
        return "No trial ended well."
    return f"Best by {BEST}: {clean(best.words)}, {spread(best.scores[BEST], BEST)} nats per image."


def spread(values: list[float] | None, name: str) -> str:
    """Mean and standard deviation over seeds, in words."""
    if not values:
        return "\N{EN DASH}"
    found, form = summary(values), ".3f" if "accuracy" in name else ".2f"
    words = format(found["mean"], form) if found["sd"] is None else f"{found['mean']:{form}} ± {found['sd']:{form}}"
    return words.replace("-", "\N{MINUS SIGN}")


def points_table(found: Sweep) -> Table:
    """All points, the best by validation first; it stands out."""
    names = score_names(found)
    means = [(point.mean(BEST), point) for point in found.points]
    ordered = [point for _, point in sorted(means, key=lambda pair: -math.inf if pair[0] is None else pair[0])[::-1]]
    rows = [
        [clean(point.words), str(len(point.folders)), *(spread(point.scores.get(name), name) for name in names)]
        for point in ordered
    ]
    return Table(["values", "seeds (n)", *names], rows, (0,) if found.best else ())


def _shown(axis: Axis, found: Sweep) -> dict[str, Any]:
    with matplotlib.rc_context(STYLE):
        figure = figure_of(axis, found)
        content = png(figure)
    return {
        "title": axis.field,
        "base64": base64.b64encode(content).decode(),
        "width": round(figure.get_figwidth() * 100),
    }


def figure_of(axis: Axis, found: Sweep) -> Figure:
    """A panel a score over the values of one axis, a line for each combination of the others."""
    numbers, names = _numbers(axis)
    panels = []
    for name in score_names(found):
        drawn = {
            words: _series(axis, name, found, others, numbers) for words, others in _others(axis, found)[:MOST_LINES]
        }
        drawn = {words: series for words, series in drawn.items() if series.x}
        unit = next((unit for part, unit in UNITS.items() if part in name), "count")
        if drawn:
            x = axis.field.split(".")[-1]
            panels.append(Panel(name, drawn, x, unit, log_x=_is_logarithmic(numbers), names=names))
    return lines(panels)


def _numbers(axis: Axis) -> tuple[list[float], list[str]]:
    """The values as numbers; words are numbered in their order, and shown themselves."""
    try:
        return [float(value) for value in axis.values], []
    except ValueError:
        return [float(index + 1) for index in range(len(axis.values))], [shortened(clean(v), 14) for v in axis.values]


def _is_logarithmic(numbers: list[float]) -> bool:
    return min(numbers) > 0 and max(numbers) / min(numbers) >= 10


def _others(axis: Axis, found: Sweep) -> list[tuple[str, dict[str, str]]]:
    """The combinations of all other axes, in words."""
    seen: dict[str, dict[str, str]] = {}
    for point in found.points:
        rest = {field: value for field, value in point.values.items() if field != axis.field}
        words = ", ".join(f"{field.split('.')[-1]} {value}" for field, value in rest.items())
        seen.setdefault(shortened(clean(words or "mean over seeds"), 30), rest)
    return list(seen.items())


def _series(axis: Axis, name: str, found: Sweep, others: dict[str, str], numbers: list[float]) -> Series:
    x, y, low, high = [], [], [], []
    times = 100.0 if "accuracy" in name else 1.0
    for value, number in zip(axis.values, numbers, strict=True):
        point = next(p for p in found.points if p.values == {**others, axis.field: value})
        if not (values := point.scores.get(name)):
            continue
        each = summary(values)
        ends = each["interval"] or (each["mean"], each["mean"])
        x.append(number)
        y.append(times * each["mean"])
        least, most = BOUNDS.get(next((part for part in BOUNDS if part in name), ""), (-math.inf, math.inf))
        low.append(max(least, times * ends[0]))
        high.append(min(most, times * ends[1]))
    return Series(x, y, low, high)
