"""Page and figures of trust.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmark_script import Report, Row, provenance
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaebench.classification.methods import METHODS
from vaebench.core.statistics import mean_interval
from vaebench.plotting.plots import COLOURS, Panel, Series, lines
from vaebench.plotting.style import INK

CAPTIONS = {
    "intervals": "Expected accuracy of the report with its 95 % interval, and true accuracy, for each draw of labels.",
    "asking": "Accuracy on the images without labels, mean over draws, with 95 % intervals (Student's t).",
}


def draw_intervals(rows: list[Row]) -> Figure:
    """Interval and true accuracy of each draw, draws sorted by true accuracy."""
    figure = Figure(figsize=(4.4 * len(rows), 3.8), layout="constrained")
    for ax, row in zip(figure.subplots(1, len(rows), squeeze=False).flat, rows, strict=True):
        _interval_panel(ax, row)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _interval_panel(ax: Axes, row: Row) -> None:
    draws = sorted(row["values"], key=true_accuracy)
    x = np.arange(1, len(draws) + 1)
    mean, low, high = (100 * np.array([draw["expected"][key] for draw in draws]) for key in ("accuracy", "low", "high"))
    style: dict[str, Any] = {"fmt": "_", "capsize": 2, "linewidth": 1.2, "color": COLOURS[1]}
    ax.errorbar(x, mean, yerr=[mean - low, high - mean], label="expected accuracy with its 95 % interval", **style)
    truth = [100 * true_accuracy(draw) for draw in draws]
    ax.plot(x, truth, "o", markersize=4, color=INK, label="true accuracy on the hidden labels")
    ax.set_title(f"{row['data']}: {row['covered']} of {row['draws']}")
    ax.set_xlabel("draws of labels, by true accuracy")
    ax.set_ylabel("accuracy (%)")
    ax.set_xticks([])
    ax.grid(axis="y")


def draw_queries(rows: list[Row]) -> Figure:
    """Accuracy by number of labels, of images chosen by `to-label-next` and of random ones."""
    panels = []
    for name in dict.fromkeys(row["data"] for row in rows):
        own, series = [row for row in rows if row["data"] == name], {}
        for strategy, title in (("asked", "chosen by to-label-next"), ("random", "random")):
            means = [100 * row[strategy] for row in own]
            intervals = [[100 * end for end in mean_interval(row["values"][strategy])] for row in own]
            low, high = ([interval[side] for interval in intervals] for side in (0, 1))
            series[title] = Series([row["labels"] for row in own], means, low, high)
        panels.append(Panel(name, series, "labels in total", "accuracy (%)"))
    figure = lines(panels, 2, (4.0, 3.2))
    for ax in figure.axes:
        ax.set_xticks(sorted({row["labels"] for row in rows}))
    return figure


def true_accuracy(draw: dict[str, Any]) -> float:
    """True accuracy of the selected method."""
    return float(draw["true"][draw["method"]])


def median_bias(draws: list[dict[str, Any]]) -> float:
    """Median over draws of the expected accuracy minus the true one."""
    return float(np.median([draw["expected"]["accuracy"] - true_accuracy(draw) for draw in draws]))


def describe_augmentation(rows: list[Row]) -> str:
    """How the coverage was measured, also where it was before augmentations were compared."""
    if any("augmentation" not in row for row in rows):
        how = "one VAE for all draws, with gentle augmentation. Measured before label propagation, nearest neighbours "
        how += "and a chosen augmentation were added to `classify`, with 32 or 64 latents"
    else:
        how = "one VAE for all draws, with the augmentation that the first draw chooses"
    return (
        f"Random labels of each class, {how}. In each draw cross-validation on the labelled images selects one of the "
        "methods, and the report states its expected accuracy with a 95 % interval. Brier scores: lower is better. The "
        "label propagation and the optimiser of self-training were selected with images and labels of MNIST, "
        "Fashion-MNIST, Quick Draw and CIFAR-10 (lab book, 2026-11-22)."
    )


def render_page(report: Report, first: int, more: int, draws: int) -> str:
    """Render trust.json as Markdown.

    Args:
        report: content of trust.json.
        first: random labels at the start of active learning.
        more: labels per round of active learning.
        draws: draws of active learning.
    """
    coverage, queries = ([row for row in report["rows"] if row["measure"] == key] for key in ("coverage", "asking"))
    out = [
        "# Reliability of `vaebench classify`",
        "",
        provenance(report, "trust"),
        "",
        "`classify` learns from all training images of a data set, few of them labelled; here the labels of the "
        "others are known too.",
        "",
        "## Coverage of the accuracy interval",
        "",
        describe_augmentation(coverage),
        "",
        "| data | labels per class | intervals that contain the true accuracy | mean width | median accuracy | median "
        "of expected minus true | best single method | its median accuracy | Brier score | of the class frequencies |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in coverage:
        out.append(
            f"| {row['data']}, {row.get('augmentation', 'gentle')} | {row['labels_per_class']} | "
            f"{row['covered']} of {row['draws']} | "
            f"{100 * row['mean_width']:.1f} points | {100 * row['median_accuracy']:.1f} % | "
            f"{100 * median_bias(row['values']):+.1f} | {METHODS[row['best_single']].title} | "
            f"{100 * row['median_accuracy_of_best_single']:.1f} % | {row['brier']:.3f} | "
            f"{row['brier_by_frequencies']:.3f} |"
        )
    out += ["", *dict.fromkeys(f"{row['data']}: {row['note']}." for row in coverage if row["note"])]
    out += [
        *figure_with_caption("intervals"),
        "Median of the true accuracy, and number of draws in which cross-validation selected the method:",
        "",
        *method_table(coverage),
        "",
        "## Active learning by `to-label-next`",
        "",
        f"The semi-supervised VAE, starting from {first} random labels, at least one per class; each round adds "
        f"{more} labels, of the images in `to-label-next` or of random images; {draws} draws, both with the same "
        "first labels.",
        "",
        "| data | labels | to-label-next | random | difference (95 % interval, points) |",
        "|---|---|---|---|---|",
    ]
    for row in queries:
        low, high = (100 * end for end in row["interval"])
        mark = "**" if low > 0 or high < 0 else ""
        out.append(
            f"| {row['data']} | {row['labels']} | {100 * row['asked']:.1f} % | {100 * row['random']:.1f} % | "
            f"{mark}{100 * row['difference']:+.1f} ({low:+.1f} to {high:+.1f}){mark} |"
        )
    out += ["", "Bold: the interval excludes 0.", "", describe_queries(queries)]
    return "\n".join([*out, *figure_with_caption("asking")]).rstrip() + "\n"


def describe_queries(rows: list[Row]) -> str:
    """Whether active learning is better than random labels, as a sentence."""
    better, worse = sum(row["interval"][0] > 0 for row in rows), sum(row["interval"][1] < 0 for row in rows)
    if better == len(rows):
        return "Labels chosen by `to-label-next` are significantly better than random ones in every row."
    return (
        f"Labels chosen by `to-label-next` are significantly better than random ones in {better} of {len(rows)} rows "
        f"and significantly worse in {worse}: an advantage is not shown."
    )


def figure_with_caption(name: str) -> list[str]:
    """Lines of Markdown that show a figure with its caption."""
    return ["", f"![{CAPTIONS[name]}](trust/{name}.png)", "", f"*{CAPTIONS[name]}*", ""]


def method_table(rows: list[Row]) -> list[str]:
    """Median true accuracy of each method, and how often it was selected, as a table in Markdown."""
    heads = (f"{row['data']}, {row['labels_per_class']}" for row in rows)
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (1 + len(rows)) + "|"]
    for name, method in METHODS.items():
        selected = [sum(draw["method"] == name for draw in row["values"]) for row in rows]
        cells = [
            f"{100 * row['medians'][name]:.1f} %, {count} of {row['draws']}"
            if name in row["medians"]
            else "not measured"
            for row, count in zip(rows, selected, strict=True)
        ]
        lines.append(f"| {method.title} | {' | '.join(cells)} |")
    return lines
