"""Faster layers equal torch's in values and gradients, and have the documented memory layouts."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vaebench.models.folding import fold_batch_norm
from vaebench.models.layers import Flatten, OneChannel, Unflatten
from vaebench.models.networks import MLP, Conv

EXACT = {"atol": 1e-12, "rtol": 0}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra"),
    [(4, 2, 1, 0), (3, 2, 1, 1), (3, 2, 1, 0), (5, 3, 0, 2), (2, 2, 0, 1), (4, 4, 1, 1),
     (5, (2, 3), (4, 1), (0, 2)), ((1, 4), 2, 0, 1)],
)  # fmt: skip
def test_one_channel_equals_the_transposed_convolution(float64, kernel, stride, padding, extra, bias):
    layer = OneChannel(5, 1, kernel, stride, padding, extra, bias=bias)
    plain = nn.ConvTranspose2d(5, 1, kernel, stride, padding, extra, bias=bias)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 5, 7, 9).to(memory_format=torch.channels_last)
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    found, expected = layer(ours), plain(theirs)
    assert_close(found, expected, **EXACT)
    noise = torch.randn_like(expected)
    found.backward(noise)
    expected.backward(noise)
    assert_close(ours.grad, theirs.grad, **EXACT)
    for mine, other in zip(layer.parameters(), plain.parameters(), strict=True):
        assert_close(mine.grad, other.grad, **EXACT)


def test_one_channel_accumulates_in_the_precision_of_its_weights():
    layer, x = OneChannel(32, 1, 4, 2, 1), torch.randn(3, 32, 7, 7)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, layer(x), atol=2e-2, rtol=0)
    assert layer(x[:0]).shape == (0, 1, 14, 14)
    assert fold_batch_norm(nn.Sequential(layer))[0].__class__ is OneChannel


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 6, 5), (7, 1, 1)])
def test_flatten_equals_torch_and_gradients_have_the_layout_of_values(shape):
    images = torch.randn(2, *shape).to(memory_format=torch.channels_last)
    layouts = []
    x = images.clone().requires_grad_()
    x.register_hook(lambda g: layouts.append(g.is_contiguous(memory_format=torch.channels_last)))
    rows = Flatten()(x)
    assert torch.equal(rows, nn.Flatten()(images))
    noise = torch.randn_like(rows)
    rows.backward(noise)
    assert torch.equal(x.grad, noise.unflatten(1, shape))
    assert layouts == [True]

    y = rows.detach().clone().requires_grad_()
    y.register_hook(lambda g: layouts.append(g.is_contiguous()))
    back = Unflatten(1, shape)(y)
    assert torch.equal(back, images)
    assert back.is_contiguous(memory_format=torch.channels_last)
    noise = torch.randn_like(back)
    back.backward(noise)
    assert torch.equal(y.grad, noise.flatten(1))
    assert layouts == [True, True]


def test_layers_support_vmap_and_second_derivatives(float64):
    x = torch.randn(3, 2, 2, 3, 3)
    for layer in (Flatten(), nn.Sequential(nn.Flatten(), Unflatten(1, (2, 3, 3)))):

        def sharpness(x, layer=layer):
            return layer(x).pow(3).sum()

        found = torch.func.vmap(torch.func.grad(sharpness))(x)
        assert_close(found, 3 * x**2, **EXACT)
        once = x[0].clone().requires_grad_()
        (first,) = torch.autograd.grad(sharpness(once), once, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), once)
        assert_close(second, 6 * x[0], **EXACT)


@pytest.mark.parametrize(
    "network",
    [Conv(filters=(4, 6), kernel=(3,), stride=(2,), hidden=(7,)), MLP(hidden=(9, 5), batch_norm="before")],
    ids=["conv", "mlp"],
)
def test_biases_before_normalisation_are_frozen(float64, network):
    both = [network.encoder((1, 9, 9), 3), network.decoder(3, (1, 9, 9))]
    for net, x in zip(both, (torch.randn(8, 1, 9, 9), torch.randn(8, 3)), strict=True):
        names = dict(net.named_parameters())
        norms = [i for i, layer in enumerate(net) if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
        before = [f"{i - 1}.bias" for i in norms]
        assert [name for name, p in names.items() if not p.requires_grad] == before != []
        for p in net.parameters():
            p.requires_grad_(True)
        (net(x) ** 3).sum().backward()
        largest = max(float(p.grad.abs().max()) for p in net.parameters())
        for name in before:
            assert float(names[name].grad.abs().max()) < 1e-12 * largest
    trained = MLP(hidden=(4,), batch_norm="after").encoder((1, 2, 2), 1)
    assert all(p.requires_grad for p in trained.parameters())
