"""Each warning fires on a small set made for it, with the sentence that a user reads, and on no clean set."""

import gzip

import numpy as np
import pytest
import tifffile
from PIL import Image
from sklearn.datasets import load_digits

from vaebench.data.checks.gathering import Preprocessed
from vaebench.data.checks.inspection import inspect_images, inspect_pixels
from vaebench.data.checks.label_checks import written_alike
from vaebench.data.opening import open_images
from vaebench.data.reading import check_readable
from vaebench.data.survey import choose_rule, map_rows, survey


def picture(seed, width=40, height=40, channels=3):
    """A smooth random image."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return image if channels == 3 else image.convert("L")


def write(root, names, first=0, **settings):
    """Write a random image to each path below a folder."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(first + number, **settings).save(path)


def clean_set(root, classes=("cat", "dog"), number=12):
    for index, name in enumerate(classes):
        write(root, [f"{name}/{row:02}.png" for row in range(number)], first=1000 * index)


def inspected(root, labels=(), side=None):
    with open_images(root, labels) as images:
        seen = survey(images)
        check_readable(root, seen.formats.total(), seen.skipped)
        return inspect_images(images, choose_rule(seen, side), seen)


def warnings_of(root, **settings):
    return {warning.kind: warning for warning in inspected(root, **settings).warnings}


def only(root, kind, **settings):
    """The one warning of a set."""
    warnings = warnings_of(root, **settings)
    assert set(warnings) == {kind}, [str(each) for each in warnings.values()]
    return warnings[kind]


def test_a_clean_set_has_no_warning(tmp_path):
    clean_set(tmp_path)
    inspection = inspected(tmp_path)
    assert inspection.warnings == ()
    assert inspection.counts == {"cat": {"": 12}, "dog": {"": 12}}
    assert inspection.sizes == ((40, 40, 24),)
    assert inspection.types == {"uint8 colour": 24}
    assert [channel.name for channel in inspection.channels] == ["red", "green", "blue"]
    assert repr(inspection).endswith("24 images, 0 unreadable, 2 classes, 0 warnings)")


def test_a_part_of_another_exposure_is_named(tmp_path):
    generator = np.random.default_rng(0)
    for part, added in (("train", 0), ("val", 100), ("test", 1500)):
        (tmp_path / part).mkdir()
        for row in range(30):
            values = generator.integers(200, 2500, (12, 12)) + added
            tifffile.imwrite(tmp_path / part / f"{row}.tif", values.astype(np.uint16))
    warning = warnings_of(tmp_path)["brightness-of-parts"]
    assert warning.sentence.startswith("the images of test are much brighter than those of train: mean brightness 0.9")
    assert "values beyond the range of train are clipped" in warning.advice
    with open_images(tmp_path) as images:
        said = [str(each) for each in warnings_of(tmp_path).values() if "images of val" in str(each)]
        assert images.parts
        assert not said


