"""CODE_PRIORS: p(codes) of a quantised VAE, uniform or autoregressive, as distributions over the values of z."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Size, Tensor, nn
from torch.distributions import Categorical, Distribution
from torch.nn import functional as F

from vaebench.core.frozen import Frozen, one_of
from vaebench.models.quantisers import Quantiser


@runtime_checkable
class CodePrior(Protocol):
    """Configuration of p(codes)."""

    def build(self, sizes: tuple[int, ...]) -> nn.Module:
        """A module that, called with its VAE, returns p(z), event shape (D,); ``sizes`` is K_m of each group."""
        ...


class CodeDistribution(Distribution):
    """p(z) = prod_m p(c_m | c_1, ..., c_(m-1)) for z with the codes c, event shape (D,): a probability mass.

    Values that are no vector of the quantiser have the probability of the nearest one.

    Args:
        quantiser: the codes and vectors of z.
        logits: codes (..., M) to logits (..., M, K) of each code given those before it.
        like: tensor (D,) with the dtype of samples.
    """

    def __init__(self, quantiser: Quantiser, logits: Callable[[Tensor], Tensor], like: Tensor) -> None:
        super().__init__(Size(), like.shape, validate_args=False)
        self.quantiser, self.logits, self.like = quantiser, logits, like

    def log_prob(self, value: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
        """Log of the probability of the codes in nats; without gradient with respect to ``value``."""
        codes = self.quantiser.codes_of(value.detach())
        with torch.autocast(value.device.type, enabled=False):
            log_probability = self.logits(codes).log_softmax(-1)
        return log_probability.gather(-1, codes[..., None])[..., 0].sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Vectors of codes that are drawn one group after another."""
        groups = len(self.quantiser.sizes)
        codes = torch.zeros(*sample_shape, groups, dtype=torch.long, device=self.like.device)
        for group in range(groups):
            codes[..., group] = Categorical(logits=self.logits(codes)[..., group, :]).sample()
        return self.quantiser.vectors(codes).to(self.like)


class UniformCodes(Frozen):
    """p(c) = prod_m 1 / K_m. Van den Oord et al. 2017, section 3.1, during training."""

    kind: Literal["uniform"] = "uniform"

    def build(self, sizes: tuple[int, ...]) -> nn.Module:
        """A module without parameters."""
        return _Uniform(sizes)


class _Uniform(nn.Module):
    possible: Tensor

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("possible", _logits_of_possible(sizes), persistent=False)

    def logits(self, codes: Int[Tensor, "*batch M"]) -> Float[Tensor, "*batch M K"]:
        return self.possible.expand(*codes.shape, -1)

    def forward(self, vae: Any) -> CodeDistribution:
        return CodeDistribution(vae.to_posterior, self.logits, vae.zero)


class AutoregressiveCodes(Frozen):
    """p(c) = prod_m p(c_m | c_1, ..., c_(m-1)) by a masked network, learned with the other weights.

    Germain et al. 2015, "MADE", arXiv:1502.03509, eqs. 12 and 13, with one-hot codes in place of binary inputs. The
    codes pass no gradient to the encoder, so it fits the codes and does not change them.
    """

    kind: Literal["autoregressive"] = "autoregressive"
    hidden: int = Field(256, ge=1)
    """Width of the two hidden layers."""

    def build(self, sizes: tuple[int, ...]) -> nn.Module:
        """A network with fresh weights."""
        return MaskedCodeNetwork(sizes, self.hidden)


class MaskedCodeNetwork(nn.Module):
    """Logits of each code given the codes before it.

    A hidden unit of degree i reads the codes 1 to i and units of degree 1 to i; the logits of code m read units of
    degrees below m, and so no code from m on.

    Args:
        sizes: K_m of each of the M groups.
        hidden: units of each of the two hidden layers.
    """

    possible: Tensor

    def __init__(self, sizes: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.groups, self.codes = len(sizes), max(sizes)
        inputs = torch.arange(1, self.groups + 1).repeat_interleave(self.codes)
        degrees = torch.arange(hidden) % max(self.groups - 1, 1) + 1
        self.layers = nn.ModuleList(
            [
                MaskedLinear(degrees[:, None] >= inputs),
                MaskedLinear(degrees[:, None] >= degrees),
                MaskedLinear(inputs[:, None] > degrees),
            ]
        )
        self.register_buffer("possible", _logits_of_possible(sizes), persistent=False)

    def logits(self, codes: Int[Tensor, "*batch M"]) -> Float[Tensor, "*batch M K"]:
        """Logits of every code, minus infinity for those that a group does not have."""
        h = F.one_hot(codes, self.codes).to(self.possible.dtype).flatten(-2)
        for layer in self.layers[:-1]:
            h = layer(h).relu()
        logits: Tensor = self.layers[-1](h).unflatten(-1, (self.groups, self.codes))
        return logits + self.possible

    def forward(self, vae: Any) -> CodeDistribution:
        """p(z), event shape (D,)."""
        return CodeDistribution(vae.to_posterior, self.logits, vae.zero)


class MaskedLinear(nn.Linear):
    """A linear layer whose weights outside ``mask`` (outputs, inputs) are 0."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.float(), persistent=False)

    def forward(self, x: Float[Tensor, "*batch I"]) -> Float[Tensor, "*batch O"]:
        """The layer's output."""
        return F.linear(x, self.weight * self.mask, self.bias)


def _logits_of_possible(sizes: tuple[int, ...]) -> Float[Tensor, "M K"]:
    """0 for each code that a group has, minus infinity for others."""
    codes = torch.arange(max(sizes))
    return torch.zeros(len(sizes), len(codes)).masked_fill(codes >= torch.tensor(sizes)[:, None], -torch.inf)


CODE_PRIORS = {"uniform": UniformCodes, "autoregressive": AutoregressiveCodes}

if TYPE_CHECKING:
    AnyCodePrior = CodePrior
else:
    AnyCodePrior = one_of(CODE_PRIORS)
