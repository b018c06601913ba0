"""Tables of the report: accuracies, ELBO and related scores, sample quality, stages, run details and recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaebench.evaluation.bounds import ACTIVE_ABOVE, DEAD_BELOW
from vaebench.evaluation.disentanglement import SCORE_NAMES
from vaebench.evaluation.learning_curves import LabelCount
from vaebench.evaluation.samples import COMPONENTS, SAMPLERS
from vaebench.models.quantised import QuantisedModel
from vaebench.plotting.palette import clean
from vaebench.plotting.style import REPRESENTATIONS, representation_title
from vaebench.runs.rows import ResultRow
from vaebench.runs.run import Run

WITHOUT_PROBE = ("supervised", "self-training", "graph")
"""Methods that are tied to one input and use no probe; they are shown beside every probe's comparison."""


def without_probe(run: Run) -> tuple[str, ...]:
    """`WITHOUT_PROBE` and the names of the run's semi-supervised methods."""
    return *WITHOUT_PROBE, *(method.name for method in run.recipe.evaluation.semi_supervised)


NONE = "\N{EN DASH}"
"""Cell of a table without a value."""

RowsByFeature = dict[tuple[str, LabelCount], ResultRow]
"""Accuracy rows by representation and labels per class."""


@dataclass(frozen=True)
class Table:
    """Header cells and rows of cells, the first of which names the row; ``strong`` lists the rows to highlight."""

    header: list[str]
    rows: list[list[str]]
    strong: tuple[int, ...] = ()


def accuracy_rows(run: Run) -> list[ResultRow]:
    """Rows of the learning curve on the test images."""
    return [row for row in run.rows if row["metric"] == "accuracy" and row["split"] == "test"]


def rows_of_probe(run: Run, probe: str) -> RowsByFeature:
    """Accuracy rows of this probe and of the methods without a probe."""
    rows = (row for row in accuracy_rows(run) if row["probe"] in (probe, *without_probe(run)))
    return {(row["features"], row["labels_per_class"]): row for row in rows}


def label_counts(run: Run) -> list[LabelCount]:
    """The measured numbers of labels per class in ascending order, then "all"."""
    counts = {row["labels_per_class"] for row in accuracy_rows(run)}
    return sorted(counts, key=lambda count: math.inf if count == "all" else count)


def labels_text(count: LabelCount) -> str:
    """The label count in words: "1 label per class", "all labels"."""
    return "all labels" if count == "all" else f"{count} label{'' if count == 1 else 's'} per class"


def probe_names(run: Run) -> list[str]:
    """Probes and methods in the order of the rows."""
    return list(dict.fromkeys(row["probe"] for row in accuracy_rows(run)))


def in_order(names: Iterable[str]) -> list[str]:
    """Distinct representations in the order of `REPRESENTATIONS`, followed by those that it does not have."""
    present = dict.fromkeys(names)
    return [*(name for name in REPRESENTATIONS if name in present), *(n for n in present if n not in REPRESENTATIONS)]


def accuracy_table(run: Run, probe: str) -> Table:
    """Mean and standard deviation over label draws: one row per representation, one column per label count."""
    counts = label_counts(run)
    by_feature = rows_of_probe(run, probe)
    names = in_order(features for features, _ in by_feature)
    rows = [
        [representation_title(name), *(mean_and_sd(by_feature.get((name, count))) for count in counts)]
        for name in names
    ]
    draws = [max((row["n"] for key, row in by_feature.items() if key[1] == count), default=0) for count in counts]
    strong = tuple(index for index, name in enumerate(names) if name in ("vae", "self-trained"))
    return Table(["labels per class", *map(str, counts)], [*rows, ["draws (n)", *map(str, draws)]], strong)


def mean_and_sd(statistics: Mapping[str, Any] | None, form: str = ".3f") -> str:
    """Mean and standard deviation of a row or a summary, as text."""
    if statistics is None:
        return NONE
    mean, sd = format(statistics["mean"], form).replace("-", "\N{MINUS SIGN}"), statistics["sd"]
    return mean if sd is None else f"{mean} ± {sd:{form}}"


