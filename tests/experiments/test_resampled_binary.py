"""Sources that an experiment trains on."""

import torch

from vaebench.data.datasets import Data
from vaebench.experiments import networks
from vaebench.experiments.experiment import Experiment
from vaebench.few_label_benchmark.run import BenchmarkInfo
from vaebench.models.networks import MLP
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.training.compute import Compute
from vaebench.training.loop import Training

SMALL = Model(latent=2, network=MLP(hidden=(8,)))


def test_binarised_images_are_drawn_anew_at_each_visit_in_training_and_only_there(tmp_path, monkeypatch):
    seen = []

    def watched(model, objective, source, *rest, validation, **more):
        rows = torch.arange(50)
        seen.append([torch.equal(part.batch(rows).x, part.batch(rows).x) for part in (source, validation)])
        return real(model, objective, source, *rest, validation=validation, **more)

    real = networks.train
    monkeypatch.setattr(networks, "train", watched)
    experiment = Experiment(BenchmarkInfo(), "cpu", tmp_path, Compute(device="cpu", threads=1).resolve())
    for binarised in (False, True):
        data = experiment.data(Data(source="digits", binarised=binarised))
        experiment.vae(f"{binarised}", data, SMALL, Elbo(), Training(epochs=1))
    assert seen == [[True, True], [False, True]]
