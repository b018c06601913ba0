"""A complete small run: its files, its rows, loading it, and errors."""

import csv
import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import vaebench
from vaebench.core.errors import VaebenchError
from vaebench.data import datasets, sprites
from vaebench.data.datasets import Data
from vaebench.evaluation.disentanglement import FactorCodes, disentanglement
from vaebench.evaluation.features import encode
from vaebench.evaluation.panels import prior_samples
from vaebench.models.networks import MLP, Conv
from vaebench.models.priors import Vamp
from vaebench.models.vae import Model
from vaebench.runs.evaluation import Evaluation, SupervisedBaseline
from vaebench.runs.explorer.explorer import PRIOR_CODES
from vaebench.runs.pipeline import run as run_recipe
from vaebench.runs.recipe import Recipe
from vaebench.runs.report.report import write_report
from vaebench.runs.run import Run
from vaebench.sweeps.trial import scores
from vaebench.training.compute import Compute
from vaebench.training.loop import Training

SMALL = Recipe(
    name="small",
    data=Data(source="digits"),
    model=Model(latent=4, network=MLP(hidden=(32,))),
    training=Training(epochs=3, batch=128),
    evaluation=Evaluation(
        labels_per_class=(1, 5, 5000, "all"),
        draws=3,
        supervised=SupervisedBaseline(epochs=1, least_steps=30),
        samples=None,
    ),
    compute=Compute(device="cpu", precision="fp32", threads=1),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_recipe(SMALL, tmp_path_factory.mktemp("runs") / "small")


def test_results_have_the_documented_keys(run):
    results = json.loads((run.path / "results.json").read_text())
    assert results["schema"] == 2
    assert {"recipe", "machine", "commit", "seconds", "rows"} <= results.keys()
    assert Recipe.model_validate(results["recipe"]) == run.recipe == SMALL
    for row in results["rows"]:
        assert {"data", "split", "metric", "mean", "sd", "n", "values"} <= row.keys()
        assert row["n"] == len(row["values"])
        assert row["mean"] == pytest.approx(np.mean(row["values"]))
        assert (row["sd"] is None) == (row["n"] == 1)


def test_every_representation_is_evaluated_on_the_same_draws(run):
    rows = [row for row in run.rows if row["metric"] == "accuracy" and row["split"] == "test"]
    counts = {row["labels_per_class"] for row in rows}
    assert counts == {1, 5, "all"}  # no class of digits has 5,000 images
    assert {row["features"] for row in rows} == {"vae", "autoencoder", "pixels", "pca", "random", "images"}
    assert len(rows) == 3 * (5 * 2 + 1)
    draws = json.loads((run.path / "label-draws.json").read_text())
    assert {count: len(several) for count, several in draws.items()} == {"1": 3, "5": 3}


def test_the_kl_of_the_latents_sums_to_the_kl(run):
    kls = {row.get("latent"): row["mean"] for row in run.rows if row["metric"] == "kl"}
    assert sum(kls[d] for d in range(4)) == pytest.approx(kls[None])
    metrics = {row["metric"]: row["mean"] for row in run.rows if row["metric"] in ("elbo", "reconstruction")}
    assert metrics["elbo"] == pytest.approx(-metrics["reconstruction"] - kls[None])


def test_the_csv_holds_the_same_rows(run):
    with (run.path / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(run.rows)
    assert [float(line["mean"]) for line in lines] == [row["mean"] for row in run.rows]


def test_a_loaded_run_encodes_as_the_run_did(run):
    loaded = vaebench.Run.load(run.path)
    data = SMALL.data.load()
    with np.load(run.path / "latents.npz") as latents:
        assert_close(loaded.encode(data.test.pixels).mean, torch.from_numpy(latents["test_mean"]))
        assert_close(loaded.encode(data.test.pixels[:, 0].numpy() / 255).mean, torch.from_numpy(latents["test_mean"]))
        assert latents["train_mean"].shape == (len(data.train), 4)
    assert loaded.sample(5).shape == (5, 1, 8, 8)
    assert torch.equal(loaded.sample(5), loaded.sample(5))
    assert len(loaded.history) == 3
    assert "small" in repr(loaded)


def test_encoding_other_shapes_or_ranges_is_refused(run):
    with pytest.raises(VaebenchError, match=r"shape \(2, 1, 9, 9\); expected \(N, 1, 8, 8\)"):
        run.encode(np.zeros((2, 9, 9)))
    with pytest.raises(VaebenchError, match=r"pixels from 0 to 16"):
        run.encode(np.linspace(0, 16, 64).reshape(1, 8, 8))


def test_a_finished_run_is_not_repeated_and_another_recipe_is_refused(run):
    before = (run.path / "results.json").stat().st_mtime_ns
    run_recipe(SMALL, run.path, resume=True)
    assert (run.path / "results.json").stat().st_mtime_ns == before
    with pytest.raises(VaebenchError, match="already holds a run; add --resume"):
        run_recipe(SMALL, run.path)
    other = SMALL.model_copy(update={"seed": 1})
    with pytest.raises(VaebenchError, match="holds a run of another recipe: seed was 0 and is now 1"):
        run_recipe(other, run.path, resume=True)


def test_a_run_of_version_0_1_is_resumed_under_its_old_names(run, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run.path, again)
    (again / "results.json").unlink()
    (again / "fits.jsonl").rename(again / "cells.jsonl")
    events = []
    with pytest.warns(FutureWarning) as warnings:
        resumed = vaebench.perform(SMALL, again, resume=True, watch=events.append)
    assert [str(warning.message).partition(";")[0] for warning in warnings] == [
        "vaebench.perform is now vaebench.run",
        "run(watch=...) is now run(callback=...)",
    ]
    assert resumed.rows == run.rows
    assert {event.stage for event in events} >= {"encoding", "learning curve", "scores and panels"}
    assert not (again / "cells.jsonl").exists()
    assert (again / "fits.jsonl").read_bytes() == (run.path / "fits.jsonl").read_bytes()


def test_results_of_schema_1_are_upgraded(run, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(run.path, old)
    results = json.loads((old / "results.json").read_text())
    results["schema"], score = 1, {"data": "digits", "split": "test", "features": "samples", "mean": 0.5}
    results["rows"] += [{**score, "metric": metric, "judge_accuracy": 0.9} for metric in ("legible", "authentic")]
    (old / "results.json").write_text(json.dumps(results))
    score["evaluation_classifier_accuracy"] = 0.9
    new = [{**score, "metric": metric} for metric in ("confident_fraction", "authenticity")]
    assert Run.load(old).rows == [*run.rows, *new]
    assert Run.load(old).results["schema"] == 2


def test_folders_without_a_finished_run_are_refused(tmp_path, run):
    with pytest.raises(VaebenchError, match=r"holds no recipe\.json"):
        Run.load(tmp_path)
    (tmp_path / "recipe.json").write_text((run.path / "recipe.json").read_text())
    with pytest.raises(VaebenchError, match="is not finished; continue it with --resume"):
        _ = Run.load(tmp_path).rows
    (tmp_path / "results.json").write_text('{"schema": 99}')
    with pytest.raises(VaebenchError, match="has schema 99; expected 1 or 2"):
        _ = Run.load(tmp_path).rows
    for text, message in {
        '"x"': "holds no JSON object",
        '{"schema": 2}': "no list of rows",
        '{"schema": 2, "rows": [3]}': "no list",
    }.items():
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(VaebenchError, match=message):
            _ = Run.load(tmp_path).rows
    (tmp_path / "results.json").write_text('{"schema": ')
    with pytest.raises(VaebenchError, match="is not JSON"):
        _ = Run.load(tmp_path).rows


def variant(source, **training):
    return SMALL.model_copy(
        update={
            "data": Data(source=str(source)),
            "model": Model(latent=3, network=Conv(filters=(4, 6), kernel=(3,), stride=(2,))),
            "training": Training(epochs=1, batch=16, **training),
            "evaluation": Evaluation(
                labels_per_class=(1, "all"), draws=2, supervised=SupervisedBaseline(least_steps=2), samples=None
            ),
        }
    )


def write_png(path, random, channels):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = random.integers(0, 256, (12, 12, channels)).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(path)


def test_a_zip_of_colour_class_folders_runs_to_its_report(tmp_path):
    random = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in ("<b>cats</b>", "dogs & co"):
            for index in range(12):
                write_png(tmp_path / "one.png", random, 3)
                archive.write(tmp_path / "one.png", f"{name.replace('/', '_')}/{index}.png")
    run = run_recipe(variant(tmp_path / "photos.zip"), tmp_path / "run")
    assert run.results["image_shape"] == [3, 12, 12]
    page = vaebench.write_report(run).read_text()
    assert "<b>cats" not in page
    assert "&lt;b&gt;cats" in page


def test_a_flat_folder_without_labels_leaves_label_panels_out(tmp_path):
    random = np.random.default_rng(0)
    for index in range(40):
        write_png(tmp_path / "flat" / f"{index}.png", random, 1)
    run = run_recipe(variant(tmp_path / "flat"), tmp_path / "run")
    assert not [row for row in run.rows if row["metric"] == "accuracy"]
    assert "confusion" not in run.panels
    assert run.results["classes"] == []
    page = vaebench.write_report(run).read_text()
    assert "Confusion" not in page
    assert "Learning curve" not in page
    assert "Samples from the prior" in page


def test_diverged_training_is_an_error_and_keeps_the_last_good_weights(tmp_path):
    from vaebench.training.schedules import SGD, Constant

    diverging = variant(tmp_path / "flat", optimiser=SGD(rate=1e12), schedule=Constant())
    random = np.random.default_rng(0)
    for index in range(40):
        write_png(tmp_path / "flat" / f"{index}.png", random, 1)
    with pytest.raises(FloatingPointError, match=r"step [12] of 2 \(means: .*the last good weights are kept"):
        run_recipe(diverging, tmp_path / "run")
    assert not (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize("kept", [0, 1, 40, 1000, -1])
def test_damaged_panels_are_refused(run, tmp_path, kept):
    whole = (run.path / "panels.npz").read_bytes()
    (tmp_path / "recipe.json").write_bytes((run.path / "recipe.json").read_bytes())
    (tmp_path / "panels.npz").write_bytes(whole[:kept])
    with pytest.raises(VaebenchError, match=r"panels\.npz is no whole \.npz"):
        _ = Run.load(tmp_path).panels


def test_data_with_known_factors_have_disentanglement_scores(tmp_path, monkeypatch):
    def coarse():
        few = sprites.factor_grid()
        few = few[(few[:, 2] % 4 == 0) & (few[:, 3:] % 5 == 0).all(1)] // [1, 1, 4, 5, 5]
        return sprites.render(few * [1, 1, 4, 5, 5]), few

    monkeypatch.setitem(datasets.FACTORS, "sprites", coarse)
    plain = Evaluation(labels_per_class=(1,), draws=2, supervised=None, features=("vae",), samples=None)
    data = Data(source="sprites", per_class=100)
    result = run_recipe(SMALL.model_copy(update={"data": data, "evaluation": plain}), tmp_path / "run")
    images, factors = coarse()
    rows = {row["metric"]: row["mean"] for row in result.rows if row["split"] == "all"}
    assert rows == disentanglement(FactorCodes(encode(result.vae, images).mean.numpy(), factors), 0)
    page = write_report(result).read_text()
    assert f"<td>{rows['mutual_information_gap']:.3f}</td>" in page.replace("\n", "")
    assert "mutual information gap (MIG)" in page


def test_only_unmodified_sprites_have_known_factors():
    images, factors = Data(source="sprites").with_factors()
    assert torch.equal(images.labels, torch.from_numpy(factors[:, 0]))
    assert Data(source="sprites", rotation=5).with_factors() is None
    assert Data(source="digits").with_factors() is None


def test_importance_weighted_log_px_is_a_row_and_exceeds_the_elbo(tmp_path):
    evaluation = Evaluation(
        labels_per_class=(), supervised=None, features=("vae",), importance_samples=50, samples=None
    )
    result = run_recipe(SMALL.model_copy(update={"evaluation": evaluation}), tmp_path / "run")
    row = next(row for row in result.rows if row["metric"] == "log_px")
    elbo = next(row["mean"] for row in result.rows if row["metric"] == "elbo")
    assert row["samples"] == 50
    assert 0 < row["standard_error"] < 1
    assert 1 < row["effective_samples"] < 50
    assert row["mean"] > elbo + 5 * row["standard_error"]
    assert f"{row['mean']:.2f} ± " in write_report(result).read_text()


def test_samples_and_training_images_are_scored_with_an_evaluation_classifier(tmp_path):
    evaluation = Evaluation(labels_per_class=(), supervised=None, features=("vae",), samples=100)
    result = run_recipe(SMALL.model_copy(update={"evaluation": evaluation}), tmp_path / "run")
    rows = {(row["features"], row["metric"]): row for row in result.rows if "evaluation_classifier_accuracy" in row}
    assert {key[0] for key in rows} == {
        "training images",
        "reconstructions",
        "samples",
        "fitted samples",
        "mixture samples",
    }
    assert rows["samples", "frechet"]["images"] == 100
    assert rows["training images", "frechet"]["mean"] < rows["samples", "frechet"]["mean"]
    assert result.panels["nearest_samples"].shape == result.panels["nearest_images"].shape
    assert scores(result.path)["Fréchet distance of samples"] == rows["samples", "frechet"]["mean"]
    page = write_report(result).read_text()
    assert f"<td>{rows['samples', 'frechet']['mean']:.2f}</td>" in page
    assert f"test accuracy {rows['samples', 'frechet']['evaluation_classifier_accuracy']:.1%}." in page
    assert 'id="nearest-training-images"' in page
    assert "samples from a fitted mixture" in page
    assert "% lower than with the prior" in page or "improves on the prior" in page
    images = {name: result.sample(20, 0, name) for name in ("prior", "gaussian", "mixture")}
    assert {tuple(each.shape) for each in images.values()} == {(20, 1, 8, 8)}
    assert not torch.equal(images["gaussian"], images["mixture"])
    mean = result.decode(torch.zeros(1, result.recipe.model.latent))
    torch.testing.assert_close(result.sample(3, temperature=0.0), mean.expand(3, -1, -1, -1))
    with pytest.raises(VaebenchError, match="expected 'prior' or one of"):
        result.sample(1, sampler="flow")


@pytest.mark.parametrize("labelled", [True, False])
def test_samples_are_scored_only_on_request_and_with_labels(labelled, tmp_path):
    def load(data, progress):
        whole = data.load()
        parts = {part: getattr(whole, part).without_labels() for part in ("train", "validation", "test")}
        return whole if labelled else replace(whole, **parts)

    evaluation = Evaluation(labels_per_class=(), supervised=None, features=("vae",), samples=None if labelled else 100)
    result = run_recipe(SMALL.model_copy(update={"evaluation": evaluation}), tmp_path / "run", load=load)
    assert not [row for row in result.rows if "evaluation_classifier_accuracy" in row]
    assert "nearest_samples" not in result.panels
    assert "Fréchet" not in write_report(result).read_text()


def test_a_run_with_a_learned_prior_samples_from_it(tmp_path):
    evaluation = Evaluation(labels_per_class=(1,), draws=2, supervised=None, features=("vae",), samples=50)
    model = SMALL.model.model_copy(update={"prior": Vamp(components=20)})
    result = run_recipe(SMALL.model_copy(update={"evaluation": evaluation, "model": model}), tmp_path / "run")
    rows = {row["metric"]: row["mean"] for row in result.rows if "latent" not in row and "features" not in row}
    each = [row["mean"] for row in result.rows if row["metric"] == "kl" and "latent" in row]
    assert rows["elbo"] == pytest.approx(-rows["reconstruction"] - rows["kl"])
    assert rows["kl"] != pytest.approx(sum(each), rel=1e-3)
    drawn = result.sample(64, seed=SMALL.seed)
    assert_close(torch.from_numpy(result.panels["samples"]).float() / 255, drawn.clamp(0, 1), atol=0.51 / 255, rtol=0)
    page = write_report(result).read_text()
    assert ", vamp prior)" in page
    assert "The prior is learned and does not factorise" in page
    assert result.explorer_obstacle is None
    explorer = result.explore()
    assert explorer.prior_codes.shape == (PRIOR_CODES, SMALL.model.latent)
    assert_close(torch.from_numpy(explorer.prior_codes), prior_samples(result.vae, 0, PRIOR_CODES))


def test_the_evaluation_classifier_of_tiny_images_is_an_mlp(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    x = (rng.random((600, 4, 4)) * 120 + 100 * y[:, None, None]).astype(np.uint8)
    np.savez(tmp_path / "tiny.npz", x_train=x[:400], y_train=y[:400], x_test=x[400:], y_test=y[400:])
    evaluation = Evaluation(labels_per_class=(1,), draws=2, supervised=None, features=("vae",))
    data = Data(source=str(tmp_path / "tiny.npz"))
    result = run_recipe(SMALL.model_copy(update={"evaluation": evaluation, "data": data}), tmp_path / "run")
    assert next(row for row in result.rows if row["metric"] == "frechet")["evaluation_classifier_accuracy"] > 0.9


def test_samples_of_very_small_data_sets_are_not_scored(tmp_path):
    evaluation = Evaluation(labels_per_class=(1,), draws=2, supervised=None, features=("vae",))
    data = Data(source="digits", per_class=10)
    result = run_recipe(SMALL.model_copy(update={"evaluation": evaluation, "data": data}), tmp_path / "run")
    assert result.results["data"]["images"]["test"] < 50
    assert not [row for row in result.rows if "evaluation_classifier_accuracy" in row]
