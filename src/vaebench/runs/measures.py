"""What a run measures of its VAE beside the learning curve, each where the recipe asks for it and the data allow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from vaebench.runs.rows import Rows, disentanglement_rows, evidence_rows, fidelity_rows, score_rows

FEWEST = 50
"""Images of a part, below which scores of drawn images would say nothing."""


@dataclass(frozen=True)
class Measures:
    """Scores of one VAE; what was not measured is None or empty."""

    bounds: Bounds
    after: Bounds | None
    """Of the VAE that self-training has made a classifier of."""
    evidence: Evidence | None
    factors: Mapping[str, float]
    fidelity: Fidelity | None

    def rows(self, recipe: Recipe, data: str) -> Rows:
        """As rows of results.json."""
        base = {"data": data, "split": "test"}
        rows = score_rows(self.bounds, base)
        rows += evidence_rows(self.evidence, recipe.evaluation.importance_samples or 0, base) if self.evidence else []
        rows += disentanglement_rows(self.factors, base)
        rows += fidelity_rows(self.fidelity, base) if self.fidelity else []
        return rows + (score_rows(self.after, {**base, "features": "self-trained"}) if self.after else [])


@dataclass(frozen=True)
class Measurer:
    """Measures the VAE of one run."""

    recipe: Recipe
    data: Dataset
    folder: Path
    clock: StageTimer
    callback: ProgressCallback

    def measure(self, vae: VAE, latents: Features, taught: ClassifyingVAE | None) -> Measures:
        """All that applies; ``latents`` are those of ``vae``."""
        with self.clock.stage("scores and panels"):
            found = bounds(vae, self.data.test, self.recipe.seed)
            after = bounds(taught.vae, self.data.test, self.recipe.seed) if taught else None
        drawn, weighted = self._fidelity(vae, latents), self._evidence(vae)
        return Measures(found, after, weighted, self._factors(vae), drawn)

    def _fidelity(self, vae: VAE, latents: Features) -> Fidelity | None:
        """How like test images what the VAE draws is, where labels can teach a judge."""
        most = self.recipe.evaluation.samples
        if most is None or not self.data.labelled or min(len(self.data.train), len(self.data.test)) < FEWEST:
            return None
        with self.clock.stage("samples"):
            judge = EvaluationClassifier.fit(
                self.data,
                self.recipe.compute,
                callback=lambda share: self.callback(ProgressEvent("samples", 0.8 * share)),
            )
            found = fidelity(vae, self.data, (latents.train, latents.test), judge, most, self.recipe.seed)
            self.callback(ProgressEvent("samples", 1.0))
        return found

    def _evidence(self, vae: VAE) -> Evidence | None:
        """log p(x) of the test part by importance weighting."""
        samples = self.recipe.evaluation.importance_samples
        if samples is None:
            return None

        def callback(done: float) -> None:
            self.callback(ProgressEvent("log p(x)", done))

        with self.clock.stage("log p(x)"):
            kept = self.folder / "evidence.npz"
            return evidence(vae, self.data.test, samples, self.recipe.seed, checkpoint=kept, callback=callback)

    def _factors(self, vae: VAE) -> dict[str, Any]:
        """Whether latents stand for factors, where these are known."""
        known = self.recipe.data.with_factors()
        if known is None:
            return {}
        with self.clock.stage("disentanglement"):
            images, factors = known
            self.callback(ProgressEvent("disentanglement", 0.0))
            found = disentanglement(FactorCodes(encode(vae, images).mean.numpy(), factors), self.recipe.seed)
            self.callback(ProgressEvent("disentanglement", 1.0))
        return found
