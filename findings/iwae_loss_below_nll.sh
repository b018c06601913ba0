#!/usr/bin/env bash
# pythae 0.1.2: the loss of its IWAE falls below the exact negative log-likelihood, where the encoder is inexact.
#
# Guess: the loss is minus the importance-weighted bound, so never below -log p(x) on average; more samples bring it
# closer from above, and an encoder that gives the exact posterior has the lowest loss.
# Instead: the model returns minus the average of the log weights, weighted by the normalised weights. Its gradient is
# the right one, but its value tends to -log p(x) - KL(p(z|x) || q(z|x)) with many samples, which rewards a bad encoder.
# pythae's trainer reports this value and keeps the model for which it is lowest. With one sample it is minus the ELBO,
# and right.
# Source: pythae/models/iwae/iwae_model.py, the return value of IWAE.loss_function. The decoder here ignores z, so that
# log p(x) is known: four pixels with probability 1/2 each, and the posterior is the prior N(0, I) of two latents.
#
# Output seen:
#   pythae 0.1.2
#   -log p(x): 2.77
#   encoder N(0, 1.0^2), 1 samples: loss 2.77, minus the bound 2.77
#   encoder N(0, 1.0^2), 10 samples: loss 2.77, minus the bound 2.77
#   encoder N(0, 1.0^2), 1000 samples: loss 2.77, minus the bound 2.77
#   encoder N(0, 0.5^2), 1 samples: loss 3.38, minus the bound 3.36
#   encoder N(0, 0.5^2), 10 samples: loss 2.66, minus the bound 3.07
#   encoder N(0, 0.5^2), 1000 samples: loss 1.81, minus the bound 2.82
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6 pythae==0.1.2
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import math
from importlib.metadata import version

import torch
from pythae.data.datasets import DatasetOutput
from pythae.models import IWAE, IWAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder

LATENTS, SHAPE = 2, (1, 2, 2)


class Encoder(BaseEncoder):
    def __init__(self, scale):
        super().__init__()
        self.log_variance = 2 * math.log(scale)

    def forward(self, x):
        log_variance = torch.full((len(x), LATENTS), self.log_variance)
        return ModelOutput(embedding=torch.zeros(len(x), LATENTS), log_covariance=log_variance)


class Decoder(BaseDecoder):
    def forward(self, z):
        return ModelOutput(reconstruction=torch.full((len(z), *SHAPE), 0.5))


print("pythae", version("pythae"))
exact = 4 * math.log(2)
print(f"-log p(x): {exact:.2f}")
images = DatasetOutput(data=torch.ones(400, *SHAPE))
prior = torch.distributions.Normal(0, 1)
losses, bounds = {}, {}
for scale in (1.0, 0.5):
    for samples in (1, 10, 1000):
        config = IWAEConfig(
            input_dim=SHAPE, latent_dim=LATENTS, reconstruction_loss="bce", number_samples=samples
        )
        model = IWAE(config, encoder=Encoder(scale), decoder=Decoder())
        torch.manual_seed(0)
        with torch.no_grad():
            losses[scale, samples] = float(model(images).loss)
        q = torch.distributions.Normal(0, scale)
        z = q.sample((samples, 400, LATENTS))
        weights = (prior.log_prob(z) - q.log_prob(z)).sum(-1) - exact
        bounds[scale, samples] = -float((weights.logsumexp(0) - math.log(samples)).mean())
        print(
            f"encoder N(0, {scale}^2), {samples} samples: loss {losses[scale, samples]:.2f}, "
            f"minus the bound {bounds[scale, samples]:.2f}"
        )
assert abs(losses[1.0, 1000] - exact) < 1e-3 and losses[0.5, 1] > exact, losses
assert all(abs(losses[s, 1] - bounds[s, 1]) < 0.2 for s in (1.0, 0.5)), (losses, bounds)
assert losses[0.5, 1000] < exact - 0.5, f"the loss is no longer below the exact value: {losses}"
EOF
