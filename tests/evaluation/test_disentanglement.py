"""Scores of codes with known disentanglement: perfect, rotated, doubled, constant, noise."""

import numpy as np
import pytest

from vaebench.evaluation.disentanglement import (
    SCORES,
    FactorCodes,
    dci,
    disentanglement,
    mutual_information,
    mutual_information_gap,
)

SIZES = (3, 4, 8, 6)


def grid(seed=0):
    every = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), -1).reshape(-1, len(SIZES))
    return np.random.default_rng(seed).permutation(every)


def perfect(extra=2):
    """One standardised latent per factor, and inactive latents."""
    factors = grid()
    codes = (factors - factors.mean(0)) / factors.std(0)
    still = 0.01 * np.random.default_rng(1).standard_normal((len(factors), extra))
    return FactorCodes(np.concatenate([codes, still], 1), factors)


def rotated():
    """The perfect code, rotated so that every latent mixes all factors."""
    coded = perfect(0)
    q, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((4, 4)))
    return FactorCodes(coded.codes @ q, coded.factors)


def noise():
    factors = grid()
    return FactorCodes(np.random.default_rng(2).standard_normal((len(factors), 5)), factors)


@pytest.fixture(scope="module")
def scores():
    return {make.__name__: disentanglement(make()) for make in (perfect, rotated, noise)}


def test_a_perfect_code_scores_one(scores):
    for name, value in scores["perfect"].items():
        if name != "separated_attribute_predictability":
            assert value > 0.95, name
    chance = np.mean([1 / size for size in SIZES])  # what a latent that tells nothing gets
    assert scores["perfect"]["separated_attribute_predictability"] > 0.9 * (1 - chance)


def test_a_rotated_code_is_informative_but_not_disentangled(scores):
    for name in ("mutual_information_gap", "separated_attribute_predictability"):
        assert scores["rotated"][name] < 0.4 * scores["perfect"][name], name
    for name in ("dci_disentanglement", "dci_completeness"):
        assert scores["rotated"][name] < 0.6, name
    for name in ("beta_vae_score", "factor_vae_score"):  # they are blind to it, as their docstrings say
        assert scores["rotated"][name] > 0.95, name
    assert scores["rotated"]["dci_informativeness"] > 0.5
    assert scores["rotated"]["dci_informativeness"] > 2 * scores["noise"]["dci_informativeness"]


def test_noise_scores_at_chance(scores):
    chance = 1 / len(SIZES)
    assert scores["noise"]["mutual_information_gap"] < 0.05
    assert scores["noise"]["separated_attribute_predictability"] < 0.08
    assert abs(scores["noise"]["beta_vae_score"] - chance) < 0.12
    assert abs(scores["noise"]["factor_vae_score"] - chance) < 0.12
    assert scores["noise"]["dci_disentanglement"] < 0.15
    assert abs(scores["noise"]["dci_informativeness"] - np.mean([1 / size for size in SIZES])) < 0.1


def test_mutual_information_by_hand():
    factors = np.array([[0], [0], [1], [1]])
    coded = FactorCodes(np.array([[0.0, 0.0, 5.0], [0.0, 1.0, 5.0], [1.0, 0.0, 5.0], [1.0, 1.0, 5.0]]), factors)
    assert mutual_information(coded)[:, 0] == pytest.approx([np.log(2), 0, 0])
    assert mutual_information_gap(coded, 0) == pytest.approx(1.0)
    twice = FactorCodes(np.repeat(coded.codes[:, :1], 2, 1), factors)
    assert mutual_information_gap(twice, 0) == pytest.approx(0.0)


def test_two_latents_for_one_factor_are_disentangled_but_not_complete():
    coded = perfect(0)
    doubled = FactorCodes(np.concatenate([coded.codes, coded.codes], 1), coded.factors)
    scores = dci(doubled, 0)
    assert scores["disentanglement"] > 0.95
    assert scores["completeness"] < 0.85
    assert mutual_information_gap(doubled, 0) == pytest.approx(0, abs=1e-9)


def test_codes_of_combinations_of_factors():
    coded = perfect()
    rows = np.random.default_rng(0).integers(0, len(coded.factors), 50)
    assert np.array_equal(coded.codes_of(coded.factors[rows]), coded.codes[rows])


@pytest.mark.parametrize("name", SCORES)
def test_a_constant_code_scores_at_most_chance(name):
    factors = grid()
    score = SCORES[name](FactorCodes(np.zeros((len(factors), 3)), factors), 0)
    assert score <= 1 / len(SIZES) + 0.1


@pytest.mark.parametrize("name", SCORES)
def test_the_same_seed_gives_the_same_score(name):
    assert SCORES[name](rotated(), 4) == SCORES[name](rotated(), 4)
