#!/usr/bin/env bash
# multivae 1.0.3: the importance-sampled negative log-likelihood of MoPoE depends on an image's place in the batch, and
# does not approach the exact value with more samples.
#
# Guess: each sample of z comes from the mixture of experts whose density it is divided by, so that the estimate tends
# to -log p(x) from above, and that of three copies of an image is three times that of one.
# Instead: all samples of an image come from one expert, chosen by its place in the batch (of three experts, the first
# third of the images gets the first; an image alone gets the last), and are divided by the whole mixture's density.
# The limit is -log of the integral of p(x, z) times expert / mixture: too low where the expert covers the posterior, by
# up to the log of the number of experts, and too high where it does not. MMVAE in the same package draws one expert at
# random for all samples and images of a call.
# Source: multivae/models/mopoe/mopoe_model.py, MoPoE.compute_joint_nll, which samples from inference(...)["joint"], and
# deterministic_mixture_component_selection. The model here is linear: z, a and the noise of b are Gaussian, a is
# independent of z, and b = z + noise; the encoders give the exact posteriors. torchvision, which multivae imports for
# its data sets, is replaced, so that any build of torch will do.
#
# Output seen:
#   multivae 1.0.3
#   b = (2.0,): 3.47 with 1,000 samples, 3.47 with 100,000; exact 3.82
#   b = (2.0, 2.0, 2.0): 13.79 with 1,000 samples, 13.65 with 100,000; exact 11.47
#   b = (2.0, 0.0, 0.0): 9.93 with 1,000 samples, 9.88 with 100,000; exact 7.51
#   b = (0.0, 0.0, 2.0): 8.05 with 1,000 samples, 8.13 with 100,000; exact 7.51
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
from multivae.models import MoPoE, MoPoEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder

NOISE = 0.1
VARIANCE = 1 + NOISE**2


class Encoder(BaseEncoder):
    def __init__(self, factor, variance):
        super().__init__()
        self.factor, self.log_variance = factor, math.log(variance)

    def forward(self, x):
        return ModelOutput(embedding=self.factor * x, log_covariance=torch.full_like(x, self.log_variance))


class Decoder(BaseDecoder):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, z):
        return ModelOutput(reconstruction=self.factor * z)


config = MoPoEConfig(
    n_modalities=2, latent_dim=1, input_dims={"a": (1,), "b": (1,)}, decoder_dist_params={"b": {"scale": NOISE}}
)
encoders = {"a": Encoder(0, 1), "b": Encoder(1 / VARIANCE, NOISE**2 / VARIANCE)}
model = MoPoE(config, encoders, {"a": Decoder(0), "b": Decoder(1)})

print("multivae", version("multivae"))
torch.manual_seed(0)
found = {}
for batch in ((2.0,), (2.0, 2.0, 2.0), (2.0, 0.0, 0.0), (0.0, 0.0, 2.0)):
    b = torch.tensor(batch)[:, None]
    exact = sum(0.5 * (math.log(2 * math.pi) + math.log(2 * math.pi * VARIANCE) + x**2 / VARIANCE) for x in batch)
    data = MultimodalBaseDataset({"a": torch.zeros_like(b), "b": b})
    estimates = [float(model.compute_joint_nll(data, K=k, batch_size_K=10_000)) for k in (1000, 100_000)]
    found[batch] = estimates[-1] - exact
    print(f"b = {batch}: {estimates[0]:.2f} with 1,000 samples, {estimates[1]:.2f} with 100,000; exact {exact:.2f}")
alone, copies, first, last = found.values()
assert alone < -0.2 and copies > 1 and first - last > 1, f"the estimates have changed: {found}"
EOF
