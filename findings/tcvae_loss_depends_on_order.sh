#!/usr/bin/env bash
# pythae 0.1.2: the loss of BetaTCVAE depends on the order of the images in the batch, and its mutual information hardly
# on the size of the data set.
#
# Guess: with minibatch stratified sampling, the default, each image's own posterior weighs 1/N in q(z) for a data set
# of N images. Codes without overlap then have a mutual information of log N, and the order of a batch changes nothing.
# Instead: the weights 1/N stand in the first column of the matrix, not on its diagonal. All images but the first give
# their own posterior the weight 1/(B - 1), with B the batch size, so that the estimate is near log B; and the images
# that come first and second in the batch are weighted unlike all others. use_mss=False does not depend on the order.
# Source: pythae/models/beta_tc_vae/beta_tc_vae_model.py, BetaTCVAE._log_importance_weight_matrix, whose slice of the
# flat matrix has the step B; the diagonal needs B + 1.
#
# Output seen:
#   pythae 0.1.2
#   mutual information of 1000 codes that lie apart, batches of 16, 64, 256: 2.97, 4.19, 5.55; exact 6.91
#   mutual information of 60000 codes that lie apart, batches of 16, 64, 256: 3.23, 4.25, 5.56; exact 11.00
#   loss of one batch of 16 in 200 orders, use_mss=True: 51.99 to 55.46
#   loss of one batch of 16 in 200 orders, use_mss=False: 549.71 to 549.71
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
from pythae.models import BetaTCVAE, BetaTCVAEConfig

LATENTS = 10


def posteriors(count, scale, generator):
    means = torch.randn(count, LATENTS, generator=generator)
    z = means + scale * torch.randn(count, LATENTS, generator=generator)
    return means, torch.full_like(means, 2 * math.log(scale)), z


def loss(codes, images, **weights):
    """The regularisation alone: the reconstructions are perfect."""
    model = BetaTCVAE(BetaTCVAEConfig(input_dim=(1,), latent_dim=LATENTS, **weights))
    x = torch.zeros(len(codes[0]), 1)
    return float(model.loss_function(x, x, *codes, images)[0])


print("pythae", version("pythae"))
generator = torch.Generator().manual_seed(0)
apart = {batch: posteriors(batch, 0.01, generator) for batch in (16, 64, 256)}
information = {}
for images in (1000, 60000):
    for batch, codes in apart.items():
        information[images, batch] = loss(codes, images, alpha=1.0, beta=0.0, gamma=0.0)
    values = ", ".join(f"{information[images, batch]:.2f}" for batch in apart)
    print(f"mutual information of {images} codes that lie apart, batches of 16, 64, 256: {values}; "
          f"exact {math.log(images):.2f}")
codes = posteriors(16, 0.3, generator)
ranges = {}
for stratified in (True, False):
    losses = []
    for _ in range(200):
        order = torch.randperm(16, generator=generator)
        losses.append(loss([part[order] for part in codes], 60000, beta=6.0, use_mss=stratified))
    ranges[stratified] = max(losses) - min(losses)
    print(f"loss of one batch of 16 in 200 orders, use_mss={stratified}: {min(losses):.2f} to {max(losses):.2f}")
assert ranges[True] > 1 and ranges[False] < 0.01, f"the order of the batch no longer matters: {ranges}"
assert abs(information[60000, 64] - math.log(64)) < 0.5, f"the mutual information has changed: {information}"
EOF
