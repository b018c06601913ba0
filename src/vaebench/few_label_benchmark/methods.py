"""METHODS: what answers a draw of labels. Each reads the unlabelled images, the draw, and no other label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vaebench.data.images import MixedSource
from vaebench.evaluation.features import Grid
from vaebench.evaluation.gaussian_mixture import Clusters
from vaebench.evaluation.probes import Probe
from vaebench.few_label_benchmark.context import PARTS, TRUNKS, DatasetContext, Knowledge, LabelDraw
from vaebench.models.adgm import ADGMElbo, ADGMModel
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.likelihoods import GaussianPixelScale
from vaebench.models.loss import Objective
from vaebench.models.m2 import M2Elbo, M2Model
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.semi_supervised.graphs import LabelPropagation, uniform_class_fractions
from vaebench.semi_supervised.self_training import SelfTraining, SupervisedTraining, probabilities_from_scores
from vaebench.training.loop import Training, train
from vaebench.training.prediction import predict_with
from vaebench.training.schedules import Adam, OneCycle

Scores = dict[str, Float[np.ndarray, "N Y"]]


class Prediction(NamedTuple):
    """A method's answer to one draw."""

    probabilities: dict[str, Float[Tensor, "N Y"]]
    """Of the images of the held and the test part."""
    images: int
    """Images seen in training, after what all draws share."""
    train: Float[Tensor, "N Y"] | None = None
    """Of the training part, from methods that can correct for the sizes of classes by it."""


@dataclass(frozen=True)
class FewLabelMethod:
    """What answers a draw of labels, and what all draws share of it."""

    answer: Callable[[DatasetContext, LabelDraw], Prediction]
    codes: str | None = None
    """The representation whose codes it reads."""
    graph: str | None = None
    """The representation whose graph it reads."""

    def prepare(self, context: DatasetContext) -> None:
        """Make what all draws share, so that the time of a draw is its own."""
        if self.codes is not None:
            context.features(self.codes)
        if self.graph is not None:
            context.joined(self.graph)


def probe_method(representation: str, probe: Probe) -> FewLabelMethod:
    """A probe of the labelled codes."""

    def answer(context: DatasetContext, given: LabelDraw) -> Prediction:
        codes = context.codes(representation)
        few = codes["train"].take(given.rows).with_labels(given.labels)
        predict = probe.fit(few, context.classes, given.seed, context.experiment.compute)
        return Prediction({part: predict(codes[part]) for part in PARTS}, 0)

    return FewLabelMethod(answer, representation)


def propagation_method(representation: str, propagation: LabelPropagation) -> FewLabelMethod:
    """Labels spread along the graph of the training part; other images join it."""

    def answer(context: DatasetContext, given: LabelDraw) -> Prediction:
        scores = propagation.spread(
            context.graph(representation), given.rows.numpy(), given.labels.numpy(), context.classes
        )
        scores = scores / max(float(scores.std()), 1e-300)
        joined = {part: weights @ scores for part, weights in context.joined(representation).items()}
        return Prediction(
            {part: probabilities_from_scores(found) for part, found in joined.items()},
            0,
            probabilities_from_scores(scores),
        )

    return FewLabelMethod(answer, graph=representation)


def mixture_method(representation: str) -> FewLabelMethod:
    """A mixture of Gaussians fitted to the codes without labels, its components named by the labelled ones."""
    fitted: dict[int, Clusters] = {}

    def answer(context: DatasetContext, given: LabelDraw) -> Prediction:
        codes = context.codes(representation)
        if id(context) not in fitted:
            fitted[id(context)] = Clusters.of(codes["train"].mean.numpy())
        found, seen = fitted[id(context)], codes["train"].mean[given.rows].numpy()
        names = found.name(seen, given.labels.numpy(), context.classes)
        answers = {part: found.probabilities(codes[part].mean.numpy(), names) for part in PARTS}
        return Prediction({part: torch.from_numpy(value).float() for part, value in answers.items()}, 0)

    return FewLabelMethod(answer, representation)


# -- generative models -----------------------------------------------------------------------------------------------


