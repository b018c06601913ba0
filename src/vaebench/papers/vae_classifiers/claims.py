"""Claims of paper A on single data sets, on time, and on its own ten classes of Quick Draw."""

from __future__ import annotations

import numpy as np
import torch

from vaebench.data import download
from vaebench.data.images import Dataset, Images, split
from vaebench.evaluation.features import Codes
from vaebench.evaluation.probes import KNN
from vaebench.evaluation.scores import Split
from vaebench.experiments.measurements import bounds_step
from vaebench.experiments.trained import ProbeInput, TrainedModel
from vaebench.models.objectives import Elbo
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import in_epochs
from vaebench.papers.vae_classifiers.dataset import DatasetExperiment, head_of, per_class_shares, values_of
from vaebench.papers.vae_classifiers.reported import PAPER_TEN, SETS
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, OneCycle


def quickdraw_claims(experiment: PaperExperiment, bench: DatasetExperiment) -> None:
    """The worst classes, 40 epochs against 9, three latents."""
    shares = per_class_shares(bench.large[0])
    order, names = np.argsort(shares), bench.data.classes
    words = ", ".join(f"{names[i]} {shares[i]:.2f}" for i in order)
    bench.verdict("sheep", [shares[order[0]]], f"the worst here is {names[order[0]]}; all: {words}")
    bench.verdict("others", [shares[order[1]]], f"the second worst is {names[order[1]]}")
    long = bench.read("forty", bench.one.large, bench.trials[0].sampled, epochs=40)
    at_40, at_9 = long["accuracy"], bench.large[0]["accuracy"]
    gain = 100 * (at_40 - at_9)
    why = f"{at_9:.4f} in {in_epochs(bench.one.head_epochs)}, {at_40:.4f} in 40 (the best of them on validation)"
    experiment.found("forty", gain, holds=gain < 1, why=why)
    _three_latents(experiment, bench)


def _three_latents(experiment: PaperExperiment, bench: DatasetExperiment) -> None:
    trial = bench.trials[0]
    nats = bounds_step(experiment, "quickdraw-0", trial)["test"]["kl_per_latent"]
    best = np.argsort(nats)[::-1][:3].tolist()
    drawn = np.random.default_rng(0).permutation(len(nats))[:3].tolist()
    chance = 1 / bench.classes
    for key, latents in (("three", drawn), ("three-best", best)):
        reading = ProbeInput(f"{trial.key}/{latents}", lambda latents=latents: _columns(trial, latents))  # type: ignore[misc]
        found = experiment.probe(f"quickdraw/{key}", KNN(), reading, bench.classes)["accuracy"]
        words = f"latents {', '.join(f'z{d}' for d in latents)}, {sum(nats[d] for d in latents):.1f} nats; chance {chance:.2f}"
        if key == "three":
            holds = found > 2 * chance
            experiment.found(key, found, holds=holds, why=f"{words}: {'well' if holds else 'not far'} above chance")
        else:
            experiment.found(key, found, holds=None, why=words)


def _columns(trial: TrainedModel, latents: list[int]) -> Split:
    features = trial.features
    return Split(*(Codes(p.mean[:, latents], p.labels) for p in (features.train, features.validation, features.test)))


def time_claims(experiment: PaperExperiment, sets: dict[str, DatasetExperiment]) -> None:
    """What a head saves against a network from pixels."""
    bench = sets["mnist"]
    head, cnn, vae = bench.large[0], bench.cnn(), bench.trials[0].seconds
    ratio = cnn["seconds"] / head["seconds"]
    words = (
        f"head {head['seconds']:.1f} s at {head['accuracy']:.3f}, CNN {cnn['seconds']:.1f} s at {cnn['accuracy']:.3f}"
    )
    experiment.found("fast", ratio, holds=ratio > 2, why=words)
    ratio = cnn["seconds"] / (head["seconds"] + vae)
    holds_why = f"the VAE took {vae:.0f} s before; the CNN needs no VAE, and is the more accurate"
    experiment.found("fast-whole", ratio, holds=None, why=holds_why)
    slowest = max(result["seconds"] for one in sets.values() for result in one.large)
    experiment.found(
        "converge", slowest, why=f"the best validation epochs were {[o.large[0]['best_epoch'] for o in sets.values()]}"
    )


def fashion_claims(experiment: PaperExperiment, bench: DatasetExperiment) -> None:
    """How far Fashion-MNIST stays from the state of the art."""
    own, _ = bench.own()
    found = values_of(bench.large)
    experiment.found(
        "fashion-84", found, why=f"Table 1's own number is 0.83; a proper beta 3 gives {np.mean(found):.3f}"
    )
    gap = 0.93 - float(np.mean(found))
    why = f"quoted: 83 % plus the 10 points that it names; the recipe as printed is {100 * gap:.0f} points below it"
    experiment.found("state", found, holds=bool(gap >= 0.095), why=why)
    closed = own["accuracy"] >= 0.93
    cnn = bench.cnn()["accuracy"]
    why = f"our best frozen VAE is {100 * (0.93 - own['accuracy']):.1f} points below 0.93; the CNN from pixels has {cnn:.3f}"
    experiment.found("tuning", own["accuracy"], holds=closed, why=why)


def ten_at_200(experiment: PaperExperiment) -> None:
    """The paper's own ten classes, sheep included, where 200 drawings of each are at hand."""
    data = _small_quickdraw(experiment.pick(40, 200, 200))
    keys = ("ten-200", "ten-200-own", "ten-200-sheep")
    if data is None:
        for key in keys:
            experiment.found(
                key, None, holds=None, why="the drawings are not at hand: quickdraw/paper-ten-200/<class>.npy"
            )
        return
    one = SETS["quickdraw"]
    training = Training(
        epochs=experiment.pick(1, 25, 200), batch=64, optimiser=Adam(rate=5e-3, beta2=0.99), schedule=OneCycle()
    )
    printed = experiment.vae("ten-200", data, one.model, Elbo(beta=3.0), training)
    own = experiment.vae("ten-200-own", data, one.own, Elbo(beta=one.own_beta), training)
    head = head_of(experiment, one.large, 40)
    found = experiment.curves("ten-200/large", head, printed.sampled, 10)
    best = experiment.curves("ten-200/own", head, own.means, 10)
    why = f"trained on {len(data.train):,} drawings only, tested on {len(data.test)}; the paper had 84,000"
    experiment.found("ten-200", found["accuracy"], holds=None, why=why)
    experiment.found("ten-200-own", best["accuracy"], holds=None, why=why)
    shares = per_class_shares(best)
    worst = data.classes[int(np.argmin(shares))]
    sheep = shares[data.classes.index("sheep")]
    why = f"the worst class here is {worst} ({shares.min():.2f}); {len(data.test) // 10} test drawings a class"
    experiment.found("ten-200-sheep", sheep, holds=None, why=why)


def _small_quickdraw(per_class: int) -> Dataset | None:
    folder = download.find("quickdraw", "paper-ten-200")
    if folder is None or not all((folder / f"{name}.npy").exists() for name in PAPER_TEN):
        return None
    rows = [np.load(folder / f"{name}.npy", allow_pickle=False)[:per_class] for name in PAPER_TEN]
    labels = torch.arange(10).repeat_interleave(torch.tensor([len(part) for part in rows]))
    drawings = Images(torch.from_numpy(np.concatenate(rows)).view(-1, 1, 28, 28), labels, PAPER_TEN)
    rest, test = split(drawings, 0.2, 0)
    train, validation = split(rest, 0.3, 0)
    return Dataset("quickdraw, the paper's ten at 200", train, validation, test)
