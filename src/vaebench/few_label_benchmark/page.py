"""The page of the ladder and its figures, rendered from the rows of few-labels.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vaebench.experiments.experiment import Experiment
from vaebench.few_label_benchmark.differences import by_key, generative_verdict, parts, parts_table, plain_table
from vaebench.few_label_benchmark.generative import KEPT
from vaebench.few_label_benchmark.published import WHY
from vaebench.plotting.plots import Estimate, Panel, Series, estimates, lines
from vaebench.runs.report.pictures import grids

Row = dict[str, Any]
TITLES = {
    "baselines": "Without learning: pixels, PCA, a random encoder",
    "readers": "Readers of a plain VAE's frozen means",
    "generative": "Semi-supervised VAEs",
    "representations": "Better representations, frozen",
    "whole": "All together",
    "rivals": "The supervised rival",
    "without": "The whole method, minus one part",
}
SHOWN = {
    "pixels-line": "pixels, line",
    "elbo-line": "VAE, line (paper C)",
    "elbo-poisson": "VAE, graph",
    "frozen": "chosen frozen latents, graph",
    "m1+m2": "M1+M2",
    "supervised-augmented": "CNN, augmented",
    "whole": "the whole method",
}
SHORT = {
    "elbo-line": "a line on a VAE's latents",
    "frozen": "a graph of chosen latents",
    "whole": "the whole method",
    "supervised-augmented": "CNN, augmented",
}
"""What the summary at the top sets side by side."""
MARKS = ("*", "†")
"""Of methods that know a data set's own augmentation, and the bolder one."""
HEADER = """\
# Few labels: how far a VAE can go

Test accuracy in per cent from a few labels a class, by `vaebench few-labels`; this page is rendered from
[few-labels.json](few-labels.json), which the same command wrote.

How to read it. Every method gets the same saved draws of labels and all other training images without labels. Numbers
are means over the draws, plus or minus the half width of the 95 % interval of the mean (Student's t over draws, of one
trained VAE); *worst* is the worst draw. *Held* is the same on training images whose labels are never drawn. *Uniform*
assumes that all classes are equally frequent, which no other column knows. *Calibration error* is the expected one in
15 bins, after a temperature that other data chose. A star marks methods that know how images may change without
changing class (augmentation), a dagger those that take bolder changes for the same; what they know is listed below.
PCA, the random encoder and VAEs of pairs have 128 dimensions, plain VAEs 32 (128 on CIFAR-10). Test images are in no
training and no graph, and chose nothing: settings for each data set were chosen on others.

What is not blind. Before this climb three others were seen. After the first, its figures on MNIST known, the rule for
how much of the graph's answers is taken was changed and a graph was added to those that are chosen from; after the
second, all figures known, VAEs and self-training were given Muon, label spreading was centred, and a graph of the
features that a network has learned was added to those who may teach it; after the third, VAEs of pairs were given more
latents, and two were added to those that are chosen from: one of bolder augmentation, one so and of twice the filters
(lab book, 2026-11-22 to 2026-11-29). These were tried on draws of labels that are not used here, by held images, those
of Fashion-MNIST among them. What is chosen among them still reads other data alone. The bottleneck with augmentation
was given more epochs after its test error was seen; held images said that more are better.
"""


def page(rows: Sequence[Row], made: Row, captions: Mapping[str, str]) -> str:
    """The whole page as Markdown."""
    found = [
        HEADER,
        _short(rows),
        _made(made),
        _knowledge(rows),
        _choices(made["choices"]),
        _shared(made["shared_seconds"]),
        _standing(rows),
    ]
    for data in dict.fromkeys(row["data"] for row in rows):
        own, known = [row for row in rows if row["data"] == data], _known(rows, data)
        found.append(f"## {data}\n")
        found += [
            _table(title, [row for row in own if row["group"] == group], known) for group, title in TITLES.items()
        ]
        found.append(_all_labels([row for row in own if row["group"] == "all labels"], known))
    found += [f"![{name}](few-labels/{name}.png)\n\n*{caption}*\n" for name, caption in captions.items()]
    return "\n".join(part for part in found if part)


def _made(made: Row) -> str:
    where = made["machine"]["gpu"] or f"{made['machine']['cores']} cores of {made['machine']['processor']}"
    at = f", commit {made['commit'][:8]}" if made["commit"] else ""
    return (
        f"Made on {made['date']} under the budget {made['budget']} in {made['seconds'] / 60:.0f} minutes on {where}, "
        f"{made['compute']['precision']} in training, torch {made['machine']['versions']['torch']}{at}.\n"
    )


