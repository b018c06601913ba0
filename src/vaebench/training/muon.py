"""Muon: momentum made orthogonal for matrices, Adam for all else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

LEAST = 16
"""Rows and columns from which on a weight counts as a matrix."""
WIDE = 2
"""Columns a row from which on it is quicker to work on X X^T alone."""
SIDE = 64
"""Short sides are filled up to a multiple of this at most, so that such matrices are worked on together."""
TIMES = 5
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of Jordan et al.: these take singular values from 0.01 to 1 to about 0.7 to 1.2, in five times."""


def orthogonal(matrices: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """The matrices with all their singular values near 1, by Newton-Schulz iterations of fifth order.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": X becomes
    a X + (b A + c A^2) X, where A = X X^T, five times.
    """
    lying = [_lying(matrix) for matrix in matrices]
    together: dict[int, list[int]] = defaultdict(list)
    for k, flat in enumerate(lying):
        if flat.shape[1] >= WIDE * len(flat):
            together[-(-len(flat) // SIDE)].append(k)
    found: dict[int, Tensor] = {}
    for group in together.values():
        found.update(zip(group, _by_gram([lying[k] for k in group]), strict=True))
    evened = [found[k] if k in found else _by_turns(flat) for k, flat in enumerate(lying)]
    return [one if one.shape == matrix.shape else one.T for one, matrix in zip(evened, matrices, strict=True)]


def _lying(matrix: Float[Tensor, "R C"]) -> Float[Tensor, "short long"]:
    """Of norm 1, its short side first."""
    norm: Tensor = matrix.norm().clamp(min=torch.finfo(matrix.dtype).tiny)
    flat = matrix / norm
    return flat.T if len(flat) > flat.shape[1] else flat


def _by_turns(flat: Float[Tensor, "R C"]) -> Float[Tensor, "R C"]:
    a, b, c = QUINTIC
    for _ in range(TIMES):
        gram = flat @ flat.T
        flat = torch.addmm(flat, torch.addmm(gram, gram, gram, beta=b, alpha=c), flat, beta=a)
    return flat


def _by_gram(flats: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """The same by products of the short side alone: X becomes P X and A becomes P A P, where P = a I + b A + c A^2. All
    in one product, the smaller filled up with zeros, which never mix with what is theirs.

    Never rounded to bf16, as A has the squares of the singular values.
    """
    a, b, c = QUINTIC
    side = max(map(len, flats))
    with torch.autocast(flats[0].device.type, enabled=False):
        grams = torch.stack([pad(flat @ flat.T, (0, side - len(flat)) * 2) for flat in flats])
        whole = turn = None
        for _ in range(TIMES):
            if turn is not None:
                grams = turn @ grams @ turn
            turn = torch.baddbmm(grams, grams, grams, beta=b, alpha=c)
            turn.diagonal(dim1=1, dim2=2).add_(a)
            whole = turn if whole is None else turn @ whole
        assert whole is not None
        return [one[: len(flat), : len(flat)] @ flat for one, flat in zip(whole, flats, strict=True)]


def is_matrix(weight: Tensor) -> bool:
    """Whether it has rows and columns enough; a convolution's filters count as rows."""
    return weight.dim() > 1 and min(len(weight), weight[0].numel()) >= LEAST


class MuonAndAdam(torch.optim.Optimizer):
    """Moves matrices by the orthogonal part of their Nesterov momentum, all other parameters by Adam.

    Args:
        parameters: of a model.
        rate: learning rate of matrices, times the square root of rows by columns where these are fewer.
        others: Adam's learning rate as a share of it.
        momentum: decay of the mean of gradients.
        betas: Adam's.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float,
        others: float,
        momentum: float,
        betas: tuple[float, float],
    ) -> None:
        every = list(parameters)
        matrices = [one for one in every if is_matrix(one)]
        rest = [one for one in every if not is_matrix(one)]
        super().__init__([{"params": matrices}, {"params": rest}], {"lr": rate})
        self.others, self.momentum = others, momentum
        self.adam = torch.optim.AdamW([{"params": rest}], rate * others, betas=betas, weight_decay=0.0, fused=True)
        self.adam.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step by the gradients that are there; ``closure`` is not called."""
        matrices, rest = self.param_groups
        self.adam.param_groups[0]["lr"] = rest["lr"] * self.others
        self.adam.step()
        moved = [weight for weight in matrices["params"] if weight.grad is not None]
        ahead = [self._ahead(weight) for weight in moved]
        for weight, turned in zip(moved, orthogonal(ahead), strict=True):
            scale = max(1.0, len(turned) / turned.shape[1]) ** 0.5
            weight.sub_(turned.reshape(weight.shape), alpha=matrices["lr"] * scale)

    def _ahead(self, weight: nn.Parameter) -> Float[Tensor, "R C"]:
        """Its Nesterov momentum, as a matrix."""
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        mean = state["momentum"].lerp_(gradient, 1 - self.momentum)
        return gradient.lerp(mean, self.momentum).flatten(1)
