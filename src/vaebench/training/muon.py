"""Muon: momentum made orthogonal for matrices, Adam for all else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAST = 16
"""Rows and columns from which on a weight counts as a matrix."""
WIDE = 2
"""Columns a row from which on it is quicker to work on X X^T alone."""
TIMES = 5
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of Jordan et al.: these take singular values from 0.01 to 1 to about 0.7 to 1.2, in five times."""


def orthogonal(matrix: Float[Tensor, "R C"]) -> Float[Tensor, "R C"]:
    """The matrix with all its singular values near 1, by Newton-Schulz iterations of fifth order.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": X becomes
    a X + (b A + c A^2) X, where A = X X^T, five times.
    """
    flat = matrix / matrix.norm().clamp(min=torch.finfo(matrix.dtype).tiny)
    if upright := len(flat) > flat.shape[1]:
        flat = flat.T
    found = _by_gram(flat) if flat.shape[1] >= WIDE * len(flat) else _by_turns(flat)
    return found.T if upright else found


def _by_turns(flat: Float[Tensor, "R C"]) -> Float[Tensor, "R C"]:
    a, b, c = QUINTIC
    for _ in range(TIMES):
        gram = flat @ flat.T
        flat = torch.addmm(flat, torch.addmm(gram, gram, gram, beta=b, alpha=c), flat, beta=a)
    return flat


def _by_gram(flat: Float[Tensor, "R C"]) -> Float[Tensor, "R C"]:
    """The same by products of the short side alone: X becomes P X and A becomes P A P, where P = a I + b A + c A^2.

    Never rounded to bf16, as A has the squares of the singular values.
    """
    a, b, c = QUINTIC
    with torch.autocast(flat.device.type, enabled=False):
        gram = flat @ flat.T
        whole = None
        for _ in range(TIMES):
            turn = torch.addmm(gram, gram, gram, beta=b, alpha=c)
            turn.diagonal().add_(a)
            whole = turn if whole is None else turn @ whole
            gram = turn @ gram @ turn
        assert whole is not None
        return whole @ flat


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
        for weight in matrices["params"]:
            if weight.grad is not None:
                self._move(weight, matrices["lr"])

    def _move(self, weight: nn.Parameter, rate: float) -> None:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        mean = state["momentum"].lerp_(gradient, 1 - self.momentum)
        ahead = gradient.lerp(mean, self.momentum).flatten(1)
        scale = max(1.0, len(ahead) / ahead.shape[1]) ** 0.5
        weight.sub_(orthogonal(ahead).reshape(weight.shape), alpha=rate * scale)
