"""Figures of paper A."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vaebench.papers.study import PaperStudy
from vaebench.papers.vae_classifiers.bench import Bench, values_of
from vaebench.papers.vae_classifiers.printed import SETS
from vaebench.reports.pictures import pairs
from vaebench.reports.plots import Panel, Series, bars, confusion, lines, space
from vaebench.studies.measure import map_of, sheets_of


def draw(study: PaperStudy, sets: dict[str, Bench]) -> None:
    """Every figure."""
    for name, bench in sets.items():
        shown = sheets_of(study, f"{name}-0", bench.trials[0])
        study.figure(f"reconstructions-{name}", lambda s=shown: pairs(s["images"], s["outputs"], None))  # type: ignore[misc]
        result = bench.large[0]
        title = f"large head on sampled z: {100 * result['accuracy']:.1f} %"
        study.figure(f"confusion-{name}", _confusion(result, bench, title))
    study.figure("quickdraw-curves", lambda: _head_curves(sets["quickdraw"]))
    names = [bench.one.words for bench in sets.values()]
    groups: dict[str, list[float]] = {
        "as printed, sampled z": [100 * float(np.mean(values_of(bench.large))) for bench in sets.values()],
        "as printed, means": [100 * float(np.mean(values_of(bench.means))) for bench in sets.values()],
        "as coded, sampled z": [100 * (study.findings.rows[f"coded-{name}"].found or 0.0) for name in sets],
        "our recipe": [100 * bench.own()[0]["accuracy"] for bench in sets.values()],
    }
    study.figure("variants", lambda: bars(names, groups, "test accuracy (%)", "Where the accuracy comes from"))
    trial, data = sets["quickdraw"].trials[0], sets["quickdraw"].data
    latents = np.random.default_rng(0).permutation(SETS["quickdraw"].model.latent)[:3].tolist()
    codes = map_of(study, "quickdraw", trial, latents)
    axes = [f"z{d}" for d in latents]
    study.figure("three-latents", lambda: space(codes["codes"], codes["labels"], data.classes, axes))


def _confusion(result: dict[str, Any], bench: Bench, title: str) -> Callable[[], Any]:
    return lambda: confusion(np.array(result["confusion"]), bench.data.classes, title)


def _head_curves(bench: Bench) -> Any:
    epochs = bench.read("forty", bench.one.large, bench.trials[0].sampled, epochs=40)["epochs"]
    x = [record["epoch"] for record in epochs]
    parts = {"train": "", "validation": "validation_", "test": "test_"}
    accuracy = {part: Series(x, [100 * record[f"{key}accuracy"] for record in epochs]) for part, key in parts.items()}
    loss = {part: Series(x, [record[f"{key}loss"] for record in epochs]) for part, key in parts.items()}
    return lines(
        [Panel("accuracy", accuracy, "epoch", "accuracy (%)"), Panel("cross-entropy", loss, "epoch", "nats per image")]
    )
