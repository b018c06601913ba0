"""Generative quality of the VAE before and after self-training: ELBO, reconstructions and samples."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from torch import Tensor

from vaebench.core.frozen import stable_key
from vaebench.core.statistics import summary
from vaebench.data.images import Images
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.features import encode
from vaebench.evaluation.panels import Arrays, decoded, prior_samples, spread_over_classes
from vaebench.few_label_benchmark.context import DatasetContext
from vaebench.few_label_benchmark.methods import self_train
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
    test, count = context.data.test, context.experiment.pick(1, LABELS_PER_CLASS, LABELS_PER_CLASS)
    initial, shown = context.initial_vae(representation), spread_over_classes(test, IMAGES)
    rows, arrays = [], {"images": test.pixels[shown].numpy()}

    def evaluate(method: SelfTraining | None) -> Arrays:
        vae = initial.vae
        if method is not None:
            vae = self_train(context, context.draw_labels(count, 0), method, vae, context.graph(representation)).vae
        return _evaluate(vae, test, shown)

    for key, title in STAGES.items():
        method = methods.get(key)
        identity = {
            "of": context.key(representation),
            "begins": initial.key,
            "method": stable_key(method),
            "count": count,
            "images": IMAGES,
        }
        evaluated = context.experiment.arrays(f"{context.name}/kept/{key}", identity, partial(evaluate, method))
        arrays |= {f"{key}-{kind}": evaluated[kind] for kind in ("outputs", "samples")}
        for metric, value in zip(("elbo", "reconstruction", "kl"), evaluated["bounds"].tolist(), strict=True):
            row = {"data": context.name, "split": "test", "group": "generation", "labels_per_class": LABELS_PER_CLASS}
            row |= {"budget": context.experiment.budget, "augmentation": None, "method": key, "title": title}
            rows.append({**row, "metric": metric, **summary([value])})
    return GenerativeQuality(rows, arrays)


def _evaluate(vae: VAE, test: Images, shown: Int[Tensor, " M"]) -> Arrays:
    elbo = bounds(vae, test)
    return {
        "bounds": np.array([elbo.elbo, float(elbo.reconstruction.mean()), elbo.kl]),
        "outputs": decoded(vae, encode(vae, test.take(shown)).mean),
        "samples": decoded(vae, prior_samples(vae, 0, IMAGES)),
    }
