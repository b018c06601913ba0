"""Small runs of every kind of model: files, resuming, loading, report; clusters of VaDE; and errors."""

import tomllib

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from vaebench.core.errors import VaebenchError
from vaebench.data.datasets import Data
from vaebench.evaluation.clustering import clustering_accuracy
from vaebench.models.code_priors import AutoregressiveCodes
from vaebench.models.networks import MLP
from vaebench.models.registry import MODELS
from vaebench.models.vade import VaDEModel
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.overrides import apply_overrides
from vaebench.runs.pipeline import run as run_recipe
from vaebench.runs.recipe import RECIPES, Recipe, parse_recipe, read_recipe
from vaebench.runs.report.figures import FIGURES
from vaebench.runs.report.report import elbo_notes, lead
from vaebench.runs.report.tables import elbo_table
from vaebench.runs.run import Run
from vaebench.runs.start import Start
from vaebench.sweeps.trial import scores
from vaebench.training.checkpoint import read_tensors
from vaebench.training.compute import Compute
from vaebench.training.loop import Training

FIELDS = {"vade": {"pretraining_epochs": 2}, "vq": {"groups": 3, "codes": 8}, "fsq": {"levels": (4,)}}
"""Fields of small models of some kinds, which have 3 latents."""
EVALUATION = Evaluation(labels_per_class=(1,), draws=1, features=("vae", "random"), supervised=None, samples=None)


