"""RegularisedAutoencoder: a deterministic autoencoder whose codes and decoder are kept small."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from vaebench.core.frozen import Frozen
from vaebench.data.images import Batch
from vaebench.models.loss import LossOutput, Weight, log_likelihood
from vaebench.models.vae import VAE


class RegularisedAutoencoder(Frozen):
    """-log p(x|z) + beta |z|^2 / 2 + decay |theta|^2 at z = mean of q(z|x), theta the weights of the decoder.

    RAE-L2, Ghosh et al. 2020, "From variational to deterministic autoencoders", eqs. 11 and 12. It has no prior: images
    are generated from a density that is fitted to the codes after training, as
    :data:`vaebench.evaluation.samples.SAMPLERS` does. The variance of the posterior is not trained.
    """

    kind: Literal["rae"] = "rae"
    beta: Weight = 0.1
    """Weight of half the squared norm of the code."""
    decay: Weight = 1e-4
    """Weight of the squared norm of the decoder's weights, without biases and normalisation."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss; its component ``code`` is |z|^2 / 2 of each image."""
        z = model.posterior(batch.x).mean
        log_px, half_square = log_likelihood(model.decode(z), batch), z.square().sum(-1) / 2
        loss = (self.beta * half_square - log_px).mean() + self.decay * squared_weights(model.decoder)
        return LossOutput(loss, {"reconstruction": -log_px.detach(), "code": half_square.detach()})


def squared_weights(network: nn.Module) -> Float[Tensor, ""]:
    """Sum of squares of the weights of all linear and convolutional layers."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    return sum((weight.square().sum() for weight in weights[1:]), weights[0].square().sum())
