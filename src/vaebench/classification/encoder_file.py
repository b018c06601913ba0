"""read_encoder(): a user's ONNX file, checked by running it, and what is known or assumed of its input."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from vaebench.classification.encoder import (
    FILE,
    EncoderDescription,
    EncoderFile,
    Layout,
    OnnxEncoder,
    digest_of,
    open_session,
    reason,
    require,
)
from vaebench.classification.encoder_values import read_values
from vaebench.core.errors import VaebenchError
from vaebench.core.files import write_bytes
from vaebench.data.image_set import MAX_CHANNELS
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.printing import printable

DTYPES = {
    "tensor(uint8)": "uint8",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
}
TOLERANCE = 1e-3
"""Difference of two encodings of one image, relative to the largest feature, from which they are different."""


class CheckedEncoder(NamedTuple):
    """An encoder that was run on three images."""

    encoder: OnnxEncoder
    """With a rule for images of 8 bits."""
    megabytes: float
    milliseconds: float
    """Time for an image with one thread."""
    sentences: tuple[str, ...]
    """What the encoder takes and gives, and what was assumed of it."""

    def seconds_for(self, images: int) -> float:
        """Expected time for so many images with one thread."""
        return self.milliseconds * images / 1000

    def for_images(self, rule: PreprocessingRule) -> CheckedEncoder:
        """Return the encoder for images that this rule reads; see :meth:`EncoderDescription.rule`."""
        own = self.encoder.description.rule(rule)
        return self._replace(encoder=OnnxEncoder(self.encoder.path, self.encoder.description, own))


def read_encoder(given: EncoderFile, folder: Path) -> CheckedEncoder:
    """Copy an encoder into a folder as one file, and run it on three images of random pixels.

    It must have one input, of four axes, and give each image at least one feature: an output (N, F), tokens (N, T, F)
    or a map of features, of which the mean is taken. Features must be finite, and the same for an image alone and among
    others.

    Args:
        given: the file, and what it does not say.
        folder: where ``encoder.onnx`` is written, with its external data.

    Raises:
        VaebenchError: the file is no such encoder, or onnx or onnxruntime is not installed.
    """
    path = Path(given.path).expanduser()
    name = printable(path.name)
    target = folder / FILE
    _copy(path, target)
    session = open_session(target, name)
    draft, sentences = _describe(session, given, path, digest_of(target))
    rule = PreprocessingRule(height=draft.height, width=draft.width, channels=draft.channels)
    description, milliseconds, pooling = _check(OnnxEncoder(target, draft, rule))
    megabytes = target.stat().st_size / 1e6
    about = (
        f"encoder {name}: {description.preprocessing}; {description.features:,} features; {megabytes:.3g} MB, about "
        f"{milliseconds:.2g} ms per image"
    )
    checked = OnnxEncoder(target, description, rule)
    return CheckedEncoder(checked, megabytes, milliseconds, (about, *sentences, *pooling))


def _copy(path: Path, target: Path) -> None:
    """Write an ONNX file with its external data as one file."""
    require("onnx")
    import onnx

    expected = "expected an encoder as an ONNX file"
    if not path.is_file():
        raise VaebenchError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; {expected}")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # of protobuf, whose classes are not public
        raise VaebenchError(f"{path} is not an ONNX file ({reason(error)}); {expected}") from error
    if not model.graph.node:
        raise VaebenchError(f"{path} is not an ONNX file, or one without a graph; {expected}")
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise VaebenchError(
            f"the external data of {path} cannot be read ({reason(error)}); copy the file of weights "
            "that was written beside it to the same folder"
        ) from error
    try:
        data = model.SerializeToString()
    except Exception as error:
        raise VaebenchError(f"{path} has more than 2 GB of weights; choose a smaller encoder") from error
    write_bytes(target, data)


def _describe(session: Any, given: EncoderFile, path: Path, digest: str) -> tuple[EncoderDescription, list[str]]:
    """What the graph, its metadata and the options say of the input; output and number of features are not known."""
    name, inputs = printable(path.name), session.get_inputs()
    if len(inputs) != 1:
        raise VaebenchError(
            f"{name} has {len(inputs)} inputs ({', '.join(each.name for each in inputs)}); expected one, of images: "
            "export the image encoder alone"
        )
    (one,) = inputs
    if one.type not in DTYPES or len(one.shape) != 4:
        raise VaebenchError(
            f"{name} has an input of shape {_shown(one.shape)} and type {one.type}; expected images: four axes of "
            "floats or of 8-bit integers"
        )
    layout, channels, sides = _layout(name, one.shape)
    height, width = _sides(name, sides, given.size)
    values = read_values(session.get_modelmeta().custom_metadata_map, given, (DTYPES[one.type], channels))
    sentences = [values.assumed] if values.assumed else []
    if not isinstance(one.shape[1 if layout == "NCHW" else 3], int):
        sentences.append(f"{name} does not say how many channels its images have: 3 were assumed")
    batch = one.shape[0] if isinstance(one.shape[0], int) else None
    size = {"channels": channels, "height": height, "width": width, "batch": batch}
    names = {"file": name, "digest": digest, "input": one.name, "output": ""}
    kind = {"layout": layout, "dtype": DTYPES[one.type], "features": 1}
    described: dict[str, Any] = {**names, **kind, **size, **values.fields}
    return EncoderDescription(**described), sentences


def _layout(name: str, shape: list[Any]) -> tuple[Layout, int, tuple[Any, Any]]:
    """Order of the axes, number of channels, and height and width, which are no integers where they may vary."""
    _, first, second, third = shape
    for likely in ((1, 3), range(1, MAX_CHANNELS + 1)):
        if first in likely:
            return "NCHW", int(first), (second, third)
        if third in likely:
            return "NHWC", int(third), (first, second)
    if not isinstance(first, int) and not isinstance(third, int):
        return "NCHW", 3, (second, third)
    raise VaebenchError(
        f"{name} has an input of shape {_shown(shape)}; expected 1 to {MAX_CHANNELS} channels as second or as last axis"
    )


def _sides(name: str, sides: tuple[Any, Any], size: int | None) -> tuple[int, int]:
    """Height and width."""
    fixed = [side for side in sides if isinstance(side, int)]
    if size is None and len(fixed) < 2:
        raise VaebenchError(f"{name} takes images of any size; say which by --encoder-size, for example 224")
    if size is not None and set(fixed) - {size}:
        raise VaebenchError(f"--encoder-size is {size}; {name} takes images of {_shown(sides)} pixels: leave it out")
    height, width = (side if isinstance(side, int) else size for side in sides)
    assert height is not None
    assert width is not None
    return height, width


def _check(encoder: OnnxEncoder) -> tuple[EncoderDescription, float, list[str]]:
    """Run the encoder; return its whole description, milliseconds per image, and a sentence about a mean."""
    description = encoder.description
    size = 3, description.channels, description.height, description.width
    pixels = torch.from_numpy(np.random.default_rng(0).random(size, np.float32))
    alone = pixels[: description.batch or 3]
    outputs = encoder.outputs(alone)
    name, output = _choose_output(encoder, outputs, description.batch or len(alone))
    features = description.pooled(output).shape[1]
    whole = description.model_copy(update={"output": name, "features": features})
    encoder = OnnxEncoder(encoder.path, whole, encoder.rule)
    one, again = encoder.features(pixels[:1]), encoder.features(pixels[:1])
    start = time.monotonic()
    three = encoder.features(pixels)
    milliseconds = 1000 * (time.monotonic() - start) / 3
    if not bool(torch.isfinite(three).all()):
        raise VaebenchError(f"{whole.file} gives features that are not finite for pixels {whole.preprocessing}")
    scale = float(three.abs().max())
    for other, why in ((again, "when it is encoded again"), (three[:1], "among others than alone")):
        if float((one - other).abs().max()) > TOLERANCE * scale:
            raise VaebenchError(
                f"{whole.file} gives an image other features {why}; export it in evaluation mode (model.eval())"
            )
    means = {3: "the mean over the tokens", 4: "the mean over the positions"}
    pooling = [f"features are {means[output.ndim]} of the output {name}"] if output.ndim in means else []
    return whole, milliseconds, pooling


def _choose_output(encoder: OnnxEncoder, outputs: list[np.ndarray], rows: int) -> tuple[str, np.ndarray]:
    """The output with the fewest axes of those that have a row for each image, the first of several."""
    names = [each.name for each in encoder.session.get_outputs()]
    usable = [
        (name, output)
        for name, output in zip(names, outputs, strict=True)
        if getattr(output, "ndim", 0) in (2, 3, 4) and output.dtype.kind == "f" and len(output) == rows and output.size
    ]
    if not usable:
        shapes = "; ".join(f"{name} {_shown(np.shape(output))}" for name, output in zip(names, outputs, strict=True))
        raise VaebenchError(
            f"{encoder.description.file} gives {shapes} for {rows} images; expected floats with a row for each image: "
            "features (N, F), tokens (N, T, F) or a map of features"
        )
    return min(usable, key=lambda pair: pair[1].ndim)


def _shown(shape: Any) -> str:
    return f"({', '.join(str(size or '?') for size in shape)})"
