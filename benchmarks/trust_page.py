"""Page and figure of trust.py: `python benchmarks/trust_page.py` makes them from docs/results/trust/NAME.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_script import Report, Row
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from trust_queries import COLD, FIRST, MORE

from vaebench.classification.methods import METHODS
from vaebench.core.files import read_json, write_bytes, write_text
from vaebench.plotting.plots import COLOURS
from vaebench.plotting.style import INK, png

RESULTS = Path("docs/results")
COVERAGE_DATA = ("mnist", "fashion-mnist", "quickdraw", "cifar10", "digits")
CAPTION = (
    "Expected accuracy of the report with its 95 % interval, and true accuracy, for each draw of 10 labels per class."
)
COLUMNS = 3
"""Panels in a row of the figure."""
EARLIER = (
    "Without a named augmentation: measured before label propagation, nearest neighbours and a chosen augmentation "
    "were added to `classify`, with 32 or 64 latents."
)


def draw_intervals(rows: Sequence[Row]) -> Figure:
    """Interval and true accuracy of each draw, draws sorted by true accuracy."""
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.5 * lines + 0.4), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    for ax, row in zip(panels, rows, strict=False):
        _interval_panel(ax, row)
    for ax in panels[len(rows) :]:
        ax.remove()
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


def true_accuracy(draw: dict[str, Any]) -> float:
    """True accuracy of the selected method."""
    return float(draw["true"][draw["method"]])


def median_bias(draws: list[dict[str, Any]]) -> float:
    """Median over draws of the expected accuracy minus the true one."""
    return float(np.median([draw["expected"]["accuracy"] - true_accuracy(draw) for draw in draws]))


def render(report: Report) -> str:
    """Render the report of one data set as Markdown."""
    return render_page([report])


def render_page(reports: Sequence[Report]) -> str:
    """Render the reports of several data sets as Markdown."""
    found = [row for report in reports for row in report["rows"]]
    coverage, queries = ([row for row in found if row["measure"] == measure] for measure in ("coverage", "asking"))
    out = [
        "# Reliability of `vaebench classify`",
        "",
        "`classify` learns from all training images of a data set, few of them labelled; here the labels of the "
        "others are known too. Each data set is measured by a call of `make trust DATA=NAME`:",
        "",
        *provenance_table(reports),
        "",
        "## Coverage of the accuracy interval",
        "",
        *describe_coverage(coverage),
        "",
        *coverage_table(coverage),
        "",
    ]
    out += [f"{row['data']}: {row['note']}." for row in first_rows(coverage) if row["note"]]
    if any("augmentation" not in row for row in coverage):
        out += ["", EARLIER]
    out += ["", f"![{CAPTION}](trust/intervals.png)", "", f"*{CAPTION}*", ""] if len(reports) > 1 else [""]
    out += [
        "Median of the true accuracy, and number of draws in which cross-validation selected the method:",
        "",
        *method_table(coverage),
    ]
    return "\n".join([*out, *describe_queries(queries)]).rstrip() + "\n"


def provenance_table(reports: Sequence[Report]) -> list[str]:
    """Machine, time and commit of each data set, as a table in Markdown."""
    lines = ["| data | minutes | machine | date | commit |", "|---|---|---|---|---|"]
    for report in reports:
        made = report["made"]
        machine = f"{made['machine']['processor']}, {made['machine']['cores']} cores"
        commit = (made["commit"] or "unknown")[:12]
        name = report["rows"][0]["data"]
        lines.append(f"| {name} | {made['seconds'] / 60:.0f} | {machine} | {made['date']} | {commit} |")
    return lines


def first_rows(rows: Sequence[Row]) -> list[Row]:
    """The first row of each data set."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(row["data"], row)
    return list(found.values())


