"""OnnxEncoder: a frozen encoder that a user brings as an ONNX file, run by onnxruntime on images of its own size."""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from pydantic import Field
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.files import atomic, read_json, write_json
from vaebench.core.frozen import Frozen
from vaebench.data.images import Images
from vaebench.data.preprocessing import PreprocessingRule

FILE, ABOUT = "encoder.onnx", "encoder.json"
BATCH = 25
"""Images that an encoder is given at a time. It divides the blocks of files and the batches of a classifier, so that an
image is encoded with the same others, and to the same bits, by ``classify`` and by ``predict``."""
Layout = Literal["NCHW", "NHWC"]


@dataclass(frozen=True)
class EncoderFile:
    """A user's encoder, and what its file does not say."""

    path: str | Path
    mean: tuple[float, ...] | None = None
    """Subtracted from pixels in the encoder's range: a number for each channel, or one for all."""
    std: tuple[float, ...] | None = None
    """Divides them afterwards."""
    size: int | None = None
    """Side in pixels, for files that take images of any size."""


class EncoderDescription(Frozen):
    """How pixels in [0, 1] become the input of an encoder, and which of its outputs are the features."""

    file: str
    """Name of the file that the user gave."""
    digest: str
    """Hash of ``encoder.onnx``."""
    input: str
    output: str
    layout: Layout
    dtype: Literal["uint8", "float16", "float32", "float64"]
    channels: int = Field(ge=1)
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    batch: int | None = Field(None, ge=1)
    """Images that the encoder takes at a time; none means any number."""
    low: float = 0.0
    """Value of black, before the mean is subtracted."""
    high: float = 1.0
    """Value of white."""
    mean: tuple[float, ...] = (0.0,)
    """Subtracted from each channel, or from all."""
    std: tuple[float, ...] = (1.0,)
    """Divides each channel, or all."""
    blue_first: bool = False
    """Whether colours are in the order blue, green, red."""
    features: int = Field(ge=1)

    @property
    def preprocessing(self) -> str:
        """Size and values of the input in words."""
        channels = f"{self.channels} channel{'' if self.channels == 1 else 's'}"
        text = f"{self.width} x {self.height} pixels of {channels} from {self.low:g} to {self.high:g}"
        if set(self.mean) != {0.0} or set(self.std) != {1.0}:
            text += f", less {_joined(self.mean)}, divided by {_joined(self.std)}"
        return text + (", blue first" if self.blue_first else "")

    def rule(self, own: PreprocessingRule) -> PreprocessingRule:
        """Return the rule ``own`` with the encoder's size and channels.

        Raises:
            VaebenchError: the images have channels that the encoder does not take.
        """
        same = own.channels == self.channels
        if not same and (own.kind == "channels" or self.channels not in (1, 3)):
            raise VaebenchError(
                f"{self.file} takes images of {self.channels} channels, and these have {own.channels}; choose an "
                "encoder for such images"
            )
        low, high = (limits if same else limits[:1] * self.channels for limits in (own.low, own.high))
        names = own.channel_names if same else ()
        size = {"height": self.height, "width": self.width, "channels": self.channels}
        return own.model_copy(update={**size, "low": low, "high": high, "channel_names": names})

    def values(self, x: Float[np.ndarray, "B C H W"]) -> Shaped[np.ndarray, "B _ _ _"]:
        """Return the encoder's input for pixels in [0, 1]."""
        mean, std = (np.asarray(each, np.float32)[:, None, None] for each in (self.mean, self.std))
        scaled = x * np.float32(self.high - self.low) + np.float32(self.low)
        scaled = ((scaled[:, ::-1] if self.blue_first else scaled) - mean) / std
        if self.dtype == "uint8":
            scaled = np.clip(np.rint(scaled), 0, 255)
        return np.ascontiguousarray(np.moveaxis(scaled, 1, 3) if self.layout == "NHWC" else scaled, self.dtype)

    def pooled(self, output: Shaped[np.ndarray, "B ..."]) -> Float[np.ndarray, "B F"]:
        """Return features: the output (B, F), its mean over tokens (B, T, F), or over the positions of images."""
        places = (2, 3) if self.layout == "NCHW" else (1, 2)
        axes: dict[int, tuple[int, ...]] = {2: (), 3: (1,), 4: places}
        features: np.ndarray = output.astype(np.float32).mean(axis=axes[output.ndim])
        return features


