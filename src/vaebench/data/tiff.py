"""TIFF files, read by tifffile: any type, planes, samples, axes of OME and ImageJ, no-data values."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tifffile
from PIL import Image

from vaebench.data.image_set import MAX_CHANNELS, ImageFormat, Kind, RawImage, UnreadableImageError

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it reports is raised or noted here
PROJECTIONS = {"max": np.nanmax, "mean": np.nanmean, "first": None}
"""How the planes of a stack become one image, by the name of the option."""
PIXEL_LIMIT = 80_000_000
BYTE_LIMIT = 1 << 30
"""Bytes of the largest decoded file, with all planes of a stack."""
FEW_SEGMENTS = 1000
"""Strips and tiles that may be missing in a file."""
FLOAT_LIMIT = 1 << 29
"""Bytes of the largest image that is not uint8 as float32, of which scaling needs some copies."""
TYPES = "uint8, uint16, uint32, int8, int16, int32, float16, float32 and float64"
NODATA = 42113
"""Tag in which GDAL keeps the value of pixels that are not known, as text."""
ALPHA = {tifffile.EXTRASAMPLE.ASSOCALPHA: "associated", tifffile.EXTRASAMPLE.UNASSALPHA: "unassociated"}


class _Layout(NamedTuple):
    """The first series of a file: axes without those of length 1, and what its samples mean."""

    axes: str
    shape: tuple[int, ...]
    page: Any
    notes: tuple[str, ...]
    channel_names: tuple[str, ...]

    @property
    def stacked(self) -> dict[str, int]:
        """Axes other than rows, columns and channels, with their lengths."""
        return {axis: n for axis, n in zip(self.axes, self.shape, strict=True) if axis not in "YXSC"}

    @property
    def samples(self) -> int:
        """Number of channels, before alpha is taken away and palettes are looked up."""
        return int(np.prod([n for axis, n in zip(self.axes, self.shape, strict=True) if axis in "SC"], dtype=int))

    @property
    def photometric(self) -> str:
        """What the samples mean, by tifffile's name."""
        return str(getattr(self.page.photometric, "name", self.page.photometric))


def describe_tiff(data: bytes, projection: str | None) -> ImageFormat:
    """Return the format of the image in a TIFF file without decoding its pixels.

    Raises:
        UnreadableImageError: unsupported samples, or a stack of planes without a ``projection``.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return _format_of(_layout(file, projection))


def decode_tiff(data: bytes, projection: str | None) -> RawImage:
    """Return the image in a TIFF file: colours, grey with white as the high value, or measurements.

    Raises:
        UnreadableImageError: unsupported samples or compression, or a stack of planes without a ``projection``.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        layout = _layout(file, projection)
        info = _format_of(layout)
        values = _channels_last(_read(file), layout, projection)
    values = _mark_unknown(_meaning(values, layout), layout)
    values = _upright(np.ascontiguousarray(values), _tag(layout.page, 274, 1))
    return RawImage(values, info._replace(dtype=values.dtype.name))


def _read(file: tifffile.TiffFile) -> np.ndarray:
    try:
        array: np.ndarray = np.asarray(file.series[0].asarray())
    except ValueError as error:
        if "imagecodecs" in str(error):
            raise UnreadableImageError(
                "is compressed in a way that needs the package imagecodecs: pip install 'vaebench[formats]'"
            ) from error
        raise
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check_pages(pages: Iterable[Any]) -> None:
    """Refuse a file whose pages lead back to earlier ones, which tifffile would follow for ever."""
    offsets: set[int] = set()
    for page in pages:
        if page.offset in offsets:
            raise UnreadableImageError("is damaged: its pages lead back to earlier ones")
        offsets.add(page.offset)


def _check_segments(page: Any) -> None:
    """Refuse a page of many strips or tiles whose places it does not state, each of which tifffile would fill in."""
    needed, stated = math.prod(page.chunked), len(page.dataoffsets)
    if needed > max(FEW_SEGMENTS, 2 * stated):
        raise UnreadableImageError(f"is damaged: it has {needed:,} strips or tiles, and states where {stated:,} are")


