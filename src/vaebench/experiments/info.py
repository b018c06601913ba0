"""What an experiment is told about itself: its title, budgets and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

from vaebench.core.errors import VaebenchError

Budget = Literal["quick", "cpu", "full"]
BUDGETS: tuple[Budget, ...] = ("quick", "cpu", "full")


@runtime_checkable
class ExperimentInfo(Protocol):
    """Description of an experiment."""

    @property
    def title_in_short(self) -> str:
        """Name in progress messages and folders."""

    @property
    def minutes(self) -> Mapping[Budget, float | int]:
        """Expected minutes of each budget: quick and cpu on two cores, full on one GPU."""

    @property
    def captions(self) -> Mapping[str, str]:
        """Caption of each figure, by name."""


def check_budget(name: str) -> Budget:
    """Return the budget of this name.

    Raises:
        VaebenchError: there is no such budget.
    """
    for budget in BUDGETS:
        if budget == name:
            return budget
    raise VaebenchError(f"--budget is {name!r}; expected one of {', '.join(BUDGETS)}")
