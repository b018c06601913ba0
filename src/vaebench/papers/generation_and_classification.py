"""Paper B: "VAE for Image Generation and Classification": Normal and continuous Bernoulli VAEs on Fashion-MNIST."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from vaebench.data.datasets import Data
from vaebench.data.images import Dataset, Images, split
from vaebench.evaluation.features import Grid, encode
from vaebench.evaluation.panels import Arrays, decoded
from vaebench.evaluation.probes import Head
from vaebench.evaluation.samples import fitted_samples
from vaebench.evaluation.scores import Split
from vaebench.evaluation.shapes import binarised_share, ink, sharpness
from vaebench.models.latents import SoftplusScale
from vaebench.models.likelihoods import ContinuousBernoulliPixels, GaussianPixels, GaussianPixelScale
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.paper import Paper, Promise, in_epochs
from vaebench.papers.study import PaperStudy
from vaebench.reports.pictures import grids, in_rows, pairs
from vaebench.reports.plots import Panel, Series, lines
from vaebench.studies.measure import bounds_of, pixels, reconstructions, sheets_of
from vaebench.studies.trials import Reading, Trial
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Constant, OneCycle

SIGMOID = MLP(hidden=(128,), activation="sigmoid")
NORMAL = Model(latent=20, network=MLP(hidden=(128,)), decoder=SIGMOID, likelihood=GaussianPixelScale(floor=0.01))
CB = Model(
    latent=20,
    network=Conv(filters=(32,), kernel=(3,), stride=(1,), pool=(2,), hidden=(512, 512), dropout=0.1, batch_norm="none"),
    decoder=MLP(hidden=(512, 512), dropout=0.1),
    likelihood=ContinuousBernoulliPixels(),
    posterior=SoftplusScale(),
)
OWN = Model(latent=64, network=Conv())
OWN_BETA = 0.3
VAES = {"normal": NORMAL, "cb": CB}
WORDS = {"original": "original images", "normal": "Normal VAE", "cb": "CB VAE"}
FLOORS = (0.003, 0.01, 0.03, 0.1)
SHORT = (1, 3)
"""Epochs of the trainings that show what there was on the way."""
CLASSIFIERS = {"logistic": "logistic regression", "simple": "simple CNN", "multilayer": "multilayer CNN"}
REGIMES = ("large", "small")
TABLE = {
    ("original", "large"): (0.8386, 0.8364, 0.9071),
    ("original", "small"): (0.8251, 0.8269, 0.8767),
    ("normal", "large"): (0.7459, 0.7484, 0.7914),
    ("normal", "small"): (0.7028, 0.7523, 0.7569),
    ("cb", "large"): (0.7774, 0.7826, 0.8223),
    ("cb", "small"): (0.7271, 0.7805, 0.7844),
}


def _promises() -> dict[str, Promise]:
    found: dict[str, Promise] = {}
    for (source, regime), row in TABLE.items():
        for classifier, printed in zip(CLASSIFIERS, row, strict=True):
            words = f"{WORDS[source]}, {regime} training set, {CLASSIFIERS[classifier]}: test accuracy"
            found[f"{source}-{regime}-{classifier}"] = Promise("Table 1", words, printed, tolerance=0.00005)
    for regime in REGIMES:
        for index, classifier in enumerate(CLASSIFIERS):
            words = f"our frozen VAE (64 latents, beta {OWN_BETA:g}), {regime} training set, {CLASSIFIERS[classifier]}, beside the CB VAE's printed number"
            found[f"own-{regime}-{classifier}"] = Promise("ours", words, TABLE["cb", regime][index], tolerance=0.00005)
    for source in VAES:
        for regime in REGIMES:
            what = f"{WORDS[source]}, {regime}, multilayer CNN on sampled z instead of means: accuracy"
            found[f"sampled-{source}-{regime}"] = Promise("ours", what)
            what = f"{WORDS[source]}, {regime}, simple CNN on the code as a row of 1x20 instead of 4x5: accuracy"
            found[f"row-{source}-{regime}"] = Promise("ours", what)
    for floor in FLOORS:
        found[f"floor-{floor:g}"] = Promise("ours", f"Normal VAE, scale floor {floor:g}: test ELBO, nats per image")
    return found | {
        "unit": Promise("ours", "Normal VAE with unit scale: test ELBO, nats per image"),
        "unit-accuracy": Promise("ours", "Normal VAE with unit scale, large, multilayer CNN on means: accuracy"),
        "elbo-normal": Promise("figure 3", "Normal VAE: test ELBO, nats per image (a chart without numbers)"),
        "elbo-cb": Promise("figure 3", "CB VAE: test ELBO, nats per image (a chart without numbers)"),
        "cost-normal": Promise("section 4.1", "Normal VAE: seconds an epoch", 8, "at most", 0),
        "cost-cb": Promise("section 4.1", "CB VAE: seconds an epoch", 17, "at most", 0),
        "leads": Promise("section 4.3", "the CB VAE leads by about 3 points everywhere (points, mean of 6 cells)"),
        "robust": Promise("section 4.3", "latents make the simple CNN robust to a small training set (points lost)"),
        "drops": Promise("section 4.3", "the multilayer CNN drops sharply with a small training set (points lost on latents)"),
        "sharper": Promise("section 4.1", "CB samples are sharper than Normal ones (ratio of sharpness)"),
        "sharper-rec": Promise("section 4.2", "CB reconstructions are sharper than Normal ones (ratio of sharpness)"),
        "sharper-fitted": Promise("ours", "the same for samples from a Gaussian fitted to each VAE's codes, which do not follow the prior"),
        "binarised": Promise("section 4.2", "CB samples are close to binarised (share of pixels within 0.1 of 0 or 1)"),
        "converge": Promise("section 4.1", "both ELBOs converge near epoch 100 of 200 (share of training)"),
    }  # fmt: skip


def perform(study: PaperStudy) -> None:
    """Both VAEs, their pictures, and every classifier on every input in both regimes."""
    data = study.data(Data(source="fashion-mnist"))
    trials = {
        name: [
            study.vae(f"{name}-{seed}", data, model, Elbo(), _training(study, name), seed) for seed in study.seeds(3)
        ]
        for name, model in VAES.items()
    }
    cells = _table(study, data, trials)
    _own(study, data)
    _variants(study, trials)
    _floors(study, data)
    _elbos(study, trials)
    _claims(study, cells, ", ".join(f"{WORDS[name]}: {_progress(several[0])}" for name, several in trials.items()))
    _sharpness(study, trials)
    _figures(study, data, trials, cells)


def _training(study: PaperStudy, name: str, epochs: int = 0) -> Training:
    """Adam at 1e-3 for 200 epochs, gradients within +-2; in cpu a one-cycle rate and fewer epochs."""
    if study.budget == "full":
        return Training(epochs=epochs or 200, batch=128, optimiser=Adam(rate=1e-3), schedule=Constant(), clip_value=2.0)
    long = {"normal": 40, "cb": 15, "own": 5}[name]
    rate = {"normal": 4e-3, "cb": 2e-3, "own": 2e-2}[name]
    return Training(
        epochs=study.pick(1, epochs or long, 0),
        batch=study.pick(128, 256 if name == "cb" else 512, 0),
        optimiser=Adam(rate=rate, beta2=0.99),
        schedule=OneCycle(rise=0.2),
        clip_value=2.0,
    )


def _regime(data: Dataset, regime: str) -> tuple[Images, Images, Images]:
    """Training, validation and test images: *small* trains and validates inside the 10,000, and tests on the 60,000."""
    if regime == "large":
        return data.train, data.validation, data.test
    train, validation = split(data.test, 1 / 12, 0)
    labels = torch.cat([data.train.labels, data.validation.labels])
    return train, validation, Images(torch.cat([data.train.pixels, data.validation.pixels]), labels, data.classes)


def _image_reading(study: PaperStudy, data: Dataset, regime: str) -> Reading:
    return Reading(f"{study.fingerprint(data)}/{regime}", lambda: Split(*_regime(data, regime)))


def _code_reading(trial: Trial, regime: str, rows: int, sampled: bool = False) -> Reading:
    """The trial's codes, standardised by their training part with one scale, as images of so many rows."""

    def make() -> Split:
        parts = [encode(trial.vae, part) for part in _regime(trial.data, regime)]
        scaled = [replace(part.standardised_by(parts[0]), sampled=sampled) for part in parts]
        return Split(*(Grid(part, rows) for part in scaled))

    return Reading(f"{trial.key}/{regime}/{rows}/{sampled}", make)


