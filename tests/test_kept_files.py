"""Files that earlier versions wrote are read as those versions read them. Each folder of tests/kept is one schema's,
made by scripts/keep_files.py before the schema changed."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch

from vaebench.classification.classifier import load_classifier
from vaebench.runs.report.report import write_report
from vaebench.runs.run import SCHEMA, Run

HERE = Path(__file__).parent
KEPT = sorted((HERE / "kept").iterdir(), key=lambda folder: int(folder.name.partition("-")[2]))[-2:]
"""This schema's and the one before: what is older is refused."""


def readings_of(folder):
    spec = importlib.util.spec_from_file_location("keep_files", HERE.parent / "scripts" / "keep_files.py")
    keep_files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keep_files)
    images = torch.tensor(json.loads((folder / "read.json").read_text())["images"], dtype=torch.uint8)
    return keep_files.readings(Run.load(folder / "run"), load_classifier(folder / "model"), images)


def within(old, new):
    """Whether every field that was there is there and says the same; later versions may have more fields."""
    if isinstance(old, dict):
        return all(key in new and within(value, new[key]) for key, value in old.items())
    return old == new


def test_the_schema_at_hand_has_its_files():
    assert KEPT[-1].name == f"schema-{SCHEMA}"


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_an_earlier_versions_files_say_what_they_said(folder):
    then, now = json.loads((folder / "read.json").read_text()), readings_of(folder)
    assert now["rows"] == then["rows"]
    for key in ("codes", "samples", "probabilities"):
        torch.testing.assert_close(
            torch.tensor(now[key]).float(), torch.tensor(then[key]).float(), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_an_earlier_versions_run_has_its_report_and_its_recipe(folder, tmp_path):
    shutil.copytree(folder / "run", tmp_path / "run")
    run = Run.load(tmp_path / "run")
    page = write_report(run).read_text()
    recipe = json.loads((folder / "run" / "recipe.json").read_text())
    assert within(recipe, run.recipe.model_dump(mode="json"))
    assert f"{run.rows[-1]['judge_accuracy']:.1%} right" in page
