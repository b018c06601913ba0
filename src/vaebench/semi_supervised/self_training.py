"""Self-training of a VAE with a class head from few labels, and supervised training for comparison."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from vaebench.core.frozen import Frozen
from vaebench.data.augment import Augmentation
from vaebench.data.draws import epoch_batches
from vaebench.data.images import HIDDEN, Images, MixedSource
from vaebench.models.classifying_vae import ClassifyingVAE, SelfTrainingLoss
from vaebench.models.vae import VAE, Model
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.label_propagation import (
    AnyLabelPropagation,
    PropagationByLabelCount,
    confident_labels,
    unit_scale,
)
from vaebench.semi_supervised.pseudo_labels import AnyPseudoLabeller, GraphPseudoLabels, PseudoLabelTask
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, TrainingEvent, train
from vaebench.training.prediction import LabelledSource, Predict, predict_with
from vaebench.training.schedules import Adam, AnyOptimiser, Muon, OneCycle

BATCH_NORM_BATCH = 200


class FewLabels(NamedTuple):
    """Images of which few are labelled."""

    images: Images
    """All images; their own labels are not read."""
    rows: Int[Tensor, " M"]
    """Rows of the labelled images."""
    labels: Int[Tensor, " M"]
    classes: int
    graph: Graph | None = None
    """Graph of the codes of the images, in the same order; without it, the first round uses labels alone."""


class SelfTraining(Frozen):
    """Self-training of a VAE with a class head.

    The first round trains on pseudo-labels propagated along the graph of the VAE's codes, later rounds on those of
    ``pseudo_labeller``. Each round uses the most confident pseudo-labels of every class; every batch has labelled
    images.
    """

    propagation: AnyLabelPropagation = PropagationByLabelCount()
    """Label propagation that gives the pseudo-labels of the first round."""
    graph_fraction: float = Field(0.95, gt=0, le=1)
    """Most confident fraction of each class of the propagated labels that is used in the first round."""
    network_fraction: float = Field(0.95, gt=0, le=1)
    """Most confident fraction of each class of the pseudo-labels that is used in later rounds."""
    pseudo_labeller: AnyPseudoLabeller = GraphPseudoLabels()
    """Source of the pseudo-labels of later rounds."""
    objective: SelfTrainingLoss = SelfTrainingLoss()
    """Loss of a batch of labelled, pseudo-labelled and unlabelled images."""
    rounds: tuple[int, ...] = (400, 400, 400)
    """Training steps of each round, rounded to whole epochs if images are seen more than once."""
    pseudo_labelled: int = Field(80, ge=1)
    """Labelled and pseudo-labelled images per batch; the other images of the batch are unlabelled."""
    labelled: int = Field(32, ge=1)
    """Labelled images among ``pseudo_labelled``, or all of them if there are fewer."""
    batch: int = Field(160, ge=2)
    """Images per batch."""
    optimiser: AnyOptimiser = Muon(rate=0.02)
    temperature: float = Field(1.0, gt=0)
    """Divisor of the logits of the trained network, for calibrated probabilities (Guo et al. 2017). Few labels do not
    determine it; choose it on other data sets."""
    ema: float = Field(0.98, ge=0, lt=1)
    """Decay per step of the moving average of the weights; 0 for none."""

    def fit(
        self,
        vae: VAE,
        data: FewLabels,
        seed: int,
        compute: Compute,
        callback: Callable[[float], None] = lambda fraction: None,
    ) -> ClassifyingVAE:
        """Train a copy of ``vae`` with a class head.

        Args:
            vae: trained on the images of ``data`` without labels; it is not changed.
            data: the images, few of them labelled.
            seed: of the head's initial weights, the order of images and the noise.
            compute: where it is trained.
            callback: receives the completed fraction in [0, 1].
        """
        images, rows, labels, classes, graph = data
        unlabelled, labels_of_all = images.without_labels(), torch.full((len(images),), HIDDEN)
        labels_of_all[rows] = labels
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = ClassifyingVAE(copy.deepcopy(vae), classes)
        pseudo_labels = labels_of_all.clone()
        if graph is not None:
            scores = self.propagation.propagate(graph, rows.numpy(), labels.numpy(), classes)
            pseudo_labels = torch.from_numpy(confident_labels(scores, self.graph_fraction))
        labelled = unlabelled.take(rows).with_labels(labels)
        for index, steps in enumerate(self.rounds):
            round_seed = seed + 1000 * index
            subset = _sample_subset(len(images), rows, steps * self.batch, round_seed)
            part = unlabelled.take(subset)
            if index:
                task = PseudoLabelTask(unlabelled, subset, rows, labels, classes, seed)
                scores = self.pseudo_labeller.scores(model, task, compute)
                pseudo_labels[subset] = torch.from_numpy(confident_labels(scores, self.network_fraction))
            known = torch.where(labels_of_all == HIDDEN, pseudo_labels, labels_of_all)[subset]
            confident = torch.nonzero(known != HIDDEN)[:, 0]
            targets = part.take(confident).with_labels(known[confident])
            source = MixedSource(labelled, targets, min(self.labelled, len(labelled)))

            def report(event: TrainingEvent, index: int = index) -> None:
                callback((index + event.step / event.steps) / len(self.rounds))

            train(
                model,
                self.objective,
                MixedSource(source, part, self.pseudo_labelled),
                self._training(len(part), steps),
                compute=compute,
                seed=round_seed,
                callback=report,
            )
            with compute.autocast():
                recompute_batch_norm(model, unlabelled, seed)
        model.temperature.fill_(self.temperature)
        return model

    def _training(self, images: int, steps: int) -> Training:
        steps_per_epoch = sum(1 for _ in epoch_batches(images, self.batch, (0, 0)))
        epochs = max(1, round(steps / steps_per_epoch))
        schedule = OneCycle()
        return Training(epochs=epochs, batch=self.batch, optimiser=self.optimiser, schedule=schedule, ema=self.ema)


def _sample_subset(images: int, rows: Int[Tensor, " M"], most: int, seed: int) -> Int[Tensor, " S"]:
    """All rows if there are at most ``most``, else the labelled ``rows`` and random others, in rising order."""
    if images <= most:
        return torch.arange(images)
    generator = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(images), rows.numpy())
    chosen = np.concatenate([generator.permutation(rows.numpy()), generator.permutation(others)])
    return torch.from_numpy(np.sort(chosen[:most]))


@torch.no_grad()
def recompute_batch_norm(model: ClassifyingVAE, images: Images, seed: int, batches: int = 50) -> None:
    """Recompute running statistics of batch normalisation on unchanged images, since training images are augmented."""
    device = model.vae.zero.device
    rows_of_batches = islice(epoch_batches(len(images), BATCH_NORM_BATCH, (seed, 0)), batches)
    update_bn((images.batch(rows).x.to(device) for rows in rows_of_batches), _Autoencoder(model))
    model.eval()


class _Autoencoder(nn.Module):
    """Forward pass through encoder and decoder, and so through every normalisation layer."""

    def __init__(self, model: ClassifyingVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        raw: Tensor = self.model.vae.decoder(self.model.posterior(self.model.features(x)).mean)
        return raw


def probabilities_from_scores(scores: Float[np.ndarray, "N Y"]) -> Float[Tensor, "N Y"]:
    """Propagated scores as probabilities of the same order, which are not calibrated."""
    return torch.from_numpy(scores).float().mul(10).softmax(-1)


@dataclass(frozen=True)
class LabelPropagationProbe:
    """Label propagation as a probe: it is fitted on all codes of a graph, of which some are labelled."""

    propagation: AnyLabelPropagation
    graph: Graph
    name: str = "graph"

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Propagate the labels; codes of the predictor are connected to the graph."""
        rows = torch.nonzero(source.labels != HIDDEN)[:, 0]
        scores = unit_scale(self.propagation.propagate(self.graph, rows.numpy(), source.labels[rows].numpy(), classes))

        def predict(codes: LabelledSource) -> Float[Tensor, "N Y"]:
            x = codes.batch(torch.arange(len(codes))).x
            return probabilities_from_scores(self.graph.connect(x.numpy()) @ scores)

        return predict


