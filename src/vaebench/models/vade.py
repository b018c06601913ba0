"""VaDE: a VAE with a learned mixture of Gaussians as prior, for clustering."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent, MixtureSameFamily

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight, elbo_terms, loss_components
from vaebench.models.posteriors import diagonal_gaussian
from vaebench.models.priors import mixture
from vaebench.models.vae import VAE


class VaDE(VAE):
    """Variational deep embedding: c ~ Cat(pi), z|c ~ N(mu_c, diag(sigma_c^2)), x ~ p(x|z), all parameters learned.

    Jiang et al. 2017, "Variational deep embedding", section 3.1. With q(c|x) = p(c|z) at a sample of z (their eq. 16)
    the sum over components is exact, so the bound is on z alone. The prior must start near the data, for example from
    a mixture fitted to the codes of a trained VAE; from random values components collapse.

    The parameters ``share`` (logits of pi), ``centre`` (mu) and ``log_scale`` (log sigma) have the names of saved
    files.

    Args:
        vae: VAE whose encoder and decoder are taken, not copied.
        weights: initial pi, shape (K,).
        means: initial mu, shape (K, D).
        scales: initial sigma, shape (K, D).
    """

    def __init__(
        self, vae: VAE, weights: Float[Tensor, " K"], means: Float[Tensor, "K D"], scales: Float[Tensor, "K D"]
    ) -> None:
        super().__init__(vae.encoder, vae.decoder, len(vae.zero), vae.to_posterior, vae.likelihood)
        self.share = nn.Parameter(weights.log())
        self.centre = nn.Parameter(means.clone())
        self.log_scale = nn.Parameter(scales.log())

    def components(self) -> Independent:
        """p(z|c): batch shape (K,), event shape (D,)."""
        return diagonal_gaussian(self.centre, self.log_scale.exp())

    def prior(self) -> MixtureSameFamily:
        """p(z) = sum_c pi_c p(z|c), event shape (D,)."""
        return mixture(self.share, self.components())

    def responsibilities(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """p(c|z), the probability of each component."""
        log_joint: Tensor = self.share.log_softmax(0) + self.components().log_prob(z[:, None])
        return log_joint.softmax(-1)


class VaDEElbo(Frozen):
    """beta (log q(z|x) - log sum_c pi_c N(z; mu_c, sigma_c)) - log p(x|z) at one sample of q(z|x), nats per image."""

    kind: Literal["vade"] = "vade"
    beta: Weight = 1.0
    """Weight of the KL to the prior, which has no closed form."""

    def __call__(self, model: VaDE, batch: Batch, progress: float) -> LossOutput:
        _, log_px, kl_q = elbo_terms(model, batch.x)
        return LossOutput((self.beta * kl_q - log_px).mean(), loss_components(log_px, kl_q))
