"""SemiSupervised: one VAE, a graph of its codes, a few labels, and self-training from there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from vaebench.core.frozen import Frozen
from vaebench.data.augment import Augmentation
from vaebench.data.images import HIDDEN, Images, MixedSource, epoch_batches
from vaebench.models.classifying_vae import ClassifyingVAE, SelfTrainingLoss
from vaebench.models.vae import VAE, Model
from vaebench.semi_supervised.graphs import AnyLabelPropagation, Graph, PropagationByLabelCount, confident_labels
from vaebench.semi_supervised.pseudo_labels import AnyPseudoLabeller, GraphPseudoLabels, PseudoLabelTask
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, TrainingEvent, train
from vaebench.training.prediction import LabelledSource, Predict, predict_with
from vaebench.training.schedules import Adam, AnyOptimiser, Muon, OneCycle

SETTLE_BATCH = 200


class SelfTraining(Frozen):
    """Self-training of a VAE with a class head.

    The first round trains on pseudo-labels propagated along the graph of the VAE's codes, later rounds on those of
    ``pseudo_labeller``. Each round keeps the most confident fraction of every class; the given labels are in every
    step.
    """

    propagation: AnyLabelPropagation = PropagationByLabelCount()
    graph_fraction: float = Field(0.95, gt=0, le=1)
    """Share of each class that is taken of the graph's answers, the surest."""
    network_fraction: float = Field(0.95, gt=0, le=1)
    """The same of the pseudo_labeller's."""
    pseudo_labeller: AnyPseudoLabeller = GraphPseudoLabels()
    """Of the rounds after the first."""
    objective: SelfTrainingLoss = SelfTrainingLoss()
    rounds: tuple[int, ...] = (400, 400, 400)
    """Steps of each round: the first learns from the graph, the others from the pseudo-labeller.
    Whole passes, where images are so few that they are seen more than once."""
    pseudo_labelled: int = Field(80, ge=1)
    """Images a step with a label, given or taken; the others of the batch have none."""
    labelled: int = Field(32, ge=1)
    """Of these, the images whose labels are given, but no more than there are."""
    batch: int = Field(160, ge=2)
    optimiser: AnyOptimiser = Muon(rate=0.02)
    temperature: float = Field(1.0, gt=0)
    """Divides the logits of the finished network, so that its probabilities are calibrated (Guo et al. 2017). It cannot
    be chosen on so few labels; choose it on other data."""
    ema: float = Field(0.98, ge=0, lt=1)

    def fit(
        self,
        vae: VAE,
        images: Images,
        graph: Graph | None,
        rows: Int[Tensor, " M"],
        labels: Int[Tensor, " M"],
        classes: int,
        seed: int,
        compute: Compute,
        callback: Callable[[float], None] = lambda share: None,
    ) -> ClassifyingVAE:
        """A copy of ``vae`` that also names the class.

        Args:
            vae: trained on ``images`` without labels; it is not changed.
            images: what it was trained on; their labels are not read.
            graph: of their codes, in their order; without one, the first round learns from the given labels alone.
            rows: of those whose labels are given.
            labels: theirs.
            watch: hears the share that is done.
        """
        hidden, given = images.without_labels(), torch.full((len(images),), HIDDEN)
        given[rows] = labels
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = ClassifyingVAE(copy.deepcopy(vae), classes)
        guesses = given.clone()
        if graph is not None:
            scores = self.propagation.spread(graph, rows.numpy(), labels.numpy(), classes)
            guesses = torch.from_numpy(confident_labels(scores, self.graph_fraction))
        few = hidden.take(rows).with_labels(labels)
        for index, steps in enumerate(self.rounds):
            own = seed + 1000 * index
            seen = _seen(len(images), rows, steps * self.batch, own)
            part = hidden.take(seen)
            if index:
                lesson = PseudoLabelTask(hidden, seen, rows, labels, classes, seed)
                scores = self.pseudo_labeller.scores(model, lesson, compute)
                guesses[seen] = torch.from_numpy(confident_labels(scores, self.network_fraction))
            taught = _taught(part, given[seen], guesses[seen])
            source = MixedSource(MixedSource(few, taught, min(self.labelled, len(few))), part, self.pseudo_labelled)

            def tell(at: TrainingEvent, index: int = index) -> None:
                callback((index + at.step / at.steps) / len(self.rounds))

            train(
                model,
                self.objective,
                source,
                self._training(len(part), steps),
                compute=compute,
                seed=own,
                callback=tell,
            )
            with compute.autocast():
                recompute_batch_norm(model, hidden, seed)
        model.temperature.fill_(self.temperature)
        return model

    def _training(self, images: int, steps: int) -> Training:
        an_epoch = sum(1 for _ in epoch_batches(images, self.batch, (0, 0)))
        epochs = max(1, round(steps / an_epoch))
        schedule = OneCycle()
        return Training(epochs=epochs, batch=self.batch, optimiser=self.optimiser, schedule=schedule, ema=self.ema)