@dataclass(frozen=True)
class SelfTrainingProbe:
    """:class:`SelfTraining` as a probe: it is fitted on all images of a VAE, of which some are labelled."""

    method: SelfTraining
    vae: VAE
    graph: Graph
    name: str = "self-training"

    def fit(self, source: LabelledSource, classes: int, seed: int, compute: Compute) -> Predict:
        """Train on images whose labels are mostly hidden."""
        assert isinstance(source, Images)
        return predict_with(self.network(source, classes, seed, compute), seed, compute)

    def network(
        self,
        source: Images,
        classes: int,
        seed: int,
        compute: Compute,
        callback: Callable[[float], None] = lambda fraction: None,
    ) -> ClassifyingVAE:
        """Train and return the network."""
        rows = torch.nonzero(source.labels != HIDDEN)[:, 0]
        data = FewLabels(source, rows, source.labels[rows], classes, self.graph)
        return self.method.fit(self.vae, data, seed, compute, callback)


class SupervisedTraining(Frozen):
    """Supervised training on the labelled images alone, of the same encoder and class head with random weights."""

    strong: Augmentation = Augmentation()
    """Augmentation of the labelled images."""
    steps: int = Field(1250, ge=1)
    """Training steps, rounded to whole epochs."""
    batch: int = Field(128, ge=2)
    """Images per batch, or all labelled images if there are fewer."""

    def epochs(self, images: int) -> int:
        """Number of epochs for this number of labelled images."""
        return max(1, round(self.steps * min(self.batch, images) / images))

    def fit(self, model: Model, labelled: Images, classes: int, seed: int, compute: Compute) -> ClassifyingVAE:
        """Train on the ``labelled`` images and return the network."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = ClassifyingVAE(model.build(labelled.shape), classes)
        training = Training(
            epochs=self.epochs(len(labelled)),
            batch=min(self.batch, len(labelled)),
            optimiser=Adam(rate=3e-3, beta2=0.99, weight_decay=0.01),
            schedule=OneCycle(),
        )
        objective = SelfTrainingLoss(strong=self.strong, consistency=0.0)
        train(network, objective, labelled, training, compute=compute, seed=seed)
        return network
