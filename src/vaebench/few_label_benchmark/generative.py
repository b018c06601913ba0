"""Generative quality of the VAE before and after self-training: ELBO, reconstructions and samples."""

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
from vaebench.few_label_benchmark.methods import train_self_training_network
from vaebench.models.vae import VAE
from vaebench.semi_supervised.self_training import SelfTraining

LABELS_PER_CLASS, IMAGES = 10, 16
STAGES = {
    "before": "before self-training",
    "whole": "after it",
    "without-generative": "after it, without the generative term",
}


class GenerativeQuality(NamedTuple):
    """Rows of the ELBO and its terms, and arrays of images by name."""

    rows: list[dict[str, Any]]
    arrays: Arrays


def measure_generative_quality(
    context: DatasetContext, representation: str, methods: Mapping[str, SelfTraining]
) -> GenerativeQuality:
    """Quality of the initial VAE and of the VAEs that ``methods`` train on the first draw of 10 labels per class."""
    base: dict[str, Any] = {
        "data": context.name,
        "split": "test",
        "group": "generation",
        "labels_per_class": LABELS_PER_CLASS,
        "budget": context.experiment.budget,
        "augmentation": None,
    }
    test, count = context.data.test, context.experiment.pick(1, LABELS_PER_CLASS, LABELS_PER_CLASS)
    rows, arrays = [], {"images": test.pixels[spread_over_classes(test, IMAGES)].numpy()}
    for key, title in STAGES.items():
        method = methods.get(key)

        def make(method: SelfTraining | None = method) -> Arrays:
            if method is None:
                return _evaluate(context, context.initial_vae(representation).vae)
            labels = context.draw_labels(count, 0)
            return _evaluate(context, train_self_training_network(context, labels, representation, method).vae)

        identity = {
            "of": context.key(representation),
            "begins": context.initial_vae(representation).key,
            "method": stable_key(method),
            "count": count,
            "images": IMAGES,
        }
        evaluated = context.experiment.arrays(f"{context.name}/kept/{key}", identity, make)
        arrays |= {f"{key}-{kind}": evaluated[kind] for kind in ("outputs", "samples")}
        for metric, value in zip(("elbo", "reconstruction", "kl"), evaluated["bounds"].tolist(), strict=True):
            rows.append({**base, "method": key, "title": title, "metric": metric, **summary([value])})
    return GenerativeQuality(rows, arrays)


def _evaluate(context: DatasetContext, vae: VAE) -> Arrays:
    test = context.data.test
    elbo, first = bounds(vae, test), spread_over_classes(test, IMAGES)
    return {
        "bounds": np.array([elbo.elbo, float(elbo.reconstruction.mean()), elbo.kl]),
        "outputs": decoded(vae, encode(vae, test.take(first)).mean),
        "samples": decoded(vae, prior_samples(vae, 0, IMAGES)),
    }