def _head(study: PaperStudy, classifier: str, source: str, regime: str, pool: bool = True) -> Head:
    """One of the paper's three classifiers; logistic regression is a linear layer trained by its cross-entropy."""
    images = source == "original"
    convolution: dict[str, Any] = {
        "filters": (32,),
        "kernel": (3,),
        "stride": (1,),
        "padding": (1,),
        "batch_norm": "none",
    }
    networks: dict[str, Network] = {
        "logistic": MLP(hidden=()),
        "simple": Conv(**convolution),
        "multilayer": Conv(**convolution, pool=(2 if pool else 1,), hidden=(128,)),
    }
    many, few = (10, 20) if classifier == "logistic" or not images else (3, 8)
    many = 5 if images and classifier == "multilayer" else many
    epochs = many if regime == "large" else few
    rate = 5e-3 if classifier == "logistic" else 2e-3 if images else 4e-3
    return Head(
        name=classifier,
        network=networks[classifier],
        epochs=study.pick(2, epochs, 5 * epochs),
        batch=128 if images else 256,
        optimiser=Adam(rate=rate, beta2=0.99),
        schedule=OneCycle(rise=0.2),
    )


Cells = dict[tuple[str, str, str], list[dict[str, Any]]]


def _table(study: PaperStudy, data: Dataset, trials: dict[str, list[Trial]]) -> Cells:
    """All 18 cells, each from every seed."""
    cells: Cells = {}
    growth = {name: _growth(study, data, name) for name in VAES}
    for source, regime in TABLE:
        for classifier in CLASSIFIERS:
            head, found = _head(study, classifier, source, regime), []
            for seed in study.seeds(3):
                reading = (
                    _image_reading(study, data, regime)
                    if source == "original"
                    else _code_reading(trials[source][seed], regime, rows=4)
                )
                found.append(study.curves(f"table/{source}-{regime}-{classifier}-{seed}", head, reading, 10, seed))
            cells[source, regime, classifier] = found
            values = [result["accuracy"] for result in found]
            last = found[0]["epochs"][-1]
            why = f"training ends at {last['accuracy']:.3f}, validation at {last['validation_accuracy']:.3f}"
            if source != "original":
                so_far = np.mean([result["accuracy"] for result in cells[source, "large", "logistic"]])
                grown = f"{growth[source]}, {so_far:.3f} after all {len(trials[source][0].history)}"
                why += f"; logistic regression, large, by epochs of the VAE: {grown}; ours is in a row below"
            study.found(f"{source}-{regime}-{classifier}", values, why=why)
    return cells