def _short(rows: Sequence[Row]) -> str:
    """Means of a few rungs at 1, 10 and 100 labels a class, the highest of each line in bold."""
    found = by_key(rows)
    lines_ = ["## In short\n", f"| labels a class | {' | '.join(SHORT.values())} |", "|---" * (len(SHORT) + 1) + "|"]
    for data in dict.fromkeys(key[0] for key in found):
        for count in (1, 10, 100):
            means = [found[key]["mean"] if (key := (data, method, count)) in found else None for method in SHORT]
            best = max((mean for mean in means if mean is not None), default=None)
            cells = [
                "" if mean is None else f"{'**' * (mean == best)}{100 * mean:.1f}{'**' * (mean == best)}"
                for mean in means
            ]
            if best is not None:
                lines_.append(f"| {data}, {count} | {' | '.join(cells)} |")
    return "\n".join(lines_) + "\n"


def _knowledge(rows: Sequence[Row]) -> str:
    said = [
        f"- {data}{mark}: " + ", ".join(f"{what} {amount:g}" for what, amount in amounts.items())
        for data in dict.fromkeys(row["data"] for row in rows)
        for mark, amounts in zip(MARKS, _known(rows, data), strict=False)
    ]
    return "\n".join(["What augmentation knows (degrees, shares, pixels):\n", *said, ""]) if said else ""


def _known(rows: Sequence[Row], data: str) -> list[dict[str, float]]:
    """What methods on a data set know of augmentation, its own before the bolder one."""
    known: list[dict[str, float]] = []
    for row in rows:
        if row["data"] == data and row["augmentation"] and row["augmentation"] not in known:
            known.append(row["augmentation"])
    return sorted(known, key=lambda amounts: amounts.get("gamma", 0.0))


def _mark(row: Row, known: Sequence[dict[str, float]]) -> str:
    return MARKS[known.index(row["augmentation"])] if row["augmentation"] else ""


def _choices(choices: Mapping[str, Row]) -> str:
    said = [
        f"- {data}: {choice['representation']}, {choice['graph']} graph, {choice['candidate']}"
        for data, choice in choices.items()
    ]
    head = (
        "Chosen for each data set by the held parts of others (the VAE with the weight of its pairs' term, "
        "*bold* with bolder augmentation, *wide* so and of twice the filters, whose graph then teaches the bold one; "
        "the graph, where *by labels* is Poisson learning, then label spreading from its surest answers, where labels "
        "are few, and label spreading alone where they are more; who teaches self-training after its first round: the "
        "network's own answers, or labels spread anew on a graph of the features that it has learned):"
    )
    return "\n".join([f"{head}\n", *said, ""])


def _shared(seconds: Mapping[str, Mapping[str, float]]) -> str:
    said = []
    for data, own in seconds.items():
        said.append(f"- {data}: " + ", ".join(f"{name} {value:.0f} s" for name, value in own.items()))
    head = "What all draws share, the training of each VAE, by the clock (longer where the machine had other work):"
    return "\n".join([f"{head}\n", *said, ""])


def _standing(rows: Sequence[Row]) -> str:
    """Who wins where, and what each part is worth."""
    return f"""\
## Who wins where

Differences in points of test accuracy over the draws that both methods have, with 95 % intervals by Student's t; in
bold where the interval leaves out 0 (about one in twenty would by chance). Where a number is negative the plainer
method wins.

{plain_table(rows)}
What each part of the whole method is worth: the whole minus the whole without it.

{parts_table(rows)}
{generative_verdict(rows)}
"""