def _layout(file: tifffile.TiffFile, projection: str | None) -> _Layout:
    _check_pages(file.pages)
    if not file.series:
        raise UnreadableImageError("contains no image")
    series, page = file.series[0], file.series[0].keyframe
    _check_segments(page)
    lengths = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if n > 1 or axis in "YX"]
    axes, shape = "".join(axis for axis, _ in lengths), tuple(n for _, n in lengths)
    notes = _notes(page, len(file.series))
    layout = _Layout(axes, shape, page, notes, _channel_names(file))
    _check(layout, np.dtype(series.dtype), projection)
    if layout.stacked:
        layout = layout._replace(notes=(*notes, f"with several planes, {_projection_in_words(projection)}"))
    return layout


def _check(layout: _Layout, dtype: np.dtype, projection: str | None) -> None:
    height, width = (
        (layout.shape[layout.axes.index(axis)] for axis in "YX") if {"Y", "X"} <= set(layout.axes) else (0, 0)
    )
    if not height:
        raise UnreadableImageError(f"has the axes {layout.axes}; expected rows (Y) and columns (X)")
    if width * height > PIXEL_LIMIT or int(np.prod(layout.shape, dtype=object)) * dtype.itemsize > BYTE_LIMIT:
        raise UnreadableImageError(f"is {width} x {height}, over the limit of {PIXEL_LIMIT:,} pixels")
    floats = width * height * layout.samples * np.dtype(np.float32).itemsize
    if dtype != np.uint8 and floats > FLOAT_LIMIT:
        raise UnreadableImageError(
            f"is {width} x {height} with {layout.samples} channels of type {dtype}, {floats / 1e6:,.0f} MB as floats, "
            f"over the limit of {FLOAT_LIMIT / 1e6:,.0f} MB"
        )
    if layout.samples > MAX_CHANNELS + 1:
        raise UnreadableImageError(f"has {layout.samples} channels; expected 1 to {MAX_CHANNELS}")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise UnreadableImageError(f"has pixels of type {dtype}; expected {TYPES}")
    if layout.photometric in ("CIELAB", "ICCLAB", "ITULAB", "LOGL", "LOGLUV", "CFA"):
        raise UnreadableImageError(f"has pixels of the kind {layout.photometric}; expected grey, RGB or plain channels")
    if layout.stacked and projection is None:
        planes = " x ".join(f"{n} along {axis}" for axis, n in layout.stacked.items())
        raise UnreadableImageError(
            f"is a stack of planes ({planes}), not one image; --projection max, mean or first makes it one (of a run: "
            "--data.projection; a model keeps that of its training images)"
        )


def _projection_in_words(projection: str | None) -> str:
    return {"max": "reduced to their maximum", "mean": "reduced to their mean"}.get(
        str(projection), "of which the first is taken"
    )


def _notes(page: Any, series: int) -> tuple[str, ...]:
    properties = {
        "turned by the TIFF orientation": _tag(page, 274, 1) not in (0, 1),
        "with more than 8 bits": page.bitspersample > 8,
        "with further series of pages, which are left out": series > 1,
        "with the zero as white, inverted": page.photometric == tifffile.PHOTOMETRIC.MINISWHITE,
        "converted from CMYK to RGB": page.photometric == tifffile.PHOTOMETRIC.SEPARATED,
        "with transparent parts, laid on black": any(extra in ALPHA for extra in page.extrasamples),
        "with pixels that are not known (no-data value)": _no_data(page) is not None,
    }
    return tuple(note for note, applies in properties.items() if applies)


def _tag(page: Any, code: int, default: Any = None) -> Any:
    tag = page.tags.get(code)
    return default if tag is None else tag.value


def _no_data(page: Any) -> float | None:
    try:
        return float(str(_tag(page, NODATA, "")).strip("\0 "))
    except ValueError:
        return None


def _channel_names(file: tifffile.TiffFile) -> tuple[str, ...]:
    """Names of the channels in OME or ImageJ metadata."""
    if file.is_ome and file.ome_metadata:
        image = tifffile.xml2dict(file.ome_metadata).get("OME", {}).get("Image", {})
        image = image[0] if isinstance(image, list) else image
        channels = image.get("Pixels", {}).get("Channel", [])
        channels = channels if isinstance(channels, list) else [channels]
        names = tuple(str(channel.get("Name", "")) for channel in channels)
        return names if all(names) else ()
    labels = (file.imagej_metadata or {}).get("Labels") if file.is_imagej else None
    return tuple(map(str, labels)) if labels else ()


def _alpha(layout: _Layout) -> str | None:
    """Whether the last sample is opacity, and of which kind."""
    extra = layout.page.extrasamples
    return ALPHA.get(extra[-1]) if extra and "S" in layout.axes else None


