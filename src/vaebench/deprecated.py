"""Names of vaebench 0.1 that still work and warn; they are removed in 0.3."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
INTERNAL = ("vaebench", "pydantic", "jaxtyping")
"""Packages in which a warning does not point at a line."""
NAMES = {"perform": "run"}
"""Old name of ``vaebench`` -> today's."""


def warn_renamed(old: str, new: str) -> None:
    """Issue a `FutureWarning` that names the replacement of ``old``, at the line of the user's code that led to it."""
    frame, inside = sys._getframe().f_back, 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INTERNAL:
        frame, inside = frame.f_back, inside + 1
    message = f"{old} is now {new}; the old name still works and will be removed in vaebench 0.3"
    warnings.warn(message, FutureWarning, inside + 1)


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accept keyword arguments by their old names, with a warning: ``renamed_arguments(watch="callback")``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in names.items():
                if old in kwargs:
                    warn_renamed(f"{function.__name__}({old}=...)", f"{function.__name__}({new}=...)")
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


SELF_TRAINING = "evaluation.self_training"
RECIPE_NAMES = {
    "data": {"test_share": "test_fraction", "validation_share": "validation_fraction"},
    "objective": {"share": "fraction"},
    SELF_TRAINING: {
        "spreader": "propagation",
        "teacher": "pseudo_labeller",
        "keep": "graph_fraction",
        "keep_own": "network_fraction",
        "taught": "pseudo_labelled",
        "given": "labelled",
    },
    f"{SELF_TRAINING}.objective": {"share": "elbo_fraction"},
    f"{SELF_TRAINING}.propagation": {"share": "confident_fraction"},
    f"{SELF_TRAINING}.propagation.few_labels": {"share": "confident_fraction"},
    f"{SELF_TRAINING}.pseudo_labeller": {"share": "confident_fraction"},
    f"{SELF_TRAINING}.pseudo_labeller.kind": {"own-answers": "network", "feature-graph": "graph"},
}
"""Old field of a recipe's part, or old kind -> today's, by today's place of the part or kind."""


def upgrade_recipe(values: Any, warn: bool = False, place: str = "") -> Any:
    """A recipe's plain values with the field names and kinds of today; other values are returned as they are.

    Args:
        warn: issue a `FutureWarning` for each old name: for values that a user gives, not for those of stored files.
        place: place of the values in the recipe, such as "evaluation.self_training".
    """
    if isinstance(values, str):
        return _current_name(values, place, warn)
    if not isinstance(values, dict):
        return values
    upgraded = {}
    for old, value in values.items():
        name = _current_name(old, place, warn)
        upgraded[name] = upgrade_recipe(value, warn, f"{place}.{name}" if place else name)
    return upgraded


def upgrade_option(path: list[str]) -> list[str]:
    """The path of a field that a user overrides, such as ``["data", "test_share"]``, by today's names."""
    upgraded: list[str] = []
    for name in path:
        upgraded.append(_current_name(name, ".".join(upgraded), warn=True))
    return upgraded


def _current_name(old: str, place: str, warn: bool) -> str:
    new = RECIPE_NAMES.get(place, {}).get(old, old)
    if warn and new != old:
        prefix = f"{place} = " if place.endswith(".kind") else f"{place}."
        warn_renamed(f"{prefix}{old}", f"{prefix}{new}")
    return new


def workers_of(machine: dict[str, Any]) -> int:
    """Number of workers in a step's record; until 0.1 the key was "hands"."""
    return int(machine.get("workers", machine.get("hands", 1)))


def renamed_attribute(old: str, new: str) -> Any:
    """Return a property ``old`` that warns and returns the attribute ``new``."""

    def read(instance: Any) -> Any:
        warn_renamed(f"{type(instance).__name__}.{old}", new)
        return getattr(instance, new)

    return property(read)


OLD_OUTLIERS_FILE = "usual.safetensors"
"""Old name of a model folder's ``outliers.safetensors``."""
CLASSIFIER_TENSORS = {"line.weight": "linear.weight", "line.bias": "linear.bias"}
"""Old name of a tensor in a linear image classifier's weights -> today's."""


def upgrade_fit_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record of a fit log with today's keys: "cell" is now "fit"."""
    return {"fit" if key == "cell" else key: value for key, value in record.items()}


SCHEMA_1_KEYS = {"judge_accuracy": "evaluation_classifier_accuracy"}
"""Key of a row of results.json, schema 1 -> schema 2."""
SCHEMA_1_METRICS = {"legible": "confident_fraction", "authentic": "authenticity"}
"""Metric of a row of results.json, schema 1 -> schema 2."""


