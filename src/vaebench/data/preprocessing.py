"""PreprocessingRule: how stored images of any size and type become pixels of one shape."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Shaped, UInt8
from PIL import Image, ImageOps
from pydantic import Field

from vaebench.core.frozen import Frozen
from vaebench.data.image_set import ImageFormat, Kind, RawImage, UnreadableImageError

NOMINAL = (65535.0, 4294967295.0)
"""White levels of the types of 16 and 32 bits, which images of 12 bits, too, are stored in."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Brightness of red, green and blue: Recommendation ITU-R BT.601."""
TINT = 4
"""Levels of 255 by which lossy formats may make the channels of a grey image differ."""


Projection = Literal["max", "mean", "first"]
"""How the planes of a stack become one image."""


class PreprocessingRule(Frozen):
    """Conversion of an image to pixels: rotated as its EXIF data says, first frame, transparent parts on black,
    scaled to fit (bilinear, antialiased) and centred on black. Nothing is cropped.

    Images of 8 bits stay so; others become floats: ``low`` of a channel is 0, ``high`` is 1, beyond is clipped.
    """

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: int = Field(ge=1)
    white: int = Field(65535, ge=1)
    """White level of images with more than 8 bits: 4095 for a 12-bit camera."""
    low: tuple[float, ...] = ()
    """Stored value of each channel that becomes 0; empty for 8-bit images, which are kept as they are."""
    high: tuple[float, ...] = ()
    """Stored value of each channel that becomes 1."""
    unit: float = Field(0, ge=0)
    """White level of the integers whose values ``low`` and ``high`` are; 0 where they are values of floats."""
    channel_names: tuple[str, ...] = ()
    projection: Projection | None = None
    """How the planes of a stack become one image; none refuses stacks."""

    @property
    def kind(self) -> Kind:
        """What the channels are."""
        named = self.channel_names and self.channel_names != ("red", "green", "blue")
        return "grey" if self.channels == 1 else "colour" if self.channels == 3 and not named else "channels"

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels: uint8 from 0 to 255, or float32 from 0 to 1 with NaN where a pixel is not known."""
        return np.dtype(np.float32 if self.low else np.uint8)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the pixels."""
        return self.channels, self.height, self.width

    @property
    def description(self) -> str:
        """The rule in words."""
        colour = {"grey": "grey", "colour": "colour"}.get(self.kind, f"{self.channels} channels")
        text = (
            f"rotated as EXIF says, first frame, transparent parts on black, scaled to fit "
            f"{self.width} x {self.height} pixels, centred on black, {colour}"
        )
        return text + (f"; {self.scale}, and values beyond are clipped" if self.low else "")

    @property
    def scale(self) -> str:
        """The range of values in words."""
        if not self.low:
            return "8 bits, 0 is black and 255 is white"
        ranges = list(
            dict.fromkeys(f"{low:,.6g} to {high:,.6g}" for low, high in zip(self.low, self.high, strict=True))
        )
        if len(ranges) == 1:
            return f"stored values from {ranges[0]} become 0 to 1"
        named = zip(self.channel_names or range(1, 1 + self.channels), ranges_of(self), strict=True)
        return "stored values become 0 to 1: " + "; ".join(f"{n}: {r}" for n, r in named)

    def pixels(self, image: RawImage) -> UInt8[np.ndarray, "C H W"] | Float32[np.ndarray, "C H W"]:
        """Return the preprocessed pixels of an image.

        Raises:
            UnreadableImageError: channels or values that the rule has no meaning for.
        """
        values = _with_channels(image, self)
        if not self.low:
            return self._resize_8_bit(self._as_8_bit(values, image.format))
        stored = values.astype(np.float32) * np.float32(self._factor(values, image.format))
        return self.scaled(self._resize_floats(stored))

    def scaled(self, stored: Float32[np.ndarray, "C H W"]) -> Float32[np.ndarray, "C H W"]:
        """Return stored values with ``low`` as 0 and ``high`` as 1, clipped; NaN stays."""
        low, high = (np.asarray(each, np.float32)[:, None, None] for each in (self.low, self.high))
        return np.clip((stored - low) / (high - low), 0, 1)

    def converted(self, info: ImageFormat) -> str:
        """How the depth of an image with this format is changed, in words; "" where it is as in the training images."""
        if not info.white:
            return "" if self.low and not self.unit else f"of type {info.dtype} taken to be from 0 to 1"
        if self.low and not self.unit:
            return f"of type {info.dtype} divided by {self._white_of(info):,.0f}"
        if (info.white <= 255) == (not self.low or self.unit <= 255):
            return ""
        white = f"{self._white_of(info):,.0f}"
        return f"of type {info.dtype}, whose white is taken to be {white}, scaled to the training images"

    def loses_colour(self, image: RawImage) -> bool:
        """Whether an image in colour becomes grey."""
        return self.kind == "grey" and image.format.kind == "colour" and not is_grey(image)

    def _white_of(self, info: ImageFormat) -> float:
        """Value of full brightness of an image with this format; the rule's where its type alone states it."""
        return float(self.white) if info.white in NOMINAL else info.white

    def _factor(self, values: np.ndarray, info: ImageFormat) -> float:
        """Factor from the stored values of an image to the units of ``low`` and ``high``."""
        if info.white and self.unit:
            return self.unit / self._white_of(info)
        if not info.white and not self.unit:
            return 1.0
        if info.white and min(self.low) >= 0 and max(self.high) <= 1:  # floats from 0 to 1
            return 1 / self._white_of(info)
        if self.unit and values.dtype.kind == "f" and 0 <= np.nanmin(values) <= np.nanmax(values) <= 1:
            return self.unit
        other = f"integers up to {self.unit:,.0f}" if self.unit else "floats"
        raise UnreadableImageError(
            f"has values of type {info.dtype}; the other images are {other} from {min(self.low):,.6g} to "
            f"{max(self.high):,.6g}: convert it to their units"
        )

    def _as_8_bit(self, values: Shaped[np.ndarray, "H W C"], info: ImageFormat) -> UInt8[np.ndarray, "H W C"]:
        if values.dtype == np.uint8:
            return values
        white = self._white_of(info)
        if values.dtype.kind == "f" and white and np.isnan(values).any():
            raise UnreadableImageError(
                "has pixels that are not known, which the rule for 8-bit images has no value for"
            )
        if not white:
            finite = np.isfinite(values).all()
            if values.dtype.kind != "f" or not (finite and 0 <= values.min() <= values.max() <= 1):
                raise UnreadableImageError(f"has values of type {info.dtype} outside 0 to 1")
            white = 1.0
        scaled: np.ndarray = np.clip(np.rint(values.astype(np.float32) * np.float32(255 / white)), 0, 255)
        return scaled.astype(np.uint8)

    def _resize_8_bit(self, values: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "C h w"]:
        if values.shape[:2] == (self.height, self.width):
            return np.moveaxis(values, 2, 0)
        if values.shape[2] in (1, 3):
            image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
            array = np.asarray(ImageOps.pad(image, (self.width, self.height), Image.Resampling.BILINEAR))
            return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)
        return np.stack([self._resize_8_bit(values[..., [channel]])[0] for channel in range(values.shape[2])])

    def _resize_floats(self, values: Float[np.ndarray, "H W C"]) -> Float32[np.ndarray, "C h w"]:
        """Scaled by Pillow, a channel at a time; a pixel that any unknown pixel contributes to is not known."""
        planes = np.ascontiguousarray(np.moveaxis(values, 2, 0), dtype=np.float32)
        if planes.shape[1:] == (self.height, self.width):
            return planes
        size, method = (self.width, self.height), Image.Resampling.BILINEAR
        pairs = zip(planes, self.low, strict=True)
        padded = [ImageOps.pad(Image.fromarray(p), size, method, low) for p, low in pairs]  # type: ignore[arg-type]
        return np.stack([np.asarray(plane) for plane in padded])


