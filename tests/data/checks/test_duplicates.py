"""Duplicates: exact against comparing all pairs, near ones by copies of known difference."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

from vaebench.data.checks.duplicates import (
    CANDIDATES,
    candidate_pairs,
    confirmed_pairs,
    differing,
    equal_groups,
    nearly_equal,
)
from vaebench.data.checks.measures import measure, measure_pixels, reduced


def test_groups_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 40, 60).astype(np.uint64)
    rows = np.flatnonzero(rng.random(60) < 0.8)
    groups = equal_groups(hashes, rows)
    expected = {}
    for row in rows:
        expected.setdefault(int(hashes[row]), []).append(int(row))
    assert [groups.members(g).tolist() for g in range(len(groups))] == [m for m in expected.values() if len(m) > 1]


def test_groups_of_several_labels():
    hashes = np.array([7, 7, 8, 8, 9, 9, 5], np.uint64)
    labels = np.array([0, 1, 2, 2, -1, 3, 4])
    groups = equal_groups(hashes, np.arange(7))
    assert groups.mixed(labels).tolist() == [True, False, False]
    assert equal_groups(hashes, np.array([0, 2])).mixed(labels).tolist() == []
    assert differing(np.array([0, 1]), labels).tolist() == [0, 1]
    assert differing(np.array([4, 5]), labels).tolist() == [4, 5]


def test_sections_are_means_of_equal_areas():
    image = np.arange(16 * 18, dtype=np.float32).reshape(1, 16, 18)
    expected = image.reshape(1, 8, 2, 9, 2).mean((2, 4))
    np.testing.assert_allclose(reduced(image), expected, rtol=1e-5)
    assert reduced(np.ones((2, 5, 3), np.float32)) == pytest.approx(np.ones((2, 8, 9)))


def smooth(number, side=32, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (number, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.moveaxis(np.asarray(Image.fromarray(s).resize((side, side), 3)), 2, 0) for s in small])


def test_copies_with_noise_are_near_and_others_are_not():
    images = smooth(400)
    noise = np.random.default_rng(1).normal(0, 3, (50, *images.shape[1:]))
    copies = np.clip(images[:50] + noise, 0, 255).astype(np.uint8)
    pixels = np.concatenate([images, copies])
    pairs, more = candidate_pairs(measure(pixels), np.arange(450))
    confirmed = confirmed_pairs(pairs, lambda rows: pixels[rows])
    assert more == 0
    assert sorted(map(tuple, confirmed.tolist())) == [(row, 400 + row) for row in range(50)]


def test_equal_images_are_found_without_comparing_all_pairs():
    pixels = np.repeat(smooth(1), 10_000, axis=0)
    pairs, more = candidate_pairs(measure(pixels), np.arange(10_000))
    assert len(pairs) == CANDIDATES
    assert more > 0
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_no_rows_and_one_row():
    measures = measure(smooth(3))
    for rows in (np.zeros(0, int), np.array([1])):
        pairs, more = candidate_pairs(measures, rows)
        assert (pairs.shape, more) == ((0, 2), 0)
        assert len(equal_groups(measures.pixel_hash, rows)) == 0
        assert confirmed_pairs(pairs, lambda rows: smooth(3)[rows]).shape == (0, 2)


def test_unknown_pixels_are_no_reason_to_be_equal():
    first = np.full((1, 1, 8, 9), np.nan, np.float32)
    assert nearly_equal(first, first).tolist() == [False]


def test_measures_of_blocks_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr("vaebench.data.checks.measures.PIXELS_BLOCK", 10_000)
    pixels = smooth(20)
    rows = np.arange(0, 40, 2)
    parts, whole = measure_pixels(pixels, rows, 40), measure(pixels)
    for part, each in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(part[rows], each)
    assert not parts.known[1::2].any()


def jpeg(image, quality):
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data))


@pytest.mark.parametrize(("name", "most", "found_at_least"), [("mnist", 0, 450), ("fashion-mnist", 6, 450)])
def test_ordinary_digits_are_no_near_duplicates_and_saved_copies_are(name, most, found_at_least, real_data):
    path = real_data / name / "t10k-images-idx3-ubyte.gz"
    images = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    copies = np.stack([jpeg(image, 95) for image in images[:500]])
    pixels = np.concatenate([images, copies])[:, None]
    measures = measure_pixels(pixels, np.arange(len(pixels)), len(pixels))
    pairs, _ = candidate_pairs(measures, np.arange(len(pixels)))
    confirmed = confirmed_pairs(pairs, lambda rows: pixels[rows])
    is_copy = confirmed[:, 1] - confirmed[:, 0] == len(images)
    assert (~is_copy).sum() <= most
    assert is_copy.sum() >= found_at_least
