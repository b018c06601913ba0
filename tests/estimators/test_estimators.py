"""The estimators in scikit-learn's checks and tools, and the examples of their docstrings."""

import doctest

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import vaebench as vb
from vaebench.estimators import SemiSupervisedVAEClassifier, VAEClassifier, VAETransformer, classifiers
from vaebench.estimators import transformer as transformer_module
from vaebench.estimators.transformer import PixelScaler

SMALL = VAETransformer(latent=4, epochs=15, batch_size=32, learning_rate=1e-2, random_state=0, n_jobs=1)
WAIVED = {
    "SemiSupervisedVAEClassifier": {
        "check_classifiers_classes": "it uses -1 as a class, which here marks unlabelled rows, as in scikit-learn; "
        "scikit-learn excepts its own three semi-supervised estimators by their names",
    }
}


@parametrize_with_checks(
    [
        SMALL,
        VAEClassifier(SMALL, random_state=0),
        SemiSupervisedVAEClassifier(4, epochs=10, steps=(120, 60), batch_size=32, random_state=0, n_jobs=1),
    ],
    expected_failed_checks=lambda estimator: WAIVED.get(type(estimator).__name__, {}),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("module", [classifiers, transformer_module], ids=lambda module: module.__name__)
def test_examples_of_docstrings_run(module):
    result = doctest.testmod(module)
    assert result.attempted >= 6
    assert result.failed == 0


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def transformer(digits):
    torch.set_num_threads(1)
    return VAETransformer(8, image_shape=(8, 8), epochs=40, random_state=0, n_jobs=1).fit(digits[0])


def semi(**changes):
    settings = {"image_shape": (8, 8), "epochs": 10, "steps": (80, 80), "random_state": 0, "n_jobs": 1, **changes}
    return SemiSupervisedVAEClassifier(8, **settings)


def few(y, each=5):
    """All but a few labels of each class hidden."""
    hidden = np.full_like(y, -1)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)[:each]
        hidden[rows] = label
    return hidden


def test_codes_decode_to_something_like_the_images(transformer, digits):
    X = digits[0]
    found = transformer.inverse_transform(transformer.transform(X))
    assert found.shape == X.shape
    assert np.square(found - X).mean() < 0.36 * np.square(X - X.mean(0)).mean()
    assert 0 <= found.min() <= found.max() <= 16


def test_digits_score_higher_than_noise(transformer, digits):
    X = digits[0]
    noise = np.random.default_rng(0).permuted(X, axis=1)
    assert transformer.score(X) == pytest.approx(transformer.score_samples(X).mean())
    assert transformer.score_samples(X[:200]).mean() > transformer.score_samples(noise[:200]).mean() + 10


def test_the_score_is_a_bound_that_more_samples_of_the_same_rows_do_not_change(transformer, digits):
    X = digits[0]
    np.testing.assert_allclose(transformer.score_samples(X[:50])[10:20], transformer.score_samples(X[10:20]))


def test_samples_are_rows_on_the_scale_of_the_data_and_follow_the_seed(transformer):
    first, again = (transformer.sample(5, random_state=3) for _ in range(2))
    assert first.shape == (5, 64)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, transformer.sample(5, random_state=4))


def test_set_output_gives_named_columns(transformer, digits):
    pandas = pytest.importorskip("pandas")
    frame = clone(transformer).set_params(epochs=1).set_output(transform="pandas").fit_transform(digits[0][:50])
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == [f"vaetransformer{i}" for i in range(8)]


@pytest.mark.parametrize("shape", [(8, 9), (2, 8, 8), (8,)])
def test_a_shape_that_does_not_fit_is_refused(digits, shape):
    with pytest.raises(ValueError, match=r"image_shape is .*, but X has 64 features"):
        VAETransformer(image_shape=shape).fit(digits[0])


