#!/usr/bin/env bash
# torchmetrics 1.9.0: computing an InceptionScore advances torch's global random stream.
#
# Guess: compute() is a pure function of the stored features: evaluating during a seeded training changes nothing
# else.
# Instead: it shuffles the features with torch.randperm and the global generator, so all noise after an evaluation
# differs (another epoch of VAE samples), and the same features give another score under another seed.
# Source: torchmetrics/image/inception.py, InceptionScore.compute.
#
# Output seen:
#   torchmetrics 1.9.0
#   next noise after seed 0: 1.5410; with an evaluation before it: -0.5065
#   scores of the same 100 images, seeds 0 and 1: 2.5045, 2.4823
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6 torchmetrics==1.9.0
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import warnings

import torch
import torchmetrics
from torch import nn
from torchmetrics.image.inception import InceptionScore

warnings.simplefilter("ignore")


class Features(nn.Module):
    num_features = 5

    def forward(self, x):
        return x.flatten(1)[:, :5].float() / 20


print("torchmetrics", torchmetrics.__version__)
images = torch.randint(0, 256, (100, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
noise, scores = [], []
for seed, evaluates in ((0, False), (0, True), (1, True)):
    metric = InceptionScore(feature=Features())
    metric.update(images)
    torch.manual_seed(seed)
    if evaluates:
        scores.append(float(metric.compute()[0]))
    noise.append(float(torch.randn(())))
print(f"next noise after seed 0: {noise[0]:.4f}; with an evaluation before it: {noise[1]:.4f}")
print(f"scores of the same 100 images, seeds 0 and 1: {scores[0]:.4f}, {scores[1]:.4f}")
assert noise[0] != noise[1] and abs(scores[0] - scores[1]) > 1e-3
EOF