def _seen(images: int, rows: Int[Tensor, " M"], most: int, seed: int) -> Int[Tensor, " S"]:
    """All rows, rising, where these are not too many; else those that are given and others at random."""
    if images <= most:
        return torch.arange(images)
    generator = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(images), rows.numpy())
    chosen = np.concatenate([generator.permutation(rows.numpy()), generator.permutation(others)])
    return torch.from_numpy(np.sort(chosen[:most]))


def _taught(images: Images, given: Int[Tensor, " N"], guesses: Int[Tensor, " N"]) -> Images:
    """The images with a guess, as their classes; the given ones keep theirs."""
    labels = torch.where(given == HIDDEN, guesses, given)
    sure = torch.nonzero(labels != HIDDEN)[:, 0]
    return images.take(sure).with_labels(labels[sure])


@torch.no_grad()
def recompute_batch_norm(model: ClassifyingVAE, images: Images, seed: int, batches: int = 50) -> None:
    """Batch normalisation's averages anew, on unchanged images: training saw augmented ones."""
    device = model.vae.zero.device
    drawn = islice(epoch_batches(len(images), SETTLE_BATCH, (seed, 0)), batches)
    update_bn((images.batch(rows).x.to(device) for rows in drawn), _Passes(model))
    model.eval()


class _Passes(nn.Module):
    """A pass through every layer that normalises."""

    def __init__(self, model: ClassifyingVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        raw: Tensor = self.model.vae.decoder(self.model.posterior(self.model.features(x)).mean)
        return raw


def probabilities_from_scores(scores: Float[np.ndarray, "N Y"]) -> Float[Tensor, "N Y"]:
    """Scores along a graph as probabilities, for their order alone: they are not calibrated."""
    return torch.from_numpy(scores).float().mul(10).softmax(-1)


@dataclass(frozen=True)
class LabelPropagationProbe:
    """A propagation as a probe of codes: it is given all codes of a graph, with labels for some. Others join it."""

    propagation: AnyLabelPropagation
    graph: Graph
    name: str = "graph"

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Spread the labels that are not hidden."""
        rows = torch.nonzero(source.labels != HIDDEN)[:, 0]
        scores = self.propagation.spread(self.graph, rows.numpy(), source.labels[rows].numpy(), classes)
        scores = scores / max(float(scores.std()), 1e-300)

        def predict(codes: LabelledSource) -> Float[Tensor, "N Y"]:
            x = codes.batch(torch.arange(len(codes))).x
            return probabilities_from_scores(self.graph.join(x.numpy()) @ scores)

        return predict


@dataclass(frozen=True)
class SelfTrainingProbe:
    """:class:`SelfTrainingLoss` as a probe of images: it is given all images, with labels for some."""

    method: SelfTraining
    vae: VAE
    graph: Graph
    name: str = "self-training"

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Learn from images, the labels of most of them hidden."""
        assert isinstance(source, Images)
        return predict_with(self.network(source, classes, seed, compute), seed, compute)

    def network(
        self,
        source: Images,
        classes: int,
        seed: int,
        compute: Compute,
        callback: Callable[[float], None] = lambda share: None,
    ) -> ClassifyingVAE:
        """The trained network itself."""
        rows = torch.nonzero(source.labels != HIDDEN)[:, 0]
        return self.method.fit(
            self.vae, source, self.graph, rows, source.labels[rows], classes, seed, compute, callback
        )


class SupervisedTraining(Frozen):
    """The rival: the same encoder and class head from fresh weights, taught by the labelled images alone."""

    strong: Augmentation = Augmentation()
    steps: int = Field(1250, ge=1)
    batch: int = Field(128, ge=2)

    def epochs(self, images: int) -> int:
        """How often it passes through so many labelled images."""
        return max(1, round(self.steps * min(self.batch, images) / images))

    def fit(self, model: Model, few: Images, classes: int, seed: int, compute: Compute) -> ClassifyingVAE:
        """The trained network; ``few`` carry their labels."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = ClassifyingVAE(model.build(few.shape), classes)
        training = Training(
            epochs=self.epochs(len(few)),
            batch=min(self.batch, len(few)),
            optimiser=Adam(rate=3e-3, beta2=0.99, weight_decay=0.01),
            schedule=OneCycle(),
        )
        objective = SelfTrainingLoss(strong=self.strong, consistency=0.0)
        train(network, objective, few, training, compute=compute, seed=seed)
        return network
