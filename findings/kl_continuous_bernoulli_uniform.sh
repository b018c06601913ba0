#!/usr/bin/env bash
# torch 2.13.0: the KL of a ContinuousBernoulli to the uniform distribution on [0, 1] is infinite.
#
# Guess: minus the entropy, 0.03 nats at p = 0.3: both have the support [0, 1].
# Instead: kl_divergence returns inf, because the test whether the uniform distribution covers [0, 1] is strict.
# U(-0.001, 1.001) is right.
# Source: found by a comparison of the KL registry with Monte Carlo; _kl_continuous_bernoulli_uniform in
# torch/distributions/kl.py tests low >= 0 or high <= 1.
#
# Output seen:
#   torch 2.13.0
#   KL to U(0.0, 1.0): inf, exact 0.0294
#   KL to U(-0.001, 1.001): 0.0314, exact 0.0314
#   KL to U(0.2, 0.8): inf, exact inf
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import math

import torch
from torch.distributions import ContinuousBernoulli, Uniform, kl_divergence

print("torch", torch.__version__.split("+")[0])
q = ContinuousBernoulli(torch.tensor(0.3, dtype=torch.float64))
values = {}
for low, high in ((0.0, 1.0), (-0.001, 1.001), (0.2, 0.8)):
    p = Uniform(torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64))
    values[low] = float(kl_divergence(q, p))
    exact = math.log(high - low) - float(q.entropy()) if low <= 0 else math.inf
    print(f"KL to U({low}, {high}): {values[low]:.4f}, exact {exact:.4f}")
assert values[0.0] == math.inf and 0.02 < values[-0.001] < 0.04, values
EOF
