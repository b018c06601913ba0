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
from vaebench.data import listing, survey
from vaebench.data.loading import load_images


def zipped(source, target):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(source.rglob("*")):
            archive.write(path, path.relative_to(source).as_posix())
    return target


@pytest.fixture(params=["folder", "zip"])
def read(request, tmp_path):
    """Function that reads a folder, directly or zipped."""
    if request.param == "folder":
        return load_images
    return lambda path: load_images(zipped(path, tmp_path / f"{path.name}.zip"))


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


def test_train_and_test_folders_are_separate_sets(read, tmp_path, draw):
    for i, name in enumerate(("train/a/1", "train/a/2", "train/b/1", "test/b/1")):
        draw(tmp_path / "mine" / f"{name}.png", seed=i, mode="RGB")
    loaded = read(tmp_path / "mine")
    assert loaded.train.labels.tolist() == [0, 0, 1]
    assert loaded.test.labels.tolist() == [1]
    assert loaded.test.classes == ("a", "b")
    assert loaded.train.shape == (3, 8, 8)
    np.testing.assert_array_equal(
        loaded.test.pixels[0].numpy(), np.moveaxis(np.asarray(Image.open(tmp_path / "mine/test/b/1.png")), 2, 0)
    )


def test_images_in_one_folder_are_unlabelled(read, tmp_path, draw):
    for i in range(3):
        draw(tmp_path / "flat" / f"{i}.png", seed=i)
    train = read(tmp_path / "flat").train
    assert train.classes == ()
    assert train.labels.tolist() == [-1] * 3


@pytest.mark.parametrize("outer", ["pets", "download/pets"])
def test_outer_folders_are_skipped(read, tmp_path, draw, outer):
    for name in ("cat/1", "dog/1"):
        draw(tmp_path / "mine" / outer / f"{name}.png")
    assert read(tmp_path / "mine").train.classes == ("cat", "dog")


def test_a_zip_of_one_flat_folder_is_unlabelled(read, tmp_path, draw):
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


def test_one_colour_image_makes_all_images_colour(read, tmp_path, draw):
    draw(tmp_path / "mine" / "1.png")
    draw(tmp_path / "mine" / "2.png", mode="RGB")
    pixels = read(tmp_path / "mine").train.pixels
    assert pixels.shape == (2, 3, 8, 8)
    assert (pixels[0] == pixels[0, :1]).all()


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 3), ("LA", 1)])
def test_transparent_parts_become_black(read, tmp_path, mode, channels):
    pixels = np.full((8, 8, channels + 1), 200, np.uint8)
    pixels[:4, :, -1], pixels[4:, :, -1] = 0, 255
    pixels[:, :, 0] = 100
    (tmp_path / "mine").mkdir()
    Image.fromarray(pixels).save(tmp_path / "mine" / "1.png")
    pixels = read(tmp_path / "mine").train.pixels
    assert pixels.shape[1] == channels
    assert (pixels[0, :, :4] == 0).all()
    assert (pixels[0, 0, 4:] == 100).all()
    assert (pixels[0, 1:, 4:] == 200).all()


def test_progress_ends_at_one(pets):
    calls = []
    load_images(pets, progress=lambda *arguments: calls.append(arguments))
    assert ("reading pets", 1.0) in calls
    assert calls[-1] == ("comparing pets", 1.0)


def test_rows_keep_their_order_across_threads(tmp_path, draw, monkeypatch):
    monkeypatch.setattr(survey, "BLOCK", 2)
    monkeypatch.setattr(survey, "THREADS", 4)
    paths = [draw(tmp_path / "mine" / f"{i:02}.png", seed=i) for i in range(25)]
    pixels = load_images(tmp_path / "mine").train.pixels[:, 0].numpy()
    np.testing.assert_array_equal(pixels, pixels_of(*paths))


def test_class_folders_may_be_links(tmp_path, pets):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cat").symlink_to(pets / "cat")
    (tmp_path / "mine" / "dog").symlink_to(pets / "dog")
    assert len(load_images(tmp_path / "mine").train) == 8


def check_refused(read, path, *phrases):
    with pytest.raises(VaebenchError) as caught:
        read(path)
    for phrase in phrases:
        assert phrase in str(caught.value)
    assert "\n" not in str(caught.value)


