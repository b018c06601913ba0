"""What paper C prints: its two architectures, its claims."""

from __future__ import annotations

from dataclasses import dataclass

from vaebench.models.networks import MLP, Conv, Network
from vaebench.papers.paper import ReportedResult

COUNTS = (1, 3, 5, 10, 100, 1000, "all")
FEW = (1, 3, 5)
MODELS = ("disentangled", "standard", "supervised")
ENCODER = Conv(filters=(32, 64), kernel=(5,), stride=(1,), padding=(0,), pool=(2,), hidden=(1024,), batch_norm="none")
DECODER = Conv(filters=(64, 128), stride=(2,), hidden=(1024,), batch_norm="after")


@dataclass(frozen=True)
class Family:
    """One architecture on one data set: the network of both VAEs and of the supervised rival."""

    name: str
    words: str
    network: Network
    decoder: Network | None
    beta: float
    full_epochs: int
    cpu_epochs: int
    rate: float


FAMILIES = {
    "mlp": Family("mlp", "MLP", MLP(hidden=(500, 500)), None, 4.0, 50, 25, 3e-3),
    "cnn": Family("cnn", "CNN", ENCODER, DECODER, 6.0, 75, 8, 3e-3),
}
FUTURE = {
    "rotated": Family("rotated", "MLP on rotated MNIST", MLP(hidden=(500, 500)), None, 4.0, 50, 15, 3e-3),
    "other": Family("other", "another CNN (32-64-64, kernel 4, batch norm)", Conv(), None, 6.0, 75, 4, 2e-2),
}


def reported_results() -> dict[str, ReportedResult]:
    """Every claim; the figure has no numbers."""
    found: dict[str, ReportedResult] = {}
    for name, family in FAMILIES.items():
        for model in MODELS:
            for count in COUNTS:
                labels = {1: "1 label a class", "all": "all labels"}.get(count, f"{count} labels a class")
                words = f"{family.words}, {model}: test accuracy at {labels}"
                found[f"{name}-{model}-{count}"] = ReportedResult("Figure 4 (a chart without numbers)", words)
    for name, family in FAMILIES.items():
        words = family.words
        found |= {
            f"wide-{name}": ReportedResult("section 4", f"{words}: disentangled > standard > supervised by a wide margin at 1, 3, 5 (points at 1)"),
            f"closes-{name}": ReportedResult("section 4", f"{words}: the gap closes as labels grow (points left with all labels)"),
            f"epochs-{name}": ReportedResult("section 4", f"{words}: epochs of the classifier to converge do not differ (ratio of the slowest to the fastest)"),
            f"fallen-{name}": ReportedResult("section 4.1", f"{words}: 40-50 % of the disentangled latents fall to the prior (share)"),
            f"fallen-standard-{name}": ReportedResult("section 4.1", f"{words}: none of the standard VAE's latents fall to the prior (share)"),
            f"rotation-{name}": ReportedResult("figure 5", f"{words}: one disentangled latent reads as rotation (correlation with slant)"),
            f"thickness-{name}": ReportedResult("figure 5", f"{words}: one disentangled latent reads as thickness (correlation with ink)"),
            f"blur-{name}": ReportedResult("section 4.2", f"{words}: disentangled reconstructions are blurrier (sharpness relative to standard)"),
            f"eight-{name}": ReportedResult("section 4.2", f"{words}: disentangled reconstructions autocomplete 3, 5, 9 into 8 (share read as 8)"),
            f"converged-{name}": ReportedResult("ours", f"{words}: disentangled with a line trained to convergence, mean of 1, 3, 5 labels a class: accuracy"),
            f"loss-{name}": ReportedResult("section 4", f"{words}: final training loss lowest for supervised, then standard, then disentangled (nats, disentangled)"),
        }  # fmt: skip
    return found | {
        "gap-cnn": ReportedResult("section 4", "the gap at 1, 3, 5 labels is larger for the CNN (points, CNN minus MLP)"),
        "crisp": ReportedResult("section 4.2", "CNN reconstructions are crisper than MLP ones (sharpness, CNN relative to MLP, standard)"),
        "bad": ReportedResult("section 4.2", "bad reconstructions are rarest for the standard MLP (share of test images)"),
        "decay": ReportedResult("section 3", "learning-rate decay makes no significant difference (points, linear layer, 10 a class)"),
        "weight-decay": ReportedResult("section 3", "weight decay makes no significant difference (points, linear layer, 10 a class)"),
        "sgd": ReportedResult("section 3", "SGD makes no significant difference (points, linear layer, 10 a class)"),
        "future-sgd": ReportedResult("future work", "SGD against Adam for the VAE itself (nats lost by SGD, MLP, beta 1, equal epochs)"),
        "future-rotated": ReportedResult("future work", "rotated MNIST: disentangled minus supervised at 1 label a class, points"),
        "future-other": ReportedResult("future work", "another CNN: disentangled minus supervised at 1 label a class, points"),
        "kinds-agreement": ReportedResult("future work", "kinds of errors: images that disentangled and standard both miss, of those either misses (100 a class)"),
        "kinds-supervised": ReportedResult("future work", "kinds of errors: the same for disentangled and supervised"),
        "kinds-distance": ReportedResult("future work", "kinds of errors: how differently disentangled and supervised confuse (0 alike, 1 disjoint)"),
        "kinds-unique": ReportedResult("future work", "kinds of errors: test images that only the disentangled model misses"),
        "future-cifar": ReportedResult("future work", "rotated CIFAR-10: disentangled minus supervised at 10 labels a class, points"),
        "future-m2": ReportedResult("future work", "semi-supervised (Kingma et al. 2014): M2, beta 1, MLP, 10 labels a class: accuracy"),
        "future-m2-beta": ReportedResult("future work", "semi-supervised: M2 with the disentangled VAE's beta of 4, 10 labels a class: accuracy"),
        "future-m1-m2": ReportedResult("future work", "semi-supervised: M1+M2, M2 on the disentangled VAE's latents, 10 labels a class: accuracy"),
        "future-imagenet": ReportedResult("future work", "ImageNet and video"),
    }  # fmt: skip
