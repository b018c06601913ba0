"""The benchmark's page in Markdown and its figures, rendered from the rows of few-labels.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from vaebench.deprecated import upgrade_rows
from vaebench.experiments.experiment import Experiment
from vaebench.few_label_benchmark import differences
from vaebench.few_label_benchmark.differences import Row, by_key, markdown_table
from vaebench.few_label_benchmark.generative import STAGES
from vaebench.few_label_benchmark.titles import PROTOCOL_NOTES, row_title
from vaebench.plotting.plots import Estimate, Panel, Series, estimates, lines
from vaebench.plotting.sheets import grids
from vaebench.plotting.templates import template

GROUP_TITLES = {
    "baselines": "Baselines without learned representations: pixels, PCA, a random encoder",
    "probes": "Classifiers on the frozen means of a plain VAE",
    "generative": "Semi-supervised VAEs",
    "representations": "Other representations, frozen",
    "self-training": "Self-training",
    "supervised": "Supervised baselines",
    "ablations": "Ablations of self-training",
    "all labels": "All labels",
}
CURVE_METHODS = {
    "pixels-line": "pixels, linear probe",
    "elbo-line": "VAE, linear probe (paper C)",
    "elbo-poisson": "VAE, Poisson learning",
    "frozen": "selected representation, label propagation",
    "m1+m2": "M1+M2",
    "supervised-augmented": "CNN, augmented",
    "whole": "self-training (full method)",
}
"""Methods of the learning curves."""
SUMMARY_METHODS = {
    "elbo-line": "linear probe on a VAE's latents",
    "frozen": "label propagation on selected latents",
    "whole": "self-training (full method)",
    "supervised-augmented": "CNN, augmented",
}
"""Methods of the summary table."""
AUGMENTATION_MARKS = ("*", "†")
"""Marks of methods that use the data set's own augmentation, and the stronger one."""


def render_page(rows: Sequence[Row], made: Row, captions: Mapping[str, str]) -> str:
    """Page as Markdown, from few-labels.json and few-labels-made.json."""
    rows = upgrade_rows(list(rows))
    return template("page.md.j2", "vaebench.few_label_benchmark").render(
        summary=_summary(rows),
        made=made,
        augmentations=_augmentation_list(rows),
        comparisons=differences.comparison_table(rows),
        ablations=differences.ablation_table(rows),
        generative_term=differences.describe_generative_term(rows),
        tables_by_data={data: _tables(rows, data) for data in dict.fromkeys(row["data"] for row in rows)},
        captions=captions,
    )


def _summary(rows: Sequence[Row]) -> str:
    """Mean accuracies of ``SUMMARY_METHODS`` at 1, 10 and 100 labels per class, the highest of each row in bold."""
    accuracies, table = by_key(rows), []
    for data, count in product(dict.fromkeys(key[0] for key in accuracies), (1, 10, 100)):
        keys = [(data, method, count) for method in SUMMARY_METHODS]
        means = {key: accuracies[key]["mean"] for key in keys if key in accuracies}
        if means:
            cells = {key: f"{100 * mean:.1f}" for key, mean in means.items()}
            cells |= {key: f"**{cells[key]}**" for key, mean in means.items() if mean == max(means.values())}
            table.append([f"{data}, {count}", *(cells.get(key) for key in keys)])
    return markdown_table(["labels per class", *SUMMARY_METHODS.values()], table)


def _augmentation_list(rows: Sequence[Row]) -> list[str]:
    """The augmentations of each data set with their marks."""
    return [
        f"{data}{mark}: " + ", ".join(f"{change} {amount:g}" for change, amount in amounts.items())
        for data in dict.fromkeys(row["data"] for row in rows)
        for mark, amounts in zip(AUGMENTATION_MARKS, _augmentations(rows, data), strict=False)
    ]


def _augmentations(rows: Sequence[Row], data: str) -> list[dict[str, float]]:
    """Augmentations of a data set, its own before the stronger one."""
    augmentations: list[dict[str, float]] = []
    for row in rows:
        if row["data"] == data and row["augmentation"] and row["augmentation"] not in augmentations:
            augmentations.append(row["augmentation"])
    return sorted(augmentations, key=lambda amounts: amounts.get("gamma", 0.0))


def _marked_title(row: Row, augmentations: Sequence[dict[str, float]]) -> str:
    mark = AUGMENTATION_MARKS[augmentations.index(row["augmentation"])] if row["augmentation"] else ""
    return row_title(row) + mark


def _tables(rows: Sequence[Row], data: str) -> dict[str, str]:
    """Tables of a data set by title."""
    own, augmentations = [row for row in rows if row["data"] == data], _augmentations(rows, data)
    tables = {}
    for group, title in GROUP_TITLES.items():
        if in_group := [row for row in own if row["group"] == group]:
            table = _all_labels_table if group == "all labels" else _method_table
            tables[title] = table(in_group, augmentations)
    return tables


