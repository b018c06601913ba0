"""A run with --few-labels: the classifier that it keeps, its rows and its page, what it reads, what it refuses."""

import json
import shutil
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
    method = recipe.evaluation.self_training.model_copy(update={"rounds": (60, 60), "batch": 64, "taught": 32})
    rule = {"draws": 2, "self_training": method, "supervised": SupervisedBaseline(epochs=1, least_steps=30)}
    return recipe.model_copy(
        update={
            "data": Data(source=source),
            "model": Model(latent=6, network=Conv(filters=(16, 32), kernel=(3,), stride=(1, 2))),
            "training": recipe.training.model_copy(update={"epochs": 8, "batch": 64}),
            "evaluation": recipe.evaluation.model_copy(update={**rule, **evaluation}),
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


def test_self_training_is_scored_on_the_draws_that_all_others_read(run):
    for count in (1, 10):
        assert len(accuracies(run, "self-trained", count)) == 2
    assert np.mean(accuracies(run, "self-trained", 10)) > np.mean(accuracies(run, "vae", 10))


def test_the_graph_of_frozen_latents_is_scored_on_the_same_draws(run, digits):
    """Each test image by the weighted mean of its ten nearest training codes' scores, taken one by one."""
    found = {part: encode(run.vae, getattr(digits, part)).mean.double() for part in ("train", "test")}
    graph = Graph.from_codes(found["train"].float().numpy())
    draws = json.loads((run.path / "label-draws.json").read_text())
    for count in (1, 10):
        assert len(accuracies(run, "graph", count)) == len(draws[str(count)]) == 2
        for given, accuracy in zip(draws[str(count)], accuracies(run, "graph", count), strict=True):
            scores = PropagationByLabelCount().propagate(graph, np.array(given), digits.train.labels[given].numpy(), 10)
            right = 0
            for code, label in zip(found["test"], digits.test.labels, strict=True):
                squares = (found["train"] - code).square().sum(1)
                nearest = squares.argsort()[:10]
                weights = (-4 * squares[nearest] / squares[nearest[-1]]).exp()
                right += int(np.argmax(weights.numpy() @ scores[nearest.numpy()]) == int(label))
            assert accuracy == pytest.approx(right / len(digits.test))


def test_the_kept_classifier_is_that_of_the_first_draw_of_ten(run, digits):
    answers = run.classify(digits.test.pixels)
    assert_close(answers.sum(1), torch.ones(len(answers)))
    found = float((answers.argmax(1) == digits.test.labels).double().mean())
    assert found == accuracies(run, "self-trained", 10)[0]


def test_it_still_reconstructs_and_both_bounds_are_rows(run):
    elbo = [row for row in run.rows if row["metric"] == "elbo"]
    before, after = (next(row for row in elbo if row.get("features") == of) for of in (None, "self-trained"))
    assert before["mean"] != after["mean"] > before["mean"] - 1  # nats; 1.6 below without the generative term


def test_the_page_is_about_the_self_trained_vae(run):
    page = write_report(run).read_text()
    assert "Self-trained VAEs" in page
    assert "the frozen latents" in page
    assert "the graph of frozen latents" in page
    assert "before" in page
    for name in ("reconstructions", "samples", "confusion"):
        assert (run.path / "figures" / f"self-trained-{name}.png").exists()


def test_resumed_without_its_classifier_it_makes_the_same_bits(run, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run.path, again)
    (again / "results.json").unlink()
    shutil.rmtree(again / "self-trained")
    lines = (again / "cells.jsonl").read_text().splitlines(keepends=True)
    (again / "cells.jsonl").write_text("".join(line for line in lines if '"self-trained"' not in line))
    resumed = run_recipe(SMALL, again, resume=True)
    kept = "self-trained/weights.safetensors"
    assert (again / kept).read_bytes() == (run.path / kept).read_bytes()
    assert sorted(map(str, resumed.rows)) == sorted(map(str, run.rows))


def test_labels_that_are_not_given_are_never_read(run, digits):
    rows = torch.arange(0, len(digits.train), 97)
    nonsense = torch.full_like(digits.train.labels, 7)
    nonsense[rows] = digits.train.labels[rows]
    graph = Graph.from_codes(encode(run.vae, digits.train).mean.numpy())
    method = SelfTrainingProbe(SMALL.evaluation.self_training.model_copy(update={"rounds": (10,)}), run.vae, graph)
    found, spread = [], []
    for images in (digits.train, replace(digits.train, labels=nonsense)):
        source = PartiallyLabelled(images).take(rows)
        assert int((source.labels != HIDDEN).sum()) == len(rows)
        found.append(method.fit(source, 10, 0, SMALL.compute)(digits.test))
        codes = PartiallyLabelled(encode(run.vae, images)).take(rows)
        spread.append(
            LabelPropagationProbe(PropagationByLabelCount(), graph).fit(codes, 10, 0, SMALL.compute)(
                encode(run.vae, digits.test)
            )
        )
    assert torch.equal(*found)
    assert torch.equal(*spread)


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


def test_what_images_may_undergo_goes_with_the_data():
    own = few_labels(RECIPES["mnist"], "photos.zip")
    known = few_labels(RECIPES["mnist"], "mnist")
    assert own.objective.augmentation == own.evaluation.self_training.objective.strong == GENTLE
    assert known.evaluation.self_training.objective.strong == AUGMENTATIONS["mnist"]
    assert known.objective.augmentation == BOLDER["mnist"] == bolder(AUGMENTATIONS["mnist"])
    small = few_labels(RECIPES["digits"], "digits")
    assert small.objective.augmentation == small.evaluation.self_training.objective.strong == AUGMENTATIONS["digits"]


def test_options_override_what_few_labels_sets():
    recipe = apply_overrides(
        few_labels(RECIPES["mnist"], "mnist"), ["--evaluation.self_training.keep", "0.5", "--training.epochs", "2"], "x"
    )
    assert recipe.evaluation.self_training.keep == 0.5
    assert recipe.training.epochs == 2
    assert recipe.evaluation.self_training.rounds == known_rounds()


def known_rounds():
    return few_labels(RECIPES["mnist"], "mnist").evaluation.self_training.rounds
