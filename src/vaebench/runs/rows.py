"""Scores of a whole test part as result rows, in nats per image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vaebench.core.statistics import summary
from vaebench.evaluation.bounds import Bounds
from vaebench.evaluation.evidence import Evidence
from vaebench.evaluation.fidelity import Fidelity

Rows = list[dict[str, Any]]


def score_rows(found: Bounds, base: Mapping[str, str]) -> Rows:
    """The bound, its parts and the KL of each latent; ``base`` names data, part and network."""
    scores = {
        "elbo": found.elbo,
        "reconstruction": float(found.reconstruction.mean()),
        "kl": found.kl,
        "active_units": float(found.active),
        "dead_latents": float(found.dead),
    }
    rows = [{**base, "metric": metric, **summary([value])} for metric, value in scores.items()]
    per_latent = enumerate(found.kl_per_latent.tolist())
    return rows + [{**base, "metric": "kl", "latent": d, **summary([value])} for d, value in per_latent]


def evidence_rows(found: Evidence, samples: int, base: Mapping[str, str]) -> Rows:
    """log p(x): its error is that of drawing codes, not of drawing images."""
    effective = float(found.effective.double().mean())
    row = {**base, "metric": "log_px", **summary([found.mean]), "samples": samples}
    return [{**row, "standard_error": found.standard_error, "effective_samples": effective}]


def disentanglement_rows(found: Mapping[str, float], base: Mapping[str, str]) -> Rows:
    """Scores against known factors, of all images of the data set."""
    return [{**base, "split": "all", "metric": metric, **summary([value])} for metric, value in found.items()]


def fidelity_rows(found: Fidelity, base: Mapping[str, str]) -> Rows:
    """Scores of drawn images, and of the sets that they are compared with."""
    about = {"images": found.images, "judge_accuracy": found.classifier_accuracy}
    return [
        {**base, "features": name, "metric": metric, **summary([value]), **about}
        for name, scores in found.scores.items()
        for metric, value in scores.items()
    ]
