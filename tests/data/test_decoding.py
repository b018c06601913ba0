"""Image files written by the libraries of their formats are read with the values that were written."""

import io
import itertools
from types import SimpleNamespace

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from vaebench.data.decoding import DECODERS, Options, decode, describe
from vaebench.data.image_set import UnreadableImageError
from vaebench.data.tiff import _check_pages, _check_segments

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 65536, (9, 12), np.uint16)
COLOUR = GENERATOR.integers(0, 65536, (9, 12, 3), np.uint16)


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def pillow(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def check(data, expected, kind, white, name="x", options=Options()):  # noqa: B008
    """Read ``data`` and check values, description and kind."""
    raw = decode(data, name, options)
    expected = expected[..., None] if expected.ndim == 2 else expected
    np.testing.assert_array_equal(raw.values, expected)
    assert raw.values.dtype == expected.dtype
    info = raw.format
    assert (info.kind, info.white) == (kind, white)
    assert (info.height, info.width, info.channels) == expected.shape
    described = describe(data, name, options)
    assert described[:5] == info[:5]
    assert (described.notes, described.channel_names) == (info.notes, info.channel_names)
    return info


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_of_every_type_and_byte_order(dtype, byteorder):
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    values = np.linspace(info.min if info else -3, info.max if info else 3, 108).astype(dtype).reshape(9, 12)
    white = float(info.max) if dtype.startswith("u") else 0.0
    check(tiff(values, byteorder=byteorder), values, "grey", white)


def test_tiff_of_16_bit_colours_is_the_same_in_planes_and_together():
    check(tiff(COLOUR, photometric="rgb"), COLOUR, "colour", 65535)
    planes = np.ascontiguousarray(np.moveaxis(COLOUR, 2, 0))
    check(tiff(planes, photometric="rgb", planarconfig="separate"), COLOUR, "colour", 65535)


@pytest.mark.parametrize("samples", [2, 4, 5, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_of_several_samples_keeps_all(samples, planar):
    values = GENERATOR.integers(0, 256, (9, 12, samples), np.uint8)
    stored = values if planar == "contig" else np.ascontiguousarray(np.moveaxis(values, 2, 0))
    check(tiff(stored, photometric="minisblack", planarconfig=planar), values, "channels", 255)


def test_ome_tiff_keeps_channels_and_their_names():
    stored = GENERATOR.integers(0, 4096, (3, 9, 12), np.uint16)
    data = tiff(
        stored, ome=True, photometric="minisblack", metadata={"axes": "CYX", "Channel": {"Name": ["a", "b", "c"]}}
    )
    assert check(data, np.moveaxis(stored, 0, 2), "channels", 65535).channel_names == ("a", "b", "c")


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_stacks_are_refused_or_projected_as_asked(axes):
    stored = GENERATOR.integers(0, 255, (4, 9, 12), np.uint8)
    data = tiff(stored, ome=True, photometric="minisblack", metadata={"axes": axes})
    for read in (decode, describe):
        with pytest.raises(UnreadableImageError, match=f"planes .4 along {axes[0]}., not one image; --projection"):
            read(data, "x.tif")
    expected = {"max": stored.max(0), "first": stored[0], "mean": stored.mean(0, dtype=np.float32)}
    for projection, values in expected.items():
        raw = decode(data, "x.tif", Options(projection=projection))
        np.testing.assert_allclose(raw.values[..., 0], values, rtol=1e-6)
        assert any("with several planes" in note for note in raw.format.notes)


def test_a_stack_of_channels_is_projected_by_channel():
    stored = GENERATOR.integers(0, 255, (4, 2, 9, 12), np.uint8)
    data = tiff(stored, imagej=True, metadata={"axes": "ZCYX"})
    raw = decode(data, "x.tif", Options(projection="max"))
    np.testing.assert_array_equal(raw.values, np.moveaxis(stored.max(0), 0, 2))


def test_white_is_zero_is_inverted():
    for dtype in (np.uint8, np.uint16):
        values = GENERATOR.integers(0, 256, (9, 12)).astype(dtype)
        white = np.iinfo(dtype).max
        check(tiff(values, photometric="miniswhite"), (white - values).astype(dtype), "grey", white)


def test_palettes_are_looked_up():
    indices = GENERATOR.integers(0, 256, (9, 12), np.uint8)
    palette = GENERATOR.integers(0, 65536, (3, 256), np.uint16)
    expected = np.moveaxis(palette[:, indices] >> 8, 0, 2).astype(np.uint8)
    check(tiff(indices, photometric="palette", colormap=palette), expected, "colour", 255)


def test_cmyk_is_converted_as_pillow_does():
    inks = GENERATOR.integers(0, 256, (9, 12, 4), np.uint8)
    expected = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    check(tiff(inks, photometric="separated"), expected, "colour", 255)
    deep = decode(tiff(inks.astype(np.uint16) * 257, photometric="separated"), "x")
    assert np.abs(deep.values / 257 - expected).max() <= 1


def test_opacity_is_laid_on_black():
    colour = GENERATOR.integers(0, 65536, (9, 12, 4), np.uint16)
    expected = np.rint(colour[..., :3] * (colour[..., 3:] / 65535)).astype(np.uint16)
    check(tiff(colour, photometric="rgb", extrasamples=["unassalpha"]), expected, "colour", 65535)
    check(tiff(colour, photometric="rgb", extrasamples=["assocalpha"]), colour[..., :3], "colour", 65535)


def test_no_data_values_are_unknown():
    values = GENERATOR.normal(size=(9, 12)).astype(np.float32)
    values[2, 3] = -9999
    expected = values.copy()
    expected[2, 3] = np.nan
    info = check(tiff(values, extratags=[(42113, "s", 0, "-9999", True)]), expected, "grey", 0)
    assert any("not known" in note for note in info.notes)
    whole = np.arange(108, dtype=np.uint16).reshape(9, 12)
    raw = decode(tiff(whole, extratags=[(42113, "s", 0, "7", True)]), "x")
    assert np.argwhere(np.isnan(raw.values[..., 0])).tolist() == [[0, 7]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_orientation_is_applied(orientation):
    upright = GREY
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    data = tiff(np.ascontiguousarray(stored), extratags=[(274, "H", 1, orientation, True)])
    check(data, upright, "grey", 65535)


def test_strips_without_a_place_are_refused():
    for needed, stated in ((3, 1), (1000, 1), (5000, 5000), (5000, 2500)):
        _check_segments(SimpleNamespace(chunked=(needed, 1), dataoffsets=(8,) * stated))
    with pytest.raises(UnreadableImageError, match="it has 5,000 strips or tiles, and states where 1 are"):
        _check_segments(SimpleNamespace(chunked=(500, 10), dataoffsets=(8,)))


def test_pages_that_lead_back_are_refused():
    pages = [SimpleNamespace(offset=offset) for offset in (8, 200, 400)]
    _check_pages(pages)
    with pytest.raises(UnreadableImageError, match="lead back"):
        _check_pages(itertools.cycle(pages))


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "lzma", "jpeg2000"])
def test_tiff_compressions(compression):
    check(tiff(GREY, compression=compression), GREY, "grey", 65535)


def test_tiff_of_12_bits_states_its_white_level():
    values = (GREY >> 4).astype(np.uint16)
    pairs = values.reshape(9, 6, 2).astype(np.uint32)
    joined = (pairs[..., 0] << 12) | pairs[..., 1]
    rows = np.stack([joined >> 16, (joined >> 8) & 255, joined & 255], -1).astype(np.uint8).tobytes()
    data = bytearray(tiff(np.frombuffer(rows, np.uint8).reshape(9, 18)))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tags = {code: file.pages[0].tags[code].valueoffset for code in (256, 258)}
    data[tags[256] : tags[256] + 2] = (12).to_bytes(2, "little")
    data[tags[258] : tags[258] + 2] = (12).to_bytes(2, "little")
    check(bytes(data), values, "grey", 4095)


def test_bilevel_images_are_black_and_white():
    mask = GENERATOR.random((9, 12)) > 0.5
    expected = mask.astype(np.uint8) * np.uint8(255)
    check(tiff(mask, photometric="minisblack"), expected, "grey", 255)
    check(pillow(Image.fromarray(mask), "PNG"), expected, "grey", 255)


def test_png_of_16_bits():
    check(imagecodecs.png_encode(GREY), GREY, "grey", 65535)
    check(imagecodecs.png_encode(COLOUR), COLOUR, "colour", 65535)
    opaque = np.concatenate([COLOUR, np.full((9, 12, 1), 65535, np.uint16)], -1)
    check(imagecodecs.png_encode(opaque), COLOUR, "colour", 65535)
    half = np.stack([GREY, np.full_like(GREY, 32768)], -1)
    expected = np.rint(GREY * (32768 / 65535)).astype(np.uint16)
    check(imagecodecs.png_encode(half), expected, "grey", 65535)


def test_jpeg_2000_of_16_bits():
    check(imagecodecs.jpeg2k_encode(GREY, level=0), GREY, "grey", 65535, "x.jp2")
    check(imagecodecs.jpeg2k_encode(COLOUR, level=0), COLOUR, "colour", 65535, "x.jp2")


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_10_and_12_bits(bits):
    data = bytes(imagecodecs.avif_encode(COLOUR >> (16 - bits), level=100, bitspersample=bits))
    check(data, COLOUR >> (16 - bits), "colour", 2.0**bits - 1, "x.avif")


@pytest.mark.parametrize(
    ("suffix", "format", "exact"),
    [
        (".jfif", "JPEG", False),
        (".jpe", "JPEG", False),
        (".jp2", "JPEG2000", True),
        (".avif", "AVIF", False),
        (".pgm", "PPM", True),
        (".ppm", "PPM", True),
        (".webp", "WEBP", False),
        (".bmp", "BMP", True),
        (".gif", "GIF", False),
        (".png", "PNG", True),
    ],
)
def test_formats_that_pillow_reads(suffix, format, exact):
    smooth = np.add.outer(np.arange(24) * 5, np.arange(32) * 4).astype(np.uint8)
    values = smooth if suffix == ".pgm" else np.stack([smooth, smooth // 2, 255 - smooth], -1)
    raw = decode(pillow(Image.fromarray(values), format), f"x{suffix}")
    expected = values[..., None] if values.ndim == 2 else values
    assert raw.values.shape == expected.shape
    assert np.abs(raw.values.astype(int) - expected).max() <= (0 if exact else 20)
    assert suffix in DECODERS


def test_pgm_of_16_bits_and_arrays():
    check(b"P5 12 9 65535\n" + GREY.astype(">u2").tobytes(), GREY, "grey", 65535, "x.pgm")
    for array in (GREY, COLOUR.astype(np.float32), GENERATOR.integers(0, 9, (9, 12, 7), np.uint8)):
        file = io.BytesIO()
        np.save(file, array)
        kind = {2: "grey"}.get(array.ndim, "colour" if array.shape[-1] == 3 else "channels")
        check(file.getvalue(), array, kind, float(np.iinfo(array.dtype).max) if array.dtype.kind == "u" else 0, "x.npy")


def test_channels_first_arrays_are_recognised():
    file = io.BytesIO()
    np.save(file, np.moveaxis(COLOUR, 2, 0))
    np.testing.assert_array_equal(decode(file.getvalue(), "x.npy").values, COLOUR)


def test_python_objects_are_not_loaded():
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object))
    with pytest.raises(UnreadableImageError, match="damaged"):
        decode(file.getvalue(), "x.npy")


@pytest.mark.parametrize(
    "data",
    [
        tiff(GREY),
        tiff(COLOUR, photometric="rgb", compression="zlib"),
        imagecodecs.png_encode(COLOUR),
        pillow(Image.fromarray(GREY), "PNG"),
        imagecodecs.jpeg2k_encode(COLOUR, level=0),
    ],
    ids=["tiff", "zlib tiff", "png of 16-bit colours", "png of 16 bits", "jpeg 2000"],
)
def test_damaged_files_are_read_or_refused_with_a_reason(data):
    generator = np.random.default_rng(1)
    reasons = []
    for trial in range(60):
        body = bytearray(data[: len(data) * trial // 60] if trial % 2 else data)
        for _ in range(trial % 5):
            if body:
                body[generator.integers(len(body))] = generator.integers(256)
        for read in (decode, describe):
            try:
                read(bytes(body), "x")
            except UnreadableImageError as error:
                reasons.append(str(error))
    assert len(reasons) > 10
    assert not any("\n" in reason for reason in reasons)


def test_an_image_too_large_as_floats_is_refused_before_it_is_read(monkeypatch):
    """8 bits stay 8 bits; all other types are scaled as floats."""
    monkeypatch.setattr("vaebench.data.tiff.FLOAT_LIMIT", 20 * 30 * 2 * 4)
    for samples, dtype, refused in ((2, np.uint16, False), (3, np.uint16, True), (3, np.uint8, False), (3, bool, True)):
        data = tiff(np.ones((20, 30, samples), dtype), photometric="minisblack", planarconfig="contig")
        if refused:
            with pytest.raises(
                UnreadableImageError, match=rf"is 30 x 20 with 3 channels of type {np.dtype(dtype)}, 0 MB"
            ):
                decode(data, "a.tif")
        else:
            assert decode(data, "a.tif").values.shape == (20, 30, samples)