def _progress(trial: Trial) -> str:
    """How far the VAE's training was from its end."""
    elbo = [record["validation_elbo"] for record in trial.history]
    gain = elbo[-1] - elbo[-2] if len(elbo) > 1 else float("nan")
    return f"{in_epochs(len(elbo))} of the VAE, which gained {gain:.1f} nats in the last"


def _growth(study: PaperStudy, data: Dataset, name: str) -> str:
    """What logistic regression reads from shorter trainings of the VAE: whether more epochs would help."""
    head, found = _head(study, "logistic", name, "large"), []
    for epochs in SHORT:
        reading = _code_reading(_short(study, data, name, epochs), "large", rows=4)
        accuracy = study.curves(f"growth/{name}-{epochs}", head, reading, 10)["accuracy"]
        found.append(f"{accuracy:.3f} after {epochs}")
    return ", ".join(found)


def _own(study: PaperStudy, data: Dataset) -> None:
    """A frozen convolutional VAE with more latents and a lower beta, read by the same kinds of classifier."""
    trial = study.vae(
        "own", data, OWN, Elbo(beta=OWN_BETA), _training(study, "own", 80 if study.budget == "full" else 0)
    )
    for regime in REGIMES:
        for classifier in CLASSIFIERS:
            reading = _code_reading(trial, regime, rows=8)
            head = _head(study, classifier, "own", regime)
            found = study.curves(f"own/{regime}-{classifier}", head, reading, 10)
            why = "standardised means, the code as an image of 8x8; the epoch chosen on validation"
            study.found(f"own-{regime}-{classifier}", found["accuracy"], why=why)


def _variants(study: PaperStudy, trials: dict[str, list[Trial]]) -> None:
    """Sampled z instead of means, and the code as a row."""
    for source in VAES:
        for regime in REGIMES:
            means = study.findings.rows[f"{source}-{regime}-multilayer"].found
            reading = _code_reading(trials[source][0], regime, rows=4, sampled=True)
            head = _head(study, "multilayer", source, regime)
            found = study.curves(f"variants/sampled-{source}-{regime}", head, reading, 10)
            study.found(f"sampled-{source}-{regime}", found["accuracy"], holds=None, why=f"on means {means:.4f}")
            grid = study.findings.rows[f"{source}-{regime}-simple"].found
            reading = _code_reading(trials[source][0], regime, rows=1)
            head = _head(study, "simple", source, regime, pool=False)
            found = study.curves(f"variants/row-{source}-{regime}", head, reading, 10)
            study.found(f"row-{source}-{regime}", found["accuracy"], holds=None, why=f"as 4x5 {grid:.4f}")


