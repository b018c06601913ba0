"""How often images have each code of a quantised VAE: fraction of codes used, entropy and perplexity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vaebench.models.quantisers import Quantiser


@dataclass(frozen=True)
class CodeUse:
    """Number of images with each code of each group (M, K), and the number of codes K_m of each group."""

    counts: Int[Tensor, "M K"]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, quantiser: Quantiser, z: Float[Tensor, "N D"]) -> CodeUse:
        """The use of codes by these values of z."""
        codes = quantiser.codes_of(z)
        counts = torch.stack([F.one_hot(part, max(quantiser.sizes)).sum(0) for part in codes.unbind(1)])
        return cls(counts.cpu(), quantiser.sizes)

    @property
    def used(self) -> float:
        """Fraction of all codes that some image has."""
        return int((self.counts > 0).sum()) / sum(self.sizes)

    @property
    def entropies(self) -> Float[Tensor, " M"]:
        """Entropy of the code of each group over the images, in nats: at most log K_m."""
        fraction = self.counts.double() / self.counts.sum(1, keepdim=True)
        entropies: Tensor = -torch.special.xlogy(fraction, fraction).sum(1)
        return entropies

    @property
    def perplexities(self) -> Float[Tensor, " M"]:
        """exp(entropy) of each group: K_m if all codes are used equally, 1 if all images have the same."""
        return self.entropies.exp()

    @property
    def perplexity(self) -> float:
        """Mean perplexity of the groups."""
        return float(self.perplexities.mean())

    def most_used(self, groups: Int[Tensor, " G"], most: int) -> Int[Tensor, "G S"]:
        """The S codes that most images have in each of these groups, in ascending order, with S at most ``most`` and
        the smallest K_m."""
        count = min(most, *self.sizes)
        return self.counts[groups].topk(count, dim=1).indices.sort(1).values