def _table(title: str, rows: Sequence[Row], known: Sequence[dict[str, float]]) -> str:
    if not rows:
        return ""
    counts = sorted({row["labels_per_class"] for row in rows})
    head = " | ".join(f"{count} a class" for count in counts)
    lines_ = [f"### {title}\n", f"| method | {head} | s a draw | images seen |", "|---" * (len(counts) + 3) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        seconds, seen = (max(row[cost] for row in own) for cost in ("seconds", "images"))
        cells = " | ".join(_cell(own, count) for count in counts)
        lines_.append(f"| {own[0]['words']}{_mark(own[0], known)} | {cells} | {seconds:.1f} | {seen:,} |")
    notes = [f"- {row['words']}: {WHY[row['method']]}" for row in rows if row["method"] in WHY]
    return "\n".join([*lines_, *([""] if notes else []), *dict.fromkeys(notes)]) + "\n"


def _cell(rows: Sequence[Row], count: int) -> str:
    by_part = {row["split"]: row for row in rows if row["labels_per_class"] == count}
    if not by_part:
        return ""
    test, held = by_part["test"], by_part["held"]
    half = f" ± {100 * (test['interval'][1] - test['mean']):.1f}" if test["interval"] else ""
    more = [f"worst {100 * test['worst']:.1f}", f"held {100 * held['mean']:.1f}"]
    if test["temperature"] != 1:
        more.append(f"calibration error {100 * test['calibration_error']:.1f} at temperature {test['temperature']:g}")
    if test["uniform_assumed"] is not None:
        more.append(f"uniform {100 * test['uniform_assumed']:.1f}")
    if test["published"] is not None:
        more.append(f"published {100 * test['published']:.1f} ({test['source']})")
    return f"**{100 * test['mean']:.1f}**{half} (n {test['n']}; {', '.join(more)})"


def _all_labels(rows: Sequence[Row], known: Sequence[dict[str, float]]) -> str:
    if not rows:
        return ""
    found = ["### All labels\n", "| what | dimensions | metric | test | held |", "|---|---|---|---|---|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = {row["split"]: row for row in rows if row["method"] == method}
        test = own["test"]
        told = f"{test.get('dimensions', '')} | {test['metric']}"
        cells = f"{100 * test['mean']:.2f} %{_more(test)} | {100 * own['held']['mean']:.2f} %"
        found.append(f"| {test['words']}{_mark(test, known)} | {told} | {cells} |")
    return "\n".join(found) + "\n"


def _more(row: Row) -> str:
    """What the seeds said, the interval that so many test images allow, and what is printed."""
    if "wilson" not in row:
        return ""
    seeds = ", ".join(f"{100 * value:.2f}" for value in row["values"])
    low, high = (100 * end for end in row["wilson"])
    said = f"seeds {seeds}; 95 % interval {low:.2f} to {high:.2f}"
    return f" ({said}; published {100 * row['published']:.2f}, {row['source']})"


def figures(experiment: Experiment, rows: Sequence[Row], kept: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Learning curves of every data set, the parts of the whole method, and what is left of the generative model."""
    tested = [row for row in rows if row["split"] == "test" and row["metric"] == "accuracy"]
    experiment.figure("learning-curves", lambda: _curves(tested, SHOWN))
    experiment.figure("parts", lambda: estimates(_worth(tested), "worth in points of test accuracy"))
    experiment.figure("generation", lambda: grids(_strips(kept)))


def _worth(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, Estimate]]]:
    """What each part is worth, by data set, labels a class and part."""
    found: dict[str, dict[str, dict[str, Estimate]]] = {}
    for words, cells in parts(rows).items():
        for (data, count), cell in cells.items():
            if cell is not None:
                low, high = cell.interval or (cell.mean, cell.mean)
                said = f"{count} {'label' if count == 1 else 'labels'} a class"
                by_part = found.setdefault(data, {}).setdefault(said, {})
                by_part[words] = Estimate(100 * cell.mean, 100 * low, 100 * high)
    return found


def _strips(kept: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of images of each data set under their names."""
    strips = {}
    for data, arrays in kept.items():
        strips[f"{data}: test images"] = arrays["images"][None]
        strips |= {f"{data}: decoded, {words}": arrays[f"{key}-outputs"][None] for key, words in KEPT.items()}
        strips |= {f"{data}: drawn, {words}": arrays[f"{key}-samples"][None] for key, words in KEPT.items()}
    return strips


def _curves(rows: Sequence[Row], names: Mapping[str, str]) -> Figure:
    panels = []
    for data in dict.fromkeys(row["data"] for row in rows):
        found = {}
        for method, words in names.items():
            own = [row for row in rows if (row["data"], row["method"]) == (data, method)]
            own = [row for row in own if row["labels_per_class"] != "all"]
            if own:
                ends = [row["interval"] or [row["mean"]] * 2 for row in own]
                found[words] = Series(
                    [row["labels_per_class"] for row in own],
                    [100 * row["mean"] for row in own],
                    [max(0.0, 100 * low) for low, _ in ends],
                    [min(100.0, 100 * high) for _, high in ends],
                )
        panels.append(Panel(data, found, "labels a class", "test accuracy (%)", log_x=True))
    return lines(panels, columns=2, size=(4.2, 3.3))
