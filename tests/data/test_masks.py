"""Pixels that a mask marks as unknown: which files are masks, what becomes of their images, and what is said."""

import json
import re
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from vaebench.classification.collection import collect
from vaebench.cli import main
from vaebench.core.errors import VaebenchError
from vaebench.data.datasets import Data
from vaebench.data.loading import load_images
from vaebench.data.masks import mask_files
from vaebench.data.opening import open_images
from vaebench.data.reading import Reading

COUNT = 12
GREY = np.random.default_rng(0).integers(0, 256, (COUNT, 10, 9), np.uint8)
KNOWN = np.random.default_rng(1).random((COUNT, 10, 9)) > 0.3
EXPECTED = np.where(KNOWN, GREY / np.float32(255), np.float32(np.nan))
"""Pixels that the images must have."""


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write(folder, name="{}.png", mask="masks/{}.png", *, images=GREY, known=KNOWN):
    """Write images and masks of 0 and 255 with these names, and return their folder."""
    for row, (image, pixels) in enumerate(zip(images, known, strict=True)):
        save(folder / name.format(f"{row:02}"), image)
        save(folder / mask.format(f"{row:02}"), np.where(pixels, np.uint8(255), np.uint8(0)))
    return folder


def pixels_of(loaded):
    return loaded.train.pixels.numpy()


def said(loaded):
    return "; ".join(loaded.warnings)


@pytest.mark.parametrize(
    ("name", "mask", "masks"),
    [
        ("{}.png", "masks/{}.png", "."),
        ("{}.png", "masks/{}.bmp", "masks"),
        ("{}.png", "areas/{}.png", "areas"),
        ("images/{}.png", "masks/{}.png", "."),
        ("images/{}.png", "masks/{}_mask.png", "masks"),
        ("images/{}.png", "segmentation/{}.png", "."),
        ("{}.png", "{}_mask.png", "."),
        ("{}.png", "{}.mask.png", "."),
        ("img/a/{}.png", "mask/a/{}.png", "."),
        ("train/images/{}.png", "train/masks/{}.png", "."),
        ("{}.png", "../elsewhere/any/{}_mask.png", "../elsewhere"),
    ],
)
def test_a_mask_is_that_of_the_image_of_its_name(tmp_path, name, mask, masks):
    folder = write(tmp_path / "in", name, mask)
    loaded = load_images(folder, Reading(masks=str(folder / masks)))
    np.testing.assert_array_equal(pixels_of(loaded), EXPECTED[:, None])
    assert loaded.train.classes in ((), ("a",))
    assert f"{COUNT} images with a mask that states which pixels are known" in said(loaded)
    assert "no image" not in said(loaded)


