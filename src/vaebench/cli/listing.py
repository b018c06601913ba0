"""vaebench list: everything that has a name."""

from __future__ import annotations

import json

from vaebench.core.errors import VaebenchError


def show(words: list[str]) -> int:
    """The command."""
    if unknown := [word for word in words if word != "--json"]:
        raise VaebenchError(f"vaebench list takes only --json, not {unknown[0]!r}")
    parts = _parts()
    if "--json" in words:
        print(json.dumps(parts, indent=1))
        return 0
    for title, names in parts.items():
        print(f"{title}: {', '.join(names)}")
    return 0


def _parts() -> dict[str, list[str]]:
    from vaebench.data.datasets import DATASETS
    from vaebench.evaluation.probes import PROBES
    from vaebench.models.likelihoods import LIKELIHOODS
    from vaebench.models.networks import NETWORKS
    from vaebench.models.objectives import OBJECTIVES
    from vaebench.models.posteriors import POSTERIORS
    from vaebench.models.priors import PRIORS
    from vaebench.papers.registry import PAPERS
    from vaebench.runs.recipe import RECIPES
    from vaebench.training.schedules import OPTIMISERS, SCHEDULES

    return {
        "recipes": list(RECIPES),
        "papers": [f"{short} ({paper.name})" for short, paper in PAPERS.items()],
        "data sets": list(DATASETS),
        "networks": list(NETWORKS),
        "likelihoods": list(LIKELIHOODS),
        "posteriors": list(POSTERIORS),
        "priors": list(PRIORS),
        "objectives": list(OBJECTIVES),
        "optimisers": list(OPTIMISERS),
        "schedules": list(SCHEDULES),
        "probes": list(PROBES),
    }
