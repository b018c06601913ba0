"""Scores of a run's VAE beyond the learning curve: ELBO, log p(x), sample quality and disentanglement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from vaebench.evaluation.bounds import Bounds, bounds
from vaebench.evaluation.clustering import clustering_accuracy
from vaebench.evaluation.disentanglement import FactorCodes, disentanglement
from vaebench.evaluation.evaluation_classifier import EvaluationClassifier
from vaebench.evaluation.evidence import Evidence, evidence
from vaebench.evaluation.features import Features, encode
from vaebench.evaluation.fidelity import Fidelity, fidelity
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.vade import VaDE
from vaebench.models.vae import VAE
from vaebench.runs.context import RunContext
from vaebench.runs.kept import kept_fidelity
from vaebench.runs.recipe import Recipe
from vaebench.runs.rows import ResultRow, bound_rows, disentanglement_rows, evidence_row, fidelity_rows, result_row

MIN_IMAGES = 50
"""Training and test images below which sample-quality scores are too noisy to report."""


@dataclass(frozen=True)
class Measures:
    """Scores of one VAE; those that were not measured are None or empty."""

    bounds: Bounds
    classifier_bounds: Bounds | None
    """Bounds of the self-trained VAE."""
    evidence: Evidence | None
    disentanglement: Mapping[str, float]
    fidelity: Fidelity | None
    clustering: float | None
    """Clustering accuracy of a mixture's components."""

    def rows(self, recipe: Recipe, data: str) -> list[ResultRow]:
        """Return the scores as rows of results.json."""
        base = {"data": data, "split": "test"}
        rows = bound_rows(self.bounds, base)
        if self.evidence:
            rows.append(evidence_row(self.evidence, recipe.evaluation.importance_samples or 0, base))
        if self.clustering is not None:
            rows.append(result_row(base, "clustering_accuracy", self.clustering))
        rows += disentanglement_rows(self.disentanglement, base)
        rows += fidelity_rows(self.fidelity, base) if self.fidelity else []
        if self.classifier_bounds:
            rows += bound_rows(self.classifier_bounds, {**base, "features": "self-trained"})
        return rows


def measure(run: RunContext, vae: VAE, latents: Features, classifier: ClassifyingVAE | None) -> Measures:
    """Compute the scores that the recipe asks for and the data allow; ``latents`` are the codes of ``vae``."""
    test, seed = run.data.test, run.recipe.seed
    with run.timer.stage("scores and panels"):
        own = bounds(vae, test, seed)
        classifier_bounds = bounds(classifier.vae, test, seed) if classifier else None
    sample_quality, log_px = sample_fidelity(run, vae, latents), _evidence(run, vae)
    return Measures(
        own, classifier_bounds, log_px, _disentanglement(run, vae), sample_quality, _clustering(run, vae, latents)
    )


def sample_fidelity(run: RunContext, vae: VAE, latents: Features) -> Fidelity | None:
    """Sample quality, for data whose labels can train an evaluation classifier."""
    most, data = run.recipe.evaluation.samples, run.data
    if most is None or not data.labelled or min(len(data.train), len(data.test)) < MIN_IMAGES:
        return None

    def score() -> Fidelity:
        classifier = EvaluationClassifier.fit(data, run.recipe.compute, callback=run.progress("samples", 0.8))
        result = fidelity(vae, data, (latents.train, latents.test), classifier, most, run.recipe.seed)
        run.progress("samples")(1.0)
        return result

    return kept_fidelity(run, score)


def _evidence(run: RunContext, vae: VAE) -> Evidence | None:
    """Importance-weighted log p(x) of the test images."""
    samples = run.recipe.evaluation.importance_samples
    if samples is None:
        return None
    with run.timer.stage("log p(x)"):
        kept, callback = run.folder / "evidence.npz", run.progress("log p(x)")
        return evidence(vae, run.data.test, samples, run.recipe.seed, checkpoint=kept, callback=callback)


def _disentanglement(run: RunContext, vae: VAE) -> dict[str, float]:
    """Disentanglement scores, for data with known factors."""
    known = run.recipe.data.with_factors()
    if known is None:
        return {}
    with run.timer.stage("disentanglement"):
        images, factors = known
        run.progress("disentanglement")(0.0)
        scores = disentanglement(FactorCodes(encode(vae, images).mean.numpy(), factors), run.recipe.seed)
        run.progress("disentanglement")(1.0)
    return scores


@torch.no_grad()
def _clustering(run: RunContext, vae: VAE, latents: Features) -> float | None:
    """Accuracy of the most probable components at the posterior means of the test images, for labelled data."""
    if not isinstance(vae, VaDE) or not run.data.labelled:
        return None
    clusters = vae.responsibilities(latents.test.mean.to(vae.zero)).argmax(1).cpu()
    return clustering_accuracy(clusters.numpy(), latents.test.labels.numpy())
