"""Runs that start from the weights of another: what is taken, what stays frozen, resuming, identity, refusals."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch

from vaebench.core.errors import VaebenchError
from vaebench.core.progress import StageTimer
from vaebench.core.workers import Worker
from vaebench.data.datasets import Data
from vaebench.models.likelihoods import ContinuousBernoulliPixels, GaussianPixelScale
from vaebench.models.local_decoder import LocalDecoderModel
from vaebench.models.networks import MLP, Conv
from vaebench.models.priors import Mixture, Vamp
from vaebench.models.registry import MODELS
from vaebench.models.vade import VaDEModel
from vaebench.models.vae import Model
from vaebench.runs import pipeline, sharing
from vaebench.runs.context import RunContext
from vaebench.runs.evaluation import Evaluation, SupervisedBaseline
from vaebench.runs.initial_weights import INITIAL, keep_initial_weights, pin_weights
from vaebench.runs.pipeline import run as run_recipe
from vaebench.runs.recipe import Recipe, parse_recipe
from vaebench.runs.report.figures import FIGURES
from vaebench.runs.report.report import lead
from vaebench.runs.report.tables import facts
from vaebench.runs.run import Run
from vaebench.runs.start import Start
from vaebench.sweeps.grid import trials
from vaebench.sweeps.trial import is_done
from vaebench.training.checkpoint import read_tensors, write_tensors
from vaebench.training.compute import Compute
from vaebench.training.loop import Training

NETWORK = Conv(filters=(4, 8), kernel=(3,), stride=(1, 2), hidden=(16,), dropout=0.1)
EVALUATION = Evaluation(labels_per_class=(1,), draws=1, features=("vae",), supervised=None, samples=None)
NETWORKS = ("encoder.", "decoder.", "likelihood.")
FIELDS = {"vade": {"pretraining_epochs": 1}, "vq": {"groups": 3, "codes": 8}, "fsq": {"levels": (4,)}}
"""Fields of small models of some kinds, which have 3 latents."""


def recipe_of(kind="vae", start=None, **fields):
    own = FIELDS.get(kind, {})
    recipe = Recipe(
        name="small",
        data=Data(source="digits", per_class=30),
        model=MODELS[kind](latent=3, network=NETWORK, **own),
        training=Training(epochs=2, batch=64, checkpoint_seconds=0),
        evaluation=EVALUATION,
        compute=Compute(device="cpu", precision="fp32", threads=1),
    )
    weights = {} if start is None else {"start": start if isinstance(start, Start) else Start(weights=str(start))}
    return recipe.model_copy(update=weights | fields)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return {kind: run_recipe(recipe_of(kind, seed=1), folder / kind).path for kind in MODELS}


@pytest.fixture(scope="module")
def data():
    return recipe_of().data.load()


def context_of(recipe, folder, data, said=None):
    said = [] if said is None else said
    return RunContext(pin_weights(recipe), folder, data, StageTimer(), said.append)


def initial(recipe, folder, data):
    keep_initial_weights(context_of(recipe, folder, data))
    return read_tensors(folder / INITIAL)


def refusal(recipe, folder, data):
    with pytest.raises(VaebenchError) as error:
        keep_initial_weights(context_of(recipe, folder, data))
    assert not (folder / INITIAL).exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def weights_of(run):
    return read_tensors(run / "weights.safetensors")[0]


def same(one, other, prefixes):
    names = [name for name in one if name.startswith(prefixes)]
    return bool(names) and all(torch.equal(one[name], other[name]) for name in names)


@pytest.mark.parametrize("kind", MODELS)
def test_the_initial_weights_are_the_bits_of_the_source(kind, sources, data, tmp_path):
    tensors, record = initial(recipe_of(kind, sources[kind]), tmp_path, data)
    source = weights_of(sources[kind])
    assert same(tensors, source, NETWORKS)
    assert {name for name in source if name.startswith(NETWORKS)} <= tensors.keys()
    given = initial(recipe_of(kind, sources[kind] / "weights.safetensors"), tmp_path / "file", data)
    assert given[0].keys() == tensors.keys()
    assert same(given[0], tensors, tuple(tensors))
    assert record["sha256"] == given[1]["sha256"]


def test_a_training_starts_from_them(sources, tmp_path):
    """With a learning rate of almost nothing the weights stay where they started."""
    training = recipe_of().training
    still = training.model_copy(update={"optimiser": training.optimiser.model_copy(update={"rate": 1e-30})})
    parts = {"decoder": ("decoder.",), "none": ()}
    for freeze, frozen in parts.items():
        start = Start(weights=str(sources["vae"]), freeze=freeze)
        run = run_recipe(recipe_of(start=start, training=still), tmp_path / freeze).path
        parameters = {name for name, _ in Run.load(run).vae.named_parameters()}
        one, other = weights_of(run), weights_of(sources["vae"])
        assert all(torch.equal(one[name], other[name]) for name in parameters)
        assert same(one, other, frozen) if frozen else not same(one, other, ("encoder.1.running_mean",))


@pytest.mark.parametrize(
    ("freeze", "frozen", "trained"),
    [
        ("encoder", ("encoder.",), ("decoder.0.0.weight",)),
        ("decoder", ("decoder.",), ("encoder.0.weight",)),
        ("both", ("encoder.", "decoder."), ()),
    ],
)
@pytest.mark.parametrize("compute", [{}, {"ema": 0.9}], ids=["plain", "averaged"])
def test_frozen_parts_have_the_bits_of_the_source_after_training(freeze, frozen, trained, compute, sources, tmp_path):
    start = Start(weights=str(sources["vae"]), freeze=freeze)
    training = recipe_of().training.model_copy(update=compute)
    run = run_recipe(recipe_of(start=start, training=training, seed=2), tmp_path / "run")
    one, other = weights_of(run.path), weights_of(sources["vae"])
    assert same(one, other, frozen)
    assert not trained or not same(one, other, trained)
    assert len(run.history) == (1 if freeze == "both" else 2)
    assert FIGURES["losses"].figure(run).axes


def test_a_frozen_part_gets_no_gradient_and_stays_in_evaluation_mode():
    vae = Model(latent=3, network=NETWORK).build((1, 8, 8))
    vae.freeze("encoder", "likelihood")  # this likelihood has no parameters
    vae.train()
    assert vae.training
    assert vae.decoder.training
    assert not any(part.training for part in vae.encoder.modules())
    assert not any(weight.requires_grad for weight in vae.encoder.parameters())
    assert any(weight.requires_grad for weight in vae.decoder.parameters())
    local = LocalDecoderModel(latent=3, network=NETWORK).build((1, 8, 8))
    local.freeze("encoder", "decoder", "likelihood")
    assert not any(weight.requires_grad for weight in local.parameters())


@pytest.mark.parametrize("kind", ["local-decoder", "vade"])
def test_frozen_networks_of_every_kind_keep_their_bits(kind, sources, tmp_path):
    start = Start(weights=str(sources[kind]), freeze="both")
    run = run_recipe(recipe_of(kind, start), tmp_path / "run").path
    assert same(weights_of(run), weights_of(sources[kind]), NETWORKS)
    if kind == "vade":  # the mixture is fitted to new codes, and trained
        assert not same(weights_of(run), weights_of(sources[kind]), ("centre",))


@pytest.mark.parametrize("kind", MODELS)
def test_a_stopped_run_resumes_to_the_same_bits_without_the_source(kind, sources, tmp_path):
    class Stop(BaseException):
        pass

    stages = []

    def stop(event):
        if event.epoch is not None and event.stage not in stages:
            stages.append(event.stage)
            raise Stop

    shutil.copytree(sources[kind], tmp_path / "source")
    recipe = recipe_of(kind, Start(weights=str(tmp_path / "source"), freeze="encoder"))
    whole = run_recipe(recipe, tmp_path / "whole")
    for _ in range(2 if kind == "vade" else 1):
        with pytest.raises(Stop):
            run_recipe(recipe, tmp_path / "stopped", resume=True, callback=stop)
    shutil.rmtree(tmp_path / "source")
    resumed = run_recipe(recipe, tmp_path / "stopped", resume=True)
    for file in whole.path.rglob("*.safetensors"):
        assert (resumed.path / file.relative_to(whole.path)).read_bytes() == file.read_bytes()
    assert resumed.rows == whole.rows
    assert resumed.results["start"] == whole.results["start"]
    assert Recipe.model_validate(json.loads((whole.path / "recipe.json").read_text())) == resumed.recipe


def test_a_worker_process_starts_from_the_kept_weights(sources, tmp_path, monkeypatch):
    def run_worker(work, arguments, callback):
        work(Worker(threads=1, report=callback), *arguments)

    monkeypatch.setattr(sharing, "divide_work", lambda *arguments: SimpleNamespace(run=run_worker))
    evaluation = EVALUATION.model_copy(update={"features": ("vae", "autoencoder")})
    recipe = recipe_of(start=Start(weights=str(sources["vae"]), freeze="encoder"), evaluation=evaluation)
    recipe = recipe.model_copy(update={"compute": Compute(device="cpu", precision="fp32")})
    paths = []
    for count in (1, 2):
        monkeypatch.setattr(pipeline, "process_count", lambda run, processes, count=count: count)
        paths.append(run_recipe(recipe, tmp_path / str(count)).path)
    one, two = paths
    for part in ("", "autoencoder"):
        assert (one / part / "weights.safetensors").read_bytes() == (two / part / "weights.safetensors").read_bytes()
    assert same(weights_of(two), weights_of(sources["vae"]), ("encoder.",))
    assert not same(weights_of(two / "autoencoder"), weights_of(sources["vae"]), ("encoder.0.weight",))


def test_other_weights_are_another_identity(sources, tmp_path, data):
    """A run, a checkpoint and the trial of a sweep know the content of the weights, not only their path."""
    source = tmp_path / "source"
    shutil.copytree(sources["vae"], source)
    recipe = recipe_of(start=source)
    before = pin_weights(recipe)
    run = run_recipe(recipe, tmp_path / "run").path
    key = trials(before, [], 1)[0].key
    assert is_done(before, run)
    shutil.copy(sources["local-decoder"] / "weights.safetensors", source / "weights.safetensors")
    after = pin_weights(recipe)
    assert before.start.sha256 != after.start.sha256
    assert trials(after, [], 1)[0].key != key
    assert not is_done(after, run)
    for changed in (lambda: run_recipe(recipe, run, resume=True), lambda: pin_weights(before)):
        with pytest.raises(VaebenchError, match=r"whose weights have changed: their SHA-256 was [0-9a-f]{64} and is"):
            changed()
    assert "start" not in recipe_of().model_dump()  # as before there was a start


def test_a_checkpoint_of_other_weights_is_refused(sources, tmp_path, monkeypatch):
    from vaebench.runs.training import Stage, _checkpoint_identity

    recipe = pin_weights(recipe_of(start=sources["vae"]))
    run = RunContext(recipe, tmp_path, recipe.data.load(), StageTimer(), print)
    stage = Stage("vae", "training", tmp_path, lambda: None, recipe.objective, 1, start=recipe.start)
    identity = _checkpoint_identity(run, stage)
    assert identity["start"] == {"sha256": recipe.start.sha256, "freeze": "none"}
    assert "start" not in _checkpoint_identity(run, stage._replace(start=Start()))


REFUSED = {
    "latents": ({"latent": 4}, "model.latent was 3 and is now 4"),
    "filters": ({"network": NETWORK.model_copy(update={"filters": (4, 6)})}, "model.network.filters was [4, 8] and is"),
    "network": ({"network": MLP(hidden=(8,))}, "model.network.kind was 'conv' and is now 'mlp'"),
    "strides": ({"network": NETWORK.model_copy(update={"padding": (2, 1)})}, "model.network.padding was [1] and is"),
    "likelihood": ({"likelihood": ContinuousBernoulliPixels()}, "model.likelihood.kind was 'bernoulli' and is now"),
    "decoder": ({"decoder": MLP(hidden=(8,))}, "model.decoder.kind was 'conv' and is now 'mlp'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_model_is_refused_by_its_field(case, sources, data, tmp_path):
    fields, sentence = REFUSED[case]
    model = recipe_of().model.model_copy(update=fields)
    said = refusal(recipe_of(start=sources["vae"], model=model), tmp_path, data)
    assert sentence in said
    assert "set these fields as they were, start from another run, or leave start.weights out" in said


def test_another_kind_is_refused_and_a_vae_and_vade_share_their_networks(sources, data, tmp_path):
    said = refusal(recipe_of("local-decoder", sources["vae"]), tmp_path, data)
    assert "model.kind was 'vae' and is now 'local-decoder'" in said
    for kind, source in (("vade", "vae"), ("vae", "vade")):
        tensors, record = initial(recipe_of(kind, sources[source]), tmp_path / kind, data)
        assert same(tensors, weights_of(sources[source]), NETWORKS)
        assert "centre" not in tensors
        assert "was not taken, as this recipe has another (model.prior was" in record["notes"][1]


def test_images_of_another_shape_are_refused(sources, tmp_path):
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", x_train=pixels, y_train=np.arange(60) % 3)
    recipe = recipe_of(start=sources["vae"], data=Data(source=str(tmp_path / "colour.npz")))
    with pytest.raises(VaebenchError, match=r"images of 1x8x8, and the images of this run are 3x12x12 \(channels"):
        run_recipe(recipe, tmp_path / "run")
    assert run_recipe(recipe_of(), tmp_path / "run").finished  # the folder is free after a refusal


def test_a_file_beside_no_recipe_is_compared_by_its_tensors(sources, data, tmp_path):
    file = shutil.copy(sources["vae"] / "weights.safetensors", tmp_path / "alone.safetensors")
    tensors, record = initial(recipe_of(start=file), tmp_path / "run", data)
    assert same(tensors, weights_of(sources["vae"]), tuple(tensors))
    assert record["notes"][1].startswith(f"No recipe.json is beside {file}")
    model = Model(latent=4, network=NETWORK)
    said = refusal(recipe_of(start=file, model=model), tmp_path, data)
    shapes = r"has the shape \(6, 16\), but in the model of this recipe it has the shape \(8, 16\); set model"
    assert re.search(rf"whose tensor encoder\.\d+\.weight {shapes}", said)
    model = Model(latent=3, network=NETWORK, likelihood=GaussianPixelScale())
    assert "whose tensor decoder." in refusal(recipe_of(start=file, model=model), tmp_path, data)
    said = refusal(recipe_of("local-decoder", file), tmp_path, data)
    assert "does not exist" in said


def test_a_prior_is_taken_where_it_is_the_same(data, tmp_path):
    mixture = recipe_of().model.model_copy(update={"prior": Mixture(components=4)})
    source = run_recipe(recipe_of(model=mixture, seed=1), tmp_path / "source").path
    tensors, record = initial(recipe_of(start=source, model=mixture), tmp_path / "same", data)
    assert same(tensors, weights_of(source), ("to_prior.",))
    assert "(encoder, decoder and prior; all are trained)" in record["notes"][0]
    vamp = mixture.model_copy(update={"prior": Vamp(components=4)})
    tensors, record = initial(recipe_of(start=source, model=vamp), tmp_path / "other", data)
    assert same(tensors, weights_of(source), NETWORKS)
    assert "to_prior.pseudo" in tensors
    assert "model.prior.kind was 'mixture' and is now 'vamp'" in record["notes"][1]
    start = Start(weights=str(source), freeze="both")
    run = run_recipe(recipe_of(start=start, model=mixture), tmp_path / "run").path
    assert same(weights_of(run), weights_of(source), NETWORKS)
    assert not same(weights_of(run), weights_of(source), ("to_prior.",))


def test_mistakes_are_sentences(sources, data, tmp_path):
    assert "which does not exist; expected the folder of a finished run or its" in refusal(
        recipe_of(start=tmp_path / "none"), tmp_path, data
    )
    (tmp_path / "folder").mkdir()
    assert "a folder without recipe.json" in refusal(recipe_of(start=tmp_path / "folder"), tmp_path, data)
    unfinished = shutil.copytree(sources["vae"], tmp_path / "unfinished")
    (unfinished / "results.json").unlink()
    assert "whose run is not finished; continue it with --resume" in refusal(
        recipe_of(start=unfinished), tmp_path, data
    )
    whole = (sources["vae"] / "weights.safetensors").read_bytes()
    for kept in (b"", whole[:7], whole[:1000], whole[:-1], b"hello"):
        (tmp_path / "damaged.safetensors").write_bytes(kept)
        said = refusal(recipe_of(start=tmp_path / "damaged.safetensors"), tmp_path, data)
        assert "is damaged or no file of weights by vaebench; expected the folder" in said
    tensors, record = read_tensors(sources["vae"] / "weights.safetensors")
    write_tensors(
        tmp_path / "nan.safetensors", tensors | {"encoder.0.weight": tensors["encoder.0.weight"] * float("nan")}, record
    )
    assert "has values in encoder.0.weight that are not finite" in refusal(
        recipe_of(start=tmp_path / "nan.safetensors"), tmp_path, data
    )


def test_a_frozen_part_needs_weights_and_resuming_needs_the_file_only_at_first(sources, data, tmp_path):
    with pytest.raises(
        VaebenchError, match=r"start: freeze and sha256 need weights to start from; give start\.weights"
    ):
        parse_recipe({"start": {"freeze": "encoder"}}, "recipe")
    assert parse_recipe({"start": {"weights": "x", "freeze": None}}, "recipe").start.freeze == "none"
    source = shutil.copytree(sources["vae"], tmp_path / "source")
    recipe = pin_weights(recipe_of(start=source))
    keep_initial_weights(RunContext(recipe, tmp_path / "run", data, StageTimer(), print))
    shutil.rmtree(source)
    assert pin_weights(recipe_of(start=source), tmp_path / "run") == recipe
    (tmp_path / "run" / INITIAL).unlink()
    with pytest.raises(VaebenchError, match="which does not exist"):
        pin_weights(recipe_of(start=source), tmp_path / "run")


def test_the_report_says_what_started_from_the_weights(sources, tmp_path):
    evaluation = EVALUATION.model_copy(
        update={"features": ("vae", "autoencoder"), "supervised": SupervisedBaseline(epochs=1, least_steps=2)}
    )
    said = []
    start = Start(weights=str(sources["vae"]), freeze="encoder")
    run = run_recipe(recipe_of(start=start, evaluation=evaluation), tmp_path / "run", callback=said.append)
    sentence = (
        f"The VAE started from the weights of {sources['vae']} (encoder and decoder; the encoder is frozen); the plain "
        "autoencoder and the supervised network start from random weights."
    )
    assert run.results["start"] == [sentence]
    assert sentence in [event.message for event in said]
    assert sentence in lead(run)
    assert ("initial weights", sentence) in facts(run)


def test_a_vade_names_the_vae_that_started_from_the_weights(sources, tmp_path):
    model = VaDEModel(latent=3, network=NETWORK, pretraining_epochs=1, components=3)
    run = run_recipe(recipe_of("vade", sources["vae"], model=model), tmp_path / "run")
    assert "The VAE started from the weights of" in lead(run)
    assert not same(weights_of(run.path / "pretrained"), weights_of(sources["vae"]), ("encoder.0.weight",))
