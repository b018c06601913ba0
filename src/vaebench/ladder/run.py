"""run_ladder(): the whole command: estimate, climb, few-labels.json, few-labels.md, figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from vaebench.files import atomic, read_json, write_json, write_text
from vaebench.ladder.climb import Climb
from vaebench.ladder.page import figures, page
from vaebench.runs import Watch, commit, locked
from vaebench.studies.hands import clocked, hands, helped, seconds_done
from vaebench.studies.study import Study
from vaebench.studies.subject import Budget
from vaebench.training.compute import Compute, machine

MOST_HANDS = 8
"""Each holds all data sets and their graphs, about 3 GB."""


class Ladder:
    """The subject of the study."""

    title_in_short = "few labels"
    minutes: Mapping[Budget, float | int] = {"quick": 1, "cpu": 315, "full": 600}
    """On two cores; the full budget on one GPU."""
    captions: Mapping[str, str] = {
        "learning-curves": "Test accuracy over labels a class: means of the draws, with 95 % intervals.",
        "generation": "Test images, and what three VAEs decode and draw: before self-training, after it from 10 labels "
        "a class, after it without the generative term. None of the images are chosen.",
        "parts": "What each part of the whole method is worth: the whole minus itself without the part, draw by draw, "
        "means of 5 draws with 95 % intervals. Right of 0 the part helps.",
    }


def minutes_done(out: Path, budget: Budget) -> float:
    """Minutes of the steps that are done already, as if done one by one by the hands that did them."""
    return seconds_done(out / "steps" / budget) / 60


def run_ladder(budget: Budget, out: Path, watch: Watch = lambda tick: None, compute: Compute | None = None) -> Study:
    """Climb, going on where an earlier call stopped; writes ``few-labels.json``, ``few-labels-made.json``,
    ``few-labels.md`` and ``few-labels/*.png`` into ``out``. Where the processor has several cores, processes of one
    thread share the work.

    Raises:
        VaebenchError: data that cannot be had, or a folder in use.
        KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    folder, compute = out / "steps" / budget, (compute or Compute()).resolve()
    count = hands(compute, MOST_HANDS)
    compute = compute.model_copy(update={"threads": 1}) if count > 1 else compute
    with locked(folder):
        sources = commit()
        study = Study(Ladder(), budget, folder, compute, clocked(watch, folder, Ladder.minutes[budget]), hands=count)
        climb = Climb(study)
        with (
            threadpool_limits(compute.threads),
            helped(count - 1, help_climbing, (budget, folder, compute, count)),
        ):
            climb.perform()
        figures(study, climb.rows, {name: found.arrays for name, found in climb.kept.items()})
        _publish(study, climb, out, sources)
    study.finish()
    return study


def help_climbing(budget: Budget, folder: Path, compute: Compute, count: int) -> None:
    """What another hand does: the same steps, without the rows."""
    with threadpool_limits(compute.threads):
        Climb(Study(Ladder(), budget, folder, compute, hands=count)).perform()


def _publish(study: Study, climb: Climb, out: Path, sources: str | None) -> None:
    made_file = out / "few-labels-made.json"
    made: dict[str, Any] = read_json(made_file) if made_file.exists() else {}
    if study.made or made.get("budget") != study.budget:
        made = {
            "budget": study.budget,
            "seconds": round(study.seconds / study.hands, 1),
            "date": time.strftime("%Y-%m-%d"),
            "commit": sources,
            "machine": machine(),
            "compute": study.compute.model_dump(),
            "shared_seconds": climb.shared_seconds(),
            "choices": {name: choice._asdict() for name, choice in climb.choices.items()},
        }
    for name, image in study.drawn.items():
        with atomic(out / "few-labels" / f"{name}.png") as temporary:
            temporary.write_bytes(image)
    write_json(out / "few-labels.json", climb.rows)
    write_json(made_file, made)
    write_text(out / "few-labels.md", page(climb.rows, made, Ladder.captions))
