"""Every method becomes a network that answers as the reader it was made of, and reads no label but those given."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from vaebench.classification.methods import METHODS
from vaebench.data.images import balanced_draw
from vaebench.evaluation.features import encode


def draw(truth, each=8):
    rows = balanced_draw(truth, each, (0, 0))
    return rows, truth[rows]


def answers(network, bench):
    with torch.no_grad():
        return network(bench.images.batch(torch.arange(len(bench.images))).x).softmax(1)


def by_scikit_learn(train, few, labels):
    """Probabilities of a logistic regression on codes that are centred and of one scale."""
    centre, scale = train.mean(0), np.sqrt(np.square(train - train.mean(0)).mean())
    model = LogisticRegression(C=1.0, max_iter=300, tol=1e-3).fit((few - centre) / scale, labels)
    return torch.from_numpy(model.predict_proba((train - centre) / scale)).float()


@pytest.mark.parametrize("classes", [10, 2])
@pytest.mark.parametrize("name", ["pixel-line", "pca-line", "latent-line"])
def test_lines_answer_as_scikit_learn(bench, truth, name, classes):
    rows = torch.nonzero(truth < classes)[:60, 0]
    labels = truth[rows]
    pixels = bench.images.pixels.flatten(1).numpy().astype(np.float32) / 255
    codes = {
        "pixel-line": lambda: pixels,
        "pca-line": lambda: PCA(8, random_state=0).fit(pixels).transform(pixels),
        "latent-line": lambda: encode(bench.vae, bench.images).mean.numpy(),
    }[name]()
    expected = by_scikit_learn(codes, codes[rows.numpy()], labels.numpy())
    few = replace(bench, classes=classes)
    found = answers(METHODS[name].fit(few, rows, labels, 0), bench)
    assert_close(found, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", METHODS)
def test_a_few_labels_teach_more_than_chance_and_permuted_ones_do_not(bench, truth, name):
    rows, labels = draw(truth)
    right = answers(METHODS[name].fit(bench, rows, labels, 0), bench).argmax(1) == truth
    assert right.float().mean() > 0.5
    wrong = labels[torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))]
    hidden = torch.ones(len(truth), dtype=torch.bool)
    hidden[rows] = False
    chance = answers(METHODS[name].fit(bench, rows, wrong, 0), bench).argmax(1) == truth
    assert chance[hidden].float().mean() < 0.3


@pytest.mark.parametrize("name", METHODS)
def test_the_same_labels_and_seed_give_the_same_network(bench, truth, name):
    rows, labels = draw(truth, 2)
    first, second = (METHODS[name].fit(bench, rows, labels, 3).state_dict() for _ in range(2))
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.mark.parametrize("name", METHODS)
def test_one_label_a_class_and_no_unlabelled_image_are_enough(bench, truth, name):
    rows, labels = draw(truth, 1)
    assert answers(METHODS[name].fit(bench, rows, labels, 0), bench).shape == (400, 10)
    rows = torch.cat([torch.nonzero(truth == label)[:2, 0] for label in range(10)]).sort().values
    all_labelled = replace(bench, images=bench.images.take(rows))
    network = METHODS[name].fit(all_labelled, torch.arange(len(rows)), truth[rows], 0)
    assert torch.isfinite(answers(network, bench)).all()


def test_a_class_that_a_fold_lacks_is_not_answered(bench, truth):
    rows = torch.nonzero(truth < 9)[:60, 0]
    found = answers(METHODS["pixel-line"].fit(bench, rows, truth[rows], 0), bench)
    assert float(found[:, 9].max()) < 1e-6
