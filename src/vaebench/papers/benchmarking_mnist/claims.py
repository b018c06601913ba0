"""Paper E's VAEs and their measurements: its table, its claims, and its further work."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from vaebench.data.images import Dataset
from vaebench.evaluation.panels import confusion
from vaebench.evaluation.samples import CONFIDENT, confident_fraction, inception_score, marginal_entropy
from vaebench.experiments.measurements import bounds_step, evaluation_probabilities, pixels, reconstructions
from vaebench.experiments.trained import TrainedModel
from vaebench.models.likelihoods import GaussianSigmoidMean
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.text import format_epochs, format_values, most_confused_pair
from vaebench.training.loop import Training
from vaebench.training.schedules import SGD, Adam, Constant, OneCycle

NETWORK = Conv(
    filters=(32, 64, 64, 64), kernel=(3,), stride=(1, 2, 2, 1), activation="leaky-relu", batch_norm="none"
)  # fmt: skip
OTHER_NETWORKS: dict[str, Network] = {
    "conv 32-64-64, kernel 4, batch norm": Conv(),
    "MLP 500-500": MLP(hidden=(500, 500)),
}
LATENTS = (2, 3, 4, 5, 10, 30)
CONSTANT = 0.5 * math.log(math.pi) * 28 * 28
"""-log N(x; m, 1/2) is the squared error plus this."""
SAMPLES = 5000
Losses = dict[int, dict[str, float]]
"""Result of :func:`measure_losses` by latent dimension."""
Classified = dict[int, dict[str, Any]]
"""Result of :func:`classify_outputs` by latent dimension."""


def make_model(latent: int, network: Network = NETWORK) -> Model:
    """The paper's VAE: squared error + KL is a Gaussian likelihood of variance 1/2 around a sigmoid."""
    return Model(latent=latent, network=network, likelihood=GaussianSigmoidMean())


def train_vae(experiment: PaperExperiment, name: str, data: Dataset, model: Model, times: int = 1) -> TrainedModel:
    """Train for 10 epochs of Adam at 5e-4, batch size 256; in the cpu budget for 5 epochs under a one-cycle schedule.

    Args:
        times: factor of the number of epochs.
    """
    epochs = experiment.pick(2, 5, 10) * times
    training = Training(epochs=epochs, batch=256, optimiser=Adam(rate=5e-4), schedule=Constant())
    if experiment.budget != "full":
        faster = {"optimiser": Adam(rate=3e-3, beta2=0.99), "schedule": OneCycle(rise=0.2)}
        training = training.model_copy(update=faster)
    return experiment.vae(name, data, model, Elbo(), training)


def measure_losses(experiment: PaperExperiment, name: str, vae: TrainedModel) -> dict[str, float]:
    """Squared error and KL per image on test, their sum on test and validation, and the number of active latents."""
    bounds = bounds_step(experiment, name, vae)
    test, validation = bounds["test"], bounds["validation"]
    error = test["reconstruction"] - CONSTANT
    return {
        "kl": test["kl"],
        "error": error,
        "total": error + test["kl"],
        "validation": validation["reconstruction"] - CONSTANT + validation["kl"],
        "active": test["active"],
    }


def classify_outputs(
    experiment: PaperExperiment, latent: int, vae: TrainedModel, classifier: TrainedModel
) -> dict[str, Any]:
    """Scores of samples and reconstructions according to the evaluation classifier."""
    count = experiment.pick(200, SAMPLES, SAMPLES)

    def measure() -> dict[str, Any]:
        torch.manual_seed(latent)
        z = torch.randn(count, latent)
        with torch.no_grad():
            decoded = [vae.vae.decode(part.to(vae.vae.zero.device)) for part in z.split(1000)]
        means = evaluation_probabilities(classifier, torch.cat([p.mean.cpu() for p in decoded]))
        draws = evaluation_probabilities(classifier, torch.cat([p.sample().clamp(0, 1).cpu() for p in decoded]))
        outputs = evaluation_probabilities(classifier, reconstructions(vae))
        same = outputs.argmax(1) == evaluation_probabilities(classifier, pixels(vae.data.test)).argmax(1)
        return {
            "score": inception_score(means),
            "score_draws": inception_score(draws),
            "legible": confident_fraction(means),
            "legible_64": float((means[:64].amax(1) >= CONFIDENT).sum()),
            "marginal": means.mean(0).tolist(),
            "marginal_entropy": marginal_entropy(means),
            "confusion": confusion(outputs, vae.data.test.labels).tolist(),
            "faithful": same.double().mean().item(),
            "faithful_15": float(same[:15].sum()),
        }

    identity = {"trial": vae.key, "judge": classifier.key, "draws": count}
    return experiment.step(f"judged/latent-{latent}", identity, measure)


