"""Pixels and findings of a set of images, made once and stored; an interrupted reading continues."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vaebench.core.files import read_json, write_text
from vaebench.core.steps import content_key
from vaebench.data.blocks import Written, read_pixels, write_pixels
from vaebench.data.checks.duplicates import Groups
from vaebench.data.checks.evidence import Evidence
from vaebench.data.checks.gathering import Preprocessed, evidence_of_pixels
from vaebench.data.checks.inspection import describe, further_sentences
from vaebench.data.checks.measures import no_measures
from vaebench.data.checks.warnings import IMAGE_CHECKS, LABEL_CHECKS, image_warnings
from vaebench.data.image_set import ImageSet
from vaebench.data.images import Progress
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.reading import Reading, check_readable, describe_greyed, describe_reading
from vaebench.data.survey import Survey, choose_rule, survey
from vaebench.data.survey_files import read_survey, write_survey
from vaebench.inspection.page import write_page

SCHEMA = 2
PAGE = "inspection.html"


def read_images(images: ImageSet, reading: Reading, folder: Path, progress: Progress) -> dict[str, Any]:
    """Preprocess all readable images and write the page of their inspection, unless both are done already.

    Returns:
        ``pixels``, the file; ``names`` of its rows; ``rule``; ``skipped``, the reasons by name; sentences ``reading``
        and ``image_warnings``; ``equal`` and ``near``, rows of images that are alike; ``page_of``, a hash of the labels
        that the page shows.

    Raises:
        VaebenchError: no image can be read, or the folder cannot be written.
    """
    identity = {
        "schema": SCHEMA,
        "files": images.fingerprint(),
        "side": reading.side,
        "projection": reading.projection,
    }
    record_file, survey_file, pixels = folder / "images.json", folder / "survey.json", folder / "pixels.npy"
    surveyed = survey_file.with_suffix(".npz")

    def look() -> dict[str, Any]:
        seen = survey(images, progress)
        check_readable(images.path, seen.formats.total(), seen.skipped)
        write_survey(surveyed, seen)
        return {}

    def read() -> dict[str, Any]:
        record_file.unlink(missing_ok=True)
        _stored(survey_file, identity, look)
        seen = read_survey(surveyed)
        rule = choose_rule(seen, reading.side, reading.projection)
        written = write_pixels(images, rule, pixels, progress, str(identity["files"]))
        return _describe(images, (rule, seen), written, pixels, progress)

    if not pixels.exists():
        record_file.unlink(missing_ok=True)
    if not surveyed.exists():
        survey_file.unlink(missing_ok=True)
    record = _stored(record_file, identity, read)
    survey_file.unlink(missing_ok=True)
    if record["page_of"] != _labels_key(images) and surveyed.exists():
        _renew_page(images, record, read_survey(surveyed), pixels, progress)
        write_text(record_file, json.dumps(record | {"page_of": _labels_key(images)}))
    return record | {"pixels": str(pixels)}


def _renew_page(images: ImageSet, record: dict[str, Any], seen: Survey, pixels: Path, progress: Progress) -> None:
    done = _preprocessed(images, record["names"], record["skipped"], pixels)
    rule = PreprocessingRule(**record["rule"])
    _write_page(evidence_of_pixels(images, rule, seen, done, progress), pixels, progress)


def _labels_key(images: ImageSet) -> str:
    """Return a hash of what the page says of labels."""
    return content_key([list(images.labels), list(images.classes), list(images.warnings)])


def _preprocessed(images: ImageSet, names: Sequence[str], damaged: dict[str, str], pixels: Path) -> Preprocessed:
    row_of = {name: row for row, name in enumerate(images.names)}
    return Preprocessed(read_pixels(pixels), [row_of[name] for name in names], damaged)


def _write_page(evidence: Evidence, pixels: Path, progress: Progress) -> None:
    """Write the page of the inspection beside the folder of the pixels."""
    write_page(describe(evidence), evidence.images, pixels.parent.parent / PAGE, progress)


def _stored(path: Path, identity: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The record in a file if it has this identity, else that of ``compute()``, which is stored."""
    record: dict[str, Any] | None = read_json(path) if path.exists() else None
    if not record or record["identity"] != identity:
        record = {"identity": identity} | compute()
        write_text(path, json.dumps(record))  # ASCII: file names need not be valid Unicode
    return record


def _describe(
    images: ImageSet, how: tuple[PreprocessingRule, Survey], written: Written, pixels: Path, progress: Progress
) -> dict[str, Any]:
    """Write the page of the inspection, and return what is known of the images whatever their labels are."""
    rule, seen = how
    done = _preprocessed(images, written.names, written.skipped, pixels)
    evidence = evidence_of_pixels(images, rule, seen, done, progress)
    _write_page(evidence, pixels, progress)
    silent = replace(images, warnings=())
    sentences = (*describe_reading(silent, seen, rule, written.skipped), *describe_greyed(written.greyed))
    unlabelled = replace(evidence, images=replace(silent, labels=(), classes=()))
    return {
        "rule": rule.model_dump(mode="json"),
        "names": written.names,
        "skipped": seen.skipped | written.skipped,
        "reading": sentences,
        "image_warnings": further_sentences(image_warnings(unlabelled, IMAGE_CHECKS)),
        "equal": [evidence.equal.rows.tolist(), evidence.equal.starts.tolist()],
        "near": evidence.near.tolist(),
        "page_of": _labels_key(images),
    }


def label_warnings(images: ImageSet, record: dict[str, Any]) -> tuple[str, ...]:
    """Return the warnings about labels, classes and parts, each with what to do; labels may be other than before."""
    rule, (rows, starts) = PreprocessingRule(**record["rule"]), (np.array(each, int) for each in record["equal"])
    evidence = Evidence(
        images=images,
        seen=Survey(Counter(), {}, {}, True),
        rule=rule,
        measures=no_measures(0),
        unreadable=record["skipped"],
        equal=Groups(rows, starts),
        near=np.array(record["near"], int).reshape(-1, 2),
        values=np.zeros((0, rule.channels), np.float32),
    )
    return further_sentences(image_warnings(evidence, LABEL_CHECKS))
