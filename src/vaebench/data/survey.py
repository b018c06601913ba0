"""Survey of the formats and values of images, from which their preprocessing rule is chosen."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32, Shaped

from vaebench.core.cores import available_cores
from vaebench.data.image_set import MASKED, ImageFormat, ImageSet, Kind, RawImage, UnreadableImageError
from vaebench.data.images import Progress, ignore_progress
from vaebench.data.preprocessing import NOMINAL, PreprocessingRule, has_equal_channels, is_grey

SIDE = 32
"""Default side of the preprocessed images, in pixels."""
SMALLEST_SIDE = 8
KEPT_SIDE = 64
"""Images that all have one size are not scaled by default if no side is longer."""
THREADS = min(8, available_cores())
BLOCK = 200
"""Number of images that a thread processes at a time."""
SAMPLE = 1000
"""Images, evenly spaced, from which ranges of values are taken."""
SAMPLE_BYTES = 1 << 28
VALUES_PER_IMAGE = 4096
LOW, HIGH = 0.1, 99.9
"""Percentiles of the stored values that become 0 and 1 where the type of the images does not say it."""
T = TypeVar("T")


class Survey(NamedTuple):
    """Formats of all images of a set, and the values of a sample of them."""

    formats: Counter[ImageFormat]
    skipped: dict[str, str]
    """Reason for each unreadable image, by name."""
    values: Mapping[Kind, list[Shaped[np.ndarray, "_ C"]]]
    """Stored values of pixels of the sampled images, by kind."""
    colourless: bool
    """Whether all sampled images of three colours are grey."""
    unknown: int = 0
    """Number of sampled images in which some pixels are not known."""
    tinted: int = 0
    """Number of sampled images that are grey but for the losses of their format."""

    @property
    def notes(self) -> dict[str, int]:
        """Number of images to which each note applies."""
        counts: Counter[str] = Counter()
        for info, number in self.formats.items():
            counts.update(dict.fromkeys(info.notes, number))
        return dict(counts)


def survey(images: ImageSet, progress: Progress = ignore_progress) -> Survey:
    """Read the formats of all images, and the values of at most 1,000 evenly spaced ones of the training part."""
    formats: Counter[ImageFormat] = Counter()
    skipped = dict(images.left_out)
    readable = []
    for row, result in map_rows(images, images.describe, range(len(images)), f"scanning {images.title}", progress):
        if isinstance(result, str):
            skipped[images.names[row]] = result
        else:
            formats[result] += 1
            readable.append(row)
    train = [row for row in readable if images.parts[row] == "train"] if images.parts else readable
    return _sample(images, train or readable, progress)._replace(formats=formats, skipped=skipped)


def _sample(images: ImageSet, rows: Sequence[int], progress: Progress) -> Survey:
    """Survey of the values of some images."""
    chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int)] if rows else []
    values: dict[Kind, list[np.ndarray]] = {}
    colourless, read, unknown, tinted = True, 0, 0, 0
    task = f"sampling {images.title}"
    for _, image in map_rows(
        images, images.read, chosen, task, progress, block=4
    ):  # whole photographs take much memory
        if isinstance(image, str):
            continue
        kind = image.format.kind
        if kind == "colour":
            grey = is_grey(image)
            colourless = colourless and grey
            tinted += grey and not has_equal_channels(image.values)
        if len(flat := _stored_values(image)):
            values.setdefault(kind, []).append(flat[:: -(-len(flat) // VALUES_PER_IMAGE)])
        unknown += image.values.dtype.kind == "f" and bool(np.isnan(image.values).any())
        read += image.values.nbytes
        if read > SAMPLE_BYTES:
            break
    return Survey(Counter(), {}, values, colourless, unknown, tinted)


def _stored_values(image: RawImage) -> Shaped[np.ndarray, "P C"]:
    """Return the values of all pixels; of an image with a mask those of the known ones, in their stored type."""
    flat = image.values.reshape(-1, image.values.shape[2])
    if image.values.dtype.kind != "f" or np.dtype(image.format.dtype).kind == "f":
        return flat
    known: np.ndarray = flat[~np.isnan(flat).any(1)]
    return known.astype(image.format.dtype)


def rule_for_new(rule: PreprocessingRule, images: ImageSet, progress: Progress = ignore_progress) -> PreprocessingRule:
    """Return a rule made for 8-bit images with the white level that new images of 16 bits seem to have.

    The rule is unchanged where it was made for other images, or where the new ones have 8 bits.
    """
    if rule.white != 65535 or rule.unit not in (0, 255) or (rule.low and not rule.unit):
        return rule
    rows = np.linspace(0, len(images) - 1, min(SAMPLE // 10, len(images))).astype(int).tolist()
    formats = (info for _, info in map_rows(images, images.describe, rows, f"scanning {images.title}", progress))
    if not any(not isinstance(info, str) and info.white in NOMINAL for info in formats):
        return rule
    seen = _sample(images, range(len(images)), progress)
    deep = seen._replace(formats=Counter({ImageFormat(1, 1, 1, "grey", 65535.0): 1}))
    return rule.model_copy(update={"white": _white(deep)})


def map_rows(
    images: ImageSet,
    function: Callable[[int], T],
    rows: Sequence[int],
    task: str,
    progress: Progress = ignore_progress,
    *,
    threads: int | None = None,
    block: int | None = None,
) -> Generator[tuple[int, T | str], None, None]:
    """Apply ``function`` to the rows, in threads where reading gains by them; yield each row and its result in order.

    The result of an image that cannot be read is the reason in words.
    """

    def apply(chunk: Iterable[int]) -> list[T | str]:
        return [_result(function, row) for row in chunk]

    threads = (threads or THREADS) if images.threads and len(rows) > 1 else 1
    size = min(block or BLOCK, max(1, len(rows) // (2 * threads)))  # a few images, too, occupy all threads
    blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
    pool, ahead, done = ThreadPoolExecutor(threads), 2 * threads, 0
    with warnings.catch_warnings():  # here, as filters belong to all threads
        warnings.simplefilter("ignore")  # the libraries' own, on damaged or huge files, which are reported here
        try:
            for start in range(0, len(blocks), ahead):
                submitted = blocks[start : start + ahead]
                for chunk, results in zip(submitted, pool.map(apply, submitted), strict=True):
                    yield from zip(chunk, results, strict=True)
                    done += len(chunk)
                    progress(task, done / len(rows))
        finally:
            pool.shutdown(cancel_futures=True)


def preprocessor(images: ImageSet, rule: PreprocessingRule, greyed: list[int]) -> Callable[[int], np.ndarray]:
    """Return a function that reads and preprocesses a row; rows that lose their colours are added to ``greyed``."""
    at_least = max(rule.width, rule.height)

    def preprocess(row: int) -> np.ndarray:
        image = images.read(row, at_least)
        if rule.loses_colour(image):
            greyed.append(row)
        return rule.pixels(image)

    return preprocess


def _result(function: Callable[[int], T], row: int) -> T | str:
    try:
        return function(row)
    except UnreadableImageError as error:
        return str(error)


def choose_rule(seen: Survey, side: int | None = None, projection: str | None = None) -> PreprocessingRule:
    """Return the rule for the surveyed images, of which there is at least one.

    To a square of ``side`` pixels; if ``side`` is None, to the images' own size if it is the same for all and not above
    64, otherwise to a square of at most 32 pixels. Grey images stored as colour are grey.

    Where most images have 8 bits, all are read so, unless the brightest value is 1 or the channels are no colours.
    Otherwise the percentiles 0.1 and 99.9 become 0 and 1: of colours together, of other channels each by itself. Floats
    from 0 to 1 are taken as they are.
    """
    width, height = _size(seen.formats, side)
    kinds = {info.kind for info in seen.formats}
    kind: Kind = (
        "channels" if "channels" in kinds else "colour" if "colour" in kinds and not seen.colourless else "grey"
    )
    widest = max((info for info in seen.formats if info.kind == kind or kind == "grey"), key=seen.formats.__getitem__)
    channels = {"grey": 1, "colour": 3}.get(kind, widest.channels)
    white = _white(seen)
    values = _values_of_kind(seen, kind, channels)
    low, high, unit = _range(seen, values, kind, white)
    if not low and any(MASKED in info.notes for info in seen.formats):  # 8 bits have no value for an unknown pixel
        low, high, unit = (0.0,) * channels, (255.0,) * channels, 255.0
    default = tuple(f"channel {number}" for number in range(1, channels + 1))
    names = (widest.channel_names or default) if kind == "channels" else ()
    return PreprocessingRule(
        height=height,
        width=width,
        channels=channels,
        white=white,
        low=low,
        high=high,
        unit=unit,
        channel_names=names,
        projection=projection,  # type: ignore[arg-type]
    )


def _size(formats: Counter[ImageFormat], side: int | None) -> tuple[int, int]:
    sizes: Counter[tuple[int, int]] = Counter()
    for info, count in formats.items():
        sizes[info.width, info.height] += count
    (width, height), *others = sizes
    if side is None and not others and SMALLEST_SIDE <= min(width, height) <= max(width, height) <= KEPT_SIDE:
        return width, height
    longer = np.repeat([max(size) for size in sizes], list(sizes.values()))
    chosen = side or min(SIDE, max(SMALLEST_SIDE, int(np.median(longer))))
    return chosen, chosen


def _white(seen: Survey) -> int:
    """The lowest white level, of at least 9 bits, that holds the values of the sampled images of more than 8 bits."""
    brightest = max(
        (int(v.max()) for each in seen.values.values() for v in each if v.dtype.kind == "u" and v.size), default=0
    )
    deep = any(info.white in NOMINAL for info in seen.formats)
    return 2 ** max(brightest.bit_length(), 9) - 1 if deep else 65535


def _values_of_kind(seen: Survey, kind: Kind, channels: int) -> list[Shaped[np.ndarray, "_ C"]]:
    if kind == "grey" and "colour" in seen.values:
        return [*seen.values.get("grey", []), *(each[:, :1] for each in seen.values["colour"])]
    return [each for each in seen.values.get(kind, []) if each.shape[1] == channels]


def sampled_values(seen: Survey, rule: PreprocessingRule) -> Float32[np.ndarray, "M C"]:
    """Return the stored values of the sampled pixels in the units of the rule's ``low`` and ``high``."""
    values = _values_of_kind(seen, rule.kind, rule.channels)
    scaled = [each.astype(np.float32) * _to_unit(each.dtype, rule.unit, rule.white) for each in values]
    return np.concatenate(scaled) if scaled else np.zeros((0, rule.channels), np.float32)


