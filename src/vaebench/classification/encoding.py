"""encode_files(): the latents of image files under the VAE of a classification or of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vaebench.classification.file_blocks import FileJob, process_files
from vaebench.classification.prediction import load_predictor
from vaebench.core.errors import VaebenchError
from vaebench.core.files import write_arrays
from vaebench.core.progress import ProgressCallback
from vaebench.core.workers import Executor
from vaebench.data.images import Images
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.evaluation.features import encode
from vaebench.models.vae import VAE
from vaebench.runs.run import Run
from vaebench.training.checkpoint import read_tensors


@dataclass(frozen=True)
class EncodingResult:
    """Mean and log-variance of q(z|x) for each image file."""

    names: tuple[str, ...]
    mean: Float[np.ndarray, "N D"]
    log_variance: Float[np.ndarray, "N D"]
    skipped: dict[str, str]
    """Reason by name for each image file that cannot be read."""
    notes: tuple[str, ...] = ()
    """Sentences about images that were converted, and about the source."""

    def __repr__(self) -> str:
        return f"EncodingResult({len(self.names):,} images, {self.mean.shape[1]} latents)"

    def write(self, path: Path) -> None:
        """Write ``names`` (N,), ``mean`` (N, D) and ``log_variance`` (N, D) to an .npz atomically.

        Raises:
            VaebenchError: the folder cannot be written, or the disk is full.
        """
        arrays = {"names": np.array(self.names), "mean": self.mean, "log_variance": self.log_variance}
        write_arrays(path, arrays)


def encode_files(
    model: str | Path,
    path: str | Path,
    callback: ProgressCallback = lambda event: None,
    executor: Executor | None = None,
    masks: str | Path | None = None,
) -> EncodingResult:
    """Encode all images at a path.

    Args:
        model: the model folder that :func:`classify` wrote, or the folder of a run, whose VAE is used.
        path: images in any format that :func:`vaebench.data.opening.open_images` reads.
        callback: receives progress events.
        executor: the workers, on which the result does not depend; see
            :func:`vaebench.classification.file_blocks.process_files`.
        masks: a folder, an archive or a file of masks of two values: where one is 0, the pixel of the image of its name
            is not known.

    Raises:
        VaebenchError: the model or the path does not exist, the run is of binarised images, no image can be read, the
            masks are of no image, or workers were lost.
    """
    given = None if masks is None else Path(masks).expanduser()
    job = FileJob("encoding", load_encoder, Path(model), Path(path).expanduser(), given)
    names, arrays, skipped, notes = process_files(job, executor, callback)
    return EncodingResult(names, arrays["mean"], arrays["log_variance"], skipped, notes)


@dataclass(frozen=True)
class Encoder:
    """A VAE with the preprocessing of its images."""

    vae: VAE
    rule: PreprocessingRule

    def __call__(self, images: Images) -> dict[str, np.ndarray]:
        """``mean`` and ``log_variance``, each (N, D)."""
        codes = encode(self.vae, images)
        assert codes.log_variance is not None
        return {"mean": codes.mean.numpy(), "log_variance": codes.log_variance.numpy()}


def load_encoder(folder: Path) -> Encoder:
    """Load the VAE of a model folder or of a run.

    Raises:
        VaebenchError: the folder is neither, a file is missing or damaged, or the run is of binarised images.
    """
    if (folder / "model.json").exists():
        predictor = load_predictor(folder)
        return Encoder(predictor.detector.vae, predictor.rule)
    if not (folder / "recipe.json").exists():
        raise VaebenchError(
            f"{folder} contains neither model.json nor recipe.json; expected the model folder that vaebench classify "
            "wrote, or the folder of a run"
        )
    run = Run(folder)
    if run.recipe.data.binarised:
        raise VaebenchError(
            f"{folder} holds a run on binarised images, which image files are not; choose a run on grey images"
        )
    if (stored := run.results["data"].get("rule")) is not None:
        return Encoder(run.vae, PreprocessingRule(**stored))
    channels, height, width = read_tensors(folder / "weights.safetensors")[1]["image_shape"]
    return Encoder(run.vae, PreprocessingRule(height=height, width=width, channels=channels))
