#!/usr/bin/env bash
# torch 2.13.0: the float32 variance of a ContinuousBernoulli is negative for many probabilities between 0.4975 and
# 0.5025.
#
# Guess: within rounding of the variance by quadrature, 1/12 near 0.5, as a Taylor series replaces the formula near
# 0.5.
# Instead: the series covers 0.499 to 0.501 only (the argument lims); outside, float32 cancels and the variance is up
# to -1.6, the standard deviation NaN; it is off by over 0.005 from 0.4932 to 0.5066. log_prob and entropy are right
# to 3e-5 there; the mean is off by up to 0.003.
# Source: found by comparison with scipy.integrate; formula in torch/distributions/continuous_bernoulli.py.
#
# Output seen:
#   torch 2.13.0
#   p = 0.49: variance 0.0823, by quadrature 0.0833, stddev 0.2869
#   p = 0.498: variance 0.0176, by quadrature 0.0833, stddev 0.1326
#   p = 0.499: variance -1.6094, by quadrature 0.0833, stddev nan
#   p = 0.5: variance 0.0833, by quadrature 0.0833, stddev 0.2887
#   p = 0.502: variance 0.0166, by quadrature 0.0833, stddev 0.1288
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import torch
from scipy.integrate import quad
from torch.distributions import ContinuousBernoulli

print("torch", torch.__version__.split("+")[0])
seen = {}
for p in (0.49, 0.498, 0.499, 0.5, 0.502):
    q = ContinuousBernoulli(torch.tensor(p))
    lam = float(q.probs)
    moments = [quad(lambda x: x**k * lam**x * (1 - lam) ** (1 - x), 0, 1)[0] for k in range(3)]
    exact = moments[2] / moments[0] - (moments[1] / moments[0]) ** 2
    seen[p] = float(q.variance)
    print(f"p = {p}: variance {seen[p]:.4f}, by quadrature {exact:.4f}, stddev {float(q.stddev):.4f}")
    assert abs(exact - 1 / 12) < 1e-4
assert seen[0.499] < 0 < seen[0.498] < 0.05 and abs(seen[0.5] - 1 / 12) < 1e-6, seen
EOF
