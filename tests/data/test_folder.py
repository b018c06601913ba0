import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vaebench.core.errors import VaebenchError
from vaebench.data import folder, listing
from vaebench.data.folder import read_folder, read_zip


def silent(what, share):
    pass


def zipped(source, target):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(source.rglob("*")):
            archive.write(path, path.relative_to(source).as_posix())
    return target


@pytest.fixture(params=["folder", "zip"])
def read(request, tmp_path):
    """Reads a folder as it is, or zipped."""
    if request.param == "folder":
        return lambda path: read_folder(path, silent)
    return lambda path: read_zip(zipped(path, tmp_path / f"{path.name}.zip"), silent)


@pytest.fixture
def pets(tmp_path, draw):
    for label, name in enumerate(("cat", "dog")):
        for i in range(4):
            draw(tmp_path / "pets" / name / f"{i}.png", seed=10 * label + i)
    return tmp_path / "pets"


def pixels_of(*paths):
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def test_class_folders_become_labels(read, pets):
    loaded = read(pets)
    assert loaded.name == "pets"
    assert loaded.test is None
    assert loaded.train.classes == ("cat", "dog")
    assert loaded.train.labels.tolist() == [0] * 4 + [1] * 4
    expected = pixels_of(*[pets / name / f"{i}.png" for name in ("cat", "dog") for i in range(4)])
    np.testing.assert_array_equal(loaded.train.pixels[:, 0].numpy(), expected)
    assert loaded.note == ""


def test_train_and_test_are_kept_apart(read, tmp_path, draw):
    for i, name in enumerate(("train/a/1", "train/a/2", "train/b/1", "test/b/1")):
        draw(tmp_path / "mine" / f"{name}.png", seed=i, mode="RGB")
    loaded = read(tmp_path / "mine")
    assert loaded.train.labels.tolist() == [0, 0, 1]
    assert loaded.test.labels.tolist() == [1]
    assert loaded.test.classes == ("a", "b")
    assert loaded.train.shape == (3, 8, 8)
    np.testing.assert_array_equal(
        loaded.test.pixels[0].numpy(),
        np.moveaxis(np.asarray(Image.open(tmp_path / "mine/test/b/1.png")), 2, 0),
    )


def test_images_side_by_side_have_no_labels(read, tmp_path, draw):
    for i in range(3):
        draw(tmp_path / "flat" / f"{i}.png", seed=i)
    train = read(tmp_path / "flat").train
    assert train.classes == ()
    assert train.labels.tolist() == [-1] * 3


@pytest.mark.parametrize("outer", ["pets", "download/pets"])
def test_outer_folders_are_looked_through(read, tmp_path, draw, outer):
    for name in ("cat/1", "dog/1"):
        draw(tmp_path / "mine" / outer / f"{name}.png")
    assert read(tmp_path / "mine").train.classes == ("cat", "dog")


def test_a_zip_of_one_flat_folder_has_no_labels(read, tmp_path, draw):
    for i in range(3):
        draw(tmp_path / "mine" / "scans" / f"{i}.png", seed=i)
    assert read(tmp_path / "mine").train.classes == ()


def test_hidden_and_other_files_are_skipped(read, pets, draw):
    draw(pets / "cat" / ".hidden.png")
    draw(pets / "__MACOSX" / "cat" / "1.png")
    draw(pets / ".git" / "x.png")
    (pets / "cat" / "notes.txt").write_text("meow")
    (pets / "README").write_text("pets")
    assert len(read(pets).train) == 8


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp", "PNG", "JPG"])
def test_every_format_is_read(read, tmp_path, draw, suffix):
    for name in ("a/1", "b/1"):
        draw(tmp_path / "mine" / f"{name}.{suffix}", mode="RGB")
    loaded = read(tmp_path / "mine")
    assert loaded.train.shape == (3, 8, 8)
    assert ("JPEG" in loaded.note) == suffix.lower().startswith("jp")


