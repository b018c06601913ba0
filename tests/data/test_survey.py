"""The rule chosen for a set of images, and the sentences about what it leaves out, guesses or scales."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from vaebench.core.errors import VaebenchError
from vaebench.data import survey
from vaebench.data.blocks import write_pixels
from vaebench.data.loading import load_images
from vaebench.data.opening import open_images
from vaebench.data.preprocessing import TINT
from vaebench.data.reading import Reading
from vaebench.data.survey import rule_for_new

COUNT = 12
SQUARES = np.random.default_rng(0).integers(0, 256, (COUNT, 10, 10)).astype(np.uint8)
SQUARES[:, 0, 0] = 255


@pytest.fixture
def folder(tmp_path):
    """Function that writes arrays as TIFF files of two classes and returns the folder."""

    def write(arrays, **options):
        for i, array in enumerate(arrays):
            path = tmp_path / "in" / "ab"[i % 2] / f"{i:02}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array, **options)
        return tmp_path / "in"

    return write


def in_class_order(array):
    """Arrays in the order in which the files of the two classes are read."""
    return np.concatenate([array[::2], array[1::2]])


def said(loaded):
    return "; ".join(loaded.warnings)


@pytest.mark.parametrize("samples", [2, 5])
def test_every_channel_has_its_own_scale(folder, samples):
    values = np.stack([SQUARES >> k for k in range(samples)], -1)
    loaded = load_images(folder(values, photometric="minisblack", planarconfig="contig"))
    assert loaded.train.shape == (samples, 10, 10)
    low, high = np.percentile(values.reshape(-1, samples), [0.1, 99.9], axis=0)
    expected = np.clip((values - low) / (high - low), 0, 1)
    np.testing.assert_allclose(
        loaded.train.pixels.numpy(), np.moveaxis(in_class_order(expected), 3, 1).astype(np.float32), atol=1e-5
    )
    assert f"images have {samples} channels: channel 1, channel 2" in said(loaded)
    assert "channel 2: 0 to 127" in said(loaded)


def test_channels_of_ome_files_keep_their_names_and_a_constant_one_is_said(folder):
    one = SQUARES.astype(np.uint16)
    values = np.stack([one * 0 + 37, one * 16, one * 9], 1)
    metadata = {"axes": "CYX", "Channel": {"Name": ["bright", "green", "red"]}}
    loaded = load_images(folder(values, photometric="minisblack", ome=True, metadata=metadata))
    assert loaded.rule.channel_names == ("bright", "green", "red")
    assert (loaded.train.pixels[:, 0] == 0).all()
    assert (loaded.train.pixels[:, 1] - loaded.train.pixels[:, 2]).abs().max() < 0.01
    assert "one value in all sampled images: bright" in said(loaded)


def test_deep_colours_share_one_scale_in_whatever_order_they_are_stored(folder, tmp_path):
    one = SQUARES.astype(np.uint16)
    planes = np.stack([one * 257, one * 128, one * 64], 1)
    loaded = load_images(folder(planes, photometric="rgb", planarconfig="separate"))
    joined = load_images(folder(np.moveaxis(planes, 1, 3), photometric="rgb"))
    np.testing.assert_array_equal(loaded.train.pixels.numpy(), joined.train.pixels.numpy())
    np.testing.assert_allclose(
        loaded.train.pixels.numpy(), (in_class_order(planes) / 65535).astype(np.float32), atol=1e-4
    )


def test_12_bits_stored_in_16_look_like_8(folder):
    loaded = load_images(folder(np.stack([SQUARES.astype(np.uint16) * 16] * 3, -1), photometric="rgb"))
    assert loaded.train.shape == (1, 10, 10)
    np.testing.assert_allclose(loaded.train.pixels[:, 0].numpy(), in_class_order(SQUARES) / 255, atol=1e-3)
    assert "all sampled images of three colours are grey" in said(loaded)
    assert "with more than 8 bits" in said(loaded)


def test_unknown_pixels_are_said(folder):
    values = SQUARES.astype(np.float32)
    values[:, 3:5, 3:5] = np.nan
    loaded = load_images(folder(values))
    assert np.isnan(loaded.train.pixels[:, 0].numpy()).sum() == 4 * COUNT
    assert "12 images of those sampled have pixels that are not known" in said(loaded)


def test_stacks_are_left_out_with_what_to_do_or_projected(folder):
    values = np.stack([SQUARES, SQUARES // 2, SQUARES // 4], 1)
    path = folder(values, photometric="minisblack", ome=True, metadata={"axes": "ZYX"})
    with pytest.raises(
        VaebenchError,
        match=r"none of its 12 images can be read; 12 for one reason: it is a stack .* --projection max",
    ):
        load_images(path)
    loaded = load_images(path, Reading(projection="max"))
    np.testing.assert_array_equal(loaded.train.pixels[:, 0].numpy(), in_class_order(SQUARES))
    assert "12 images with several planes, reduced to their maximum" in said(loaded)


def test_the_size_can_be_chosen(folder):
    loaded = load_images(folder(SQUARES), Reading(side=16))
    assert loaded.train.shape == (1, 16, 16)
    assert "images of 10 x 10 pixels are scaled to fit 16 x 16" in said(loaded)


def test_clean_images_are_read_without_a_word(folder):
    assert load_images(folder(SQUARES)).warnings == ()


@pytest.mark.parametrize(("factor", "white"), [(257, 65535), (16, 4095)])
def test_new_images_of_16_bits_meet_a_rule_for_8_bits(folder, factor, white):
    rule = load_images(folder(SQUARES)).rule
    with open_images(folder(SQUARES.astype(np.uint16) * factor)) as images:
        adapted = rule_for_new(rule, images)
        pixels = np.stack([adapted.pixels(images.read(row)) for row in range(COUNT)])
    assert adapted.white == white
    assert np.abs(pixels[:, 0].astype(int) - in_class_order(SQUARES)).max() <= 1


def test_a_single_image_is_a_set_of_one(tmp_path):
    Image.fromarray(SQUARES[0]).save(tmp_path / "one.png")
    with open_images(tmp_path / "one.png") as images:
        assert images.names == ("one.png",)
        np.testing.assert_array_equal(images.read(0).values[..., 0], SQUARES[0])


@pytest.mark.parametrize("name", ["gone", "notes.txt"])
def test_other_paths_are_refused(tmp_path, name):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with (
        pytest.raises(VaebenchError, match=r"expected a folder, an archive|does not exist"),
        open_images(tmp_path / name),
    ):
        pass


def test_most_images_may_be_missing(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    Image.fromarray(SQUARES[0]).save(tmp_path / "here.png")
    cells = [{"bytes": None, "path": name} for name in ("here.png", "gone 1.png", "gone 2.png", "gone 3.png")]
    parquet.write_table(pa.table({"image": cells}), tmp_path / "images.parquet")
    loaded = load_images(tmp_path / "images.parquet")
    assert len(loaded.train) == 1
    for number in (1, 2, 3):
        assert f"its file gone {number}.png does not exist" in said(loaded)
    cells += [{"bytes": None, "path": f"gone {number}.png"} for number in range(4, 10)]
    parquet.write_table(pa.table({"image": cells}), tmp_path / "images.parquet")
    assert "4 images more left out; vaebench inspect --json names each with its reason" in said(
        load_images(tmp_path / "images.parquet")
    )
    parquet.write_table(pa.table({"image": cells[1:]}), tmp_path / "images.parquet")
    with pytest.raises(VaebenchError, match="none of its 9 images can be read"):
        load_images(tmp_path / "images.parquet")


def test_colours_that_the_sample_did_not_show_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "SAMPLE", 2)
    for row, array in enumerate(SQUARES):
        Image.fromarray(np.stack([array] * 3, -1)).save(tmp_path / f"{row:02}.png")
    Image.fromarray(np.stack([SQUARES[0], SQUARES[1], SQUARES[2]], -1)).save(tmp_path / "05.png")
    loaded = load_images(tmp_path)
    assert loaded.train.shape == (1, 10, 10)
    assert "1 image in colour is read as grey, as those sampled are grey, for example 05.png" in loaded.warnings
    with open_images(tmp_path) as images:
        written = write_pixels(images, loaded.rule, tmp_path / "pixels.npy")
    assert written.greyed == ["05.png"]


def smooth(seed):
    """A smooth grey picture, as photographs are."""
    small = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8))
    return small.resize((40, 40), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("suffix", ["avif", "webp", "jpg", "jp2"])
@pytest.mark.parametrize("tint", [0, 2])
def test_grey_images_in_lossy_formats_are_grey(tmp_path, suffix, tint):
    for row in range(COUNT):
        grey = np.asarray(smooth(row)).clip(5, 250)
        colour = np.stack([grey, grey, grey + (np.arange(40) % 8 == 0) * np.uint8(tint)], -1).astype(np.uint8)
        Image.fromarray(colour).save(tmp_path / f"{row:02}.{suffix}", quality=80)
    stored = np.stack([np.asarray(Image.open(path).convert("RGB"), int) for path in sorted(tmp_path.iterdir())])
    tinted = int((stored.max(3) - stored.min(3)).any((1, 2)).sum())
    assert (stored.max(3) - stored.min(3)).max() <= TINT
    loaded = load_images(tmp_path)
    assert loaded.train.shape[0] == 1
    sentence = f"{tinted} images of those sampled have channels differing by at most {TINT} of 255 levels"
    assert (sentence in said(loaded)) == (tinted > 1)
    assert "in colour" not in said(loaded)


@pytest.mark.parametrize(("suffix", "levels"), [("png", 1), ("avif", 40)])
def test_faint_colours_without_losses_and_strong_ones_stay_colours(tmp_path, suffix, levels):
    for row in range(COUNT):
        grey = np.asarray(smooth(row)).clip(0, 255 - levels)
        Image.fromarray(np.stack([grey, grey, grey + np.uint8(levels)], -1)).save(tmp_path / f"{row:02}.{suffix}")
    assert load_images(tmp_path).train.shape[0] == 3
