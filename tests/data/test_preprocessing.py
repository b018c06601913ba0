"""Preprocessing of images of any size, type and orientation; unreadable files are left out with a reason."""

import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from vaebench.data import decoding
from vaebench.data import survey as surveying
from vaebench.data.blocks import _header, read_pixels, write_pixels
from vaebench.data.listing import list_folder, open_contents
from vaebench.data.opening import NamedImages, open_images
from vaebench.data.pictures import thumbnail
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.data.survey import choose_rule, survey

ORIENTATION = 0x0112


def read(folder, rule=None, side=None):
    """Pixels, names, skipped files, rule and notes of a folder."""
    target = folder.parent / "pixels.npy"
    with open_images(folder) as images:
        seen = survey(images)
        rule = rule or choose_rule(seen, side)
        names, damaged, _ = write_pixels(images, rule, target)
    return read_pixels(target), names, seen.skipped | damaged, rule, seen.notes


def save(folder, name, image, **options):
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / name, **options)
    return folder / name


def gradient(width, height):
    """Image that gets brighter to the right and slightly to the bottom."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray((200 * across / width + 40 * down / height).astype(np.uint8))


def test_small_images_of_one_size_keep_their_pixels(tmp_path, draw):
    paths = [draw(tmp_path / "in" / f"{i}.png", (20, 12), seed=i) for i in range(3)]
    pixels, names, skipped, rule, notes = read(tmp_path / "in")
    assert (rule.width, rule.height, rule.channels) == (20, 12, 1)
    np.testing.assert_array_equal(pixels[:, 0], np.stack([np.asarray(Image.open(path)) for path in paths]))
    assert (names, skipped, notes) == (["0.png", "1.png", "2.png"], {}, {})


def test_other_sizes_fit_into_a_square_without_cropping(tmp_path):
    save(tmp_path / "in", "wide.png", Image.new("L", (200, 100), 255))
    save(tmp_path / "in", "high.png", Image.new("L", (50, 100), 255))
    pixels, names, *_ = read(tmp_path / "in")
    assert pixels.shape == (2, 1, 32, 32)
    high, wide = pixels[names.index("high.png"), 0], pixels[names.index("wide.png"), 0]
    assert (wide[8:24] == 255).all()
    assert (wide[:8] == 0).all()
    assert (wide[24:] == 0).all()
    assert (high[:, 8:24] == 255).all()
    assert (high[:, :8] == 0).all()
    assert (high[:, 24:] == 0).all()


@pytest.mark.parametrize(("side", "expected"), [(None, 12), (16, 16)])
def test_the_side_is_the_median_of_small_images_or_as_requested(tmp_path, draw, side, expected):
    for i, size in enumerate([(12, 12), (12, 11), (10, 12)]):
        draw(tmp_path / "in" / f"{i}.png", size)
    assert read(tmp_path / "in", side=side)[0].shape == (3, 1, expected, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_images_upright(tmp_path, orientation):
    upright = gradient(32, 32)
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(inverse[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    save(tmp_path / "in", "a.png", stored, exif=exif)
    pixels, *_, notes = read(tmp_path / "in")
    np.testing.assert_array_equal(pixels[0, 0], np.asarray(upright))
    assert notes == ({"turned by EXIF": 1} if orientation > 1 else {})


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_the_size_of_a_turned_image_is_that_of_the_upright_one(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    save(tmp_path / "in", f"a.{suffix}", gradient(24, 16), exif=exif)
    rule = read(tmp_path / "in")[3]
    assert (rule.width, rule.height) == ((16, 24) if orientation > 4 else (24, 16))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_by_percentiles_of_the_set(tmp_path, suffix):
    levels = np.arange(1000, 5096).astype(np.uint16).reshape(64, 64)
    save(tmp_path / "in", f"deep.{suffix}", Image.fromarray(levels))
    pixels, _, _, rule, notes = read(tmp_path / "in")
    low, high = np.percentile(levels, [0.1, 99.9])
    assert (rule.low, rule.high) == ((pytest.approx(low),), (pytest.approx(high),))
    assert rule.unit == rule.white == 8191
    np.testing.assert_allclose(pixels[0, 0], np.clip((levels - low) / (high - low), 0, 1), atol=1e-6)
    assert notes == {"with more than 8 bits": 1}


def test_a_rule_for_8_bits_reads_16_bits_alike(tmp_path):
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    save(tmp_path / "in", "8.png", Image.fromarray(levels))
    save(tmp_path / "in", "16.png", Image.fromarray(levels.astype(np.uint16) * 257))
    pixels, *_ = read(tmp_path / "in", PreprocessingRule(height=8, width=8, channels=1))
    np.testing.assert_array_equal(pixels[:, 0], np.stack([levels, levels]))


def test_a_rule_for_16_bits_reads_8_bits_alike(tmp_path):
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    save(tmp_path / "in", "8.png", Image.fromarray(levels))
    save(tmp_path / "in", "16.png", Image.fromarray(levels.astype(np.uint16) * 257))
    rule = PreprocessingRule(height=8, width=8, channels=1, low=(2570.0,), high=(51400.0,), unit=65535.0)
    pixels, *_ = read(tmp_path / "in", rule)
    expected = np.clip((levels.astype(float) * 257 - 2570) / (51400 - 2570), 0, 1)
    np.testing.assert_allclose(pixels[:, 0], np.stack([expected, expected]), atol=1e-6)


def test_floats_keep_their_precision_and_unknown_pixels_stay_unknown(tmp_path):
    values = np.random.default_rng(0).normal(500, 100, (40, 40)).astype(np.float32)
    values[3, 5] = np.nan
    save(tmp_path / "in", "a.tif", Image.fromarray(values))
    pixels, _, _, rule, _ = read(tmp_path / "in")
    low, high = np.nanpercentile(values, [0.1, 99.9])
    np.testing.assert_allclose(pixels[0, 0], np.clip((values - low) / (high - low), 0, 1), atol=1e-6)
    assert np.isnan(pixels).sum() == 1
    assert rule.unit == 0


def test_floats_from_0_to_1_are_taken_as_they_are(tmp_path):
    values = np.linspace(0.1, 0.9, 64, dtype=np.float32).reshape(8, 8)
    save(tmp_path / "in", "a.tif", Image.fromarray(values))
    np.testing.assert_array_equal(read(tmp_path / "in")[0][0, 0], values)


def test_floats_among_8_bit_images_are_read_from_0_to_1_or_left_out(tmp_path, draw):
    draw(tmp_path / "in" / "8.png")
    save(tmp_path / "in", "good.tif", Image.fromarray(np.full((8, 8), 0.5, np.float32)))
    save(tmp_path / "in", "bad.tif", Image.fromarray(np.full((8, 8), 3.0, np.float32)))
    pixels, names, skipped, *_ = read(tmp_path / "in", PreprocessingRule(height=8, width=8, channels=1))
    assert names == ["8.png", "good.tif"]
    assert (pixels[1] == 128).all()
    assert skipped == {"bad.tif": "has values of type float32 outside 0 to 1"}


def test_black_and_white_stored_as_0_and_1_is_black_and_white(tmp_path):
    mask = (np.arange(64).reshape(8, 8) % 3 == 0).astype(np.uint8)
    save(tmp_path / "in", "a.png", Image.fromarray(mask))
    np.testing.assert_array_equal(read(tmp_path / "in")[0][0, 0], mask)


def test_grey_stored_as_colour_is_grey(tmp_path, draw):
    draw(tmp_path / "in" / "a.png")
    with Image.open(tmp_path / "in" / "a.png") as grey:
        expected = np.asarray(grey)
        grey.convert("RGB").save(tmp_path / "in" / "a.png")
    pixels, *_ = read(tmp_path / "in")
    assert pixels.shape == (1, 1, 8, 8)
    np.testing.assert_array_equal(pixels[0, 0], expected)


def test_transparent_parts_are_black_and_one_colour_image_makes_all_images_colour(tmp_path):
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    half.paste((255, 0, 0, 255), (0, 0, 4, 8))
    save(tmp_path / "in", "half.png", half)
    save(tmp_path / "in", "grey.png", Image.new("L", (8, 8), 100))
    pixels, names, *_ = read(tmp_path / "in")
    assert pixels.shape == (2, 3, 8, 8)
    red = pixels[names.index("half.png")]
    assert (red[0, :, :4] == 255).all()
    assert (red[:, :, 4:] == 0).all()
    assert (red[1:] == 0).all()
    assert (pixels[names.index("grey.png")] == 100).all()


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("L", (8, 8), level) for level in (10, 200)]
    save(tmp_path / "in", "film.gif", frames[0], save_all=True, append_images=frames[1:])
    pixels, *_, notes = read(tmp_path / "in")
    assert (pixels == 10).all()
    assert notes == {"with several frames, of which the first is taken": 1}


def test_unreadable_files_are_skipped_with_a_reason(tmp_path, draw, monkeypatch):
    monkeypatch.setattr(decoding, "PIXEL_LIMIT", 5000)
    folder = tmp_path / "in"
    good = draw(folder / "good.png")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("no image at all")
    whole = io.BytesIO()
    gradient(60, 60).save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    save(folder, "huge.png", Image.new("L", (100, 51)))
    (folder / "broken.png").symlink_to(folder / "gone.png")
    (folder / "again.png").symlink_to(good)
    pixels, names, skipped, *_ = read(folder)
    assert names == ["again.png", "good.png"]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert skipped["empty.jpg"] == "is empty"
    assert skipped["text.png"].startswith("is not an image that can be read")
    assert skipped["cut.jpg"].startswith("is damaged")
    assert skipped["huge.png"] == "is 100 x 51, over the limit of 5,000 pixels"
    assert skipped["broken.png"] == "is a broken link, or was removed"
    assert len(skipped) == 5


def test_a_link_to_an_enclosing_folder_is_not_followed(tmp_path, draw):
    draw(tmp_path / "in" / "a" / "1.png")
    (tmp_path / "in" / "a" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "b").symlink_to(tmp_path / "in" / "a")
    files = list_folder(tmp_path / "in", 20)
    assert files.images == (("a", "1.png"), ("b", "1.png"))


def test_names_of_any_bytes_are_kept(tmp_path, draw):
    folder = tmp_path / "in"
    for name in ("a,b.png", 'say "x".png', "two\nlines.png", "<script>.png", os.fsdecode(b"\xff.png")):
        draw(folder / name)
    assert sorted(read(folder)[1]) == sorted(os.listdir(folder))


def test_a_large_jpeg_is_decoded_at_low_resolution_accurately(tmp_path):
    save(tmp_path / "in", "a.jpg", gradient(1600, 1600), quality=95)
    pixels, *_ = read(tmp_path / "in")
    exact = np.asarray(gradient(1600, 1600).resize((32, 32), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(pixels[0, 0].astype(int) - exact).max() <= 3


def test_the_header_of_a_pixel_file_has_constant_length():
    rule = PreprocessingRule(height=32, width=32, channels=3)
    assert {len(_header(count, rule)) for count in (0, 9, 10**6, 10**12)} == {len(_header(1, rule))}


def test_blocks_keep_their_order(tmp_path, draw, monkeypatch):
    monkeypatch.setattr(surveying, "BLOCK", 2)
    monkeypatch.setattr(surveying, "THREADS", 2)
    paths = [draw(tmp_path / "in" / f"{i:02}.png", seed=i) for i in range(11)]
    (tmp_path / "in" / "05.png").write_bytes(b"broken")
    pixels, names, skipped, *_ = read(tmp_path / "in")
    readable = [path for path in paths if path.name != "05.png"]
    assert names == [path.name for path in readable]
    assert list(skipped) == ["05.png"]
    np.testing.assert_array_equal(pixels[:, 0], np.stack([np.asarray(Image.open(path)) for path in readable]))


def test_thumbnails_are_enlarged_or_reduced(tmp_path, draw):
    draw(tmp_path / "in" / "small.png", (8, 8))
    save(tmp_path / "in", "large.png", Image.new("RGB", (400, 200), (9, 9, 9)))
    rule = PreprocessingRule(height=8, width=8, channels=3)
    with open_images(tmp_path / "in") as images:
        large, small = (thumbnail(images, row, rule, 96) for row in (0, 1))
    assert (large.size, small.size) == ((96, 48), (96, 96))


def test_single_files_are_read_without_listing(tmp_path, draw, monkeypatch):
    draw(tmp_path / "in" / "deep" / "a.png")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(tmp_path / "in" / "deep" / "a.png", "deep\\a.png")
    expected = (tmp_path / "in" / "deep" / "a.png").read_bytes()
    monkeypatch.setattr(os, "walk", lambda *args, **kwargs: pytest.fail("listed a folder for one file"))
    for path in (tmp_path / "in", tmp_path / "in.zip"):
        assert open_contents(path)[0](("deep", "a.png")) == expected
        images = NamedImages(path).select(["deep/a.png"])
        assert images.names == ("deep/a.png",)
        assert images.read(0).values.shape == (8, 8, 1)


def test_the_rule_describes_the_preprocessing():
    assert "EXIF" in PreprocessingRule(height=32, width=32, channels=3).description
    assert "scaled to fit 32 x 16 pixels" in PreprocessingRule(height=16, width=32, channels=1).description
