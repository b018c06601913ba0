"""Every container gives the images and labels that were written, and damaged ones a sentence."""

import contextlib
import csv
import gzip
import json
import shutil
import tarfile
import tempfile
import zipfile
from types import SimpleNamespace

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from containers import COLOUR, GREY, LABELS, WRITERS, idx_bytes, pixels_of, png, write_members, write_parquet

from vaebench.core.errors import VaebenchError
from vaebench.data.formats import CONTAINERS, container_suffix, open_container_folder
from vaebench.data.image_set import UnreadableImageError
from vaebench.data.listing import open_contents, open_files
from vaebench.data.opening import NamedImages, open_images


def opened(path):
    return CONTAINERS[container_suffix(path)](path)


def written(folder, suffix):
    path = folder / f"train-images{'-idx3' if 'ubyte' in suffix else ''}{suffix}"
    WRITERS[suffix](path)
    return path


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_container_gives_what_was_written(tmp_path, suffix):
    images = opened(written(tmp_path, suffix))
    np.testing.assert_array_equal(pixels_of(images), GREY[..., None])
    assert len(images) + len(images.left_out) == 12
    assert images.describe(3) == images.read(3).format
    assert images.read(3).format.white == 255
    assert list(images.labels) == ([] if suffix == ".npy" else list(map(str, LABELS)))
    assert images.classes == (() if suffix == ".npy" else ("0", "1", "2"))
    assert images.parts == ()
    assert images.warnings == ()
    np.testing.assert_array_equal(images.read(0).values, GREY[0, ..., None])  # back to an earlier row


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_the_fingerprint_changes_with_the_file(tmp_path, suffix):
    path = written(tmp_path, suffix)
    before = opened(path).fingerprint()
    assert opened(path).fingerprint() == before
    path.touch()
    assert opened(path).fingerprint() != before


def read_or_refused(path):
    """Opens a damaged container and reads all of it; any other error than these two fails."""
    message = ""
    try:
        images = opened(path) if container_suffix(path) else ()
    except VaebenchError as error:
        images, message = (), str(error)
    assert not message or path.name in message
    assert "\n" not in message
    for row in range(len(images)):
        with contextlib.suppress(UnreadableImageError):
            images.read(row)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_cut_container_is_refused_or_its_rows_are_named(tmp_path, suffix):
    path = written(tmp_path, suffix)
    whole = path.read_bytes()
    for length in [0, 1, 4, *np.linspace(8, len(whole) - 1, 14).astype(int).tolist()]:
        path.write_bytes(whole[:length])
        read_or_refused(path)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_garbled_container_is_read_or_refused(tmp_path, suffix):
    path = written(tmp_path, suffix)
    whole = path.read_bytes()
    generator = np.random.default_rng(3)
    for _ in range(25):
        damaged = bytearray(whole)
        for at in generator.integers(0, len(whole), 3):
            damaged[at] = generator.integers(0, 256)
        path.write_bytes(damaged)
        read_or_refused(path)


