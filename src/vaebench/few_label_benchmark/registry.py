"""RUNGS: every method of the ladder with its words, its published figure, and how often it is tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vaebench.core.frozen import stable_key
from vaebench.data.augment import Augmentation
from vaebench.evaluation.probes import KNN, Head, Logistic
from vaebench.few_label_benchmark.context import PAIRED, Knowledge
from vaebench.few_label_benchmark.differences import WITHOUT
from vaebench.few_label_benchmark.methods import (
    RIVALS,
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

Group = Literal["baselines", "readers", "generative", "representations", "whole", "rivals", "without"]
SMALL = ("mnist", "fashion-mnist")
CHOOSERS = ("mnist", "fashion-mnist", "quickdraw")
"""Those on which settings for others are chosen."""
EVERY = ("mnist", "fashion-mnist", "quickdraw", "cifar10")


@dataclass(frozen=True)
class BenchmarkMethod:
    """One method."""

    words: str
    """What it is, for a table."""
    group: Group
    method: FewLabelMethod
    settings: str
    """All that decides it, for the identity of its cells."""
    knowledge: Knowledge = "nothing"
    """Of augmentation, the most that any part of it has."""
    contexts: tuple[str, ...] = EVERY
    counts: tuple[int, ...] = (1, 3, 10, 100)
    draws: Mapping[str, int] = field(default_factory=lambda: {"mnist": 5, "fashion-mnist": 5})
    """Draws in each arena; 3 where it names none."""
    headline: bool = False
    """Ten draws on the small data sets at the counts of the headline."""

    def draws_at(self, context: str, count: int) -> int:
        """How many draws of so many labels a class are tried."""
        return 10 if self.headline and context in SMALL and count in HEADLINE else self.draws.get(context, 3)


HEADLINE = (1, 10, 100)
HEAD = Head(
    name="mlp", network=MLP(hidden=(256,), dropout=0.3), epochs=50, optimiser=Adam(rate=3e-3), schedule=OneCycle()
)
LINE, POISSON, SPREADING = Logistic(), PoissonLearning(), LabelSpreading()


def _read(
    words: str, group: Group, representation: str, contexts: tuple[str, ...] = EVERY
) -> dict[str, BenchmarkMethod]:
    """A line and a graph on one representation."""
    knowledge = PAIRED.get(representation, "nothing")
    return {
        f"{representation}-line": BenchmarkMethod(
            f"{words}: a line", group, probe_method(representation, LINE), stable_key(LINE), knowledge, contexts
        ),
        f"{representation}-poisson": BenchmarkMethod(
            f"{words}: Poisson learning on its graph",
            group,
            propagation_method(representation, POISSON),
            stable_key(POISSON),
            knowledge,
            contexts,
        ),
    }


def benchmark_methods(representation: str, method: SelfTraining, epochs: int = 6) -> dict[str, BenchmarkMethod]:
    """The ladder, given what was chosen for a data set on others, and the epochs of the generative models."""
    steps = sum(method.rounds)
    found = {
        **_read("pixels", "baselines", "pixels"),
        **_read("PCA", "baselines", "pca"),
        **_read("random encoder", "baselines", "random"),
        **_read("VAE", "readers", "elbo"),
        "elbo-knn": BenchmarkMethod(
            "VAE: k nearest neighbours", "readers", probe_method("elbo", KNN()), stable_key(KNN())
        ),
        "elbo-mlp": BenchmarkMethod("VAE: a small MLP", "readers", probe_method("elbo", HEAD), stable_key(HEAD)),
        "elbo-spreading": BenchmarkMethod(
            "VAE: label spreading on its graph", "readers", propagation_method("elbo", SPREADING), stable_key(SPREADING)
        ),
        "elbo-clusters": BenchmarkMethod(
            "VAE: Gaussian mixture of its codes", "readers", mixture_method("elbo"), "clusters"
        ),
        **_generative(epochs),
        **_read("VAE with a local decoder", "representations", "local", SMALL),
        **_read("VAE with a mixture prior (VaDE)", "representations", "mixture", SMALL),
        **_read("consistent VAE", "representations", "consistent-3", CHOOSERS),
        **_read("contrastive VAE", "representations", "contrastive-30"),
        **_read("contrastive VAE, bolder augmentation", "representations", "contrastive-bold"),
        **_read("the same of twice the filters", "representations", "contrastive-wide"),
        "frozen": BenchmarkMethod(
            "chosen frozen latents: labels along their graph",
            "representations",
            propagation_method(representation, method.propagation),
            f"{representation} {stable_key(method.propagation)}",
            PAIRED[representation],
            headline=True,
        ),
        "whole": BenchmarkMethod(
            "the whole method",
            "whole",
            self_training_method(representation, method),
            f"{representation} {stable_key(method)}",
            PAIRED[representation],
            headline=True,
        ),
        "supervised": BenchmarkMethod(
            "CNN, these labels only", "rivals", supervised_method("supervised", steps // 2), f"plain {steps}"
        ),
        "supervised-augmented": BenchmarkMethod(
            "CNN, these labels only, augmented",
            "rivals",
            supervised_method("supervised-augmented", steps),
            f"augmented {steps}",
            RIVALS["supervised-augmented"][1],
            headline=True,
        ),
        "supervised-bold": BenchmarkMethod(
            "CNN of twice the filters, these labels only, bolder augmentation",
            "rivals",
            supervised_method("supervised-bold", steps),
            f"bold {steps}",
            RIVALS["supervised-bold"][1],
        ),
        **_without(representation, method),
    }
    return found


def _generative(epochs: int) -> dict[str, BenchmarkMethod]:
    told = {"m2": "M2", "m1+m2": "M1+M2", "auxiliary": "ADGM"}
    return {
        kind: BenchmarkMethod(
            words, "generative", generative_method(kind, epochs), f"{kind} {epochs}", "nothing", SMALL, (1, 10, 100), {}
        )
        for kind, words in told.items()
    }


def _without(representation: str, method: SelfTraining) -> dict[str, BenchmarkMethod]:
    """The whole method, minus one part each, and minus all that comes of the VAE."""
    still = method.objective.model_copy(update={"strong": Augmentation(), "weak": Augmentation()})
    unmoved = method.model_copy(update={"objective": still})
    ungraphed = method.model_copy(update={"pseudo_labeller": NetworkPseudoLabels()})
    return {
        "without-vae": _part("VAE's weights", representation, method, fresh=True),
        "without-graph": _part("graph", representation, ungraphed, graphed=False),
        "without-generative": _part("generative term", representation, _taught(method, generative_method=0.0)),
        "without-augmentation": _part("augmentation, the VAE's included", "elbo", unmoved),
        "without-consistency": _part("consistency", representation, _taught(method, consistency=0.0)),
    }


def _part(
    words: str, representation: str, method: SelfTraining, fresh: bool = False, graphed: bool = True
) -> BenchmarkMethod:
    return BenchmarkMethod(
        f"{WITHOUT}{words}",
        "without",
        self_training_method(representation, method, fresh, graphed),
        f"{representation} {fresh} {graphed} {stable_key(method)}",
        PAIRED.get(representation, "nothing"),
        SMALL,
        (1, 3, 10),
    )


def _taught(method: SelfTraining, **changes: float) -> SelfTraining:
    return method.model_copy(update={"objective": method.objective.model_copy(update=changes)})