def _method_table(rows: Sequence[Row], augmentations: Sequence[dict[str, float]]) -> str:
    counts, table = sorted({row["labels_per_class"] for row in rows}), []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        seconds, images = (max(row[cost] for row in own) for cost in ("seconds", "images"))
        cells = [_accuracy_cell(own, count) for count in counts]
        table.append([_marked_title(own[0], augmentations), *cells, f"{seconds:.1f}", f"{images:,}"])
    columns = ["method", *(f"{count} per class" for count in counts), "seconds per draw", "images seen"]
    notes = [f"- {row_title(row)}: {PROTOCOL_NOTES[row['method']]}" for row in rows if row["method"] in PROTOCOL_NOTES]
    return "\n".join([markdown_table(columns, table), *([""] if notes else []), *dict.fromkeys(notes)])


def _accuracy_cell(rows: Sequence[Row], count: int) -> str:
    by_part = {row["split"]: row for row in rows if row["labels_per_class"] == count}
    if not by_part:
        return ""
    test, validation = by_part["test"], by_part["validation"]
    half = f" ± {100 * (test['interval'][1] - test['mean']):.1f}" if test["interval"] else ""
    details = [f"worst {100 * test['worst']:.1f}", f"validation {100 * validation['mean']:.1f}"]
    if test["temperature"] != 1:
        error, temperature = 100 * test["calibration_error"], test["temperature"]
        details.append(f"calibration error {error:.1f} at temperature {temperature:g}")
    if test["uniform_assumed"] is not None:
        details.append(f"uniform {100 * test['uniform_assumed']:.1f}")
    if test["published"] is not None:
        details.append(f"published {100 * test['published']:.1f} ({test['source']})")
    return f"**{100 * test['mean']:.1f}**{half} (n {test['n']}; {', '.join(details)})"


def _all_labels_table(rows: Sequence[Row], augmentations: Sequence[dict[str, float]]) -> str:
    table = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = {row["split"]: row for row in rows if row["method"] == method}
        test, validation = (f"{100 * own[part]['mean']:.2f} %" for part in ("test", "validation"))
        title, dimensions = _marked_title(own["test"], augmentations), own["test"].get("dimensions", "")
        table.append([title, dimensions, own["test"]["metric"], test + _seed_details(own["test"]), validation])
    return markdown_table(["representation and classifier", "dimensions", "metric", "test", "validation"], table)


def _seed_details(row: Row) -> str:
    """Errors by seed, interval by number of test images, and the published error of an information bottleneck."""
    if "wilson" not in row:
        return ""
    seeds = ", ".join(f"{100 * value:.2f}" for value in row["values"])
    low, high = (100 * end for end in row["wilson"])
    published = f"published {100 * row['published']:.2f}, {row['source']}"
    return f" (seeds {seeds}; 95 % interval {low:.2f} to {high:.2f}; {published})"


def draw_figures(
    experiment: Experiment, rows: Sequence[Row], generated: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Draw the learning curves, the effects of the components, and generated images of each data set."""
    experiment.figure("learning-curves", lambda: draw_learning_curves(rows, CURVE_METHODS))
    experiment.figure("parts", lambda: estimates(_effects(rows), "difference in test accuracy (points)"))
    experiment.figure("generation", lambda: grids(_image_strips(generated)))


def _effects(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Effect of each component in percentage points, by data set, labels per class and component."""
    effects: dict[str, dict[str, dict[str, Estimate]]] = {}
    for component, gaps in differences.component_effects(rows).items():
        for (data, count), gap in gaps.items():
            if gap is not None:
                low, high = gap.interval or (gap.mean, gap.mean)
                labels = f"{count} {'label' if count == 1 else 'labels'} per class"
                by_component = effects.setdefault(data, {}).setdefault(labels, {})
                by_component[component] = Estimate(100 * gap.mean, 100 * low, 100 * high)
    return effects


def _image_strips(generated: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Strips of images by title."""
    strips = {}
    for data, arrays in generated.items():
        strips[f"{data}: test images"] = arrays["images"][None]
        strips |= {f"{data}: decoded, {title}": arrays[f"{key}-outputs"][None] for key, title in STAGES.items()}
        strips |= {f"{data}: drawn, {title}": arrays[f"{key}-samples"][None] for key, title in STAGES.items()}
    return strips


def draw_learning_curves(rows: Sequence[Row], titles: Mapping[str, str]) -> Figure:
    """Test accuracy by labels per class, one panel per data set, with intervals cut to 0 to 100 %."""
    accuracies, panels = by_key(rows), []
    for data in dict.fromkeys(key[0] for key in accuracies):
        curves = {}
        for method, title in titles.items():
            if own := [row for key, row in accuracies.items() if key[:2] == (data, method)]:
                intervals = [row["interval"] or [row["mean"]] * 2 for row in own]
                curves[title] = Series(
                    [row["labels_per_class"] for row in own],
                    [100 * row["mean"] for row in own],
                    [max(0.0, 100 * low) for low, _ in intervals],
                    [min(100.0, 100 * high) for _, high in intervals],
                )
        panels.append(Panel(data, curves, "labels per class", "test accuracy (%)", log_x=True))
    return lines(panels, columns=2, size=(4.2, 3.3))
