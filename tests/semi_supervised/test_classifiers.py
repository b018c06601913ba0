"""Semi-supervised classifiers: that they learn, which labels they read, and their training written out."""

import numpy as np
import pytest
import torch

from vaebench.data.images import HIDDEN, Images, MixedSource, UnlabelledSource
from vaebench.models.networks import MLP
from vaebench.semi_supervised.classifiers import SEMI_SUPERVISED, SemiSupervised
from vaebench.training.compute import Compute
from vaebench.training.loop import train
from vaebench.training.prediction import predict_with

COMPUTE = Compute(device="cpu", precision="fp32", threads=1)
ROWS = torch.tensor([0, 1, 4, 7])


def images(seed=0, count=160):
    """Two classes: the upper or the lower half is bright."""
    labels = torch.arange(count) % 2
    pixels = np.random.default_rng(seed).integers(0, 90, (count, 1, 4, 4))
    for half in (0, 1):
        pixels[labels.numpy() == half, :, 2 * half : 2 * half + 2] += 160
    return Images(torch.from_numpy(pixels.astype(np.uint8)), labels, ("upper", "lower"))


def method(kind, **fields):
    defaults = SEMI_SUPERVISED[kind]()
    small = {"latent": 2, "network": MLP(hidden=(16,)), "classifier": MLP(hidden=(16,)), "features": 16}
    model = defaults.model
    model = model.model_copy(update={name: value for name, value in small.items() if name in type(model).model_fields})
    training = defaults.training.model_copy(update={"epochs": 1, "batch": 32})
    steps = 150 if defaults.labelled_fraction else defaults.least_steps  # the bottleneck averages its weights
    return defaults.model_copy(update={"model": model, "training": training, "least_steps": steps, **fields})


def partly_labelled(source, hidden=HIDDEN):
    labels = torch.full_like(source.labels, hidden)
    labels[ROWS] = source.labels[ROWS]
    return source.with_labels(labels)


@pytest.mark.parametrize("kind", SEMI_SUPERVISED)
def test_it_learns_and_is_reproducible(kind):
    assert isinstance(method(kind), SemiSupervised)
    test = images(seed=1)
    first, second = (method(kind).fit(partly_labelled(images()), 2, 3, COMPUTE)(test) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.allclose(first.sum(1), torch.ones(len(test)))
    assert (first.argmax(1) == test.labels).double().mean() > 0.9


@pytest.mark.parametrize("kind", ["m2", "adgm"])
def test_the_training_is_that_of_a_mixed_source(kind):
    chosen, source, test = method(kind, labelled_fraction=0.125), partly_labelled(images()), images(seed=1)
    torch.manual_seed(3)
    network = chosen.model.build((1, 4, 4), 2)
    few = images().take(ROWS)
    training = chosen.training.model_copy(update={"epochs": 30})  # 5 steps each
    mixed = MixedSource(few, UnlabelledSource(images()), labelled_per_batch=4)
    train(network, chosen.objective, mixed, training, compute=COMPUTE, seed=3)
    assert torch.equal(chosen.fit(source, 2, 3, COMPUTE)(test), predict_with(network, 3, COMPUTE)(test))


def test_the_bottleneck_is_trained_on_the_labelled_images_alone():
    source = method("information-bottleneck").training_source(partly_labelled(images()))
    assert torch.equal(source.pixels, images().pixels[ROWS])
    assert torch.equal(source.labels, images().labels[ROWS])


@pytest.mark.parametrize("kind", ["m2", "adgm"])
def test_unlabelled_images_are_learned_from(kind):
    other = images()
    other = Images(other.pixels.clone(), other.labels, other.classes)
    hidden = torch.ones(len(other), dtype=torch.bool)
    hidden[ROWS] = False
    other.pixels[hidden] = 255 - other.pixels[hidden]
    test = images(seed=1)
    first, second = (method(kind).fit(partly_labelled(each), 2, 0, COMPUTE)(test) for each in (images(), other))
    assert not torch.equal(first, second)
