"""The few-label benchmark: methods read only the drawn labels, and settings are selected on other data sets."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fake_ray import FakeRay, install
from vaebench.core.errors import VaebenchError
from vaebench.core.local_pool import LocalPool
from vaebench.core.ray_pool import RayPool
from vaebench.data.augment import Augmentation, bolder
from vaebench.data.datasets import Data
from vaebench.deprecated import upgrade_rows
from vaebench.evaluation.bounds import bounds
from vaebench.experiments.experiment import Experiment
from vaebench.few_label_benchmark import methods, results
from vaebench.few_label_benchmark.benchmark import Measurement
from vaebench.few_label_benchmark.context import INITIAL_VAES, PAIRED, VAES, DatasetContext, LabelDraw
from vaebench.few_label_benchmark.generative import STAGES, measure_generative_quality
from vaebench.few_label_benchmark.methods import Prediction, benchmark_methods, self_train
from vaebench.few_label_benchmark.results import TEMPERATURES, compute_result, evaluate_draw, with_uniform_classes
from vaebench.few_label_benchmark.run import BenchmarkInfo, minutes_done, run_benchmark
from vaebench.few_label_benchmark.selection import CANDIDATES, GRAPHS, SELECTED_ON, Selection, self_training_of
from vaebench.few_label_benchmark.titles import METHOD_TITLES, PROTOCOL_NOTES, PUBLISHED
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.models.networks import Conv
from vaebench.models.vae import Model
from vaebench.semi_supervised.self_training import SelfTraining, SupervisedTraining
from vaebench.training.compute import Compute

AUGMENTATION = Augmentation(shift=1)
SELF_TRAINING = SelfTraining(
    rounds=(6, 6), batch=64, pseudo_labelled=16, objective=SelfTrainingLoss(strong=AUGMENTATION, generative=0.01)
)
METHODS = benchmark_methods("contrastive-30", SELF_TRAINING, epochs=1)


def make_context(folder, data, name="digits"):
    experiment = Experiment(BenchmarkInfo(), "cpu", folder, Compute(device="cpu", precision="fp32", threads=1))
    model = Model(latent=6, network=Conv(filters=(8, 16), kernel=(3,), stride=(1, 2)))
    return DatasetContext(experiment, name, data, model, AUGMENTATION, dimensions=8, passes=6, steps=12)


@pytest.fixture(scope="module")
def digits():
    data = Data(source="digits", validation_fraction=0.2).load()
    return replace(data, train=data.train.take(slice(0, 600)))


@pytest.fixture(scope="module")
def context(digits, tmp_path_factory):
    return make_context(tmp_path_factory.mktemp("clean"), digits)


@pytest.fixture(scope="module")
def poisoned(digits, tmp_path_factory):
    """The same images with invalid labels in the training part."""
    nonsense = replace(digits.train, labels=torch.full_like(digits.train.labels, 10**6))
    return make_context(tmp_path_factory.mktemp("poisoned"), replace(digits, train=nonsense))


def draw_of(context, count=3):
    return context.draw_labels(count, 0)


@pytest.mark.parametrize("key", METHODS)
def test_a_method_predicts_probabilities_and_reads_no_label_but_the_drawn_ones(key, context, poisoned):
    labels = draw_of(context)
    prediction = METHODS[key].fit_predict(context, labels)
    for part, images in context.parts.items():
        probabilities = prediction.probabilities[part]
        assert probabilities.shape == (len(images), 10)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(len(images)), atol=1e-4, rtol=0)
    other = METHODS[key].fit_predict(poisoned, labels)
    for part in prediction.probabilities:
        assert torch.equal(prediction.probabilities[part], other.probabilities[part])


@pytest.mark.parametrize("key", ["elbo-line", "elbo-poisson", "elbo-knn", "elbo-clusters", "pixels-line"])
def test_correct_labels_give_a_good_classifier_and_shuffled_ones_do_not(key, context):
    rows, labels, seed = draw_of(context, 10)
    right = evaluate_draw(context, METHODS[key], LabelDraw(rows, labels, seed))["test"]
    shuffled = labels[torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))]
    wrong = evaluate_draw(context, METHODS[key], LabelDraw(rows, shuffled, seed))["test"]
    assert right > 0.5
    assert wrong < 0.3


def test_draws_are_the_same_for_every_method_balanced_and_of_the_training_part(context, digits):
    first, again, other = context.draw_labels(3, 0), context.draw_labels(3, 0), context.draw_labels(3, 1)
    assert torch.equal(first.rows, again.rows)
    assert not torch.equal(first.rows, other.rows)
    assert first.labels.bincount().tolist() == [3] * 10
    assert torch.equal(first.labels, digits.train.labels[first.rows])


def test_a_result_is_computed_once_and_again_only_with_other_settings(context):
    method, experiment = METHODS["pca-line"], context.experiment
    result = compute_result(context, "once", method, 3, 0)
    count = len(experiment.computed)
    assert compute_result(context, "once", method, 3, 0) == result
    assert len(experiment.computed) == count
    compute_result(context, "once", replace(method, settings="other"), 3, 0)
    assert len(experiment.computed) == count + 1


def test_results_kept_by_version_0_1_are_read_with_the_keys_of_today(context):
    method, labels = METHODS["pca-line"], context.draw_labels(3, 1)
    new = evaluate_draw(context, method, labels)
    tempered = {key.replace("validation", "held"): values for key, values in new["tempered"].items()}
    old = {key.replace("validation", "held"): value for key, value in new.items()} | {"tempered": tempered}
    assert "held" in old
    assert upgrade_rows(old) == new


def test_each_ablation_is_without_its_component():
    settings = {key: json.loads(METHODS[key].settings.split(" ", 3)[3]) for key in METHODS if "without" in key}
    assert settings["without-generative"]["objective"]["generative"] == 0
    assert settings["without-consistency"]["objective"]["consistency"] == 0
    assert settings["without-graph"]["pseudo_labeller"]["kind"] == "network"
    assert settings["without-augmentation"]["objective"]["strong"] == Augmentation().model_dump(mode="json")
    assert settings["without-vae"] == SELF_TRAINING.model_dump(mode="json")


def test_every_vae_trained_on_pairs_can_be_selected_and_every_vae_is_a_method():
    assert set(PAIRED) <= set(VAES)
    assert set(INITIAL_VAES) | set(INITIAL_VAES.values()) <= set(PAIRED)
    methods = {key.rsplit("-", 1)[0] for key in METHODS if key.endswith("-poisson")}
    assert set(VAES) <= methods


@pytest.mark.parametrize("name", INITIAL_VAES)
def test_a_wide_vae_gives_the_graph_and_self_training_starts_from_a_narrow_one(name, context):
    initial, wide = context.initial_vae(name), context.vae(name)
    assert torch.equal(torch.from_numpy(context.graph(name).codes), wide.features.train.mean)
    untrained = SELF_TRAINING.model_copy(update={"rounds": ()})
    begun = self_train(context, draw_of(context), untrained, initial.vae, context.graph(name))
    for key, weights in initial.vae.state_dict().items():
        assert torch.equal(begun.vae.state_dict()[key], weights)
    assert sum(map(torch.Tensor.numel, wide.vae.parameters())) > sum(map(torch.Tensor.numel, initial.vae.parameters()))


def filters(model):
    return model.network.filters


def test_supervised_baselines_have_their_filters_and_augmentation(context, monkeypatch):
    trained = {}

    class Recorded(SupervisedTraining):
        def fit(self, model, *rest):
            trained[self.strong] = model
            return super().fit(model, *rest)

    monkeypatch.setattr(methods, "SupervisedTraining", Recorded)
    for baseline in ("supervised", "supervised-augmented", "supervised-bold"):
        METHODS[baseline].fit_predict(context, draw_of(context))
    assert list(trained) == [Augmentation(), AUGMENTATION, bolder(AUGMENTATION)]
    assert [filters(model) for model in trained.values()] == [(8, 16), (8, 16), (16, 32)]


@pytest.mark.parametrize("name", PAIRED)
def test_a_vae_trained_on_pairs_has_the_augmentation_that_its_methods_state(name, context, monkeypatch):
    objectives, train_vae = [], context.train_vae

    def record(name, objective, *rest, **more):
        objectives.append(objective)
        return train_vae(name, objective, *rest, **more)

    monkeypatch.setattr(context, "train_vae", record)
    VAES[name](context, name)
    (objective,) = objectives
    assert objective.augmentation == context.augmentation_at(METHODS[f"{name}-line"].augmentation)
    for key in ("frozen", "whole", "without-vae"):
        assert (
            benchmark_methods(name, SELF_TRAINING, epochs=1)[key].augmentation == METHODS[f"{name}-line"].augmentation
        )


def test_only_these_methods_use_augmentation():
    augmented = {key for key, method in METHODS.items() if method.augmentation != "none"}
    assert augmented == {
        *(f"{name}-{how}" for name in PAIRED for how in ("line", "poisson")),
        *("frozen", "whole", "supervised-augmented", "supervised-bold"),
        *(f"without-{part}" for part in ("vae", "graph", "generative", "consistency")),
    }


def test_compared_representations_have_the_same_dimensions(context):
    widths = {name: context.features(name).train.mean.shape[1] for name in ("pca", "random", *PAIRED)}
    assert set(widths.values()) == {context.dimensions}
    assert context.features("elbo").train.mean.shape[1] == context.model.latent != context.dimensions


@pytest.mark.parametrize("name", SELECTED_ON)
def test_selection_reads_other_data_sets_only(name, context, monkeypatch):
    read = []

    def make_result(context, key, method, count, draw):
        read.append(context.name)
        best = key == "consistent-3-spreading" or key.endswith(list(CANDIDATES)[1])
        losses = [abs(temperature - 2.0) for temperature in TEMPERATURES]
        return {"validation": float(best), "tempered": {"log_loss_validation": losses}}

    monkeypatch.setattr(results, "compute_result", make_result)
    choice = Selection({other: replace(context, name=other) for other in SELECTED_ON}, name).choice
    assert name not in read
    assert set(read) == set(SELECTED_ON[name])
    assert (choice.representation, choice.graph, choice.candidate) == ("consistent-3", "spreading", list(CANDIDATES)[1])
    assert choice.temperature == 2.0
    assert len(choice.scores) == len(GRAPHS) * len(PAIRED) + len(CANDIDATES)


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_every_candidate_keeps_the_generative_term(candidate, context):
    assert self_training_of(context, "poisson", candidate).objective.generative > 0


def test_the_correction_makes_class_frequencies_uniform():
    rng = np.random.default_rng(0)
    labels = np.arange(3000) % 3
    logits = 2.0 * np.eye(3)[labels] + rng.normal(size=(3000, 3)) + [2.0, 0, 0]  # biased towards the first class
    probabilities = torch.from_numpy(logits).softmax(1)
    uniform = with_uniform_classes(Prediction({"test": probabilities}, 0, probabilities))["test"].argmax(1)
    assert np.abs(uniform.bincount(minlength=3).numpy() / 3000 - 1 / 3).max() < 0.03
    assert (uniform.numpy() == labels).mean() > (probabilities.argmax(1).numpy() == labels).mean() + 0.1
    assert with_uniform_classes(Prediction({"test": probabilities}, 0)) is None


def test_generative_quality_is_that_of_the_networks(context):
    objective = SELF_TRAINING.objective.model_copy(update={"generative": 0.0})
    without = SELF_TRAINING.model_copy(update={"objective": objective})
    quality = measure_generative_quality(context, "elbo", {"whole": SELF_TRAINING, "without-generative": without})
    rows = {(row["method"], row["metric"]): row["mean"] for row in quality.rows}
    own = bounds(context.vae("elbo").vae, context.data.test)
    assert rows["before", "elbo"] == pytest.approx(own.elbo, rel=1e-6)
    vae, graph = context.vae("elbo").vae, context.graph("elbo")
    trained = self_train(context, context.draw_labels(10, 0), SELF_TRAINING, vae, graph)
    assert rows["whole", "elbo"] == pytest.approx(bounds(trained.vae, context.data.test).elbo, rel=1e-6)
    assert len({rows[key, "elbo"] for key in STAGES}) == 3
    assert set(quality.arrays) == {"images"} | {f"{key}-{kind}" for key in STAGES for kind in ("outputs", "samples")}
    assert all(array.shape == (16, 1, 8, 8) for array in quality.arrays.values())


def test_published_results_belong_to_methods_and_every_method_has_a_title():
    assert set(PUBLISHED) | set(PROTOCOL_NOTES) <= set(METHODS) <= set(METHOD_TITLES)


def test_a_row_has_interval_worst_draw_cost_calibration_and_augmentation(context):
    scores = {"calibration_test": [0.1] * 6 + [0.05], "log_loss_test": [0.2] * 7}
    rest = {"seconds": 2.0, "images": 10, "uniform_test": 0.9, "tempered": scores}
    found = [{"test": value, **rest} for value in (0.5, 0.7)]

    def row_of(augmentation, *temperature):
        method = replace(METHODS["whole"], augmentation=augmentation)
        return Measurement(context, "whole", method, 3, "whole", *temperature).row("test", found)

    row = row_of("standard")
    assert (row["mean"], row["worst"], row["n"], row["seconds"]) == (pytest.approx(0.6), 0.5, 2, 2.0)
    assert row["augmentation"] == {"shift": 1.0}
    assert row_of("strong")["augmentation"] == bolder(AUGMENTATION).amounts != row["augmentation"]
    assert row_of("none")["augmentation"] is None
    assert (row["temperature"], row["calibration_error"]) == (1.0, pytest.approx(0.1))
    tempered = row_of("standard", TEMPERATURES[-1])
    assert (tempered["temperature"], tempered["calibration_error"]) == (TEMPERATURES[-1], pytest.approx(0.05))
    assert row["uniform_assumed"] == pytest.approx(0.9)
    assert row["published"] is None
    of_mnist = Measurement(replace(context, name="mnist"), "m2", METHODS["m2"], 10, "m2").row("test", found)
    assert (of_mnist["published"], of_mnist["source"]) == PUBLISHED["m2"]["mnist", 10]


@pytest.mark.timeout(900)
def test_quick_runs_every_method_draws_every_figure_and_repeats_nothing(tmp_path, small_data):
    two = Compute(threads=2)
    experiment = run_benchmark("quick", tmp_path, compute=two)
    rows = json.loads((tmp_path / "few-labels.json").read_text())
    assert {row["data"] for row in rows} == set(SELECTED_ON)
    of_mnist = {row["method"] for row in rows if row["data"] == "mnist"}
    assert set(METHODS) <= of_mnist
    assert {"bottleneck", "bottleneck-augmented", *STAGES} <= of_mnist
    assert all(np.isfinite(row["mean"]) for row in rows)
    assert {row["split"] for row in rows} == {"validation", "test"}
    assert set(experiment.figures.images) == set(BenchmarkInfo.captions)
    page = (tmp_path / "few-labels.md").read_text()
    assert all(METHOD_TITLES[key] in page for key in METHODS)
    assert "\n- mnist†: rotation 15, scale 0.15, shear 0.25, shift 2.5, elastic 0.6, gamma 0.3, cutout 6\n" in page
    assert "\n- cifar10*: rotation 6, scale 0.2, shift 4, mirror 1, gamma 0.5, cutout 8\n" in page
    for mark, method in (("†", "contrastive-bold-line"), ("*", "contrastive-30-line"), ("", "elbo-line")):
        assert page.count(f"\n| {METHOD_TITLES[method]}{mark} | **") == len(SELECTED_ON)
    assert {row["method"] for row in rows if row["data"] == "mnist" and row.get("augmentation")} >= {"whole", "frozen"}
    assert minutes_done(tmp_path, "quick") == pytest.approx(experiment.seconds / experiment.workers / 60, rel=1e-6)
    kept = [json.loads(path.read_text()) for path in (tmp_path / "steps" / "quick" / "steps").rglob("*.json")]
    assert {one["machine"]["workers"] for one in kept} == {experiment.workers}
    made = json.loads((tmp_path / "few-labels-made.json").read_text())
    shared = {name: set(found) for name, found in made["shared_seconds"].items()}
    assert shared["mnist"] == set(VAES)
    assert "local" not in shared["cifar10"]
    assert run_benchmark("quick", tmp_path, compute=two).computed == []
    assert json.loads((tmp_path / "few-labels-made.json").read_text()) == made


class OneStep:
    """Stands for the benchmark: one step and one row."""

    def __init__(self, experiment):
        self.experiment, self.rows, self.generative, self.choices = experiment, [], {}, {}

    def run(self):
        self.experiment.run_tasks({"a": lambda: self.experiment.step("a", {}, lambda: {"value": 1})})
        self.rows.append(self.experiment.step("a", {}, lambda: {"value": 1}))

    def shared_seconds(self):
        return {}


def test_a_cluster_ends_what_was_begun_here_and_this_machine_what_a_cluster_began(tmp_path, monkeypatch):
    for name, stand_in in (("Benchmark", OneStep), ("draw_figures", lambda *rest: None)):
        monkeypatch.setattr(f"vaebench.few_label_benchmark.run.{name}", stand_in)
    monkeypatch.setattr("vaebench.few_label_benchmark.run.render_page", lambda *rest: "")
    ray = install(monkeypatch, FakeRay(nodes=({"CPU": 1.0}, {"CPU": 2.0})))
    first = run_benchmark("quick", tmp_path / "a", executor=RayPool("auto"))
    assert (first.computed, first.workers, ray.options["num_cpus"]) == (["a"], 3, 1)
    assert json.loads((tmp_path / "a" / "few-labels.json").read_text()) == [{"value": 1}]
    made = json.loads((tmp_path / "a" / "few-labels-made.json").read_text())
    assert (made["workers"], made["compute"]["threads"]) == (3, 1)
    assert run_benchmark("quick", tmp_path / "a", executor=LocalPool(1)).computed == []
    assert run_benchmark("quick", tmp_path / "b", executor=LocalPool(1)).computed == ["a"]
    assert run_benchmark("quick", tmp_path / "b", executor=RayPool("auto")).computed == []


def test_a_worker_that_is_lost_three_times_leaves_its_work_to_the_others(tmp_path, monkeypatch, caplog):
    for name, stand_in in (("Benchmark", OneStep), ("draw_figures", lambda *rest: None)):
        monkeypatch.setattr(f"vaebench.few_label_benchmark.run.{name}", stand_in)
    monkeypatch.setattr("vaebench.few_label_benchmark.run.render_page", lambda *rest: "")
    nodes = ({"CPU": 2.0},)
    install(monkeypatch, FakeRay(nodes, lost=["worker 1"]))
    assert run_benchmark("quick", tmp_path, executor=RayPool("auto")).computed == ["a"]
    assert "worker 1: it was lost 3 times (Lost)" in caplog.text
    install(monkeypatch, FakeRay(nodes, lost=["worker 1", "worker 2"]))
    with pytest.raises(VaebenchError, match="it was lost 3 times"):
        run_benchmark("quick", tmp_path, executor=RayPool("auto"))