def recipe_of(kind):
    return Recipe(
        name="small",
        data=Data(source="digits", per_class=30),
        model=MODELS[kind](latent=3, network=MLP(hidden=(32,)), **FIELDS.get(kind, {})),
        training=Training(epochs=2, batch=64, checkpoint_seconds=0),
        evaluation=EVALUATION,
        compute=Compute(device="cpu", precision="fp32", threads=1),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return {kind: run_recipe(recipe_of(kind), tmp_path_factory.mktemp("runs") / kind) for kind in MODELS}


@pytest.mark.parametrize("kind", MODELS)
def test_a_loaded_run_encodes_and_samples_as_the_run_did(runs, kind):
    run = Run.load(runs[kind].path)
    assert run.recipe == recipe_of(kind)
    with np.load(run.path / "latents.npz") as latents:
        assert_close(run.encode(recipe_of(kind).data.load().test.pixels).mean, torch.from_numpy(latents["test_mean"]))
    assert run.sample(5).shape == (5, 1, 8, 8)
    assert torch.equal(run.sample(5), runs[kind].sample(5))
    assert type(run.vae) is type(recipe_of(kind).model.build((1, 8, 8)))


@pytest.mark.parametrize("kind", MODELS)
def test_a_run_that_is_stopped_in_every_training_resumes_to_the_same_bits(runs, kind, tmp_path):
    class Stopped(BaseException):
        pass

    stopped = []

    def stop(event):
        """Stop within each training, and when the mixture has been asked for."""
        if event.stage not in stopped and (event.epoch is not None or event.stage == "fitting the mixture"):
            stopped.append(event.stage)
            raise Stopped

    expected = ["pretraining", "fitting the mixture", "training"] if kind == "vade" else ["training"]
    for _ in expected:
        with pytest.raises(Stopped):
            run_recipe(recipe_of(kind), tmp_path / "run", resume=True, callback=stop)
    assert stopped == expected
    resumed = run_recipe(recipe_of(kind), tmp_path / "run", resume=True)
    for file in runs[kind].path.rglob("*.safetensors"):
        assert (resumed.path / file.relative_to(runs[kind].path)).read_bytes() == file.read_bytes()
    assert resumed.rows == runs[kind].rows


@pytest.mark.parametrize("kind", MODELS)
def test_recipes_round_trip_and_options_choose_the_kind(runs, kind, tmp_path):
    recipe = runs[kind].recipe
    assert parse_recipe(recipe.model_dump(mode="json"), "json") == recipe
    (tmp_path / "small.toml").write_text(f'[model]\nkind = "{kind}"\nlatent = 16\n')
    assert read_recipe(tmp_path / "small.toml").model == MODELS[kind](latent=16)
    chosen = apply_overrides(RECIPES["digits"], ["--model.kind", kind, "--model.latent", "24"], "x")
    assert chosen.model == MODELS[kind](latent=24)


def test_a_recipe_without_a_kind_is_a_vae_and_none_is_written():
    assert parse_recipe({"model": {"latent": 4}}, "x").model == MODELS["vae"](latent=4)
    assert "kind" not in Recipe().model_dump()["model"]
    assert tomllib.loads('[model]\nkind = "vae"')["model"]["kind"] == parse_recipe({}, "x").model.kind


def test_vade_reports_its_clusters_and_both_trainings(runs):
    run = runs["vade"]
    row_of_clusters = next(row for row in run.rows if row["metric"] == "clustering_accuracy")
    test = run.recipe.data.load().test
    clusters = run.vae.responsibilities(run.encode(test.pixels).mean).argmax(1)
    assert row_of_clusters["mean"] == clustering_accuracy(clusters.numpy(), test.labels.numpy())
    assert scores(run.path)["clustering accuracy"] == row_of_clusters["mean"]
    assert "A VaDE with 10 components and 3 latents (started from a VAE of objective elbo at beta 1)" in lead(run)
    assert any(row[:2] == ["clustering accuracy", f"{row_of_clusters['mean']:.3f}"] for row in elbo_table(run).rows)
    assert FIGURES["pretraining-losses"].applies(run)
    assert len(FIGURES["pretraining-losses"].figure(run).axes) == 3
    assert {"pretraining", "fitting the mixture", "training"} <= run.results["stages"].keys()
    assert run.explorer_obstacle is None
    assert run.explore().prior_codes is not None


def test_a_local_decoder_has_a_lead_and_no_explorer(runs):
    run = runs["local-decoder"]
    assert "A VAE with a local decoder and 3 latents (elbo at beta 1)" in lead(run)
    assert elbo_notes(run)[0].startswith("Likelihood: bernoulli")
    assert "generates one pixel after another" in run.explorer_obstacle
    assert not FIGURES["pretraining-losses"].applies(run)


@pytest.mark.parametrize("kind", ["vq", "fsq"])
def test_discrete_latents_report_the_use_of_codes_and_the_exact_kl(runs, kind):
    run = runs[kind]
    size = {"vq": 8, "fsq": 4}[kind]
    scores_of_run = {row["metric"]: row["mean"] for row in run.rows if row["split"] == "test"}
    assert scores_of_run["kl"] == pytest.approx(3 * np.log(size), rel=1e-6)
    assert scores_of_run["elbo"] == pytest.approx(-scores_of_run["reconstruction"] - scores_of_run["kl"])
    assert 0 < scores_of_run["codes_used"] <= 1 <= scores_of_run["perplexity"] <= size
    assert "active_units" not in scores_of_run
    assert run.panels["code_counts"].sum(1).tolist() == [run.results["data"]["images"]["test"]] * 3
    assert {row[0] for row in elbo_table(run).rows} >= {"codes used", "perplexity of the codes"}
    assert f"With the uniform prior the KL is {3 * np.log(size):.2f} nats" in elbo_notes(run)[1]
    for name in ("code-traversals", "code-use"):
        assert FIGURES[name].applies(run)
        assert not FIGURES[name].applies(runs["vae"])
        assert FIGURES[name].figure(run).axes
    for name in ("traversals", "kl-per-latent", "map-2d", "map-3d"):
        assert not FIGURES[name].applies(run)
        assert FIGURES[name].applies(runs["vae"])
    assert "finitely many values" in run.explorer_obstacle
    with np.load(run.path / "latents.npz") as latents:
        assert "test_log_variance" not in latents


def test_a_code_traversal_changes_one_code(runs):
    run = runs["fsq"]
    groups, codes = run.panels["traversal_groups"], run.panels["traversal_codes"]
    assert sorted(groups.tolist()) == [0, 1, 2]
    assert codes.tolist() == [[0, 1, 2, 3]] * 3
    first = run.panels["reconstruction_outputs"][0]
    assert all((row == first).all((1, 2, 3)).any() for row in run.panels["code_traversals"])


@pytest.mark.parametrize("kind", ["vq", "fsq"])
def test_what_discrete_latents_do_not_have_is_refused(kind):
    base = ["--model.kind", kind]
    for options, message in (
        (["--objective.kind", "free-bits"], "objective.kind 'free-bits' is not defined; set objective.kind to 'elbo'"),
        (["--evaluation.importance-samples", "5"], "leave evaluation.importance_samples out"),
    ):
        with pytest.raises(VaebenchError, match=message):
            apply_overrides(RECIPES["digits"], base + options, "x")


def test_a_run_that_starts_from_a_vq_vae_takes_its_codebook(runs, tmp_path):
    model = runs["vq"].recipe.model.model_copy(update={"prior": AutoregressiveCodes(hidden=16)})
    recipe = recipe_of("vq").model_copy(update={"model": model, "start": Start(weights=str(runs["vq"].path))})
    run = run_recipe(recipe, tmp_path / "run")
    start = read_tensors(run.path / "start.safetensors")[0]
    assert torch.equal(start["to_posterior.codebook"], runs["vq"].vae.to_posterior.codebook)
    assert torch.equal(start["to_posterior.counts"], runs["vq"].vae.to_posterior.counts)


def test_the_autoencoder_of_a_run_with_discrete_latents_has_none(tmp_path):
    recipe = recipe_of("vq")
    evaluation = recipe.evaluation.model_copy(update={"features": ("vae", "autoencoder")})
    training = recipe.training.model_copy(update={"epochs": 1})
    model = recipe.model.model_copy(update={"prior": AutoregressiveCodes(hidden=16)})
    run = run_recipe(
        recipe.model_copy(update={"evaluation": evaluation, "training": training, "model": model}), tmp_path / "run"
    )
    names = set(read_tensors(run.path / "autoencoder" / "weights.safetensors")[0])
    assert not any("to_posterior" in name for name in names)
    assert {"to_posterior.codebook", "to_prior.layers.0.weight"} <= set(
        read_tensors(run.path / "weights.safetensors")[0]
    )
    assert "a uniform prior would give 6.24 nats" in elbo_notes(run)[1]


def test_unlabelled_images_have_no_clustering_accuracy_and_more_components_than_images_are_refused(tmp_path):
    (tmp_path / "flat").mkdir()
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "flat" / f"{index}.png")
    recipe = recipe_of("vade").model_copy(update={"data": Data(source=str(tmp_path / "flat"))})
    run = run_recipe(recipe, tmp_path / "run")
    assert "clustering_accuracy" not in {row["metric"] for row in run.rows}
    many = recipe.model_copy(update={"model": VaDEModel(components=100)})
    with pytest.raises(VaebenchError, match=r"components is 100, but there are \d+ training images"):
        run_recipe(many, tmp_path / "many")
    with pytest.raises(VaebenchError, match=r"model\.kind is 'vadee'; expected one of vae, .*vade, vq, fsq"):
        apply_overrides(recipe, ["--model.kind", "vadee"], "x")
