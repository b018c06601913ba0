"""Paper E: "Benchmarking Variational Autoencoder with MNIST Dataset": one network, six latent dimensions."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vaebench.data.datasets import Data
from vaebench.data.images import Dataset
from vaebench.evaluation.panels import Arrays, interpolations, spread_over_classes
from vaebench.evaluation.samples import CONFIDENT, inception_score, legible_share, marginal_entropy
from vaebench.models.likelihoods import GaussianSigmoidMean
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.paper import Paper, Promise, in_epochs
from vaebench.papers.study import PaperStudy
from vaebench.reports.pictures import Margins, grids, in_rows, pairs, sheet
from vaebench.reports.plots import Cloud, Panel, Series, confusion, lines, planes, space
from vaebench.studies.measure import bounds_of, counts, judge, judged, map_of, pixels, reconstructions, sheets_of
from vaebench.studies.trials import Trial
from vaebench.training.loop import Training
from vaebench.training.schedules import SGD, Adam, AnyOptimiser, Constant, OneCycle

NETWORK = Conv(
    filters=(32, 64, 64, 64), kernel=(3,), stride=(1, 2, 2, 1), activation="leaky-relu", batch_norm="none"
)  # fmt: skip
OTHERS: dict[str, Network] = {
    "conv 32-64-64, kernel 4, batch norm": Conv(),
    "MLP 500-500": MLP(hidden=(500, 500)),
}
SWEEP = (2, 3, 4, 5, 10, 30)
TABLE = {
    2: (4.4122, 32.26999, 36.68219),
    3: (6.12124, 30.11598, 36.23721),
    4: (7.30888, 25.05045, 32.35933),
    5: (8.39849, 22.89452, 31.29301),
    10: (11.90844, 17.10307, 29.01152),
    30: (12.58757, 15.39129, 27.97886),
}
CONSTANT = 0.5 * math.log(math.pi) * 28 * 28
"""-log N(x; m, 1/2) is the squared error plus this."""
DRAWS = 5000


def _promises() -> dict[str, Promise]:
    found: dict[str, Promise] = {}
    for latent, (kl, error, combined) in TABLE.items():
        where = f"section 2.2, table, dimension {latent}"
        found[f"kl-{latent}"] = Promise(where, f"KL at latent {latent}, nats per image", kl, "about", 0.1)
        found[f"error-{latent}"] = Promise(where, f"squared error at latent {latent}, per image", error, "about", 0.1)
        found[f"total-{latent}"] = Promise(where, f"squared error + KL at latent {latent}", combined, "at most", 0.15)
    minutes = "training time at latent {}, minutes"
    found |= {
        "minutes-2": Promise("section 2.1", minutes.format(2), 16.99, "at most", 0.0),
        "minutes-3": Promise("section 2.2", minutes.format(3), 16.31, "at most", 0.0),
        "3d-kl": Promise("section 2.2", "KL of the 3-D attempt, as printed per batch", 0.000483, "about"),
        "3d-error": Promise(
            "section 2.2", "reconstruction of the 3-D attempt, as printed per batch", 176.2263, "about"
        ),
        "3d-total": Promise("section 2.2", "final loss of the 3-D attempt, as printed per batch", 176.2268, "about"),
        "legible": Promise("section 2.2.2", "legible samples of 64 at latent 5, by a classifier", 60, "at least", 0.0),
        "faithful": Promise("section 2.2.2", "faithful reconstructions of 15 at latent 5", 15, "at least", 0.0),
        "rises": Promise("section 2.2", "over training, KL rises while the reconstruction error falls"),
        "falls": Promise("section 2.2", "the combined loss falls with the latent dimension"),
        "dominates": Promise("section 2.2", "in higher dimensions the KL term dominates (KL share of the loss at 30)"),
        "overlap": Promise("section 2.2, figure 12", "7 and 9 overlap at latent 3 (share of 7s decoded as 9s)"),
        "gaps": Promise("section 2.2.1", "samples get worse at high dimension (legible share at 30)"),
        "not-flat": Promise("section 2.2", "losses are not flat at the end (validation loss gained in the last epoch)"),
        "five": Promise("section 2.2.2", "latent 5 is the best choice"),
        "optimiser": Promise("section 1.2.1", "SGD at 5e-5 trains it (the statistics say 5e-4)"),
        "inception": Promise("section 3", "further work: inception score of decoder means at latent 5"),
        "inception-draws": Promise("section 3", "further work: inception score of pixels drawn from p(x|z), latent 5"),
        "inception-real": Promise("ours", "inception score of the test images under the same classifier"),
        "inception-high": Promise("ours", "inception score of decoder means at latent 30"),
        "marginal": Promise("section 1.4", "the class marginal of samples at latent 5 is uniform (its entropy, nats)"),
        "judge": Promise("ours", "test accuracy of the classifier that judges samples and reconstructions"),
        "confusion": Promise("section 3", "further work: reconstructions read as another class, share at latent 5"),
        "confusion-2": Promise("section 3", "further work: reconstructions read as another class, share at latent 2"),
        "longer": Promise("section 3", "further work: more training lowers the loss at latent 5 (squared error + KL)"),
    }
    for name in OTHERS:
        found[f"other-{name}"] = Promise("section 3", f"further work: {name} at latent 5 (squared error + KL)")
    found["choice"] = Promise("ours", "latent dimension with the lowest validation loss, of the sweep")
    return found


def perform(study: PaperStudy) -> None:
    """Train the sweep, judge its samples and reconstructions, and fill every promise."""
    data = study.data(Data(source="mnist"))
    trials = {latent: study.vae(f"latent-{latent}", data, model(latent), Elbo(), training(study)) for latent in SWEEP}
    losses = {latent: _losses(study, f"latent-{latent}", trial) for latent, trial in trials.items()}
    reader = judge(study, data)
    judgements = {latent: _judgement(study, latent, trial, reader) for latent, trial in trials.items()}
    _table(study, trials, losses)
    _claims(study, trials, losses, judgements)
    _further_work(study, data, losses, judgements)
    _figures(study, trials, judgements)


def model(latent: int, network: Network = NETWORK) -> Model:
    """The paper's VAE: squared error + KL is a Gaussian likelihood of variance 1/2 around a sigmoid."""
    return Model(latent=latent, network=network, likelihood=GaussianSigmoidMean())