def generative_method(kind: str, epochs: int) -> FewLabelMethod:
    """M2 or ADGM on images ("m2", "auxiliary"), or M2 on samples of the plain VAE's z ("m1+m2")."""

    def answer(context: DatasetContext, given: LabelDraw) -> Prediction:
        compute = context.experiment.compute
        unlabelled, parts = _material(context, stacked=kind == "m1+m2")
        few = unlabelled.take(given.rows).with_labels(given.labels)
        with torch.random.fork_rng():
            torch.manual_seed(given.seed)
            network = _model(kind).build(unlabelled.shape, context.classes)
        training = Training(
            epochs=epochs, batch=256, optimiser=Adam(rate=2e-3, beta2=0.99), schedule=OneCycle(), clip_norm=100.0
        )
        objective: Objective = ADGMElbo() if kind == "auxiliary" else M2Elbo()
        source = MixedSource(few, unlabelled, labelled_per_batch=training.batch // 4)
        train(network, objective, source, training, compute=compute, seed=given.seed)
        classifier: nn.Module = network if kind == "auxiliary" else network.classifier
        predict = predict_with(classifier, given.seed, compute)
        return Prediction({part: predict(parts[part]) for part in PARTS}, epochs * len(unlabelled))

    return FewLabelMethod(answer, "elbo" if kind == "m1+m2" else None)


def _model(kind: str) -> M2Model | ADGMModel:
    network = MLP(hidden=(500,))
    if kind == "auxiliary":
        return ADGMModel(network=network)
    model = M2Model(network=network, classifier=network)
    return (
        model.model_copy(update={"latent": 10, "likelihood": GaussianPixelScale(floor=0.01)})
        if kind == "m1+m2"
        else model
    )


def _material(context: DatasetContext, stacked: bool) -> tuple[Any, dict[str, Any]]:
    """What is trained on, labels hidden, and the parts to test on: images, or samples of z as images of one row."""
    if not stacked:
        return context.unlabelled, context.parts
    features = context.features("elbo")
    hidden = features.sampled("sampled").train.with_labels(torch.full_like(features.train.labels, -1))
    return Grid(hidden, 1), {"held": Grid(features.validation, 1), "test": Grid(features.test, 1)}


# -- the whole method and its rival -----------------------------------------------------------------------------------


def self_training_method(
    representation: str, method: SelfTraining, fresh: bool = False, graphed: bool = True
) -> FewLabelMethod:
    """The VAE's encoder with a class head, taught by the graph, then by the labels and by what it is sure of."""

    def answer(context: DatasetContext, given: LabelDraw) -> Prediction:
        network = self_training_network(context, given, representation, method, fresh, graphed)
        predict = predict_with(network, given.seed, context.experiment.compute)
        found = {part: predict(images) for part, images in context.parts.items()}
        return Prediction(found, sum(method.rounds) * method.batch, predict(context.unlabelled))

    return FewLabelMethod(answer, TRUNKS.get(representation, representation), representation if graphed else None)


def self_training_network(
    context: DatasetContext,
    given: LabelDraw,
    representation: str,
    method: SelfTraining,
    fresh: bool = False,
    graphed: bool = True,
) -> ClassifyingVAE:
    """The trained network of :func:`self_training_method`; ``fresh`` starts it from new weights."""
    vae = context.trunk(representation).vae
    if fresh:
        with torch.random.fork_rng():
            torch.manual_seed(given.seed)
            vae = context.coded.build(context.data.train.shape)
    graph = context.graph(representation) if graphed else None
    compute = context.experiment.compute
    return method.fit(vae, context.unlabelled, graph, given.rows, given.labels, context.classes, given.seed, compute)


RIVALS: dict[str, tuple[Callable[[DatasetContext], Model], Knowledge]] = {
    "supervised": (lambda context: context.model, "nothing"),
    "supervised-augmented": (lambda context: context.model, "own"),
    "supervised-bold": (lambda context: context.wide, "bolder"),
}
"""Whose encoder, and what it knows of augmentation."""


def supervised_method(rival: str, steps: int) -> FewLabelMethod:
    """The rival: an encoder from fresh weights, on the labelled images alone."""

    def answer(context: DatasetContext, given: LabelDraw) -> Prediction:
        few = context.unlabelled.take(given.rows).with_labels(given.labels)
        model, knowledge = RIVALS[rival]
        rule = SupervisedTraining(strong=context.known(knowledge), steps=steps)
        network = rule.fit(model(context), few, context.classes, given.seed, context.experiment.compute)
        predict = predict_with(network, given.seed, context.experiment.compute)
        return Prediction(
            {part: predict(images) for part, images in context.parts.items()}, rule.epochs(len(few)) * len(few)
        )

    return FewLabelMethod(answer)


def with_uniform_classes(guess: Prediction) -> dict[str, Tensor] | None:
    """The guesses with an offset for each class that gives all classes the same share of the training part."""
    if guess.train is None:
        return None
    logs = guess.train.double().clamp(min=1e-12).log().numpy()
    offsets = (uniform_class_fractions(logs, softness=1 / max(float(logs.std()), 1e-9)) - logs)[0]
    return {
        part: found.double().clamp(min=1e-12).log() + torch.from_numpy(offsets)
        for part, found in guess.probabilities.items()
    }