def only_warning(loaded, start):
    (sentence,) = [each for each in loaded.warnings if each.startswith(start)]
    return sentence


def test_mixed_sizes_are_scaled_and_said(read, pets, draw):
    draw(pets / "dog" / "9.png", size=(10, 7))
    loaded = read(pets)
    assert loaded.train.shape == (1, 8, 8)
    assert "images of 8 x 7 to 10 x 8 pixels are scaled to fit 8 x 8" in loaded.warnings


def test_unreadable_and_truncated_images_are_left_out_by_name(read, pets):
    whole = (pets / "dog" / "2.png").read_bytes()
    (pets / "dog" / "1.png").write_bytes(b"no image")
    (pets / "dog" / "2.png").write_bytes(whole[: len(whole) // 2])
    loaded = read(pets)
    assert loaded.train.labels.tolist() == [0] * 4 + [1] * 2
    assert "1 image left out, for example dog/1.png: is not an image that can be read" in "; ".join(loaded.warnings)
    assert "1 image left out, for example dog/2.png: is damaged" in "; ".join(loaded.warnings)


def test_images_without_a_label_are_left_out_where_others_have_one(read, pets, draw):
    draw(pets / "unlabelled" / "1.png")
    loaded = read(pets)
    assert len(loaded.train) == 8
    only_warning(loaded, "1 image without a label is left out; vaebench classify uses")


@pytest.mark.parametrize(
    "names", [("Train", "VAL", "Testing"), ("training", "valid", "test"), ("train", "dev", "TEST")]
)
def test_parts_are_known_by_their_usual_names(read, tmp_path, draw, names):
    for part, count in zip(names, (3, 2, 1), strict=True):
        for label in "ab":
            for i in range(count):
                draw(tmp_path / "mine" / part / "things" / label / f"{i}.png", seed=i)
    loaded = read(tmp_path / "mine")
    assert loaded.train.classes == ("a", "b")
    assert [len(part) for part in (loaded.train, loaded.validation, loaded.test)] == [6, 4, 2]


def test_images_below_a_class_folder_have_its_class(read, pets, draw):
    draw(pets / "cat" / "old" / "1.png")
    loaded = read(pets)
    assert loaded.train.labels.tolist() == [0] * 5 + [1] * 4
    only_warning(loaded, "1 image lies deeper than CLASS/IMAGE")


def test_empty_class_folders_are_said(pets):
    (pets / "bird").mkdir()
    only_warning(load_images(pets), "1 folder contains no image: bird")


def test_metadata_beside_the_images_labels_them(read, tmp_path, draw):
    for i in range(4):
        draw(tmp_path / "mine" / "train" / f"{i}.png", seed=i)
    (tmp_path / "mine" / "train" / "metadata.csv").write_text("file_name,label\n0.png,a\n1.png,b\n2.png,a\n")
    loaded = read(tmp_path / "mine")
    assert loaded.train.classes == ("a", "b")
    assert loaded.train.labels.tolist() == [0, 1, 0]
    assert "labels are those of metadata.csv" in loaded.warnings


def test_a_table_beside_the_images_is_named_where_it_is_not_used(tmp_path, draw):
    for i in range(4):
        draw(tmp_path / "mine" / f"{i}.png", seed=i)
    (tmp_path / "mine" / "answers.csv").write_text("file_name,label\n0.png,a\n")
    assert any("answers.csv" in each and "--labels" in each for each in load_images(tmp_path / "mine").warnings)


@pytest.mark.parametrize(
    ("images", "folder", "phrases"),
    [
        ([], "", ["mine", "contains no image", ".png"]),
        (["cat/1", "dog/1", "stray"], "", ["stray.png is beside class folders"]),
        (["train/a/1", "test/a/1", "more/a/1"], "", ["more is beside test and train"]),
        (["train/a/1", "test/a/1", "Testing/a/1"], "", ["has two folders for one part: Testing, test"]),
        (["train/a/1", "train/b/1", "test/c/1"], "", ["test has class 'c', which train lacks", "a, b"]),
    ],
)
def test_other_arrangements_of_folders_are_refused(read, tmp_path, draw, images, folder, phrases):
    (tmp_path / "mine" / folder).mkdir(parents=True)
    for name in images:
        draw(tmp_path / "mine" / f"{name}.png")
    check_refused(read, tmp_path / "mine", *phrases)


def test_an_encrypted_zip_is_named(tmp_path, pets):
    path = zipped(pets, tmp_path / "mine.zip")
    body = bytearray(path.read_bytes())
    for at in range(len(body) - 9):  # bit 0 of the flags, in every entry of the directory
        if body[at : at + 4] == b"PK\x01\x02":
            body[at + 8] |= 1
    path.write_bytes(body)
    check_refused(load_images, path, "none of its 8 images", "is encrypted; expected a zip without a password")


def test_unprintable_characters_of_names_are_replaced_in_messages(tmp_path, draw):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("a\n\x1b[31mb.png", b"no image")
        archive.write(draw(tmp_path / "good.png"), "good.png")
    assert "a??[31mb.png: is not an image that can be read" in "; ".join(load_images(tmp_path / "mine.zip").warnings)


def bomb(width, height):
    """PNG whose header states more pixels than the file contains."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_image_bombs_are_refused(read, pets, side):
    (pets / "dog" / "2.png").write_bytes(bomb(side, side))
    sentence = only_warning(read(pets), "1 image left out, for example dog/2.png: is ")
    assert sentence.endswith("over the limit of 80,000,000 pixels")


def test_file_bombs_are_refused(read, pets, monkeypatch):
    monkeypatch.setattr(listing, "BYTE_LIMIT", 1000)
    (pets / "dog" / "2.png").write_bytes(bytes(5000))
    assert "dog/2.png: has 5,000 bytes, over the limit of 1,000" in "; ".join(read(pets).warnings)


@pytest.mark.parametrize("body", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_an_invalid_zip_is_named(tmp_path, body):
    (tmp_path / "mine.zip").write_bytes(body)
    check_refused(load_images, tmp_path / "mine.zip", "mine.zip is not a complete zip file")


@pytest.mark.parametrize("name", ["../../evil.png", "/evil.png", "a/../../../evil.png", "..\\..\\evil.png"])
def test_names_in_a_zip_are_never_used_as_paths(tmp_path, pets, name):
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    with zipfile.ZipFile(deep / "mine.zip", "w") as archive:
        archive.write(pets / "cat" / "0.png", name)
        for i in range(3):
            archive.write(pets / "cat" / f"{i}.png", f"cat/{i}.png")
            archive.write(pets / "dog" / f"{i}.png", f"dog/{i}.png")
    before = sorted(tmp_path.rglob("*"))
    message = "mine.zip"
    try:
        load_images(deep / "mine.zip")
    except VaebenchError as error:
        message = str(error)
    assert "mine.zip" in message
    assert sorted(tmp_path.rglob("*")) == before


def test_backslashes_in_a_zip_separate_folders(tmp_path, pets):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for name in ("cat", "dog"):
            archive.write(pets / name / "0.png", f"{name}\\0.png")
    assert load_images(tmp_path / "mine.zip").train.classes == ("cat", "dog")


def test_an_entry_without_a_name_is_skipped(pets, tmp_path):
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("cat", "dog"):
            archive.write(pets / name / "0.png", f"{name}/0.png")
        archive.writestr("x", b"nameless")
    at = (whole := path.read_bytes()).rindex(b"x", 0, whole.index(b"PK\5\6"))  # its name in the directory
    path.write_bytes(whole[:at] + b"\0" + whole[at + 1 :])  # zipfile cuts names at the first zero
    with zipfile.ZipFile(path) as archive:
        assert "" in archive.namelist()
    assert load_images(path).train.classes == ("cat", "dog")


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
    message = "mine.zip"
    try:
        load_images(path)
    except VaebenchError as error:
        message = str(error)
    assert "mine.zip" in message


def test_undecodable_class_names_become_printable(tmp_path, draw):
    for name in (b"caf\xe9", b"tab\there", b"plain"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        for index in range(2):
            draw(Path(os.fsdecode(folder)) / f"{index}.png")
    classes = load_images(tmp_path).train.classes
    assert sorted(classes) == ["caf?", "plain", "tab?here"]
    json.dumps(classes).encode()
