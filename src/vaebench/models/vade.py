"""A mixture of Gaussians as the prior: each component a cluster of images."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight
from vaebench.models.vae import VAE


class VaDE(VAE):
    """A VAE with p(z) = sum_c pi_c N(z; mu_c, diag(sigma_c^2)), all learned. Jiang et al. 2017, "Variational deep
    embedding" (VaDE), section 3.1.

    q(c|x) is p(c|z) at a sample of z (their eq. 16), which sums the components out: the bound is on z alone.

    Args:
        vae: its encoder and decoder are taken, not copied.
        shares: pi (K,), centres: mu (K, D), scales: sigma (K, D): where the prior starts.
    """

    def __init__(
        self,
        vae: VAE,
        shares: Float[Tensor, " K"],
        centres: Float[Tensor, "K D"],
        scales: Float[Tensor, "K D"],
    ) -> None:
        super().__init__(vae.encoder, vae.decoder, len(vae.zero), vae.to_posterior, vae.likelihood)
        self.share = nn.Parameter(shares.log())
        self.centre = nn.Parameter(centres.clone())
        self.log_scale = nn.Parameter(scales.log())

    def components(self) -> Independent:
        """p(z|c): batch shape (K,), event shape (D,)."""
        return Independent(Normal(self.centre, self.log_scale.exp(), validate_args=False), 1, validate_args=False)

    def prior(self) -> MixtureSameFamily:
        """p(z), event shape (D,): no KL to it in closed form."""
        return MixtureSameFamily(Categorical(logits=self.share), self.components(), validate_args=False)

    def responsibilities(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """p(c|z)."""
        found: Tensor = (self.share.log_softmax(0) + self.components().log_prob(z[:, None])).softmax(-1)
        return found


class VaDEElbo(Frozen):
    """beta (log q(z|x) - log sum_c pi_c N(z; mu_c, sigma_c)) - log p(x|z) at one sample of q(z|x)."""

    beta: Weight = 1.0
    """Weight of the latent's terms."""

    def __call__(self, model: VaDE, batch: Batch, progress: float) -> LossOutput:
        """The negative bound, by Monte Carlo: there is no closed form."""
        q = model.posterior(batch.x)
        z = q.rsample()
        log_px, excess = model.decode(z).log_prob(batch.x), q.log_prob(z) - model.prior().log_prob(z)
        return LossOutput((self.beta * excess - log_px).mean(), {"elbo": (log_px - excess).detach()})