@pytest.mark.parametrize(
    ("image_shape", "shape", "channels_last"),
    [
        (28, (1, 28, 28), False),
        (np.int64(8), (1, 8, 8), False),
        ((28, 20), (1, 28, 20), False),
        ((3, 32, 32), (3, 32, 32), False),
        ((32, 32, 3), (3, 32, 32), True),
        ([32, 24, 13], (13, 32, 24), True),
        ((28, 28, 1), (1, 28, 28), True),
        ((1, 8, 3), (1, 8, 3), False),
        ((8, 8, 3), (3, 8, 8), True),
        ((3, 8, 8), (3, 8, 8), False),
        ((12, 8, 8), (12, 8, 8), False),
        ((3, 8, 10), (3, 8, 10), False),
        ((20, 28, 28), (20, 28, 28), False),
    ],
)
def test_orders_of_an_image_shape(image_shape, shape, channels_last):
    pixels = PixelScaler(np.zeros((1, int(np.prod(shape)))), image_shape)
    assert (pixels.shape, pixels.channels_last) == (shape, channels_last)


@pytest.mark.parametrize("image_shape", [(8, 10, 3), (64, 48, 40), (64, 8, 8)])
def test_an_ambiguous_image_shape_is_refused(image_shape):
    with pytest.raises(ValueError, match="in which either the first or the last may be the channels"):
        PixelScaler(np.zeros((1, int(np.prod(image_shape)))), image_shape)


def test_channels_may_be_last():
    images = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3)).astype(np.uint8)
    first, last = images.transpose(0, 3, 1, 2).reshape(40, -1), images.reshape(40, -1)
    settings = {"epochs": 1, "random_state": 0, "n_jobs": 1}
    by_first = VAETransformer(2, image_shape=(3, 20, 20), **settings).fit(first)
    by_last = VAETransformer(2, image_shape=(20, 20, 3), **settings).fit(last)
    codes = by_first.transform(first)
    np.testing.assert_array_equal(by_last.transform(last), codes)
    rows = by_first.inverse_transform(codes).reshape(40, 3, 20, 20).transpose(0, 2, 3, 1).reshape(40, -1)
    np.testing.assert_array_equal(by_last.inverse_transform(codes), rows)
    np.testing.assert_allclose(by_last.pixels_.to_rows(by_last.pixels_.to_pixels(last)), last)


def test_codes_of_another_width_are_refused(transformer):
    with pytest.raises(ValueError, match=r"X has shape \(3, 7\); expected codes \(n, 8\)"):
        transformer.inverse_transform(np.zeros((3, 7)))


def test_progress_is_printed_only_if_verbose(digits, capfd):
    X = digits[0][:100]
    VAETransformer(2, epochs=2, random_state=0, n_jobs=1).fit(X)
    assert capfd.readouterr() == ("", "")
    VAETransformer(2, epochs=2, random_state=0, n_jobs=1, verbose=True).fit(X)
    assert "[VAETransformer] epoch 2, loss" in capfd.readouterr().err


def test_pipelines_grids_and_cross_validation(digits):
    X, y = digits[0][:300], digits[1][:300]
    pipe = make_pipeline(FunctionTransformer(lambda X: X / 16), VAEClassifier(clone(SMALL), random_state=0))
    assert cross_val_score(pipe, X, y, cv=2).mean() > 0.4
    latents = {"transformer__latent": [1, 8]}
    grid = GridSearchCV(VAEClassifier(clone(SMALL), random_state=0), latents, cv=2).fit(X, y)
    assert grid.best_params_ == {"transformer__latent": 8}


def test_few_labels_with_the_rest_unlabelled_beat_few_labels_alone(digits):
    X, y = digits
    hidden = few(y)
    found = semi().fit(X, hidden)
    rest = hidden == -1
    ours = (found.predict(X[rest]) == y[rest]).mean()
    np.testing.assert_array_equal(found.transduction_, found.predict(X))
    alone = VAEClassifier(VAETransformer(8, image_shape=(8, 8), epochs=10, n_jobs=1), random_state=0)
    plain = (alone.fit(X[~rest], y[~rest]).predict(X[rest]) == y[rest]).mean()
    assert ours > 0.85
    assert ours > plain + 0.1
    assert list(found.classes_) == list(range(10))


def test_labels_that_are_hidden_are_never_read(digits):
    X, y = digits[0][:200], digits[1][:200]
    names = np.array([f"digit {label}" for label in y], dtype=object)
    by_number = semi(steps=(10, 10), epochs=2).fit(X, y)
    by_name = semi(steps=(10, 10), epochs=2).fit(X, names)
    np.testing.assert_array_equal(by_number.predict_proba(X), by_name.predict_proba(X))
    assert set(by_name.predict(X)) <= set(names)