def _range(
    seen: Survey, values: list[Shaped[np.ndarray, "_ C"]], kind: Kind, white: int
) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """``low``, ``high`` and ``unit`` of the rule."""
    eight_bit = 2 * sum(n for info, n in seen.formats.items() if info.dtype == "uint8") >= seen.formats.total()
    if not values or (eight_bit and kind != "channels" and max(_brightest(each) for each in values) > 1):
        return (), (), 0.0
    if eight_bit and kind != "channels":
        black = max(_brightest(each) for each in values) == 0
        return ((), (), 0.0) if black else ((0.0,) * values[0].shape[1], (1.0,) * values[0].shape[1], 255.0)
    whites = {info.white if info.white not in NOMINAL else float(white) for info in seen.formats}
    unit = max(whites) if min(whites) > 0 else 0.0
    joined = np.concatenate([each.astype(np.float32) * _to_unit(each.dtype, unit, white) for each in values])
    if not unit and np.nanmin(joined) >= 0 and np.nanmax(joined) <= 1:
        return (0.0,) * joined.shape[1], (1.0,) * joined.shape[1], 0.0
    low, high = np.nanpercentile(joined, [LOW, HIGH], axis=0)
    if kind == "colour":
        low, high = np.full(3, low.min()), np.full(3, high.max())
    high = np.where(high > low, high, low + 1)  # a constant channel
    return tuple(map(float, low)), tuple(map(float, high)), unit


def _brightest(values: Shaped[np.ndarray, "_ C"]) -> float:
    """Highest value; that of other types than 8 bits does not count as black or white."""
    return float(values.max()) if values.dtype == np.uint8 else 255.0


def _to_unit(dtype: np.dtype, unit: float, white: int) -> np.float32:
    own = {"uint8": 255.0, "uint16": float(white), "uint32": float(white)}.get(dtype.name, unit)
    return np.float32(unit / own if unit and own else 1)
