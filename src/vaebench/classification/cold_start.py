"""propose_labels(): the images to label first, where no two classes have labels yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from vaebench.classification import figures
from vaebench.classification.active_learning import select_to_label_next
from vaebench.classification.collection import Collection
from vaebench.classification.label_page import saved_table, write_label_page
from vaebench.classification.results import write_to_label_next
from vaebench.classification.settings import Settings
from vaebench.classification.steps import Steps
from vaebench.core.files import write_bytes
from vaebench.data.printing import printable
from vaebench.plotting.style import png


@dataclass(frozen=True)
class LabelProposal:
    """Result of :func:`classify` where fewer than two classes have labels; its folder holds the same."""

    folder: Path
    collection: Collection
    settings: Settings
    to_label_next: Int[np.ndarray, " K"]
    """Rows of the images to label first: typical ones, of the largest clusters of latents without a label."""
    seconds: float

    def __repr__(self) -> str:
        return f"LabelProposal({self.collection!r}, {len(self.to_label_next)} images to label first, in {self.folder})"

    def sentences(self) -> list[str]:
        """Return why nothing is predicted, and what to do."""
        classes, count = self.collection.classes, len(self.to_label_next)
        reason = f"Only the class {printable(classes[0])} has labels" if classes else "No image has a label"
        first = f"{reason}: nothing is predicted before two classes have some."
        if not count:
            return [first, "All images are labelled; add images of another class."]
        return [
            first,
            f"The {count} images to label first are typical of the largest groups of similar images without a label.",
            "Label them in label.html, or in the last column of a copy of to-label-next.csv; then run",
            f"    {saved_table(self.folder, self.collection).command}",
        ]


def propose_labels(folder: Path, steps: Steps, count: int) -> LabelProposal:
    """Select at most ``count`` images by the latents of the VAE, and write them as table, contact sheet and page.

    Raises:
        VaebenchError: the folder is not writable.
    """
    collection, means = steps.collection, steps.latents.means
    steps.experiment.report("selecting images to label first")
    selected = select_to_label_next(means, collection.labelled_rows.numpy(), collection.labels.numpy(), count)
    rows = selected.tolist()
    write_to_label_next(folder, [collection.names[row] for row in rows], ())
    if rows:
        write_bytes(folder / "to-label-next.png", png(figures.contact_sheet(collection, rows, [""] * len(rows))))
        write_label_page(folder, collection, rows)
    steps.experiment.finish()
    return LabelProposal(folder, collection, steps.settings, selected, steps.seconds)
