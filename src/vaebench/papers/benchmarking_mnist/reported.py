"""What paper E prints: its network, its table, its claims."""

from __future__ import annotations

import math

from vaebench.models.likelihoods import GaussianSigmoidMean
from vaebench.models.networks import MLP, Conv, Network
from vaebench.models.vae import Model
from vaebench.papers.paper import ReportedResult

NETWORK = Conv(
    filters=(32, 64, 64, 64), kernel=(3,), stride=(1, 2, 2, 1), activation="leaky-relu", batch_norm="none"
)  # fmt: skip
OTHERS: dict[str, Network] = {
    "conv 32-64-64, kernel 4, batch norm": Conv(),
    "MLP 500-500": MLP(hidden=(500, 500)),
}
SWEEP = (2, 3, 4, 5, 10, 30)
TABLE = {
    2: (4.4122, 32.26999, 36.68219),
    3: (6.12124, 30.11598, 36.23721),
    4: (7.30888, 25.05045, 32.35933),
    5: (8.39849, 22.89452, 31.29301),
    10: (11.90844, 17.10307, 29.01152),
    30: (12.58757, 15.39129, 27.97886),
}
CONSTANT = 0.5 * math.log(math.pi) * 28 * 28
"""-log N(x; m, 1/2) is the squared error plus this."""


def reported_results() -> dict[str, ReportedResult]:
    """Every printed number and claim."""
    found: dict[str, ReportedResult] = {}
    for latent, (kl, error, combined) in TABLE.items():
        where = f"section 2.2, table, dimension {latent}"
        found[f"kl-{latent}"] = ReportedResult(where, f"KL at latent {latent}, nats per image", kl, "about", 0.1)
        found[f"error-{latent}"] = ReportedResult(
            where, f"squared error at latent {latent}, per image", error, "about", 0.1
        )
        found[f"total-{latent}"] = ReportedResult(
            where, f"squared error + KL at latent {latent}", combined, "at most", 0.15
        )
    minutes = "training time at latent {}, minutes"
    found |= {
        "minutes-2": ReportedResult("section 2.1", minutes.format(2), 16.99, "at most", 0.0),
        "minutes-3": ReportedResult("section 2.2", minutes.format(3), 16.31, "at most", 0.0),
        "3d-kl": ReportedResult("section 2.2", "KL of the 3-D attempt, as printed per batch", 0.000483, "about"),
        "3d-error": ReportedResult(
            "section 2.2", "reconstruction of the 3-D attempt, as printed per batch", 176.2263, "about"
        ),
        "3d-total": ReportedResult(
            "section 2.2", "final loss of the 3-D attempt, as printed per batch", 176.2268, "about"
        ),
        "legible": ReportedResult(
            "section 2.2.2", "legible samples of 64 at latent 5, by a classifier", 60, "at least", 0.0
        ),
        "faithful": ReportedResult("section 2.2.2", "faithful reconstructions of 15 at latent 5", 15, "at least", 0.0),
        "rises": ReportedResult("section 2.2", "over training, KL rises while the reconstruction error falls"),
        "falls": ReportedResult("section 2.2", "the combined loss falls with the latent dimension"),
        "dominates": ReportedResult(
            "section 2.2", "in higher dimensions the KL term dominates (KL share of the loss at 30)"
        ),
        "overlap": ReportedResult("section 2.2, figure 12", "7 and 9 overlap at latent 3 (share of 7s decoded as 9s)"),
        "gaps": ReportedResult("section 2.2.1", "samples get worse at high dimension (legible share at 30)"),
        "not-flat": ReportedResult(
            "section 2.2", "losses are not flat at the end (validation loss gained in the last epoch)"
        ),
        "five": ReportedResult("section 2.2.2", "latent 5 is the best choice"),
        "optimiser": ReportedResult("section 1.2.1", "SGD at 5e-5 trains it (the statistics say 5e-4)"),
        "inception": ReportedResult("section 3", "further work: inception score of decoder means at latent 5"),
        "inception-draws": ReportedResult(
            "section 3", "further work: inception score of pixels drawn from p(x|z), latent 5"
        ),
        "inception-real": ReportedResult("ours", "inception score of the test images under the same classifier"),
        "inception-high": ReportedResult("ours", "inception score of decoder means at latent 30"),
        "marginal": ReportedResult(
            "section 1.4", "the class marginal of samples at latent 5 is uniform (its entropy, nats)"
        ),
        "judge": ReportedResult("ours", "test accuracy of the classifier that judges samples and reconstructions"),
        "confusion": ReportedResult(
            "section 3", "further work: reconstructions read as another class, share at latent 5"
        ),
        "confusion-2": ReportedResult(
            "section 3", "further work: reconstructions read as another class, share at latent 2"
        ),
        "longer": ReportedResult(
            "section 3", "further work: more training lowers the loss at latent 5 (squared error + KL)"
        ),
    }
    for name in OTHERS:
        found[f"other-{name}"] = ReportedResult("section 3", f"further work: {name} at latent 5 (squared error + KL)")
    found["choice"] = ReportedResult("ours", "latent dimension with the lowest validation loss, of the sweep")
    return found


def model(latent: int, network: Network = NETWORK) -> Model:
    """The paper's VAE: squared error + KL is a Gaussian likelihood of variance 1/2 around a sigmoid."""
    return Model(latent=latent, network=network, likelihood=GaussianSigmoidMean())
