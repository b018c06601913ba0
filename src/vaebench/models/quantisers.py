"""Quantisers: posteriors q(z|x) that put all probability on one of finitely many vectors, with their codes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Size, Tensor, nn
from torch.distributions import Distribution, Independent
from torch.nn import functional as F

EMPTY = 1e-8
"""Images a step below which a code has no mean of its own and keeps its vector."""


class PointMass(Distribution):
    """The distribution of values that equal ``loc``: a probability mass, which has no density."""

    has_rsample = True

    def __init__(self, loc: Tensor) -> None:
        self.loc = loc
        super().__init__(loc.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> PointMass:
        """The same distribution with another batch shape."""
        return PointMass(self.loc.expand(batch_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """``loc`` itself."""
        return self.loc.expand(Size(sample_shape) + self.loc.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log of the probability of ``value`` in nats: 0 at ``loc``, minus infinity elsewhere."""
        return torch.where(value == self.loc, 0.0, -torch.inf).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.loc)


class Quantiser(nn.Module):
    """q(z|x) = [z = the vector nearest to the encoder's output], for z of M groups with a code each, D values in all.

    Group m has the codes 0 to K_m - 1. The gradient with respect to z is passed on to the value before rounding,
    unchanged: the straight-through estimator of Bengio et al. 2013, arXiv:1308.3432, section 4.

    Args:
        sizes: K_m of each group.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes

    @abstractmethod
    def codes_of(self, z: Float[Tensor, "*batch D"]) -> Int[Tensor, "*batch M"]:
        """Codes of the vectors nearest to ``z``; that of a tie is not specified."""

    @abstractmethod
    def vectors(self, codes: Int[Tensor, "*batch M"]) -> Float[Tensor, "*batch D"]:
        """The values of z that these codes stand for."""

    def bounded(self, raw: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """The encoder's output in the range of the values of z."""
        return raw

    def nearest(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """The value that z can have nearest to ``z``, without gradient."""
        return self.vectors(self.codes_of(z.detach()))

    def forward(self, raw: Float[Tensor, "*batch D"]) -> Independent:
        """q(z|x) from the encoder's output, event shape (D,)."""
        values = self.bounded(raw)
        z = self.nearest(values) + (values - values.detach())  # adds exactly 0
        return Independent(PointMass(z), 1, validate_args=False)


class Codebook(Quantiser):
    """M groups of D / M values, each with a codebook of K vectors that follow the encoder's outputs.

    Van den Oord et al. 2017, "Neural discrete representation learning", eqs. 1 and 2; each group has its own
    codebook. The vectors are moving averages, not parameters: :meth:`update`.

    The buffers ``codebook`` (M, K, D / M), ``counts`` (M, K) and ``sums`` (M, K, D / M) have the names of saved files.

    Args:
        groups: M.
        codes: K.
        width: D / M.
        decay: gamma of the moving averages.
        restart: fraction of the mean use of a code below which a code is unused; 0 replaces none.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, groups: int, codes: int, width: int, decay: float, restart: float) -> None:
        super().__init__((codes,) * groups)
        self.decay, self.restart = decay, restart
        self.register_buffer("codebook", torch.randn(groups, codes, width))
        self.register_buffer("counts", torch.zeros(groups, codes))
        self.register_buffer("sums", torch.zeros(groups, codes, width))

    def codes_of(self, z: Float[Tensor, "*batch D"]) -> Int[Tensor, "*batch M"]:
        """Codes of the vectors with the smallest squared distance |e|^2 - 2 z e + |z|^2 in each group."""
        with torch.autocast(z.device.type, enabled=False):  # bf16 would choose another of two near vectors
            products = torch.einsum("...md,mkd->...mk", self._grouped(z), self.codebook)
            codes: Tensor = (self.codebook.square().sum(-1) - 2 * products).argmin(-1)
            return codes

    def vectors(self, codes: Int[Tensor, "*batch M"]) -> Float[Tensor, "*batch D"]:
        groups = torch.arange(len(self.sizes), device=codes.device)
        z: Tensor = self.codebook[groups, codes].flatten(-2)
        return z

    def _grouped(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch M W"]:
        grouped: Tensor = z.unflatten(-1, (len(self.sizes), -1))
        return grouped

    @torch.no_grad()
    def update(self, values: Float[Tensor, "B D"]) -> None:
        """Move each vector towards the mean of the encoder's outputs that it is nearest to, and replace unused ones.

        N_k = gamma N_k + (1 - gamma) n_k and m_k = gamma m_k + (1 - gamma) sum of the n_k outputs, e_k = m_k / N_k:
        van den Oord et al. 2017, appendix A.1, with N and m that start at 0. Sums are over the images of all processes.
        """
        with torch.autocast(values.device.type, enabled=False):
            assigned = F.one_hot(self.codes_of(values), self.sizes[0]).to(values.dtype)
            sums = torch.einsum("bmk,bmd->mkd", assigned, self._grouped(values))
            self.counts.lerp_(_over_processes(assigned.sum(0)), 1 - self.decay)
            self.sums.lerp_(_over_processes(sums), 1 - self.decay)
        means = self.sums / self.counts.clamp(min=EMPTY)[..., None]
        self.codebook.copy_(torch.where(self.counts[..., None] > EMPTY, means, self.codebook))
        self._replace_unused(self._grouped(values))

    def _replace_unused(self, grouped: Float[Tensor, "B M W"]) -> None:
        """Set each code whose average use N_k is below ``restart`` times the mean of its group to a random output of
        the batch, as if used equally: the random restarts of Dhariwal et al. 2020, arXiv:2005.00341, section 3.1."""
        equal = self.counts.mean(-1, keepdim=True)
        unused = self.counts < self.restart * equal
        rows = torch.randint(len(grouped), self.counts.shape, device=grouped.device)
        drawn = grouped[rows, torch.arange(len(self.sizes), device=rows.device)[:, None]]
        self.counts.copy_(torch.where(unused, equal, self.counts))
        self.sums.copy_(torch.where(unused[..., None], equal[..., None] * drawn, self.sums))
        self.codebook.copy_(torch.where(unused[..., None], drawn, self.codebook))


def _over_processes(total: Tensor) -> Tensor:
    """The sum of ``total`` over the processes of a training."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
    return total


class FiniteScalar(Quantiser):
    """D groups of one value each, tanh(raw) rounded to the nearest of L equally spaced levels from -1 to 1.

    Mentzer et al. 2024, "Finite scalar quantization: VQ-VAE made simple", section 3.1. For odd L the levels are
    theirs; for even L theirs are shifted, so that one is 0, and these are symmetric.

    Args:
        levels: L of each value, at least 2.
    """

    highest: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__(levels)
        self.register_buffer("highest", torch.tensor(levels).float() - 1, persistent=False)

    def bounded(self, raw: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """tanh(raw)."""
        return raw.tanh()

    def codes_of(self, z: Float[Tensor, "*batch D"]) -> Int[Tensor, "*batch D"]:
        """Number of the level nearest to each value; the lowest level has the code 0."""
        return ((z.clamp(-1, 1) + 1) / 2 * self.highest).round().long()

    def vectors(self, codes: Int[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return 2 * codes / self.highest - 1
