"""Few-label methods: each reads the unlabelled images and one draw of labels, and predicts the other images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.data.images import HIDDEN
from vaebench.evaluation.features import Grid
from vaebench.evaluation.gaussian_mixture import Clusters
from vaebench.evaluation.probes import Probe
from vaebench.few_label_benchmark.context import INITIAL_VAES, PARTS, AugmentationLevel, DatasetContext, LabelDraw
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.likelihoods import GaussianPixelScale
from vaebench.models.m2 import M2Model
from vaebench.models.vae import Model
from vaebench.semi_supervised.classifiers import ADGMClassifier, M2Classifier
from vaebench.semi_supervised.label_propagation import LabelPropagation, uniform_class_fractions
from vaebench.semi_supervised.self_training import SelfTraining, SupervisedTraining, probabilities_from_scores
from vaebench.training.prediction import predict_with


class Prediction(NamedTuple):
    """Class probabilities that a method predicts from one draw of labels."""

    probabilities: dict[str, Float[Tensor, "N Y"]]
    """Of the validation and the test images."""
    images_seen: int
    """Images seen in training, without the training that all draws share."""
    train_probabilities: Float[Tensor, "N Y"] | None = None
    """Of the training images, for methods that can correct for class frequencies."""


@dataclass(frozen=True)
class FewLabelMethod:
    """A function that fits and predicts, and the representations that all its draws share."""

    fit_predict: Callable[[DatasetContext, LabelDraw], Prediction]
    representation: str | None = None
    """Representation whose codes it reads."""
    graph: str | None = None
    """Representation whose graph it reads."""

    def prepare(self, context: DatasetContext) -> None:
        """Compute what all draws share, so that the time of a draw excludes it."""
        if self.representation is not None:
            context.features(self.representation)
        if self.graph is not None:
            context.neighbour_weights(self.graph)


def probe_method(representation: str, probe: Probe) -> FewLabelMethod:
    """Probe fitted to the labelled codes."""

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        codes = context.standardised_codes(representation)
        few = labels.labelled(codes["train"])
        predict = probe.fit(few, context.classes, labels.seed, context.experiment.compute)
        return Prediction({part: predict(codes[part]) for part in PARTS}, 0)

    return FewLabelMethod(fit_predict, representation)


def propagation_method(representation: str, propagation: LabelPropagation) -> FewLabelMethod:
    """Label propagation on the graph of the training images; other images take the scores of their neighbours."""

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        scores = propagation.propagate(
            context.graph(representation), labels.rows.numpy(), labels.labels.numpy(), context.classes
        )
        scores = scores / max(float(scores.std()), 1e-300)
        weights = context.neighbour_weights(representation)
        probabilities = {part: probabilities_from_scores(weights[part] @ scores) for part in PARTS}
        return Prediction(probabilities, 0, probabilities_from_scores(scores))

    return FewLabelMethod(fit_predict, graph=representation)


def mixture_method(representation: str) -> FewLabelMethod:
    """Gaussian mixture fitted to the codes without labels; labelled codes give its components class probabilities."""
    fitted: dict[str, Clusters] = {}

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        codes = context.standardised_codes(representation)
        if context.name not in fitted:
            fitted[context.name] = Clusters.fit(codes["train"].mean.numpy())
        clusters, labelled = fitted[context.name], codes["train"].mean[labels.rows].numpy()
        component_classes = clusters.component_classes(labelled, labels.labels.numpy(), context.classes)
        probabilities = {
            part: torch.from_numpy(clusters.probabilities(codes[part].mean.numpy(), component_classes)).float()
            for part in PARTS
        }
        return Prediction(probabilities, 0)

    return FewLabelMethod(fit_predict, representation)


# -- generative models -----------------------------------------------------------------------------------------------


GENERATIVE: dict[str, M2Classifier | ADGMClassifier] = {
    "m2": M2Classifier(),
    "auxiliary": ADGMClassifier(),
    "m1+m2": M2Classifier(model=M2Model(latent=10, likelihood=GaussianPixelScale(floor=0.01))),
}
"""Generative classifiers by kind."""


def generative_method(kind: str, epochs: int) -> FewLabelMethod:
    """M2 or ADGM on images ("m2", "auxiliary"), or M2 on samples of the plain VAE's z ("m1+m2")."""

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        unlabelled, parts = _sources(context, codes=kind == "m1+m2")
        known = torch.full((len(unlabelled),), HIDDEN)
        known[labels.rows] = labels.labels
        method = GENERATIVE[kind]
        method = method.model_copy(
            update={"training": method.training.model_copy(update={"epochs": epochs}), "least_steps": 1}
        )
        source = unlabelled.with_labels(known)
        predict = method.fit(source, context.classes, labels.seed, context.experiment.compute)
        return Prediction({part: predict(parts[part]) for part in PARTS}, epochs * len(unlabelled))

    return FewLabelMethod(fit_predict, "elbo" if kind == "m1+m2" else None)