def training(study: PaperStudy, times: int = 1) -> Training:
    """10 epochs of Adam at 5e-4, batch 256; in cpu half of them under one-cycle."""
    if study.budget == "full":
        return Training(epochs=10 * times, batch=256, optimiser=Adam(rate=5e-4), schedule=Constant())
    epochs = study.pick(2, 5, 10) * times
    return Training(epochs=epochs, batch=256, optimiser=Adam(rate=3e-3, beta2=0.99), schedule=OneCycle(rise=0.2))


def _losses(study: PaperStudy, name: str, trial: Trial) -> dict[str, float]:
    """Squared error and KL on test and validation, on the paper's scale."""
    found = bounds_of(study, name, trial)
    test, validation = found["test"], found["validation"]
    error = test["reconstruction"] - CONSTANT
    return {
        "kl": test["kl"],
        "error": error,
        "total": error + test["kl"],
        "validation": validation["reconstruction"] - CONSTANT + validation["kl"],
        "active": test["active"],
    }


def _judgement(study: PaperStudy, latent: int, trial: Trial, reader: Trial) -> dict[str, Any]:
    """What the classifier reads in samples and in reconstructions."""
    count = study.pick(200, DRAWS, DRAWS)

    def measure() -> dict[str, Any]:
        torch.manual_seed(latent)
        z = torch.randn(count, latent)
        with torch.no_grad():
            drawn = [trial.vae.decode(part.to(trial.vae.zero.device)) for part in z.split(1000)]
        means = judged(reader, torch.cat([p.mean.cpu() for p in drawn]))
        draws = judged(reader, torch.cat([p.sample().clamp(0, 1).cpu() for p in drawn]))
        test = trial.data.test
        read = judged(reader, reconstructions(trial)).argmax(1)
        seen = judged(reader, pixels(test)).argmax(1)
        return {
            "score": inception_score(means),
            "score_draws": inception_score(draws),
            "legible": legible_share(means),
            "legible_64": float((means[:64].amax(1) >= CONFIDENT).sum()),
            "marginal": means.mean(0).tolist(),
            "marginal_entropy": marginal_entropy(means),
            "confusion": counts(test.labels, read, len(test.classes)).tolist(),
            "faithful": (read == seen).double().mean().item(),
            "faithful_15": float((read == seen)[:15].sum()),
        }

    identity = {"trial": trial.key, "judge": reader.key, "draws": count}
    return study.step(f"judged/latent-{latent}", identity, measure)


