"""The ladder: every rung reads only what it is given, the choice only others, the page only what was measured."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from vaebench.data.augment import Augmentation, bolder
from vaebench.data.datasets import Data
from vaebench.evaluation.bounds import bounds
from vaebench.experiments.experiment import Experiment
from vaebench.few_label_benchmark import methods, selection
from vaebench.few_label_benchmark.benchmark import row
from vaebench.few_label_benchmark.context import PAIRED, TRUNKS, VAES, DatasetContext, LabelDraw
from vaebench.few_label_benchmark.generative import KEPT, kept
from vaebench.few_label_benchmark.methods import Prediction, self_training_network, with_uniform_classes
from vaebench.few_label_benchmark.published import PUBLISHED, WHY
from vaebench.few_label_benchmark.registry import BenchmarkMethod, benchmark_methods
from vaebench.few_label_benchmark.results import TEMPERATURES, measured, result
from vaebench.few_label_benchmark.run import BenchmarkInfo, minutes_done, run_benchmark
from vaebench.few_label_benchmark.selection import CANDIDATES, GRAPHS, ON, choose, method_of
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.models.networks import Conv
from vaebench.models.vae import Model
from vaebench.semi_supervised.self_training import SelfTraining, SupervisedTraining
from vaebench.training.compute import Compute

AUGMENTATION = Augmentation(shift=1)
METHOD = SelfTraining(
    rounds=(6, 6), batch=64, pseudo_labelled=16, objective=SelfTrainingLoss(strong=AUGMENTATION, generative=0.01)
)
RUNGS = benchmark_methods("contrastive-30", METHOD, epochs=1)
needs_data = pytest.mark.skipif(
    not os.environ.get("VAEBENCH_DATA"), reason="VAEBENCH_DATA names no folder of real data sets"
)


def arena_of(folder, data, name="digits"):
    experiment = Experiment(BenchmarkInfo(), "cpu", folder, Compute(device="cpu", precision="fp32", threads=1))
    model = Model(latent=6, network=Conv(filters=(8, 16), kernel=(3,), stride=(1, 2)))
    return DatasetContext(experiment, name, data, model, AUGMENTATION, dimensions=8, passes=6, steps=12)


@pytest.fixture(scope="module")
def digits():
    data = Data(source="digits", validation_share=0.2).load()
    return replace(data, train=data.train.take(slice(0, 600)))


@pytest.fixture(scope="module")
def context(digits, tmp_path_factory):
    return arena_of(tmp_path_factory.mktemp("clean"), digits)


@pytest.fixture(scope="module")
def poisoned(digits, tmp_path_factory):
    """The same images; every label of the training part is nonsense."""
    nonsense = replace(digits.train, labels=torch.full_like(digits.train.labels, 10**6))
    return arena_of(tmp_path_factory.mktemp("poisoned"), replace(digits, train=nonsense))


def given_of(context, count=3):
    return context.given(count, 0)


@pytest.mark.parametrize("key", RUNGS)
def test_a_rung_gives_probabilities_and_reads_no_label_but_the_given_ones(key, context, poisoned):
    given = given_of(context)
    guess = RUNGS[key].method.answer(context, given)
    for part, images in context.parts.items():
        shares = guess.probabilities[part]
        assert shares.shape == (len(images), 10)
        torch.testing.assert_close(shares.sum(1), torch.ones(len(images)), atol=1e-4, rtol=0)
    other = RUNGS[key].method.answer(poisoned, given)
    for part in guess.probabilities:
        assert torch.equal(guess.probabilities[part], other.probabilities[part])


@pytest.mark.parametrize("key", ["elbo-line", "elbo-poisson", "elbo-knn", "elbo-clusters", "pixels-line"])
def test_right_labels_teach_and_wrong_ones_do_not(key, context):
    rows, labels, seed = given_of(context, 10)
    right = measured(context, RUNGS[key].method, LabelDraw(rows, labels, seed))["test"]
    shuffled = labels[torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))]
    wrong = measured(context, RUNGS[key].method, LabelDraw(rows, shuffled, seed))["test"]
    assert right > 0.5
    assert wrong < 0.3


def test_draws_are_the_same_for_every_method_balanced_and_of_the_training_part(context, digits):
    first, again, other = context.given(3, 0), context.given(3, 0), context.given(3, 1)
    assert torch.equal(first.rows, again.rows)
    assert not torch.equal(first.rows, other.rows)
    assert first.labels.bincount().tolist() == [3] * 10
    assert torch.equal(first.labels, digits.train.labels[first.rows])


def test_a_cell_is_done_once_and_again_only_under_another_recipe(context):
    rung, experiment = RUNGS["pca-line"], context.experiment
    found = result(context, "once", rung.method, "a", 3, 0)
    count = len(experiment.made)
    assert result(context, "once", rung.method, "a", 3, 0) == found
    assert len(experiment.made) == count
    result(context, "once", rung.method, "b", 3, 0)
    assert len(experiment.made) == count + 1


def test_every_representation_of_pairs_can_be_chosen_and_every_vae_is_tried():
    assert set(PAIRED) <= set(VAES)
    assert set(TRUNKS) | set(TRUNKS.values()) <= set(PAIRED)
    tried = {key.rsplit("-", 1)[0] for key in RUNGS if key.endswith("-poisson")}
    assert set(VAES) <= tried


@pytest.mark.parametrize("name", TRUNKS)
def test_a_wide_vae_makes_the_graph_and_self_training_begins_with_a_narrow_one(name, context):
    trunk, wide = context.trunk(name), context.vae(name)
    assert torch.equal(torch.from_numpy(context.graph(name).codes), wide.features.train.mean)
    begun = self_training_network(context, given_of(context), name, METHOD.model_copy(update={"rounds": ()}))
    for key, weights in trunk.vae.state_dict().items():
        assert torch.equal(begun.vae.state_dict()[key], weights)
    assert sum(map(torch.Tensor.numel, wide.vae.parameters())) > sum(map(torch.Tensor.numel, trunk.vae.parameters()))


def filters(model):
    return model.network.filters


def test_the_bold_rival_is_of_twice_the_filters_and_trained_with_the_bolder_augmentation(context, monkeypatch):
    trained = {}

    class Noted(SupervisedTraining):
        def fit(self, model, *rest):
            trained[self.strong] = model
            return super().fit(model, *rest)

    monkeypatch.setattr(methods, "SupervisedTraining", Noted)
    for rival in ("supervised", "supervised-augmented", "supervised-bold"):
        RUNGS[rival].method.answer(context, given_of(context))
    assert list(trained) == [Augmentation(), AUGMENTATION, bolder(AUGMENTATION)]
    assert [filters(model) for model in trained.values()] == [(8, 16), (8, 16), (16, 32)]


@pytest.mark.parametrize("name", PAIRED)
def test_a_vae_of_pairs_is_trained_with_what_its_rungs_are_said_to_know(name, context, monkeypatch):
    trained, trial = [], context.trial

    def noted(name, objective, *rest, **more):
        trained.append(objective)
        return trial(name, objective, *rest, **more)

    monkeypatch.setattr(context, "trial", noted)
    VAES[name](context, name)
    (objective,) = trained
    assert objective.augmentation == context.known(RUNGS[f"{name}-line"].knowledge)
    for key in ("frozen", "whole", "without-vae"):
        assert benchmark_methods(name, METHOD, epochs=1)[key].knowledge == RUNGS[f"{name}-line"].knowledge


def test_methods_without_augmentation_know_nothing_of_it():
    knowing = {key for key, rung in RUNGS.items() if rung.knowledge != "nothing"}
    assert knowing == {
        *(f"{name}-{how}" for name in PAIRED for how in ("line", "poisson")),
        *("frozen", "whole", "supervised-augmented", "supervised-bold"),
        *(f"without-{part}" for part in ("vae", "graph", "generative", "consistency")),
    }


def test_every_representation_that_is_compared_has_as_many_numbers(context):
    widths = {name: context.features(name).train.mean.shape[1] for name in ("pca", "random", *PAIRED)}
    assert set(widths.values()) == {context.dimensions}
    assert context.features("elbo").train.mean.shape[1] == context.model.latent != context.dimensions


@pytest.mark.parametrize("name", ON)
def test_a_choice_reads_other_data_sets_alone(name, context, monkeypatch):
    read = []

    def made_up(context, key, method, settings, count, draw):
        read.append(context.name)
        best = key == "consistent-3-spreading" or key.endswith(list(CANDIDATES)[1])
        losses = [abs(temperature - 2.0) for temperature in TEMPERATURES]
        return {"held": float(best), "tempered": {"log_loss_held": losses}}

    monkeypatch.setattr(selection, "result", made_up)
    found = choose({other: replace(context, name=other) for other in ON}, name)
    assert name not in read
    assert set(read) == set(ON[name])
    assert (found.representation, found.graph, found.candidate) == ("consistent-3", "spreading", list(CANDIDATES)[1])
    assert found.temperature == 2.0
    assert len(found.scores) == len(GRAPHS) * len(PAIRED) + len(CANDIDATES)


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_every_whole_method_that_can_be_chosen_keeps_the_generative_term(candidate, context):
    assert method_of(context, "poisson", candidate).objective.generative > 0


def test_the_correction_evens_the_shares_of_classes():
    rng = np.random.default_rng(0)
    labels = np.arange(3000) % 3
    logits = 2.0 * np.eye(3)[labels] + rng.normal(size=(3000, 3)) + [2.0, 0, 0]  # leans towards the first
    shares = torch.from_numpy(logits).softmax(1)
    even = with_uniform_classes(Prediction({"test": shares}, 0, shares))["test"].argmax(1)
    assert np.abs(even.bincount(minlength=3).numpy() / 3000 - 1 / 3).max() < 0.03
    assert (even.numpy() == labels).mean() > (shares.argmax(1).numpy() == labels).mean() + 0.1
    assert with_uniform_classes(Prediction({"test": shares}, 0)) is None


def test_what_is_kept_of_the_generative_model_is_measured_on_the_networks_themselves(context):
    without = METHOD.model_copy(update={"objective": METHOD.objective.model_copy(update={"generative": 0.0})})
    found = kept(context, "elbo", {"whole": METHOD, "without-generative": without})
    rows = {(row["method"], row["metric"]): row["mean"] for row in found.rows}
    own = bounds(context.vae("elbo").vae, context.data.test)
    assert rows["before", "elbo"] == pytest.approx(own.elbo, rel=1e-6)
    taught = self_training_network(context, context.given(10, 0), "elbo", METHOD)
    assert rows["whole", "elbo"] == pytest.approx(bounds(taught.vae, context.data.test).elbo, rel=1e-6)
    assert len({rows[key, "elbo"] for key in KEPT}) == 3
    assert set(found.arrays) == {"images"} | {f"{key}-{what}" for key in KEPT for what in ("outputs", "samples")}
    assert all(array.shape == (16, 1, 8, 8) for array in found.arrays.values())


def test_what_is_published_is_of_rungs_that_are():
    assert set(PUBLISHED) | set(WHY) <= set(RUNGS)


def test_a_row_says_its_spread_its_worst_draw_its_cost_and_what_it_knew(context):
    scores = {"calibration_test": [0.1] * 6 + [0.05], "log_loss_test": [0.2] * 7}
    rest = {"seconds": 2.0, "images": 10, "uniform_test": 0.9, "tempered": scores}
    cells = [{"test": value, **rest} for value in (0.5, 0.7)]
    rung = BenchmarkMethod("words", "whole", RUNGS["whole"].method, "", "own")
    found = row(context, "whole", rung, 3, "test", cells)
    assert (found["mean"], found["worst"], found["n"], found["seconds"]) == (pytest.approx(0.6), 0.5, 2, 2.0)
    assert found["augmentation"] == {"shift": 1.0}
    bold = row(context, "whole", replace(rung, knowledge="bolder"), 3, "test", cells)
    assert bold["augmentation"] == bolder(AUGMENTATION).amounts != found["augmentation"]
    assert row(context, "whole", replace(rung, knowledge="nothing"), 3, "test", cells)["augmentation"] is None
    assert (found["temperature"], found["calibration_error"]) == (1.0, pytest.approx(0.1))
    cooled = row(context, "whole", rung, 3, "test", cells, TEMPERATURES[-1])
    assert (cooled["temperature"], cooled["calibration_error"]) == (TEMPERATURES[-1], pytest.approx(0.05))
    assert found["uniform_assumed"] == pytest.approx(0.9)
    assert found["published"] is None
    of_mnist = row(replace(context, name="mnist"), "m2", rung, 10, "test", cells)
    assert (of_mnist["published"], of_mnist["source"]) == PUBLISHED["m2"]["mnist", 10]


@needs_data
@pytest.mark.timeout(900)
def test_quick_climbs_everything_draws_every_figure_and_repeats_nothing(tmp_path):
    two = Compute(threads=2)
    experiment = run_benchmark("quick", tmp_path, compute=two)
    rows = json.loads((tmp_path / "few-labels.json").read_text())
    assert {row["data"] for row in rows} == set(ON)
    of_mnist = {row["method"] for row in rows if row["data"] == "mnist"}
    assert set(RUNGS) <= of_mnist
    assert {"bottleneck", "bottleneck-augmented", *KEPT} <= of_mnist
    assert all(np.isfinite(row["mean"]) for row in rows)
    assert {row["split"] for row in rows} == {"held", "test"}
    assert set(experiment.drawn) == set(BenchmarkInfo.captions)
    page = (tmp_path / "few-labels.md").read_text()
    assert all(RUNGS[key].words in page for key in RUNGS)
    assert "\n- mnist†: rotation 15, scale 0.15, shear 0.25, shift 2.5, elastic 0.6, gamma 0.3, cutout 6\n" in page
    assert "\n- cifar10*: rotation 6, scale 0.2, shift 4, mirror 1, gamma 0.5, cutout 8\n" in page
    for mark, method in (("†", "contrastive-bold-line"), ("*", "contrastive-30-line"), ("", "elbo-line")):
        assert page.count(f"\n| {RUNGS[method].words}{mark} | ") == len(ON)
    assert {row["method"] for row in rows if row["data"] == "mnist" and row.get("augmentation")} >= {"whole", "frozen"}
    assert minutes_done(tmp_path, "quick") == pytest.approx(experiment.seconds / experiment.workers / 60, rel=1e-6)
    kept = [json.loads(path.read_text()) for path in (tmp_path / "steps" / "quick" / "steps").rglob("*.json")]
    assert {one["machine"]["workers"] for one in kept} == {experiment.workers}
    made = json.loads((tmp_path / "few-labels-made.json").read_text())
    shared = {name: set(found) for name, found in made["shared_seconds"].items()}
    assert shared["mnist"] == set(VAES)
    assert "local" not in shared["cifar10"]
    assert run_benchmark("quick", tmp_path, compute=two).made == []
    assert json.loads((tmp_path / "few-labels-made.json").read_text()) == made