def test_unknown_pixels_of_a_batch_are_those_of_the_mask(tmp_path):
    train = load_images(write(tmp_path), Reading(masks=str(tmp_path / "masks"))).train
    batch = train.batch(torch.arange(COUNT))
    np.testing.assert_array_equal(batch.known[:, 0].numpy(), KNOWN)
    np.testing.assert_array_equal(batch.x[:, 0].numpy(), np.where(KNOWN, GREY / np.float32(255), 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nothing_depends_on_what_stands_under_a_mask(tmp_path, dtype):
    loaded = []
    for hidden in (0, np.iinfo(dtype).max):
        images = np.where(KNOWN, GREY.astype(dtype) * 9 % 251, dtype(hidden))
        folder = write(tmp_path / str(hidden), images=images)
        loaded.append(load_images(folder, Reading(masks=str(folder))))
    assert loaded[0].rule == loaded[1].rule
    assert loaded[0].train.fingerprint() == loaded[1].train.fingerprint()
    assert loaded[0].warnings == loaded[1].warnings
    assert loaded[0].inspection.warnings == loaded[1].inspection.warnings


def test_a_resized_pixel_that_an_unknown_one_contributes_to_is_unknown(tmp_path):
    known = np.ones((COUNT, 20, 20), bool)
    known[:, :4, :4] = False
    write(tmp_path, images=np.repeat(np.repeat(GREY[:, :, :5], 2, 1), 4, 2), known=known)
    pixels = pixels_of(load_images(tmp_path, Reading(side=10, masks=str(tmp_path / "masks"))))
    unknown = np.isnan(pixels[:, 0])
    assert unknown[:, :2, :2].all()
    assert not unknown[:, 4:].any()
    assert not unknown[:, :, 4:].any()


def test_images_in_colour_are_unknown_in_all_channels(tmp_path):
    colour = np.random.default_rng(2).integers(0, 256, (COUNT, 10, 9, 3), np.uint8)
    write(tmp_path, images=colour)
    pixels = pixels_of(load_images(tmp_path, Reading(masks=str(tmp_path / "masks"))))
    np.testing.assert_array_equal(np.isnan(pixels), np.broadcast_to(~KNOWN[:, None], pixels.shape))
    np.testing.assert_array_equal(
        np.nan_to_num(pixels), np.moveaxis(np.where(KNOWN[..., None], colour / np.float32(255), 0), 3, 1)
    )


@pytest.mark.parametrize(
    ("name", "mask", "classes"),
    [
        ("images/{}.png", "masks/{}.png", ()),
        ("{}.png", "{}_mask.png", ()),
        ("cat/{}.png", "cat/{}_mask_1.png", ()),
        ("train/images/{}.png", "train/masks/{}.png", ()),
        ("{}.png", "masks/{}.png", ()),
    ],
)
def test_masks_are_no_images_without_the_option(tmp_path, name, mask, classes):
    loaded = load_images(write(tmp_path / "in", name, mask))
    assert loaded.train.classes == classes
    np.testing.assert_array_equal(pixels_of(loaded), GREY[:, None])
    assert f"{COUNT} files are masks by their names and not read, for example {mask.format('00')}" in said(loaded)


def test_masks_in_an_archive(tmp_path):
    folder = write(tmp_path / "in", "images/{}.png")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    loaded = load_images(tmp_path / "in.zip", Reading(masks=str(tmp_path / "in.zip")))
    np.testing.assert_array_equal(pixels_of(loaded), EXPECTED[:, None])


def test_classes_may_be_called_mask(tmp_path):
    for row in range(COUNT):
        save(tmp_path / "mask" / f"{row}.png", GREY[row])
        save(tmp_path / "no_mask" / f"{row}.png", GREY[row].T[:9, :9])
    loaded = load_images(tmp_path)
    assert loaded.train.classes == ("mask", "no_mask")
    assert len(loaded.train) == 2 * COUNT
    assert "masks" not in said(loaded)


def test_files_of_any_names_without_their_images_are_no_masks():
    files = [("a_mask.png",), ("b.png",), ("masks", "c.png"), ("d", "e_mask.png"), ("e.png",)]
    assert mask_files(files) == frozenset()
    assert mask_files([*files, ("a.jpg",), ("c.tif",)]) == {("a_mask.png",), ("masks", "c.png")}


def test_images_without_a_mask_are_known_and_masks_without_an_image_named(tmp_path):
    write(tmp_path)
    (tmp_path / "masks" / "03.png").rename(tmp_path / "masks" / "other.png")
    loaded = load_images(tmp_path, Reading(masks=str(tmp_path / "masks")))
    assert not np.isnan(pixels_of(loaded)[3]).any()
    assert f"11 of {COUNT} images have a mask in masks; all pixels of the others are known" in said(loaded)
    assert "1 mask matches no image: other.png" in said(loaded)


def grey(pixels):
    return np.where(pixels, np.uint8(255), np.uint8(0))


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (grey(KNOWN[0, :9]), r"02\.png: is 9 x 10, but its mask 9 x 9"),
        (grey(KNOWN[0]) * (np.arange(9) > 4) + np.uint8(3), r"a mask of several values other than 0"),
        (np.zeros((10, 9), np.uint8), r"0 everywhere: no pixel is known"),
        (np.stack([grey(KNOWN[0]), 0 * GREY[0], 0 * GREY[0]], -1), r"a mask in colour"),
    ],
)
def test_an_image_whose_mask_does_not_fit_is_left_out_by_name(tmp_path, mask, reason):
    write(tmp_path)
    save(tmp_path / "masks" / "02.png", mask)
    loaded = load_images(tmp_path, Reading(masks=str(tmp_path / "masks")))
    assert len(loaded.train) == COUNT - 1
    sentence = next(each for each in loaded.warnings if "left out" in each)
    assert "1 image left out, for example 02.png" in sentence
    assert re.search(reason, sentence)


def test_a_damaged_mask_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "masks" / "02.png").write_bytes(b"no image")
    loaded = load_images(tmp_path, Reading(masks=str(tmp_path / "masks")))
    assert "02.png: has a mask that is not an image" in said(loaded)


