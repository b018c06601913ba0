"""EncoderSteps: the features of all images under a user's encoder and the VAE of them, each computed once."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from vaebench.classification.collection import Collection
from vaebench.classification.cross_validation import can_cross_validate
from vaebench.classification.encoded_images import (
    EncodedFiles,
    EncodedImages,
    build_feature_vae,
    encoded_images,
    feature_model,
    standardised_source,
)
from vaebench.classification.encoder import EncoderDescription, load_encoder
from vaebench.classification.encoder_file import CheckedEncoder
from vaebench.classification.file_blocks import BLOCK, LONG, BlockResult, FileJob, process_blocks
from vaebench.classification.settings import Settings
from vaebench.core.cores import available_cores
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_arrays, read_json, write_arrays
from vaebench.core.local_pool import LocalPool
from vaebench.core.steps import content_key
from vaebench.core.workers import Executor
from vaebench.data.images import Dataset
from vaebench.data.printing import printable
from vaebench.experiments.experiment import Experiment
from vaebench.models.objectives import Elbo
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam

FEATURES, VAE = "encoder/features", "encoder-vae"
"""Names of the steps."""


class EncoderCost(NamedTuple):
    """What the features of a user's encoder cost."""

    description: EncoderDescription
    megabytes: float
    sentences: tuple[str, ...]
    """What the encoder takes and gives, and what was assumed of it."""
    images: int = 0
    """Images that were encoded; 0 where methods cannot be compared."""
    seconds: float = 0.0
    """Time that the encoder took for them with one thread, without reading them."""

    @property
    def milliseconds(self) -> float:
        """Time for an image."""
        return 1000 * self.seconds / max(self.images, 1)


@dataclass
class EncoderSteps:
    """What methods need of a user's encoder."""

    checked: CheckedEncoder
    """With the rule for the images of the collection."""
    experiment: Experiment
    collection: Collection
    settings: Settings
    executor: Executor | None = None
    """Workers that encode; by default one process a core where it takes over ten seconds."""

    @property
    def folder(self) -> Path:
        """Where ``encoder.onnx`` lies."""
        return self.checked.encoder.path.parent

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the features, except the code."""
        encoder = self.checked.encoder
        files = read_json(self.collection.pixel_file.with_name("images.json"))["identity"]["files"]
        description = encoder.description.model_dump(mode="json", exclude={"file"})
        return {"encoder": description, "files": files, "rule": encoder.rule.model_dump(mode="json")}

    @property
    def key(self) -> str:
        """Hash of the identity."""
        return content_key(self.identity)

    @cached_property
    def _stored(self) -> dict[str, np.ndarray]:
        return self.experiment.arrays(FEATURES, self.identity, self._encode)

    @property
    def features(self) -> Float[np.ndarray, "N F"]:
        """Features of all images."""
        return self._stored["features"]

    @property
    def cost(self) -> EncoderCost:
        """What they cost."""
        known = self.checked.encoder.description, self.checked.megabytes, self.checked.sentences
        if not can_cross_validate(self.collection.labels):
            return EncoderCost(*known)
        seconds = self._stored["seconds"]
        return EncoderCost(*known, len(seconds), float(seconds.sum()))

    def encoded(self, data: Dataset) -> EncodedImages:
        """Return the features with the VAE of them; ``data`` are the same images, and identify the training."""
        features, settings = torch.from_numpy(self.features), self.settings
        count = features.shape[1]
        trained = self.experiment.network(
            VAE,
            data,
            lambda: build_feature_vae(count),
            (standardised_source(features), None),
            Elbo(),
            Training(epochs=settings.training.epochs, batch=settings.training.batch, optimiser=Adam(rate=1e-3)),
            settings.seed,
            {"model": feature_model(count).model_dump(), "encoder": self.key},
        )
        return encoded_images(features, trained.vae.cpu())

    @property
    def files(self) -> EncodedFiles:
        """Where the features and the VAE are kept."""
        work = self.experiment.folder.resolve()
        return EncodedFiles(work / "steps" / f"{FEATURES}.npz", work / "networks" / f"{VAE}.safetensors")

    def _encode(self) -> dict[str, np.ndarray]:
        """Features of all images, and seconds, in blocks of which those of an interrupted call are kept."""
        folder, names = self.folder / self.key, self.collection.names
        progress = self.experiment.progress_callback("encoding all images")
        starts = range(0, len(names), BLOCK)
        keys = {f"block {number} of {len(starts)}": start for number, start in enumerate(starts, start=1)}
        paths = {key: folder / f"{start}.npz" for key, start in keys.items()}
        missing = {key: names[start : start + BLOCK] for key, start in keys.items() if not paths[key].exists()}
        with closing(self._results(missing)) as results:
            for done, (key, result) in enumerate(results, start=1 + len(keys) - len(missing)):
                _check_read(result)
                write_arrays(paths[key], result.arrays)
                progress(done / len(keys))
        read = [read_arrays(path) for path in paths.values()]
        shutil.rmtree(folder)
        return {name: np.concatenate([each[name] for each in read]) for name in ("features", "seconds")}

    def _results(self, blocks: dict[str, tuple[str, ...]]) -> Generator[tuple[str, BlockResult], None, None]:
        encoder, executor = self.checked.encoder, self.executor
        encoder.describe_in(self.folder)
        seconds = self.checked.seconds_for(sum(map(len, blocks.values())))
        if executor is None and seconds > LONG and available_cores() > 1:
            executor = LocalPool(available_cores())
        job = FileJob("encoding", load_encoder, self.folder, self.collection.source)
        return process_blocks(job, encoder.rule, blocks, executor)


def _check_read(result: BlockResult) -> None:
    """Raise VaebenchError where an image that was read before cannot be read again."""
    for name, why in result.skipped.items():
        raise VaebenchError(
            f"{printable(name)} can no longer be read: it {why}; restore it, or run the same command again"
        )
