"""read_values(): the range, mean and deviation that a user's encoder expects, by options, metadata or custom."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vaebench.classification.encoder import EncoderFile
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json
from vaebench.data.printing import printable

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of each colour in ImageNet, which most pretrained networks were trained with."""
MEANS = ("mean", "image_mean", "standardization_mean")
STDS = ("std", "image_std", "standardization_std")
"""Keys of metadata in lower case: vaebench's, those of transformers, and those of the Deepness plugin of QGIS."""
RANGES = {
    "nominalrange_0_255": "0, 255",
    "nominalrange_16_235": "16, 235",
    "normalized_0_1": "0, 1",
    "normalized_1_1": "-1, 1",
}
"""Values of ``Image.NominalPixelRange`` in the ONNX standard (docs/MetadataProps.md)."""


class EncoderValues(NamedTuple):
    """Fields of the description about values, and a sentence about what was assumed, or ""."""

    fields: dict[str, Any]
    assumed: str = ""


def read_values(metadata: Mapping[str, str], given: EncoderFile, kind: tuple[str, int]) -> EncoderValues:
    """Range, mean and standard deviation by the options, the file's metadata, transformers' file beside it, or as
    most encoders have them. ``kind`` is the type of the input and its number of channels."""
    dtype, channels = kind
    path = Path(given.path).expanduser()
    stored = {key.lower(): value for key, value in metadata.items()}
    if not any(key in stored for key in MEANS + STDS):
        stored |= _transformers(path.parent / "preprocessor_config.json")
    where = f"of the metadata of {printable(path.name)}"
    limits = stored.get("range") or RANGES.get(stored.get("image.nominalpixelrange", "").lower())
    low, high = _numbers(limits, f"range {where}", 2) if limits else (0.0, 255.0 if dtype == "uint8" else 1.0)
    blue_first = stored.get("image.bitmappixelformat", "").lower() == "bgr8"
    fields: dict[str, Any] = {"low": low, "high": high, "blue_first": blue_first}
    if given.mean is not None or given.std is not None:
        if given.mean is None or given.std is None:
            raise VaebenchError("--encoder-mean and --encoder-std belong together; give both, for example 0.5 and 0.5")
        mean, std = given.mean, given.std
        where = "(--encoder-mean, --encoder-std)"
    else:
        texts = [next((stored[key] for key in keys if key in stored), None) for keys in (MEANS, STDS)]
        if not any(texts):
            guessed = not limits and dtype != "uint8"
            return _guess(fields, printable(path.name), channels) if guessed else EncoderValues(fields)
        mean, std = (_numbers(text or "", f"{key} {where}") for text, key in zip(texts, ("mean", "std"), strict=True))
    return EncoderValues({**fields, **_checked(mean, std, channels, where)})


def _guess(fields: dict[str, Any], name: str, channels: int) -> EncoderValues:
    change = "--encoder-mean and --encoder-std change that"
    if channels != 3:
        return EncoderValues(fields, f"{name} says no mean and deviation: pixels from 0 to 1 were assumed; {change}")
    sentence = f"{name} says no mean and deviation: those of ImageNet were assumed; {change}"
    return EncoderValues({**fields, "mean": IMAGENET[0], "std": IMAGENET[1]}, sentence)


def _checked(mean: tuple[float, ...], std: tuple[float, ...], channels: int, where: str) -> dict[str, Any]:
    for key, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            expected = "1" if channels == 1 else f"1 or {channels}"
            raise VaebenchError(f"{key} {where} has {len(values)} numbers; expected {expected}, one for each channel")
    if min(std) <= 0:
        raise VaebenchError(f"std {where} is {min(std):g}; expected numbers above 0")
    return {"mean": mean, "std": std}


def _transformers(path: Path) -> dict[str, str]:
    """Mean and deviation of the file that transformers writes beside a model, as metadata."""
    stored = read_json(path) if path.is_file() else {}
    if not isinstance(stored, Mapping):
        return {}
    if not stored.get("do_normalize", True):
        return {"mean": "0", "std": "1"}
    return {key: json.dumps(stored[key]) for key in ("image_mean", "image_std") if key in stored}


def _numbers(text: str, where: str, count: int | None = None) -> tuple[float, ...]:
    """Numbers of a JSON list, or separated by commas."""
    try:
        numbers = tuple(float(word) for word in text.strip().strip("[]()").split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)) or (count and len(numbers) != count):
        raise VaebenchError(f"{where} is {text!r}; expected {count or 'as many'} numbers such as 0.485,0.456,0.406")
    return numbers