def _table(study: PaperStudy, trials: dict[int, Trial], losses: dict[int, dict[str, float]]) -> None:
    for latent, found in losses.items():
        total, printed = found["total"], TABLE[latent][2]
        balance = (
            f"KL {found['kl']:.1f} + squared error {found['error']:.1f} = {total:.2f} against {printed:.2f} printed"
        )
        better = total <= printed
        moved = "the sum is lower" if better else f"the sum is higher after {in_epochs(len(trials[latent].history))}"
        study.found(f"kl-{latent}", found["kl"], why=f"{balance}: {moved}")
        study.found(f"error-{latent}", found["error"], why=f"{balance}: {moved}")
        study.found(f"total-{latent}", total, why=f"{in_epochs(len(trials[latent].history))}; {balance}")
    for latent in (2, 3):
        minutes = trials[latent].seconds / 60
        study.found(f"minutes-{latent}", minutes, why=f"{in_epochs(len(trials[latent].history))} on {study.device}")
    for key in ("3d-kl", "3d-error", "3d-total"):
        part = {"3d-kl": "kl", "3d-error": "error", "3d-total": "total"}[key]
        why = "printed on another scale, which contradicts its own table; ours is on the table's scale"
        study.found(key, losses[3][part], holds=None, why=why)


def _claims(
    study: PaperStudy,
    trials: dict[int, Trial],
    losses: dict[int, dict[str, float]],
    judgements: dict[int, dict[str, Any]],
) -> None:
    _training_claims(study, trials, losses, judgements)
    totals = [losses[latent]["total"] for latent in SWEEP]
    falls = all(a > b for a, b in pairwise(totals))
    words = ", ".join(f"{latent}: {total:.2f}" for latent, total in zip(SWEEP, totals, strict=True))
    study.found("falls", totals[-1], holds=falls, why=f"squared error + KL by dimension: {words}")
    share = losses[30]["kl"] / losses[30]["total"]
    why = (
        f"KL is {share:.0%} of the loss at 30 ({losses[30]['kl']:.1f} of {losses[30]['total']:.1f}); in its table 45 %"
    )
    study.found("dominates", share, holds=share > 0.5, why=why)
    table = np.array(judgements[3]["confusion"])
    sevens, nines = table[7, 9] / table[7].sum(), table[9, 7] / table[9].sum()
    worst = _worst_pair(table)
    why = f"{sevens:.1%} of the 7s are decoded as 9s, {nines:.1%} of the 9s as 7s; the most confused pair is {worst}"
    study.found("overlap", sevens, holds=bool(sevens + nines > 0.05), why=why)
    legible = {latent: judgements[latent]["legible"] for latent in SWEEP}
    words = ", ".join(f"{latent}: {share:.0%}" for latent, share in legible.items())
    why = f"samples of which the classifier is at least {CONFIDENT:.0%} certain, by dimension: {words}"
    study.found("gaps", legible[30], holds=legible[30] < max(legible[4], legible[5]) - 0.05, why=why)
    study.found("legible", judgements[5]["legible_64"], why=f"{legible[5]:.0%} of all samples judged are legible")
    why = f"over all test images {judgements[5]['faithful']:.1%} are read as the same class as the image"
    study.found("faithful", judgements[5]["faithful_15"], why=why)


