"""`Recipe`, the complete configuration of a run, and `RECIPES`, the built-in recipes."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_serializer, model_validator

from vaebench.core.errors import VaebenchError, explain
from vaebench.core.files import read_json
from vaebench.core.frozen import Frozen
from vaebench.data.augment import AUGMENTATIONS, BOLDER, GENTLE
from vaebench.data.datasets import Data
from vaebench.deprecated import upgrade_recipe
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.models.networks import Conv
from vaebench.models.objectives import AnyObjective, Contrastive, Elbo
from vaebench.models.quantised import QuantisedModel
from vaebench.models.registry import AnyModel
from vaebench.models.vae import Model
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.start import Start
from vaebench.semi_supervised.self_training import SelfTraining
from vaebench.training.compute import Compute
from vaebench.training.loop import Training
from vaebench.training.schedules import Adam, Muon, OneCycle

CONTRASTIVE_EPOCHS = 10
"""Training epochs of the few-label VAE; its contrastive objective sees each image twice per epoch."""
CONTRASTIVE_LATENTS = 128
"""Latents of the few-label VAE: label propagation on the nearest-neighbour graph needs more of them than a linear probe
(LOG.md, 2026-11-29)."""


class Recipe(Frozen):
    """Data, model, objective, training and evaluation of one run."""

    name: str = Field("mine", pattern=r"^[\w][\w.-]*$")
    """Name of the run's folder."""
    data: Data = Data()
    model: AnyModel = Model()
    objective: AnyObjective = Elbo()
    start: Start = Start()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    compute: Compute = Compute()
    seed: int = Field(0, ge=0)
    """Seed of the initial weights, the order of the images, the noise and the label draws."""

    @model_validator(mode="before")
    @classmethod
    def _upgrade_names(cls, values: Any) -> Any:
        return upgrade_recipe(values, warn=True)

    @model_serializer(mode="wrap")
    def _leave_out_random_start(self, serialise: Callable[[Recipe], dict[str, Any]]) -> dict[str, Any]:
        """The fields; ``start`` only where there are weights: files and identities of 0.1 have none."""
        values = serialise(self)
        if self.start.weights is None:
            values.pop("start", None)
        return values

    @model_validator(mode="after")
    def _check_discrete_latents(self) -> Recipe:
        if not isinstance(self.model, QuantisedModel):
            return self
        if not isinstance(self.objective, Elbo):
            raise ValueError(
                f"model.kind is {self.model.kind!r}, whose q(z|x) has one value, for which objective.kind "
                f"{getattr(self.objective, 'kind', '')!r} is not defined; set objective.kind to 'elbo'"
            )
        if self.evaluation.importance_samples is not None:
            raise ValueError(
                f"model.kind is {self.model.kind!r}, whose q(z|x) has one value, so that all importance samples are "
                "equal; leave evaluation.importance_samples out: the ELBO is the bound on log p(x)"
            )
        return self


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
            "data": Data(source="quickdraw", validation_fraction=0.3),
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
    """Return the recipe with a VAE trained contrastively and turned into a classifier by self-training.

    Args:
        source: name of the data set. It selects the label-preserving augmentations, which are prior knowledge: built-in
            data sets have theirs in `AUGMENTATIONS` (and in `BOLDER` for training the VAE), other images get only
            small rotations and shifts.
    """
    augmentation = AUGMENTATIONS.get(source, GENTLE)
    training = Training(epochs=CONTRASTIVE_EPOCHS, batch=256, optimiser=Muon(rate=0.035))
    evaluation = Evaluation(
        labels_per_class=(1, 10, 100),
        draws=3,
        features=("vae", "pixels", "random"),
        self_training=SelfTraining(objective=SelfTrainingLoss(strong=augmentation, generative=0.001)),
    )
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-few-labels",
            "model": recipe.model.model_copy(update={"latent": CONTRASTIVE_LATENTS}),
            "objective": Contrastive(weight=30.0, augmentation=BOLDER.get(source, augmentation)),
            "training": training,
            "evaluation": evaluation,
        }
    )


def find_recipe(name: str) -> Recipe:
    """Return the built-in recipe of this name, or read the TOML file at this path.

    Raises:
        VaebenchError: there is no such recipe, or the TOML file is invalid.
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
    """Read a recipe from TOML; missing fields take their defaults, the name defaults to that of the file.

    Raises:
        VaebenchError: the file is missing or not TOML, or it has an unknown field or an invalid value.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VaebenchError(f"{path} cannot be read ({error.strerror}); expected a recipe in TOML") from error
    except ValueError as error:
        raise VaebenchError(f"{path} is not TOML: {error}") from error
    return parse_recipe({"name": path.stem, **values}, str(path))


def load_recipe(path: Path) -> Recipe:
    """Load the ``recipe.json`` of a run; old names of fields and kinds are read without a warning.

    Raises:
        VaebenchError: the file is missing, damaged or no recipe.
    """
    return parse_recipe(upgrade_recipe(read_json(path)), str(path))


def parse_recipe(values: dict[str, Any], source: str) -> Recipe:
    """Validate plain values as a recipe; ``source`` names their origin in error messages. Old names warn."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise explain(error, Recipe, source) from error