def _floors(study: PaperStudy, data: Dataset) -> None:
    """The Normal VAE's ELBO under several floors of the scale, and with unit scale."""
    epochs = study.pick(1, 6, 50)
    found = {}
    for floor in FLOORS:
        model = NORMAL.model_copy(update={"likelihood": GaussianPixelScale(floor=floor)})
        trial = study.vae(f"floor-{floor:g}", data, model, Elbo(), _training(study, "normal", epochs))
        found[floor] = bounds_of(study, f"floor-{floor:g}", trial)["test"]["elbo"]
        most = 784 * (-np.log(floor) - 0.5 * np.log(2 * np.pi))
        why = f"{in_epochs(epochs)}; the floor bounds the log density of an image at {most:,.0f} nats"
        study.found(f"floor-{floor:g}", found[floor], holds=None, why=why)
    model = NORMAL.model_copy(update={"likelihood": GaussianPixels(scale=1.0)})
    trial = study.vae("unit", data, model, Elbo(), _training(study, "normal", epochs))
    elbo = bounds_of(study, "unit", trial)["test"]
    why = f"KL {elbo['kl']:.1f} nats, {elbo['active']} of 20 latents active: beside unit noise a pixel little of an image is worth coding"
    study.found("unit", elbo["elbo"], holds=None, why=why)
    head = _head(study, "multilayer", "normal", "large")
    result = study.curves("unit-large-multilayer", head, _code_reading(trial, "large", rows=4), 10)
    study.found("unit-accuracy", result["accuracy"], holds=None, why=f"{in_epochs(epochs)}, one seed")
    panel = Panel(
        "Normal VAE",
        {"test ELBO": Series(list(FLOORS), list(found.values()))},
        "scale floor",
        "nats per image",
        log_x=True,
    )
    study.figure("floors", lambda: lines([panel]))


def _elbos(study: PaperStudy, trials: dict[str, list[Trial]]) -> None:
    shares = {}
    for name, several in trials.items():
        values = [bounds_of(study, f"{name}-{seed}", trial)["test"] for seed, trial in enumerate(several)]
        why = f"KL {values[0]['kl']:.1f} nats, {values[0]['active']} of 20 latents active"
        study.found(f"elbo-{name}", [value["elbo"] for value in values], holds=None, why=why)
        seconds = [trial.seconds / len(trial.history) for trial in several]
        study.found(f"cost-{name}", seconds, why=f"{study.device}, 55,000 images")
        shares[name] = _converged(several[0])
    words = ", ".join(
        f"{WORDS[name]} after {share:.0%} of {in_epochs(len(trials[name][0].history))}"
        for name, share in shares.items()
    )
    schedule = "constant" if study.budget == "full" else "one-cycle"
    why = f"validation ELBO within 1 % of its rise from its end, under a {schedule} rate: {words}"
    holds = all(0.3 <= share <= 0.7 for share in shares.values()) if study.budget == "full" else None
    study.found("converge", list(shares.values()), holds=holds, why=why)


def _converged(trial: Trial) -> float:
    """The share of training after which the validation ELBO stays within 1 % of all that it gains."""
    elbo = [record["validation_elbo"] for record in trial.history]
    close = max(elbo) - 0.01 * (max(elbo) - elbo[0])
    return next(index + 1 for index, value in enumerate(elbo) if value >= close) / len(elbo)


