"""Write a small run and a small classifier to tests/kept/schema-N/, for tests that later versions can read them.

Run `python scripts/keep_files.py` once for each schema of results.json, before a release changes the schema.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from vaebench.classification.classifier import Description, ImageClassifier
from vaebench.core.files import write_json
from vaebench.data.datasets import Data
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.pipeline import run as run_recipe
from vaebench.runs.recipe import Recipe
from vaebench.runs.run import SCHEMA, Run
from vaebench.training.compute import Compute
from vaebench.training.loop import Training

KEPT = Path(__file__).resolve().parent.parent / "tests" / "kept" / f"schema-{SCHEMA}"
RECIPE = Recipe(
    name="kept",
    data=Data(source="digits", per_class=30),
    model=Model(latent=3, network=MLP(hidden=(8,))),
    training=Training(epochs=2, batch=64),
    evaluation=Evaluation(labels_per_class=(1,), draws=2, supervised=None, features=("vae", "autoencoder"), samples=50),
    compute=Compute(device="cpu", precision="fp32", threads=1),
)


def main() -> None:
    """Write the two folders, and read.json with the values read from them."""
    shutil.rmtree(KEPT, ignore_errors=True)
    run = run_recipe(RECIPE, KEPT / "run")
    images = RECIPE.data.load().test.pixels[:4]
    torch.manual_seed(0)
    description = Description(
        kind="latent-line",
        method="linear probe on the latents",
        rule=PreprocessingRule(width=8, height=8, channels=1),
        classes=("round", "straight"),
        model=RECIPE.model,
        temperature=1.5,
    )
    classifier = ImageClassifier(description, description.build())
    classifier.save(KEPT / "model")
    (KEPT / "run" / ".lock").unlink()
    (KEPT / "model" / "model.onnx").unlink(missing_ok=True)  # vaebench does not read it
    write_json(KEPT / "read.json", readings(run, classifier, images))


def readings(run: Run, classifier: ImageClassifier, images: torch.Tensor) -> dict[str, object]:
    """Values read from the two folders, which every later version must reproduce."""
    grey = [image[0].numpy() for image in images]
    return {
        "rows": run.rows,
        "images": images.tolist(),
        "codes": run.encode(images).mean.tolist(),
        "samples": run.sample(2, seed=1).tolist(),
        "probabilities": classifier.predict(grey).tolist(),
    }


if __name__ == "__main__":
    main()
