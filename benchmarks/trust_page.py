"""The page and the figures of trust.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from bench import About, Row, made_by
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaebench.classification.methods import METHODS
from vaebench.core.statistics import mean_interval
from vaebench.plotting.plots import COLOURS, Panel, Series, lines
from vaebench.plotting.style import INK

CAPTIONS = {
    "intervals": "Accuracy that the report expects, with its interval, and the true one: a draw of labels each.",
    "asking": "Accuracy on the images that were never labelled, mean over draws, 95 % interval (Student's t).",
}


def intervals(found: list[Row]) -> Figure:
    """Each draw's interval with the truth in it or beside it, the draws in the order of the truth."""
    figure = Figure(figsize=(4.4 * len(found), 3.8), layout="constrained")
    for ax, row in zip(figure.subplots(1, len(found), squeeze=False).flat, found, strict=True):
        _draws(ax, row)
    handles, words = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=2)
    return figure


def _draws(ax: Axes, row: Row) -> None:
    draws = sorted(row["values"], key=true_accuracy)
    places = np.arange(1, len(draws) + 1)
    said = 100 * np.array([[draw["expected"][what] for what in ("accuracy", "low", "high")] for draw in draws]).T
    reach = [said[0] - said[1], said[2] - said[0]]
    look: dict[str, Any] = {"fmt": "_", "capsize": 2, "linewidth": 1.2, "color": COLOURS[1]}
    ax.errorbar(places, said[0], yerr=reach, label="what the report expects, with its 95 % interval", **look)
    truth = [100 * true_accuracy(draw) for draw in draws]
    ax.plot(places, truth, "o", markersize=4, color=INK, label="true accuracy on the hidden labels")
    ax.set_title(f"{row['data']}: {row['covered']} of {row['draws']}")
    ax.set_xlabel("draws of labels, by true accuracy")
    ax.set_ylabel("accuracy (%)")
    ax.set_xticks([])
    ax.grid(axis="y")


def asking(found: list[Row]) -> Figure:
    """Accuracy by the number of labels, asked for and random."""
    panels = []
    for name in dict.fromkeys(row["data"] for row in found):
        own, series = [row for row in found if row["data"] == name], {}
        for how, words in (("asked", "asked for by to-label-next"), ("random", "at random")):
            means = [100 * row[how] for row in own]
            ends = [[100 * end for end in mean_interval(row["values"][how])] for row in own]
            low, high = ([end[side] for end in ends] for side in (0, 1))
            series[words] = Series([row["labels"] for row in own], means, low, high)
        panels.append(Panel(name, series, "labels in all", "accuracy (%)"))
    figure = lines(panels, 2, (4.0, 3.2))
    for ax in figure.axes:
        ax.set_xticks(sorted({row["labels"] for row in found}))
    return figure


def true_accuracy(draw: dict[str, Any]) -> float:
    """Of the method that was chosen."""
    return float(draw["true"][draw["method"]])


def page(about: About, labels: str, first: int, more: int, draws: int) -> str:
    """trust.json as a page; ``labels`` says how many, and the others how labels were asked for."""
    rows = about["rows"]
    out = [
        "# How far `vaebench classify` can be trusted",
        "",
        made_by(about, "trust"),
        "",
        "`classify` learns from all training images of a set, few of them labelled; the truth of the others is known "
        "here. How labels are spread, and the optimiser of self-training, were chosen by images and labels of these "
        "very sets, after earlier runs on the same draws of CIFAR-10 (lab book, 2026-11-22).",
        "",
        "## Does the report's interval hold the truth?",
        "",
        f"{labels}, one VAE for all draws. In each draw five methods compete by "
        "cross-validation on the given labels, and the report names the accuracy to expect of the winner, with a 95 % "
        "interval. Brier scores: lower is better.",
        "",
        "| data | intervals that hold the true accuracy | mean width | median accuracy | best single method | "
        "its median | Brier score | of class frequencies |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found = [row for row in rows if row["measure"] == "coverage"]
    for row in found:
        out.append(
            f"| {row['data']} | {row['covered']} of {row['draws']} | {100 * row['mean_width']:.1f} points | "
            f"{100 * row['median_accuracy']:.1f} % | {METHODS[row['best_single']].title} | "
            f"{100 * row['median_accuracy_of_best_single']:.1f} % | {row['brier']:.3f} | "
            f"{row['brier_by_frequencies']:.3f} |"
        )
    out += ["", *(f"{row['data']}: {row['note']}." for row in found if row["note"])]
    out += [*shown("intervals"), *by_method(found)]
    out += [
        "## Is it worth labelling what is asked for?",
        "",
        f"The semi-supervised VAE, from {first} random labels on, at least one a class; {more} more a round, those of "
        f"`to-label-next` or as many random ones; {draws} draws, the same first labels for both.",
        "",
        "| data | labels | asked for | random | difference (95 % interval, points) |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        if row["measure"] == "asking":
            low, high = (100 * end for end in row["interval"])
            gap = 100 * row["difference"]
            mark = "**" if low > 0 or high < 0 else ""
            out.append(
                f"| {row['data']} | {row['labels']} | {100 * row['asked']:.1f} % | {100 * row['random']:.1f} % | "
                f"{mark}{gap:+.1f} ({low:+.1f} to {high:+.1f}){mark} |"
            )
    out += ["", "Bold: the interval does not hold 0.", "", helped(rows)]
    return "\n".join([*out, *shown("asking")]).rstrip() + "\n"


def helped(rows: list[Row]) -> str:
    """Whether it was worth it, in words."""
    found = [row for row in rows if row["measure"] == "asking"]
    better, worse = sum(row["interval"][0] > 0 for row in found), sum(row["interval"][1] < 0 for row in found)
    if better == len(found):
        return "Labels that are asked for help more than random ones in every row."
    return (
        f"Labels that are asked for are clearly better in {better} of {len(found)} rows and clearly worse in {worse}: "
        "that they help more than as many random ones is not shown."
    )


def shown(name: str) -> list[str]:
    """A figure with its caption."""
    words = CAPTIONS[name]
    return ["", f"![{words}](trust/{name}.png)", "", f"*{words}*", ""]


def by_method(found: list[Row]) -> list[str]:
    """How often each method won, and the median of its true accuracy."""
    out = [f"| method | {' | '.join(row['data'] for row in found)} |", "|---" * (1 + len(found)) + "|"]
    for name, method in METHODS.items():
        won = [sum(draw["method"] == name for draw in row["values"]) for row in found]
        cells = [
            f"{100 * row['medians'][name]:.1f} %, {n} of {row['draws']}" for row, n in zip(found, won, strict=True)
        ]
        out.append(f"| {method.title} | {' | '.join(cells)} |")
    return ["Median of the true accuracy, and in how many draws the cross-validation chose the method:", "", *out, ""]
