#!/usr/bin/env bash
# multivae 1.0.3: the reconstruction that MVAE reports is the whole loss, KL included.
#
# Guess: of the metrics that a call returns, the loss of a subset of modalities is the reconstruction plus beta times
# the KL, so that a plot of the three shows which term falls.
# Instead: the reconstruction equals the loss of the subset at every beta. It is kept by name before the KL is added in
# place to the same tensor. The loss itself is right.
# Source: multivae/models/mvae/mvae_model.py, MVAE._compute_elbo_subset: `recon = elbo_sub`, `elbo_sub += KLD * beta`.
# torchvision, which multivae imports for its data sets, is replaced, so that any build of torch will do.
#
# Output seen:
#   multivae 1.0.3
#   modalities a, beta 10: loss 5.892, KL 0.204, reconstruction 5.892; loss - 10 KL 3.852
#   modalities b, beta 10: loss 5.849, KL 0.199, reconstruction 5.849; loss - 10 KL 3.854
#   modalities a_b, beta 10: loss 12.154, KL 0.445, reconstruction 12.154; loss - 10 KL 7.706
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 \
    numpy==2.4.6 pythae==0.1.2 multivae==1.0.3
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import sys
from importlib.metadata import version
from unittest.mock import MagicMock

import torch

for name in ("", ".datasets", ".datasets.utils", ".transforms", ".utils"):
    sys.modules["torchvision" + name] = MagicMock()

from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import JMVAE, MVAE, JMVAEConfig, MVAEConfig

print("multivae", version("multivae"))
torch.manual_seed(0)
data = MultimodalBaseDataset({"a": torch.rand(100, 4), "b": torch.rand(100, 4)})
settings = {"n_modalities": 2, "latent_dim": 2, "input_dims": {"a": (4,), "b": (4,)}}
model = MVAE(MVAEConfig(**settings, warmup=0, beta=10.0))
metrics = model(data).metrics
values = {}
for subset in ("a", "b", "a_b"):
    loss, kl, reconstruction = (metrics[name + subset].item() for name in ("", "kld", "recon"))
    values[subset] = loss, kl, reconstruction
    print(
        f"modalities {subset}, beta 10: loss {loss:.3f}, KL {kl:.3f}, reconstruction {reconstruction:.3f}; "
        f"loss - 10 KL {loss - 10 * kl:.3f}"
    )
assert all(loss == reconstruction and kl > 0.05 for loss, kl, reconstruction in values.values()), values
EOF
