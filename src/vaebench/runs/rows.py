"""`ResultRow`, one row of results.json, and the rows of scores on the test images (nats per image)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict, cast

from vaebench.core.statistics import summary
from vaebench.evaluation.bounds import Bounds
from vaebench.evaluation.evidence import Evidence
from vaebench.evaluation.fidelity import Fidelity
from vaebench.evaluation.learning_curves import LabelCount


class ResultRow(TypedDict):
    """One score with its spread. Keys that do not apply to a metric are absent; docs/results.md describes all."""

    data: str
    split: str
    metric: str
    mean: float
    sd: float | None
    n: int
    values: list[float]
    interval: list[float] | None
    features: NotRequired[str]
    probe: NotRequired[str]
    labels_per_class: NotRequired[LabelCount]
    latent: NotRequired[int]
    samples: NotRequired[int]
    standard_error: NotRequired[float]
    effective_samples: NotRequired[float]
    images: NotRequired[int]
    evaluation_classifier_accuracy: NotRequired[float]


def result_row(base: Mapping[str, Any], metric: str, value: float, **optional: Any) -> ResultRow:
    """Return the row of a single value; ``base`` holds the keys shared by several rows, such as data and split."""
    return cast(ResultRow, {**base, "metric": metric, **summary([value]), **optional})


def bound_rows(bounds: Bounds, base: Mapping[str, str]) -> list[ResultRow]:
    """Rows of the ELBO, its two components, unit counts, and the KL of each latent; of discrete latents, rows of the
    ELBO, its components and the use of codes."""
    scores = {"elbo": bounds.elbo, "reconstruction": float(bounds.reconstruction.mean()), "kl": bounds.kl}
    if use := bounds.code_use:
        scores |= {"codes_used": use.used, "perplexity": use.perplexity}
        return [result_row(base, metric, value) for metric, value in scores.items()]
    scores |= {"active_units": float(bounds.active), "dead_latents": float(bounds.dead)}
    rows = [result_row(base, metric, value) for metric, value in scores.items()]
    return rows + [result_row(base, "kl", nats, latent=d) for d, nats in enumerate(bounds.kl_per_latent.tolist())]


def evidence_row(evidence: Evidence, samples: int, base: Mapping[str, str]) -> ResultRow:
    """Row of log p(x). Its standard error is that of sampling z; the test images are taken as fixed."""
    return result_row(
        base,
        "log_px",
        evidence.mean,
        samples=samples,
        standard_error=evidence.standard_error,
        effective_samples=float(evidence.effective.double().mean()),
    )


def disentanglement_rows(scores: Mapping[str, float], base: Mapping[str, str]) -> list[ResultRow]:
    """Rows of scores against known factors, computed on all images of the data set."""
    return [result_row({**base, "split": "all"}, metric, value) for metric, value in scores.items()]


def fidelity_rows(fidelity: Fidelity, base: Mapping[str, str]) -> list[ResultRow]:
    """Rows of sample-quality scores, for generated images and for the sets they are compared with."""
    context = {"images": fidelity.images, "evaluation_classifier_accuracy": fidelity.classifier_accuracy}
    return [
        result_row({**base, "features": name}, metric, value, **context)
        for name, scores in fidelity.scores.items()
        for metric, value in scores.items()
    ]
