"""Train beta-TCVAE on shapes whose factors are known, and print its disentanglement scores.

    python examples/disentanglement.py

Two epochs are too few for good scores; docs/results/disentangling.md reports longer trainings with five seeds.
"""

from vaebench.data.datasets import Data
from vaebench.evaluation.disentanglement import FactorCodes, disentanglement
from vaebench.evaluation.features import encode
from vaebench.models.disentangled import BetaTCVAE
from vaebench.models.networks import Conv
from vaebench.models.vae import Model
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train

data = Data(source="sprites")
images, factors = data.with_factors()
vae = Model(latent=6, network=Conv(filters=(32, 32), stride=(2,), hidden=(64,))).build(images.shape)
objective = BetaTCVAE(beta=6.0)
compute = Compute(device="cpu").resolve()
training = Training(epochs=2, batch=256)
trained = train(vae, objective, images.without_labels(), training, compute=compute, seed=0)
print(f"loss: {trained.history[-1]['loss']:.1f} nats per image")
codes = encode(trained.model, images).mean.numpy()
for score, value in disentanglement(FactorCodes(codes, factors), seed=0).items():
    print(f"{score:<40} {value:.3f}")