def record_table(experiment: PaperExperiment, vaes: dict[int, TrainedModel], losses: Losses) -> None:
    """Record KL, squared error and their sum for each latent dimension, and training times."""
    for latent, loss in losses.items():
        total, reported = loss["total"], experiment.paper.reported_results[f"total-{latent}"].reported
        assert reported is not None
        epochs = format_epochs(len(vaes[latent].history))
        terms = f"KL {loss['kl']:.1f} + squared error {loss['error']:.1f} = {total:.2f} against {reported:.2f} reported"
        comparison = "the sum is lower" if total <= reported else f"the sum is higher after {epochs}"
        experiment.record(f"kl-{latent}", loss["kl"], f"{terms}: {comparison}")
        experiment.record(f"error-{latent}", loss["error"], f"{terms}: {comparison}")
        experiment.record(f"total-{latent}", total, f"{epochs}; {terms}")
        if latent in (2, 3):
            experiment.record(f"minutes-{latent}", vaes[latent].seconds / 60, f"{epochs} on {experiment.device}")
    explanation = "reported on another scale, which contradicts the paper's table; ours is on the scale of the table"
    for part in ("kl", "error", "total"):
        experiment.record(f"3d-{part}", losses[3][part], explanation, agrees=None)


def record_claims(
    experiment: PaperExperiment, vaes: dict[int, TrainedModel], losses: Losses, classified: Classified
) -> None:
    """Record the claims on the six latent dimensions."""
    _record_training_claims(experiment, vaes)
    _record_choice(experiment, losses, classified)
    totals = {latent: losses[latent]["total"] for latent in LATENTS}
    falls = all(a > b for a, b in pairwise(totals.values()))
    explanation = f"squared error + KL by dimension: {format_values(totals, '.2f')}"
    experiment.record("falls", totals[30], explanation, agrees=falls)
    kl, total = losses[30]["kl"], losses[30]["total"]
    explanation = f"KL is {kl / total:.0%} of the loss at 30 ({kl:.1f} of {total:.1f}); 45 % in the paper's table"
    experiment.record("dominates", kl / total, explanation, agrees=kl / total > 0.5)
    counts = np.array(classified[3]["confusion"])
    sevens, nines = counts[7, 9] / counts[7].sum(), counts[9, 7] / counts[9].sum()
    decoded = f"{sevens:.1%} of the 7s are decoded as 9s, {nines:.1%} of the 9s as 7s"
    explanation = f"{decoded}; the most confused pair is {most_confused_pair(counts)}"
    experiment.record("overlap", sevens, explanation, agrees=bool(sevens + nines > 0.05))
    legible = {latent: classified[latent]["legible"] for latent in LATENTS}
    explanation = f"fraction of samples with a class probability of at least {CONFIDENT}, by dimension: {format_values(legible, '.0%')}"
    experiment.record("gaps", legible[30], explanation, agrees=legible[30] < max(legible[4], legible[5]) - 0.05)
    experiment.record("legible", classified[5]["legible_64"], f"{legible[5]:.0%} of all classified samples are legible")
    explanation = f"{classified[5]['faithful']:.1%} of all test images have a reconstruction classified like the image"
    experiment.record("faithful", classified[5]["faithful_15"], explanation)


def _record_training_claims(experiment: PaperExperiment, vaes: dict[int, TrainedModel]) -> None:
    kl, error = vaes[5].by_step("kl")[1], vaes[5].by_step("reconstruction")[1]
    rise, change = kl[-1] - kl[0], error[-1] - error[0]
    explanation = f"latent 5, first to last 50 steps: KL {kl[0]:.1f} to {kl[-1]:.1f}, squared error {change:+.1f}"
    experiment.record("rises", rise, explanation, agrees=rise > 0 > change)
    losses = {latent: [record["validation_loss"] for record in vae.history] for latent, vae in vaes.items()}
    gains = {latent: each[-2] - each[-1] if len(each) > 1 else math.inf for latent, each in losses.items()}
    schedule = "constant" if experiment.budget == "full" else "decreasing"
    explanation = (
        f"nats gained in the last epoch under a {schedule} learning rate, by dimension: {format_values(gains, '.2f')}"
    )
    experiment.record("not-flat", gains[5], explanation, agrees=min(gains.values()) > 0.05)


def _record_choice(experiment: PaperExperiment, losses: Losses, classified: Classified) -> None:
    validation = {latent: losses[latent]["validation"] for latent in LATENTS}
    best = min(LATENTS, key=lambda latent: validation[latent])
    most_legible = max(LATENTS, key=lambda latent: classified[latent]["legible"])
    best_score = max(LATENTS, key=lambda latent: classified[latent]["score"][0])
    votes = [best, most_legible, best_score].count(5)
    explanation = (
        f"{'' if votes in (0, 3) else 'only by some measures: '}lowest validation loss at {best} ({format_values(validation, '.2f')}), "
        f"most legible samples at {most_legible}, highest inception score at {best_score}"
    )
    experiment.record("five", 5, explanation, agrees={0: False, 3: True}.get(votes))
    active = losses[best]["active"]
    explanation = f"active latents there: {active:.0f} of {best}; further latents collapse to the prior at no cost"
    experiment.record("choice", best, explanation)


