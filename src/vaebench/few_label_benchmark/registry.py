"""All methods of the benchmark by key, with their data sets, numbers of labels and numbers of draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from vaebench.core.frozen import stable_key
from vaebench.data.augment import Augmentation
from vaebench.evaluation.probes import KNN, Head, Logistic
from vaebench.few_label_benchmark.context import PAIRED, AugmentationLevel
from vaebench.few_label_benchmark.methods import (
    BASELINES,
    FewLabelMethod,
    generative_method,
    mixture_method,
    probe_method,
    propagation_method,
    self_training_method,
    supervised_method,
)
from vaebench.models.networks import MLP
from vaebench.semi_supervised.label_propagation import LabelSpreading, PoissonLearning
from vaebench.semi_supervised.pseudo_labels import NetworkPseudoLabels
from vaebench.semi_supervised.self_training import SelfTraining
from vaebench.training.schedules import Adam, OneCycle

Group = Literal["baselines", "probes", "generative", "representations", "self-training", "supervised", "ablations"]
SMALL = ("mnist", "fashion-mnist")
SELECTION = ("mnist", "fashion-mnist", "quickdraw")
"""Data sets on which settings for others are chosen."""
ALL = ("mnist", "fashion-mnist", "quickdraw", "cifar10")
MORE_DRAWS, MORE_DRAWS_AT = 10, (1, 10, 100)
"""Draws of the main methods on the small data sets, at these labels per class."""


@dataclass(frozen=True)
class BenchmarkMethod:
    """A method with the data sets, labels per class and draws that it is run on."""

    group: Group
    method: FewLabelMethod
    settings: str
    """Identifies everything that decides its results."""
    augmentation: AugmentationLevel = "none"
    """Strongest augmentation that any part of it uses."""
    contexts: tuple[str, ...] = ALL
    counts: tuple[int, ...] = (1, 3, 10, 100)
    """Labels per class."""
    draws: Mapping[str, int] = field(default_factory=lambda: {"mnist": 5, "fashion-mnist": 5})
    """Draws by data set; 3 on others."""
    main: bool = False
    """Whether it is run with ``MORE_DRAWS``."""

    def count_draws(self, context: str, count: int) -> int:
        """Number of draws with ``count`` labels per class."""
        more = self.main and context in SMALL and count in MORE_DRAWS_AT
        return MORE_DRAWS if more else self.draws.get(context, 3)


HEAD = Head(
    name="mlp", network=MLP(hidden=(256,), dropout=0.3), epochs=50, optimiser=Adam(rate=3e-3), schedule=OneCycle()
)
LINEAR, POISSON, SPREADING = Logistic(), PoissonLearning(), LabelSpreading()


def _linear_and_poisson(
    group: Group, representation: str, contexts: tuple[str, ...] = ALL
) -> dict[str, BenchmarkMethod]:
    """Linear probe and Poisson learning on one representation."""
    method = partial(BenchmarkMethod, group, augmentation=PAIRED.get(representation, "none"), contexts=contexts)
    return {
        f"{representation}-line": method(probe_method(representation, LINEAR), stable_key(LINEAR)),
        f"{representation}-poisson": method(propagation_method(representation, POISSON), stable_key(POISSON)),
    }


def benchmark_methods(representation: str, method: SelfTraining, epochs: int = 6) -> dict[str, BenchmarkMethod]:
    """Methods of a data set by key.

    Args:
        representation: representation that was selected on other data sets.
        method: self-training that was selected on other data sets.
        epochs: epochs of the generative models.
    """
    steps = sum(method.rounds)
    augmentation = PAIRED[representation]
    frozen = propagation_method(representation, method.propagation)
    return {
        **_linear_and_poisson("baselines", "pixels"),
        **_linear_and_poisson("baselines", "pca"),
        **_linear_and_poisson("baselines", "random"),
        **_linear_and_poisson("probes", "elbo"),
        "elbo-knn": BenchmarkMethod("probes", probe_method("elbo", KNN()), stable_key(KNN())),
        "elbo-mlp": BenchmarkMethod("probes", probe_method("elbo", HEAD), stable_key(HEAD)),
        "elbo-spreading": BenchmarkMethod("probes", propagation_method("elbo", SPREADING), stable_key(SPREADING)),
        "elbo-clusters": BenchmarkMethod("probes", mixture_method("elbo"), "clusters"),
        **{
            kind: BenchmarkMethod(
                "generative", generative_method(kind, epochs), f"{kind} {epochs}", "none", SMALL, (1, 10, 100), {}
            )
            for kind in ("m2", "m1+m2", "auxiliary")
        },
        **_linear_and_poisson("representations", "local", SMALL),
        **_linear_and_poisson("representations", "mixture", SMALL),
        **_linear_and_poisson("representations", "consistent-3", SELECTION),
        **_linear_and_poisson("representations", "contrastive-30"),
        **_linear_and_poisson("representations", "contrastive-bold"),
        **_linear_and_poisson("representations", "contrastive-wide"),
        "frozen": BenchmarkMethod(
            "representations", frozen, f"{representation} {stable_key(method.propagation)}", augmentation, main=True
        ),
        "whole": BenchmarkMethod(
            "self-training",
            self_training_method(representation, method),
            f"{representation} {stable_key(method)}",
            augmentation,
            main=True,
        ),
        "supervised": _supervised("supervised", f"plain {steps}", steps // 2),
        "supervised-augmented": _supervised("supervised-augmented", f"augmented {steps}", steps, main=True),
        "supervised-bold": _supervised("supervised-bold", f"bold {steps}", steps),
        **_ablations(representation, method),
    }


def _supervised(baseline: str, settings: str, steps: int, main: bool = False) -> BenchmarkMethod:
    method = supervised_method(baseline, steps)
    return BenchmarkMethod("supervised", method, settings, BASELINES[baseline][1], main=main)


def _ablations(representation: str, method: SelfTraining) -> dict[str, BenchmarkMethod]:
    """Self-training without one of its components each."""
    none = Augmentation()
    ungraphed = method.model_copy(update={"pseudo_labeller": NetworkPseudoLabels()})
    return {
        "without-vae": _ablation(representation, method, fresh=True),
        "without-graph": _ablation(representation, ungraphed, graphed=False),
        "without-generative": _ablation(representation, _with_objective(method, generative=0.0)),
        "without-augmentation": _ablation("elbo", _with_objective(method, strong=none, weak=none)),
        "without-consistency": _ablation(representation, _with_objective(method, consistency=0.0)),
    }


def _ablation(representation: str, method: SelfTraining, fresh: bool = False, graphed: bool = True) -> BenchmarkMethod:
    return BenchmarkMethod(
        "ablations",
        self_training_method(representation, method, fresh, graphed),
        f"{representation} {fresh} {graphed} {stable_key(method)}",
        PAIRED.get(representation, "none"),
        SMALL,
        (1, 3, 10),
    )


def _with_objective(method: SelfTraining, **changes: float | Augmentation) -> SelfTraining:
    return method.model_copy(update={"objective": method.objective.model_copy(update=changes)})