@dataclass(frozen=True)
class OnnxEncoder:
    """An encoder in one ONNX file. It has one thread on the CPU: several processes encode several images."""

    path: Path
    description: EncoderDescription
    rule: PreprocessingRule
    """Preprocessing of the images: those of the VAE, at the encoder's size."""

    @cached_property
    def session(self) -> Any:
        """The session of onnxruntime, opened on first use."""
        return open_session(self.path, self.description.file)

    def __call__(self, images: Images) -> dict[str, np.ndarray]:
        """``features`` (N, F), and the ``seconds`` (N,) that the encoder took for each image."""
        features, seconds = [], []
        for rows in torch.arange(len(images)).split(BATCH):
            x = images.batch(rows).x.float()
            start = time.monotonic()
            features.append(self.features(x).numpy())
            seconds.append(np.full(len(rows), (time.monotonic() - start) / len(rows)))
        return {"features": np.concatenate(features), "seconds": np.concatenate(seconds)}

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """Features of pixels in [0, 1] of the rule's size.

        Raises:
            VaebenchError: onnxruntime is not installed, or cannot run the encoder.
        """
        parts = x.split(self.description.batch or BATCH)
        outputs = [self.outputs(part, [self.description.output])[0][: len(part)] for part in parts]
        return torch.from_numpy(np.concatenate([self.description.pooled(output) for output in outputs]))

    def outputs(self, x: Float[Tensor, "B C H W"], names: list[str] | None = None) -> list[np.ndarray]:
        """The outputs of these names, or all, for one batch, which is filled up where the encoder takes a fixed one."""
        session = self.session
        missing = max(0, (self.description.batch or 0) - len(x))
        values = self.description.values(torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]).numpy())
        try:
            outputs: list[np.ndarray] = session.run(names, {self.description.input: values})
        except Exception as error:  # onnxruntime's errors have no class in common
            raise VaebenchError(
                f"{self.description.file} cannot be run on {len(values)} images of {x.shape[3]} x {x.shape[2]} pixels "
                f"({reason(error)}); export it with a batch axis of any size"
            ) from error
        return outputs

    def copy_to(self, folder: Path) -> None:
        """Write the file to ``encoder.onnx`` in a folder, atomically."""
        target = folder / FILE
        if not target.exists() or not target.samefile(self.path):
            with atomic(target) as temporary:
                shutil.copyfile(self.path, temporary)

    def describe_in(self, folder: Path) -> None:
        """Write what :func:`load_encoder` reads beside ``encoder.onnx``."""
        stored = {"encoder": self.description.model_dump(mode="json"), "rule": self.rule.model_dump(mode="json")}
        write_json(folder / ABOUT, stored)


def load_encoder(folder: Path) -> OnnxEncoder:
    """Load the encoder that a classification keeps in a folder of its work."""
    stored = read_json(folder / ABOUT)
    return OnnxEncoder(folder / FILE, EncoderDescription(**stored["encoder"]), PreprocessingRule(**stored["rule"]))


def open_session(path: Path, name: str) -> Any:
    """Open a file, called ``name`` by the user, with one thread; no library of custom operators is loaded.

    Raises:
        VaebenchError: onnxruntime is not installed, or cannot run the file.
    """
    require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its errors are raised as well
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no class in common
        raise VaebenchError(
            f"{name} cannot be opened by onnxruntime ({reason(error)}); export it again, in evaluation mode and with "
            "standard operators"
        ) from error


def require(package: str) -> None:
    """Raise VaebenchError where a package of the extra "onnx" is not installed."""
    if not find_spec(package):
        raise VaebenchError(f"an encoder needs {package}; install it with pip install 'vaebench[onnx]'")


def digest_of(path: Path) -> str:
    """Hash of a file.

    Raises:
        VaebenchError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error.strerror}); copy the whole model folder") from error


def reason(error: Exception) -> str:
    """The first line of an error, shortened."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 160 else f"{line[:157]}..."


def _joined(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers)
