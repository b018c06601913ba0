"""What is left of the generative model once it names classes: its bound, its reconstructions, its samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.features import encode
from vaebench.evaluation.few_labels import summary
from vaebench.evaluation.panels import Arrays, decoded, prior_samples, spread_over_classes
from vaebench.evaluation.semi_supervised import SemiSupervised
from vaebench.frozen import stable_key
from vaebench.ladder.arena import Arena
from vaebench.ladder.methods import whole_network
from vaebench.models.vae import VAE

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


def kept(arena: Arena, representation: str, methods: Mapping[str, SemiSupervised]) -> Kept:
    """The VAE that self-training begins with, beside what each method makes of it by the first draw of 10 labels a
    class."""
    base: dict[str, Any] = {"data": arena.name, "split": "test", "group": "generation", "labels_per_class": COUNT}
    base |= {"budget": arena.study.budget, "augmentation": None}
    test, count = arena.data.test, arena.study.pick(1, COUNT, COUNT)
    rows, arrays = [], {"images": test.pixels[spread_over_classes(test, ACROSS)].numpy()}
    for key, words in KEPT.items():
        method = methods.get(key)

        def make(method: SemiSupervised | None = method) -> Arrays:
            if method is None:
                return _shown(arena, arena.trunk(representation).vae)
            return _shown(arena, whole_network(arena, arena.given(count, 0), representation, method).vae)

        identity = {
            "of": arena.key(representation),
            "begins": arena.trunk(representation).key,
            "method": stable_key(method),
            "count": count,
            "images": ACROSS,
        }
        found = arena.study.arrays(f"{arena.name}/kept/{key}", identity, make)
        arrays |= {f"{key}-{what}": found[what] for what in ("outputs", "samples")}
        for metric, value in zip(("elbo", "reconstruction", "kl"), found["bounds"].tolist(), strict=True):
            rows.append({**base, "method": key, "words": words, "metric": metric, **summary([value])})
    return Kept(rows, arrays)


def _shown(arena: Arena, vae: VAE) -> Arrays:
    test = arena.data.test
    found, first = bounds(vae, test), spread_over_classes(test, ACROSS)
    return {
        "bounds": np.array([found.elbo, float(found.reconstruction.mean()), found.kl]),
        "outputs": decoded(vae, encode(vae, test.take(first)).mean),
        "samples": decoded(vae, prior_samples(vae, 0, ACROSS)),
    }
