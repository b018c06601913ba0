"""Exact and near duplicates among images, from their hashes, without comparing all pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped, UInt64

from vaebench.data.checks.measures import Measures, brightness

Rows = Int[np.ndarray, " R"]
BITS = 6
"""Bits by which the difference hashes of near duplicates may differ."""
NEIGHBOURS = 8
"""Successors in each sorted order that an image is compared with."""
TURNS = (0, 16, 32, 48)
"""Bits by which hashes are rotated before they are sorted: near hashes are neighbours where their first bits agree."""
SMALLEST = 12
"""Side in pixels of the smallest images that are compared: smaller ones look alike by chance."""
CANDIDATES = 2_000
"""Pairs whose pixels are compared."""
CORRELATION = 0.99
"""Lowest correlation of the pixels of near duplicates."""
DIFFERENCE = 0.05
"""Highest root mean square difference of their pixels, in units of the range from black to white."""
CHUNK = 100_000

PixelsOf = Callable[[Int[np.ndarray, " B"]], Shaped[np.ndarray, "B C H W"]]
"""Returns the preprocessed pixels of a few rows."""


class Groups(NamedTuple):
    """Groups of equal images: the rows of all members, sorted by group, and where each group starts."""

    rows: Int[np.ndarray, " M"]
    starts: Int[np.ndarray, " G"]

    def __len__(self) -> int:
        return len(self.starts)

    def members(self, group: int) -> Int[np.ndarray, " M"]:
        """Rows of the images of a group, ascending."""
        end = self.starts[group + 1] if group + 1 < len(self) else len(self.rows)
        return self.rows[self.starts[group] : end]

    def mixed(self, codes: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " G"]:
        """Whether the images of a group have several codes; negative codes are not counted."""
        if not len(self):
            return np.zeros(0, bool)
        own = codes[self.rows]
        highest = np.maximum.reduceat(own, self.starts)
        lowest = np.minimum.reduceat(np.where(own < 0, np.iinfo(np.int32).max, own), self.starts)
        return (highest >= 0) & (lowest < highest)


def differing(members: Int[np.ndarray, " M"], codes: Int[np.ndarray, " N"]) -> Int[np.ndarray, 2]:
    """Return the first two rows of a group that have different codes, neither negative; else its first two."""
    counted = members[codes[members] >= 0]
    others = counted[codes[counted] != codes[counted[0]]] if len(counted) else counted
    return np.array([counted[0], others[0]]) if len(others) else members[:2]


def equal_groups(hashes: UInt64[np.ndarray, " N"], rows: Rows) -> Groups:
    """Return the groups of at least two rows with equal hashes, in order of their first row."""
    order = rows[np.argsort(hashes[rows], kind="stable")]
    values = hashes[order]
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])) if len(order) else np.zeros(0, int)
    sizes = np.diff(np.append(starts, len(order)))
    several = np.repeat(sizes > 1, sizes)
    members, first = order[several], np.repeat(order[starts], sizes)[several]
    by_first = np.lexsort((members, first))
    members, first = members[by_first], first[by_first]
    return Groups(members, np.flatnonzero(first == members))


def candidate_pairs(
    measures: Measures, rows: Rows, callback: Callable[[float], None] = lambda done: None
) -> tuple[Int[np.ndarray, "P 2"], int]:
    """Return pairs of rows that look alike at 8 x 9 pixels, most alike first, and how many more there were.

    An image is compared with those whose hashes are its neighbours in four sorted orders; a pair is missed if its
    hashes differ in the first bits of all four.
    """
    hashes, order_of = measures.difference_hash[rows], len(measures.known)
    keys, distances = [np.zeros(0, int)], [np.zeros(0)]
    for number, turn in enumerate(TURNS):
        turned = (hashes << np.uint64(turn)) | (hashes >> np.uint64((64 - turn) % 64))
        order = rows[np.argsort(turned, kind="stable")]
        for step in range(1, min(NEIGHBOURS + 1, len(order))):
            for start in range(0, len(order) - step, CHUNK):
                first = order[start : min(start + CHUNK, len(order) - step)]
                low, high, distance = _alike(measures, first, order[start + step : start + step + len(first)])
                keys.append(low * order_of + high)
                distances.append(distance)
        callback((number + 1) / len(TURNS))
    pairs, index = np.unique(np.concatenate(keys), return_index=True)
    nearest = np.argsort(np.concatenate(distances)[index], kind="stable")[:CANDIDATES]
    return np.stack(np.divmod(pairs[nearest], max(order_of, 1)), axis=1), len(pairs) - len(nearest)


def _alike(measures: Measures, first: Rows, second: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of those pairs that may be near duplicates, the lower row first, and their differences.

    The difference of means of equal sections is at most that of the pixels.
    """
    bits = np.bitwise_count(measures.difference_hash[first] ^ measures.difference_hash[second])
    near = np.flatnonzero(bits <= BITS)
    first, second = first[near], second[near]
    agreement, difference = _compare(measures.small[first] / np.float32(255), measures.small[second] / np.float32(255))
    alike = (difference <= DIFFERENCE) & (agreement >= CORRELATION)
    first, second = first[alike], second[alike]
    return np.minimum(first, second), np.maximum(first, second), difference[alike]


def confirmed_pairs(
    pairs: Int[np.ndarray, "P 2"],
    pixels_of: PixelsOf,
    block: int = 64,
    callback: Callable[[float], None] = lambda done: None,
) -> Int[np.ndarray, "Q 2"]:
    """Return the pairs whose pixels nearly agree; ``pixels_of`` returns the pixels of a few rows.

    ``callback`` receives the completed fraction in [0, 1] after each ``block`` of pairs.
    """
    kept = [pairs[:0]]
    for start in range(0, len(pairs), block):
        some = pairs[start : start + block]
        rows, index = np.unique(some, return_inverse=True)
        first, second = index.reshape(some.shape).T
        pixels = pixels_of(rows)
        kept.append(some[nearly_equal(pixels[first], pixels[second])])
        callback(min(1.0, (start + block) / len(pairs)))
    return np.concatenate(kept)


def nearly_equal(first: Shaped[np.ndarray, "B C H W"], second: Shaped[np.ndarray, "B C H W"]) -> Bool[np.ndarray, " B"]:
    """Whether images agree pair by pair: their brightness correlates and differs by little."""
    grey = (np.nan_to_num(brightness(each)).reshape(len(each), -1) for each in (first, second))
    agreement, difference = _compare(*grey)
    return (agreement >= CORRELATION) & (difference <= DIFFERENCE)


def _compare(a: Float32[np.ndarray, "B P"], b: Float32[np.ndarray, "B P"]) -> tuple[np.ndarray, np.ndarray]:
    """Correlation and root mean square difference of each pair; a correlation with a constant image is 0."""
    difference = np.sqrt(((a - b) ** 2).mean(1))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    norm = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.where(norm > 0, (a * b).sum(1) / np.maximum(norm, 1e-12), 0), difference
