"""Decoding of single image files at their own precision; every format is one entry of DECODERS."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vaebench.data.image_set import MAX_CHANNELS, ImageFormat, Kind, RawImage, UnreadableImageError, array_format
from vaebench.data.printing import printable
from vaebench.data.tiff import decode_tiff, describe_tiff

PIXEL_LIMIT = 80_000_000
"""Pixels of the largest image that is read; decoded, it takes 240 MB."""
BYTE_LIMIT = 1 << 29
"""Bytes of the largest decoded image."""
GREY_MODES = ("1", "L", "LA", "La")
PILLOW_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "AVIF", "JPEG2000", "PPM")
LOSSY_FORMATS = ("JPEG", "AVIF", "WEBP", "JPEG2000")
"""Formats of Pillow that may change values a little."""
EXIF_ORIENTATION = 0x0112
EXIF_IN_PNG = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""Where a PNG file may state its orientation."""
T = TypeVar("T")


class Options(NamedTuple):
    """What a decoder is asked for."""

    at_least: int | None = None
    """Longest side that suffices: a JPEG file may be decoded at a lower resolution that is not below twice this."""
    projection: str | None = None
    """How the planes of a stack become one image: "max", "mean" or "first"; None refuses stacks."""


class Decoder(NamedTuple):
    """Reader of one format."""

    describe: Callable[[bytes, Options], ImageFormat]
    decode: Callable[[bytes, Options], RawImage]


def decode(data: bytes, name: str, options: Options = Options()) -> RawImage:  # noqa: B008 - immutable
    """Return the image in ``data``; the format is that of the content, whatever suffix ``name`` has.

    Raises:
        UnreadableImageError: the reason in words, for any defect of the data.
    """
    return _guard(lambda: _decoder_of(data, name).decode(data, options))


def describe(data: bytes, name: str, options: Options = Options()) -> ImageFormat:  # noqa: B008 - immutable
    """Return the format of the image in ``data``, from its header where the format has one.

    Raises:
        UnreadableImageError: the reason in words.
    """
    return _guard(lambda: _decoder_of(data, name).describe(data, options))


def suffix_of(name: str) -> str:
    """Return the last suffix of a file name, in lower case."""
    return "." + name.rpartition(".")[2].lower() if "." in name else ""


def _guard(function: Callable[[], T]) -> T:
    try:
        return function()
    except UnreadableImageError:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise UnreadableImageError(f"is over the limit of {PIXEL_LIMIT:,} pixels") from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError(
            "is not an image that can be read (damaged, or not of the type that its name says)"
        ) from error
    except Exception as error:  # the libraries raise a dozen kinds on damaged files
        raise UnreadableImageError(f"is damaged ({printable(str(error))[:80] or type(error).__name__})") from error


def _decoder_of(data: bytes, name: str) -> Decoder:
    if not data:
        raise UnreadableImageError("is empty")
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _TIFF
    return _NPY if data[:6] == b"\x93NUMPY" else DECODERS.get(suffix_of(name), _PILLOW)


def check_pixels(width: int, height: int, channels: int = 1, itemsize: int = 1) -> None:
    """Raise UnreadableImageError for an image that is too large or has too many channels."""
    if width * height > PIXEL_LIMIT or width * height * channels * itemsize > BYTE_LIMIT:
        raise UnreadableImageError(f"is {width} x {height}, over the limit of {PIXEL_LIMIT:,} pixels")
    if not 1 <= channels <= MAX_CHANNELS:
        raise UnreadableImageError(f"has {channels} channels; expected 1 to {MAX_CHANNELS}")


def _open(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=PILLOW_FORMATS)
    check_pixels(*image.size)
    return image


def _describe_pillow(data: bytes, options: Options) -> ImageFormat:
    with _open(data) as image:
        if (deep := _deep_colour(image, data)) is not None:
            return deep(data).format
        turned = _orientation(image, data)
        width, height = image.size[::-1] if turned in (5, 6, 7, 8) else image.size
        return _format(image, (width, height), _notes(image, turned), image.format in LOSSY_FORMATS)


