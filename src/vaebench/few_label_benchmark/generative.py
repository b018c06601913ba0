"""What is left of the generative model once it names classes: its bound, its reconstructions, its samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from vaebench.core.frozen import stable_key
from vaebench.core.statistics import summary
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.features import encode
from vaebench.evaluation.panels import Arrays, decoded, prior_samples, spread_over_classes
from vaebench.few_label_benchmark.context import DatasetContext
from vaebench.few_label_benchmark.methods import self_training_network
from vaebench.models.vae import VAE
from vaebench.semi_supervised.self_training import SelfTraining

COUNT, ACROSS = 10, 16
KEPT = {
    "before": "before self-training",
    "whole": "after it",
    "without-generative": "after it, without the generative term",
}


class Kept(NamedTuple):
    """Rows of bounds, and arrays of images by what they show."""

    rows: list[dict[str, Any]]
    arrays: Arrays


def kept(context: DatasetContext, representation: str, methods: Mapping[str, SelfTraining]) -> Kept:
    """The VAE that self-training begins with, beside what each method makes of it by the first draw of 10 labels a
    class."""
    base: dict[str, Any] = {"data": context.name, "split": "test", "group": "generation", "labels_per_class": COUNT}
    base |= {"budget": context.experiment.budget, "augmentation": None}
    test, count = context.data.test, context.experiment.pick(1, COUNT, COUNT)
    rows, arrays = [], {"images": test.pixels[spread_over_classes(test, ACROSS)].numpy()}
    for key, words in KEPT.items():
        method = methods.get(key)

        def make(method: SelfTraining | None = method) -> Arrays:
            if method is None:
                return _shown(context, context.trunk(representation).vae)
            return _shown(context, self_training_network(context, context.given(count, 0), representation, method).vae)

        identity = {
            "of": context.key(representation),
            "begins": context.trunk(representation).key,
            "method": stable_key(method),
            "count": count,
            "images": ACROSS,
        }
        found = context.experiment.arrays(f"{context.name}/kept/{key}", identity, make)
        arrays |= {f"{key}-{what}": found[what] for what in ("outputs", "samples")}
        for metric, value in zip(("elbo", "reconstruction", "kl"), found["bounds"].tolist(), strict=True):
            rows.append({**base, "method": key, "words": words, "metric": metric, **summary([value])})
    return Kept(rows, arrays)


def _shown(context: DatasetContext, vae: VAE) -> Arrays:
    test = context.data.test
    found, first = bounds(vae, test), spread_over_classes(test, ACROSS)
    return {
        "bounds": np.array([found.elbo, float(found.reconstruction.mean()), found.kl]),
        "outputs": decoded(vae, encode(vae, test.take(first)).mean),
        "samples": decoded(vae, prior_samples(vae, 0, ACROSS)),
    }
