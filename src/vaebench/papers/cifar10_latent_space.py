"""Paper D: "Latent Space Representations for More Complex CIFAR-10 Images": two latents for MNIST and CIFAR-10."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from vaebench.data.datasets import Data
from vaebench.data.images import Dataset
from vaebench.evaluation.panels import Arrays, decoded, spread_over_classes
from vaebench.evaluation.scores import in_groups, separation
from vaebench.experiments.experiment import cifar10
from vaebench.experiments.measurements import bounds_step, image_grids_step, latent_map
from vaebench.experiments.trained import TrainedModel
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.networks import Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import load_paper
from vaebench.papers.text import format_epochs, format_values, most_confused_pair
from vaebench.plotting.plots import Cloud, Panel, Series, lines, scatter_2d
from vaebench.plotting.sheets import Margins, in_rows, pairs, sheet
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Constant

SIMPLE = Conv(
    filters=(32, 64), kernel=(3,), stride=(1,), padding=(0,), pool=(2,), hidden=(256, 64), batch_norm="none"
)  # fmt: skip
DEEP = SIMPLE.model_copy(update={"filters": (32, 128), "hidden": (1024, 256, 32)})
VEHICLES = {"airplane", "automobile", "ship", "truck"}


class Setting(NamedTuple):
    """One of the paper's trainings: its data, network, number of latents and KL weight (0 without a KL term)."""

    title: str
    data: str
    network: Conv
    latent: int
    weight: float


SETTINGS = {
    "mnist": Setting("MNIST, simple, 2 latents", "mnist", SIMPLE, 2, 1.0),
    "simple": Setting("CIFAR-10, simple, 2 latents", "cifar", SIMPLE, 2, 1.0),
    "high": Setting("CIFAR-10, 16 latents, no KL term", "cifar", SIMPLE, 16, 0.0),
    "high-kl": Setting("CIFAR-10, 16 latents, with KL", "cifar", SIMPLE, 16, 1.0),
    "deep": Setting("CIFAR-10, deep, 2 latents", "cifar", DEEP, 2, 0.5),
}
TRAINED_AS_PRINTED = ("mnist", "simple", "deep")


def run(experiment: PaperExperiment) -> None:
    """Train with the printed and the intended loss, record every result and draw every figure."""
    data = {"mnist": experiment.data(Data(source="mnist")), "cifar": experiment.data(cifar10())}
    vaes = {name: _train(experiment, name, data) for name in SETTINGS}
    as_reported = {name: _train(experiment, name, data, as_reported=True) for name in TRAINED_AS_PRINTED}
    longer = _train(experiment, "high", data, times=experiment.pick(2, 2, 3))
    measures = {name: partial(_measure, experiment, name, vae) for name, vae in vaes.items()}
    measures |= {
        f"{name}-printed": partial(_measure_as_printed, experiment, name, v) for name, v in as_reported.items()
    }
    experiment.run_tasks(measures | {"high-3": partial(_squared_error, experiment, "high-3", longer)})
    errors = {name: _squared_error(experiment, name, vae) for name, vae in vaes.items()}
    separations = {name: _separation(experiment, name, vae) for name, vae in vaes.items()}
    for name, vae in vaes.items():
        note = f"{vae.data.note}; " if name != "mnist" and vae.data.note else ""
        scores, kl = separations[name], bounds_step(experiment, name, vae)["test"]["kl"]
        experiment.record(f"error-{name}", errors[name], f"{note}KL {kl:.1f} nats")
        experiment.record(f"knn-{name}", scores["knn"], f"{note}chance 0.1; linear {scores['linear']:.3f}")
        experiment.record(f"silhouette-{name}", scores["silhouette"], f"{note}2,000 test images")
    _record_posterior_collapse(experiment, as_reported)
    _record_separation_claims(experiment, separations)
    _record_reconstruction_claims(experiment, errors, vaes["high"], longer)
    _record_loss_claims(experiment, vaes)
    _draw(experiment, vaes, as_reported["mnist"])


