#!/usr/bin/env bash
# disent 0.8.0: a constant latent next to a perfect code lowers its FactorVAE score from 1 to chance.
#
# Guess: collapsed latents are left out, which the function has a step for: the score of a code with one latent for each
# factor stays 1 if a constant is appended, and three active latents are reported.
# Instead: all latents with a variance of at least 0 pass that step. The constant one becomes 0 / 0, numpy's argmin
# takes the NaN for the lowest variance, and every vote goes to it: the accuracy of guessing. The number of active
# latents includes it. A latent with the tiniest noise does no harm.
# Source: disent/metrics/_factor_vae.py, _prune_dims with threshold=0.0, and _generate_training_sample.
# The settings here are smaller than the defaults, and the images are the three factors themselves. torchvision, which
# disent imports for its transforms, is replaced, so that any build of torch will do.
#
# Output seen:
#   disent 0.8.0
#   one latent for each factor: score 1.00, active latents 3
#   and one that is always 0: score 0.34, active latents 4
#   and one of noise of 1e-9: score 1.00, active latents 4
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 \
    numpy==2.4.6 scikit-learn==1.9.1 lightning==2.6.6 disent==0.8.0
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import sys
import warnings
from importlib.metadata import version
from unittest.mock import MagicMock

import numpy as np

warnings.simplefilter("ignore")
for name in ("", ".datasets", ".models", ".transforms", ".transforms.functional"):
    sys.modules["torchvision" + name] = MagicMock()

from disent.dataset import DisentDataset
from disent.dataset.data import GroundTruthData
from disent.metrics import metric_factor_vae


class Factors(GroundTruthData):
    factor_names, factor_sizes, img_shape = ("a", "b", "c"), (8, 8, 8), (1, 1, 3)

    def _get_observation(self, index):
        return np.array(self.idx_to_pos(index), np.float32).reshape(1, 1, 3)


def perfect(x):
    return np.asarray(x, np.float32).reshape(len(x), 3)


def append(column):
    return lambda x: np.concatenate([perfect(x), column(len(x))], axis=1)


codes = {
    "one latent for each factor": perfect,
    "and one that is always 0": append(lambda count: np.zeros((count, 1))),
    "and one of noise of 1e-9": append(lambda count: 1e-9 * np.random.randn(count, 1)),
}
print("disent", version("disent"))
scores = []
for name, code in codes.items():
    np.random.seed(0)
    score = metric_factor_vae(DisentDataset(Factors()), code, num_train=500, num_eval=500, num_variance_estimate=500)
    scores.append(score["factor_vae.eval_accuracy"])
    print(f"{name}: score {scores[-1]:.2f}, active latents {score['factor_vae.num_active_dims']}")
assert scores[0] > 0.99 and scores[2] > 0.99 and scores[1] < 0.45, f"the scores have changed: {scores}"
EOF
