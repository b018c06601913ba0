"""Muon compared with torch.optim.Muon and with singular value decompositions."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vaebench.data.images import HIDDEN, Images
from vaebench.models.loss import LossOutput
from vaebench.training import muon
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.muon import MIN_SIDE, MuonAndAdam, is_matrix, orthogonalize
from vaebench.training.schedules import Adam, Muon


def orthogonalized(shape, kind):
    """The orthogonalised matrix in the basis of singular vectors of the input, whose singular values are 1 to 0.03."""
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(*shape, dtype=torch.float64), full_matrices=False)
    sizes = torch.logspace(0, -1.5, min(shape), dtype=torch.float64)
    [found] = orthogonalize([(7.0 * left @ sizes.diag() @ right).to(kind)])
    return left.T @ found.double() @ right.T


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (24, 24), (16, 40), (64, 16)])
def test_orthogonalize_keeps_singular_vectors(shape):
    found = orthogonalized(shape, torch.float64)
    evened = found.diagonal()
    assert_close(found, evened.diag(), rtol=0, atol=1e-10)
    assert 0.65 < evened.min() < evened.max() < 1.25


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (24, 24), (16, 40), (64, 16)])
def test_orthogonalize_in_bf16(shape):
    with torch.autocast("cpu", torch.bfloat16):
        found = orthogonalized(shape, torch.float32)
    sizes = torch.linalg.svdvals(found)
    assert 0.65 < sizes.min() < sizes.max() < 1.25
    assert (found - found.diagonal().diag()).norm() < 0.05 * found.norm()


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_precision_of_the_training(monkeypatch, precision, kind):
    kinds, weights = [], nn.Linear(20, 20)

    def seen(matrices):
        found = orthogonalize(matrices)
        kinds.extend(one.dtype for one in found)
        return found

    monkeypatch.setattr("vaebench.training.muon.orthogonalize", seen)
    pixels = torch.randint(0, 256, (8, 1, 4, 5), dtype=torch.uint8)
    images = Images(pixels, torch.full((8,), HIDDEN))
    rule = Training(epochs=1, batch=4, optimiser=Muon())

    def objective(model, batch, progress):
        loss = model(batch.x.flatten(1)).float().square().sum(1)
        return LossOutput(loss.mean(), {"loss": loss.detach()})

    train(weights, objective, images, rule, compute=Compute(device="cpu", precision=precision, threads=1))
    assert kinds == [kind, kind]
    assert {one.dtype for one in weights.parameters()} == {torch.float32}


@pytest.mark.parametrize(("kind", "near"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_iterating_on_the_gram_matrix_gives_the_same(kind, near):
    torch.manual_seed(4)
    left, _, right = torch.linalg.svd(torch.randn(32, 200, dtype=torch.float64), full_matrices=False)
    flat = (left @ torch.logspace(0, -8, 32, dtype=torch.float64).diag() @ right).to(kind)
    exact = muon._newton_schulz(flat.double())
    [found] = muon._newton_schulz_gram([flat])
    assert (found - exact).norm() < near * exact.norm()
    with torch.autocast("cpu", torch.bfloat16):
        [found] = muon._newton_schulz_gram([flat])
    assert found.dtype == kind


def test_batched_matrices_give_the_results_of_single_ones():
    torch.manual_seed(6)
    shapes = [(64, 200), (16, 32), (300, 20), (24, 24), (65, 130), (40, 200), (500, 70), (64, 128)]
    matrices = [torch.randn(*shape, dtype=torch.float64) for shape in shapes]
    for matrix, found in zip(matrices, orthogonalize(matrices), strict=True):
        flat = matrix / matrix.norm()
        exact = muon._newton_schulz(flat) if len(flat) <= flat.shape[1] else muon._newton_schulz(flat.T).T
        assert_close(found, exact, rtol=0, atol=1e-12)


def test_orthogonalize_zeros_and_no_matrices():
    assert not orthogonalize([torch.zeros(16, 20)])[0].any()
    assert not orthogonalize([torch.zeros(16, 40)])[0].any()
    assert orthogonalize([]) == []


def descended(optimiser, weights, steps=4):
    """The weights after steps with the same random gradients for every optimiser."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimiser.step()
    return [weight.detach().clone() for weight in weights]


@pytest.mark.parametrize("shape", [(40, 20), (20, 40)])
def test_a_matrix_is_updated_as_by_torch_and_a_bias_as_by_adam(shape):
    def weights():
        torch.manual_seed(1)
        return nn.Parameter(torch.randn(*shape)), nn.Parameter(torch.randn(9))

    own, expected = weights(), weights()
    matrix, bias = descended(MuonAndAdam(own, 0.05, 0.2, 0.9, (0.9, 0.95)), own)
    both = [
        torch.optim.Muon(expected[:1], 0.05, weight_decay=0.0, momentum=0.9),
        Adam(rate=0.01, beta2=0.95).build(expected[1:]),
    ]

    class Both:
        def step(self):
            [one.step() for one in both]

    expected_matrix, expected_bias = descended(Both(), expected)
    moved = expected_matrix - weights()[0].detach()
    assert (matrix - expected_matrix).norm() < 0.02 * moved.norm()  # torch's is rounded to bf16
    assert_close(bias, expected_bias, rtol=0, atol=0)


def test_filters_are_rows_in_any_memory_layout():
    torch.manual_seed(2)
    start = torch.randn(18, 4, 3, 3)
    filters = nn.Parameter(start.clone(memory_format=torch.channels_last))
    matrix = nn.Parameter(start.flatten(1).clone())
    optimisers = [Muon().build([one]) for one in (filters, matrix)]
    for _ in range(4):
        matrix.grad = torch.randn(18, 36)
        filters.grad = matrix.grad.view_as(filters).clone(memory_format=torch.channels_last)
        for optimiser in optimisers:
            optimiser.step()
    assert_close(filters.flatten(1), matrix, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((MIN_SIDE, MIN_SIDE), True),
        ((MIN_SIDE - 1, 90), False),
        ((90, MIN_SIDE - 1), False),
        ((90,), False),
        ((32, 1, 4, 4), True),
        ((), False),
    ],
)
def test_is_matrix(shape, expected):
    assert is_matrix(torch.zeros(shape)) is expected


def test_weights_without_gradient_are_not_updated():
    weight = nn.Parameter(torch.ones(20, 20))
    Muon().build([weight]).step()
    assert (weight == 1).all()
