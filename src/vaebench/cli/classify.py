"""vaebench classify and vaebench predict: a user's own images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from vaebench.cli.options import number, option
from vaebench.cli.terminal import progress
from vaebench.core.errors import VaebenchError
from vaebench.core.memory import keep_freed_memory
from vaebench.data.listing import printable

LEAST_SIZE, GREATEST_SIZE = 8, 512


def classify(words: list[str]) -> int:
    """The command."""
    words, out = option(words, "--out")
    words, size = option(words, "--size")
    labels = []
    while (found := option(words, "--labels"))[1] is not None:
        words, name = found
        labels.append(Path(str(name)))
    path = _one_path(words, "vaebench classify takes the path of your images and its options")
    side = None if size is None else int(number("--size", size, whole=True))
    if side is not None and not LEAST_SIZE <= side <= GREATEST_SIZE:
        raise VaebenchError(f"--size is {side}; expected {LEAST_SIZE} to {GREATEST_SIZE} pixels")

    from vaebench.classification.job import classify as classified
    from vaebench.classification.page import verdict, write_page

    keep_freed_memory()
    with progress() as callback:
        messages = partial(print, flush=True)
        answer = classified(path, labels, out, side=side, callback=callback, message_callback=messages)
    for line in (*answer.collection.warnings, *verdict(answer)):
        print(line)
    if answer.onnx is None:
        print("model.onnx was not written: it needs pip install 'vaebench[onnx]'")
    print(f"open {write_page(answer)}")
    return 0


def predict(words: list[str]) -> int:
    """The command."""
    words, out = option(words, "--out")
    if len(words) != 2 or words[1].startswith("-"):
        given = " ".join(words) or "nothing"
        raise VaebenchError(f"vaebench predict takes a model folder and the path of images, not {given!r}")

    from vaebench.classification.predict import predict as predicted
    from vaebench.classification.predict import write_predicted

    with progress() as callback:
        answer = predicted(words[0], words[1], callback)
    path = Path(out or "predictions.csv")
    write_predicted(path, answer)
    print(f"{len(answer.names):,} images, {int(answer.outliers.sum()):,} of them outliers")
    for name, why in list(answer.skipped.items())[:10]:
        print(f"skipped {printable(name)}: {why}")
    if len(answer.skipped) > 10:
        print(f"... {len(answer.skipped):,} skipped in all")
    print(f"open {path}")
    return 0


def _one_path(words: list[str], told: str) -> Path:
    if len(words) != 1 or words[0].startswith("-"):
        raise VaebenchError(f"{told}, not {' '.join(words) or 'nothing'!r}")
    return Path(words[0])
