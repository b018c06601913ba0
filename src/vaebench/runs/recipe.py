"""Recipe: everything that decides a run's numbers, in one frozen object. RECIPES: the built-in ones."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from vaebench.core.errors import VaebenchError, explain
from vaebench.core.frozen import Frozen
from vaebench.data.augment import AUGMENTATIONS, BOLDER, GENTLE
from vaebench.data.datasets import Data
from vaebench.deprecated import upgrade_recipe
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.models.networks import Conv
from vaebench.models.objectives import AnyObjective, Contrastive, Elbo
from vaebench.models.vae import Model
from vaebench.runs.evaluation import Evaluation
from vaebench.semi_supervised.self_training import SelfTraining
from vaebench.training.compute import Compute
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Muon, OneCycle

EPOCHS_OF_PAIRS = 10
"""Of the VAE for few labels, which sees each image twice an epoch."""
LATENTS_OF_PAIRS = 128
"""Of the same: a graph wants more of them than a line (LOG.md, 2026-11-29)."""


class Recipe(Frozen):
    """What to train on what, how, and what to measure of it."""

    name: str = Field("mine", pattern=r"^[\w][\w.-]*$")
    """Names the run's folder."""
    data: Data = Data()
    model: Model = Model()
    objective: AnyObjective = Elbo()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    compute: Compute = Compute()
    seed: int = Field(0, ge=0)
    """Draws the weights, the order of images, the noise, and the labels."""


_MNIST = Recipe(
    name="mnist",
    data=Data(source="mnist"),
    objective=Elbo(beta=3.0),
    training=Training(
        epochs=12, batch=512, optimiser=Adam(rate=2e-2, beta2=0.99), schedule=OneCycle(rise=0.1)
    ),  # chosen on MNIST's validation part: LOG.md, 2026-11-21
)

RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        name="digits",
        data=Data(source="digits"),
        model=Model(latent=10, network=Conv(filters=(32, 64), kernel=(3,), stride=(1, 2), hidden=(128,))),
        objective=Elbo(beta=1.0),
        training=Training(epochs=60, batch=64, optimiser=Adam(rate=3e-3, beta2=0.99)),
    ),
    "mnist": _MNIST,
    "fashion-mnist": _MNIST.model_copy(
        update={"name": "fashion-mnist", "data": Data(source="fashion-mnist"), "objective": Elbo(beta=1.0)}
    ),
    "quickdraw": _MNIST.model_copy(
        update={
            "name": "quickdraw",
            "data": Data(source="quickdraw", validation_share=0.3),
            "model": Model(latent=30, network=Conv(filters=(32, 64, 64, 64), kernel=(4, 4, 4, 3), stride=(2, 2, 1, 1))),
        }
    ),
    "cifar10": _MNIST.model_copy(
        update={
            "name": "cifar10",
            "data": Data(source="cifar10", channels=3),
            "model": Model(latent=64, network=Conv(filters=(32, 64, 128), stride=(2,))),
            "objective": Elbo(beta=1.0),
        }
    ),
    "sprites": _MNIST.model_copy(update={"name": "sprites", "data": Data(source="sprites"), "model": Model(latent=10)}),
}


def few_labels(recipe: Recipe, source: str) -> Recipe:
    """The recipe for the data of this name, its VAE trained for few labels and made a classifier by self-training.

    What images may undergo is prior knowledge: of a built-in data set it is in AUGMENTATIONS, and in BOLDER for the
    VAE's training, of other images only small turns and shifts are assumed.
    """
    augmentation = AUGMENTATIONS.get(source, GENTLE)
    training = Training(epochs=EPOCHS_OF_PAIRS, batch=256, optimiser=Muon(rate=0.035))
    evaluation = Evaluation(
        labels_per_class=(1, 10, 100),
        draws=3,
        features=("vae", "pixels", "random"),
        self_training=SelfTraining(objective=SelfTrainingLoss(strong=augmentation, generative=0.001)),
    )
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-few-labels",
            "model": recipe.model.model_copy(update={"latent": LATENTS_OF_PAIRS}),
            "objective": Contrastive(weight=30.0, augmentation=BOLDER.get(source, augmentation)),
            "training": training,
            "evaluation": evaluation,
        }
    )


def find_recipe(name: str) -> Recipe:
    """A built-in recipe by name, or one from a TOML file.

    Raises:
        VaebenchError: no such recipe, or a TOML file with a fault, each named.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if path.suffix == ".toml":
        return read_recipe(path)
    raise VaebenchError(
        f"there is no recipe {name!r}; expected one of {', '.join(RECIPES)}, or the path of a .toml file"
    )


def read_recipe(path: Path) -> Recipe:
    """A recipe from TOML: fields left out have their defaults; the name defaults to the file's.

    Raises:
        VaebenchError: the file is missing, is no TOML, or has a field that does not exist or does not fit.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error.strerror}); expected a recipe in TOML") from error
    except ValueError as error:
        raise VaebenchError(f"{path} is not TOML: {error}") from error
    return parse_recipe({"name": path.stem, **values}, str(path))


def parse_recipe(values: dict[str, Any], where: str) -> Recipe:
    """A recipe from plain values; ``where`` names their source in errors."""
    try:
        return Recipe.model_validate(upgrade_recipe(values))
    except ValidationError as error:
        raise explain(error, Recipe, where) from error
