#!/usr/bin/env bash
# multivae 1.0.3: with its default decoder and decoders_dist="bernoulli", no pixel can be nearly black: black images
# cost log 2 nats a pixel, however long a model is trained.
#
# Guess: a decoder that ends in a sigmoid gives probabilities, so that a Bernoulli likelihood of black pixels can come
# near to 0 nats.
# Instead: the Bernoulli distribution takes the output for logits, as the configuration's documentation says, while the
# default decoder ends in a sigmoid: logits from 0 to 1 are probabilities from 0.50 to 0.73.
# Source: multivae/models/nn/default_architectures.py, BaseAEDecoder, whose last layer is followed by Sigmoid;
# multivae/models/base/base_utils.py, set_decoder_dist; documented in multivae/models/base/base_config.py.
# The bias of the last layer is set so that the decoder says black with certainty, which no training could better.
# torchvision, which multivae imports for its data sets, is replaced, so that any build of torch will do.
#
# Output seen:
#   multivae 1.0.3
#   decoder's output: 0.000
#   reconstruction loss of black images of 16 pixels: 11.09 nats (16 log 2 is 11.09)
#   reconstruction loss of white images, output 1.000: 5.01 nats
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 \
    numpy==2.4.6 pythae==0.1.2 multivae==1.0.3
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import math
import sys
from importlib.metadata import version
from unittest.mock import MagicMock

import torch

for name in ("", ".datasets", ".datasets.utils", ".transforms", ".utils"):
    sys.modules["torchvision" + name] = MagicMock()

from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import MVAE, MVAEConfig

SHAPE = (1, 4, 4)
config = MVAEConfig(
    n_modalities=2,
    latent_dim=2,
    input_dims={"a": SHAPE, "b": SHAPE},
    decoders_dist={"a": "bernoulli", "b": "bernoulli"},
)
model = MVAE(config).eval()
print("multivae", version("multivae"))


def reconstruction_loss(bias, pixel):
    """Output of the decoder of "a" with this last bias, and the nats of an image of this pixel."""
    decoder = model.decoders["a"]
    last = [layer for layer in decoder.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(bias)
        output = decoder(torch.zeros(1, 2)).reconstruction
        image = torch.full((1, *SHAPE), pixel)
        nats = -float(model.recon_log_probs["a"](output, image).sum())
    return float(output.mean()), nats


output, black = reconstruction_loss(-50.0, 0.0)
print(f"decoder's output: {output:.3f}")
print(f"reconstruction loss of black images of 16 pixels: {black:.2f} nats (16 log 2 is {16 * math.log(2):.2f})")
output, white = reconstruction_loss(50.0, 1.0)
print(f"reconstruction loss of white images, output {output:.3f}: {white:.2f} nats")
assert abs(black - 16 * math.log(2)) < 1e-3, f"black images can be reconstructed now: {black}"
assert white > 4, f"white images can be reconstructed now: {white}"
EOF