def _sources(context: DatasetContext, codes: bool) -> tuple[Any, dict[str, Any]]:
    """Unlabelled training source and evaluation parts: images, or samples of the plain VAE's z as one-row images."""
    if not codes:
        return context.unlabelled, context.parts
    features = context.features("elbo")
    hidden = features.sampled("sampled").train.with_labels(torch.full_like(features.train.labels, -1))
    return Grid(hidden, 1), {"validation": Grid(features.validation, 1), "test": Grid(features.test, 1)}


# -- self-training and the supervised baselines ------------------------------------------------------------------------


def self_training_method(
    representation: str, method: SelfTraining, fresh: bool = False, graphed: bool = True
) -> FewLabelMethod:
    """The VAE's encoder with a class head, trained on labels propagated on the graph, then on pseudo-labels."""

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        network = train_self_training_network(context, labels, representation, method, fresh, graphed)
        predict = predict_with(network, labels.seed, context.experiment.compute)
        probabilities = {part: predict(images) for part, images in context.parts.items()}
        return Prediction(probabilities, sum(method.rounds) * method.batch, predict(context.unlabelled))

    initial = INITIAL_VAES.get(representation, representation)
    return FewLabelMethod(fit_predict, initial, representation if graphed else None)


def train_self_training_network(
    context: DatasetContext,
    labels: LabelDraw,
    representation: str,
    method: SelfTraining,
    fresh: bool = False,
    graphed: bool = True,
) -> ClassifyingVAE:
    """Network of :func:`self_training_method`.

    Args:
        fresh: start from random weights instead of the trained VAE.
        graphed: whether the first pseudo-labels are propagated on the graph of ``representation``.
    """
    vae = context.initial_vae(representation).vae
    if fresh:
        with torch.random.fork_rng():
            torch.manual_seed(labels.seed)
            vae = context.pair_model.build(context.data.train.shape)
    graph = context.graph(representation) if graphed else None
    compute = context.experiment.compute
    return method.fit(vae, context.unlabelled, graph, labels.rows, labels.labels, context.classes, labels.seed, compute)


BASELINES: dict[str, tuple[Callable[[DatasetContext], Model], AugmentationLevel]] = {
    "supervised": (lambda context: context.model, "none"),
    "supervised-augmented": (lambda context: context.model, "standard"),
    "supervised-bold": (lambda context: context.wide_model, "strong"),
}
"""Supervised baselines: model whose encoder is trained, and its augmentation."""


def supervised_method(baseline: str, steps: int) -> FewLabelMethod:
    """Supervised baseline: an encoder trained from random weights on the labelled images alone."""

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        few, compute = labels.labelled(context.unlabelled), context.experiment.compute
        model, level = BASELINES[baseline]
        training = SupervisedTraining(strong=context.augmentation_at(level), steps=steps)
        network = training.fit(model(context), few, context.classes, labels.seed, compute)
        predict = predict_with(network, labels.seed, compute)
        probabilities = {part: predict(images) for part, images in context.parts.items()}
        return Prediction(probabilities, training.epochs(len(few)) * len(few))

    return FewLabelMethod(fit_predict)


def with_uniform_classes(prediction: Prediction) -> dict[str, Float[Tensor, "N Y"]] | None:
    """Log-probabilities with an offset per class such that all classes are equally frequent in the training part."""
    if prediction.train_probabilities is None:
        return None
    logs = prediction.train_probabilities.double().clamp(min=1e-12).log().numpy()
    offsets = (uniform_class_fractions(logs, softness=1 / max(float(logs.std()), 1e-9)) - logs)[0]
    return {
        part: probabilities.double().clamp(min=1e-12).log() + torch.from_numpy(offsets)
        for part, probabilities in prediction.probabilities.items()
    }
