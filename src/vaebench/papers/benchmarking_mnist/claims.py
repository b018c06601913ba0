"""Paper E's table and claims, measured; its further work."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from vaebench.data.images import Dataset
from vaebench.evaluation.samples import CONFIDENT, confident_fraction, inception_score, marginal_entropy
from vaebench.experiments.measurements import (
    bounds_step,
    confusion_counts,
    evaluation_probabilities,
    pixels,
    reconstructions,
    train_evaluation_classifier,
)
from vaebench.experiments.trained import TrainedModel
from vaebench.models.objectives import Elbo
from vaebench.papers.benchmarking_mnist.reported import CONSTANT, OTHERS, SWEEP, TABLE, model
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import in_epochs
from vaebench.training.loop import Training
from vaebench.training.schedules import SGD, Adam, AnyOptimiser, Constant, OneCycle

DRAWS = 5000


def training(experiment: PaperExperiment, times: int = 1) -> Training:
    """10 epochs of Adam at 5e-4, batch 256; in cpu half of them under one-cycle."""
    if experiment.budget == "full":
        return Training(epochs=10 * times, batch=256, optimiser=Adam(rate=5e-4), schedule=Constant())
    epochs = experiment.pick(2, 5, 10) * times
    return Training(epochs=epochs, batch=256, optimiser=Adam(rate=3e-3, beta2=0.99), schedule=OneCycle(rise=0.2))


def losses_of(experiment: PaperExperiment, name: str, trial: TrainedModel) -> dict[str, float]:
    """Squared error and KL on test and validation, on the paper's scale."""
    found = bounds_step(experiment, name, trial)
    test, validation = found["test"], found["validation"]
    error = test["reconstruction"] - CONSTANT
    return {
        "kl": test["kl"],
        "error": error,
        "total": error + test["kl"],
        "validation": validation["reconstruction"] - CONSTANT + validation["kl"],
        "active": test["active"],
    }


def judgement_of(experiment: PaperExperiment, latent: int, trial: TrainedModel, reader: TrainedModel) -> dict[str, Any]:
    """What the classifier reads in samples and in reconstructions."""
    count = experiment.pick(200, DRAWS, DRAWS)

    def measure() -> dict[str, Any]:
        torch.manual_seed(latent)
        z = torch.randn(count, latent)
        with torch.no_grad():
            drawn = [trial.vae.decode(part.to(trial.vae.zero.device)) for part in z.split(1000)]
        means = evaluation_probabilities(reader, torch.cat([p.mean.cpu() for p in drawn]))
        draws = evaluation_probabilities(reader, torch.cat([p.sample().clamp(0, 1).cpu() for p in drawn]))
        test = trial.data.test
        read = evaluation_probabilities(reader, reconstructions(trial)).argmax(1)
        seen = evaluation_probabilities(reader, pixels(test)).argmax(1)
        return {
            "score": inception_score(means),
            "score_draws": inception_score(draws),
            "legible": confident_fraction(means),
            "legible_64": float((means[:64].amax(1) >= CONFIDENT).sum()),
            "marginal": means.mean(0).tolist(),
            "marginal_entropy": marginal_entropy(means),
            "confusion": confusion_counts(test.labels, read, len(test.classes)).tolist(),
            "faithful": (read == seen).double().mean().item(),
            "faithful_15": float((read == seen)[:15].sum()),
        }

    identity = {"trial": trial.key, "judge": reader.key, "draws": count}
    return experiment.step(f"judged/latent-{latent}", identity, measure)


def fill_table(
    experiment: PaperExperiment, trials: dict[int, TrainedModel], losses: dict[int, dict[str, float]]
) -> None:
    """Rows of the printed table: KL, squared error, their sum, minutes."""
    for latent, found in losses.items():
        total, printed = found["total"], TABLE[latent][2]
        balance = (
            f"KL {found['kl']:.1f} + squared error {found['error']:.1f} = {total:.2f} against {printed:.2f} printed"
        )
        better = total <= printed
        moved = "the sum is lower" if better else f"the sum is higher after {in_epochs(len(trials[latent].history))}"
        experiment.found(f"kl-{latent}", found["kl"], why=f"{balance}: {moved}")
        experiment.found(f"error-{latent}", found["error"], why=f"{balance}: {moved}")
        experiment.found(f"total-{latent}", total, why=f"{in_epochs(len(trials[latent].history))}; {balance}")
    for latent in (2, 3):
        minutes = trials[latent].seconds / 60
        experiment.found(
            f"minutes-{latent}", minutes, why=f"{in_epochs(len(trials[latent].history))} on {experiment.device}"
        )
    for key in ("3d-kl", "3d-error", "3d-total"):
        part = {"3d-kl": "kl", "3d-error": "error", "3d-total": "total"}[key]
        why = "printed on another scale, which contradicts its own table; ours is on the table's scale"
        experiment.found(key, losses[3][part], holds=None, why=why)


