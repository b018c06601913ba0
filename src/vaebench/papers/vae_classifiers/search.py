"""Paper A by beta, and its search over 36 models."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.stats import spearmanr

from vaebench.data.images import Dataset
from vaebench.models.networks import Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.text import format_epochs
from vaebench.papers.vae_classifiers.dataset import DatasetExperiment, make_head, make_training
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Constant, OneCycle

BATCHES, KERNELS, LAYERS = (32, 64, 128), (3, 4, 5), (2, 3, 4, 5)
PAPER_CHOICE = (128, 4, 4)


def compare_betas(experiment: PaperExperiment, dataset: DatasetExperiment) -> None:
    """Record the effect of beta at equal training."""
    settings, training = dataset.settings, make_training(experiment, 3, 80)
    vaes = {
        beta: experiment.vae(f"beta-{beta:g}", dataset.data, settings.model, Elbo(beta=beta), training)
        for beta in (0.0, 0.023)
    } | {1.0: dataset.our_vae, 3.0: dataset.vaes[0]}
    sampled = {b: dataset.fit_head(f"beta-{b:g}", vae.sampled)["accuracy"] for b, vae in vaes.items()}
    means = {b: dataset.fit_head(f"beta-means-{b:g}", vae.means)["accuracy"] for b, vae in vaes.items()}
    epochs = {beta: format_epochs(len(vae.history)) for beta, vae in vaes.items()}
    for beta in (0.0, 0.023, 1.0):
        experiment.record(f"beta-{beta:g}", sampled[beta], f"{epochs[beta]}; on means {means[beta]:.3f}")
    best = max(sampled, key=lambda beta: sampled[beta])
    explanation = ", ".join(f"beta {b:g}: {sampled[b]:.3f} (means {means[b]:.3f}, {epochs[b]})" for b in vaes)
    experiment.record("beta-3", sampled[3.0], explanation, agrees=best == 3.0)


def search_architectures(experiment: PaperExperiment, dataset: DatasetExperiment) -> None:
    """Record the search over 36 models, and how the accuracy of the head depends on the reconstruction loss."""
    images = experiment.pick(200, 15000, len(dataset.data.train))
    train = dataset.data.train.take(slice(0, images))
    validation = dataset.data.validation.take(slice(0, min(3000, len(dataset.data.validation))))
    data = Dataset("search", train, validation, validation)
    epochs, optimiser = experiment.pick(1, 1, 5), Adam(rate=2e-3, beta2=0.99)
    head = make_head(experiment, dataset.settings.large_head, 5).model_copy(update={"batch": 256})
    accuracies: dict[tuple[int, int, int], float] = {}
    losses: dict[tuple[int, int, int], float] = {}
    for batch, kernel, layers in product(BATCHES, KERNELS, LAYERS):
        name = f"search/{batch}-{kernel}-{layers}"
        training = Training(epochs=epochs, batch=batch, optimiser=optimiser, schedule=OneCycle())
        vae = experiment.vae(name, data, Model(network=_make_network(kernel, layers)), Elbo(beta=3.0), training)
        accuracies[batch, kernel, layers] = experiment.probe(name, head, vae.sampled, dataset.classes)["accuracy"]
        losses[batch, kernel, layers] = vae.history[-1]["validation_reconstruction"]
    ranked = sorted(accuracies, key=lambda key: -accuracies[key])
    best = "; ".join(f"batch {b}, kernel {k}, {n} layers: {accuracies[b, k, n]:.3f}" for b, k, n in ranked[:3])
    explanation = (
        f"validation, {images:,} images, {format_epochs(epochs)} each; {best}; the paper's choice has rank "
        f"{ranked.index(PAPER_CHOICE) + 1}: small batches take more steps in an epoch"
    )
    experiment.record("search", accuracies[ranked[0]], explanation, agrees=ranked[0] == PAPER_CHOICE)
    correlation = spearmanr(list(losses.values()), list(accuracies.values())).statistic
    explanation = f"over the 36 models of the search, each with its own head: rank correlation {correlation:+.2f}"
    experiment.record("blur", float(correlation), explanation, agrees=bool(correlation < -0.3))
    four, three = ([accuracies[batch, 4, layers] for batch in BATCHES] for layers in (4, 3))
    explanation = f"mean over three batch sizes in the search, validation: 4 layers {np.mean(four):.3f}, 3 layers {np.mean(three):.3f}"
    experiment.record("layers", four, explanation)
    if experiment.budget == "full":
        _train_best(experiment, dataset, ranked[:3])
    panels = [
        Panel(
            f"batch {batch}",
            {f"kernel {k}": Series(list(LAYERS), [100 * accuracies[batch, k, n] for n in LAYERS]) for k in KERNELS},
            "convolutions",
            "validation accuracy (%)",
            limits=(0.0, 100.0),
        )
        for batch in BATCHES
    ]
    experiment.figure("search", lambda: lines(panels))


def _make_network(kernel: int, layers: int) -> Conv:
    """The paper's network with another kernel and number of convolutions; two halve the image, the rest keep it."""
    return Conv(
        filters=(32, *[64] * (layers - 1)),
        kernel=(kernel,),
        stride=(2, 2, *[1] * (layers - 2)),
        padding=(kernel // 2,) if kernel != 4 else (1,),
    )


def _train_best(experiment: PaperExperiment, dataset: DatasetExperiment, best: list[tuple[int, int, int]]) -> None:
    """Train the best models for the reported 80 epochs."""
    for batch, kernel, layers in best:
        training = Training(epochs=80, batch=batch, optimiser=Adam(rate=1e-3), schedule=Constant())
        model, name = Model(network=_make_network(kernel, layers)), f"best-{batch}-{kernel}-{layers}"
        vae = experiment.vae(f"search/{name}", dataset.data, model, Elbo(beta=3.0), training)
        dataset.fit_head(f"search-{name}", vae.sampled)