def _claims(study: PaperStudy, cells: Cells, progress: str) -> None:
    def mean(source: str, regime: str, classifier: str) -> float:
        return float(np.mean([result["accuracy"] for result in cells[source, regime, classifier]]))

    leads = {
        (regime, classifier): 100 * (mean("cb", regime, classifier) - mean("normal", regime, classifier))
        for regime in REGIMES
        for classifier in CLASSIFIERS
    }
    words = ", ".join(f"{regime} {classifier} {lead:+.1f}" for (regime, classifier), lead in leads.items())
    holds = min(leads.values()) > 1 and max(leads.values()) < 5
    study.found("leads", float(np.mean(list(leads.values()))), holds=holds, why=f"points: {words} ({progress})")
    lost = {
        (source, classifier): 100 * (mean(source, "large", classifier) - mean(source, "small", classifier))
        for source in WORDS
        for classifier in ("simple", "multilayer")
    }
    simple = [lost[source, "simple"] for source in VAES]
    many = [lost[source, "multilayer"] for source in VAES]
    words = ", ".join(f"{WORDS[source]} {value:.1f}" for (source, kind), value in lost.items() if kind == "simple")
    why = f"points lost by the simple CNN from large to small: {words}"
    study.found("robust", simple, holds=max(simple) < 1 and max(simple) < lost["original", "simple"], why=why)
    words = ", ".join(f"{WORDS[source]} {value:.1f}" for (source, kind), value in lost.items() if kind == "multilayer")
    holds = min(many) > 3 and min(many) > 2 * max(simple)
    study.found("drops", many, holds=holds, why=f"points lost by the multilayer CNN from large to small: {words}")


def _mean_ink(x: Float[Tensor, "N C H W"]) -> float:
    return float(ink(x).double().mean())


def _fitted(study: PaperStudy, name: str, trial: Trial) -> np.ndarray:
    """Decoder means of codes from a Gaussian fitted to the training images' codes."""

    def measure() -> Arrays:
        codes = encode(trial.vae, trial.data.train)
        return {"samples": decoded(trial.vae, fitted_samples(codes, 2000, seed=0))}

    return study.arrays(f"fitted/{name}", {"trial": trial.key}, measure)["samples"]


def _looks(study: PaperStudy, name: str, trial: Trial) -> dict[str, float]:
    """Sharpness, ink and share of binarised pixels of samples, reconstructions and real images."""

    def measure() -> dict[str, float]:
        z = torch.randn(2000, 20, generator=torch.Generator().manual_seed(0))
        drawn = {"samples": decoded(trial.vae, z), "fitted": _fitted(study, name, trial)}
        found = {what: torch.from_numpy(images).float() / 255 for what, images in drawn.items()}
        found |= {"reconstructions": reconstructions(trial), "real": pixels(trial.data.test)}
        scores = {"sharpness": sharpness, "binarised": binarised_share, "ink": _mean_ink}
        return {f"{what}-{words}": score(x) for what, x in found.items() for words, score in scores.items()}

    return study.step(f"looks/{name}", {"trial": trial.key}, measure)


def _sharpness(study: PaperStudy, trials: dict[str, list[Trial]]) -> None:
    found = {name: _looks(study, name, several[0]) for name, several in trials.items()}
    normal, cb = found["normal"], found["cb"]
    for key, what in (("sharper", "samples"), ("sharper-fitted", "fitted"), ("sharper-rec", "reconstructions")):
        ratio = cb[f"{what}-sharpness"] / normal[f"{what}-sharpness"]
        why = f"CB {cb[f'{what}-sharpness']:.3f}, Normal {normal[f'{what}-sharpness']:.3f}, real images {cb['real-sharpness']:.3f}"
        why += f"; mean pixel CB {cb[f'{what}-ink']:.2f}, Normal {normal[f'{what}-ink']:.2f}, real {cb['real-ink']:.2f}"
        scatter = (
            "; where samples are far darker than images, they lie where no image was coded" if what == "samples" else ""
        )
        study.found(key, ratio, holds=ratio > 1.02, why=why + scatter)
    share = cb["samples-binarised"]
    why = f"Normal samples {normal['samples-binarised']:.2f}, real images {cb['real-binarised']:.2f}"
    study.found("binarised", share, holds=share > cb["real-binarised"] + 0.05, why=why)


def _figures(study: PaperStudy, data: Dataset, trials: dict[str, list[Trial]], cells: Cells) -> None:
    panels = [
        Panel(WORDS[name], {"validation ELBO": _elbo_curve(several[0])}, "epoch", "nats per image")
        for name, several in trials.items()
    ]
    study.figure("elbos", lambda: lines(panels))
    for name, several in trials.items():
        shown = sheets_of(study, f"{name}-0", several[0])
        study.figure(f"reconstructions-{name}", lambda s=shown: pairs(s["images"], s["outputs"], None))  # type: ignore[misc]
        short = {epochs: _short(study, data, name, epochs) for epochs in SHORT}
        found = {f"after {in_epochs(n)}": sheets_of(study, f"short-{name}-{n}", trial) for n, trial in short.items()}
        found[f"after all {in_epochs(len(several[0].history))}"] = shown
        blocks = {words: in_rows(sheets["samples"][:32], 16) for words, sheets in found.items()}
        study.figure(f"samples-{name}", lambda b=blocks: grids(b))  # type: ignore[misc]
    beside = {"test images": in_rows(data.test.pixels[:32].numpy(), 16)}
    for name, several in trials.items():
        samples = sheets_of(study, f"{name}-0", several[0])["samples"]
        beside[f"samples of the {WORDS[name]}"] = in_rows(samples[:32], 16)
        fitted = _fitted(study, name, several[0])
        beside[f"{WORDS[name]}, from a Gaussian fitted to its codes"] = in_rows(fitted[:32], 16)
    study.figure("real-beside-generated", lambda: grids(beside))
    for regime in REGIMES:
        study.figure(f"curves-{regime}", lambda regime=regime: _curves(cells, regime))  # type: ignore[misc]