def describe_coverage(rows: Sequence[Row]) -> list[str]:
    """How the coverage was measured, and what was found in sentences."""
    lines = [
        "Random labels of each class, one VAE for all draws, with the augmentation that the first draw chooses. In "
        "each draw cross-validation on the labelled images selects one of the methods, and the report states its "
        "expected accuracy with a 95 % interval. Brier scores: lower is better. The label propagation and the "
        "optimiser of self-training were selected with images and labels of MNIST, Fashion-MNIST, Quick Draw and "
        "CIFAR-10 (lab book, 2026-11-22).",
        "",
    ]
    for count in sorted({row["labels_per_class"] for row in rows}):
        own = [row for row in rows if row["labels_per_class"] == count]
        draws = [draw for row in own for draw in row["values"]]
        width = np.mean([draw["expected"]["high"] - draw["expected"]["low"] for draw in draws])
        lines.append(
            f"- {count} labels per class: the interval contained the true accuracy in "
            f"**{sum(row['covered'] for row in own)} of {len(draws)}** draws; mean width {100 * width:.1f} points, "
            f"median of expected minus true accuracy {100 * median_bias(draws):+.1f}."
        )
    return lines


def coverage_table(rows: Sequence[Row]) -> list[str]:
    """Coverage, width and bias of the intervals, and the accuracy, as a table in Markdown."""
    lines = [
        "| data | labels per class | intervals that contain the true accuracy | mean width | median accuracy | median "
        "of expected minus true | best single method | its median accuracy | Brier score | of the class frequencies |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = ", ".join(filter(None, (row["data"], row.get("augmentation"))))
        lines.append(
            f"| {name} | {row['labels_per_class']} | {row['covered']} of {row['draws']} | "
            f"{100 * row['mean_width']:.1f} points | {100 * row['median_accuracy']:.1f} % | "
            f"{100 * median_bias(row['values']):+.1f} | {METHODS[row['best_single']].title} | "
            f"{100 * row['median_accuracy_of_best_single']:.1f} % | {row['brier']:.3f} | "
            f"{row['brier_by_frequencies']:.3f} |"
        )
    return lines


def describe_queries(rows: Sequence[Row]) -> list[str]:
    """Section on active learning, as lines of Markdown; none without rows."""
    if not rows:
        return []
    out = [
        "",
        "## Active learning by `to-label-next`",
        "",
        f"{rows[0]['draws']} draws; in each, the images to label are selected from a random half of the set: {MORE} "
        f"further ones after {FIRST} random labels, at least one per class, or {COLD} per class on average where no "
        "image has a label. By the rule of `classify`, or at random; both share the first labels.",
        "",
        "| data | labels at the start | method | by `to-label-next` | random | difference (95 % interval, points) |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = (100 * end for end in row["interval"])
        mark = "**" if low > 0 or high < 0 else ""
        out.append(
            f"| {row['data']} | {row['start']} | {METHODS[row['method']].title} | {100 * row['asked']:.1f} % | "
            f"{100 * row['random']:.1f} % | "
            f"{mark}{100 * row['difference']:+.1f} ({low:+.1f} to {high:+.1f}){mark} |"
        )
    better, worse = sum(row["interval"][0] > 0 for row in rows), sum(row["interval"][1] < 0 for row in rows)
    return [
        *out,
        "",
        f"Bold: the interval excludes 0. The rule is significantly better than random images in {better} of "
        f"{len(rows)} rows and significantly worse in {worse}.",
    ]


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


def published() -> list[Report]:
    """The reports in docs/results/trust, in the order of ``COVERAGE_DATA``."""
    files = [RESULTS / "trust" / f"{name}.json" for name in COVERAGE_DATA]
    return [read_json(file) for file in files if file.exists()]


if __name__ == "__main__":
    reports = published()
    drawn = [row for report in reports for row in report["rows"] if row.get("labels_per_class") == 10]
    write_bytes(RESULTS / "trust" / "intervals.png", png(draw_intervals(drawn)))
    write_text(RESULTS / "trust.md", render_page(reports))
    print(f"open {RESULTS / 'trust.md'}")