def _training_claims(
    study: PaperStudy,
    trials: dict[int, Trial],
    losses: dict[int, dict[str, float]],
    judgements: dict[int, dict[str, Any]],
) -> None:
    _, kl = trials[5].by_step("kl")
    _, error = trials[5].by_step("reconstruction")
    rise, fall = kl[-1] - kl[0], error[-1] - error[0]
    why = f"latent 5, first to last 50 steps: KL {kl[0]:.1f} to {kl[-1]:.1f}, squared error {fall:+.1f}"
    study.found("rises", rise, holds=rise > 0 > fall, why=why)
    gains = {latent: _last_gain(trial) for latent, trial in trials.items()}
    words = ", ".join(f"{latent}: {gain:.2f}" for latent, gain in gains.items())
    schedule = "constant" if study.budget == "full" else "falling"
    why = f"nats gained in the last epoch under a {schedule} learning rate, by dimension: {words}"
    study.found("not-flat", gains[5], holds=min(gains.values()) > 0.05, why=why)
    best = min(SWEEP, key=lambda latent: losses[latent]["validation"])
    words = ", ".join(f"{latent}: {losses[latent]['validation']:.2f}" for latent in SWEEP)
    most = max(SWEEP, key=lambda latent: judgements[latent]["legible"])
    score = max(SWEEP, key=lambda latent: judgements[latent]["score"][0])
    votes = [best, most, score].count(5)
    when = "" if votes in (0, 3) else "only by some measures: "
    why = f"{when}lowest validation loss at {best} ({words}), most legible samples at {most}, highest inception score at {score}"
    study.found("five", 5, holds={0: False, 3: True}.get(votes), why=why)
    why = (
        f"active units there: {losses[best]['active']:.0f} of {best}; more latents cost nothing, they fall to the prior"
    )
    study.found("choice", best, holds=None, why=why)


def _last_gain(trial: Trial) -> float:
    values = [record["validation_loss"] for record in trial.history]
    return float(values[-2] - values[-1]) if len(values) > 1 else math.inf


def _worst_pair(table: np.ndarray) -> str:
    both = table + table.T
    np.fill_diagonal(both, 0)
    first, second = np.unravel_index(both.argmax(), both.shape)
    return f"{first} and {second}"


def _further_work(
    study: PaperStudy, data: Dataset, losses: dict[int, dict[str, float]], judgements: dict[int, dict[str, Any]]
) -> None:
    _optimisers(study, data)
    reader = judge(study, data)

    def measure() -> dict[str, Any]:
        seen = judged(reader, pixels(data.test))
        right = (seen.argmax(1) == data.test.labels).double().mean().item()
        return {"score": inception_score(seen), "accuracy": right}

    real = study.step("judged/real", {"judge": reader.key}, measure)
    name = f"classifier: a CNN with test accuracy {real['accuracy']:.2%}"
    five, high = judgements[5], judgements[30]
    study.found("inception", five["score"][0], holds=None, why=f"sd over 10 splits {five['score'][1]:.2f}; {name}")
    why = f"sd over 10 splits {five['score_draws'][1]:.2f}: noise of variance 1/2 a pixel, as the loss has it; {name}"
    study.found("inception-draws", five["score_draws"][0], holds=None, why=why)
    study.found("inception-real", real["score"][0], holds=None, why=f"sd {real['score'][1]:.2f}: the most to expect")
    study.found("inception-high", high["score"][0], holds=None, why=f"sd over 10 splits {high['score'][1]:.2f}; {name}")
    shares = ", ".join(f"{index}: {share:.0%}" for index, share in enumerate(five["marginal"]))
    uniform = max(five["marginal"]) < 0.15 and min(five["marginal"]) > 0.05
    why = f"log 10 = 2.30 is uniform; shares of the digits {shares}"
    study.found("marginal", five["marginal_entropy"], holds=uniform, why=why)
    study.found("judge", real["accuracy"], holds=None, why="its own errors bound what it can say of others")
    for key, latent in (("confusion", 5), ("confusion-2", 2)):
        table = np.array(judgements[latent]["confusion"])
        wrong = 1 - np.trace(table) / table.sum()
        study.found(key, wrong, holds=None, why=f"the most confused pair is {_worst_pair(table)}; see the matrix")
    longer = study.vae("longer", data, model(5), Elbo(), training(study, times=2))
    _compare(study, "longer", _losses(study, "longer", longer)["total"], losses[5]["total"], "twice the epochs")
    for other, network in OTHERS.items():
        trial = study.vae(f"other-{other[:4].strip()}", data, model(5, network), Elbo(), training(study))
        total = _losses(study, f"other-{other[:4].strip()}", trial)["total"]
        _compare(study, f"other-{other}", total, losses[5]["total"], "the same epochs")