def test_one_colour_image_makes_all_colour(read, tmp_path, draw):
    draw(tmp_path / "mine" / "1.png")
    draw(tmp_path / "mine" / "2.png", mode="RGB")
    pixels = read(tmp_path / "mine").train.pixels
    assert pixels.shape == (2, 3, 8, 8)
    assert (pixels[0] == pixels[0, :1]).all()


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 3), ("LA", 1)])
def test_transparent_parts_are_laid_on_black(read, tmp_path, mode, channels):
    pixels = np.full((4, 4, channels + 1), 200, np.uint8)
    pixels[:2, :, -1], pixels[2:, :, -1] = 0, 255
    (tmp_path / "mine").mkdir()
    Image.fromarray(pixels).save(tmp_path / "mine" / "1.png")
    found = read(tmp_path / "mine").train.pixels
    assert found.shape[1] == channels
    assert (found[0, :, :2] == 0).all()
    assert (found[0, :, 2:] == 200).all()


def test_progress_ends_at_one(pets):
    told = []
    read_folder(pets, lambda *news: told.append(news))
    assert told[-1] == ("reading pets", 1.0)


def test_rows_keep_their_order_across_threads(tmp_path, draw, monkeypatch):
    monkeypatch.setattr(folder, "BLOCK", 2)
    monkeypatch.setattr(folder, "THREADS", 4)
    paths = [draw(tmp_path / "mine" / f"{i:02}.png", seed=i) for i in range(25)]
    found = read_folder(tmp_path / "mine", silent).train.pixels[:, 0].numpy()
    np.testing.assert_array_equal(found, pixels_of(*paths))


def test_class_folders_may_be_links(tmp_path, pets):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cat").symlink_to(pets / "cat")
    (tmp_path / "mine" / "dog").symlink_to(pets / "dog")
    assert len(read_folder(tmp_path / "mine", silent).train) == 8


def refused(read, path, *said):
    with pytest.raises(VaebenchError) as caught:
        read(path)
    for part in said:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mixed_sizes_name_both_files(read, pets, draw):
    draw(pets / "dog" / "9.png", size=(10, 7))
    refused(read, pets, "dog/9.png is 10x7", "cat/0.png is 8x8")


def test_an_unreadable_image_is_named(read, pets):
    (pets / "dog" / "2.png").write_bytes(b"no image")
    refused(read, pets, "dog/2.png cannot be read")