def _train(
    experiment: PaperExperiment, name: str, data: dict[str, Dataset], as_reported: bool = False, times: int = 1
) -> TrainedModel:
    """Train one VAE; the printed formula averages the squared error over P pixels, which is P times the KL weight."""
    setting = SETTINGS[name]
    images = data[setting.data]
    beta = setting.weight * (_pixels(images) if as_reported else 1)
    model = Model(latent=setting.latent, network=setting.network, likelihood=GaussianPixels())
    epochs = experiment.pick(1, 1 if as_reported else 3, 10) * times
    rate, batch = experiment.pick((1e-3, 50), (1e-3, 100), (1e-4, 50))
    training = Training(epochs=epochs, batch=batch, optimiser=Adam(rate=rate), schedule=Constant())
    variant = "-printed" if as_reported else f"-{times}" if times > 1 else ""
    return experiment.vae(f"{name}{variant}", images, model, Elbo(beta=beta), training)


def _pixels(images: Dataset) -> int:
    return math.prod(images.train.shape)


def _constant(vae: TrainedModel) -> float:
    """-log N(x; m, 1/2) minus the squared error."""
    return float(0.5 * np.log(np.pi) * _pixels(vae.data))


def _measure(experiment: PaperExperiment, name: str, vae: TrainedModel) -> None:
    """Take the measurements of one VAE that :func:`run` reads."""
    _squared_error(experiment, name, vae)
    _separation(experiment, name, vae)


def _measure_as_printed(experiment: PaperExperiment, name: str, vae: TrainedModel) -> None:
    """Take the measurements of one VAE trained with the printed loss."""
    bounds_step(experiment, f"{name}-printed", vae)
    if name == "mnist":
        _separation(experiment, "mnist-printed", vae, sampled=True)


def _squared_error(experiment: PaperExperiment, name: str, vae: TrainedModel) -> float:
    return float(bounds_step(experiment, name, vae)["test"]["reconstruction"] - _constant(vae))


def _separation(experiment: PaperExperiment, name: str, vae: TrainedModel, sampled: bool = False) -> dict[str, Any]:
    """Separation of the ten classes and, under ``groups``, of vehicles and animals."""

    def measure() -> dict[str, Any]:
        features = vae.features.sampled("sampled") if sampled else vae.features
        classes = vae.data.classes
        result = separation(features.train, features.test, len(classes), experiment.compute)
        if set(classes) > VEHICLES:
            train, test = (in_groups(part, classes, VEHICLES) for part in (features.train, features.test))
            result["groups"] = separation(train, test, 2, experiment.compute)
        return result

    identity = {"trial": vae.key, "groups": sorted(VEHICLES), "sampled": sampled}
    return experiment.step(f"separation/{name}", identity, measure)


def _record_posterior_collapse(experiment: PaperExperiment, as_reported: dict[str, TrainedModel]) -> None:
    kl_by_title = {}
    for name, vae in as_reported.items():
        setting, result = SETTINGS[name], bounds_step(experiment, f"{name}-printed", vae)["test"]
        kl_by_title[setting.title] = result["kl"]
        pixels = _pixels(vae.data)
        weight = f"its KL weighs {setting.weight * pixels:,.0f} times the squared error"
        explanation = f"{result['active']} of 2 latents active; averaged over {pixels:,} pixels, {weight}"
        experiment.record(f"printed-{name}", result["kl"], explanation)
    accuracy = _separation(experiment, "mnist-printed", as_reported["mnist"], sampled=True)["knn"]
    explanation = f"chance 0.1; KL in nats: {format_values(kl_by_title, '.3f', ' ')}"
    agrees = max(kl_by_title.values()) < 0.1 and accuracy < 0.2
    experiment.record("collapse", accuracy, explanation, agrees=agrees)


