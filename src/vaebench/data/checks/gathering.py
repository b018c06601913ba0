"""Evidence of a set of images: gathered by reading each image once, or from pixels that a reader has made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from vaebench.data.checks.duplicates import SMALLEST, PixelsOf, candidate_pairs, confirmed_pairs, equal_groups
from vaebench.data.checks.evidence import Evidence
from vaebench.data.checks.measures import Measures, measure_images, measure_pixels
from vaebench.data.image_set import ImageSet
from vaebench.data.images import Progress, ignore_progress
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.survey import Survey, map_rows, sampled_values


class Preprocessed(NamedTuple):
    """Pixels that a reader of the set has made, in memory or memory-mapped."""

    pixels: Shaped[np.ndarray, "M C H W"]
    rows: Sequence[int] | Int[np.ndarray, " M"]
    """Row of the set that each image has."""
    damaged: dict[str, str]
    """Reason by name for each image that the survey could describe but not be read."""


class Pass(NamedTuple):
    """What one reading of all images leaves."""

    measures: Measures
    damaged: dict[str, str]
    """Reason by name for each image that the survey could describe but not be read."""
    pixels_of: PixelsOf


def evidence_of_files(
    images: ImageSet, rule: PreprocessingRule, seen: Survey, progress: Progress = ignore_progress
) -> Evidence:
    """Read each image once, and return what is known of the set.

    Args:
        images: the set, of which at least one image can be read.
        rule: how its images are preprocessed, as :func:`vaebench.data.survey.choose_rule` returns it.
        seen: the survey of the set.
        progress: receives the current task and the completed fraction in [0, 1].
    """
    measures, damaged = measure_images(images, rule, progress)
    at_least = max(rule.width, rule.height)

    def pixels_of(rows: Int[np.ndarray, " B"]) -> Shaped[np.ndarray, "B C H W"]:
        def preprocess(row: int) -> np.ndarray:
            return rule.pixels(images.read(row, at_least))

        black = np.zeros(rule.shape, rule.dtype)
        read = map_rows(images, preprocess, rows.tolist(), f"comparing {images.title}", ignore_progress, block=8)
        return np.stack([black if isinstance(pixels, str) else pixels for _, pixels in read])

    return _evidence(images, rule, seen, Pass(measures, damaged, pixels_of), progress)


def evidence_of_pixels(
    images: ImageSet,
    rule: PreprocessingRule,
    seen: Survey,
    done: Preprocessed,
    progress: Progress = ignore_progress,
) -> Evidence:
    """Return what is known of a set whose images are preprocessed already, without reading them again.

    Args:
        images: the set.
        rule: how its images were preprocessed.
        seen: the survey of the set.
        done: the pixels. Images that were left out though they can be read count, but are not compared.
        progress: receives the current task and the completed fraction in [0, 1].
    """
    rows = np.asarray(done.rows, int)
    place = np.zeros(len(images), int)
    place[rows] = np.arange(len(rows))
    task = f"inspecting {images.title}"
    measures = measure_pixels(done.pixels, rows, len(images), lambda done: progress(task, done))
    whole = Pass(measures, done.damaged, lambda some: np.asarray(done.pixels[place[some]]))
    return _evidence(images, rule, seen, whole, progress)


def _evidence(images: ImageSet, rule: PreprocessingRule, seen: Survey, done: Pass, progress: Progress) -> Evidence:
    measures, task = done.measures, f"comparing {images.title}"
    rows = np.flatnonzero(measures.known & ~measures.constant)
    groups = equal_groups(measures.pixel_hash, rows)
    later = np.setdiff1d(groups.rows, groups.rows[groups.starts])
    compared = np.setdiff1d(rows, later) if min(rule.width, rule.height) >= SMALLEST else rows[:0]
    candidates, more = candidate_pairs(measures, compared, lambda done: progress(task, done / 2))
    near = confirmed_pairs(candidates, done.pixels_of, callback=lambda done: progress(task, 0.5 + done / 2))
    progress(task, 1.0)
    return Evidence(
        images=images,
        seen=seen,
        rule=rule,
        measures=measures,
        unreadable=seen.skipped | done.damaged,
        equal=groups,
        near=near,
        values=sampled_values(seen, rule),
        near_not_compared=more,
    )
