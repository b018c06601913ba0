"""`write_report()`: the report of a finished run, a self-contained page, with its figures as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vaebench.core.errors import VaebenchError
from vaebench.core.files import write_bytes, write_text
from vaebench.evaluation.learning_curves import LabelCount
from vaebench.models.code_priors import UniformCodes
from vaebench.models.priors import StandardNormal
from vaebench.models.quantised import QuantisedModel
from vaebench.models.registry import PretrainedModel
from vaebench.plotting.channels import composite_description
from vaebench.plotting.palette import clean
from vaebench.plotting.style import representation_title, signed
from vaebench.plotting.templates import template
from vaebench.runs.report.figures import FIGURES, EmbeddedFigure, embed
from vaebench.runs.report.tables import (
    accuracy_rows,
    accuracy_table,
    data_title,
    elbo_table,
    facts,
    label_counts,
    probe_names,
    recipe_text,
    samples_table,
    stage_table,
    without_probe,
)
from vaebench.runs.report.verdict import BaselineComparison, Verdict, verdict
from vaebench.runs.run import Run

EXPLORER = "explorer.html"
TEST_IMAGES = ("reconstructions", "channels", "worst-reconstructions", "nearest-training-images", "map-images")
"""Figures that show images of the data."""
INSPECTION = "inspection.html"
SECTIONS = {
    "alarms": "Alarms",
    "reading": "How the images were read",
    "verdict": "Few-label accuracy",
    "explore": "Latent explorer",
    "nats": "ELBO and KL",
    "training": "Training",
    "images": "Images",
    "latents": "Latent space",
    "errors": "Classification errors",
    "how": "Run details",
}


def write_report(run: Run) -> Path:
    """Write report.html, figures/*.png and, if possible, explorer.html into the run's folder; return the page's path.

    Raises:
        VaebenchError: the run is not finished, or the folder cannot be written.
    """
    figures = [_write_figure(run, name) for name, panel in FIGURES.items() if panel.applies(run)]
    obstacle = run.explorer_obstacle
    if obstacle is None:
        try:
            run.explore().write(run.path / EXPLORER)
        except VaebenchError as error:  # the report is written anyway
            obstacle = str(error)
    page = run.path / "report.html"
    write_text(page, render(run, figures, obstacle))
    return page


def render(run: Run, figures: list[EmbeddedFigure], explorer_obstacle: str | None) -> str:
    """Return the page as HTML, with every name escaped; ``explorer_obstacle`` is the reason for a missing explorer."""
    accuracies = [(probe, accuracy_table(run, probe)) for probe in probe_names(run) if probe not in without_probe(run)]
    if not accuracies and accuracy_rows(run):
        accuracies = [("networks on images", accuracy_table(run, ""))]
    data, alarms, counts = clean(run.results["data"]["name"]), run.results["alarms"], label_counts(run)
    judgement = verdict(run) if accuracies else None
    present = {"explore", "nats", "how", *(FIGURES[figure.name].section for figure in figures)}
    present |= {"alarms"} if alarms else set()
    reading = run.results["data"].get("warnings", [])
    present |= {"reading"} if reading else set()
    return template("report.html.j2", "vaebench.runs.report").render(
        name=run.recipe.name if run.recipe.name == data else f"{run.recipe.name} on {data}",
        lead=lead(run),
        explorer=EXPLORER,
        explorer_obstacle=explorer_obstacle,
        contents=[(key, title) for key, title in SECTIONS.items() if key in present],
        alarms=alarms,
        reading=[clean(sentence) for sentence in reading],
        inspection=INSPECTION if (run.path / INSPECTION).exists() else None,
        verdict=judgement,
        accuracies=accuracies,
        counts=counts,
        differences=_differences(judgement, counts) if judgement else [],
        methods=[representation_title(method.name) for method in run.recipe.evaluation.semi_supervised],
        draws=run.recipe.evaluation.draws,
        training_images=run.results["data"]["images"]["train"],
        elbo=elbo_table(run),
        elbo_notes=elbo_notes(run),
        samples=samples_table(run),
        stages=stage_table(run),
        facts=facts(run),
        recipe=recipe_text(run),
        signed=lambda value: signed(value, ".3f"),
        data=data,
        figures_in=lambda section: [figure for figure in figures if FIGURES[figure.name].section == section],
    )


def lead(run: Run) -> str:
    """Return one sentence on the VAE and its data."""
    recipe, images = run.recipe, run.results["data"]["images"]
    channels, height, width = run.results["image_shape"]
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
    values = recipe.model_dump(mode="json")
    objective, prior = values["objective"], values["model"].get("prior", {}).get("kind", "standard-normal")
    details = f" at beta {objective['beta']:g}" if "beta" in objective else ""
    details += "" if prior == "standard-normal" else f", {prior} prior"
    first = "started from a VAE of objective " if isinstance(recipe.model, PretrainedModel) else ""
    start = clean("".join(f" {sentence}" for sentence in run.results.get("start", [])))
    return (
        f"A {recipe.model.title} ({first}{objective['kind']}{details}) trained without labels on "
        f"{images['train']:,} {kind} images of {height} x {width} pixels from {data_title(run)}, evaluated on "
        f"{images['test']:,} test images.{start}"
    )


def elbo_notes(run: Run) -> list[str]:
    """Caveats on comparing scores in nats."""
    likelihood = run.recipe.model_dump(mode="json")["model"].get("likelihood", {}).get("kind", "bernoulli")
    notes = [f"Likelihood: {likelihood}. One sample of z for each image; ELBO = -reconstruction - KL, at beta 1."]
    if isinstance(run.recipe.model, QuantisedModel):
        notes.append(_discrete_note(run.recipe.model))
    elif not isinstance(getattr(run.recipe.model, "prior", None), StandardNormal):
        notes.append(
            "The prior is learned and does not factorise: the KL is estimated at one sample of z. The KL per latent is "
            "to a Gaussian with the moments of all codes, and does not sum to the KL."
        )
    shades = np.setdiff1d(run.panels["reconstruction_images"], [0, 255]).size
    if likelihood == "bernoulli" and shades:
        kind = "colour" if run.results["image_shape"][0] == 3 else "grey"
        notes.append(
            f"The Bernoulli likelihood on {kind} pixels is not a density: these nats are comparable only with others "
            "of the same likelihood (use continuous-bernoulli for a density)."
        )
    return notes


def _discrete_note(model: QuantisedModel) -> str:
    """How the ELBO of discrete latents is to be read."""
    nats = np.log(model.sizes).sum()
    prior = (
        f"With the uniform prior the KL is {nats:.2f} nats for every image: the sum over groups of log(codes)."
        if isinstance(model.prior, UniformCodes)
        else f"The KL is -log p(codes) under the autoregressive prior; a uniform prior would give {nats:.2f} nats."
    )
    return (
        f"Each image has one code in each of {len(model.sizes)} groups: q(z|x) has one value, so the ELBO, a bound "
        f"on log p(x), has no error of sampling, and there is no importance-weighted log p(x). {prior}"
    )


def _differences(judgement: Verdict, counts: list[LabelCount]) -> list[tuple[str, list[BaselineComparison | None]]]:
    """Comparisons with each baseline, one per label count."""
    cells = {(cell.baseline, cell.labels_per_class): cell for cell in judgement.comparisons}
    baselines = dict.fromkeys(cell.baseline for cell in judgement.comparisons)
    return [(representation_title(name), [cells.get((name, count)) for count in counts]) for name in baselines]


def _write_figure(run: Run, name: str) -> EmbeddedFigure:
    """Draw a figure, write it as PNG, and return it for the page."""
    panel, caption = FIGURES[name], FIGURES[name].caption
    if run.results["data"]["note"] and name == "learning-curve":
        caption += f" Data: {data_title(run)}."
    if name == "channels":
        colours = composite_description(run.results["image_shape"][0], run.results.get("channel_names", ()))
        caption += f" In the composite {colours}."
    if run.results["data"].get("unknown_pixels") and name in TEST_IMAGES:
        caption += " Unknown pixels are black."
    if name == "interpolations" and "code_counts" in run.panels:
        caption += " Each step is decoded from the vectors nearest to it that the codes have."
    figure = embed(panel.figure(run), name, panel.title, caption)
    write_bytes(run.path / "figures" / f"{name}.png", figure.png)
    return figure