def test_masks_with_losses_are_refused(tmp_path):
    write(tmp_path, mask="masks/{}.jpg")
    with pytest.raises(VaebenchError, match=r"none of its 12 images can be read.*several values other than 0"):
        load_images(tmp_path, Reading(masks=str(tmp_path / "masks")))


def test_mistakes_end_in_a_sentence(tmp_path):
    folder = write(tmp_path / "in")
    save(tmp_path / "other" / "x.png", GREY[0])
    np.save(tmp_path / "images.npy", GREY)
    save(folder / "masks" / "03.bmp", GREY[0])
    for path, masks, message in (
        (folder, tmp_path / "nowhere", "nowhere does not exist"),
        (folder, tmp_path / "other", "none of its 1 masks, such as x.png, has the name of an image"),
        (folder, folder / "masks", r"two masks of the image 03\.png: 03\.bmp and 03\.png"),
        (tmp_path / "other", tmp_path / "other", "has no mask; expected NAME_mask.png beside NAME.png"),
        (tmp_path / "images.npy", tmp_path / "images.npy", "the file of the images; expected another one"),
    ):
        with pytest.raises(VaebenchError, match=message) as caught, open_images(path, masks=masks):
            pass
        assert "\n" not in str(caught.value)


def test_arrays_of_masks(tmp_path):
    np.save(tmp_path / "images.npy", GREY)
    np.save(tmp_path / "masks.npy", KNOWN)
    loaded = load_images(tmp_path / "images.npy", Reading(masks=str(tmp_path / "masks.npy")))
    np.testing.assert_array_equal(pixels_of(loaded), EXPECTED[:, None])


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_an_array_called_known_is_the_mask_of_its_part(tmp_path, kind):
    path = tmp_path / "a.npz"
    known = {"known_train": KNOWN.astype(kind), "test_known": (~KNOWN[:5]).astype(kind)}
    np.savez(path, x_train=GREY, y_train=np.arange(COUNT) % 2, x_test=GREY[:5], y_test=[0, 1, 0, 1, 0], **known)
    loaded = load_images(path)
    np.testing.assert_array_equal(pixels_of(loaded), EXPECTED[:, None])
    expected = np.where(KNOWN[:5], np.float32(np.nan), GREY[:5] / np.float32(255))
    np.testing.assert_array_equal(loaded.test.pixels.numpy()[:, 0], expected)
    assert "not used" not in said(loaded)


def test_an_array_called_mask_is_not_guessed_at(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY, masks=KNOWN)
    loaded = load_images(tmp_path / "a.npz")
    np.testing.assert_array_equal(pixels_of(loaded), GREY[:, None])
    assert "'masks' is not used; an array that is 0 where a pixel is not known is called known" in said(loaded)


def test_an_array_called_known_of_another_shape_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY, known=KNOWN[:, :5])
    with pytest.raises(VaebenchError, match=r"known has shape \(12, 5, 9\), but images \(12, 10, 9\)"):
        load_images(tmp_path / "a.npz")


def test_masks_reach_run_classify_and_inspect(tmp_path, capsys):
    folder = tmp_path / "in"
    for label, rows in (("a", range(6)), ("b", range(6, 12))):
        write(folder / label, "{}.png", f"../../areas/{label}/{{}}.png", images=GREY[rows], known=KNOWN[rows])
    areas = str(tmp_path / "areas")
    dataset = Data(source=str(folder), masks=areas).load()
    assert dataset.train.incomplete
    collection = collect(folder, Reading(masks=areas), tmp_path / "work" / "inner", lambda task, done: None)
    np.testing.assert_array_equal(collection.images.pixels.numpy(), EXPECTED[:, None])
    without = collect(folder, Reading(), tmp_path / "work" / "inner", lambda task, done: None)
    assert without.images.pixels.dtype == torch.uint8
    assert main(["inspect", str(folder), "--masks", areas, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert "unknown-pixels" in [each["kind"] for each in result["warnings"]]
    assert result["rule"]["high"] == [255.0]


def test_the_range_of_values_is_that_of_the_known_pixels(tmp_path):
    values = GREY.astype(np.uint16) * 10 + 1000
    write(tmp_path, images=np.where(KNOWN, values, np.uint16(65535)))
    rule = load_images(tmp_path, Reading(masks=str(tmp_path / "masks"))).rule
    assert rule.white == 4095
    np.testing.assert_allclose([*rule.low, *rule.high], np.percentile(values[KNOWN], [0.1, 99.9]), rtol=1e-6)
