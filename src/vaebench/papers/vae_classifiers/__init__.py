"""Paper A: "Variational Autoencoder Classifiers": a head on the latents of a frozen beta-VAE."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from vaebench.experiments.measurements import image_grids_step, latent_map
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.paper import load_paper
from vaebench.papers.vae_classifiers import claims, networks
from vaebench.papers.vae_classifiers.dataset import SETTINGS, DatasetExperiment, per_seed
from vaebench.plotting.plots import Panel, Series, bars, confusion, lines, scatter_3d
from vaebench.plotting.sheets import pairs


def run(experiment: PaperExperiment) -> None:
    """Run the protocol on every data set, the claims and the other networks; record and draw everything."""
    datasets = {name: DatasetExperiment(experiment, name) for name in SETTINGS}
    for dataset in datasets.values():
        dataset.record_table()
        dataset.record_variants()
    claims.record_quickdraw_claims(experiment, datasets["quickdraw"])
    claims.record_times(experiment, datasets)
    claims.record_fashion_claims(experiment, datasets["fashion"])
    claims.compare_betas(experiment, datasets["mnist"])
    claims.search_architectures(experiment, datasets["mnist"])
    networks.run_fully_connected(experiment, datasets["mnist"])
    networks.run_information_bottleneck(experiment, datasets["mnist"].data)
    claims.record_small_quickdraw(experiment)
    _draw(experiment, datasets)


def _draw(experiment: PaperExperiment, datasets: dict[str, DatasetExperiment]) -> None:
    for name, dataset in datasets.items():
        images, head = image_grids_step(experiment, f"{name}-0", dataset.vaes[0]), dataset.sampled[0]
        experiment.figure(f"reconstructions-{name}", partial(pairs, images["images"], images["outputs"], None))
        title = f"large head on sampled z: {100 * head['accuracy']:.1f} %"
        counts = np.array(head["confusion"])
        experiment.figure(f"confusion-{name}", partial(confusion, counts, dataset.data.classes, title))
    quickdraw = datasets["quickdraw"]
    experiment.figure("quickdraw-curves", lambda: _draw_head_curves(quickdraw))
    names = [dataset.settings.title for dataset in datasets.values()]
    groups: dict[str, list[float]] = {
        "as reported, sampled z": [100 * float(np.mean(per_seed(dataset.sampled))) for dataset in datasets.values()],
        "as reported, means": [100 * float(np.mean(per_seed(dataset.means))) for dataset in datasets.values()],
        "notebooks, sampled z": [100 * (experiment.rows[f"coded-{name}"].reproduced or 0.0) for name in datasets],
        "our recipe": [100 * dataset.our_result[0]["accuracy"] for dataset in datasets.values()],
    }
    experiment.figure("variants", lambda: bars(names, groups, "test accuracy (%)", "Accuracy by variant"))
    latents = np.random.default_rng(0).permutation(quickdraw.settings.model.latent)[:3].tolist()
    codes = latent_map(experiment, "quickdraw", quickdraw.vaes[0], latents)
    points, axes = (codes["codes"], codes["labels"]), [f"z{latent}" for latent in latents]
    experiment.figure("three-latents", lambda: scatter_3d(*points, quickdraw.data.classes, axes))


def _draw_head_curves(dataset: DatasetExperiment) -> Figure:
    records = dataset.fit_head("forty", dataset.vaes[0].sampled, epochs=40)["epochs"]
    x = [record["epoch"] for record in records]
    accuracy, loss = {}, {}
    for part, prefix in (("train", ""), ("validation", "validation_"), ("test", "test_")):
        accuracy[part] = Series(x, [100 * record[f"{prefix}accuracy"] for record in records])
        loss[part] = Series(x, [record[f"{prefix}loss"] for record in records])
    return lines(
        [Panel("accuracy", accuracy, "epoch", "accuracy (%)"), Panel("cross-entropy", loss, "epoch", "nats per image")]
    )


PAPER = load_paper("vae-classifiers", run)
