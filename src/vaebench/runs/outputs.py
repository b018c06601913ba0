"""The files that a run writes at its end: latents.npz, the arrays of panels.npz, results.json and results.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from vaebench.core.files import write_arrays, write_json, write_text
from vaebench.core.provenance import commit
from vaebench.evaluation.alarms import alarms
from vaebench.evaluation.bounds import Bounds
from vaebench.evaluation.features import Features
from vaebench.evaluation.panels import Arrays, classifier_panels, confusion, head_arrays, panels
from vaebench.evaluation.probes import Logistic
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.vae import VAE
from vaebench.runs.context import RunContext
from vaebench.runs.measures import Measures
from vaebench.runs.rows import ResultRow
from vaebench.runs.run import SCHEMA
from vaebench.training.compute import machine
from vaebench.training.prediction import predict_with

CSV_KEYS = ("data", "split", "features", "probe", "labels_per_class", "latent", "metric", "mean", "sd", "n", "interval")


def write_latents(path: Path, latents: Features) -> None:
    """Write means, log-variances and labels of the three splits."""
    splits = {"train": latents.train, "validation": latents.validation, "test": latents.test}
    arrays: Arrays = {}
    for name, codes in splits.items():
        arrays |= {f"{name}_mean": codes.mean.numpy(), f"{name}_labels": codes.labels.numpy()}
        if codes.log_variance is not None:
            arrays[f"{name}_log_variance"] = codes.log_variance.numpy()
    write_arrays(path, arrays)


def run_panels(
    run: RunContext, vae: VAE, latents: Features, measures: Measures, classifier: ClassifyingVAE | None
) -> Arrays:
    """Return the arrays shown in the figures."""
    recipe, data = run.recipe, run.data
    arrays = panels(vae, data.test, latents.test, measures.bounds, recipe.seed)
    if data.labelled:
        standard = latents.standardised()
        probe = Logistic().fit_linear(standard.train, len(data.classes))
        arrays["confusion"] = confusion(probe(standard.test), standard.test.labels)
        arrays |= head_arrays(probe.unstandardised(*latents.train.centre_and_scale()))
    if classifier is not None:
        probabilities = predict_with(classifier, 0, recipe.compute)(data.test)
        arrays |= classifier_panels(classifier.vae, data.test, probabilities, recipe.seed)
    return arrays | (measures.fidelity.panels if measures.fidelity else {})


def write_results(run: RunContext, bounds: Bounds, rows: list[ResultRow], start: list[str]) -> None:
    """Write results.json and results.csv; ``start`` are sentences on the weights that the run started from."""
    folder, data, stages = run.folder, run.data, run.timer.seconds
    write_text(folder / "results.csv", rows_as_csv(rows))
    results = {
        "schema": SCHEMA,
        "recipe": run.recipe.model_dump(mode="json"),
        "start": start,
        "machine": machine(),
        "commit": commit(),
        "seconds": run.timer.total,
        "stages": stages,
        "data": {
            "name": data.name,
            "note": data.note,
            "warnings": list(data.warnings),
            "rule": None if data.rule is None else data.rule.model_dump(mode="json"),
            "fingerprint": data.train.fingerprint(),
            "unknown_pixels": data.test.incomplete,
            "images": {part: len(getattr(data, part)) for part in ("train", "validation", "test")},
        },
        "image_shape": data.train.shape,
        "pixel_type": str(data.train.pixels.dtype).removeprefix("torch."),
        "channel_names": data.channel_names,
        "classes": data.classes,
        "alarms": [{"name": alarm.name, "message": alarm.message} for alarm in alarms(bounds)],
        "rows": rows,
    }
    write_json(folder / "results.json", results)


def rows_as_csv(rows: Sequence[ResultRow]) -> str:
    """Return result rows as CSV, without the individual values."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_KEYS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
