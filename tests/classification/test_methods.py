"""Every method returns a network that predicts as the model it was fitted as, and uses only the labels it is given."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from vaebench.classification.methods import METHODS
from vaebench.data.draws import balanced_draw
from vaebench.evaluation.features import encode


def draw(truth, each=8):
    rows = balanced_draw(truth, each, (0, 0))
    return rows, truth[rows]


def probabilities_of(network, context):
    with torch.no_grad():
        return network(context.images.batch(torch.arange(len(context.images))).x).softmax(1)


def by_scikit_learn(train, labelled, labels):
    """Probabilities of a logistic regression on codes standardised by their mean and overall scale."""
    centre, scale = train.mean(0), np.sqrt(np.square(train - train.mean(0)).mean())
    model = LogisticRegression(C=1.0, max_iter=300, tol=1e-3).fit((labelled - centre) / scale, labels)
    return torch.from_numpy(model.predict_proba((train - centre) / scale)).float()


@pytest.mark.parametrize("classes", [10, 2])
@pytest.mark.parametrize("name", ["pixel-line", "pca-line", "latent-line"])
def test_linear_probes_predict_as_scikit_learn(context, truth, name, classes):
    rows = torch.nonzero(truth < classes)[:60, 0]
    labels = truth[rows]
    pixels = context.images.pixels.flatten(1).numpy().astype(np.float32) / 255
    codes = {
        "pixel-line": lambda: pixels,
        "pca-line": lambda: PCA(8, random_state=0).fit(pixels).transform(pixels),
        "latent-line": lambda: encode(context.vae, context.images).mean.numpy(),
    }[name]()
    expected = by_scikit_learn(codes, codes[rows.numpy()], labels.numpy())
    few_classes = replace(context, classes=classes)
    predicted = probabilities_of(METHODS[name].fit(few_classes, rows, labels, 0), context)
    assert_close(predicted, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", METHODS)
def test_few_labels_give_more_than_chance_and_permuted_ones_do_not(context, truth, name):
    rows, labels = draw(truth)
    correct = probabilities_of(METHODS[name].fit(context, rows, labels, 0), context).argmax(1) == truth
    assert correct.float().mean() > 0.5
    wrong = labels[torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))]
    hidden = torch.ones(len(truth), dtype=torch.bool)
    hidden[rows] = False
    chance = probabilities_of(METHODS[name].fit(context, rows, wrong, 0), context).argmax(1) == truth
    assert chance[hidden].float().mean() < 0.3


@pytest.mark.parametrize("name", METHODS)
def test_the_same_labels_and_seed_give_the_same_network(context, truth, name):
    rows, labels = draw(truth, 2)
    first, second = (METHODS[name].fit(context, rows, labels, 3).state_dict() for _ in range(2))
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.mark.parametrize("name", METHODS)
def test_one_label_a_class_and_no_unlabelled_image_are_enough(context, truth, name):
    rows, labels = draw(truth, 1)
    assert probabilities_of(METHODS[name].fit(context, rows, labels, 0), context).shape == (400, 10)
    rows = torch.cat([torch.nonzero(truth == label)[:2, 0] for label in range(10)]).sort().values
    all_labelled = replace(context, images=context.images.take(rows))
    network = METHODS[name].fit(all_labelled, torch.arange(len(rows)), truth[rows], 0)
    assert torch.isfinite(probabilities_of(network, context)).all()


@pytest.mark.parametrize("name", ["pixel-line", "propagation", "latent-knn"])
def test_a_class_that_a_fold_lacks_is_not_predicted(context, truth, name):
    rows = torch.nonzero(truth < 9)[:60, 0]
    predicted = probabilities_of(METHODS[name].fit(context, rows, truth[rows], 0), context)
    assert not (predicted.argmax(1) == 9).any()
    assert float(predicted[:, 9].max()) < (1e-6 if name != "latent-knn" else 0.1)