def fill_claims(
    experiment: PaperExperiment,
    trials: dict[int, TrainedModel],
    losses: dict[int, dict[str, float]],
    judgements: dict[int, dict[str, Any]],
) -> None:
    """What the text says of the sweep: bounds that fall, overlap, gaps, legible samples."""
    training_claims(experiment, trials, losses, judgements)
    totals = [losses[latent]["total"] for latent in SWEEP]
    falls = all(a > b for a, b in pairwise(totals))
    words = ", ".join(f"{latent}: {total:.2f}" for latent, total in zip(SWEEP, totals, strict=True))
    experiment.found("falls", totals[-1], holds=falls, why=f"squared error + KL by dimension: {words}")
    share = losses[30]["kl"] / losses[30]["total"]
    why = (
        f"KL is {share:.0%} of the loss at 30 ({losses[30]['kl']:.1f} of {losses[30]['total']:.1f}); in its table 45 %"
    )
    experiment.found("dominates", share, holds=share > 0.5, why=why)
    table = np.array(judgements[3]["confusion"])
    sevens, nines = table[7, 9] / table[7].sum(), table[9, 7] / table[9].sum()
    worst = _worst_pair(table)
    why = f"{sevens:.1%} of the 7s are decoded as 9s, {nines:.1%} of the 9s as 7s; the most confused pair is {worst}"
    experiment.found("overlap", sevens, holds=bool(sevens + nines > 0.05), why=why)
    legible = {latent: judgements[latent]["legible"] for latent in SWEEP}
    words = ", ".join(f"{latent}: {share:.0%}" for latent, share in legible.items())
    why = f"samples of which the classifier is at least {CONFIDENT:.0%} certain, by dimension: {words}"
    experiment.found("gaps", legible[30], holds=legible[30] < max(legible[4], legible[5]) - 0.05, why=why)
    experiment.found("legible", judgements[5]["legible_64"], why=f"{legible[5]:.0%} of all samples judged are legible")
    why = f"over all test images {judgements[5]['faithful']:.1%} are read as the same class as the image"
    experiment.found("faithful", judgements[5]["faithful_15"], why=why)


def training_claims(
    experiment: PaperExperiment,
    trials: dict[int, TrainedModel],
    losses: dict[int, dict[str, float]],
    judgements: dict[int, dict[str, Any]],
) -> None:
    """What the text says of training, and of five latents as the choice."""
    _, kl = trials[5].by_step("kl")
    _, error = trials[5].by_step("reconstruction")
    rise, fall = kl[-1] - kl[0], error[-1] - error[0]
    why = f"latent 5, first to last 50 steps: KL {kl[0]:.1f} to {kl[-1]:.1f}, squared error {fall:+.1f}"
    experiment.found("rises", rise, holds=rise > 0 > fall, why=why)
    gains = {latent: _last_gain(trial) for latent, trial in trials.items()}
    words = ", ".join(f"{latent}: {gain:.2f}" for latent, gain in gains.items())
    schedule = "constant" if experiment.budget == "full" else "falling"
    why = f"nats gained in the last epoch under a {schedule} learning rate, by dimension: {words}"
    experiment.found("not-flat", gains[5], holds=min(gains.values()) > 0.05, why=why)
    best = min(SWEEP, key=lambda latent: losses[latent]["validation"])
    words = ", ".join(f"{latent}: {losses[latent]['validation']:.2f}" for latent in SWEEP)
    most = max(SWEEP, key=lambda latent: judgements[latent]["legible"])
    score = max(SWEEP, key=lambda latent: judgements[latent]["score"][0])
    votes = [best, most, score].count(5)
    when = "" if votes in (0, 3) else "only by some measures: "
    why = f"{when}lowest validation loss at {best} ({words}), most legible samples at {most}, highest inception score at {score}"
    experiment.found("five", 5, holds={0: False, 3: True}.get(votes), why=why)
    why = (
        f"active units there: {losses[best]['active']:.0f} of {best}; more latents cost nothing, they fall to the prior"
    )
    experiment.found("choice", best, holds=None, why=why)


