"""VAEs, inputs, classifiers and training sets of paper B."""

from __future__ import annotations

from vaebench.models.likelihoods import ContinuousBernoulliPixels, GaussianPixelScale
from vaebench.models.networks import MLP, Conv
from vaebench.models.posteriors import SoftplusScale
from vaebench.models.vae import Model

SIGMOID = MLP(hidden=(128,), activation="sigmoid")
NORMAL = Model(latent=20, network=MLP(hidden=(128,)), decoder=SIGMOID, likelihood=GaussianPixelScale(floor=0.01))
CB = Model(
    latent=20,
    network=Conv(filters=(32,), kernel=(3,), stride=(1,), pool=(2,), hidden=(512, 512), dropout=0.1, batch_norm="none"),
    decoder=MLP(hidden=(512, 512), dropout=0.1),
    likelihood=ContinuousBernoulliPixels(),
    posterior=SoftplusScale(),
)
VAES = {"normal": NORMAL, "cb": CB}
OUR_MODEL = Model(latent=64, network=Conv())
OUR_BETA = 0.3
FLOORS = (0.003, 0.01, 0.03, 0.1)
"""Lower bounds of the scale of the Gaussian likelihood."""
INPUTS = {"original": "original images", "normal": "Normal VAE", "cb": "CB VAE"}
CLASSIFIERS = {"logistic": "logistic regression", "simple": "simple CNN", "multilayer": "multilayer CNN"}
REGIMES = ("large", "small")
"""Training sets: the 60,000 images, or the 10,000."""
