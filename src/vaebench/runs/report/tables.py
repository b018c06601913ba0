"""Tables of the report, read from a run's results: accuracies, nats, the recipe, where and how it ran."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from vaebench.evaluation.bounds import ACTIVE_ABOVE, DEAD_BELOW
from vaebench.evaluation.disentanglement import SCORE_NAMES
from vaebench.plotting.palette import clean
from vaebench.plotting.style import REPRESENTATIONS, representation_title
from vaebench.runs.run import Run

BESIDE = ("supervised", "self-training", "graph")
"""What reads one thing alone, the images or all latents: every comparison of representations by a probe shows it."""


@dataclass(frozen=True)
class Table:
    """Header cells and rows; the first cell of a row names it. ``strong`` numbers the rows that stand out."""

    header: list[str]
    rows: list[list[str]]
    strong: tuple[int, ...] = ()


def accuracy_rows(run: Run) -> list[dict[str, Any]]:
    """The rows of the learning curve on the test part."""
    return [row for row in run.rows if row["metric"] == "accuracy" and row["split"] == "test"]


def label_counts(run: Run) -> list[int | str]:
    """The label counts measured, rising, "all" last."""
    found = {row["labels_per_class"] for row in accuracy_rows(run)}
    return [*sorted(count for count in found if count != "all"), *(["all"] if "all" in found else [])]


def probe_names(run: Run) -> list[str]:
    """The probes measured, in the order of the recipe, then the networks that read images."""
    return list(dict.fromkeys(row["probe"] for row in accuracy_rows(run)))


def accuracy_table(run: Run, probe: str) -> Table:
    """Mean and standard deviation over the draws: representations down, labels a class across."""
    counts = label_counts(run)
    found = {
        (row["features"], row["labels_per_class"]): row
        for row in accuracy_rows(run)
        if row["probe"] in (probe, *BESIDE)
    }
    names = [name for name in REPRESENTATIONS if any(key[0] == name for key in found)]
    rows = [[representation_title(name), *(_spread(found.get((name, count))) for count in counts)] for name in names]
    draws = [max((row["n"] for key, row in found.items() if key[1] == count), default=0) for count in counts]
    strong = tuple(index for index, name in enumerate(names) if name in ("vae", "self-trained"))
    header = ["labels a class", *(str(count) for count in counts)]
    return Table(header, [*rows, ["draws (n)", *map(str, draws)]], strong)


def _spread(row: dict[str, Any] | None) -> str:
    if row is None:
        return "\N{EN DASH}"
    return f"{row['mean']:.3f}" if row["sd"] is None else f"{row['mean']:.3f} ± {row['sd']:.3f}"


def nats_table(run: Run) -> Table:
    """What the VAE costs on the test part; every row with its unit."""
    parts = [row for row in run.rows if row["split"] == "test" and "latent" not in row]
    found = {row["metric"]: row["mean"] for row in parts if "features" not in row}
    after = {row["metric"]: row["mean"] for row in parts if row.get("features") == "self-trained"}
    latents = run.recipe.model.latent
    lines = {
        "elbo": ("ELBO", "nats per image; higher is better", ".2f"),
        "reconstruction": ("reconstruction, -log p(x|z)", "nats per image; lower is better", ".2f"),
        "kl": ("KL to the prior", "nats per image: what the code says", ".2f"),
        "active_units": ("active units", f"of {latents} latents (variance of the mean above {ACTIVE_ABOVE})", ".0f"),
        "dead_latents": ("dead latents", f"of {latents} latents (mean KL below {DEAD_BELOW} nats)", ".0f"),
    }
    columns = [found, after] if "elbo" in after else [found]
    rows = [
        [name, *(format(values[key], form) for values in columns), unit]
        for key, (name, unit, form) in lines.items()
        if key in found
    ]
    heads = ["value"] if len(columns) == 1 else ["before", "self-trained"]
    more = [*_evidence_rows(parts, len(columns)), *_disentanglement_rows(run, len(columns))]
    return Table(["on the test images", *heads, "unit"], [*rows, *more])


def _disentanglement_rows(run: Run, columns: int) -> list[list[str]]:
    """Scores against known factors, where the run has them."""
    found = {row["metric"]: row["mean"] for row in run.rows if row["split"] == "all"}
    return [
        [name, f"{found[key]:.3f}", *["\N{EN DASH}"] * (columns - 1), "0 to 1; higher is better; of all images"]
        for key, name in SCORE_NAMES.items()
        if key in found
    ]


def _evidence_rows(parts: list[dict[str, Any]], columns: int) -> list[list[str]]:
    """log p(x) by importance weighting, where the run measured it."""
    return [
        [
            "log p(x), importance-weighted",
            f"{row['mean']:.2f} ± {row['standard_error']:.2f}",
            *["\N{EN DASH}"] * (columns - 1),
            f"nats per image; {row['samples']:,} samples, {row['effective_samples']:.1f} of them effective; "
            "± is one standard error of the sampling",
        ]
        for row in parts
        if row["metric"] == "log_px"
    ]


SETS = {
    "training images": "training images",
    "reconstructions": "reconstructions",
    "samples": "samples from the prior",
    "fitted samples": "samples from a fitted Gaussian",
}
SCORES = {
    "frechet": ("Fr\N{LATIN SMALL LETTER E WITH ACUTE}chet", ".2f"),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "inception_score": ("inception", ".2f"),
    "legible": ("legible", ".3f"),
    "authentic": ("authentic", ".3f"),
}


def samples_table(run: Run) -> tuple[Table, str] | None:
    """How like test images drawn ones are, with what a reader must know, if the run has measured it."""
    found = {(row["features"], row["metric"]): row for row in run.rows if row["metric"] in SCORES and "features" in row}
    if not found:
        return None
    rows = [
        [
            words,
            *(
                f"{found[name, key]['mean']:{form}}" if (name, key) in found else "\N{EN DASH}"
                for key, (_, form) in SCORES.items()
            ),
        ]
        for name, words in SETS.items()
    ]
    one = next(iter(found.values()))
    note = (
        f"{one['images']:,} images of each set against as many test images, by the features and answers of a small "
        f"network trained on the labelled training images ({one['judge_accuracy']:.1%} right on the test part): scores "
        "compare only on the same data and number of images, and none is an FID. Training images score what perfect "
        f"samples would; the fitted Gaussian has the moments of the training codes. {SCORES['frechet'][0]} distance: "
        "lower is better. Precision: share of the set that lies among test images; recall: share of test images that "
        "lie among the set. Inception score: from 1 to the number of classes. Legible: share that the network is 90 % "
        "sure of. Authentic: share no nearer to a training image than that image's own nearest neighbour; near 0 "
        "is memorising, about a half is new."
    )
    return Table(["", *(name for name, _ in SCORES.values())], rows, strong=(2,)), note


def stage_table(run: Run) -> Table:
    """Seconds of each stage."""
    stages = run.results["stages"]
    rows = [[name, f"{seconds:,.1f}"] for name, seconds in stages.items()]
    return Table(["stage", "seconds"], [*rows, ["together", f"{run.results['seconds']:,.1f}"]])


def facts(run: Run) -> list[tuple[str, str]]:
    """Data, seeds, machine, versions and commit, each with its name."""
    results = run.results
    data, machine, recipe = results["data"], results["machine"], run.recipe
    parts = ", ".join(f"{count:,} {part}" for part, count in data["images"].items())
    shape = " x ".join(map(str, results["image_shape"]))
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    compute = recipe.compute
    classes = ", ".join(clean(name) for name in results["classes"])
    return [
        ("data", data_title(run)),
        ("images", f"{parts}; {shape} (channels x height x width)"),
        ("classes", f"{len(results['classes'])}: {classes}" if classes else "none: the images have no labels"),
        ("fingerprint of the training part", data["fingerprint"]),
        ("seeds", f"{recipe.seed} for weights, order, noise and label draws; {recipe.data.seed} for the split"),
        ("versions", versions),
        ("commit", results["commit"] or "not known (vaebench ran outside a checkout)"),
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("GPU", machine["gpu"] or "none used"),
        ("computed on", f"{compute.device}, training in {compute.precision}, {compute.threads} threads"),
    ]


def data_title(run: Run) -> str:
    """The data's name, with its note."""
    data = run.results["data"]
    return clean(f"{data['name']} ({data['note']})" if data["note"] else data["name"])


def recipe_text(run: Run) -> str:
    """The recipe as TOML; what is set to nothing stands as a comment."""
    return "\n".join(_toml(run.results["recipe"], "")).strip()


def _toml(values: dict[str, Any], path: str) -> list[str]:
    lines = []
    for key, value in values.items():
        if value is None:
            lines.append(f"# {key}: none")
        elif not _nested(value):
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_toml(value, name)]
        elif _nested(value):
            for item in value:
                lines += ["", f"[[{name}]]", *_toml(item, name)]
    return lines


def _nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))
