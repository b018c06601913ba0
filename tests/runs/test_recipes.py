"""Recipes in TOML and JSON; every error is one sentence that names the valid fields or values."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaebench.core.errors import VaebenchError
from vaebench.data.datasets import Data
from vaebench.models.objectives import Elbo
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.pipeline import run as run_recipe
from vaebench.runs.recipe import RECIPES, Recipe, find_recipe, load_recipe, parse_recipe, read_recipe
from vaebench.runs.run import Run, claim_folder
from vaebench.semi_supervised.pseudo_labels import GraphPseudoLabels
from vaebench.semi_supervised.self_training import SelfTraining
from vaebench.sweeps.trial import run_trial
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
    with pytest.warns(FutureWarning) as warned:
        recipe = parse_recipe(old, "old.toml")
    assert [str(each.message) for each in warned] == [
        f"{field} is now {new}; the old name still works and will be removed in vaebench 0.3"
        for field, new in (
            ("data.test_share", "data.test_fraction"),
            ("data.validation_share", "data.validation_fraction"),
            ("objective.share", "objective.fraction"),
        )
    ]
    assert (recipe.data.test_fraction, recipe.data.validation_fraction) == (0.3, 0.25)
    assert recipe.objective.fraction == 0.5


@pytest.mark.parametrize("build", [Recipe.model_validate, lambda values: Recipe(**values)], ids=["values", "arguments"])
def test_an_old_name_warns_at_the_line_that_uses_it(build):
    with pytest.warns(FutureWarning, match=r"data\.test_share is now data\.test_fraction") as warned:
        recipe = build({"data": {"source": "digits", "test_share": 0.3}})
    assert [warning.filename for warning in warned] == [__file__]
    assert recipe == Recipe(data=Data(source="digits", test_fraction=0.3))


OLD_SELF_TRAINING = {"keep": 0.6, "teacher": {"kind": "feature-graph", "share": 0.4}}


def test_old_names_in_toml_warn_and_those_in_a_stored_recipe_do_not(tmp_path):
    stored, written = tmp_path / "recipe.json", tmp_path / "recipe.toml"
    stored.write_text(json.dumps({"name": "recipe", "evaluation": {"self_training": OLD_SELF_TRAINING}}))
    written.write_text("[evaluation.self_training]\nkeep = 0.6\nteacher = { kind = 'feature-graph', share = 0.4 }\n")
    recipe = load_recipe(stored)
    assert recipe.evaluation.self_training.graph_fraction == 0.6
    assert recipe.evaluation.self_training.pseudo_labeller == GraphPseudoLabels(confident_fraction=0.4)
    with pytest.warns(FutureWarning) as warned:
        assert read_recipe(written) == recipe
    assert [str(each.message).partition(";")[0].replace("evaluation.self_training.", "") for each in warned] == [
        "keep is now graph_fraction",
        "teacher is now pseudo_labeller",
        "pseudo_labeller.kind = feature-graph is now pseudo_labeller.kind = graph",
        "pseudo_labeller.share is now pseudo_labeller.confident_fraction",
    ]


def test_old_names_of_a_run_and_its_trial_are_read_without_a_warning(tmp_path, monkeypatch):
    recipe = Recipe(evaluation=Evaluation(self_training=SelfTraining(graph_fraction=0.6)))
    values = recipe.model_dump(mode="json")
    fields = values["evaluation"]["self_training"]
    fields["keep"] = fields.pop("graph_fraction")
    (tmp_path / "recipe.json").write_text(json.dumps(values))
    (tmp_path / "results.json").write_text(json.dumps({"schema": 2, "rows": [], "recipe": values}))
    assert Run.load(tmp_path).recipe == recipe
    assert claim_folder(recipe, recipe.compute, tmp_path, resume=True) == recipe
    seen = []
    monkeypatch.setattr("vaebench.sweeps.trial.run", lambda recipe, *args, **kwargs: seen.append(recipe))
    run_trial(recipe, tmp_path, lambda event: None)
    assert seen == [recipe]