def _compare(study: PaperStudy, key: str, total: float, base: float, how: str) -> None:
    study.found(key, total, holds=total < base, why=f"{how}: {total:.2f} against {base:.2f} of the paper's network")


def _optimisers(study: PaperStudy, data: Dataset) -> None:
    """One short run under each learning rule that the text names."""
    rules: dict[str, AnyOptimiser] = {
        "SGD at 5e-5": SGD(rate=5e-5, momentum=0.0),
        "Adam at 5e-4": Adam(rate=5e-4),
    }
    found = {}
    for name, rule in rules.items():
        short = Training(epochs=study.pick(1, 1, 10), batch=256, optimiser=rule, schedule=Constant())
        trial = study.vae(f"rule-{name.split()[0].lower()}", data, model(5), Elbo(), short)
        found[name] = trial.history[-1]["validation_loss"] - CONSTANT
    epochs = study.pick(1, 1, 10)
    words = ", ".join(f"{name}: {loss:.1f}" for name, loss in found.items())
    why = f"validation squared error + KL after {in_epochs(epochs)}, {words}; predicting the mean image gives 52.7"
    study.found("optimiser", found["SGD at 5e-5"], holds=found["SGD at 5e-5"] < 37, why=why)


def _figures(study: PaperStudy, trials: dict[int, Trial], judgements: dict[int, dict[str, Any]]) -> None:
    sheets = {latent: sheets_of(study, f"latent-{latent}", trial) for latent, trial in trials.items()}
    maps = {latent: map_of(study, f"latent-{latent}", trials[latent]) for latent in (2, 3)}
    study.figure("first-attempt", lambda: lines(_loss_panels({"latent 2": trials[2]}, study.budget != "quick")))
    study.figure(
        "sweep", lambda: lines(_loss_panels({f"latent {d}": t for d, t in trials.items()}, study.budget != "quick"))
    )
    classes = trials[2].data.classes
    cloud = Cloud("latent 2", maps[2]["codes"], maps[2]["labels"])
    study.figure("map-2d", lambda: planes([cloud], classes))
    study.figure("map-3d", lambda: space(maps[3]["codes"], maps[3]["labels"], classes, ("z0", "z1", "z2")))
    study.figure("pairs-3", lambda: pairs(sheets[3]["images"], sheets[3]["outputs"], None))
    study.figure("pairs-5", lambda: pairs(sheets[5]["images"], sheets[5]["outputs"], None))
    study.figure("samples", lambda: _sample_sheet(sheets))
    walk = _walks(study, trials[5])
    study.figure("interpolation", lambda: sheet(walk, Margins(left=0.1))[0])
    table = np.array(judgements[3]["confusion"])
    share = np.trace(table) / table.sum()
    title = f"reconstructions at latent 3 through the classifier: {100 * share:.1f} % keep their class"
    study.figure("confusion-3", lambda: confusion(table, classes, title))
    legible = Series(list(SWEEP), [100 * judgements[d]["legible"] for d in SWEEP])
    score = Series(list(SWEEP), [judgements[d]["score"][0] for d in SWEEP])
    panels = [
        Panel("legible samples", {"decoder means": legible}, "latent dimension", "share (%)", log_x=True),
        Panel("inception score", {"decoder means": score}, "latent dimension", "score (1 to 10)", log_x=True),
    ]
    study.figure("legible", lambda: lines(panels))