def upgrade_results(results: dict[str, Any]) -> dict[str, Any]:
    """Return results.json of schema 1 as schema 2: new keys and metrics in its rows, new fields in its recipe."""
    rows = [{SCHEMA_1_KEYS.get(key, key): value for key, value in row.items()} for row in results["rows"]]
    for row in rows:
        if isinstance(metric := row.get("metric"), str):
            row["metric"] = SCHEMA_1_METRICS.get(metric, metric)
    return results | {"schema": 2, "recipe": upgrade_recipe(results.get("recipe")), "rows": rows}


def rename_fit_log(folder: Path) -> None:
    """Rename a run's cells.jsonl, as earlier versions called it, to fits.jsonl."""
    if (old := folder / "cells.jsonl").exists():
        old.rename(folder / "fits.jsonl")


PAPER_ROW_KEYS = {
    "where": "source",
    "what": "quantity",
    "printed": "reported",
    "found": "reproduced",
    "holds": "agrees",
    "why": "explanation",
}
"""Old key of a row of ``papers.json`` -> today's."""
PAPER_PHRASES = {
    "its released weights": "released weights",
    "its notebooks": "notebooks",
    "latents alive in": "active latents in",
    "loss of the notebooks' VAE, falling without bound": "training loss of the notebooks' VAE, unbounded below",
    "Fashion-MNIST named with 84 % in the discussion, 83 % in Table 1": "Fashion-MNIST: accuracy in the discussion, "
    "which is 83 % in Table 1",
    "cross-entropy where it stuck": "final cross-entropy",
    "the same encoder trained from pixels": "supervised baseline, the same encoder trained from pixels",
    "fed pixels in [0, 1] as it was trained": "with inputs in [0, 1], as in its training",
    "the same with the VAE's own training counted": "head training with the VAE's own training included",
    "ends 10 points below the state of the art, quoted as": "is 10 points below the state of the art, given as",
    "validation (best found)": "validation (best accuracy)",
    "beside the CB VAE's printed number": "compared with the CB VAE's reported accuracy",
    "seconds an epoch": "seconds per epoch",
    "the CB VAE leads by about 3 points everywhere (points, mean of 6 cells)": "the CB VAE is about 3 points more "
    "accurate everywhere (points, mean of 6 comparisons)",
    "the same for samples from a Gaussian fitted to each VAE's codes, which do not follow the prior": "samples from a "
    "Gaussian fitted to each VAE's codes, which do not follow the prior: CB relative to Normal (ratio of sharpness)",
    "label a class": "label per class",
    "labels a class": "labels per class",
    "images a class": "images per class",
    "drawings a class": "drawings per class",
    "0 a class": "0 per class",
    "1 a class": "1 per class",
    "fall to the prior": "collapse to the prior",
    "reads as rotation": "encodes rotation",
    "reads as thickness": "encodes thickness",
    "with a line trained to convergence": "with a linear probe trained to convergence",
    "kinds of errors: images that disentangled and standard both miss, of those either misses": "error analysis: "
    "fraction of the errors of disentangled or standard that both make",
    "kinds of errors: the same for disentangled and supervised": "error analysis: the same fraction for disentangled "
    "and supervised",
    "kinds of errors: how differently disentangled and supervised confuse (0 alike, 1 disjoint)": "error analysis: "
    "distance of the confusions of disentangled and supervised (0 identical, 1 disjoint)",
    "kinds of errors: test images that only the disentangled model misses": "error analysis: test images that only "
    "the disentangled model misclassifies",
    "the formula as printed collapses": "the formula as printed leads to posterior collapse",
    "4s and 9s taken for the other": "4s and 9s classified as the other",
    "and nothing more than that": "CIFAR-10 separates nothing else",
    "and oscillate more": "the 2-D CIFAR-10 losses oscillate more",
    "share lost in the last epoch": "relative decrease in the last epoch",
    "squared error saved by two": "decrease in squared error with two",
    "squared error saved": "decrease in squared error",
    "KL share of": "KL as a fraction of",
    "legible share at": "fraction of legible samples at",
    "validation loss gained": "decrease in validation loss",
    "read as another class, share at latent": "classified as another class, fraction at latent",
    "test accuracy of the classifier that judges samples and reconstructions": "test accuracy of the evaluation "
    "classifier",
    "(share)": "(fraction)",
    "(share ": "(fraction ",
    "(fraction read as 8)": "(fraction classified as 8)",
    "a proper beta of 3 makes z noisy": "beta 3 per image makes z noisy",
    ": on means it has": ": accuracy on means",
    "proper beta 3 gives": "beta of 3 per image gives",
    "other classes; ": "substitute classes; ",
    "the printed": "the reported",
    "fed standardised pixels up to 2.8, which it never saw; fed pixels in [0, 1] it has": "inputs are standardised "
    "pixels up to 2.8, outside the range of its training; accuracy with inputs in [0, 1] is",
    "so silence is optimal from beta 1 on": "so posterior collapse is optimal for beta >= 1",
    "its choice is number": "the paper's choice has rank",
    "means read by": "means classified by",
    "a head of 512 and 512 that learned from sampled z": "a 512-512 head trained on sampled z",
    "ours is in a row below": "our own VAE is in an additional row",
    "beside unit noise a pixel little of an image is worth coding": "with unit noise per pixel, little of an image is "
    "worth encoding",
    "where samples are far darker than images, they lie where no image was coded": "samples far darker than images "
    "come from latents to which no image is encoded",
    "read figure-4; n counts draws of labels": "see figure-4; n is the number of label draws",
    "the smallest step down is": "the smallest difference is",
    "a line trained to convergence is a row of ours": "a linear probe trained to convergence is an additional row",
    "the paper's line": "the paper's linear layer",
    "M1, a line on the means": "M1, linear probe on the means",
    "nats of reconstruction": "nats of reconstruction loss",
    "read as 8 by a CNN after reconstruction, in brackets the standard VAE": "reconstructions classified as 8 by a "
    "CNN (standard VAE in brackets)",
    "if they erred independently": "if errors were independent",
    "4s taken for 9s": "4s classified as 9s",
    "always saying animal": "always predicting animal",
    "as a share of": "as a fraction of",
    "printed on another scale, which contradicts its own table": "reported on another scale, which contradicts the "
    "paper's table",
    "the recipe as printed": "the paper's recipe",
    "all samples judged": "all classified samples",
    "are read as the same class as the image": "are classified like the image",
    "more latents cost nothing, they collapse to the prior": "further latents collapse to the prior at no cost",
    "its own errors bound what it can say of others": "its own errors limit what it can measure",
    "the most to expect": "the upper limit to expect",
    "shares of the digits": "fractions of the digits",
}
"""Phrase in the sources, quantities and explanations of old rows -> today's, replaced in this order."""


