"""The scripts of examples/ run as they stand, and show what they promise to show."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def output_of(name, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", EXAMPLES / f"{name}.py", str(folder)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def value(text, label):
    return float(re.search(rf"{re.escape(label)}\D*([\d.]+\d)", text)[1])


def test_every_example_is_tested():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested


def test_train_and_probe(tmp_path):
    text = output_of("train_and_probe", tmp_path)
    with (tmp_path / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "accuracy" and row["split"] == "test"]
    assert len(rows) == 14
    for row in rows:
        line = f"{row['features']:<15} {row['probe']:<11} {row['labels_per_class']:>14}  {float(row['mean']):.3f}"
        assert line in text
    assert (tmp_path / "report.html").exists()


def test_own_folder(tmp_path):
    text = output_of("own_folder", tmp_path)
    assert value(text, "accuracy on all 400 images:") > 0.8
    assert (tmp_path / "classified" / "predictions.csv").exists()


def test_disentanglement(tmp_path):
    text = output_of("disentanglement", tmp_path)
    scores = dict(re.findall(r"^(\w+) +([\d.]+)$", text, re.MULTILINE))
    assert {"mutual_information_gap", "dci_disentanglement", "factor_vae_score"} <= scores.keys()
    assert all(0 <= float(score) <= 1 for score in scores.values())
    assert float(scores["beta_vae_score"]) > 0.4  # five factors: chance is 0.2


def test_semi_supervised(tmp_path):
    text = output_of("semi_supervised", tmp_path)
    assert value(text, "semi-supervised VAE:") > value(text, "logistic regression on the labelled images:")


def test_new_likelihood(tmp_path):
    text = output_of("new_likelihood", tmp_path)
    assert value(text, "integral of p(x|z) over one pixel:") == pytest.approx(1, abs=1e-3)
    assert value(text, "ELBO of the test images:") > 0  # raw pixel values would give less than -100
