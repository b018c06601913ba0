"""image_warnings(): every check of a set of images is one entry of LABEL_CHECKS, IMAGE_CHECKS or CHECKS."""

from __future__ import annotations

from vaebench.data.checks import image_checks, label_checks
from vaebench.data.checks.evidence import Check, Evidence, ImageWarning

LABEL_CHECKS: tuple[Check, ...] = (
    image_checks.equal_images,
    label_checks.classes_of_parts,
    label_checks.doubtful_classes,
    label_checks.alike_classes,
    label_checks.rare_classes,
    label_checks.imbalance,
    image_checks.near_duplicates,
)
"""Checks whose sentences depend on labels and parts, and neither on the survey nor on the measures."""
IMAGE_CHECKS: tuple[Check, ...] = (
    image_checks.flat_images,
    image_checks.parts_of_other_brightness,
    image_checks.stored_values,
    image_checks.unknown_pixels,
    image_checks.sizes,
    image_checks.grey_images,
)
"""Checks that depend on images and parts, whatever the labels are."""
CHECKS: tuple[Check, ...] = (
    image_checks.too_few,
    image_checks.unreadable_images,
    *LABEL_CHECKS,
    *IMAGE_CHECKS,
    label_checks.unlabelled_images,
    label_checks.sentences_of_reader,
)
"""All in the order of their weight; to add a warning, register its check in one of the three."""
FIRST = (
    "few-images",
    "equal-across-parts",
    "equal-with-other-labels",
    "near-across-parts",
    "near-with-other-labels",
    "equal",
)
"""Kinds that come before all others, whatever check they are of."""


def image_warnings(evidence: Evidence, checks: tuple[Check, ...] = CHECKS) -> tuple[ImageWarning, ...]:
    """Return the warnings of these checks, worst first."""
    warnings = [warning for check in checks for warning in check(evidence)]
    return tuple(sorted(warnings, key=lambda each: FIRST.index(each.kind) if each.kind in FIRST else len(FIRST)))
