"""A run with --few-labels: the classifier that it keeps, its rows, its page, hidden labels, and errors."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from vaebench.core.errors import VaebenchError
from vaebench.data.augment import AUGMENTATIONS, BOLDER, GENTLE, bolder
from vaebench.data.datasets import Data
from vaebench.data.images import HIDDEN
from vaebench.evaluation.features import encode
from vaebench.evaluation.learning_curves import PartiallyLabelled
from vaebench.models.networks import Conv
from vaebench.models.vae import Model
from vaebench.runs.evaluation import SupervisedBaseline
from vaebench.runs.overrides import apply_overrides
from vaebench.runs.pipeline import run as run_recipe
from vaebench.runs.recipe import RECIPES, few_labels
from vaebench.runs.report.report import write_report
from vaebench.runs.run import Run
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.label_propagation import PropagationByLabelCount
from vaebench.semi_supervised.self_training import LabelPropagationProbe, SelfTrainingProbe
from vaebench.training.compute import Compute


def small(base="digits", source="digits", **evaluation):
    recipe = few_labels(RECIPES[base], source)
    method = recipe.evaluation.self_training.model_copy(update={"rounds": (60, 60), "batch": 64, "pseudo_labelled": 32})
    settings = {"draws": 2, "self_training": method, "supervised": SupervisedBaseline(epochs=1, least_steps=30)}
    return recipe.model_copy(
        update={
            "data": Data(source=source),
            "model": Model(latent=6, network=Conv(filters=(16, 32), kernel=(3,), stride=(1, 2))),
            "training": recipe.training.model_copy(update={"epochs": 8, "batch": 64}),
            "evaluation": recipe.evaluation.model_copy(update={**settings, **evaluation}),
            "compute": Compute(device="cpu", precision="fp32", threads=1),
        }
    )


SMALL = small(labels_per_class=(1, 10))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_recipe(SMALL, tmp_path_factory.mktemp("runs") / "few")


@pytest.fixture(scope="module")
def digits():
    return Data(source="digits").load()


def accuracies(run, features, count):
    rows = [row for row in run.rows if row["metric"] == "accuracy" and row["labels_per_class"] == count]
    return next(row["values"] for row in rows if row["features"] == features)


def test_self_training_is_scored_on_the_same_draws_as_the_probes(run):
    for count in (1, 10):
        assert len(accuracies(run, "self-trained", count)) == 2
    assert np.mean(accuracies(run, "self-trained", 10)) > np.mean(accuracies(run, "vae", 10))


def test_label_propagation_is_scored_on_the_same_draws(run, digits):
    """Reference: the weighted mean score of the ten nearest training codes, computed for one test image at a time."""
    codes = {part: encode(run.vae, getattr(digits, part)).mean.double() for part in ("train", "test")}
    graph = Graph.from_codes(codes["train"].float().numpy())
    draws = json.loads((run.path / "label-draws.json").read_text())
    for count in (1, 10):
        assert len(accuracies(run, "graph", count)) == len(draws[str(count)]) == 2
        for rows, accuracy in zip(draws[str(count)], accuracies(run, "graph", count), strict=True):
            scores = PropagationByLabelCount().propagate(graph, np.array(rows), digits.train.labels[rows].numpy(), 10)
            correct = 0
            for code, label in zip(codes["test"], digits.test.labels, strict=True):
                squares = (codes["train"] - code).square().sum(1)
                nearest = squares.argsort()[:10]
                weights = (-4 * squares[nearest] / squares[nearest[-1]]).exp()
                correct += int(np.argmax(weights.numpy() @ scores[nearest.numpy()]) == int(label))
            assert accuracy == pytest.approx(correct / len(digits.test))


def test_the_kept_classifier_is_from_the_first_draw_of_ten_labels(run, digits):
    probabilities = run.classify(digits.test.pixels)
    assert_close(probabilities.sum(1), torch.ones(len(probabilities)))
    accuracy = float((probabilities.argmax(1) == digits.test.labels).double().mean())
    assert accuracy == accuracies(run, "self-trained", 10)[0]


def test_self_training_preserves_the_elbo_and_both_are_rows(run):
    elbo = [row for row in run.rows if row["metric"] == "elbo"]
    before, after = (next(row for row in elbo if row.get("features") == of) for of in (None, "self-trained"))
    assert before["mean"] != after["mean"] > before["mean"] - 1  # nats; 1.6 below without the generative term


def test_the_report_is_about_the_self_trained_vae(run):
    page = write_report(run).read_text()
    assert "Self-trained VAEs" in page
    assert "the frozen latents" in page
    assert "label propagation on the frozen latents" in page
    assert "before self-training" in page
    for name in ("reconstructions", "samples", "confusion"):
        assert (run.path / "figures" / f"self-trained-{name}.png").exists()


def test_a_resumed_run_retrains_its_classifier_to_the_same_bits(run, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run.path, again)
    (again / "results.json").unlink()
    shutil.rmtree(again / "self-trained")
    lines = (again / "fits.jsonl").read_text().splitlines(keepends=True)
    (again / "fits.jsonl").write_text("".join(line for line in lines if '"self-trained"' not in line))
    resumed = run_recipe(SMALL, again, resume=True)
    kept = "self-trained/weights.safetensors"
    assert (again / kept).read_bytes() == (run.path / kept).read_bytes()
    assert sorted(map(str, resumed.rows)) == sorted(map(str, run.rows))


def test_hidden_labels_are_never_used(run, digits):
    rows = torch.arange(0, len(digits.train), 97)
    wrong = torch.full_like(digits.train.labels, 7)
    wrong[rows] = digits.train.labels[rows]
    graph = Graph.from_codes(encode(run.vae, digits.train).mean.numpy())
    method = SelfTrainingProbe(SMALL.evaluation.self_training.model_copy(update={"rounds": (10,)}), run.vae, graph)
    self_trained, propagated = [], []
    for images in (digits.train, replace(digits.train, labels=wrong)):
        source = PartiallyLabelled(images).take(rows)
        assert int((source.labels != HIDDEN).sum()) == len(rows)
        self_trained.append(method.fit(source, 10, 0, SMALL.compute)(digits.test))
        codes = PartiallyLabelled(encode(run.vae, images)).take(rows)
        propagated.append(
            LabelPropagationProbe(PropagationByLabelCount(), graph).fit(codes, 10, 0, SMALL.compute)(
                encode(run.vae, digits.test)
            )
        )
    assert torch.equal(*self_trained)
    assert torch.equal(*propagated)


def test_a_plain_run_has_no_classifier(run, tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(run.path, plain)
    shutil.rmtree(plain / "self-trained")
    with pytest.raises(VaebenchError, match="--few-labels"):
        Run.load(plain).classify(np.zeros((1, 8, 8), dtype=np.uint8))


def test_images_without_labels_are_refused_before_any_training(tmp_path):
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        (tmp_path / "flat").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "flat" / f"{index}.png")
    with pytest.raises(VaebenchError, match="needs labels"):
        run_recipe(small(source=str(tmp_path / "flat")), tmp_path / "run")
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_the_augmentation_depends_on_the_data():
    own = few_labels(RECIPES["mnist"], "photos.zip")
    known = few_labels(RECIPES["mnist"], "mnist")
    assert own.objective.augmentation == own.evaluation.self_training.objective.strong == GENTLE
    assert known.evaluation.self_training.objective.strong == AUGMENTATIONS["mnist"]
    assert known.objective.augmentation == BOLDER["mnist"] == bolder(AUGMENTATIONS["mnist"])
    small = few_labels(RECIPES["digits"], "digits")
    assert small.objective.augmentation == small.evaluation.self_training.objective.strong == AUGMENTATIONS["digits"]


@pytest.mark.parametrize(
    ("name", "warns"),
    [("graph_fraction", nullcontext()), ("keep", pytest.warns(FutureWarning, match="is now .*graph_fraction"))],
    ids=["today's name", "that of version 0.1"],
)
def test_options_override_what_few_labels_sets(name, warns):
    base = few_labels(RECIPES["mnist"], "mnist")
    with warns:
        recipe = apply_overrides(base, [f"--evaluation.self_training.{name}", "0.5", "--training.epochs", "2"], "x")
    assert recipe.evaluation.self_training.graph_fraction == 0.5
    assert recipe.training.epochs == 2
    assert recipe.evaluation.self_training.rounds == base.evaluation.self_training.rounds