def _step_name(title: str) -> str:
    """Name of the training of one of :data:`OTHER_NETWORKS`."""
    return f"other-{title[:4].strip()}"


def train_further(experiment: PaperExperiment, data: Dataset) -> dict[str, TrainedModel]:
    """Train the VAE with 5 latents for twice the epochs, and with other networks; by the names of their steps."""
    vaes = {"longer": train_vae(experiment, "longer", data, make_model(5), times=2)}
    for title, network in OTHER_NETWORKS.items():
        vaes[_step_name(title)] = train_vae(experiment, _step_name(title), data, make_model(5, network))
    return vaes


def record_further_work(
    experiment: PaperExperiment,
    classifier: TrainedModel,
    losses: Losses,
    classified: Classified,
    further: dict[str, TrainedModel],
) -> None:
    """Record what the paper leaves for later: inception scores, confusions, longer training, networks, optimisers.

    Args:
        further: the VAEs of :func:`train_further`.
    """
    base = losses[5]["total"]
    _record_optimisers(experiment, classifier.data)
    _record_classifications(experiment, classifier, classified)
    titles = {"longer": "longer"} | {_step_name(title): f"other-{title}" for title in OTHER_NETWORKS}
    for name, vae in further.items():
        total = measure_losses(experiment, name, vae)["total"]
        epochs = "twice the epochs" if name == "longer" else "the same epochs"
        explanation = f"{epochs}: {total:.2f} against {base:.2f} of the paper's network"
        experiment.record(titles[name], total, explanation, agrees=total < base)


def _record_classifications(experiment: PaperExperiment, classifier: TrainedModel, classified: Classified) -> None:
    def measure() -> dict[str, Any]:
        test = classifier.data.test
        probabilities = evaluation_probabilities(classifier, pixels(test))
        accuracy = (probabilities.argmax(1) == test.labels).double().mean().item()
        return {"score": inception_score(probabilities), "accuracy": accuracy}

    real = experiment.step("judged/real", {"judge": classifier.key}, measure)
    suffix = f"classifier: a CNN with test accuracy {real['accuracy']:.2%}"
    five, thirty = classified[5], classified[30]
    experiment.record("inception", five["score"][0], f"sd over 10 splits {five['score'][1]:.2f}; {suffix}")
    noise = f"sd over 10 splits {five['score_draws'][1]:.2f}: noise of variance 1/2 per pixel, as in the loss"
    experiment.record("inception-draws", five["score_draws"][0], f"{noise}; {suffix}")
    experiment.record("inception-real", real["score"][0], f"sd {real['score'][1]:.2f}: the upper limit to expect")
    experiment.record("inception-high", thirty["score"][0], f"sd over 10 splits {thirty['score'][1]:.2f}; {suffix}")
    digits = dict(enumerate(five["marginal"]))
    uniform = max(five["marginal"]) < 0.15 and min(five["marginal"]) > 0.05
    explanation = f"log 10 = 2.30 is uniform; fractions of the digits {format_values(digits, '.0%')}"
    experiment.record("marginal", five["marginal_entropy"], explanation, agrees=uniform)
    experiment.record("judge", real["accuracy"], "its own errors limit what it can measure")
    for key, latent in (("confusion", 5), ("confusion-2", 2)):
        counts = np.array(classified[latent]["confusion"])
        wrong = 1 - np.trace(counts) / counts.sum()
        experiment.record(key, wrong, f"the most confused pair is {most_confused_pair(counts)}; see the matrix")


def _record_optimisers(experiment: PaperExperiment, data: Dataset) -> None:
    """One short training with each optimiser that the text names."""
    epochs, vaes = experiment.pick(1, 1, 10), {}
    for optimiser, name in ((SGD(rate=5e-5, momentum=0.0), "SGD at 5e-5"), (Adam(rate=5e-4), "Adam at 5e-4")):
        training = Training(epochs=epochs, batch=256, optimiser=optimiser, schedule=Constant())
        vaes[name] = experiment.vae(f"rule-{optimiser.kind}", data, make_model(5), Elbo(), training)
    losses = {name: vae.history[-1]["validation_loss"] - CONSTANT for name, vae in vaes.items()}
    listing = f"validation squared error + KL after {format_epochs(epochs)}, {format_values(losses, '.1f')}"
    explanation = f"{listing}; predicting the mean image gives 52.7"
    experiment.record("optimiser", losses["SGD at 5e-5"], explanation, agrees=losses["SGD at 5e-5"] < 37)