def test_the_embedded_digits_have_no_warning(tmp_path):
    digits = load_digits()
    for row, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = tmp_path / str(label) / f"{row:04}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(path)
    assert [str(each) for each in inspected(tmp_path).warnings] == []


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_real_sets_have_no_warning(name, real_data, tmp_path):
    folder = real_data / name
    pixels = np.frombuffer(gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    for row, (image, label) in enumerate(zip(pixels.reshape(-1, 28, 28)[:2000], labels, strict=False)):
        path = tmp_path / str(label) / f"{row:04}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    assert [str(each) for each in inspected(tmp_path).warnings] == []


def test_few_images(tmp_path):
    write(tmp_path, [f"{row}.png" for row in range(5)])
    assert only(tmp_path, "few-images").sentence == (
        "only 5 images can be read; vaebench run and classify need at least 10"
    )


def test_unreadable_files_are_named_up_to_ten(tmp_path):
    clean_set(tmp_path)
    for number in range(12):
        (tmp_path / "cat" / f"broken {number:02}.png").write_bytes(b"no image")
    warning = only(tmp_path, "unreadable")
    assert warning.sentence.startswith("12 images cannot be read and will be left out: cat/broken 00.png is not an")
    assert warning.sentence.endswith("; and 2 more")
    assert len(warning.names) == 10
    assert len(inspected(tmp_path).unreadable) == 12


def test_an_image_whose_header_alone_can_be_read(tmp_path):
    clean_set(tmp_path)
    whole = (tmp_path / "cat" / "00.png").read_bytes()
    (tmp_path / "cat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    inspection = inspected(tmp_path)
    assert list(inspection.unreadable) == ["cat/cut.png"]
    assert [each.kind for each in inspection.warnings] == ["unreadable"]
    assert inspection.counts["cat"] == {"": 12}


def test_rows_of_a_table_that_match_nothing_and_images_without_label(tmp_path):
    write(tmp_path / "images", [f"{row:02}.png" for row in range(24)])
    table = tmp_path / "labels.csv"
    table.write_text("".join(f"{row:02}.png,{'cat' if row % 2 else 'dog'}\n" for row in range(20)) + "socks.png,cat\n")
    warnings = warnings_of(tmp_path / "images", labels=[table])
    assert set(warnings) == {"reading", "unlabelled"}
    assert warnings["reading"].sentence == "1 labelled file is not among the images read: socks.png"
    assert warnings["reading"].advice.startswith("Compare the names in the table")
    assert warnings["unlabelled"].sentence == "4 images have no label: 20.png, 21.png, 22.png and 1 more"


def test_a_remark_of_the_reader_is_no_warning(tmp_path):
    write(tmp_path, [f"{row:02}.png" for row in range(12)])
    lines = "".join(f"{row:02}.png,{'cat' if row % 2 else 'dog'}\n" for row in range(12))
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{lines}")
    inspection = inspected(tmp_path)
    assert inspection.warnings == ()
    assert "labels are those of metadata.csv" in inspection.reading


def test_classes_with_few_labels_and_of_different_sizes(tmp_path):
    clean_set(tmp_path, number=40)
    write(tmp_path, [f"rare/{row}.png" for row in range(4)], first=5000)
    warnings = warnings_of(tmp_path)
    assert set(warnings) == {"few-labels", "imbalance"}
    assert warnings["few-labels"].sentence == "class rare has fewer than 5 labelled images"
    assert warnings["imbalance"].sentence == (
        "classes are of very different sizes: cat has 40 images, rare has 4"
    ) or warnings["imbalance"].names == ("dog", "rare")


def test_labels_of_the_test_part_are_not_there_to_learn_from(tmp_path):
    clean_set(tmp_path / "train", number=6)
    write(tmp_path, [f"train/owl/{row}.png" for row in range(4)], first=5000)
    for index, name in enumerate(("cat", "dog", "owl")):
        write(tmp_path, [f"test/{name}/{row}.png" for row in range(6)], first=7000 + 100 * index)
    assert only(tmp_path, "few-labels").names == ("owl",)


def test_classes_written_in_two_ways(tmp_path):
    clean_set(tmp_path, classes=("boot", "Boot ", "T-shirt", "t_shirt", "sandal"))
    warnings = inspected(tmp_path).warnings
    assert [each.kind for each in warnings] == ["written-alike", "written-alike"]
    assert warnings[0].sentence == (
        "classes 'Boot ' (12 images) and 'boot' (12 images) look like one class written in 2 ways"
    )


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("t-shirt", "T_Shirt", True),
        ("ice cream", "icecream", True),
        ("1", "01", True),
        ("1", "1.0", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("\uff21", "a", True),
        ("1", "10", False),
        ("-1", "1", False),
        ("1-2", "12", False),
        ("item 1-1", "item 11", False),
        ("item_1 1", "item 1-1", True),
        ("c++", "c", False),
        ("_", "-", False),
        ("cat", "cats", False),
    ],
)
def test_what_counts_as_alike(first, second, alike):
    assert bool(written_alike([first, second])) is alike


def test_a_table_whose_labels_are_no_classes(tmp_path):
    write(tmp_path / "images", [f"{row:02}.png" for row in range(12)])
    table = tmp_path / "labels.csv"
    table.write_text("".join(f"{row:02}.png,{row * 7}\n" for row in range(12)))
    warnings = warnings_of(tmp_path / "images", labels=[table])
    assert warnings["many-classes"].sentence.startswith("12 classes for 12 labelled images: 0, 7, 14")


def test_names_of_classes_that_mean_no_label_or_were_not_decoded(tmp_path):
    clean_set(tmp_path, classes=("cat", "NaN", "h?tte"))
    warnings = warnings_of(tmp_path)
    assert set(warnings) == {"missing-labels", "garbled"}
    assert warnings["missing-labels"].sentence == "class NaN looks like missing labels"
    assert warnings["garbled"].sentence == "class h?tte has characters that could not be read"


def test_equal_images_by_what_differs(tmp_path):
    for part, first in (("train", 0), ("test", 5000)):
        for index, name in enumerate(("cat", "dog")):
            write(tmp_path, [f"{part}/{name}/{row:02}.png" for row in range(12)], first=first + 1000 * index)
    for name in ("train/cat/leak.png", "test/cat/leak.png"):
        picture(90).save(tmp_path / name)
    for name in ("train/cat/two.png", "train/dog/two.png"):
        picture(91).save(tmp_path / name)
    for name in ("train/cat/copy 1.png", "train/cat/copy 2.png", "train/cat/copy 3.png"):
        picture(92).save(tmp_path / name)
    inspection = inspected(tmp_path)
    warnings = {each.kind: each for each in inspection.warnings}
    assert list(warnings) == ["equal-across-parts", "equal-with-other-labels", "equal"]
    assert warnings["equal-across-parts"].sentence == (
        "1 image occurs in several parts of the data set, for example test/cat/leak.png = train/cat/leak.png"
    )
    assert warnings["equal-with-other-labels"].sentence == (
        "1 image occurs with different labels, for example train/cat/two.png (cat) = train/dog/two.png (dog)"
    )
    assert warnings["equal"].names == ("train/cat/copy 1.png", "train/cat/copy 2.png")
    assert (inspection.equal_groups, inspection.equal_images, inspection.near_pairs) == (3, 4, 0)
    assert max(map(len, inspection.equal)) == 3


def test_nearly_equal_images(tmp_path):
    for part, first in (("train", 0), ("test", 5000)):
        for index, name in enumerate(("cat", "dog")):
            write(tmp_path, [f"{part}/{name}/{row:02}.png" for row in range(12)], first=first + 1000 * index)
    Image.open(tmp_path / "train/cat/00.png").save(tmp_path / "test/cat/saved.jpg", quality=75)
    Image.open(tmp_path / "train/cat/01.png").resize((64, 64)).save(tmp_path / "train/dog/enlarged.png")
    Image.open(tmp_path / "train/cat/02.png").save(tmp_path / "train/cat/saved.webp", quality=80)
    inspection = inspected(tmp_path)
    warnings = {each.kind: each for each in inspection.warnings}
    assert list(warnings) == ["near-across-parts", "near-with-other-labels", "near"]
    assert inspection.near_pairs == 3
    assert set(warnings["near"].names) == {"train/cat/02.png", "train/cat/saved.webp"}
    assert warnings["near"].advice.startswith("Look at them; if they are copies, remove")


def test_images_of_one_colour_and_almost_black_or_white_ones(tmp_path):
    clean_set(tmp_path)
    noise = np.random.default_rng(0).integers(0, 3, (40, 40, 3), dtype=np.uint8)
    Image.new("RGB", (40, 40), (7, 8, 9)).save(tmp_path / "cat" / "flat.png")
    Image.new("RGB", (40, 40), (7, 8, 9)).save(tmp_path / "cat" / "flat too.png")
    Image.fromarray(noise).save(tmp_path / "cat" / "dark.png")
    Image.fromarray(255 - noise).save(tmp_path / "dog" / "bright.png")
    warnings = warnings_of(tmp_path)
    assert set(warnings) == {"constant", "almost-black", "almost-white"}
    assert warnings["constant"].sentence == "2 images are of one colour: cat/flat too.png, cat/flat.png"
    assert warnings["almost-black"].names == ("cat/dark.png",)
    assert warnings["almost-white"].names == ("dog/bright.png",)


def test_a_set_that_is_dark_altogether_has_no_dark_images(tmp_path):
    for row in range(12):
        image = np.zeros((40, 40), np.uint8)
        image[row : row + 2, row] = 255
        Image.fromarray(image).save(tmp_path / f"{row:02}.png")
    assert warnings_of(tmp_path) == {}


def test_parts_with_different_classes(tmp_path):
    clean_set(tmp_path / "train", classes=("cat", "dog", "owl"))
    for index, name in enumerate(("cat", "dog")):
        write(tmp_path, [f"test/{name}/{row}.png" for row in range(6)], first=7000 + 100 * index)
    assert only(tmp_path, "parts-differ").sentence == "part test has no image of class owl"


def test_shapes_far_from_square_and_icons(tmp_path):
    clean_set(tmp_path)
    picture(50, width=300, height=20).save(tmp_path / "cat" / "panorama.png")
    picture(51, width=10, height=10).save(tmp_path / "cat" / "icon.png")
    warnings = warnings_of(tmp_path)
    assert set(warnings) == {"padding", "enlarged"}
    assert warnings["padding"].sentence.startswith("1 image is at least twice as long as wide")
    assert warnings["enlarged"].sentence.endswith("the smallest has 10 x 10 pixels")


def test_grey_images_among_colours(tmp_path):
    clean_set(tmp_path)
    write(tmp_path, ["cat/grey 1.png", "cat/grey 2.png"], first=60, channels=1)
    assert only(tmp_path, "grey").sentence == (
        "2 of 26 images are grey, among images in colour: cat/grey 1.png, cat/grey 2.png"
    )


def write_tiff(root, rows=12, change=lambda array, row: array):
    root.mkdir(exist_ok=True)
    for row in range(rows):
        array = np.asarray(picture(row, channels=1), np.float32)
        tifffile.imwrite(root / f"{row:02}.tif", change(array, row), photometric="minisblack")


def test_unknown_pixels(tmp_path):
    def hole(array, row):
        array = array.copy()
        array[: 2 * row] = np.nan
        return array

    write_tiff(tmp_path, change=hole)
    warning = only(tmp_path, "unknown-pixels")
    assert warning.sentence.endswith("in 11 images: 11.tif, 10.tif, 09.tif and 8 more")


def test_a_channel_of_one_value(tmp_path):
    for row in range(12):
        array = np.asarray(picture(row, channels=1), np.uint16)
        path = tmp_path / f"{row:02}.ome.tif"
        tifffile.imwrite(path, np.stack([array, np.full_like(array, 5)]), ome=True, metadata={"axes": "CYX"})
    warning = only(tmp_path, "constant-channel")
    assert warning.sentence == "one value in all sampled images: channel 2"


def test_clipped_values_of_a_given_rule(tmp_path):
    write_tiff(tmp_path)
    with open_images(tmp_path) as images:
        seen = survey(images)
        rule = choose_rule(seen).model_copy(update={"high": (100.0,)})
        (warning,) = inspect_images(images, rule, seen).warnings
    assert warning.kind == "clipped"
    assert warning.sentence.startswith("many values lie beyond the range that is kept and are clipped: the images ")


def test_pixels_that_are_in_memory_give_the_same_inspection(tmp_path):
    clean_set(tmp_path)
    for name in ("cat/copy.png", "dog/copy.png"):
        picture(92).save(tmp_path / name)
    picture(92).save(tmp_path / "dog/near.jpg", quality=85)
    (tmp_path / "cat" / "broken.png").write_bytes(b"no image")
    whole = (tmp_path / "cat" / "00.png").read_bytes()
    (tmp_path / "cat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    with open_images(tmp_path) as images:
        seen = survey(images)
        rule = choose_rule(seen)
        read = list(map_rows(images, lambda row: rule.pixels(images.read(row, 32)), range(len(images)), "reading"))
        rows = [row for row, each in read if not isinstance(each, str)]
        pixels = np.stack([each for _, each in read if not isinstance(each, str)])
        damaged = {images.names[row]: each for row, each in read if isinstance(each, str)}
        given, own = (
            inspect_pixels(images, rule, seen, Preprocessed(pixels, rows, damaged)),
            inspect_images(images, rule, seen),
        )
    assert given.to_json() == own.to_json()
    assert own.near_pairs == 1


def test_images_that_a_reader_leaves_out_are_counted(tmp_path):
    clean_set(tmp_path)
    write(tmp_path, [f"unlabelled/{row}.png" for row in range(3)], first=70)
    with open_images(tmp_path) as images:
        seen = survey(images)
        rule = choose_rule(seen)
        rows = [row for row in range(len(images)) if images.labels[row]]
        pixels = np.stack([rule.pixels(images.read(row)) for row in rows])
        inspection = inspect_pixels(images, rule, seen, Preprocessed(pixels, rows, {}))
    assert inspection.counts == {"cat": {"": 12}, "dog": {"": 12}, "": {"": 3}}
    assert [each.kind for each in inspection.warnings] == ["unlabelled"]
    assert len(inspection.examples[""]) == 3