def ranges_of(rule: PreprocessingRule) -> list[str]:
    """Range of the stored values of each channel in words."""
    return [f"{low:,.6g} to {high:,.6g}" for low, high in zip(rule.low, rule.high, strict=True)]


def _with_channels(image: RawImage, rule: PreprocessingRule) -> Shaped[np.ndarray, "H W C"]:
    """Return the values with the rule's channels: colours become grey and grey becomes colour where needed."""
    values, kind = image.values, image.format.kind
    if kind == rule.kind and values.shape[2] == rule.channels:
        return values
    if rule.kind == "grey" and kind == "colour":
        if values.dtype == np.uint8:
            return np.asarray(Image.fromarray(values).convert("L"))[..., None]
        grey = values[..., :1] if has_equal_channels(values) else (values.astype(np.float32) @ LUMA)[..., None]
        return np.rint(grey).astype(values.dtype) if values.dtype.kind in "iu" else grey
    if rule.kind == "colour" and kind == "grey":
        return np.repeat(values, 3, axis=2)
    if values.shape[2] == rule.channels:
        return values
    raise UnreadableImageError(f"has {values.shape[2]} channels; expected {rule.channels}, as the other images have")


def has_equal_channels(values: Shaped[np.ndarray, "H W C"]) -> bool:
    """Whether all channels of an image are equal, and unknown at the same pixels."""
    first = values[..., :1]
    same = values == first if values.dtype.kind != "f" else (values == first) | (np.isnan(values) & np.isnan(first))
    return bool(same.all())


def is_grey(image: RawImage) -> bool:
    """Whether an image in colour shows none: in lossy formats its channels may differ by ``TINT`` levels of 255."""
    if not image.format.lossy:
        return has_equal_channels(image.values)
    spread = image.values.max(2) - image.values.min(2)
    return bool(np.nan_to_num(spread).max() <= TINT * max(image.format.white, 255) / 255)