def _record_separation_claims(experiment: PaperExperiment, separations: dict[str, dict[str, Any]]) -> None:
    counts = np.array(separations["mnist"]["confusion"])
    recall = np.diag(counts) / counts.sum(1)
    explanation = f"kNN recall on the 2-D latents: {format_values(dict(enumerate(recall)), '.2f', ' ')}"
    worst, others = float(recall[:3].min()), float(np.delete(recall, [0, 1, 2]).mean())
    experiment.record("separates", worst, explanation, agrees=worst > others)
    mixed = (counts[4, 9] + counts[9, 4]) / counts[[4, 9]].sum()
    fours = counts[4, 9] / counts[4].sum()
    explanation = f"the most confused pair is {most_confused_pair(counts)}; 4s classified as 9s {fours:.2f}"
    experiment.record("overlap", mixed, explanation, agrees=bool(mixed > 0.15))
    simple, deep = separations["simple"], separations["deep"]
    groups = simple["groups"]["knn"]
    explanation = f"always predicting animal gives 0.60; the deep network {deep['groups']['knn']:.3f}"
    experiment.record("groups", groups, explanation, agrees=groups > 0.65)
    of_groups = f"of the two groups {simple['groups']['silhouette']:.2f}"
    explanation = f"chance 0.10; the silhouette of the ten classes is {simple['silhouette']:.2f}, {of_groups}"
    experiment.record("only", simple["knn"], explanation, agrees=simple["knn"] < 0.3)
    gain = 100 * (deep["knn"] - simple["knn"])
    silhouettes = f"silhouette {simple['silhouette']:.2f} to {deep['silhouette']:.2f}"
    explanation = f"{simple['knn']:.3f} to {deep['knn']:.3f}; {silhouettes}"
    experiment.record("deeper", gain, explanation, agrees=gain > 0.5)


def _record_reconstruction_claims(
    experiment: PaperExperiment, errors: dict[str, float], high: TrainedModel, longer: TrainedModel
) -> None:
    cifar = {name: error for name, error in errors.items() if name != "mnist"}
    best = min(cifar, key=lambda name: cifar[name])
    experiment.record("best", errors["high"], _format_settings(cifar, ".1f"), agrees=best in ("high", "high-kl"))
    saved = errors["simple"] - errors["deep"]
    explanation = f"{errors['simple']:.1f} to {errors['deep']:.1f} per test image, {saved / errors['simple']:.1%}"
    experiment.record("vivid", saved, explanation, agrees=saved > 0)
    ratio = errors["high-kl"] / errors["high"]
    experiment.record("kl-16", ratio, f"{errors['high-kl']:.1f} against {errors['high']:.1f}")
    longer_error = _squared_error(experiment, "high-3", longer)
    saved = errors["high"] - longer_error
    before = f"{errors['high']:.1f} after {format_epochs(len(high.history))}"
    explanation = f"{before}, {longer_error:.1f} after {len(longer.history)}"
    experiment.record("longer", saved, explanation, agrees=saved > 0)


def _format_settings(values: dict[str, float], spec: str) -> str:
    return format_values({SETTINGS[name].title: value for name, value in values.items()}, spec)


def _loss_curve(vae: TrainedModel) -> tuple[np.ndarray, np.ndarray]:
    """Steps and the training losses there, without the constant of the likelihood."""
    steps, losses = vae.by_step("loss")
    return np.array(steps), np.array(losses) - _constant(vae)


