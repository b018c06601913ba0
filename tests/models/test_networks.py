"""Decoders mirror encoders for every image size; the networks of papers A to E are built from parameters."""

import pytest
import torch
from torch import nn

from vaebench.core.errors import VaebenchError
from vaebench.data.images import Batch
from vaebench.models.folding import fold_batch_norm
from vaebench.models.layers import ResidualBlock
from vaebench.models.likelihoods import LIKELIHOODS, ContinuousBernoulliPixels, GaussianPixels, GaussianPixelScale
from vaebench.models.networks import MLP, NETWORKS, Conv, Residual
from vaebench.models.objectives import OBJECTIVES
from vaebench.models.posteriors import SoftplusScale
from vaebench.models.vae import Model

A = Conv()
A_QUICKDRAW = Conv(filters=(32, 64, 64, 64), kernel=(4, 4, 4, 3), stride=(2, 2, 1, 1))
B_CB = Conv(filters=(32,), kernel=(3,), stride=(1,), pool=(2,), hidden=(512, 512), dropout=0.1, batch_norm="none")
C_ENCODER = Conv(filters=(32, 64), kernel=(5,), stride=(1,), padding=(0,), pool=(2,), hidden=(1024,), batch_norm="none")
C_DECODER = Conv(filters=(64, 128), stride=(2,), hidden=(1024,), batch_norm="after")
D_SIMPLE = Conv(
    filters=(32, 64), kernel=(3,), stride=(1,), padding=(0,), pool=(2,), hidden=(256, 64), batch_norm="none"
)
D_DEEP = D_SIMPLE.model_copy(update={"filters": (32, 128), "hidden": (1024, 256, 32)})
E = Conv(filters=(32, 64, 64, 64), kernel=(3,), stride=(1, 2, 2, 1), activation="leaky-relu", batch_norm="none")
PAPERS = {
    "A": (Model(latent=20, network=A), (1, 28, 28)),
    "A-quickdraw": (Model(latent=30, network=A_QUICKDRAW), (1, 28, 28)),
    "A-mlp": (Model(latent=20, network=MLP(hidden=(400,))), (1, 28, 28)),
    "B-normal": (
        Model(
            latent=20,
            network=MLP(hidden=(128,)),
            decoder=MLP(hidden=(128,), activation="sigmoid"),
            likelihood=GaussianPixelScale(),
        ),
        (1, 28, 28),
    ),
    "B-cb": (
        Model(
            latent=20,
            network=B_CB,
            decoder=MLP(hidden=(512, 512), dropout=0.1),
            likelihood=ContinuousBernoulliPixels(),
            posterior=SoftplusScale(),
        ),
        (1, 28, 28),
    ),
    "C-mlp": (Model(latent=10, network=MLP(hidden=(500, 500))), (1, 28, 28)),
    "C-cnn": (Model(latent=10, network=C_ENCODER, decoder=C_DECODER), (1, 28, 28)),
    "D-mnist": (Model(latent=2, network=D_SIMPLE, likelihood=GaussianPixels()), (1, 28, 28)),
    "D-cifar": (Model(latent=16, network=D_SIMPLE, likelihood=GaussianPixels()), (3, 32, 32)),
    "D-deep": (Model(latent=2, network=D_DEEP, likelihood=GaussianPixels()), (3, 32, 32)),
    "E": (Model(latent=3, network=E, likelihood=GaussianPixels()), (1, 28, 28)),
}


