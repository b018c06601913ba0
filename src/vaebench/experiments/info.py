"""What a study is about, as far as its machinery must know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

from vaebench.core.errors import VaebenchError

Budget = Literal["quick", "cpu", "full"]
BUDGETS: tuple[Budget, ...] = ("quick", "cpu", "full")


@runtime_checkable
class ExperimentInfo(Protocol):
    """What a study needs to know of its subject."""

    @property
    def title_in_short(self) -> str:
        """What progress and folders call it."""
        ...

    @property
    def minutes(self) -> Mapping[Budget, float | int]:
        """Time to expect: quick and cpu on two cores, full on one GPU."""
        ...

    @property
    def captions(self) -> Mapping[str, str]:
        """Every figure by name, with what to see in it."""
        ...


def check_budget(name: str) -> Budget:
    """The budget of this name.

    Raises:
        VaebenchError: there is no such budget.
    """
    for budget in BUDGETS:
        if budget == name:
            return budget
    raise VaebenchError(f"--budget is {name!r}; expected one of {', '.join(BUDGETS)}")