def upgrade_paper_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of ``papers.json`` with the keys and terms of today; today's rows are returned as they are."""
    if "source" in row:
        return row
    row = {PAPER_ROW_KEYS.get(key, key): value for key, value in row.items()}
    for key in ("source", "quantity", "explanation"):
        for old, new in PAPER_PHRASES.items():
            row[key] = row[key].replace(old, new)
    return row


RESULT_KEYS = {
    "words": "title",
    "what": "title",
    "own": "trained_on",
    "held": "validation",
    "uniform_held": "uniform_validation",
    "calibration_held": "calibration_validation",
    "log_loss_held": "log_loss_validation",
}
"""Old key of the rows and kept results of benchmarks -> today's."""
RESULT_VALUES = {
    "split": {"held": "validation"},
    "group": {"readers": "probes", "whole": "self-training", "rivals": "supervised", "without": "ablations"},
    "score": {"unlike": "outlier"},
}
"""Old values of a row by today's key -> today's."""


TITLE_PHRASES = {
    "that are as small beside it as those are beside 2 GB": "as small relative to the file as the default for 2 GB",
    ", beside ": ", compared with ",
}
"""Old phrases in titles of rows -> today's."""


def upgrade_rows(value: Any) -> Any:
    """Rows or results of benchmarks with the keys and values of today, nested ones too."""
    if isinstance(value, list):
        return [upgrade_rows(one) for one in value]
    if not isinstance(value, dict):
        return value
    upgraded = {RESULT_KEYS.get(key, key): upgrade_rows(one) for key, one in value.items()}
    for key, names in RESULT_VALUES.items():
        if isinstance(upgraded.get(key), str):
            upgraded[key] = names.get(upgraded[key], upgraded[key])
    if isinstance(upgraded.get("title"), str):
        for phrase, new in TITLE_PHRASES.items():
            upgraded["title"] = upgraded["title"].replace(phrase, new)
    return upgraded
