#!/usr/bin/env bash
# autoencoders 0.6.8: its VAE with the default weights decodes digits to nearly the mean image.
#
# Guess: kl_weight=1 is the ELBO of a VAE. After 50 epochs on digits some latents have a KL of a nat or more, and the
# images are reconstructed better than by the mean of all images.
# Instead: the reconstruction loss is the mean of the squared error over pixels, while the KL is the sum over latents.
# On 8 x 8 pixels that is a beta of 32 for a Gaussian of variance 1 (of 392 on 28 x 28). The KL falls to 0.17
# nats, within the 0.02 per latent that free_bits does not penalise, and the squared error to 92 % of that of the mean
# image. kl_weight = 1/32 gives the ELBO.
# Source: autoencoders/models/base/modeling_base.py, compute_loss; modeling_vae.py, compute_kl_loss. The images are the
# 1,797 digits of scikit-learn, scaled so that the variance of a pixel is 1 on average.
#
# Output seen:
#   autoencoders 0.6.8
#   squared error of the mean image: 64.0
#   kl_weight 1.00000: KL 0.17 nats per image, squared error 58.8
#   kl_weight 0.03125: KL 7.04 nats per image, squared error 15.1
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    scikit-learn==1.9.1 autoencoders==0.6.8
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import warnings
from importlib.metadata import version

import torch
from sklearn.datasets import load_digits

warnings.simplefilter("ignore")
from autoencoders import VariationalAutoencoderConfig, VariationalAutoencoderModel
from autoencoders.data.base import TensorSpec

print("autoencoders", version("autoencoders"))
torch.set_num_threads(1)
images = torch.tensor(load_digits().data, dtype=torch.float32)
images -= images.mean(0)
images /= images.std()
mean_image = float((images**2).sum(1).mean())
print(f"squared error of the mean image: {mean_image:.1f}")
seen = {}
for weight in (1.0, 1 / 32):
    torch.manual_seed(0)
    model = VariationalAutoencoderModel(
        config=VariationalAutoencoderConfig(latent_dim=10, kl_weight=weight),
        sample_spec=TensorSpec(shape=(64,)),
        encoder="mlp",
        encoder_config={"hidden_dims": [128, 128]},
        decoder="mlp",
        decoder_config={"hidden_dims": [128, 64]},
    )
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(50):
        for rows in torch.randperm(len(images)).split(100):
            optimiser.zero_grad()
            model(images[rows]).loss.backward()
            optimiser.step()
    with torch.no_grad():
        output = model.eval()(images)
        kl = float(model.compute_kl_loss(*model.encode(images)))
    error = float(((output.reconstruction - images) ** 2).sum(1).mean())
    seen[weight] = kl, error
    print(f"kl_weight {weight:.5f}: KL {kl:.2f} nats per image, squared error {error:.1f}")
assert seen[1.0][0] < 0.3 and seen[1.0][1] > 0.9 * mean_image, f"the default no longer collapses: {seen}"
assert seen[1 / 32][0] > 3 and seen[1 / 32][1] < 0.7 * mean_image, seen
EOF