def elbo_table(run: Run) -> Table:
    """ELBO, its components, latent counts, log p(x) and disentanglement on the test images, with their units."""
    rows = [row for row in run.rows if row["split"] == "test" and "latent" not in row]
    before = {row["metric"]: row["mean"] for row in rows if "features" not in row}
    after = {row["metric"]: row["mean"] for row in rows if row.get("features") == "self-trained"}
    latents = run.recipe.model.latent
    metrics = {
        "elbo": ("ELBO", "nats per image; higher is better", ".2f"),
        "reconstruction": ("reconstruction, -log p(x|z)", "nats per image; lower is better", ".2f"),
        "kl": ("KL to the prior", "nats per image", ".2f"),
        "active_units": ("active units", f"of {latents} latents (variance of the mean above {ACTIVE_ABOVE})", ".0f"),
        "dead_latents": ("dead latents", f"of {latents} latents (mean KL below {DEAD_BELOW} nats)", ".0f"),
        "codes_used": ("codes used", "fraction of all codes that some test image has", ".3f"),
        "perplexity": ("perplexity of the codes", _perplexity_unit(run), ".2f"),
        "clustering_accuracy": (
            "clustering accuracy",
            "0 to 1; components assigned one to one to classes by the test labels",
            ".3f",
        ),
    }
    columns = {"before self-training": before, "after": after} if "elbo" in after else {"value": before}
    cells = [
        [name, *(format(column[key], form) if key in column else NONE for column in columns.values()), unit]
        for key, (name, unit, form) in metrics.items()
        if key in before
    ]
    scores = {row["metric"]: row["mean"] for row in run.rows if row["split"] == "all"}
    unit = "0 to 1; higher is better; on all images"
    others = [_log_px_cells(row) for row in rows if row["metric"] == "log_px"]
    others += [(name, f"{scores[key]:.3f}", unit) for key, name in SCORE_NAMES.items() if key in scores]
    cells += [[name, value, *[NONE] * (len(columns) - 1), unit] for name, value, unit in others]
    return Table(["on the test images", *columns, "unit"], cells)


def _perplexity_unit(run: Run) -> str:
    model = run.recipe.model
    if not isinstance(model, QuantisedModel):
        return ""
    return f"exp(entropy) of the code of a group, mean over groups; at most {np.mean(model.sizes):g}"


def _log_px_cells(row: ResultRow) -> tuple[str, str, str]:
    unit = (
        f"nats per image; {row['samples']:,} samples of z, effective sample size {row['effective_samples']:.1f}; "
        "± one standard error of the sampling"
    )
    return "log p(x), importance-weighted", f"{row['mean']:.2f} ± {row['standard_error']:.2f}", unit


SETS = {
    "training images": "training images",
    "reconstructions": "reconstructions",
    "samples": "samples from the prior",
    **{sampler.features: f"samples from {sampler.title}" for sampler in SAMPLERS.values()},
}
FRECHET = "Fr\N{LATIN SMALL LETTER E WITH ACUTE}chet distance"
SAMPLE_SCORES = {
    "frechet": (FRECHET, ".2f"),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "inception_score": ("inception score", ".2f"),
    "confident_fraction": ("confident", ".3f"),
    "authenticity": ("authenticity", ".3f"),
}