def layers(module, kind):
    return [layer for layer in module.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize("name", PAPERS)
def test_every_parameter_of_paper_networks_has_a_gradient(name):
    model, shape = PAPERS[name]
    vae = model.build(shape)
    x = torch.rand(4, *shape)
    loss, _ = OBJECTIVES["elbo"]()(vae, Batch(x, torch.zeros(4, dtype=torch.long)), 0.0)
    loss.backward()
    assert vae.decode(vae.posterior(x).mean).mean.shape == x.shape
    untouched = [n for n, p in vae.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untouched == [n for n, p in vae.named_parameters() if not p.requires_grad]
    assert len(untouched) == (model.network.batch_norm == "before") * len(layers(vae, nn.BatchNorm2d | nn.BatchNorm1d))


def test_paper_a_has_the_published_shapes():
    vae = PAPERS["A"][0].build((1, 28, 28))
    convolutions = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in layers(vae, nn.Conv2d)]
    assert convolutions == [(1, 32, 4, 2), (32, 64, 4, 2), (64, 64, 4, 1)]
    transposed = [(c.in_channels, c.out_channels, c.stride[0]) for c in layers(vae, nn.ConvTranspose2d)]
    assert transposed == [(64, 64, 1), (64, 32, 2), (32, 1, 2)]
    assert layers(vae.encoder, nn.Linear)[0].in_features == 64 * 6 * 6
    assert len(layers(vae.encoder, nn.BatchNorm2d)) == 3


def test_paper_c_decoder_is_infogan():
    decoder = PAPERS["C-cnn"][0].build((1, 28, 28)).decoder
    assert [(c.in_features, c.out_features) for c in layers(decoder, nn.Linear)] == [
        (10, 1024),
        (1024, 7 * 7 * 128),
    ]
    assert [(c.in_channels, c.out_channels) for c in layers(decoder, nn.ConvTranspose2d)] == [
        (128, 64),
        (64, 1),
    ]
    kinds = [type(layer).__name__ for layer in decoder.modules() if not list(layer.children())]
    assert kinds[:3] == ["Linear", "ReLU", "BatchNorm1d"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "network",
    [MLP(hidden=(6,)), A.model_copy(update={"filters": (2, 3, 4)}), E.model_copy(update={"filters": (2, 2, 3, 3)}),
     Conv(filters=(2, 3), kernel=(3,), stride=(1,), padding=(0,), pool=(2,), hidden=(5,), batch_norm="none"),
     Conv(filters=(2, 3), kernel=(5,), stride=(3, 2), padding=(2,), pool=(1, 2), batch_norm="after"),
     Residual(filters=(2, 3, 4, 4))],
    ids=["mlp", "A", "E", "D", "odd", "residual"],
)  # fmt: skip
def test_the_decoder_mirrors_every_size_from_8_to_64(network, channels):
    with torch.no_grad():
        for height in range(8, 65):
            width = 72 - height
            if network.kind == "conv" and network.pool == (2,) and min(height, width) < 10:
                continue
            shape = (channels, height, width)
            raw = network.encoder(shape, 4).eval()(torch.rand(2, *shape))
            assert raw.shape == (2, 4)
            assert network.decoder(4, shape).eval()(raw).shape == (2, *shape)


@pytest.mark.parametrize("size", range(8, 65))
def test_the_decoder_mirrors_square_images(size):
    shape = (1, size, size)
    with torch.no_grad():
        for network in (A, E, D_SIMPLE):
            if network is D_SIMPLE and size < 10:
                with pytest.raises(VaebenchError, match=f"{size}x{size} pixels are too small for convolution 2"):
                    network.decoder(2, shape)
                continue
            small = network.model_copy(update={"filters": (2,) * len(network.filters), "hidden": ()})
            assert small.decoder(2, shape).eval()(torch.randn(2, 2)).shape == (2, *shape)


def test_a_residual_block_adds_its_input():
    block = Residual(filters=(3,), blocks=1).encoder((1, 8, 8), 2)[3].eval()
    x = torch.randn(2, 3, 4, 4)
    first, norm, _, second, last = block.body
    inner = last(second(torch.relu(norm(first(x)))))
    torch.testing.assert_close(block(x), torch.relu(x + inner))
    with torch.no_grad():
        second.weight.zero_()
    torch.testing.assert_close(block(x), torch.relu(x))


def test_residual_networks_have_the_blocks_and_the_halvings_that_are_asked_for():
    network = Residual(filters=(4, 6, 8), blocks=2)
    encoder, decoder = network.encoder((3, 20, 30), 5), network.decoder(5, (3, 20, 30))
    for part in (encoder, decoder):
        assert [layer.body[0].in_channels for layer in part if isinstance(layer, ResidualBlock)] in (
            [4, 4, 6, 6, 8, 8],
            [8, 8, 6, 6, 4, 4],
        )
    assert encoder[-1].in_features == 8 * 3 * 4


def test_folding_keeps_the_function_of_a_residual_network():
    network = Residual(filters=(3, 4)).encoder((1, 9, 9), 2)
    x = torch.rand(16, 1, 9, 9)
    network.train()(x)
    network.eval()
    folded = fold_batch_norm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(x), network(x), atol=1e-5, rtol=1e-5)


def test_too_small_images_are_an_error():
    with pytest.raises(VaebenchError, match=r"images of 4x4 pixels are too small for convolution 1 of 2 \(kernel 5"):
        C_ENCODER.encoder((1, 4, 4), 2)


@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "selu", "sigmoid", "tanh", "silu"])
def test_normalisation_is_before_or_after_the_activation(activation):
    for order, at in (("before", 1), ("after", 2)):
        made = MLP(hidden=(4,), activation=activation, batch_norm=order).encoder((1, 2, 2), 1)
        kinds = [type(layer) for layer in made]
        assert kinds.index(nn.BatchNorm1d) == at + 1
    assert nn.BatchNorm1d not in [type(layer) for layer in MLP(hidden=(4,)).encoder((1, 2, 2), 1)]


def test_parameters_have_one_value_or_one_per_layer():
    with pytest.raises(ValueError, match=r"kernel has 2 values \(3, 4\) for 3 filters"):
        Conv(kernel=(3, 4))
    with pytest.raises(ValueError, match="filters is empty"):
        Conv(filters=())


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_works_with_every_likelihood(network, likelihood):
    model = Model(latent=3, network=NETWORKS[network](), likelihood=LIKELIHOODS[likelihood]())
    vae = model.build((3, 16, 12)).eval()
    x = torch.rand(2, 3, 16, 12)
    p = vae.decode(vae.posterior(x).rsample((5,)))
    assert p.log_prob(x).shape == (5, 2)
