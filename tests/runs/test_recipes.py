"""Recipes in TOML and JSON; every error is one sentence that names the valid fields or values."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaebench.core.errors import VaebenchError
from vaebench.models.objectives import Elbo
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.pipeline import run as run_recipe
from vaebench.runs.recipe import RECIPES, Recipe, find_recipe, parse_recipe, read_recipe
from vaebench.training.compute import Compute

ERRORS = {
    '[objective]\nkind = "elbo"\nbetta = 3': "no field 'objective.betta'; did you mean 'beta'",
    '[objective]\nkind = "elbow"': "objective.kind is 'elbow'; expected one of elbo, warm-up",
    "[objective]\nbeta = 3": "objective.kind is None; expected one of elbo",
    "[modle]\nlatent = 3": "no field 'modle'; did you mean 'model'",
    "[training]\nepochs = 0": "training.epochs is 0; input should be greater than or equal to 1",
    "[training.optimiser]\nkind = 'adam'\nrates = 1": "no field 'training.optimiser.rates'; did you mean 'rate'",
    "[evaluation]\nlabels_per_class = [1, 0]": "labels_per_class holds [0]; expected whole numbers from 1, or 'all'",
    "[model]\nlatent = 0": "model.latent is 0",
    "[model.network]\nkind = 'conv'\nkernel = [3, 4]": "kernel has 2 values (3, 4) for 3 filters",
    "name = '../up'": "name is '../up'",
    "[broken": "is not TOML",
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_round_trip_through_json(name):
    recipe = RECIPES[name]
    assert parse_recipe(json.loads(recipe.model_dump_json()), "json") == recipe
    assert recipe.name == name
    assert find_recipe(name) is recipe


def test_a_toml_file_overrides_defaults_and_names_the_recipe(tmp_path):
    path = tmp_path / "blurry.toml"
    path.write_text('seed = 3\n[objective]\nkind = "elbo"\nbeta = 8.0\n[model]\nlatent = 4\n')
    recipe = find_recipe(str(path))
    assert (recipe.name, recipe.seed, recipe.objective, recipe.model.latent) == ("blurry", 3, Elbo(beta=8.0), 4)
    assert recipe.training == Recipe().training


@pytest.mark.parametrize("text", ERRORS)
def test_every_error_of_a_toml_file_is_named(tmp_path, text):
    path = tmp_path / "invalid.toml"
    path.write_text(text)
    with pytest.raises(VaebenchError) as error:
        read_recipe(path)
    assert ERRORS[text] in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(max_size=200) | st.sampled_from(sorted(ERRORS)).flatmap(lambda t: st.text(max_size=9).map(t.__add__)))
def test_garbled_toml_is_one_sentence(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "garbled.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with contextlib.suppress(VaebenchError):
        read_recipe(path)


def test_unknown_recipes_and_missing_files_are_named(tmp_path):
    with pytest.raises(VaebenchError, match="no recipe 'mnits'; expected one of digits, mnist"):
        find_recipe("mnits")
    with pytest.raises(VaebenchError, match="cannot be read"):
        find_recipe(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs_in_miniature(tmp_path, name):
    """Each built-in recipe, with its network and objective, on a few random images."""
    recipe = RECIPES[name]
    channels = recipe.data.channels or 1
    path = tmp_path / "noise.npz"
    _write_noise(path, channels)
    small = recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"source": str(path)}),
            "training": recipe.training.model_copy(update={"epochs": 1, "batch": 16}),
            "evaluation": Evaluation(
                labels_per_class=(1, "all"), draws=2, features=("vae", "vae-sampled", "pca", "random"), supervised=None
            ),
            "compute": Compute(device="cpu", precision="fp32", threads=1),
        }
    )
    run = run_recipe(small, tmp_path / "run")
    accuracies = [row for row in run.rows if row["metric"] == "accuracy" and row["split"] == "test"]
    assert len(accuracies) == 4 * 2 * 2
    assert {row["features"] for row in accuracies} == {"vae", "vae-sampled", "pca", "random"}
    assert all(0 <= value <= 1 for row in accuracies for value in row["values"])


def _write_noise(path, channels):
    import numpy as np

    random = np.random.default_rng(0)
    shape = (60, 28, 28) if channels == 1 else (60, 28, 28, 3)
    x = random.integers(0, 256, shape).astype(np.uint8)
    np.savez(path, x_train=x, y_train=np.arange(60) % 3, x_test=x[:30], y_test=np.arange(30) % 3)


def test_fields_of_version_0_1_are_read_by_todays_names():
    old = {
        "name": "old",
        "data": {"source": "digits", "test_share": 0.3, "validation_share": 0.25},
        "objective": {"kind": "warm-up", "share": 0.5},
    }
    recipe = parse_recipe(old, "old.toml")
    assert (recipe.data.test_fraction, recipe.data.validation_fraction) == (0.3, 0.25)
    assert recipe.objective.fraction == 0.5