def _record_loss_claims(experiment: PaperExperiment, vaes: dict[str, TrainedModel]) -> None:
    curves = {name: _loss_curve(vae) for name, vae in vaes.items()}
    final = {name: float(losses[-max(1, len(losses) // 10) :].mean()) for name, (_, losses) in curves.items()}
    steps, losses = curves["mnist"]
    batch = experiment.pick(50, 100, 50)
    flat = float(steps[np.argmax(losses <= 1.02 * final["mnist"])] * batch / 50)
    explanation = f"of {steps[-1] * batch / 50:,.0f} batches of 50, or as many images in batches of {batch}"
    experiment.record("flat", flat, explanation)
    ratio = final["simple"] / final["mnist"]
    agrees = min(final["simple"], final["deep"]) > final["mnist"]
    experiment.record("plateau", ratio, f"final loss, {_format_settings(final, '.1f')}", agrees=agrees)
    swings = {name: _oscillation(losses) for name, (_, losses) in curves.items()}
    relative = {name: swings[name] / final[name] for name in swings}
    explanation = (
        f"sd about a line through the last quarter: {_format_settings(swings, '.2f')}; "
        f"as a fraction of the loss, simple {relative['simple']:.2%}, MNIST {relative['mnist']:.2%}"
    )
    ratio = swings["simple"] / max(swings["mnist"], 1e-12)
    agrees = min(swings["simple"], swings["deep"]) > swings["mnist"]
    experiment.record("oscillate", ratio, explanation, agrees=agrees)
    by_epoch = [record["loss"] - _constant(vaes["high"]) for record in vaes["high"].history]
    decrease = (by_epoch[-2] - by_epoch[-1]) / by_epoch[-2] if len(by_epoch) > 1 else 0.0
    explanation = f"training loss by epoch: {', '.join(f'{loss:.1f}' for loss in by_epoch)}"
    experiment.record("falling", decrease, explanation, agrees=decrease > 0.005)


def _oscillation(losses: np.ndarray) -> float:
    """Standard deviation about a straight line through the last quarter."""
    last = losses[-max(3, len(losses) // 4) :]
    x = np.arange(len(last))
    return float((last - np.polyval(np.polyfit(x, last, 1), x)).std()) if len(last) >= 3 else 0.0


def _draw(experiment: PaperExperiment, vaes: dict[str, TrainedModel], collapsed: TrainedModel) -> None:
    classes = {}
    for name, vae in (("mnist", vaes["mnist"]), ("cifar", vaes["simple"])):
        images, classes[name] = vae.data.train, vae.data.classes
        rows = in_rows(images.pixels[spread_over_classes(images, 40)].numpy(), 10)
        experiment.figure(f"training-{name}", lambda rows=rows: sheet(rows, Margins(left=0.1))[0])  # type: ignore[misc]
    mnist, simple, deep = (_cloud(experiment, name, vaes[name], SETTINGS[name].title) for name in TRAINED_AS_PRINTED)
    experiment.figure("map-mnist", lambda: scatter_2d([mnist], classes["mnist"]))
    experiment.figure("maps-cifar", lambda: scatter_2d([simple, deep], classes["cifar"]))
    cloud = _cloud(experiment, "mnist-printed", collapsed, "MNIST, formula as printed")
    experiment.figure("map-printed", lambda: scatter_2d([cloud], classes["mnist"]))
    curves = {SETTINGS[name].title: Series(*(part.tolist() for part in _loss_curve(vae))) for name, vae in vaes.items()}
    panel = Panel("training loss", curves, "step", "squared error + weighted KL, per image", log_y=True)
    experiment.figure("losses", lambda: lines([panel], size=(7.2, 4.2)))
    grid = image_grids_step(experiment, "mnist", vaes["mnist"])
    experiment.figure("pairs-mnist", lambda: pairs(grid["images"], grid["outputs"], None))
    rows = _reconstruction_rows(experiment, {name: vaes[name] for name in ("simple", "high", "deep")})
    experiment.figure("pairs-cifar", lambda: _draw_rows(rows))


def _cloud(experiment: PaperExperiment, name: str, vae: TrainedModel, title: str) -> Cloud:
    points = latent_map(experiment, name, vae)
    return Cloud(title, points["codes"], points["labels"])


def _reconstruction_rows(experiment: PaperExperiment, vaes: dict[str, TrainedModel]) -> np.ndarray:
    """Ten test images, and each network's reconstructions of them, one row each."""

    def measure() -> Arrays:
        test = next(iter(vaes.values())).data.test
        rows = spread_over_classes(test, 10)
        arrays = {"images": test.pixels[rows].numpy()}
        for name, vae in vaes.items():
            arrays[name] = decoded(vae.vae, vae.features.test.mean[rows])
        return arrays

    arrays = experiment.arrays("beside", {name: vae.key for name, vae in vaes.items()}, measure)
    return np.stack([arrays["images"], *(arrays[name] for name in vaes)])


def _draw_rows(rows: np.ndarray) -> Figure:
    figure, ax, _, y = sheet(rows, Margins(left=1.0), width=700)
    ax.set_yticks(y, ["test image", "simple", "16 latents", "deep"])
    return figure


PAPER = load_paper("cifar10-latent-space", run)
