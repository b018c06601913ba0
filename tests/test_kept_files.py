"""Files of earlier versions are read with the same values. Each folder of tests/kept belongs to one schema of
results.json and was written by scripts/keep_files.py."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch

from vaebench.classification.classifier import load_classifier
from vaebench.deprecated import upgrade_recipe, upgrade_results
from vaebench.runs.report.report import write_report
from vaebench.runs.run import SCHEMA, Run

HERE = Path(__file__).parent
KEPT = sorted((HERE / "kept").iterdir(), key=lambda folder: int(folder.name.partition("-")[2]))[-2:]
"""The current schema and the previous one; older ones are refused."""


def readings_of(folder):
    spec = importlib.util.spec_from_file_location("keep_files", HERE.parent / "scripts" / "keep_files.py")
    keep_files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keep_files)
    images = torch.tensor(json.loads((folder / "read.json").read_text())["images"], dtype=torch.uint8)
    return keep_files.readings(Run.load(folder / "run"), load_classifier(folder / "model"), images)


def within(old, new):
    """Whether all old fields have their old values; later versions may add fields."""
    if isinstance(old, dict):
        return all(key in new and within(value, new[key]) for key, value in old.items())
    return old == new


def test_the_current_schema_has_kept_files():
    assert KEPT[-1].name == f"schema-{SCHEMA}"


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_values_read_are_those_of_the_version_that_wrote_them(folder):
    then, now = json.loads((folder / "read.json").read_text()), readings_of(folder)
    rows = upgrade_results(then)["rows"] if folder.name == "schema-1" else then["rows"]
    assert now["rows"] == rows
    for key in ("codes", "samples", "probabilities"):
        torch.testing.assert_close(
            torch.tensor(now[key]).float(), torch.tensor(then[key]).float(), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_a_kept_run_has_its_report_and_its_recipe(folder, tmp_path):
    shutil.copytree(folder / "run", tmp_path / "run")
    run = Run.load(tmp_path / "run")
    page = write_report(run).read_text()
    recipe = json.loads((folder / "run" / "recipe.json").read_text())
    assert within(upgrade_recipe(recipe), run.recipe.model_dump(mode="json"))
    assert f"test accuracy {run.rows[-1]['evaluation_classifier_accuracy']:.1%}." in page
