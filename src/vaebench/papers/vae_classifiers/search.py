"""Paper A over beta, and its search of 36 models."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.stats import spearmanr

from vaebench.data.images import Dataset
from vaebench.models.networks import Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import in_epochs
from vaebench.papers.vae_classifiers.dataset import DatasetExperiment, head_of, training_of
from vaebench.plotting.plots import Panel, Series, lines
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Constant, OneCycle

BATCHES, KERNELS, LAYERS = (32, 64, 128), (3, 4, 5), (2, 3, 4, 5)
CHOSEN = (128, 4, 4)


def betas_and_search(experiment: PaperExperiment, bench: DatasetExperiment) -> None:
    """The effect of beta at equal training, the 36 models, and what blur does to the head."""
    trials = {}
    for beta in (0.0, 0.023):
        training = training_of(experiment, 3, 80)
        trials[beta] = experiment.vae(f"beta-{beta:g}", bench.data, bench.one.model, Elbo(beta=beta), training)
    trials |= {1.0: bench.own_trial(), 3.0: bench.trials[0]}
    heads = {b: bench.read(f"beta-{b:g}", bench.one.large, t.sampled) for b, t in trials.items()}
    means = {b: bench.read(f"beta-means-{b:g}", bench.one.large, t.means)["accuracy"] for b, t in trials.items()}
    for beta in (0.0, 0.023, 1.0):
        why = f"{in_epochs(len(trials[beta].history))}; on means {means[beta]:.3f}"
        experiment.found(f"beta-{beta:g}", heads[beta]["accuracy"], holds=None, why=why)
    best = max(heads, key=lambda beta: heads[beta]["accuracy"])
    words = ", ".join(
        f"beta {b:g}: {heads[b]['accuracy']:.3f} (means {means[b]:.3f}, {in_epochs(len(trials[b].history))})"
        for b in heads
    )
    experiment.found("beta-3", heads[3.0]["accuracy"], holds=best == 3.0, why=words)
    _search(experiment, bench)


def _search(experiment: PaperExperiment, bench: DatasetExperiment) -> None:
    images = experiment.pick(200, 15000, len(bench.data.train))
    train = bench.data.train.take(slice(0, images))
    validation = bench.data.validation.take(slice(0, min(3000, len(bench.data.validation))))
    data = Dataset("search", train, validation, validation)
    found: dict[tuple[int, int, int], tuple[float, float]] = {}
    for batch, kernel, layers in product(BATCHES, KERNELS, LAYERS):
        name = f"search/{batch}-{kernel}-{layers}"
        training = Training(
            epochs=experiment.pick(1, 1, 5), batch=batch, optimiser=Adam(rate=2e-3, beta2=0.99), schedule=OneCycle()
        )
        trial = experiment.vae(name, data, Model(network=layered(kernel, layers)), Elbo(beta=3.0), training)
        head = head_of(experiment, bench.one.large, 5).model_copy(update={"batch": 256})
        accuracy = experiment.probe(name, head, trial.sampled, bench.classes)["accuracy"]
        found[batch, kernel, layers] = accuracy, trial.history[-1]["validation_reconstruction"]
    ranked = sorted(found, key=lambda key: -found[key][0])
    accuracy = found[ranked[0]][0]
    words = "; ".join(f"batch {b}, kernel {k}, {n} layers: {found[b, k, n][0]:.3f}" for b, k, n in ranked[:3])
    why = f"validation, {images:,} images, {in_epochs(experiment.pick(1, 1, 5))} each; {words}; its choice is number {ranked.index(CHOSEN) + 1}: small batches take more steps in an epoch"
    experiment.found("search", accuracy, holds=ranked[0] == CHOSEN, why=why)
    blur = spearmanr([value[1] for value in found.values()], [value[0] for value in found.values()]).statistic
    why = f"over the 36 models of the search, each with its own head: rank correlation {blur:+.2f}"
    experiment.found("blur", float(blur), holds=bool(blur < -0.3), why=why)
    four = [found[b, 4, 4][0] for b in BATCHES]
    three = [found[b, 4, 3][0] for b in BATCHES]
    why = f"mean over three batch sizes in the search, validation: 4 layers {np.mean(four):.3f}, 3 layers {np.mean(three):.3f}"
    experiment.found("layers", four, holds=None, why=why)
    _finish_the_best(experiment, bench, ranked[:3])
    panels = [
        Panel(
            f"batch {batch}",
            {f"kernel {k}": Series(list(LAYERS), [100 * found[batch, k, n][0] for n in LAYERS]) for k in KERNELS},
            "convolutions",
            "validation accuracy (%)",
            limits=(0.0, 100.0),
        )
        for batch in BATCHES
    ]
    experiment.figure("search", lambda: lines(panels))


def layered(kernel: int, layers: int) -> Conv:
    """The paper's network with another kernel and number of convolutions; two halve the image, the rest keep it."""
    strides = (2, 2, *[1] * (layers - 2))
    return Conv(
        filters=(32, *[64] * (layers - 1)),
        kernel=(kernel,),
        stride=strides,
        padding=(kernel // 2,) if kernel != 4 else (1,),
    )


def _finish_the_best(experiment: PaperExperiment, bench: DatasetExperiment, best: list[tuple[int, int, int]]) -> None:
    """In full, the three best at the printed 80 epochs."""
    if experiment.budget != "full":
        return
    for batch, kernel, layers in best:
        training = Training(epochs=80, batch=batch, optimiser=Adam(rate=1e-3), schedule=Constant())
        model = Model(network=layered(kernel, layers))
        trial = experiment.vae(f"search/best-{batch}-{kernel}-{layers}", bench.data, model, Elbo(beta=3.0), training)
        bench.read(f"search-best-{batch}-{kernel}-{layers}", bench.one.large, trial.sampled)