def _format_of(layout: _Layout) -> ImageFormat:
    height, width = (layout.shape[layout.axes.index(axis)] for axis in "YX")
    if _tag(layout.page, 274, 1) in (5, 6, 7, 8):
        width, height = height, width
    channels = layout.samples - (_alpha(layout) is not None)
    coloured = layout.photometric in ("RGB", "YCBCR") and channels == 3
    if layout.photometric in ("PALETTE", "SEPARATED"):
        channels, coloured = 3, True
    kind: Kind = "colour" if coloured else "grey" if channels == 1 else "channels"
    dtype = np.dtype(layout.page.dtype)
    bits = layout.page.bitspersample
    white = {"b": 255.0, "u": 255.0 if bits < 8 or layout.photometric == "PALETTE" else 2.0**bits - 1}.get(
        dtype.kind, 0.0
    )
    name = "uint8" if dtype.kind == "b" or layout.photometric == "PALETTE" else dtype.name
    names = layout.channel_names if len(layout.channel_names) == channels else ()
    return ImageFormat(width, height, channels, kind, white, name, layout.notes, names)


def _channels_last(array: np.ndarray, layout: _Layout, projection: str | None) -> np.ndarray:
    """Return (H, W, C): planes projected, channels C and samples S flattened into one axis."""
    array = array.reshape(layout.shape)
    axes = layout.axes
    others = [index for index, axis in enumerate(axes) if axis not in "YXSC"]
    if others:
        reduce = PROJECTIONS[str(projection)]
        if reduce is None:
            array = array[tuple(0 if axis not in "YXSC" else slice(None) for axis in axes)]
        else:
            array = reduce(array, axis=tuple(others)).astype(array.dtype if projection == "max" else np.float32)
        axes = "".join(axis for axis in axes if axis in "YXSC")
    order = [axes.index(axis) for axis in "YXCS" if axis in axes]
    array = array.transpose(order)
    return array.reshape(*array.shape[:2], -1)


def _meaning(values: np.ndarray, layout: _Layout) -> np.ndarray:
    """Palettes looked up, zero as black, CMYK as RGB, opacity laid on black, fewer than 8 bits as 8."""
    page = layout.page
    if layout.photometric == "PALETTE":
        return (np.asarray(page.colormap)[:, values[..., 0]] >> 8).astype(np.uint8).transpose(1, 2, 0)
    if values.dtype == bool or (values.dtype == np.uint8 and page.bitspersample < 8):
        values = (values.astype(np.float64) * (255 / (2**page.bitspersample - 1))).astype(np.uint8)
    white = 2**page.bitspersample - 1 if values.dtype.kind == "u" and page.bitspersample > 8 else 255
    if layout.photometric == "MINISWHITE":
        if values.dtype.kind != "u":
            raise UnreadableImageError(f"has zero as white with pixels of type {values.dtype}; expected unsigned ones")
        return (white - values).astype(values.dtype)
    if layout.photometric == "SEPARATED":
        return _cmyk_to_rgb(values)
    if (alpha := _alpha(layout)) is not None:
        colour, opacity = values[..., :-1], values[..., -1:]
        if alpha == "associated":
            return colour
        full = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1.0
        product = colour.astype(np.float64) * (opacity / full)
        return (np.rint(product) if values.dtype.kind in "iu" else product).astype(values.dtype)
    return values


def _cmyk_to_rgb(values: np.ndarray) -> np.ndarray:
    if values.shape[2] != 4 or values.dtype.kind != "u":
        raise UnreadableImageError(f"has {values.shape[2]} inks of type {values.dtype}; expected CMYK of 8 or 16 bits")
    if values.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(values), "CMYK").convert("RGB"))
    white = np.iinfo(values.dtype).max
    inks = 1 - values.astype(np.float64) / white
    return np.rint(inks[..., :3] * inks[..., 3:] * white).astype(values.dtype)


def _mark_unknown(values: np.ndarray, layout: _Layout) -> np.ndarray:
    """Return the values with NaN where they are GDAL's no-data value, as float32 or a larger type of floats."""
    if (missing := _no_data(layout.page)) is None or np.isnan(missing):
        return values
    unknown = values == missing
    if not unknown.any():
        return values
    floats = values if values.dtype.kind == "f" else values.astype(np.float32 if values.dtype.itemsize <= 2 else float)
    return np.where(unknown, np.array(np.nan, floats.dtype), floats)


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Return the image (H, W, C) turned and mirrored as the tag "orientation" says (TIFF 6.0, page 36)."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values
