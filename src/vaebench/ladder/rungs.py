"""RUNGS: every method of the ladder with its words, its published figure, and how often it is tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vaebench.data.augment import Augmentation
from vaebench.evaluation.graphs import LabelSpreading, PoissonLearning
from vaebench.evaluation.probes import KNN, Head, Logistic
from vaebench.evaluation.semi_supervised import SemiSupervised
from vaebench.evaluation.teachers import OwnAnswers
from vaebench.frozen import stable_key
from vaebench.ladder.arena import PAIRED, Knowledge
from vaebench.ladder.differences import WITHOUT
from vaebench.ladder.methods import RIVALS, Method, clusters, generative, reader, spread, supervised, whole
from vaebench.models.networks import MLP
from vaebench.training.schedules import Adam, OneCycle

Group = Literal["baselines", "readers", "generative", "representations", "whole", "rivals", "without"]
SMALL = ("mnist", "fashion-mnist")
CHOOSERS = ("mnist", "fashion-mnist", "quickdraw")
"""Those on which settings for others are chosen."""
EVERY = ("mnist", "fashion-mnist", "quickdraw", "cifar10")


@dataclass(frozen=True)
class Rung:
    """One method."""

    words: str
    """What it is, for a table."""
    group: Group
    method: Method
    settings: str
    """All that decides it, for the identity of its cells."""
    knowledge: Knowledge = "nothing"
    """Of augmentation, the most that any part of it has."""
    arenas: tuple[str, ...] = EVERY
    counts: tuple[int, ...] = (1, 3, 10, 100)
    draws: Mapping[str, int] = field(default_factory=lambda: {"mnist": 5, "fashion-mnist": 5})
    """Draws in each arena; 3 where it names none."""
    headline: bool = False
    """Ten draws on the small data sets at the counts of the headline."""

    def draws_at(self, arena: str, count: int) -> int:
        """How many draws of so many labels a class are tried."""
        return 10 if self.headline and arena in SMALL and count in HEADLINE else self.draws.get(arena, 3)


HEADLINE = (1, 10, 100)
HEAD = Head(
    name="mlp", network=MLP(hidden=(256,), dropout=0.3), epochs=50, optimiser=Adam(rate=3e-3), schedule=OneCycle()
)
LINE, POISSON, SPREADING = Logistic(), PoissonLearning(), LabelSpreading()


def _read(words: str, group: Group, representation: str, arenas: tuple[str, ...] = EVERY) -> dict[str, Rung]:
    """A line and a graph on one representation."""
    knowledge = PAIRED.get(representation, "nothing")
    return {
        f"{representation}-line": Rung(
            f"{words}: a line", group, reader(representation, LINE), stable_key(LINE), knowledge, arenas
        ),
        f"{representation}-poisson": Rung(
            f"{words}: Poisson learning on its graph",
            group,
            spread(representation, POISSON),
            stable_key(POISSON),
            knowledge,
            arenas,
        ),
    }


def rungs(representation: str, method: SemiSupervised, epochs: int = 6) -> dict[str, Rung]:
    """The ladder, given what was chosen for a data set on others, and the epochs of the generative models."""
    steps = sum(method.rounds)
    found = {
        **_read("pixels", "baselines", "pixels"),
        **_read("PCA", "baselines", "pca"),
        **_read("random encoder", "baselines", "random"),
        **_read("VAE", "readers", "elbo"),
        "elbo-knn": Rung("VAE: k nearest neighbours", "readers", reader("elbo", KNN()), stable_key(KNN())),
        "elbo-mlp": Rung("VAE: a small MLP", "readers", reader("elbo", HEAD), stable_key(HEAD)),
        "elbo-spreading": Rung(
            "VAE: label spreading on its graph", "readers", spread("elbo", SPREADING), stable_key(SPREADING)
        ),
        "elbo-clusters": Rung("VAE: Gaussian mixture of its codes", "readers", clusters("elbo"), "clusters"),
        **_generative(epochs),
        **_read("VAE with a local decoder", "representations", "local", SMALL),
        **_read("VAE with a mixture prior (VaDE)", "representations", "mixture", SMALL),
        **_read("consistent VAE", "representations", "consistent-3", CHOOSERS),
        **_read("contrastive VAE", "representations", "contrastive-30"),
        **_read("contrastive VAE, bolder augmentation", "representations", "contrastive-bold"),
        **_read("the same of twice the filters", "representations", "contrastive-wide"),
        "frozen": Rung(
            "chosen frozen latents: labels along their graph",
            "representations",
            spread(representation, method.spreader),
            f"{representation} {stable_key(method.spreader)}",
            PAIRED[representation],
            headline=True,
        ),
        "whole": Rung(
            "the whole method",
            "whole",
            whole(representation, method),
            f"{representation} {stable_key(method)}",
            PAIRED[representation],
            headline=True,
        ),
        "supervised": Rung("CNN, these labels only", "rivals", supervised("supervised", steps // 2), f"plain {steps}"),
        "supervised-augmented": Rung(
            "CNN, these labels only, augmented",
            "rivals",
            supervised("supervised-augmented", steps),
            f"augmented {steps}",
            RIVALS["supervised-augmented"][1],
            headline=True,
        ),
        "supervised-bold": Rung(
            "CNN of twice the filters, these labels only, bolder augmentation",
            "rivals",
            supervised("supervised-bold", steps),
            f"bold {steps}",
            RIVALS["supervised-bold"][1],
        ),
        **_without(representation, method),
    }
    return found


def _generative(epochs: int) -> dict[str, Rung]:
    told = {"m2": "M2", "m1+m2": "M1+M2", "auxiliary": "ADGM"}
    return {
        kind: Rung(
            words, "generative", generative(kind, epochs), f"{kind} {epochs}", "nothing", SMALL, (1, 10, 100), {}
        )
        for kind, words in told.items()
    }


def _without(representation: str, method: SemiSupervised) -> dict[str, Rung]:
    """The whole method, minus one part each, and minus all that comes of the VAE."""
    still = method.objective.model_copy(update={"strong": Augmentation(), "weak": Augmentation()})
    unmoved = method.model_copy(update={"objective": still})
    ungraphed = method.model_copy(update={"teacher": OwnAnswers()})
    return {
        "without-vae": _part("VAE's weights", representation, method, fresh=True),
        "without-graph": _part("graph", representation, ungraphed, graphed=False),
        "without-generative": _part("generative term", representation, _taught(method, generative=0.0)),
        "without-augmentation": _part("augmentation, the VAE's included", "elbo", unmoved),
        "without-consistency": _part("consistency", representation, _taught(method, consistency=0.0)),
    }


def _part(words: str, representation: str, method: SemiSupervised, fresh: bool = False, graphed: bool = True) -> Rung:
    return Rung(
        f"{WITHOUT}{words}",
        "without",
        whole(representation, method, fresh, graphed),
        f"{representation} {fresh} {graphed} {stable_key(method)}",
        PAIRED.get(representation, "nothing"),
        SMALL,
        (1, 3, 10),
    )


def _taught(method: SemiSupervised, **changes: float) -> SemiSupervised:
    return method.model_copy(update={"objective": method.objective.model_copy(update=changes)})
