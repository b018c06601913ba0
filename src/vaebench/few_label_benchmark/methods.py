"""Few-label methods: each reads the unlabelled images and one draw of labels, and predicts the other images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.core.frozen import stable_key
from vaebench.data.augment import Augmentation
from vaebench.data.images import HIDDEN
from vaebench.evaluation.features import Grid
from vaebench.evaluation.gaussian_mixture import Clusters
from vaebench.evaluation.probes import KNN, Head, Logistic, Probe
from vaebench.few_label_benchmark.context import (
    INITIAL_VAES,
    PAIRED,
    PARTS,
    AugmentationLevel,
    DatasetContext,
    LabelDraw,
)
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.likelihoods import GaussianPixelScale
from vaebench.models.m2 import M2Model
from vaebench.models.networks import MLP
from vaebench.models.vae import VAE
from vaebench.semi_supervised.classifiers import ADGMClassifier, M2Classifier
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.label_propagation import LabelPropagation, LabelSpreading, PoissonLearning, unit_scale
from vaebench.semi_supervised.pseudo_labels import NetworkPseudoLabels
from vaebench.semi_supervised.self_training import (
    FewLabels,
    SelfTraining,
    SupervisedTraining,
    probabilities_from_scores,
)
from vaebench.training.prediction import predict_with
from vaebench.training.schedules import Adam, OneCycle

Group = Literal["baselines", "probes", "generative", "representations", "self-training", "supervised", "ablations"]
SMALL = ("mnist", "fashion-mnist")
SELECTION = (*SMALL, "quickdraw")
"""Data sets on which settings for others are chosen."""
ALL = (*SELECTION, "cifar10")


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
    """A function that fits and predicts, and the data sets, labels per class and draws that it is run on."""

    fit_predict: Callable[[DatasetContext, LabelDraw], Prediction]
    settings: str
    """Identifies everything that decides its results."""
    representation: str | None = None
    """Representation whose codes it reads."""
    graph: str | None = None
    """Representation whose graph it reads."""
    augmentation: AugmentationLevel = "none"
    """Strongest augmentation that any part of it uses."""
    group: Group = "probes"
    contexts: tuple[str, ...] = ALL
    counts: tuple[int, ...] = (1, 3, 10, 100)
    """Labels per class."""
    main: bool = False
    """Whether it is run with more draws on the small data sets."""

    def prepare(self, context: DatasetContext) -> None:
        """Compute what all draws share, so that the time of a draw excludes it."""
        if self.representation is not None:
            context.features(self.representation)
        if self.graph is not None:
            context.neighbour_weights(self.graph)

    def count_draws(self, context: str, count: int) -> int:
        """Number of draws with ``count`` labels per class."""
        if context not in SMALL or self.group == "generative":
            return 3
        return 10 if self.main and count in (1, 10, 100) else 5


def probe_method(representation: str, probe: Probe) -> FewLabelMethod:
    """Probe fitted to the labelled codes."""

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        codes = context.features(representation).standardised()
        predict = probe.fit(labels.labelled(codes.train), context.classes, labels.seed, context.experiment.compute)
        return Prediction({part: predict(getattr(codes, part)) for part in PARTS}, 0)

    augmentation = PAIRED.get(representation, "none")
    return FewLabelMethod(fit_predict, stable_key(probe), representation, augmentation=augmentation)


def propagation_method(representation: str, propagation: LabelPropagation) -> FewLabelMethod:
    """Label propagation on the graph of the training images; other images take the scores of their neighbours."""

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        rows, known = labels.rows.numpy(), labels.labels.numpy()
        scores = unit_scale(propagation.propagate(context.graph(representation), rows, known, context.classes))
        weights = context.neighbour_weights(representation)
        probabilities = {part: probabilities_from_scores(weights[part] @ scores) for part in PARTS}
        return Prediction(probabilities, 0, probabilities_from_scores(scores))

    augmentation = PAIRED.get(representation, "none")
    return FewLabelMethod(fit_predict, stable_key(propagation), graph=representation, augmentation=augmentation)


def mixture_method(representation: str) -> FewLabelMethod:
    """Gaussian mixture fitted to the codes without labels; labelled codes give its components class probabilities."""

    @cache
    def fit(context: DatasetContext) -> Clusters:
        return Clusters.fit(context.features(representation).standardised().train.mean.numpy())

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        codes, clusters = context.features(representation).standardised(), fit(context)
        labelled = codes.train.mean[labels.rows].numpy()
        component_classes = clusters.component_classes(labelled, labels.labels.numpy(), context.classes)
        probabilities = {
            part: clusters.probabilities(getattr(codes, part).mean.numpy(), component_classes) for part in PARTS
        }
        return Prediction({part: torch.from_numpy(each).float() for part, each in probabilities.items()}, 0)

    return FewLabelMethod(fit_predict, "clusters", representation)


# -- generative models -----------------------------------------------------------------------------------------------

GENERATIVE_MODELS: dict[str, M2Classifier | ADGMClassifier] = {
    "m2": M2Classifier(),
    "m1+m2": M2Classifier(model=M2Model(latent=10, likelihood=GaussianPixelScale(floor=0.01))),
    "auxiliary": ADGMClassifier(),
}
"""Semi-supervised VAEs: M2 and ADGM of images, and M2 of samples of the plain VAE's z."""


