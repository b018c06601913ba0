"""write_report(): a finished run to report.html, one self-contained page, and its figures as PNG."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.core.files import atomic, write_text
from vaebench.models.priors import StandardNormal
from vaebench.plotting.palette import clean
from vaebench.plotting.style import png, representation_title, signed
from vaebench.plotting.templates import template
from vaebench.runs.report.figures import FIGURES
from vaebench.runs.report.tables import (
    BESIDE,
    accuracy_rows,
    accuracy_table,
    data_title,
    facts,
    label_counts,
    nats_table,
    probe_names,
    recipe_text,
    samples_table,
    stage_table,
)
from vaebench.runs.report.verdict import Verdict, verdict
from vaebench.runs.run import Run

EXPLORER = "explorer.html"
SECTIONS = {
    "alarms": "Alarms",
    "verdict": "What the latents were worth",
    "explore": "Explore",
    "nats": "Nats",
    "training": "Training",
    "images": "Images",
    "latents": "Inside the code",
    "errors": "Errors",
    "how": "How this was run",
}


@dataclass(frozen=True)
class Shown:
    """A figure as the page holds it."""

    name: str
    section: str
    title: str
    caption: str
    alt: str
    base64: str
    width: int


def write_report(run: Run) -> Path:
    """Write report.html, figures/*.png and, where it can be made, explorer.html into the run's folder.

    Raises:
        VaebenchError: the run is not finished, or the folder cannot be written.
    """
    shown = [_shown(run, name) for name, panel in FIGURES.items() if panel.applies(run)]
    page = run.path / "report.html"
    write_text(page, render(run, shown, _explorer(run)))
    return page


def _explorer(run: Run) -> str | None:
    """Write the explorer, or say why there can be none: the report does not fail for it."""
    if why := run.unexplorable:
        return why
    try:
        run.explore().write(run.path / EXPLORER)
    except VaebenchError as error:
        return str(error)
    return None


def _name(run: Run) -> str:
    """The recipe, and the data where it is not named after them."""
    recipe, data = run.recipe.name, clean(run.results["data"]["name"])
    return recipe if recipe == data else f"{recipe} on {data}"


def render(run: Run, shown: list[Shown], unexplorable: str | None) -> str:
    """The page as HTML; every name and number in it is escaped. ``unexplorable`` says why there is no explorer."""
    accuracies = [(probe, accuracy_table(run, probe)) for probe in probe_names(run) if probe not in BESIDE]
    if not accuracies and accuracy_rows(run):
        accuracies = [("networks on images", accuracy_table(run, ""))]
    alarms = run.results["alarms"]
    found = verdict(run) if accuracies else None
    present = {figure.section for figure in shown} | {"explore", "nats", "how"} | ({"alarms"} if alarms else set())
    return template("report.html.j2", "vaebench.runs.report").render(
        name=_name(run),
        lead=lead(run),
        explorer=EXPLORER,
        unexplorable=unexplorable,
        contents=[(key, title) for key, title in SECTIONS.items() if key in present],
        alarms=alarms,
        verdict=found,
        accuracies=accuracies,
        counts=label_counts(run),
        differences=_differences(found, label_counts(run)) if found else [],
        draws=run.recipe.evaluation.draws,
        training_images=run.results["data"]["images"]["train"],
        nats=nats_table(run),
        nats_notes=nats_notes(run),
        samples=samples_table(run),
        stages=stage_table(run),
        facts=facts(run),
        recipe=recipe_text(run),
        signed=lambda value: signed(value, ".3f"),
        shown_in=lambda section: [figure for figure in shown if figure.section == section],
    )


def lead(run: Run) -> str:
    """One line on what was run."""
    recipe, images = run.recipe, run.results["data"]["images"]
    channels, height, width = run.results["image_shape"]
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
    objective = recipe.model_dump(mode="json")["objective"]
    beta = f" at beta {objective['beta']:g}" if "beta" in objective else ""
    prior = recipe.model_dump(mode="json")["model"]["prior"]["kind"]
    beta += "" if prior == "standard-normal" else f", {prior} prior"
    return (
        f"A VAE with {recipe.model.latent} latent{'' if recipe.model.latent == 1 else 's'} "
        f"({objective['kind']}{beta}) trained without labels on {images['train']:,} {kind} images of "
        f"{height} x {width} from {data_title(run)}, measured on {images['test']:,} test images."
    )


def nats_notes(run: Run) -> list[str]:
    """What a reader must know before comparing the nats."""
    likelihood = run.recipe.model_dump(mode="json")["model"]["likelihood"]["kind"]
    notes = [f"Likelihood: {likelihood}. One sample of z for each image; ELBO = -reconstruction - KL, at beta 1."]
    if not isinstance(run.recipe.model.prior, StandardNormal):
        notes.append(
            "The prior is learned and does not factorise: the KL is estimated at one sample of z, and the KL per "
            "latent is to a Gaussian with the moments of all codes, so that the latents' do not sum to it."
        )
    shades = np.setdiff1d(run.panels["reconstruction_images"], [0, 255]).size
    if likelihood == "bernoulli" and shades:
        kind = "grey" if run.results["image_shape"][0] == 1 else "colour"
        notes.append(
            f"Cross-entropy on {kind} pixels: not a density, so these nats compare only with others made the same "
            "way (use continuous-bernoulli for a density)."
        )
    return notes


def _differences(found: Verdict, counts: list[int | str]) -> list[tuple[str, list[Any]]]:
    rows = []
    for rival, cells in groupby(found.comparisons, key=lambda cell: cell.rival):
        by_count = {cell.labels_per_class: cell for cell in cells}
        rows.append((representation_title(rival), [by_count.get(count) for count in counts]))
    return rows


def _shown(run: Run, name: str) -> Shown:
    """Draw one figure, write it as PNG, and keep it for the page."""
    panel = FIGURES[name]
    figure = panel.figure(run)
    image = png(figure)
    with atomic(run.path / "figures" / f"{name}.png") as temporary:
        temporary.write_bytes(image)
    note = run.results["data"]["note"]
    caption = f"{panel.caption} Data: {data_title(run)}." if note and name == "learning-curve" else panel.caption
    width = round(figure.get_figwidth() * 100)
    alt = f"{panel.title}, {clean(run.results['data']['name'])}"
    return Shown(name, panel.section, panel.title, caption, alt, base64.b64encode(image).decode(), width)
