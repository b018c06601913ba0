"""PRIORS: p(z), fixed or learned. Each builds a module that, given the VAE, returns the distribution."""

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
from vaebench.models.posteriors import diagonal_gaussian


@runtime_checkable
class Prior(Protocol):
    """How p(z) is made."""

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """A module; called with the VAE that it belongs to, it gives p(z), event shape (D,)."""
        ...


class StandardNormal(Frozen):
    """p(z) = N(0, I). Kingma & Welling 2014."""

    kind: Literal["standard-normal"] = "standard-normal"

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """Nothing to learn."""
        return _Standard()


class _Standard(nn.Module):
    def forward(self, vae: Any) -> Independent:
        return diagonal_gaussian(vae.zero, torch.ones_like(vae.zero))


class Mixture(Frozen):
    """p(z) = sum_k pi_k N(mu_k, diag(sigma_k^2)), all learned. As in Jiang et al. 2017 (VaDE), section 3.1, but from
    random centres, as its start from a fitted mixture needs a trained autoencoder."""

    kind: Literal["mixture"] = "mixture"
    components: int = Field(100, ge=1)

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """Centres drawn from N(0, I), scales 1, equal shares."""
        return _Mixture(self.components, latent)


class _Mixture(nn.Module):
    def __init__(self, components: int, latent: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.zeros(components))
        self.centre = nn.Parameter(torch.randn(components, latent))
        self.log_scale = nn.Parameter(torch.zeros(components, latent))

    def forward(self, vae: Any) -> MixtureSameFamily:
        each = diagonal_gaussian(self.centre, self.log_scale.exp())
        return MixtureSameFamily(Categorical(logits=self.share, validate_args=False), each, validate_args=False)


class Vamp(Frozen):
    """p(z) = (1/K) sum_k q(z|u_k): posteriors of K learned pseudo-inputs. Tomczak & Welling 2018, "VAE with a
    VampPrior", eq. 9; pixels of u are kept within [0, 1], as there.

    Batch normalisation takes its running averages for the pseudo-inputs, which do not change these.
    """

    kind: Literal["vamp"] = "vamp"
    components: int = Field(100, ge=1)
    """K."""

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """Pseudo-inputs drawn evenly from [0, 1]."""
        return _Vamp(self.components, shape)


class _Vamp(nn.Module):
    def __init__(self, components: int, shape: Shape) -> None:
        super().__init__()
        self.pseudo = nn.Parameter(torch.rand(components, *shape))

    def forward(self, vae: Any) -> MixtureSameFamily:
        training = vae.encoder.training
        vae.encoder.eval()
        each = vae.posterior(F.hardtanh(self.pseudo, 0.0, 1.0))
        vae.encoder.train(training)
        shares = Categorical(logits=each.mean.new_zeros(len(self.pseudo)), validate_args=False)
        return MixtureSameFamily(shares, each, validate_args=False)


class Flow(Frozen):
    """p(z) by a masked autoregressive flow from N(0, I). Papamakarios et al. 2017; as a prior, Chen et al. 2017,
    "Variational lossy autoencoder", section 3.2. Needs zuko: ``pip install 'vaebench[flows]'``."""

    kind: Literal["flow"] = "flow"
    transforms: int = Field(3, ge=1)
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the networks inside."""

    def build(self, latent: int, shape: Shape) -> nn.Module:
        """Fresh transforms.

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
        return _InFullPrecision(self.flow, len(vae.zero))


class _InFullPrecision(Distribution):
    """The flow's distribution, outside of autocast: sums of logarithms in bf16 would be off by nats."""

    def __init__(self, flow: nn.Module, latent: int) -> None:
        super().__init__(Size(), Size([latent]), validate_args=False)
        self.flow = flow

    def log_prob(self, value: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
        with torch.autocast(value.device.type, enabled=False):
            found: Tensor = self.flow().log_prob(value)
            return found

    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        with torch.no_grad():
            drawn: Tensor = self.flow().sample(tuple(sample_shape))
            return drawn


PRIORS = {"standard-normal": StandardNormal, "mixture": Mixture, "vamp": Vamp, "flow": Flow}

if TYPE_CHECKING:
    AnyPrior = Prior
else:
    AnyPrior = one_of(PRIORS)
