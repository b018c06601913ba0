"""vaebench sweep: a recipe over a grid of its fields and over seeds."""

from __future__ import annotations

from pathlib import Path

from vaebench.cli.options import number, option
from vaebench.cli.terminal import progress
from vaebench.core.errors import VaebenchError
from vaebench.core.memory import keep_freed_memory


def sweep(words: list[str]) -> int:
    """The command."""
    from vaebench.runs.overrides import overridden
    from vaebench.runs.recipe import find_recipe
    from vaebench.sweeps.cluster import Cluster
    from vaebench.sweeps.grid import axis
    from vaebench.sweeps.page import verdict, write_page
    from vaebench.sweeps.sweep import local
    from vaebench.sweeps.sweep import sweep as swept

    if words[0].startswith("-"):
        raise VaebenchError(f"vaebench sweep takes a recipe before its options, not {words[0]!r}; see vaebench list")
    base, words = find_recipe(words[0]), words[1:]
    words, out = option(words, "--out")
    words, seeds = option(words, "--seeds")
    words, workers = option(words, "--workers")
    words, address = option(words, "--ray")
    if workers is not None and address is not None:
        raise VaebenchError("--workers is for this machine and --ray for a cluster; give one of them")
    axes = []
    while (found := option(words, "--grid"))[1] is not None:
        words, word = found
        axes.append(axis(str(word)))
    base = overridden(base, words, f"recipe {base.name}")
    count = None if workers is None else int(number("--workers", workers, whole=True))
    executor = local(count) if address is None else Cluster(address)
    keep_freed_memory()
    with progress() as callback:
        answer = swept(
            base,
            axes,
            seeds=1 if seeds is None else int(number("--seeds", seeds, whole=True)),
            folder=Path(out) if out else Path("runs") / f"sweep-{base.name}",
            executor=executor,
            callback=callback,
        )
    print(verdict(answer))
    failed = [error for point in answer.points for error in point.errors]
    for error in failed:
        print(f"failed: {error}")
    print(f"open {write_page(answer)}")
    return 1 if failed else 0
