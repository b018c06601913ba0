#!/usr/bin/env bash
# torch 2.13.0: a logit-normal density that is symmetric about 1/2 scores a black pixel 3,600 nats below a white one.
#
# Guess: log_prob(0) = log_prob(1), both -inf or both clamped alike, as the distribution is symmetric.
# Instead: SigmoidTransform's inverse clamps 0 to the smallest float32 (1e-38, logit -87) and 1 to 1 - 6e-8 (logit
# 16), so the density is finite at both ends and differs. RelaxedBernoulli, which uses the same transform, favours 0
# instead.
# Source: the clamp is in SigmoidTransform._inverse, torch/distributions/transforms.py; 0 and 1 lie in the declared
# support.
#
# Output seen:
#   torch 2.13.0
#   logit-normal: log p at [0.0, 0.25, 0.75, 1.0] is [-3727.42, 0.15, 0.15, -112.06]
#   relaxed Bernoulli: log p at [0.0, 0.25, 0.75, 1.0] is [42.98, -0.48, -0.48, 7.28]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import torch
from torch.distributions import Normal, RelaxedBernoulli, SigmoidTransform, TransformedDistribution

print("torch", torch.__version__.split("+")[0])
pixels = torch.tensor([0.0, 0.25, 0.75, 1.0])
normal = TransformedDistribution(Normal(torch.tensor(0.0), torch.tensor(1.0)), [SigmoidTransform()])
relaxed = RelaxedBernoulli(torch.tensor(0.5), probs=torch.tensor(0.5))
assert normal.support.check(pixels).all()
scores = {}
for name, density in (("logit-normal", normal), ("relaxed Bernoulli", relaxed)):
    scores[name] = density.log_prob(pixels).tolist()
    print(f"{name}: log p at {pixels.tolist()} is {[round(score, 2) for score in scores[name]]}")
    assert abs(scores[name][1] - scores[name][2]) < 1e-5  # symmetric inside
assert scores["logit-normal"][0] < scores["logit-normal"][3] - 3000
assert scores["relaxed Bernoulli"][0] > scores["relaxed Bernoulli"][3] + 30
EOF