def _loss_panels(trials: dict[str, Trial], framed: bool) -> list[Panel]:
    """Losses by step; ``framed`` leaves the first steps above the frame."""
    parts = {"loss": "squared error + KL", "reconstruction": "squared error", "kl": "KL"}
    return [
        Panel(
            title,
            {
                name: Series(steps, [v - (0.0 if part == "kl" else CONSTANT) for v in values])
                for name, trial in trials.items()
                for steps, values in [trial.by_step(part)]
            },
            "step",
            "per image",
            limits=None if part == "kl" or not framed else (10 if part == "reconstruction" else 24, 60),
        )
        for part, title in parts.items()
    ]


def _walks(study: PaperStudy, trial: Trial) -> np.ndarray:
    def measure() -> Arrays:
        test: Tensor = trial.features.test.mean[spread_over_classes(trial.data.test, 16)]
        return {"walks": interpolations(trial.vae, test.to(trial.vae.zero.device))}

    return study.arrays("walks", {"trial": trial.key}, measure)["walks"]


def _sample_sheet(sheets: dict[int, Arrays]) -> Figure:
    """8x8 samples of each dimension."""
    blocks = {f"latent {latent}": in_rows(sheets[latent]["samples"], 8) for latent in SWEEP}
    return grids(blocks, columns=3, width=1500)


PAPER = Paper(
    short="E",
    name="benchmarking-mnist",
    title="Benchmarking Variational Autoencoder with MNIST Dataset",
    summary=(
        "One convolutional VAE on MNIST, trained with squared error plus KL at six latent dimensions from 2 to 30. The "
        "paper prints both losses for each, looks at samples and reconstructions, and chooses 5 dimensions by eye."
    ),
    deviations=(
        "The printed formula halves the squared error, but its table is only possible without the 1/2: squared error "
        "summed over pixels plus KL, which is a Gaussian likelihood of variance 1/2 without its constant.",
        "Numbers are on the test images at one sample of z; the paper does not say on which images its own are.",
        "In the cpu budget 5 epochs under a one-cycle learning rate (peak 3e-3) stand for 10 at a constant 5e-4.",
        "1/12 of the training images choose the epoch and the dimension; the paper has no validation images.",
        f'"Legible" and "faithful" are counted by a classifier trained on MNIST: legible where it gives some digit a '
        f"probability of at least {CONFIDENT}, faithful where it reads image and reconstruction as the same digit.",
    ),
    minutes={"quick": 0.4, "cpu": 27, "full": 8},
    promises=_promises(),
    captions={
        "first-attempt": "The first attempt, latent 2: total loss, squared error and KL by step (means of 50 steps).",
        "sweep": "The same for each latent dimension. More latents trade squared error for KL, at a lower sum.",
        "map-2d": "The 2-D code of 2,000 test images: crowded, 4, 7 and 9 on top of each other.",
        "map-3d": "The 3-D code from two sides.",
        "pairs-3": "Test images above, reconstructions below, latent 3.",
        "pairs-5": "The same at latent 5.",
        "samples": "64 samples from the prior (decoder means) for each latent dimension, none chosen.",
        "interpolation": "Straight walks at latent 5 between the codes of two test images, one pair a row.",
        "confusion-3": "Which digit the classifier reads in the reconstructions at latent 3.",
        "legible": "Share of legible samples, and inception score, by latent dimension.",
    },
    perform=perform,
)