def _orientation(image: Image.Image, data: bytes) -> int:
    """Orientation by EXIF; a PNG file, which Pillow decodes to look for it, is searched for its names first."""
    if image.format == "PNG" and not any(word in data for word in EXIF_IN_PNG):
        return 1
    orientation: int = image.getexif().get(EXIF_ORIENTATION, 1)
    return orientation


def _format(image: Image.Image, size: tuple[int, int], notes: tuple[str, ...], lossy: bool) -> ImageFormat:
    deep = image.mode.startswith(("I", "F"))
    grey = image.mode in GREY_MODES or deep
    dtype = "uint8" if not deep else "float32" if image.mode == "F" else "uint16"
    white = {"uint8": 255.0, "uint16": 65535.0}.get(dtype, 0.0)
    return ImageFormat(*size, 1 if grey else 3, "grey" if grey else "colour", white, dtype, notes, lossy=lossy)


def _notes(image: Image.Image, orientation: int) -> tuple[str, ...]:
    deep = image.mode.startswith(("I", "F"))
    properties = {
        "turned by EXIF": orientation not in (0, 1),
        "with several frames, of which the first is taken": getattr(image, "n_frames", 1) > 1,
        "with more than 8 bits": deep,
        "with transparent parts, laid on black": image.has_transparency_data,
        "converted from CMYK to RGB": image.mode == "CMYK",
    }
    return tuple(note for note, applies in properties.items() if applies)


def _decode_pillow(data: bytes, options: Options) -> RawImage:
    with _open(data) as image:
        if (deep := _deep_colour(image, data)) is not None:
            return deep(data)
        notes = _notes(image, _orientation(image, data))
        return from_pillow(image, options.at_least, notes)


def from_pillow(image: Image.Image, at_least: int | None = None, notes: tuple[str, ...] = ()) -> RawImage:
    """Return an image that was just opened: turned as its EXIF data says, first frame, transparent parts on black."""
    lossy = image.format in LOSSY_FORMATS
    if at_least is not None:
        image.draft(image.mode, (2 * at_least, 2 * at_least))  # JPEG: decode at the resolution needed
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float32 if image.mode == "F" else np.int64)
        if image.mode != "F":
            values = values.clip(0, 65535).astype(np.uint16)
    else:
        grey = image.mode in GREY_MODES
        image = on_black(image)
        values = np.asarray(image.convert("L" if grey else "RGB"))
        kind: Kind = "grey" if grey else "colour"
        size = image.width, image.height
        info = ImageFormat(*size, 1 if grey else 3, kind, 255.0, notes=notes, lossy=lossy)
        return RawImage(values[..., None] if grey else values, info)
    return RawImage(values[..., None], _format(image, image.size, notes, lossy))


def on_black(image: Image.Image) -> Image.Image:
    """Composite a transparent image with a black background."""
    if not image.has_transparency_data:
        return image
    foreground = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", foreground.size, (0, 0, 0, 255)), foreground).convert("RGB")


def _deep_colour(image: Image.Image, data: bytes) -> Callable[[bytes], RawImage] | None:
    """Decoder of files with several samples of more than 8 bits, which Pillow would reduce to 8."""
    if image.format == "PNG" and data[24] == 16 and data[25] in (2, 4, 6):
        return lambda data: _from_imagecodecs("png_decode", data)
    size = re.search(rb"\xff\x4f\xff\x51.{36}(..)(.)", data, re.DOTALL) if image.format == "JPEG2000" else None
    if size is not None and size[1] != b"\0\1" and size[2][0] & 127 > 7:
        return lambda data: _from_imagecodecs("jpeg2k_decode", data)
    if image.format == "AVIF" and (depth := re.search(rb"pixi....(.)(.)", data, re.DOTALL)) and depth[2][0] > 8:
        bits = depth[2][0]
        return lambda data: _from_imagecodecs("avif_decode", data, bits)
    if image.format == "PPM" and data[:2] == b"P6" and _ppm_maximum(data) > 255:
        raise UnreadableImageError("is a PPM file of more than 8 bits; convert it to PNG or TIFF of 16 bits")
    return None


