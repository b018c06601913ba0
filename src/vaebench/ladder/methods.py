"""METHODS: what answers a draw of labels. Each reads the unlabelled images, the draw, and no other label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vaebench.data.images import Mixed
from vaebench.evaluation.features import Grid
from vaebench.evaluation.graphs import Spreader, uniform_shares
from vaebench.evaluation.mixtures import Clusters
from vaebench.evaluation.probes import Probe, predict_with
from vaebench.evaluation.semi_supervised import SemiSupervised, Supervised, shares
from vaebench.ladder.arena import PARTS, TRUNKS, Arena, Given, Knowledge
from vaebench.models.auxiliary import AuxiliaryElbo, AuxiliaryModel
from vaebench.models.likelihoods import GaussianPixelScale
from vaebench.models.networks import MLP
from vaebench.models.self_training import ClassifyingVAE
from vaebench.models.semi_supervised import SemiSupervisedElbo, SemiSupervisedModel
from vaebench.models.terms import Objective
from vaebench.models.vae import Model
from vaebench.training.loop import Training, train
from vaebench.training.schedules import Adam, OneCycle

Scores = dict[str, Float[np.ndarray, "N Y"]]


class Guess(NamedTuple):
    """A method's answer to one draw."""

    probabilities: dict[str, Float[Tensor, "N Y"]]
    """Of the images of the held and the test part."""
    images: int
    """Images seen in training, after what all draws share."""
    train: Float[Tensor, "N Y"] | None = None
    """Of the training part, from methods that can correct for the sizes of classes by it."""


@dataclass(frozen=True)
class Method:
    """What answers a draw of labels, and what all draws share of it."""

    answer: Callable[[Arena, Given], Guess]
    codes: str | None = None
    """The representation whose codes it reads."""
    graph: str | None = None
    """The representation whose graph it reads."""

    def prepare(self, arena: Arena) -> None:
        """Make what all draws share, so that the time of a draw is its own."""
        if self.codes is not None:
            arena.features(self.codes)
        if self.graph is not None:
            arena.joined(self.graph)


def reader(representation: str, probe: Probe) -> Method:
    """A probe of the labelled codes."""

    def answer(arena: Arena, given: Given) -> Guess:
        codes = arena.codes(representation)
        few = codes["train"].take(given.rows).with_labels(given.labels)
        predict = probe.fit(few, arena.classes, given.seed, arena.study.compute)
        return Guess({part: predict(codes[part]) for part in PARTS}, 0)

    return Method(answer, representation)


def spread(representation: str, spreader: Spreader) -> Method:
    """Labels spread along the graph of the training part; other images join it."""

    def answer(arena: Arena, given: Given) -> Guess:
        scores = spreader.spread(arena.graph(representation), given.rows.numpy(), given.labels.numpy(), arena.classes)
        scores = scores / max(float(scores.std()), 1e-300)
        joined = {part: weights @ scores for part, weights in arena.joined(representation).items()}
        return Guess({part: shares(found) for part, found in joined.items()}, 0, shares(scores))

    return Method(answer, graph=representation)


def clusters(representation: str) -> Method:
    """A mixture of Gaussians fitted to the codes without labels, its components named by the labelled ones."""
    fitted: dict[int, Clusters] = {}

    def answer(arena: Arena, given: Given) -> Guess:
        codes = arena.codes(representation)
        if id(arena) not in fitted:
            fitted[id(arena)] = Clusters.of(codes["train"].mean.numpy())
        found, seen = fitted[id(arena)], codes["train"].mean[given.rows].numpy()
        names = found.name(seen, given.labels.numpy(), arena.classes)
        answers = {part: found.probabilities(codes[part].mean.numpy(), names) for part in PARTS}
        return Guess({part: torch.from_numpy(value).float() for part, value in answers.items()}, 0)

    return Method(answer, representation)


# -- generative models -----------------------------------------------------------------------------------------------