def test_a_cut_image_is_named(read, pets):
    whole = (pets / "dog" / "2.png").read_bytes()
    (pets / "dog" / "2.png").write_bytes(whole[: len(whole) // 2])
    refused(read, pets, "dog/2.png cannot be read")


def test_sixteen_bits_are_refused_not_cut(read, pets):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(pets / "dog" / "2.png")
    refused(read, pets, "dog/2.png", "more than 8 bits")


def test_an_empty_class_folder_is_named(read, pets):
    (pets / "bird").mkdir()
    refused(read, pets, "pets", "/bird holds no image")


def test_one_class_beside_an_empty_one_is_not_taken_for_an_outer_folder(read, tmp_path, draw):
    draw(tmp_path / "mine" / "cat" / "1.png")
    (tmp_path / "mine" / "dog").mkdir()
    refused(read, tmp_path / "mine", "dog holds no image")


def test_a_folder_without_images_is_named(read, tmp_path):
    (tmp_path / "mine").mkdir()
    refused(read, tmp_path / "mine", "mine", "holds no image", ".png")


def test_images_beside_class_folders_are_named(read, pets, draw):
    draw(pets / "stray.png")
    refused(read, pets, "stray.png lies beside class folders")


def test_images_deeper_than_a_class_are_named(read, pets, draw):
    draw(pets / "cat" / "old" / "1.png")
    refused(read, pets, "cat/old/1.png lies deeper")


def test_a_third_part_is_not_taken_for_a_class(read, tmp_path, draw):
    for name in ("train/a/1", "test/a/1", "val/a/1"):
        draw(tmp_path / "mine" / f"{name}.png")
    refused(read, tmp_path / "mine", "val lies beside train and test")


def test_an_empty_test_part_is_named(read, tmp_path, draw):
    draw(tmp_path / "mine" / "train" / "a" / "1.png")
    (tmp_path / "mine" / "test").mkdir()
    refused(read, tmp_path / "mine", "test holds no image")


@pytest.mark.parametrize(
    ("other", "said"), [("test/c/1", "class 'c', which train has not"), ("test/1", "no class folders")]
)
def test_a_test_part_unlike_train_is_refused(read, tmp_path, draw, other, said):
    for name in ("train/a/1", "train/b/1", other):
        draw(tmp_path / "mine" / f"{name}.png")
    refused(read, tmp_path / "mine", "test has " + said, "a, b")


def test_an_encrypted_zip_is_named(tmp_path, pets):
    path = zipped(pets, tmp_path / "mine.zip")
    body = bytearray(path.read_bytes())
    for at in range(len(body) - 9):  # bit 0 of the flags, in every entry of the directory
        if body[at : at + 4] == b"PK\x01\x02":
            body[at + 8] |= 1
    path.write_bytes(body)
    refused(lambda path: read_zip(path, silent), path, "cat/0.png is encrypted; expected a zip without a password")


def test_a_name_of_two_lines_makes_no_error_of_two(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("a\n\x1b[31mb.png", b"no image")
    refused(lambda path: read_zip(path, silent), tmp_path / "mine.zip", "a??[31mb.png cannot be read")


def bomb(width, height):
    """A PNG that promises more pixels than anybody wants."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [1100, 12_000, 60_000])
def test_image_bombs_are_refused(read, pets, side):
    (pets / "dog" / "2.png").write_bytes(bomb(side, side))
    refused(read, pets, "dog/2.png is ", "over the limit of 1,048,576 pixels; make the images smaller")


def test_file_bombs_are_refused(read, pets, monkeypatch):
    monkeypatch.setattr(listing, "BYTE_LIMIT", 1000)
    (pets / "dog" / "2.png").write_bytes(bytes(5000))
    refused(read, pets, "dog/2.png", "5,000 bytes, over the limit of 1,000")


@pytest.mark.parametrize("body", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_a_zip_that_is_none_is_named(tmp_path, body):
    (tmp_path / "mine.zip").write_bytes(body)
    refused(lambda path: read_zip(path, silent), tmp_path / "mine.zip", "mine.zip is no whole zip file")


@pytest.mark.parametrize("name", ["../../evil.png", "/evil.png", "a/../../../evil.png", "..\\..\\evil.png"])
def test_names_in_a_zip_never_become_paths(tmp_path, pets, name):
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    with zipfile.ZipFile(deep / "mine.zip", "w") as archive:
        archive.write(pets / "cat" / "0.png", name)
        for i in range(3):
            archive.write(pets / "cat" / f"{i}.png", f"cat/{i}.png")
            archive.write(pets / "dog" / f"{i}.png", f"dog/{i}.png")
    before = sorted(tmp_path.rglob("*"))
    said = "mine.zip"
    try:
        read_zip(deep / "mine.zip", silent)
    except VaebenchError as error:
        said = str(error)
    assert "mine.zip" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_backslashes_part_folders_as_some_archivers_write_them(tmp_path, pets):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for name in ("cat", "dog"):
            archive.write(pets / name / "0.png", f"{name}\\0.png")
    assert read_zip(tmp_path / "mine.zip", silent).train.classes == ("cat", "dog")


def test_an_entry_without_a_name_is_passed_over(pets, tmp_path):
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("cat", "dog"):
            archive.write(pets / name / "0.png", f"{name}/0.png")
        archive.writestr("x", b"nameless")
    at = (whole := path.read_bytes()).rindex(b"x", 0, whole.index(b"PK\5\6"))  # its name in the directory
    path.write_bytes(whole[:at] + b"\0" + whole[at + 1 :])  # zipfile cuts names at the first zero
    with zipfile.ZipFile(path) as archive:
        assert "" in archive.namelist()
    assert read_zip(path, silent).train.classes == ("cat", "dog")


@given(st.data())
def test_a_garbled_zip_is_read_or_refused(tmp_path_factory, data):
    place = tmp_path_factory.mktemp("zips")
    path = place / "mine.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(2):
            Image.fromarray(np.full((3, 3), 90 * i, np.uint8)).save(place / "x.png")
            archive.write(place / "x.png", f"{i}/x.png")
    body = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(body)
    said = "mine.zip"
    try:
        read_zip(path, silent)
    except VaebenchError as error:
        said = str(error)
    assert "mine.zip" in said


def test_class_names_that_no_encoding_holds_are_made_printable(tmp_path, draw):
    for name in (b"caf\xe9", b"tab\there", b"plain"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        for index in range(2):
            draw(Path(os.fsdecode(folder)) / f"{index}.png")
    classes = read_folder(tmp_path, silent).train.classes
    assert sorted(classes) == ["caf?", "plain", "tab?here"]
    json.dumps(classes).encode()