def _last_gain(trial: TrainedModel) -> float:
    values = [record["validation_loss"] for record in trial.history]
    return float(values[-2] - values[-1]) if len(values) > 1 else math.inf


def _worst_pair(table: np.ndarray) -> str:
    both = table + table.T
    np.fill_diagonal(both, 0)
    first, second = np.unravel_index(both.argmax(), both.shape)
    return f"{first} and {second}"


def further_work(
    experiment: PaperExperiment,
    data: Dataset,
    losses: dict[int, dict[str, float]],
    judgements: dict[int, dict[str, Any]],
) -> None:
    """What the paper leaves for later: an inception score, confusions, longer training, other networks, optimisers."""
    optimisers(experiment, data)
    reader = train_evaluation_classifier(experiment, data)

    def measure() -> dict[str, Any]:
        seen = evaluation_probabilities(reader, pixels(data.test))
        right = (seen.argmax(1) == data.test.labels).double().mean().item()
        return {"score": inception_score(seen), "accuracy": right}

    real = experiment.step("judged/real", {"judge": reader.key}, measure)
    name = f"classifier: a CNN with test accuracy {real['accuracy']:.2%}"
    five, high = judgements[5], judgements[30]
    experiment.found("inception", five["score"][0], holds=None, why=f"sd over 10 splits {five['score'][1]:.2f}; {name}")
    why = f"sd over 10 splits {five['score_draws'][1]:.2f}: noise of variance 1/2 a pixel, as the loss has it; {name}"
    experiment.found("inception-draws", five["score_draws"][0], holds=None, why=why)
    experiment.found(
        "inception-real", real["score"][0], holds=None, why=f"sd {real['score'][1]:.2f}: the most to expect"
    )
    experiment.found(
        "inception-high", high["score"][0], holds=None, why=f"sd over 10 splits {high['score'][1]:.2f}; {name}"
    )
    shares = ", ".join(f"{index}: {share:.0%}" for index, share in enumerate(five["marginal"]))
    uniform = max(five["marginal"]) < 0.15 and min(five["marginal"]) > 0.05
    why = f"log 10 = 2.30 is uniform; shares of the digits {shares}"
    experiment.found("marginal", five["marginal_entropy"], holds=uniform, why=why)
    experiment.found("judge", real["accuracy"], holds=None, why="its own errors bound what it can say of others")
    for key, latent in (("confusion", 5), ("confusion-2", 2)):
        table = np.array(judgements[latent]["confusion"])
        wrong = 1 - np.trace(table) / table.sum()
        experiment.found(key, wrong, holds=None, why=f"the most confused pair is {_worst_pair(table)}; see the matrix")
    longer = experiment.vae("longer", data, model(5), Elbo(), training(experiment, times=2))
    _compare(
        experiment, "longer", losses_of(experiment, "longer", longer)["total"], losses[5]["total"], "twice the epochs"
    )
    for other, network in OTHERS.items():
        trial = experiment.vae(f"other-{other[:4].strip()}", data, model(5, network), Elbo(), training(experiment))
        total = losses_of(experiment, f"other-{other[:4].strip()}", trial)["total"]
        _compare(experiment, f"other-{other}", total, losses[5]["total"], "the same epochs")


def _compare(experiment: PaperExperiment, key: str, total: float, base: float, how: str) -> None:
    experiment.found(
        key, total, holds=total < base, why=f"{how}: {total:.2f} against {base:.2f} of the paper's network"
    )


def optimisers(experiment: PaperExperiment, data: Dataset) -> None:
    """One short run under each learning rule that the text names."""
    rules: dict[str, AnyOptimiser] = {
        "SGD at 5e-5": SGD(rate=5e-5, momentum=0.0),
        "Adam at 5e-4": Adam(rate=5e-4),
    }
    found = {}
    for name, rule in rules.items():
        short = Training(epochs=experiment.pick(1, 1, 10), batch=256, optimiser=rule, schedule=Constant())
        trial = experiment.vae(f"rule-{name.split()[0].lower()}", data, model(5), Elbo(), short)
        found[name] = trial.history[-1]["validation_loss"] - CONSTANT
    epochs = experiment.pick(1, 1, 10)
    words = ", ".join(f"{name}: {loss:.1f}" for name, loss in found.items())
    why = f"validation squared error + KL after {in_epochs(epochs)}, {words}; predicting the mean image gives 52.7"
    experiment.found("optimiser", found["SGD at 5e-5"], holds=found["SGD at 5e-5"] < 37, why=why)