def generative(kind: str, epochs: int) -> Method:
    """M2 or ADGM on images ("m2", "auxiliary"), or M2 on samples of the plain VAE's z ("m1+m2")."""

    def answer(arena: Arena, given: Given) -> Guess:
        compute = arena.study.compute
        unlabelled, parts = _material(arena, stacked=kind == "m1+m2")
        few = unlabelled.take(given.rows).with_labels(given.labels)
        with torch.random.fork_rng():
            torch.manual_seed(given.seed)
            network = _model(kind).build(unlabelled.shape, arena.classes)
        training = Training(
            epochs=epochs, batch=256, optimiser=Adam(rate=2e-3, beta2=0.99), schedule=OneCycle(), clip_norm=100.0
        )
        objective: Objective = AuxiliaryElbo() if kind == "auxiliary" else SemiSupervisedElbo()
        source = Mixed(few, unlabelled, each=training.batch // 4)
        train(network, objective, source, training, compute=compute, seed=given.seed)
        classifier: nn.Module = network if kind == "auxiliary" else network.classifier
        predict = predict_with(classifier, given.seed, compute)
        return Guess({part: predict(parts[part]) for part in PARTS}, epochs * len(unlabelled))

    return Method(answer, "elbo" if kind == "m1+m2" else None)


def _model(kind: str) -> SemiSupervisedModel | AuxiliaryModel:
    network = MLP(hidden=(500,))
    if kind == "auxiliary":
        return AuxiliaryModel(network=network)
    model = SemiSupervisedModel(network=network, classifier=network)
    return (
        model.model_copy(update={"latent": 10, "likelihood": GaussianPixelScale(floor=0.01)})
        if kind == "m1+m2"
        else model
    )


def _material(arena: Arena, stacked: bool) -> tuple[Any, dict[str, Any]]:
    """What is trained on, labels hidden, and the parts to test on: images, or samples of z as images of one row."""
    if not stacked:
        return arena.unlabelled, arena.parts
    features = arena.features("elbo")
    hidden = features.sampled("sampled").train.with_labels(torch.full_like(features.train.labels, -1))
    return Grid(hidden, 1), {"held": Grid(features.validation, 1), "test": Grid(features.test, 1)}


# -- the whole method and its rival -----------------------------------------------------------------------------------


def whole(representation: str, method: SemiSupervised, fresh: bool = False, graphed: bool = True) -> Method:
    """The VAE's encoder with a class head, taught by the graph, then by the labels and by what it is sure of."""

    def answer(arena: Arena, given: Given) -> Guess:
        network = whole_network(arena, given, representation, method, fresh, graphed)
        predict = predict_with(network, given.seed, arena.study.compute)
        found = {part: predict(images) for part, images in arena.parts.items()}
        return Guess(found, sum(method.rounds) * method.batch, predict(arena.unlabelled))

    return Method(answer, TRUNKS.get(representation, representation), representation if graphed else None)


def whole_network(
    arena: Arena,
    given: Given,
    representation: str,
    method: SemiSupervised,
    fresh: bool = False,
    graphed: bool = True,
) -> ClassifyingVAE:
    """The trained network of :func:`whole`; ``fresh`` starts it from new weights."""
    vae = arena.trunk(representation).vae
    if fresh:
        with torch.random.fork_rng():
            torch.manual_seed(given.seed)
            vae = arena.coded.build(arena.data.train.shape)
    graph = arena.graph(representation) if graphed else None
    compute = arena.study.compute
    return method.fit(vae, arena.unlabelled, graph, given.rows, given.labels, arena.classes, given.seed, compute)


RIVALS: dict[str, tuple[Callable[[Arena], Model], Knowledge]] = {
    "supervised": (lambda arena: arena.model, "nothing"),
    "supervised-augmented": (lambda arena: arena.model, "own"),
    "supervised-bold": (lambda arena: arena.wide, "bolder"),
}
"""Whose encoder, and what it knows of augmentation."""


def supervised(rival: str, steps: int) -> Method:
    """The rival: an encoder from fresh weights, on the labelled images alone."""

    def answer(arena: Arena, given: Given) -> Guess:
        few = arena.unlabelled.take(given.rows).with_labels(given.labels)
        model, knowledge = RIVALS[rival]
        rule = Supervised(strong=arena.known(knowledge), steps=steps)
        network = rule.fit(model(arena), few, arena.classes, given.seed, arena.study.compute)
        predict = predict_with(network, given.seed, arena.study.compute)
        return Guess({part: predict(images) for part, images in arena.parts.items()}, rule.epochs(len(few)) * len(few))

    return Method(answer)


def corrected(guess: Guess) -> dict[str, Tensor] | None:
    """The guesses with an offset for each class that gives all classes the same share of the training part."""
    if guess.train is None:
        return None
    logs = guess.train.double().clamp(min=1e-12).log().numpy()
    offsets = (uniform_shares(logs, softness=1 / max(float(logs.std()), 1e-9)) - logs)[0]
    return {
        part: found.double().clamp(min=1e-12).log() + torch.from_numpy(offsets)
        for part, found in guess.probabilities.items()
    }
