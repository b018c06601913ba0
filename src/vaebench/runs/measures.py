"""Scores of a run's VAE beyond the learning curve: ELBO, log p(x), sample quality and disentanglement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vaebench.core.progress import ProgressCallback, ProgressEvent, StageTimer
from vaebench.data.images import Dataset
from vaebench.evaluation.bounds import Bounds, bounds
from vaebench.evaluation.disentanglement import FactorCodes, disentanglement
from vaebench.evaluation.evaluation_classifier import EvaluationClassifier
from vaebench.evaluation.evidence import Evidence, evidence
from vaebench.evaluation.features import Features, encode
from vaebench.evaluation.fidelity import Fidelity, fidelity
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.vae import VAE
from vaebench.runs.recipe import Recipe
from vaebench.runs.rows import ResultRow, bound_rows, disentanglement_rows, evidence_row, fidelity_rows

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

    def rows(self, recipe: Recipe, data: str) -> list[ResultRow]:
        """Return the scores as rows of results.json."""
        base = {"data": data, "split": "test"}
        rows = bound_rows(self.bounds, base)
        if self.evidence:
            rows.append(evidence_row(self.evidence, recipe.evaluation.importance_samples or 0, base))
        rows += disentanglement_rows(self.disentanglement, base)
        rows += fidelity_rows(self.fidelity, base) if self.fidelity else []
        if self.classifier_bounds:
            rows += bound_rows(self.classifier_bounds, {**base, "features": "self-trained"})
        return rows


@dataclass(frozen=True)
class Measurer:
    """Computes the scores that the recipe asks for and the data allow."""

    recipe: Recipe
    data: Dataset
    folder: Path
    timer: StageTimer
    callback: ProgressCallback

    def measure(self, vae: VAE, latents: Features, classifier: ClassifyingVAE | None) -> Measures:
        """Compute all scores; ``latents`` are the codes of ``vae``."""
        with self.timer.stage("scores and panels"):
            own = bounds(vae, self.data.test, self.recipe.seed)
            classifier_bounds = bounds(classifier.vae, self.data.test, self.recipe.seed) if classifier else None
        sample_quality, log_px = self._fidelity(vae, latents), self._evidence(vae)
        return Measures(own, classifier_bounds, log_px, self._disentanglement(vae), sample_quality)

    def _progress(self, stage: str, scale: float = 1.0) -> Callable[[float], None]:
        return lambda done: self.callback(ProgressEvent(stage, scale * done))

    def _fidelity(self, vae: VAE, latents: Features) -> Fidelity | None:
        """Sample quality, for data whose labels can train an evaluation classifier."""
        most = self.recipe.evaluation.samples
        if most is None or not self.data.labelled or min(len(self.data.train), len(self.data.test)) < MIN_IMAGES:
            return None
        with self.timer.stage("samples"):
            classifier = EvaluationClassifier.fit(
                self.data, self.recipe.compute, callback=self._progress("samples", 0.8)
            )
            result = fidelity(vae, self.data, (latents.train, latents.test), classifier, most, self.recipe.seed)
            self._progress("samples")(1.0)
        return result

    def _evidence(self, vae: VAE) -> Evidence | None:
        """Importance-weighted log p(x) of the test images."""
        samples = self.recipe.evaluation.importance_samples
        if samples is None:
            return None
        with self.timer.stage("log p(x)"):
            kept = self.folder / "evidence.npz"
            callback = self._progress("log p(x)")
            return evidence(vae, self.data.test, samples, self.recipe.seed, checkpoint=kept, callback=callback)

    def _disentanglement(self, vae: VAE) -> dict[str, float]:
        """Disentanglement scores, for data with known factors."""
        known = self.recipe.data.with_factors()
        if known is None:
            return {}
        with self.timer.stage("disentanglement"):
            images, factors = known
            self._progress("disentanglement")(0.0)
            scores = disentanglement(FactorCodes(encode(vae, images).mean.numpy(), factors), self.recipe.seed)
            self._progress("disentanglement")(1.0)
        return scores