def samples_table(run: Run) -> tuple[Table, str] | None:
    """Scores of generated images against test images, and a note that explains them; None if not measured."""
    scores = {
        (row["features"], row["metric"]): row
        for row in run.rows
        if row["metric"] in SAMPLE_SCORES and "features" in row
    }
    if not scores:
        return None

    def cell(name: str, metric: str, form: str) -> str:
        return f"{scores[name, metric]['mean']:{form}}" if (name, metric) in scores else NONE

    rows = [
        [title, *(cell(name, metric, form) for metric, (_, form) in SAMPLE_SCORES.items())]
        for name, title in SETS.items()
        if (name, "frechet") in scores
    ]
    first = next(iter(scores.values()))
    note = (
        f"{first['images']:,} images of each set are compared with as many test images, using the features and class "
        "probabilities of an evaluation classifier: a small CNN trained on the labelled training images, with test "
        f"accuracy {first['evaluation_classifier_accuracy']:.1%}. The scores are comparable only on the same data and "
        "number of images, and the distance is not an FID. The training images show what perfect samples would score; "
        f"the Gaussian and the mixture of {COMPONENTS} Gaussians are fitted to the training codes after training. "
        f"{_sampler_sentence(scores)}{FRECHET}: lower is better. Precision "
        "is the fraction of the set within the manifold of the test images, recall the fraction of the test images "
        "within the manifold of the set. Inception score: from 1 to the number of classes. Confident: fraction to "
        "which the classifier gives some class at least 90 % probability. Authenticity: fraction no nearer to a "
        "training image than that image's own nearest neighbour; near 0 indicates memorisation, about one half is "
        "expected of new images."
    )
    return Table(["", *(name for name, _ in SAMPLE_SCORES.values())], rows, strong=(2,)), note


def _sampler_sentence(scores: Mapping[tuple[str, str], ResultRow]) -> str:
    """By how much the better of the fitted densities improves on the prior."""
    titles = {each.features: each.title for each in SAMPLERS.values() if (each.features, "frechet") in scores}
    if not titles:
        return ""
    distances = {name: scores[name, "frechet"]["mean"] for name in ("samples", *titles)}
    best = min(titles, key=lambda name: distances[name])
    if distances[best] >= distances["samples"]:
        return "Neither improves on the prior. " if len(titles) > 1 else "It does not improve on the prior. "
    lower = 1 - distances[best] / distances["samples"]
    return f"With {titles[best]} the distance is {lower:.0%} lower than with the prior. "


def stage_table(run: Run) -> Table:
    """Seconds of each stage and their total."""
    stages = {**run.results["stages"], "total": run.results["seconds"]}
    return Table(["stage", "seconds"], [[name, f"{seconds:,.1f}"] for name, seconds in stages.items()])


def facts(run: Run) -> list[tuple[str, str]]:
    """Data, seeds, versions, commit and machine, as pairs of a term and its value."""
    results = run.results
    data, machine, recipe = results["data"], results["machine"], run.recipe
    compute, shape = recipe.compute, " x ".join(map(str, results["image_shape"]))
    parts = ", ".join(f"{count:,} {part}" for part, count in data["images"].items())
    classes = ", ".join(map(clean, results["classes"]))
    return [
        ("data", data_title(run)),
        ("images", f"{parts}; {shape} (channels x height x width)"),
        ("classes", f"{len(results['classes'])}: {classes}" if classes else "none: the images have no labels"),
        ("fingerprint of the training images", data["fingerprint"]),
        ("seeds", f"{recipe.seed} for weights, order, noise and label draws; {recipe.data.seed} for the split"),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine["versions"].items())),
        ("commit", results["commit"] or "unknown (vaebench did not run from a checkout)"),
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("GPU", machine["gpu"] or "none"),
        ("initial weights", clean(" ".join(results.get("start", []))) or "random"),
        ("compute", f"{compute.device}, training in {compute.precision}, {compute.threads} threads"),
    ]


def data_title(run: Run) -> str:
    """Name of the data set, with its note in parentheses."""
    data = run.results["data"]
    return clean(f"{data['name']} ({data['note']})" if data["note"] else data["name"])


def recipe_text(run: Run) -> str:
    """Return the recipe as TOML; fields set to None are comments."""
    return "\n".join(_toml(run.results["recipe"], "")).strip()


def _toml(values: dict[str, Any], path: str) -> list[str]:
    lines: list[str] = []
    tables: list[str] = []
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            tables += ["", f"[{name}]", *_toml(value, name)]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                tables += ["", f"[[{name}]]", *_toml(item, name)]
        else:
            lines.append(f"# {key}: none" if value is None else f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return lines + tables