def test_the_range_of_rows_is_that_of_the_data():
    X = np.random.default_rng(0).normal(size=(60, 5)) * 3 + 100
    found = VAETransformer(2, epochs=2, random_state=0, n_jobs=1).fit(X)
    assert X.min() <= found.sample(20).min() <= found.sample(20).max() <= X.max()
    np.testing.assert_allclose(found.pixels_.to_rows(found.pixels_.to_pixels(X)), X, atol=0.05)
    for values, high in ((X.astype(np.uint8), 255), (X - X.min(), (X - X.min()).max()), (X * 0.009, 1.0)):
        assert VAETransformer(2, epochs=1, n_jobs=1).fit(values).pixels_.span == pytest.approx(high)


HIDDEN_LABELS = {
    "None": lambda names, rest: np.where(rest, None, names.astype(object)),
    "empty": lambda names, rest: np.where(rest, "", names),
    "-1 as text": lambda names, rest: np.where(rest, "-1", names),
    "-1 among texts": lambda names, rest: np.where(rest, -1, names.astype(object)),
    "NaN": lambda names, rest: np.where(rest, np.nan, names.astype(object)),
    "a list": lambda names, rest: [None if hidden else name for name, hidden in zip(names, rest, strict=True)],
    "pandas": lambda names, rest: pd.Series(np.where(rest, None, names.astype(object))),
    "pandas strings": lambda names, rest: pd.Series(np.where(rest, None, names.astype(object)), dtype="string"),
}


@pytest.mark.parametrize("hide", HIDDEN_LABELS.values(), ids=HIDDEN_LABELS)
def test_texts_may_be_missing(digits, hide):
    X, y = digits[0][:120], digits[1][:120] % 3
    rest = np.arange(120) >= 40
    settings = {"steps": (5, 5), "epochs": 1}
    by_number = semi(**settings).fit(X, np.where(rest, -1, y))
    by_name = semi(**settings).fit(X, hide(np.array(["cat", "dog", "owl"])[y], rest))
    assert list(by_name.classes_) == ["cat", "dog", "owl"]
    np.testing.assert_array_equal(by_name.predict_proba(X), by_number.predict_proba(X))


def test_rows_without_a_text_train_the_vae_of_a_classifier_only(digits):
    X, y = digits[0][:120], np.array(["cat", "dog", "owl"])[digits[1][:120] % 3].astype(object)
    y[40:] = None
    found = VAEClassifier(clone(SMALL).set_params(epochs=2), random_state=0).fit(X, y)
    assert list(found.classes_) == ["cat", "dog", "owl"]
    np.testing.assert_array_equal(
        found.transformer_.transform(X), clone(SMALL).set_params(epochs=2).fit(X).transform(X)
    )


def test_numbers_in_objects_may_be_missing(digits):
    X, y = digits[0][:60], digits[1][:60].astype(object)
    y[20:] = None
    found = semi(steps=(5,), epochs=1).fit(X, y)
    assert found.classes_.dtype.kind == "i"
    assert set(found.classes_) == set(digits[1][:20])


def test_texts_and_numbers_are_refused(digits):
    y = np.array(["cat", 3, None, "dog"], dtype=object)
    with pytest.raises(ValueError, match="y has the labels 'cat' and 3; expected texts or numbers, not both"):
        semi().fit(digits[0][:4], y)


def test_all_unlabelled_is_refused(digits):
    with pytest.raises(ValueError, match=r"y has 0 class; expected at least 2 besides -1"):
        semi().fit(digits[0][:50], np.full(50, -1))


def test_estimators_are_public():
    assert vb.VAETransformer is VAETransformer
    assert vb.SemiSupervisedVAEClassifier is SemiSupervisedVAEClassifier
    assert callable(vb.classify)
    import vaebench.classification.job

    assert vb.classify is vaebench.classification.job.classify


def test_steps_that_are_no_sequence_are_refused():
    images = load_digits().data[:60]
    classifier = SemiSupervisedVAEClassifier(4, image_shape=(8, 8), epochs=1, steps=20)
    with pytest.raises(ValueError, match="steps is 20; expected the steps of each round"):
        classifier.fit(images, load_digits().target[:60])
