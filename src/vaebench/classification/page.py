"""write_page(): a classification to report.html, one self-contained page."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from PIL import Image

from vaebench import __version__
from vaebench.classification import figures
from vaebench.classification.methods import DEFAULT, METHODS
from vaebench.classification.results import ClassificationResult, summary
from vaebench.classification.selection import LEAST
from vaebench.core.files import atomic, write_text
from vaebench.plotting.palette import clean
from vaebench.plotting.style import png, signed
from vaebench.plotting.templates import template

SHOWN_CLASSES = 20
SHOWN_EACH = 6
SHOWN_UNLIKE = 24
SHOWN_SUSPECTS = 24
SHOWN_SKIPPED = 50
DRAWN_CLASSES = 40
"""Classes up to which a confusion matrix and bars can be read."""


FIGURES: dict[str, tuple[str, str, figures.Draw]] = {
    "methods": (
        "Methods",
        "The chosen one in orange. All were taught by four fifths of the labels and tested on the rest, five times; "
        "the same folds for all.",
        figures.methods,
    ),
    "reliability": (
        "Can the probabilities be trusted?",
        "Answers in bins of confidence, the number of labels beside each. On the dashed line, "
        "answers of 80 % are right in 8 of 10 cases. Each fold's probabilities are calibrated by the others.",
        figures.reliability_diagram,
    ),
    "confusion": (
        "What is taken for what",
        "Held-out labels by the given class and the predicted one.",
        figures.confusion_matrix,
    ),
    "class-shares": (
        "How many of each class",
        "Shares of the classes among the labels and among all images as they are predicted. Where they differ much, "
        "labels were not drawn like the rest, and the accuracy to expect is that of images like the labelled ones.",
        figures.class_shares,
    ),
}
"""Title, caption and drawing of each figure."""


class Picture(NamedTuple):
    """An image of the page with its lines of text."""

    base64: str
    lines: tuple[str, ...]


class Drawn(NamedTuple):
    """A figure of the page."""

    title: str
    caption: str
    base64: str
    width: int


class Group(NamedTuple):
    """Pictures of one class."""

    title: str
    surest: list[Picture]
    least_sure: list[Picture]


def write_page(found: ClassificationResult) -> Path:
    """Write report.html, its figures as PNG, and the contact sheet of what to label next.

    Raises:
        VaebenchError: the folder cannot be written.
    """
    if len(found.asked):
        _draw(figures.contact_sheet(found), found.folder / "to-label-next.png")
    path = found.folder / "report.html"
    write_text(path, render(found))
    return path


def render(found: ClassificationResult) -> str:
    """The page as HTML; every name in it is escaped."""
    page = template(
        "page.html.j2",
        "vaebench.classification",
        thousands=lambda value: f"{value:,}",
        percent=lambda value: f"{100 * value:.1f} %",
        points=lambda value: signed(100 * value, ".1f"),
    )
    collection, choice = found.collection, found.choice
    return page.render(
        title=clean(collection.title),
        found=found,
        collection=collection,
        summary=summary(found),
        verdict=verdict(found),
        least=LEAST,
        default=METHODS[DEFAULT].words,
        validation=_validation(found),
        shares=_shares(found),
        groups=groups(found),
        many_classes=len(found.collection.classes) > DRAWN_CLASSES,
        suspects=suspects(found),
        suspected=len(choice.suspects()) if choice else 0,
        unlike=unlike(found),
        asked=asked(found),
        reasons=Counter(collection.skipped.values()).most_common(),
        skipped=[(clean(name), why) for name, why in list(collection.skipped.items())[:SHOWN_SKIPPED]],
        version=__version__,
    )


def verdict(found: ClassificationResult) -> list[str]:
    """What a person must know first, in sentences."""
    choice, collection = found.choice, found.collection
    if choice is None:
        fewest = min(zip(collection.counts, collection.classes, strict=True))
        return [
            f"Accuracy cannot be estimated from so few labels: {clean(fewest[1])} has {fewest[0]}, and {LEAST} of each "
            "class are needed for a cross-validation.",
            f"The {METHODS[DEFAULT].words} was used, as it is where nothing can be measured; its probabilities are "
            "softened by what other data chose, and were not checked on these images.",
        ]
    expected = choice.expected
    sentences = [
        f"Expect {100 * expected.accuracy:.0f} % of the answers to be right: between {100 * expected.low:.0f} and "
        f"{100 * expected.high:.0f} %, with 95 % confidence.",
        _winner(found),
    ]
    scores = choice.scores
    if scores["brier"] >= scores["brier_by_frequencies"]:
        sentences.append("Its probabilities are no better than the frequencies of the labels: do not rely on them.")
    return sentences


def _winner(found: ClassificationResult) -> str:
    assert found.choice is not None
    choice = found.choice
    rivals = sorted((name for name in choice.accuracies if name != choice.method), key=lambda n: -choice.accuracies[n])
    gap = choice.ahead(rivals[0])
    clear = gap.low > 0
    plain = choice.method in ("pca-line", "pixel-line", "supervised")
    share = f"{100 * choice.accuracies[choice.method]:.1f} %"
    told = f"{_upper(METHODS[choice.method].words)} did best on held-out labels ({share}) and is used; next is"
    told += f" {METHODS[rivals[0]].words}, {100 * gap.mean:.1f} points behind"
    told += f" ({signed(100 * gap.low, '.1f')} to {signed(100 * gap.high, '.1f')})"
    told += "." if clear else ": no clear difference."
    return told + (" A method without a VAE wins here." if plain and clear else "")


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _validation(found: ClassificationResult) -> list[Drawn]:
    """Figures on held-out labels."""
    if found.choice is None:
        return []
    few = len(found.collection.classes) <= DRAWN_CLASSES
    return [_drawn(found, name) for name in ("methods", "reliability", *(["confusion"] if few else []))]


def _shares(found: ClassificationResult) -> Drawn | None:
    return _drawn(found, "class-shares") if len(found.collection.classes) <= DRAWN_CLASSES else None


def _drawn(found: ClassificationResult, name: str) -> Drawn:
    title, caption, draw = FIGURES[name]
    image, width = _draw(draw(found), found.folder / "figures" / f"{name}.png")
    return Drawn(title, caption, base64.b64encode(image).decode(), width)


def _draw(figure: Figure, path: Path) -> tuple[bytes, int]:
    image = png(figure)
    with atomic(path) as temporary:
        temporary.write_bytes(image)
    return image, round(figure.get_figwidth() * 100)


def groups(found: ClassificationResult) -> list[Group]:
    """The surest and the least sure images without a label, of each class that is predicted."""
    shares, best = found.probabilities.max(1)
    free = torch.zeros(len(shares), dtype=torch.bool)
    free[found.collection.unlabelled] = True
    made = []
    for label, name in list(enumerate(found.collection.classes))[:SHOWN_CLASSES]:
        rows = torch.nonzero(free & (best == label))[:, 0]
        rows = rows[shares[rows].argsort(descending=True, stable=True)]
        surest, rest = rows[:SHOWN_EACH], rows[SHOWN_EACH:]
        both = surest.tolist(), rest.flip(0)[:SHOWN_EACH].tolist()
        ends = [_pictures(found, some, lambda row: _share(found, row)) for some in both]
        made.append(Group(f"{clean(name)}: {len(rows):,} images", *ends))
    return made


def _share(found: ClassificationResult, row: int) -> tuple[str, ...]:
    share, label = found.probabilities[row].max(0)
    return (f"{clean(found.collection.classes[int(label)])}, {100 * float(share):.0f}\N{NO-BREAK SPACE}%",)


def suspects(found: ClassificationResult) -> list[Picture]:
    """Labels that are likely wrong."""
    if found.choice is None:
        return []
    some = found.choice.suspects()[:SHOWN_SUSPECTS]
    rows = {int(found.collection.rows[place]): (place, guess, share) for place, guess, share in some}
    names = [clean(name) for name in found.collection.classes]

    def told(row: int) -> tuple[str, ...]:
        place, guess, share = rows[row]
        return (
            f"given: {names[int(found.collection.labels[place])]}",
            f"seems: {names[guess]}, {100 * share:.0f}\N{NO-BREAK SPACE}%",
        )

    return _pictures(found, list(rows), told)


def unlike(found: ClassificationResult) -> list[Picture]:
    """Images unlike the rest, the most unlike first."""
    order = (-found.rarities).argsort(kind="stable")[: min(SHOWN_UNLIKE, int(found.unlike.sum()))]
    return _pictures(found, order.tolist(), lambda row: _share(found, row))


def asked(found: ClassificationResult) -> list[Picture]:
    """What to label next."""
    return _pictures(found, found.asked.tolist(), lambda row: _share(found, row))


def _pictures(
    found: ClassificationResult, rows: Sequence[int], told: Callable[[int], tuple[str, ...]]
) -> list[Picture]:
    images = found.collection.thumbnails(rows, figures.THUMBNAIL)
    names = found.collection.names
    return [Picture(_inline(image), (*told(row), clean(names[row]))) for row, image in zip(rows, images, strict=True)]


def _inline(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()
