"""PRIORS: p(z), fixed or learned. Each builds a module that returns the distribution when called with the VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Size, Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily
from torch.nn import functional as F

from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import Frozen, one_of
from vaebench.models.networks import Shape
from vaebench.models.posteriors import diagonal_gaussian, standard_normal


@runtime_checkable
class Prior(Protocol):
    """Configuration of p(z)."""

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """A module that, called with its VAE, returns p(z), event shape (D,)."""
        ...


class StandardNormal(Frozen):
    """p(z) = N(0, I). Kingma & Welling 2014."""

    kind: Literal["standard-normal"] = "standard-normal"

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """A module without parameters."""
        return _Standard()


class _Standard(nn.Module):
    def forward(self, vae: Any) -> Independent:
        return standard_normal(vae.zero)


class Mixture(Frozen):
    """p(z) = sum_k pi_k N(mu_k, diag(sigma_k^2)), all learned: the prior of Jiang et al. 2017 (VaDE), section 3.1.

    Unlike VaDE it starts from random means, as a start from a fitted mixture needs a trained autoencoder. The KL to it
    has no closed form.
    """

    kind: Literal["mixture"] = "mixture"
    components: int = Field(100, ge=1)

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """Means drawn from N(0, I), scales 1, equal weights."""
        return _Mixture(self.components, latent)


class _Mixture(nn.Module):
    """Parameters: logits of pi (K,), mu (K, D), log sigma (K, D); their names are those of saved files."""

    def __init__(self, components: int, latent: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.zeros(components))
        self.centre = nn.Parameter(torch.randn(components, latent))
        self.log_scale = nn.Parameter(torch.zeros(components, latent))

    def forward(self, vae: Any) -> MixtureSameFamily:
        return mixture(self.share, diagonal_gaussian(self.centre, self.log_scale.exp()))


class Vamp(Frozen):
    """p(z) = (1/K) sum_k q(z|u_k): posteriors of K learned pseudo-inputs u_k (K, C, H, W).

    Tomczak & Welling 2018, "VAE with a VampPrior", eq. 9; as there, pixels of u are clamped to [0, 1]. Batch
    normalisation uses its running averages for the pseudo-inputs and is not updated by them. Each evaluation of p(z)
    encodes K images.
    """

    kind: Literal["vamp"] = "vamp"
    components: int = Field(100, ge=1)
    """K."""

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """Pseudo-inputs drawn uniformly from [0, 1]."""
        return _Vamp(self.components, shape)


class _Vamp(nn.Module):
    def __init__(self, components: int, shape: Shape) -> None:
        super().__init__()
        self.pseudo = nn.Parameter(torch.rand(components, *shape))

    def forward(self, vae: Any) -> MixtureSameFamily:
        training = vae.encoder.training
        vae.encoder.eval()
        posteriors = vae.posterior(F.hardtanh(self.pseudo, 0.0, 1.0))
        vae.encoder.train(training)
        return mixture(posteriors.mean.new_zeros(len(self.pseudo)), posteriors)


def mixture(logits: Float[Tensor, " K"], components: Independent) -> MixtureSameFamily:
    """The mixture of K components with weights softmax(logits), event shape (D,)."""
    weights = Categorical(logits=logits, validate_args=False)
    return MixtureSameFamily(weights, components, validate_args=False)


class Flow(Frozen):
    """p(z) by a masked autoregressive flow from N(0, I).

    Papamakarios et al. 2017; as a prior, Chen et al. 2017, "Variational lossy autoencoder", section 3.2. Needs zuko:
    ``pip install 'vaebench[flows]'``. Sampling is sequential in D.
    """

    kind: Literal["flow"] = "flow"
    transforms: int = Field(3, ge=1)
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of each transform."""

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """A flow with fresh weights.

        Raises:
            VaebenchError: zuko is not installed.
        """
        try:
            from zuko.flows import MAF
        except ImportError as error:
            raise VaebenchError(
                "model.prior.kind is 'flow', which needs zuko: pip install 'vaebench[flows]'"
            ) from error
        return _Flow(MAF(latent, transforms=self.transforms, hidden_features=self.hidden))


class _Flow(nn.Module):
    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, vae: Any) -> Distribution:
        return _FullPrecisionFlow(self.flow, len(vae.zero))


class _FullPrecisionFlow(Distribution):
    """The flow's distribution computed without autocast: sums of logarithms in bf16 are off by nats."""

    def __init__(self, flow: nn.Module, latent: int) -> None:
        super().__init__(Size(), Size([latent]), validate_args=False)
        self.flow = flow

    def log_prob(self, value: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
        with torch.autocast(value.device.type, enabled=False):
            log_density: Tensor = self.flow().log_prob(value)
            return log_density

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        with torch.no_grad():
            samples: Tensor = self.flow().sample(tuple(sample_shape))
            return samples


PRIORS = {"standard-normal": StandardNormal, "mixture": Mixture, "vamp": Vamp, "flow": Flow}

if TYPE_CHECKING:
    AnyPrior = Prior
else:
    AnyPrior = one_of(PRIORS)
