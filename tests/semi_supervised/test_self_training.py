"""Self-training on small digits: which labels it reads, which pseudo-labels it uses, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vaebench.data.augment import Augmentation
from vaebench.data.datasets import Data
from vaebench.data.draws import balanced_draw
from vaebench.data.images import HIDDEN, Images
from vaebench.deprecated import upgrade_recipe
from vaebench.evaluation.features import encode
from vaebench.models.classifying_vae import ClassifyingVAE, SelfTrainingLoss
from vaebench.models.networks import Conv
from vaebench.models.objectives import Elbo
from vaebench.models.vae import Model
from vaebench.semi_supervised import pseudo_labels, self_training
from vaebench.semi_supervised.graphs import Graph
from vaebench.semi_supervised.label_propagation import (
    PoissonThenSpreading,
    PropagationByLabelCount,
    confident_labels,
)
from vaebench.semi_supervised.pseudo_labels import PSEUDO_LABELLERS, GraphPseudoLabels, NetworkPseudoLabels
from vaebench.semi_supervised.self_training import FewLabels, SelfTraining, _sample_subset, recompute_batch_norm
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.prediction import predict_with
from vaebench.training.schedules import Adam

COMPUTE = Compute(device="cpu", precision="fp32", threads=1)
MODEL = Model(latent=8, network=Conv(filters=(16, 32), kernel=(3,), stride=(1, 2)))


@pytest.fixture(scope="module")
def digits():
    return Data(source="digits").load()


@pytest.fixture(scope="module")
def vae(digits):
    torch.manual_seed(0)
    model = MODEL.build(digits.train.shape)
    return train(model, Elbo(), digits.train.without_labels(), Training(epochs=15, batch=64), compute=COMPUTE).model


@pytest.fixture(scope="module")
def graph(digits, vae):
    return Graph.from_codes(encode(vae, digits.train).mean.numpy())


def fit(method, digits, vae, graph, labels=None, images=None, count=2):
    rows = balanced_draw(digits.train.labels, count, (0, 0))
    labels = digits.train.labels[rows] if labels is None else labels
    return method.fit(vae, FewLabels(images or digits.train, rows, labels, 10, graph), 0, COMPUTE)


def accuracy(network, images):
    return float((predict_with(network, 0, COMPUTE)(images).argmax(1) == images.labels).double().mean())


ADAM = Adam(rate=3e-3, beta2=0.99, weight_decay=0.01)
SHORT = SelfTraining(
    rounds=(40, 40), batch=64, pseudo_labelled=32, pseudo_labeller=NetworkPseudoLabels(), optimiser=ADAM
)
VIEWS = Augmentation(rotation=10, scale=0.1, shift=0.5)
LONG = SelfTraining(
    propagation=PoissonThenSpreading(),
    rounds=(150, 150),
    batch=64,
    pseudo_labelled=32,
    pseudo_labeller=NetworkPseudoLabels(),
    optimiser=ADAM,
    objective=SelfTrainingLoss(strong=VIEWS, generative=0.01),
)
every_pseudo_labeller = pytest.mark.parametrize(
    "pseudo_labeller", [kind() for kind in PSEUDO_LABELLERS.values()], ids=PSEUDO_LABELLERS
)


def test_confident_labels_have_the_largest_margins_of_each_class():
    scores = np.array([[9, 0, 0], [5, 4, 0], [3, 0, 0], [0, 8, 7], [0, 2, 0], [0, 0, 1]], dtype=float)
    assert confident_labels(scores, 1.0).tolist() == [0, 0, 0, 1, 1, 2]
    assert confident_labels(scores, 0.5).tolist() == [0, HIDDEN, 0, HIDDEN, 1, 2]
    assert confident_labels(scores, 0.1).tolist() == [0, HIDDEN, HIDDEN, HIDDEN, 1, 2]


@every_pseudo_labeller
def test_it_beats_label_propagation_and_still_generates(digits, vae, graph, pseudo_labeller):
    network = fit(LONG.model_copy(update={"pseudo_labeller": pseudo_labeller}), digits, vae, graph, count=5)
    rows = balanced_draw(digits.train.labels, 5, (0, 0))
    scores = LONG.propagation.propagate(graph, rows.numpy(), digits.train.labels[rows].numpy(), 10)
    joined = graph.connect(encode(vae, digits.test).mean.numpy()) @ scores
    by_graph = float((joined.argmax(1) == digits.test.labels.numpy()).mean())
    assert accuracy(network, digits.test) > by_graph + 0.02
    assert accuracy(network, digits.test) > 0.92
    x = digits.test.batch(torch.arange(200)).x
    with torch.no_grad():
        after, before = (v.decode(v.posterior(x).mean).log_prob(x).mean() for v in (network.vae, vae))
    blind = -64 * np.log(2)
    assert after > before - 0.2 * (before - blind)


@every_pseudo_labeller
def test_permuted_labels_fall_to_chance(digits, vae, graph, pseudo_labeller):
    rows = balanced_draw(digits.train.labels, 2, (0, 0))
    right = digits.train.labels[rows]
    turned = (right + torch.arange(len(right)) % 9 + 1) % 10  # every one of them wrong
    method = SHORT.model_copy(update={"pseudo_labeller": pseudo_labeller})
    assert accuracy(fit(method, digits, vae, graph, turned), digits.test) < 0.3


@every_pseudo_labeller
def test_labels_of_other_rows_are_never_read(digits, vae, graph, pseudo_labeller):
    method = SHORT.model_copy(update={"pseudo_labeller": pseudo_labeller})
    poisoned = digits.train.with_labels(torch.full_like(digits.train.labels, 10**6))
    clean, other = (fit(method, digits, vae, graph, images=images) for images in (digits.train, poisoned))
    for name, weight in clean.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


def test_the_vae_it_starts_from_is_not_changed(digits, vae, graph):
    before = {name: weight.clone() for name, weight in vae.state_dict().items()}
    fit(SHORT, digits, vae, graph)
    assert all(torch.equal(weight, before[name]) for name, weight in vae.state_dict().items())


def test_without_a_graph_the_first_round_uses_the_labels_alone(digits, vae):
    seen = []

    class Watched(SelfTrainingLoss):
        def __call__(self, model, batch, progress):
            seen.append(int((batch.labels != HIDDEN).sum()))
            return super().__call__(model, batch, progress)

    method = SHORT.model_copy(update={"objective": Watched(), "rounds": (24,)})
    fit(method, digits, vae, None)
    assert len(seen) >= 20
    assert set(seen[:18]) == {32}


def test_batch_norm_is_recomputed_on_unchanged_images(digits, vae):
    torch.manual_seed(1)
    network = ClassifyingVAE(MODEL.build(digits.train.shape), 10)
    recompute_batch_norm(
        network, replace(digits.train, pixels=digits.train.pixels[:400], labels=digits.train.labels[:400]), 0
    )
    first = network.vae.encoder[0](digits.train.batch(torch.arange(400)).x)
    torch.testing.assert_close(network.vae.encoder[1].running_mean, first.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)
    assert not network.training


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precision_between_rounds_is_that_of_training(digits, vae, graph, monkeypatch, precision):
    rounded = []

    def watched(module, name):
        real = getattr(module, name)

        def call(*arguments):
            rounded.append(torch.is_autocast_enabled("cpu"))
            return real(*arguments)

        monkeypatch.setattr(module, name, call)

    watched(pseudo_labels, "predict_with")
    watched(self_training, "recompute_batch_norm")
    compute = COMPUTE.model_copy(update={"precision": precision})
    rows = balanced_draw(digits.train.labels, 2, (0, 0))
    method = SHORT.model_copy(update={"rounds": (3, 3)})
    method.fit(vae, FewLabels(digits.train, rows, digits.train.labels[rows], 10, graph), 0, compute)
    assert rounded == 3 * [precision == "bf16"]


def test_labelled_images_are_in_every_step_of_every_round(digits, vae, graph):
    rows = balanced_draw(digits.train.labels, 2, (0, 0))
    given = {(image.tobytes(), int(label)) for image, label in pairs_of(digits.train.batch(rows))}
    counts = []

    class Watched(SelfTrainingLoss):
        def __call__(self, model, batch, progress):
            counts.append(sum((image.tobytes(), int(label)) in given for image, label in pairs_of(batch)))
            return super().__call__(model, batch, progress)

    method = SHORT.model_copy(update={"objective": Watched(), "labelled": 12})
    fit(method, digits, vae, graph)
    full = [count for count in counts if count >= 12]
    assert len(full) > 0.9 * len(counts)  # except the last batches of epochs, which are smaller
    assert max(counts) < 24


def pairs_of(batch):
    return zip(batch.x.numpy(), batch.labels, strict=True)


def test_the_temperature_divides_the_finished_networks_logits(digits, vae, graph):
    method = SHORT.model_copy(update={"rounds": (10,)})
    plain, cooled = (fit(method.model_copy(update={"temperature": t}), digits, vae, graph) for t in (1.0, 2.5))
    x = digits.test.batch(torch.arange(50)).x
    with torch.no_grad():
        torch.testing.assert_close(cooled(x), plain(x) / 2.5)


@pytest.mark.parametrize("with_graph", [True, False])
def test_of_many_images_only_a_subset_is_used(digits, vae, graph, with_graph, monkeypatch):
    steps, at_once = [], []

    class Watched(SelfTrainingLoss):
        def __call__(self, model, batch, progress):
            steps.append(len(batch.labels))
            return super().__call__(model, batch, progress)

    take = Images.take
    monkeypatch.setattr(Images, "take", lambda self, rows: (at_once.append(len(rows)), take(self, rows))[1])
    method = SHORT.model_copy(update={"objective": Watched(), "rounds": (3, 5)})
    fit(method, digits, vae, graph if with_graph else None)
    assert steps == 8 * [64]
    assert max(at_once) == 5 * 64 < len(digits.train)
    assert {3 * 64, 5 * 64} <= set(at_once)


def test_labelled_rows_are_always_in_the_subset():
    rows = torch.tensor([3, 70, 71])
    for most in (2, 3, 4, 50):
        subset = _sample_subset(100, rows, most, seed=5)
        assert len(subset) == most
        assert torch.equal(subset, subset.unique())
        assert torch.isin(subset, rows).sum() == min(most, 3)
    assert torch.equal(_sample_subset(100, rows, 100, seed=5), torch.arange(100))
    assert not torch.equal(_sample_subset(100, rows, 50, seed=5), _sample_subset(100, rows, 50, seed=6))


def test_recipes_with_earlier_field_names_are_read():
    old = {
        "spreader": {"kind": "by-labels", "few_labels": {"kind": "poisson-then-spreading", "share": 0.25}},
        "teacher": {"kind": "feature-graph", "share": 0.75},
        "keep": 0.5,
        "keep_own": 0.6,
        "taught": 70,
        "given": 20,
    }
    upgraded = upgrade_recipe({"evaluation": {"self_training": old}})
    assert SelfTraining.model_validate(upgraded["evaluation"]["self_training"]) == SelfTraining(
        propagation=PropagationByLabelCount(few_labels=PoissonThenSpreading(confident_fraction=0.25)),
        pseudo_labeller=GraphPseudoLabels(confident_fraction=0.75),
        graph_fraction=0.5,
        network_fraction=0.6,
        pseudo_labelled=70,
        labelled=20,
    )