def _ppm_maximum(data: bytes) -> int:
    fields = re.sub(rb"#[^\n]*\n", b" ", data[:200]).split(maxsplit=4)
    return int(fields[3])


def _from_imagecodecs(function: str, data: bytes, bits: int | None = None) -> RawImage:
    """Return the image with all its bits; ``bits`` of each value where its type has more."""
    try:
        import imagecodecs
    except ImportError as error:
        raise UnreadableImageError(
            "has colours of more than 8 bits, which needs the package imagecodecs: pip install 'vaebench[formats]'"
        ) from error
    array = np.asarray(getattr(imagecodecs, function)(data))
    array = array[..., None] if array.ndim == 2 else array
    notes: tuple[str, ...] = ("with more than 8 bits",)
    if array.shape[2] in (2, 4):
        array = lay_on_black(array[..., :-1], array[..., -1:])
        notes += ("with transparent parts, laid on black",)
    info = array_format(array.shape, array.dtype)._replace(notes=notes, lossy=not function.startswith("png"))
    return RawImage(array, info if bits is None else info._replace(white=2.0**bits - 1))


def lay_on_black(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return integers (H, W, C) multiplied by their opacity (H, W, 1) of the same type."""
    white = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1.0
    product = colour.astype(np.float64) * (alpha / white)
    return (np.rint(product) if colour.dtype.kind in "iu" else product).astype(colour.dtype)


def as_channels_last(array: np.ndarray) -> np.ndarray:
    """Return an image (H, W), (H, W, C) or (C, H, W) as (H, W, C), with the smaller of both ends as the channels.

    Raises:
        UnreadableImageError: another number of dimensions, or too many channels.
    """
    if array.ndim == 2:
        return array[..., None]
    if array.ndim != 3 or min(array.shape[0], array.shape[2]) > MAX_CHANNELS:
        raise UnreadableImageError(
            f"has the shape {array.shape}; expected (H, W), (H, W, C) or (C, H, W) with 1 to {MAX_CHANNELS} channels"
        )
    return array if array.shape[2] <= array.shape[0] else np.moveaxis(array, 0, 2)


def _decode_npy(data: bytes, options: Options) -> RawImage:
    return from_array(np.load(io.BytesIO(data), allow_pickle=False))


def from_array(array: np.ndarray) -> RawImage:
    """Return the image in an array (H, W), (H, W, C) or (C, H, W) of integers, floats or booleans.

    Raises:
        UnreadableImageError: another type or shape, too many pixels or channels.
    """
    array = as_channels_last(array)
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise UnreadableImageError(f"is an array of {array.dtype}; expected integers or floats")
    check_pixels(array.shape[1], array.shape[0], array.shape[2], array.itemsize)
    array = array.astype(array.dtype.newbyteorder("="))
    return RawImage(array, array_format(array.shape, array.dtype))


_PILLOW = Decoder(_describe_pillow, _decode_pillow)
_TIFF = Decoder(lambda data, o: describe_tiff(data, o.projection), lambda data, o: decode_tiff(data, o.projection))
_NPY = Decoder(lambda data, options: _decode_npy(data, options).format, _decode_npy)
DECODERS: dict[str, Decoder] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".avif"), _PILLOW),
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".pgm", ".ppm", ".pbm", ".pnm"), _PILLOW),
    **dict.fromkeys((".tif", ".tiff"), _TIFF),
    ".npy": _NPY,
}
"""Decoder of each suffix; to add a format, register its decoder here."""
LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
"""Suffixes of JPEG, whose losses pages mention."""
