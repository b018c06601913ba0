"""VAEs with discrete latents: VQ-VAE and finite scalar quantisation.

Both are a :class:`VAE` whose posterior is a :class:`Quantiser`: q(z|x) has all its mass at one vector, so that
log q(z|x) = 0 and the KL to the prior is -log p(codes of x). The ELBO log p(x|z) + log p(codes of x) is a bound on
log p(x) = log sum over all codes of p(codes) p(x | codes), which has that term and others.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator

from vaebench.data.images import Batch
from vaebench.models.code_priors import AnyCodePrior, UniformCodes
from vaebench.models.likelihoods import AnyLikelihood, BernoulliPixels, likelihood_decoder
from vaebench.models.loss import LossOutput, Objective, Weight, elbo_terms, loss_components
from vaebench.models.networks import Shape
from vaebench.models.objectives import Elbo
from vaebench.models.quantisers import Codebook, FiniteScalar, Quantiser
from vaebench.models.vae import VAE, Model, VAEModel


class VQElbo(Elbo):
    """beta KL - log p(x|z) + commitment |raw - sg(z)|^2, nats per image; sg stops the gradient.

    Van den Oord et al. 2017, eq. 3, without its second term, in place of which a call in training mode updates the
    codebook (their appendix A.1). The KL to a uniform prior is constant.
    """

    kind: Literal["vq"] = "vq"  # type: ignore[assignment]
    commitment: Weight = 0.25
    """Weight of the squared distance of the encoder's output from the vector, summed over values."""

    def __call__(self, model: VAE, batch: Batch, progress: float) -> LossOutput:
        """The loss of a VAE with a :class:`Codebook`."""
        codebook = model.to_posterior
        assert isinstance(codebook, Codebook)
        raw = model.encoder(batch.x).to(batch.x.dtype)
        z, log_px, kl_q = elbo_terms(model, batch, codebook(raw))
        distance = (raw - z.detach()).square().sum(-1)
        if model.training:
            codebook.update(raw.detach())
        loss = (self.beta * kl_q - log_px + self.commitment * distance).mean()
        return LossOutput(loss, loss_components(log_px, kl_q) | {"commitment": distance.detach()})


class VQModel(VAEModel):
    """Configuration of a VQ-VAE: a :class:`VAE` with a :class:`Codebook`.

    Van den Oord et al. 2017, "Neural discrete representation learning", arXiv:1711.00937.
    """

    kind: Literal["vq"] = "vq"
    latent: int = Field(32, ge=1)
    """D, the number of values of z in all groups."""
    likelihood: AnyLikelihood = BernoulliPixels()
    prior: AnyCodePrior = UniformCodes()
    groups: int = Field(8, ge=1)
    """M, the number of groups of values, each of which is quantised to one code."""
    codes: int = Field(64, ge=2)
    """K, the number of codes of each group."""
    commitment: Weight = 0.25
    """Weight of the squared distance between the encoder's output and its vector."""
    decay: float = Field(0.99, ge=0, lt=1)
    """Decay per step of the moving averages that the vectors are."""
    restart: float = Field(0.05, ge=0, lt=1)
    """Codes used less than this fraction of 1 / K are replaced by encoder outputs; 0 replaces none."""

    @model_validator(mode="after")
    def _check_groups(self) -> VQModel:
        if self.latent % self.groups:
            raise ValueError(
                f"latent is {self.latent} and groups is {self.groups}; expected a multiple of the number of groups"
            )
        return self

    def _begin_title(self) -> str:
        groups = f"{self.groups} group{'' if self.groups == 1 else 's'}"
        return f"VQ-VAE with {groups} of {self.codes} codes and"

    @property
    def plain(self) -> Model:
        """Configuration of the VAE with the same networks and Gaussian latents."""
        return _without_quantiser(self)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each group."""
        return (self.codes,) * self.groups

    def objective_from(self, objective: Objective) -> VQElbo:
        """:class:`VQElbo` with the beta of the recipe's objective."""
        assert isinstance(objective, Elbo)
        return VQElbo(beta=objective.beta, commitment=self.commitment)

    def build(self, shape: Shape) -> VAE:
        """A VQ-VAE for images of this shape, its weights and vectors drawn from torch's global generator.

        Raises:
            VaebenchError: the images are too small for the network.
        """
        width = self.latent // self.groups
        return _build(self, Codebook(self.groups, self.codes, width, self.decay, self.restart), shape)


class FSQModel(VAEModel):
    """Configuration of a :class:`VAE` with :class:`FiniteScalar` latents.

    Mentzer et al. 2024, "Finite scalar quantization: VQ-VAE made simple", arXiv:2309.15505.
    """

    kind: Literal["fsq"] = "fsq"
    likelihood: AnyLikelihood = BernoulliPixels()
    prior: AnyCodePrior = UniformCodes()
    levels: tuple[int, ...] = Field((5,), min_length=1)
    """L, the number of levels of each latent, or one number for all; at least 2."""

    @model_validator(mode="after")
    def _check_levels(self) -> FSQModel:
        if min(self.levels) < 2:
            raise ValueError(f"levels is {self.levels}; expected at least 2 levels of each latent")
        if len(self.levels) not in (1, self.latent):
            raise ValueError(
                f"levels has {len(self.levels)} values for {self.latent} latents; give one for all or one per latent"
            )
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of levels of each latent."""
        return self.levels if len(self.levels) > 1 else self.levels * self.latent

    def _begin_title(self) -> str:
        counts = " or ".join(map(str, sorted(set(self.levels))))
        return f"VAE with finite scalar quantisation to {counts} levels and"

    @property
    def plain(self) -> Model:
        """Configuration of the VAE with the same networks and Gaussian latents."""
        return _without_quantiser(self)

    def build(self, shape: Shape) -> VAE:
        """A VAE for images of this shape, its weights drawn from torch's global generator.

        Raises:
            VaebenchError: the images are too small for the network.
        """
        return _build(self, FiniteScalar(self.sizes), shape)


QuantisedModel = VQModel | FSQModel
"""Configurations of VAEs with discrete latents."""


def _without_quantiser(model: QuantisedModel) -> Model:
    return Model(latent=model.latent, network=model.network, decoder=model.decoder, likelihood=model.likelihood)


def _build(model: QuantisedModel, quantiser: Quantiser, shape: Shape) -> VAE:
    """The VAE with these networks and this quantiser, in channels-last layout."""
    vae = VAE(
        model.network.encoder(shape, model.latent),
        likelihood_decoder(model.decoder or model.network, model.latent, shape, model.likelihood),
        model.latent,
        quantiser,
        model.likelihood,
        model.prior.build(quantiser.sizes),
    )
    return vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