def generative_method(kind: str, epochs: int) -> FewLabelMethod:
    """One of ``GENERATIVE_MODELS``."""

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        unlabelled, parts = _codes_as_images(context) if kind == "m1+m2" else (context.unlabelled, context.parts)
        known = torch.full((len(unlabelled),), HIDDEN)
        known[labels.rows] = labels.labels
        method = GENERATIVE_MODELS[kind]
        method = method.model_copy(
            update={"training": method.training.model_copy(update={"epochs": epochs}), "least_steps": 1}
        )
        source = unlabelled.with_labels(known)
        predict = method.fit(source, context.classes, labels.seed, context.experiment.compute)
        return Prediction({part: predict(parts[part]) for part in PARTS}, epochs * len(unlabelled))

    representation = "elbo" if kind == "m1+m2" else None
    return FewLabelMethod(fit_predict, f"{kind} {epochs}", representation, group="generative")


def _codes_as_images(context: DatasetContext) -> tuple[Grid, dict[str, Any]]:
    """Samples of the plain VAE's z for training, without labels, and its means for evaluation, as one-row images."""
    features = context.features("elbo")
    hidden = features.sampled("sampled").train.with_labels(torch.full_like(features.train.labels, -1))
    return Grid(hidden, 1), {part: Grid(getattr(features, part), 1) for part in PARTS}


# -- self-training and the supervised baselines ------------------------------------------------------------------------


def self_training_method(
    representation: str, method: SelfTraining, fresh: bool = False, graphed: bool = True
) -> FewLabelMethod:
    """The VAE's encoder with a class head, trained on labels propagated on the graph, then on pseudo-labels.

    Args:
        fresh: start from random weights instead of the trained VAE.
        graphed: whether the first pseudo-labels are propagated on the graph of ``representation``.
    """

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        vae = context.initial_vae(representation).vae
        if fresh:
            with torch.random.fork_rng():
                torch.manual_seed(labels.seed)
                vae = context.pair_model.build(context.data.train.shape)
        network = self_train(context, labels, method, vae, context.graph(representation) if graphed else None)
        predict = predict_with(network, labels.seed, context.experiment.compute)
        probabilities = {part: predict(images) for part, images in context.parts.items()}
        return Prediction(probabilities, sum(method.rounds) * method.batch, predict(context.unlabelled))

    return FewLabelMethod(
        fit_predict,
        f"{representation} {stable_key(method)}",
        INITIAL_VAES.get(representation, representation),
        representation if graphed else None,
        PAIRED.get(representation, "none"),
        "self-training",
    )


def self_train(
    context: DatasetContext, labels: LabelDraw, method: SelfTraining, vae: VAE, graph: Graph | None
) -> ClassifyingVAE:
    """Network that self-training makes of a copy of ``vae``; see :meth:`SelfTraining.fit`."""
    rows, known, seed = labels
    data = FewLabels(context.unlabelled, rows, known, context.classes, graph)
    return method.fit(vae, data, seed, context.experiment.compute)