LAYOUTS = {
    "grey": (GREY, GREY[..., None]),
    "grey, one channel": (GREY[..., None], GREY[..., None]),
    "channels first": (np.moveaxis(COLOUR, 3, 1), COLOUR),
    "colour": (COLOUR, COLOUR),
    "wide integers": (GREY.astype(np.int64), GREY[..., None]),
    "wide integers of 16 bits": (GREY.astype(np.int32) * 9, (GREY.astype(np.uint16) * 9)[..., None]),
    "booleans": (GREY > 127, ((GREY > 127) * 255).astype(np.uint8)[..., None]),
    "floats": (GREY / np.float32(7) - 3, (GREY / np.float32(7) - 3)[..., None]),
    "big-endian": (GREY.astype(">u2"), GREY.astype(np.uint16)[..., None]),
    "5 channels": (GREY[:, None] // np.arange(1, 6, dtype=np.uint8)[:, None, None], None),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".h5"])
def test_every_layout_gives_upright_images_in_their_own_type(tmp_path, suffix, name):
    array, expected = LAYOUTS[name]
    expected = np.moveaxis(array, 1, 3) if expected is None else expected
    path = tmp_path / f"mine{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["images"] = array
    else:
        (np.save if suffix == ".npy" else np.savez)(path, array)
    images = opened(path)
    found = pixels_of(images)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert images.describe(0).dtype == expected.dtype.name


def save(folder, **arrays):
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def test_parts_labels_and_class_names_of_an_npz(tmp_path):
    path = save(
        tmp_path, x_train=GREY, y_train=LABELS, x_test=GREY[:2], y_test=[2, -1], class_names=["c", "a", "b", "z"]
    )
    images = opened(path)
    assert images.parts == ("train",) * 12 + ("test",) * 2
    assert images.classes == ("c", "a", "b")
    assert images.labels[-3:] == ("b", "b", "")
    assert images.names[12] == "test/0"
    assert images.warnings == ("mine.npz: 'z' of class_names has no image, and is left out",)


@pytest.mark.parametrize(
    ("labels", "expected", "classes"),
    [
        (LABELS * 5, "0 5 10", ("0", "5", "10")),
        (LABELS.astype(np.float32), "0 1 2", ("0", "1", "2")),
        (np.eye(3, dtype=int)[LABELS], "0 1 2", ("0", "1", "2")),
        (LABELS[:, None].astype(np.uint8), "0 1 2", ("0", "1", "2")),
        (np.array(["cat", "dog", "ant"])[LABELS], "cat dog ant", ("ant", "cat", "dog")),
        (np.array([b"cat", b"dog", b"ant"])[LABELS], "cat dog ant", ("ant", "cat", "dog")),
    ],
)
def test_labels_of_any_type_are_class_names(tmp_path, labels, expected, classes):
    images = opened(save(tmp_path, x_train=GREY, y_train=labels))
    assert list(images.labels[:3]) == expected.split()
    assert images.classes == classes


def test_several_labels_an_image_are_left_out_with_a_sentence(tmp_path):
    images = opened(save(tmp_path, train_images=GREY, train_labels=np.ones((12, 4), np.uint8)))
    assert images.labels == ()
    assert "several labels an image" in images.warnings[0]


def test_factors_of_dsprites(tmp_path):
    latents = np.stack([LABELS, np.arange(12) // 6], 1)
    path = save(tmp_path, imgs=(GREY > 127).astype(np.uint8), latents_classes=latents, latents_values=latents / 3)
    images = opened(path)
    np.testing.assert_array_equal(images.factors, latents)
    assert images.read(0).format.white == 1
    assert images.labels == ()
    assert images.warnings == ()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": LABELS}, r"has no array of images, only 'a'"),
        ({"x_train": GREY, "y_train": LABELS[:7]}, r"x_train has 12 images but y_train has 7 labels"),
        ({"x_train": GREY, "y_train": LABELS - 4}, r"y_train has label -4; expected integers from 0, or -1"),
        ({"x_train": GREY.reshape(12, -1)[:, :48], "y_train": LABELS}, r"x_train has shape \(12, 48\)"),
        ({"x_train": np.zeros((4, 3, 8, 3), np.uint8), "y_train": LABELS[:4]}, r"shape \(4, 3, 8, 3\)"),
        ({"x_train": np.zeros((20, 8, 3), np.uint8)}, r"may be one colour image"),
        ({"x_train": GREY[:0], "y_train": LABELS[:0]}, r"has no pixels"),
        ({"x_train": GREY.astype(complex), "y_train": LABELS}, r"x_train is complex128"),
        ({"x_train": GREY, "y_train": LABELS, "class_names": ["a", "b"]}, r"y_train has label 2, but class_names"),
        ({"x_train": GREY, "y_train": LABELS, "class_names": list("aba")}, r"class_names is \['a', 'b', 'a'\]"),
        ({"x_train": GREY, "y_train": LABELS, "class_names": [1, 2, 3]}, r"class_names is \[1, 2, 3\]"),
        ({"x_train": GREY, "y_train": LABELS, "x_test": GREY, "y_test": LABELS + 7}, r"the test images have label 7"),
        ({"x": GREY, "images": GREY}, r"several arrays that may be the images, 'x', 'images'"),
        ({"x": GREY, "fine_label": LABELS, "coarse_label": LABELS}, r"several arrays that may be the labels of x"),
        ({"x_train": np.array([{}, []], dtype=object)}, r"x_train contains Python objects"),
        ({"x": GREY, "y": np.array([{}] * 12, dtype=object)}, r"y contains Python objects"),
    ],
)
def test_invalid_arrays_are_named_with_their_value(tmp_path, arrays, message):
    path = save(tmp_path, **arrays)
    with pytest.raises(VaebenchError, match=message) as caught:
        opened(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_that_are_not_used_are_named(tmp_path):
    images = opened(save(tmp_path, x=GREY, y=LABELS, weights=np.ones(12), pickled=np.array([None])))
    assert images.warnings == ("mine.npz: 2 arrays are not used: 'weights', 'pickled'",)


def test_an_array_larger_than_memory_is_refused_before_it_is_allocated(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", (1 << 22, 1 << 22, 8), np.uint8, chunks=(1 << 15, 1 << 14, 4))
    with pytest.raises(VaebenchError, match="too large for this machine's memory"):
        opened(tmp_path / "a.h5")


def test_svhn_in_both_versions_of_matlab(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"X": COLOUR.transpose(1, 2, 3, 0), "y": LABELS[:, None] + 1})
    with h5py.File(tmp_path / "b.mat", "w") as file:
        file["X"], file["y"] = COLOUR.transpose(0, 3, 2, 1), LABELS[None] + 1.0
    arrays = {"X": COLOUR.transpose(1, 2, 3, 0), "y": LABELS[:, None] + 1.0, "note": "text", "cell": [{"a": 1}]}
    scipy.io.savemat(tmp_path / "c.mat", arrays, do_compression=True)
    assert opened(tmp_path / "c.mat").warnings == ("c.mat: 2 arrays are not used: 'note', 'cell'",)
    for name in ("a.mat", "b.mat", "c.mat"):
        images = opened(tmp_path / name)
        np.testing.assert_array_equal(pixels_of(images), COLOUR)
        assert images.classes == ("1", "2", "3")


def test_groups_of_hdf5_are_parts_and_labels_may_be_text(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for part, count in (("train", 12), ("test", 6)):
            file[f"{part}/X"] = COLOUR[:count]
            file[f"{part}/label"] = [str(label).encode() for label in LABELS[:count]]
    images = opened(tmp_path / "a.h5")
    assert images.parts == ("train",) * 12 + ("test",) * 6
    assert images.labels[12:] == tuple(map(str, LABELS[:6]))
    np.testing.assert_array_equal(images.read(17).values, COLOUR[5])


def test_a_table_without_a_header_has_its_labels_first(tmp_path):
    rows = np.concatenate([LABELS[:, None], GREY.reshape(12, 64)], 1)
    np.savetxt(tmp_path / "a.csv", rows, "%d", ",")
    images = opened(tmp_path / "a.csv")
    np.testing.assert_array_equal(pixels_of(images), GREY[..., None])
    assert images.labels == tuple(map(str, LABELS))


@pytest.mark.parametrize("planes", [False, True])
def test_colour_of_a_table_is_read_in_its_own_order(tmp_path, planes):
    ramp = (
        np.arange(12)[:, None, None, None]
        + np.arange(8)[:, None, None]
        + np.arange(8)[:, None]
        + np.array([0, 90, 180])
    )
    np.savetxt(tmp_path / "a.csv", (np.moveaxis(ramp, 3, 1) if planes else ramp).reshape(12, -1), "%d", ",")
    images = opened(tmp_path / "a.csv")
    np.testing.assert_array_equal(pixels_of(images), ramp)
    assert ("plane by plane" in images.warnings[0]) == planes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,cat\nb.png,dog\n", r"table of file names, such as 'a\.png'.*--labels"),
        ("label,a,b,c\n1,2,3,4\n", r"4 columns, 3 of them pixels; expected a square"),
        ("label,a,b,c,d\n1,2,3,4,5\n1,2,3\n", r"row 2 has 3 values where others have 5"),
        ("label,a,b,c,d\n1,2,3,x,5\n", r"a value in rows 1 to 1 is no pixel"),
        ("label,a,b,c,d\n", r"a header but no row"),
        ("", r"is empty"),
    ],
)
def test_a_table_that_has_no_images_says_why(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(VaebenchError, match=message):
        opened(tmp_path / "a.csv")


def test_class_names_of_a_hub_and_paths_that_exist_or_not(tmp_path):
    features = {
        "info": {"features": {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list("cab")}}}
    }
    (tmp_path / "here.png").write_bytes(png(GREY[1]))
    cells = [{"bytes": png(image), "path": "x.png"} for image in GREY]
    cells[1], cells[2] = {"bytes": None, "path": "here.png"}, {"bytes": None, "path": "gone.png"}
    write_parquet(tmp_path / "a.parquet", cells, {"huggingface": json.dumps(features)})
    images = opened(tmp_path / "a.parquet")
    assert images.classes == ("c", "a", "b")
    assert images.names[:3] == ("0", "1", "3")
    assert images.labels[:3] == ("c", "a", "c")
    assert list(images.left_out) == ["2"]
    assert "gone.png does not exist" in images.left_out["2"]
    np.testing.assert_array_equal(pixels_of(images), np.delete(GREY, 2, 0)[..., None])


def test_pixels_of_a_parquet_file_as_lists_or_columns(tmp_path):
    pq.write_table(pa.table({"pixels": GREY.reshape(12, 64).tolist(), "label": LABELS}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": GREY.tolist(), "label": LABELS}), tmp_path / "b.parquet")
    columns = {f"p{i}": GREY.reshape(12, 64)[:, i] for i in range(64)}
    pq.write_table(pa.table({"label": LABELS, **columns}), tmp_path / "c.parquet")
    for name in "abc":
        images = opened(tmp_path / f"{name}.parquet")
        np.testing.assert_array_equal(pixels_of(images), GREY[..., None])
        assert images.labels == tuple(map(str, LABELS))


def test_labels_in_json_and_links_of_a_shard(tmp_path):
    members = {f"a/{row}.png": png(image) for row, image in enumerate(GREY)}
    members |= {f"a/{row}.json": json.dumps({"label": f"class {label}"}).encode() for row, label in enumerate(LABELS)}
    write_members(tmp_path / "a.tar", members | {"a/0.bin": b""})
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        link = tarfile.TarInfo("a/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    images = opened(tmp_path / "a.tar")
    assert images.classes == ("class 0", "class 1", "class 2")
    assert images.names[3] == "a/3"
    assert images.other_files == {".bin": 1}
    assert images.warnings == ("a.tar: 1 links, devices or sparse files are left out",)


def test_a_tar_of_folders_is_listed_like_a_zip(tmp_path):
    members = {f"top/{label}/{row}.png": png(GREY[row]) for row, label in enumerate(LABELS)} | {"../../x.txt": b"x"}
    for name in ("a.tar", "a.tgz"):
        write_members(tmp_path / name, members)
        assert container_suffix(tmp_path / name) is None
        with open_files(tmp_path / name) as files:
            assert len(files.images) == 12
            assert files.read(("top", "0", "3.png")) == png(GREY[3])
        assert open_contents(tmp_path / name).read(("top", "1", "1.png")) == png(GREY[1])


def test_a_tar_with_a_damaged_header_or_a_second_tar_is_refused(tmp_path):
    path = written(tmp_path, ".tar")
    whole = path.read_bytes()
    path.write_bytes(whole + whole)
    with pytest.raises(VaebenchError, match="more data after its end mark"):
        opened(path)
    path.write_bytes(whole[:3072] + b"?" * 64 + whole[3136:])
    with pytest.raises(VaebenchError, match="a header is damaged"):
        opened(path)


def test_idx_of_other_types(tmp_path):
    for dtype in (np.int16, np.float32):
        (tmp_path / "a.idx").write_bytes(idx_bytes(GREY.astype(dtype)))
        found = pixels_of(opened(tmp_path / "a.idx"))
        np.testing.assert_array_equal(found, GREY[..., None])
        assert found.dtype == dtype


FOLDERS = {
    "hub": {f"{part}-00000-of-00001.parquet": write_parquet for part in ("train", "test")},
    "folders": {f"{part}/a.parquet": write_parquet for part in ("train", "test")},
    "idx": {f"{part}-images-idx3-ubyte": WRITERS["-ubyte"] for part in ("train", "t10k")},
    "tables": {f"{part}.csv": WRITERS[".csv"] for part in ("train", "test")},
    "hdf5": {f"digits_{part}.h5": WRITERS[".h5"] for part in ("train", "test")},
    "shards": {f"digits-{part}-0000.tar": WRITERS[".tar"] for part in ("train", "test")},
    "arrays": {
        f"kmnist-{part}-{kind}.npz": lambda path, array=array: np.savez(path, array)
        for part in ("train", "test")
        for kind, array in (("imgs", GREY), ("labels", LABELS))
    },
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_containers_has_their_parts(tmp_path, name):
    for file, write in FOLDERS[name].items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        write(tmp_path / file)
    (tmp_path / "README.md").write_text("about")
    images = open_container_folder(tmp_path)
    assert images.parts == ("train",) * 12 + ("test",) * 12
    assert images.labels == tuple(map(str, LABELS)) * 2
    assert len(set(images.names)) == 24
    assert images.other_files == {".md": 1}
    np.testing.assert_array_equal(pixels_of(images), np.concatenate([GREY, GREY])[..., None])


def test_shards_without_a_part_follow_one_another(tmp_path):
    for shard in range(2):
        WRITERS[".tar"](tmp_path / f"digits-{shard}.tar")
    images = open_container_folder(tmp_path)
    assert len(images) == 24
    assert images.parts == ()
    assert images.names[12] == "digits-1/000000"


def test_other_folders_are_left_to_the_reader_of_images(tmp_path):
    assert open_container_folder(tmp_path) is None
    (tmp_path / "a.png").write_bytes(png(GREY[0]))
    WRITERS[".npz"](tmp_path / "a.npz")
    assert open_container_folder(tmp_path) is None


def test_containers_of_different_kinds_are_named(tmp_path):
    WRITERS[".npz"](tmp_path / "a.npz")
    WRITERS[".h5"](tmp_path / "b.h5")
    with pytest.raises(VaebenchError, match=r"several kinds, 'a\.npz', 'b\.h5'; give one"):
        open_container_folder(tmp_path)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    path = written(tmp_path, ".h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(VaebenchError, match=r"package h5py, which is not installed; pip install 'vaebench\[formats\]'"):
        opened(path)


def archived(folder, files):
    """A zip of files by name."""
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.write(file, name)
    return path


def in_tar(folder, files):
    path = folder / "all.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, file in files.items():
            tar.add(file, name)
    return path


@pytest.mark.parametrize("pack", [archived, in_tar])
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".tsv", ".csv.gz", ".parquet", ".h5", ".mat", "-ubyte"])
def test_an_archive_of_one_container_is_read_as_the_container(tmp_path, pack, suffix):
    path = written(tmp_path, suffix)
    beside = [each for each in sorted(tmp_path.iterdir()) if each != path]
    files = {f"outer/{each.name}": each for each in (path, *beside)}
    alone = opened(path)
    with open_images(pack(tmp_path, files)) as images:
        np.testing.assert_array_equal(pixels_of(images), GREY[..., None])
        assert (images.names, images.labels, images.classes) == (alone.names, alone.labels, alone.classes)
        assert images.title == "all"
        assert images.path.name.startswith("all.")
        first = images.fingerprint()
    with open_images(images.path) as again:
        assert again.fingerprint() == first


def test_parts_in_an_archive_are_those_of_its_files(tmp_path):
    for part, count in (("train", 12), ("test", 5)):
        write_parquet(
            tmp_path / f"{part}.parquet", [{"bytes": png(i), "path": None} for i in GREY[:count]], labels=LABELS[:count]
        )
    with open_images(
        archived(tmp_path, {f"data/{p}.parquet": tmp_path / f"{p}.parquet" for p in ("train", "test")})
    ) as images:
        assert images.parts == ("train",) * 12 + ("test",) * 5


def test_an_archive_is_unpacked_to_a_folder_that_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    np.save(tmp_path / "x.npy", GREY)
    path = archived(tmp_path, {"a/x.npy": tmp_path / "x.npy", "../../y.npy": tmp_path / "x.npy"})
    before = sorted(tmp_path.rglob("*"))
    with open_images(path) as images:
        np.testing.assert_array_equal(pixels_of(images), GREY[..., None])
        assert len(list((tmp_path / "temporary").rglob("x.npy"))) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_images_of_an_archive_are_selected_by_name(tmp_path):
    np.save(tmp_path / "x.npy", GREY)
    named = NamedImages(archived(tmp_path, {"x.npy": tmp_path / "x.npy"}))
    chosen = named.select(["7", "2"])
    np.testing.assert_array_equal(pixels_of(chosen), GREY[[7, 2], ..., None])


@pytest.mark.parametrize("name", ["{:02}", "img_{:02}"])
def test_single_arrays_in_an_archive_or_folder_are_images(tmp_path, name):
    for row, image in enumerate(GREY):
        path = tmp_path / "in" / "ab"[row % 2] / f"{name.format(row)}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, image)
    files = {str(each.relative_to(tmp_path)): each for each in sorted((tmp_path / "in").rglob("*.npy"))}
    for path in (tmp_path / "in", archived(tmp_path, files)):
        with open_images(path) as images:
            assert images.classes == ("a", "b")
            np.testing.assert_array_equal(pixels_of(images), np.concatenate([GREY[::2], GREY[1::2]])[..., None])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"a.npz": b"no array"}, r"all\.zip/a\.npz is not a complete npz file"),
        (
            {"a.npz": None, "b.h5": b""},
            r"all\.zip has files of several kinds, 'a\.npz', 'b\.h5'; give one of them alone",
        ),
        ({"a.tar": b""}, r"all\.zip/a\.tar is not a complete tar file"),
        ({"labels.csv": b"file,label\n"}, r"all\.zip contains no image, but 'labels\.csv'"),
        ({"notes.txt": b""}, r"all\.zip contains no image"),
    ],
)
def test_an_archive_that_cannot_be_read_says_why(tmp_path, names, message):
    path = tmp_path / "all.zip"
    np.savez(tmp_path / "whole.npz", x=GREY)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in names.items():
            archive.writestr(name, (tmp_path / "whole.npz").read_bytes() if data is None else data)
    with pytest.raises(VaebenchError, match=message) as caught, open_images(path):
        pass
    assert tempfile.gettempdir() + "/tmp" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_larger_than_the_disk_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", GREY)
    path = archived(tmp_path, {"x.npy": tmp_path / "x.npy"})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with (
        pytest.raises(VaebenchError, match=r"all\.zip has 0\.0 GB when unpacked, more than half of the free space"),
        open_images(path),
    ):
        pass


def test_an_encrypted_member_is_named(tmp_path):
    np.save(tmp_path / "x.npy", GREY)
    path = archived(tmp_path, {"x.npy": tmp_path / "x.npy"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(VaebenchError, match=r"all\.zip: x\.npy cannot be unpacked .*password"), open_images(path):
        pass


def test_a_line_that_never_ends_is_refused(tmp_path):
    with gzip.open(tmp_path / "a.csv.gz", "wb") as file:
        for _ in range(80):
            file.write(b"1," * (1 << 19))
    with pytest.raises(
        VaebenchError, match=r"a\.csv\.gz is not a text file of rows of pixels \(a line of over 67,108,864"
    ):
        opened(tmp_path / "a.csv.gz")


def write_cells(path, header, rows, delimiter=","):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return opened(path)


CELLS = [" ".join(map(str, image.ravel())) for image in GREY]
USAGE = ["Training"] * 8 + ["PublicTest"] * 2 + ["PrivateTest"] * 2


def test_fer2013(tmp_path):
    images = write_cells(
        tmp_path / "fer2013.csv", ["emotion", "pixels", "Usage"], zip(LABELS, CELLS, USAGE, strict=True)
    )
    np.testing.assert_array_equal(pixels_of(images), GREY[..., None])
    assert pixels_of(images).dtype == np.uint8
    assert images.labels == tuple(map(str, LABELS))
    assert images.parts == ("train",) * 8 + ("validation",) * 2 + ("test",) * 2
    assert images.warnings == (
        "fer2013.csv: the column 'Usage' states the parts: Training is train, PublicTest is validation, PrivateTest "
        "is test",
    )


def test_other_tables_of_cells(tmp_path):
    images = write_cells(
        tmp_path / "a.csv", ["id", " pixels", " label"], zip(range(12), CELLS, LABELS, strict=True), ";"
    )
    np.testing.assert_array_equal(pixels_of(images), GREY[..., None])
    assert images.labels == tuple(map(str, LABELS))
    assert images.warnings == ("a.csv: columns not used: 'id'",)
    images = write_cells(tmp_path / "b.csv", ["pixels"], ([cell] for cell in CELLS))
    np.testing.assert_array_equal(pixels_of(images), GREY[..., None])
    images = write_cells(tmp_path / "c.csv", ["pixels", "split"], zip(CELLS, ["x"] * 12, strict=True))
    assert images.parts == ()
    assert images.warnings == ("c.csv: the column 'split' has 'x', which is no part: it is not used",)
    colour = [" ".join(map(str, np.moveaxis(image, 2, 0)[:, :6].ravel())) for image in COLOUR]
    images = write_cells(tmp_path / "d.csv", ["class", "pixels"], zip(LABELS, colour, strict=True))
    assert images.describe(0).channels == 3


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([*CELLS[:5], "1 2 3 4"], r"row after 0 others cannot be read"),
        ([*CELLS[:5], ""], r"an empty cell"),
        ([*CELLS[:5], CELLS[0].replace("1", "x")], r"could not convert"),
        (["1 2 3 4 5"] * 6, r"cells of 5 pixels; expected a square number"),
    ],
)
def test_cells_that_are_no_image_say_why(tmp_path, cells, message):
    with pytest.raises(VaebenchError, match=message) as caught:
        write_cells(tmp_path / "a.csv", ["pixels", "label"], ((cell, 1) for cell in cells))
    assert "a.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
