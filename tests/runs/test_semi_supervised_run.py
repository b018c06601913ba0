"""M2, ADGM and the information bottleneck in a recipe: rows, resuming, the report, options and errors."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from vaebench.core.errors import VaebenchError
from vaebench.data.datasets import Data
from vaebench.models.networks import MLP
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.overrides import apply_overrides
from vaebench.runs.pipeline import run as run_recipe
from vaebench.runs.recipe import RECIPES, Recipe, parse_recipe
from vaebench.runs.report.figures import FIGURES
from vaebench.runs.report.tables import accuracy_table
from vaebench.runs.report.verdict import verdict
from vaebench.semi_supervised.classifiers import SEMI_SUPERVISED
from vaebench.sweeps.trial import scores
from vaebench.training.compute import Compute
from vaebench.training.loop import Training

KINDS = list(SEMI_SUPERVISED)
NETWORK = {"latent": 4, "network": {"kind": "mlp", "hidden": [32]}}
MORE = {"m2": {"features": 16, "classifier": NETWORK["network"]}, "adgm": {"features": 16}}
METHODS = [
    {"kind": kind, "least_steps": 30, "training": {"epochs": 1}, "model": NETWORK | MORE.get(kind, {})}
    for kind in KINDS
]
NAMED = {**METHODS[0], "name": "m2 again"}


@pytest.fixture(scope="module")
def recipe():
    return Recipe(
        name="small",
        data=Data(source="digits", per_class=30),
        model={"latent": 3, "network": MLP(hidden=(32,))},
        training=Training(epochs=1, batch=64),
        evaluation=Evaluation(
            labels_per_class=(1, 5),
            draws=2,
            features=("vae",),
            supervised=None,
            samples=None,
            semi_supervised=[*METHODS, NAMED],
        ),
        compute=Compute(device="cpu", precision="fp32", threads=1),
    )


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    return run_recipe(recipe, tmp_path_factory.mktemp("runs") / "semi")


def values(run, name, count):
    rows = [row for row in run.rows if row.get("features") == name and row.get("labels_per_class") == count]
    return next(row["values"] for row in rows if row["probe"] == name)


def test_every_method_is_scored_on_every_draw(run):
    for name in (*KINDS, "m2 again"):
        assert [len(values(run, name, count)) for count in (1, 5)] == [2, 2]
        assert all(0 <= value <= 1 for count in (1, 5) for value in values(run, name, count))
    assert values(run, "m2 again", 5) == values(run, "m2", 5)  # the same settings, draws and seeds


def test_a_run_that_is_stopped_between_fits_resumes_to_the_same_rows(run, recipe, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run.path, again)
    (again / "results.json").unlink()
    lines = (again / "fits.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["fit"][0] == "vae"]
    (again / "fits.jsonl").write_text("".join([*kept, *(line for line in lines if line not in kept)][:-2]))
    resumed = run_recipe(recipe, again, resume=True)
    assert sorted(map(str, resumed.rows)) == sorted(map(str, run.rows))


def test_methods_are_lines_of_the_report_and_of_sweeps(run):
    table = [row[0] for row in accuracy_table(run, "logistic").rows]
    legend = FIGURES["learning-curve"].figure(run).legends[0]
    for title in ("M2", "ADGM", "information bottleneck", "m2 again"):
        assert title in table
        assert title in [text.get_text() for text in legend.get_texts()]
    assert {"m2", "m2 again"} <= {each.baseline for each in verdict(run).comparisons}
    assert verdict(run).probe == "logistic"
    assert scores(run.path)["M2: test accuracy, 5 labels per class"] == pytest.approx(np.mean(values(run, "m2", 5)))


def test_recipes_round_trip_and_kinds_are_options(run, recipe):
    assert run.recipe == recipe == parse_recipe(json.loads(recipe.model_dump_json()), "json")
    chosen = apply_overrides(RECIPES["digits"], ["--evaluation.semi-supervised", "m2,adgm"], "x")
    assert [type(method) for method in chosen.evaluation.semi_supervised] == [SEMI_SUPERVISED[k] for k in KINDS[:2]]
    one = apply_overrides(RECIPES["digits"], ["--evaluation.semi_supervised", json.dumps(METHODS[:1])], "x")
    assert one.evaluation.semi_supervised == (SEMI_SUPERVISED["m2"](**METHODS[0]),)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["m3"], "semi_supervised.0.kind is 'm3'; expected one of m2, adgm, information-bottleneck"),
        (["m2", "m2"], "the name 'm2' is taken; give each method a name of its own"),
        ([{"kind": "m2", "name": "vae"}], "the name 'vae' is taken"),
        ([{"kind": "m2", "name": "knn"}], "the name 'knn' is taken"),
        ([{"kind": "m2", "steps": 3}], "there is no field 'evaluation.semi_supervised.0.steps'"),
        (3, "evaluation.semi_supervised is 3"),
    ],
)
def test_mistakes_are_one_sentence(methods, message):
    with pytest.raises(VaebenchError) as error:
        parse_recipe({"evaluation": {"semi_supervised": methods}}, "x")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_images_without_labels_are_refused_before_any_training(recipe, tmp_path):
    (tmp_path / "flat").mkdir()
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "flat" / f"{index}.png")
    with pytest.raises(VaebenchError, match=r"evaluation\.semi_supervised needs labels, and flat has none"):
        run_recipe(recipe.model_copy(update={"data": Data(source=str(tmp_path / "flat"))}), tmp_path / "run")
    assert not (tmp_path / "run" / "weights.safetensors").exists()