def supervised_method(level: AugmentationLevel, steps: int) -> FewLabelMethod:
    """Supervised baseline: an encoder trained from random weights on the labelled images alone. With stronger
    augmentation it has twice the filters."""

    def fit_predict(context: DatasetContext, labels: LabelDraw) -> Prediction:
        few, compute = labels.labelled(context.unlabelled), context.experiment.compute
        model = context.wide_model if level == "strong" else context.model
        training = SupervisedTraining(strong=context.augmentation_at(level), steps=steps)
        predict = predict_with(training.fit(model, few, context.classes, labels.seed, compute), labels.seed, compute)
        probabilities = {part: predict(images) for part, images in context.parts.items()}
        return Prediction(probabilities, training.epochs(len(few)) * len(few))

    name = {"none": "plain", "standard": "augmented", "strong": "bold"}[level]
    return FewLabelMethod(fit_predict, f"{name} {steps}", augmentation=level, group="supervised")


# -- the methods of the benchmark --------------------------------------------------------------------------------------

HEAD = Head(
    name="mlp", network=MLP(hidden=(256,), dropout=0.3), epochs=50, optimiser=Adam(rate=3e-3), schedule=OneCycle()
)


def benchmark_methods(representation: str, method: SelfTraining, epochs: int = 6) -> dict[str, FewLabelMethod]:
    """Methods of a data set by key.

    Args:
        representation: representation that was selected on other data sets.
        method: self-training that was selected on other data sets.
        epochs: epochs of the generative models.
    """
    steps = sum(method.rounds)
    frozen = propagation_method(representation, method.propagation)
    return {
        **_linear_and_poisson("baselines", "pixels", "pca", "random"),
        **_linear_and_poisson("probes", "elbo"),
        "elbo-knn": probe_method("elbo", KNN()),
        "elbo-mlp": probe_method("elbo", HEAD),
        "elbo-spreading": propagation_method("elbo", LabelSpreading()),
        "elbo-clusters": mixture_method("elbo"),
        **{
            kind: replace(generative_method(kind, epochs), contexts=SMALL, counts=(1, 10, 100))
            for kind in GENERATIVE_MODELS
        },
        **_linear_and_poisson("representations", "local", "mixture", contexts=SMALL),
        **_linear_and_poisson("representations", "consistent-3", contexts=SELECTION),
        **_linear_and_poisson("representations", "contrastive-30", "contrastive-bold", "contrastive-wide"),
        "frozen": replace(frozen, group="representations", settings=f"{representation} {frozen.settings}", main=True),
        "whole": replace(self_training_method(representation, method), main=True),
        "supervised": replace(supervised_method("none", steps // 2), settings=f"plain {steps}"),
        "supervised-augmented": replace(supervised_method("standard", steps), main=True),
        "supervised-bold": supervised_method("strong", steps),
        **_ablations(representation, method),
    }


def _linear_and_poisson(
    group: Group, *representations: str, contexts: tuple[str, ...] = ALL
) -> dict[str, FewLabelMethod]:
    """Linear probe and Poisson learning on each representation."""
    methods = {}
    for representation in representations:
        methods[f"{representation}-line"] = probe_method(representation, Logistic())
        methods[f"{representation}-poisson"] = propagation_method(representation, PoissonLearning())
    return {key: replace(method, group=group, contexts=contexts) for key, method in methods.items()}


def _ablations(representation: str, method: SelfTraining) -> dict[str, FewLabelMethod]:
    """Self-training without one of its components each."""
    none = Augmentation()
    ungraphed = method.model_copy(update={"pseudo_labeller": NetworkPseudoLabels()})
    return {
        "without-vae": _ablation(representation, method, fresh=True),
        "without-graph": _ablation(representation, ungraphed, graphed=False),
        "without-generative": _ablation(representation, with_objective(method, generative=0.0)),
        "without-augmentation": _ablation("elbo", with_objective(method, strong=none, weak=none)),
        "without-consistency": _ablation(representation, with_objective(method, consistency=0.0)),
    }


def _ablation(representation: str, method: SelfTraining, fresh: bool = False, graphed: bool = True) -> FewLabelMethod:
    return replace(
        self_training_method(representation, method, fresh, graphed),
        settings=f"{representation} {fresh} {graphed} {stable_key(method)}",
        group="ablations",
        contexts=SMALL,
        counts=(1, 3, 10),
    )


def with_objective(method: SelfTraining, **changes: float | Augmentation) -> SelfTraining:
    """Self-training with changed fields of its objective."""
    return method.model_copy(update={"objective": method.objective.model_copy(update=changes)})