def _elbo_curve(trial: Trial) -> Series:
    return Series([r["epoch"] for r in trial.history], [r["validation_elbo"] for r in trial.history])


def _short(study: PaperStudy, data: Dataset, name: str, epochs: int) -> Trial:
    """A shorter training of one of the VAEs."""
    return study.vae(f"short-{name}-{epochs}", data, VAES[name], Elbo(), _training(study, name, epochs))


def _curves(cells: Cells, regime: str) -> Figure:
    """Accuracy above, loss below, one column a classifier; training, validation and test of each input."""
    panels = []
    for what, words in (("accuracy", "accuracy (%)"), ("loss", "nats per image")):
        for classifier, name in CLASSIFIERS.items():
            found = {}
            for source, source_words in WORDS.items():
                epochs = cells[source, regime, classifier][0]["epochs"]
                for part, key in (("train", ""), ("test", "test_")):
                    scale = 100 if what == "accuracy" else 1
                    values = [scale * record[f"{key}{what}"] for record in epochs]
                    found[f"{source_words}, {part}"] = Series([record["epoch"] for record in epochs], values)
            panels.append(Panel(name, found, "epoch", words))
    return lines(panels)


PAPER = Paper(
    short="B",
    name="generation-and-classification",
    title="VAE for Image Generation and Classification",
    summary=(
        "Two VAEs of 20 latents on Fashion-MNIST: one with a Gaussian likelihood (*Normal*), one with the continuous Bernoulli (*CB*). "
        "The paper compares their samples and reconstructions, then trains logistic regression and two small CNNs on the original images "
        "and on both latents, once on the 60,000 images (*large*) and once on the 10,000 (*small*, tested on the 60,000)."
    ),
    deviations=(
        "A CNN reads the 20 numbers of a code as an image of 4x5; as a row of 1x20 in rows of ours. Codes are standardised by their training part.",
        "Classifiers read the posterior means; sampled z in rows of ours. One VAE, trained on the 60,000, serves both regimes; *small* validates inside its 10,000.",
        "Half of Fashion-MNIST's pixels are exactly 0, so a learned scale makes the Gaussian density unbounded: it is floored at 0.01, and other floors and a unit scale are shown.",
        "1/12 of each training set is a validation part, which chooses every epoch.",
        "In the cpu budget the Normal VAE trains 40 epochs and the CB VAE 15 under a one-cycle rate at batch 512 and 256, instead of 200 at a constant 1e-3.",
        "Logistic regression is a linear layer trained by Adam on its cross-entropy, as its printed curves by epoch suggest.",
        "Samples over training come from three trainings of 1, 3 and all epochs.",
    ),
    minutes={"quick": 0.8, "cpu": 28, "full": 70},
    promises=_promises(),
    captions={
        "elbos": "Validation ELBO by epoch. The two scales are two densities: only the shapes compare.",
        "samples-normal": "Normal VAE: samples from the prior (decoder means) after 1, 3 and all epochs. The longer it trains, the more they scatter: its codes do not follow the prior.",
        "samples-cb": "CB VAE: samples from the prior after 1, 3 and all epochs.",
        "real-beside-generated": "Test images; samples (decoder means) of both VAEs from the prior, and from a Gaussian fitted to the codes of the training images.",
        "reconstructions-normal": "Normal VAE: test images above, reconstructions below.",
        "reconstructions-cb": "CB VAE: the same.",
        "floors": "The Normal VAE's ELBO is set by the floor of its scale: a bound on the density, not a merit.",
        "curves-large": "Classifiers on the large training set: accuracy above, loss below, first seed.",
        "curves-small": "The same on the small training set.",
    },
    perform=perform,
)
