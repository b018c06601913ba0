"""DiscretisedLogisticPixels: probabilities of 8-bit pixels by mixtures of logistic distributions."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, constraints
from torch.nn import functional as F

from vaebench.core.frozen import Frozen

COMPONENTS = 5
"""Components of the mixture of each pixel and channel."""
LEVELS = 255
"""Largest 8-bit value."""
MIN_LOG_SCALE, MAX_LOG_SCALE = -7.0, 7.0


class DiscretisedLogisticPixels(Frozen):
    """p(x|z) = prod_i sum_k pi_ik P_ik(x_i), P_ik the mass of a logistic distribution within 1/510 of an 8-bit value.

    Salimans et al. 2017, "PixelCNN++", eqs. 1 and 2, with pixels in [0, 1]; 0 and 1 also take the tails. A mixture has
    five components, and each channel has its own: green and blue do not depend on red, unlike their section 2.2. A
    probability of 8-bit images, so that ``log_prob`` is at most 0 and its negative, divided by C H W log 2, is the
    number of bits per dimension.
    """

    kind: Literal["discretised-logistic"] = "discretised-logistic"
    outputs: ClassVar[int] = 3 * COMPONENTS
    unit_interval: ClassVar[bool] = True

    def __call__(self, raw: Float[Tensor, "*batch P H W"]) -> Distribution:
        """Mixtures whose logits, means and log-scales are the three thirds of the channels."""
        parts = [part.unflatten(-3, (COMPONENTS, -1)).movedim(-4, -1) for part in raw.chunk(3, dim=-3)]
        return Independent(DiscretisedLogisticMixture(*parts), 3, validate_args=False)

    def last_layer(self, channels: int) -> nn.Module:
        """The identity."""
        return nn.Identity()


class DiscretisedLogisticMixture(Distribution):
    """Mixture of logistic distributions over the 256 values k / 255 in [0, 1].

    Args:
        logits: of the weights, (..., K).
        centred_means: means minus 1/2, (..., K).
        log_scales: (..., K); they are clamped to [-7, 7].
    """

    arg_constraints = {}  # noqa: RUF012 - defined so by torch
    support = constraints.unit_interval

    def __init__(
        self,
        logits: Float[Tensor, "*shape K"],
        centred_means: Float[Tensor, "*shape K"],
        log_scales: Float[Tensor, "*shape K"],
    ) -> None:
        self.log_weights = logits.log_softmax(-1)
        self.means = centred_means + 0.5
        self.scales = log_scales.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE).exp()
        super().__init__(logits.shape[:-1], validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> DiscretisedLogisticMixture:
        """The distribution with an expanded batch shape."""
        shape = (*batch_shape, self.means.shape[-1])
        parts = self.log_weights, self.means - 0.5, self.scales.log()
        return DiscretisedLogisticMixture(*(part.expand(shape) for part in parts))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of values k / 255, in nats; of the interval of this width around any other value."""
        x, half = value[..., None], 0.5 / LEVELS
        upper = ((x + half) - self.means) / self.scales
        lower = ((x - half) - self.means) / self.scales
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - e^(l - u)), without cancellation
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-2 * half / self.scales))
        mass = torch.where(x < half, F.logsigmoid(upper), torch.where(x > 1 - half, F.logsigmoid(-lower), inside))
        return (self.log_weights + mass).logsumexp(-1)

    @property
    def mean(self) -> Tensor:
        """Mean of the logistic mixture clipped to [0, 1], within 1/510 of that of the 8-bit values."""
        low, high = self.means / self.scales, (self.means - 1) / self.scales
        clipped = self.scales * (F.softplus(low) - F.softplus(high))  # the integral of P(X > x) over [0, 1]
        return (self.log_weights.exp() * clipped).sum(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples, rounded to 8-bit values."""
        with torch.no_grad():
            component = Categorical(logits=self.log_weights, validate_args=False).sample(sample_shape)[..., None]
            shape = (*component.shape[:-1], self.means.shape[-1])
            means, scales = (part.expand(shape).gather(-1, component)[..., 0] for part in (self.means, self.scales))
            values = means + scales * torch.logit(torch.rand_like(means), eps=1e-7)
            return (values.clamp(0, 1) * LEVELS).round() / LEVELS
