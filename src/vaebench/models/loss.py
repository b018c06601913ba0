"""Terms: a loss and what it is made of; what objectives share."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vaebench.data.images import Batch
from vaebench.models.posteriors import divergence
from vaebench.models.vae import VAE

Weight = Annotated[float, Field(ge=0)]
UnitFraction = Annotated[float, Field(gt=0, le=1)]


class LossOutput(NamedTuple):
    """A loss and what it is made of."""

    loss: Float[Tensor, ""]
    """Mean over the batch; this is what the optimiser sees."""
    components: dict[str, Float[Tensor, " B"]]
    """Per-image quantities, each of shape (B,)."""


@runtime_checkable
class Objective(Protocol):
    """Anything that turns a model and a batch into :class:`LossOutput`."""

    def __call__(self, model: Any, batch: Batch, progress: float) -> LossOutput:
        """The loss at this share of training."""
        ...


@runtime_checkable
class AttachableObjective(Protocol):
    """An objective that learns something of its own, as a part of the model while that is trained."""

    def attach(self, model: Any) -> None:
        """Give the model that part."""
        ...

    def detach(self, model: Any) -> None:
        """Take it away again."""
        ...


def one_sample(model: VAE, batch: Batch) -> tuple[Tensor, Tensor]:
    """log p(x|z) at one sample of q(z|x), and KL(q(z|x) || p(z)), each (B,)."""
    q = model.posterior(batch.x)
    z = q.rsample()
    return model.decode(z).log_prob(batch.x), divergence(q, model.prior(), z)


def loss_components(log_px: Tensor, kl_q: Tensor) -> dict[str, Tensor]:
    """What every VAE's objective tells of, each (B,)."""
    log_px, kl_q = log_px.detach(), kl_q.detach()
    return {"elbo": log_px - kl_q, "reconstruction": -log_px, "kl": kl_q}


def loss_output(log_px: Tensor, kl_q: Tensor, loss: Tensor) -> LossOutput:
    """A loss with these parts."""
    return LossOutput(loss, loss_components(log_px, kl_q))
