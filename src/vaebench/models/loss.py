"""The interface of objectives, and the terms of the ELBO that they share."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.nn import functional as F

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Batch
from vaebench.models.posteriors import divergence
from vaebench.models.vae import VAE

Weight = Annotated[float, Field(ge=0)]
UnitFraction = Annotated[float, Field(gt=0, le=1)]


class LossOutput(NamedTuple):
    """The loss of a batch and the per-image components that are logged with it."""

    loss: Float[Tensor, ""]
    """Mean over the batch, which the optimiser minimises."""
    components: dict[str, Float[Tensor, " B"]]
    """Per-image quantities by name, each of shape (B,), without gradients."""


@runtime_checkable
class Objective(Protocol):
    """A function of a model and a batch that returns the :class:`LossOutput` to minimise."""

    def __call__(self, model: Any, batch: Batch, progress: float) -> LossOutput:
        """The loss when the fraction ``progress`` in [0, 1] of training is completed."""
        ...


@runtime_checkable
class AttachableObjective(Protocol):
    """An objective with a trainable module of its own, which is a submodule of the model during training."""

    def attach(self, model: Any) -> None:
        """Add the module to the model."""
        ...

    def detach(self, model: Any) -> None:
        """Remove the module from the model."""
        ...


def log_likelihood(p_x: Distribution, batch: Batch) -> Float[Tensor, "*batch"]:
    """log p(x|z) of the known pixels of each image, in nats; ``p_x`` is p(x|z), event shape (C, H, W).

    Pixels are independent given z, so that summing over the known ones integrates the others out. What a batch has in
    place of an unknown pixel enters neither the value nor its gradient.

    Raises:
        VaebenchError: some pixels are unknown, and those of the model are not independent given z.
    """
    if batch.known is None:
        return p_x.log_prob(batch.x)  # type: ignore[no-any-return,no-untyped-call]
    if not isinstance(p_x, Independent) or p_x.base_dist.event_shape:
        raise VaebenchError(
            "some pixels of the images are unknown, which needs a model whose pixels are independent given z; those of "
            f"a {type(p_x).__name__} are not: choose another model.kind, or images without unknown pixels"
        )
    per_pixel: Tensor = p_x.base_dist.log_prob(batch.x.where(batch.known, 0.0))
    return per_pixel.where(batch.known, 0.0).sum((-3, -2, -1))


def elbo_terms(
    model: VAE, batch: Batch, q: Independent | None = None
) -> tuple[Float[Tensor, "B D"], Float[Tensor, " B"], Float[Tensor, " B"]]:
    """One sample z of q(z|x), log p(x|z) and KL(q(z|x) || p(z)), in nats per image; ``q`` if it is already computed."""
    q = model.posterior(batch.x) if q is None else q
    z = q.rsample()
    return z, log_likelihood(model.decode(z), batch), divergence(q, model.prior(), z)


def loss_components(log_px: Float[Tensor, " B"], kl_q: Float[Tensor, " B"]) -> dict[str, Float[Tensor, " B"]]:
    """The components that every VAE objective reports: ELBO, reconstruction error and KL."""
    log_px, kl_q = log_px.detach(), kl_q.detach()
    return {"elbo": log_px - kl_q, "reconstruction": -log_px, "kl": kl_q}


def classification_terms(
    logits: Float[Tensor, "B Y"], labels: Tensor
) -> tuple[Float[Tensor, " B"], dict[str, Float[Tensor, " B"]]]:
    """Cross-entropy of each image in nats, and the components ``cross_entropy`` and ``accuracy``."""
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    correct = (logits.argmax(-1) == labels).to(cross_entropy.dtype)
    return cross_entropy, {"cross_entropy": cross_entropy.detach(), "accuracy": correct}
