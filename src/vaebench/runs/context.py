"""`RunContext`: what the stages of a run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vaebench.core.progress import ProgressCallback, ProgressEvent, StageTimer
from vaebench.data.images import Dataset
from vaebench.runs.recipe import Recipe


@dataclass(frozen=True)
class RunContext:
    """Recipe, folder and data of a run, the seconds of its stages, and the receiver of its progress."""

    recipe: Recipe
    folder: Path
    data: Dataset
    timer: StageTimer
    callback: ProgressCallback

    @property
    def claims(self) -> Path:
        """Folder of what the processes that share this run leave for each other; it exists while they do."""
        return self.folder / "claims"

    def progress(self, stage: str, scale: float = 1.0) -> Callable[[float], None]:
        """Function that reports the completed fraction, times ``scale``, of a stage."""
        return lambda done: self.callback(ProgressEvent(stage, scale * done))
