"""Codes and sample scores that the processes of a run make once, and keep for each other until the run ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import torch

from vaebench.core.locks import file_lock
from vaebench.data.images import Dataset
from vaebench.evaluation.features import Codes, Features
from vaebench.evaluation.fidelity import Fidelity
from vaebench.runs.context import RunContext
from vaebench.training.checkpoint import read_tensors, write_tensors

PARTS = ("train", "validation", "test")


def kept_features(run: RunContext, name: str, make: Callable[[], Features]) -> Features:
    """Return the features ``name``; if processes share the run, the first that needs them makes them for all."""
    if not run.claims.exists():
        return make()
    path = run.claims / "codes" / f"{name}.safetensors"
    with file_lock(path.with_suffix(".lock")):
        if path.exists():
            return _features(name, read_tensors(path)[0], run.data)
        features = make()
        tensors = {f"{part}_mean": getattr(features, part).mean for part in PARTS}
        tensors |= {
            f"{part}_log_variance": codes.log_variance
            for part in PARTS
            if (codes := getattr(features, part)).log_variance is not None
        }
        write_tensors(path, tensors, {"name": name})
    return features


def _features(name: str, tensors: dict[str, torch.Tensor], data: Dataset) -> Features:
    parts = (
        Codes(tensors[f"{part}_mean"], getattr(data, part).labels, tensors.get(f"{part}_log_variance"))
        for part in PARTS
    )
    return Features(name, *parts)


def kept_fidelity(run: RunContext, make: Callable[[], Fidelity]) -> Fidelity:
    """Return the sample scores; if processes share the run, the first that needs them makes them for all.

    The timer's stage "samples" gets the seconds that they took in another process, which count once in its total.
    """
    path = run.claims / "samples.safetensors"
    if not run.claims.exists():
        return _timed(run, make)
    with file_lock(path.with_suffix(".lock")):
        if path.exists():
            tensors, record = read_tensors(path)
            run.timer.seconds["samples"] = seconds = record.pop("seconds")
            run.timer.overlap += seconds
            return Fidelity(**record, samples=tensors["samples"].numpy(), nearest=tensors["nearest"].numpy())
        fidelity = _timed(run, make)
        record = asdict(fidelity) | {"seconds": run.timer.seconds["samples"]}
        tensors = {name: torch.from_numpy(record.pop(name)) for name in ("samples", "nearest")}
        write_tensors(path, tensors, record)
    return fidelity


def _timed(run: RunContext, make: Callable[[], Fidelity]) -> Fidelity:
    with run.timer.stage("samples"):
        return make()
