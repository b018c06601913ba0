"""The Muon optimiser: orthogonalised momentum for matrices, Adam for all other parameters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

MIN_SIDE = 16
"""Smallest number of rows and of columns with which a weight is treated as a matrix."""
GRAM_RATIO = 2
"""Ratio of columns to rows from which iterating on X X^T alone is faster."""
PAD_MULTIPLE = 64
"""Short sides are padded to at most a multiple of this, so that matrices are multiplied in batches."""
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Jordan et al.'s a, b, c, with which five iterations map singular values from 0.01 to 1 to about 0.7 to 1.2."""


def orthogonalize(matrices: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """The matrices with all singular values near 1, by Newton-Schulz iterations of fifth order.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": five times X becomes
    a X + (b A + c A^2) X, where A = X X^T.
    """
    wide = [_normalize(matrix) for matrix in matrices]
    batches: dict[int, list[int]] = defaultdict(list)
    for k, x in enumerate(wide):
        if x.shape[1] >= GRAM_RATIO * len(x):
            batches[-(-len(x) // PAD_MULTIPLE)].append(k)
    results: dict[int, Tensor] = {}
    for batch in batches.values():
        results.update(zip(batch, _newton_schulz_gram([wide[k] for k in batch]), strict=True))
    orthogonal = [results[k] if k in results else _newton_schulz(x) for k, x in enumerate(wide)]
    return [x if x.shape == matrix.shape else x.T for x, matrix in zip(orthogonal, matrices, strict=True)]


def _normalize(matrix: Float[Tensor, "R C"]) -> Float[Tensor, "short long"]:
    """The matrix divided by its norm, transposed if it has more rows than columns."""
    norm: Tensor = matrix.norm().clamp(min=torch.finfo(matrix.dtype).tiny)
    x = matrix / norm
    return x.T if len(x) > x.shape[1] else x


def _newton_schulz(x: Float[Tensor, "R C"]) -> Float[Tensor, "R C"]:
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _newton_schulz_gram(matrices: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """The same iteration with products of the short side only: X becomes P X and A becomes P A P, where
    P = a I + b A + c A^2. The matrices A are padded with zeros, which do not change the result, and batched. Never in
    bf16, as A has the squares of the singular values.
    """
    a, b, c = COEFFICIENTS
    side = max(map(len, matrices))
    with torch.autocast(matrices[0].device.type, enabled=False):
        grams = torch.stack([pad(x @ x.T, (0, side - len(x)) * 2) for x in matrices])
        product = step = None
        for _ in range(ITERATIONS):
            if step is not None:
                grams = step @ grams @ step
            step = torch.baddbmm(grams, grams, grams, beta=b, alpha=c)
            step.diagonal(dim1=1, dim2=2).add_(a)
            product = step if product is None else step @ product
        assert product is not None
        return [p[: len(x), : len(x)] @ x for p, x in zip(product, matrices, strict=True)]


def is_matrix(weight: Tensor) -> bool:
    """Whether a weight has at least :data:`MIN_SIDE` rows and columns; the filters of a convolution are its rows."""
    return weight.dim() > 1 and min(len(weight), weight[0].numel()) >= MIN_SIDE


class MuonAndAdam(torch.optim.Optimizer):
    """Updates matrices by their orthogonalised Nesterov momentum, and all other parameters by Adam.

    Args:
        parameters: parameters of a model.
        rate: learning rate of matrices, multiplied by sqrt(rows / columns) if there are more rows than columns.
        others: Adam's learning rate as a fraction of ``rate``.
        momentum: decay of the mean gradient of matrices.
        betas: Adam's decay rates.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float,
        others: float,
        momentum: float,
        betas: tuple[float, float],
    ) -> None:
        weights = list(parameters)
        matrices = [weight for weight in weights if is_matrix(weight)]
        rest = [weight for weight in weights if not is_matrix(weight)]
        super().__init__([{"params": matrices}, {"params": rest}], {"lr": rate})
        self.others, self.momentum = others, momentum
        self.adam = torch.optim.AdamW([{"params": rest}], rate * others, betas=betas, weight_decay=0.0, fused=True)
        self.adam.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take one step with the current gradients; ``closure`` is not called."""
        matrices, rest = self.param_groups
        self.adam.param_groups[0]["lr"] = rest["lr"] * self.others
        self.adam.step()
        weights = [weight for weight in matrices["params"] if weight.grad is not None]
        momenta = [self._nesterov_momentum(weight) for weight in weights]
        for weight, update in zip(weights, orthogonalize(momenta), strict=True):
            scale = max(1.0, len(update) / update.shape[1]) ** 0.5
            weight.sub_(update.reshape(weight.shape), alpha=matrices["lr"] * scale)

    def _nesterov_momentum(self, weight: nn.Parameter) -> Float[Tensor, "R C"]:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        mean = state["momentum"].lerp_(gradient, 1 - self.momentum)
        return gradient.lerp(mean, self.momentum).flatten(1)
