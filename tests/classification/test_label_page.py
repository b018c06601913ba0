"""label.html in a browser: labels by keys, undo, new classes, and the saved table, which classify reads again."""

import csv
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaebench.classification.collection import collect
from vaebench.classification.label_page import saved_table, write_label_page
from vaebench.classification.page import write_page
from vaebench.classification.results import ClassificationResult, Prediction
from vaebench.data.label_files import read_labels
from vaebench.data.reading import Reading

pytestmark = pytest.mark.xdist_group("browser")
KEYS = "123456789abcdefghijklmopqrtvwxyz"
HOSTILE = ('a "b", c.png', "=1+1.png", "two\nlines.png", "'; drop.png", " outer .png", "é;|\t.png", "-x.png", "@y.png")


class Opened:
    """An open page with its console messages and requests."""

    def __init__(self, browser, path, **context):
        self.page = browser.new_context(**{"viewport": {"width": 1200, "height": 1000}, **context}).new_page()
        self.messages, self.requests = [], []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.messages.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def text(self, selector):
        return self.page.inner_text(selector)

    @property
    def classes(self):
        return self.page.locator("#classes button span").all_inner_texts()

    def label(self, name):
        """Label the image by the key of a class, which is added if there is none of this name."""
        if name in self.classes:
            self.press(KEYS[self.classes.index(name)])
        else:
            if not self.page.evaluate("document.activeElement.id === 'new-class'"):
                self.press("n")
            self.page.keyboard.type(name)
            self.press("Enter")

    def save(self, folder):
        """Download the table; its path, with the name that the page gives it."""
        with self.page.expect_download() as download:
            self.page.click("#save")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path


@pytest.fixture
def opened(chromium):
    """A function that opens a page; at the end it must have no console messages and no requests."""
    pages = []

    def open_page(path, **context):
        pages.append(Opened(chromium, path, **context))
        return pages[-1]

    yield open_page
    for each in pages:
        assert each.messages == []
        assert [url for url in each.requests if not url.startswith(("file://", "data:", "blob:"))] == []
        each.page.context.close()


def rows_of(path):
    """Rows of a table, read by Python's csv alone."""
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8", "surrogateescape"), newline="")))


def collected(folder, out, tables=(), **options):
    return collect(folder, Reading(labels=tuple(map(str, tables)), **options), out / "work", lambda *args: None)


def write_images(folder, names):
    """Images of random pixels, with names that may be no UTF-8."""
    for seed, name in enumerate(names):
        data = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(data, "PNG")
        path = os.path.join(os.fsencode(folder), name if isinstance(name, bytes) else os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data.getvalue())


@pytest.fixture
def plain(tmp_path):
    """A collection of twelve images without labels."""
    write_images(tmp_path / "in", [f"{number}.png" for number in range(12)])
    return collected(tmp_path / "in", tmp_path / "out")


def test_the_loop_of_a_person(files, tmp_path, opened, monkeypatch):
    """From images without a label over twenty labels by keys to a classification, and on to its next images."""
    proposal = files.classify(tmp_path / "out", [])
    page = opened(proposal.folder / "label.html")
    names = [proposal.collection.names[row] for row in proposal.to_label_next]
    assert page.page.evaluate("document.activeElement.id") == "new-class"
    page.page.keyboard.type(files.truth[names[0]])
    page.press("Enter")
    page.press("1")  # a mistake, if the second image is of another class
    page.press("u")
    assert page.text("#place") == f"2 of {len(names)}, 1 labelled"
    assert page.text("#status") == f"Undone. Image 2 of {len(names)}."
    for name in names[1:20]:
        assert page.text("#file") == name
        page.label(files.truth[name])
    page.press("s", "ArrowLeft", "ArrowLeft")
    assert page.text("#label") == f"Label: {files.truth[names[19]]}"
    table = page.save(tmp_path)
    assert table.name == "labels.csv"
    assert rows_of(table) == [["file", "label"], *([name, files.truth[name]] for name in names[:20])]
    monkeypatch.setattr(
        "vaebench.experiments.networks.train", lambda *args, **kwargs: pytest.fail("the VAE was trained again")
    )
    result = files.classify(tmp_path / "out", [table])
    assert isinstance(result, ClassificationResult)
    assert result.collection.given_labels == {name: files.truth[name] for name in names[:20]}
    more = opened(write_page(result).with_name("label.html"))
    assert f"--labels {table} --labels labels-2.csv" in more.text("pre")
    assert more.text("#guess-text").startswith(result.guesses[0].label)
    more.press("Enter", "Space", "Enter")
    second = more.save(tmp_path)
    names = [result.collection.names[row] for row in result.to_label_next[[0, 2]]]
    assert rows_of(second)[1:] == [[names[0], result.guesses[0].label], [names[1], result.guesses[2].label]]
    labels = read_labels([table, second], result.collection.names, result.collection.title).labels
    assert len(labels) == 22


def test_names_of_files_and_classes_are_saved_as_they_are(tmp_path, opened):
    bad = b"bad\xff \xe9.png"
    write_images(
        tmp_path / "in", [b"x</script>&.png", *(f"unlabelled/{name}" for name in HOSTILE), b"unlabelled/" + bad]
    )
    write_images(tmp_path / "in" / 'y,"z', ["1.png"])
    collection = collected(tmp_path / "in", tmp_path / "out")
    rows = [row for row, name in enumerate(collection.names) if name.startswith("unlabelled/")]
    page = opened(write_label_page(tmp_path / "out", collection, rows, [Prediction("x<", 0.5)] * len(rows)))
    assert page.classes == ["x<", 'y,"z']
    page.label('</script><img src=x> "é, ü"')
    page.press(*["2"] * (len(rows) - 1))
    assert page.text("#place") == f"{len(rows)} of {len(rows)}, {len(rows)} labelled"
    expected = {"x</script>&.png": "x<", 'y,"z/1.png': 'y,"z'}
    expected |= {collection.names[row]: 'y,"z' for row in rows}
    expected[collection.names[rows[0]]] = '</script><img src=x> "é, ü"'
    assert os.fsencode(f"unlabelled/{os.fsdecode(bad)}") in map(os.fsencode, expected)
    table = page.save(tmp_path)
    assert dict(rows_of(table)[1:]) == expected
    assert read_labels([table], collection.names, collection.title).labels == expected
    assert "it also holds these 2:" in page.text("section[aria-labelledby=save-title]")


def test_labels_are_kept_on_reload_and_can_be_discarded(plain, tmp_path, opened):
    page = opened(write_label_page(tmp_path / "out", plain, range(12)))
    page.label("cat")
    page.label("dog")
    page.page.reload()
    assert page.classes == ["cat", "dog"]
    assert page.text("#place") == "3 of 12, 2 labelled"
    assert page.text("#restored-text") == "Restored from your last visit: 2 labels."
    page.page.click("#discard")
    assert page.text("#place") == "1 of 12, 0 labelled"
    assert page.page.is_disabled("#save")
    page.press("Control+z")
    assert page.text("#place") == "3 of 12, 2 labelled"
    page.press("ArrowLeft", "Delete")
    assert page.text("#status") == "Label removed. Image 2 of 12."
    assert rows_of(page.save(tmp_path))[1:] == [[plain.names[0], "cat"]]
    assert "at least two classes" in page.text("#summary")


def test_other_images_do_not_restore_the_labels(plain, tmp_path, opened):
    page = opened(write_label_page(tmp_path / "out", plain, range(12)))
    page.label("cat")
    write_label_page(tmp_path / "out", plain, range(1, 12))
    page.page.reload()
    assert page.text("#place") == "1 of 11, 0 labelled"


def test_many_classes_are_found_by_typing_and_a_click_leaves_the_keys_alone(plain, tmp_path, opened):
    table = tmp_path / "many.csv"
    write_images(tmp_path / "in", [f"{number}.png" for number in range(12, 60)])
    table.write_text("".join(f"{number}.png,class {number}\n" for number in range(12, 52)))
    collection = collected(tmp_path / "in", tmp_path / "out", [table])
    rows = [collection.names.index(f"{number}.png") for number in (*range(12), *range(52, 60))]
    page = opened(write_label_page(tmp_path / "out", collection, rows))
    assert page.page.locator("#classes kbd").all_inner_texts() == list(KEYS)
    page.press("/")
    page.page.keyboard.type("CLASS 5")
    assert page.page.locator("#classes li:visible").count() == 2
    page.press("Enter", "z")
    page.page.click("#classes button:has-text('class 49')")
    page.press("Space")
    assert page.text("#place") == "5 of 20, 3 labelled"
    assert [label for _, label in rows_of(page.save(tmp_path))[1:]] == ["class 50", "class 43", "class 49"]


def test_a_class_that_means_no_label_is_refused_and_another_case_is_the_same_class(plain, tmp_path, opened):
    page = opened(write_label_page(tmp_path / "out", plain, range(12)))
    page.label("NA")
    assert page.text("#class-error") == "“NA” means “no label” in a table; choose another name."
    page.page.fill("#new-class", "  Tabby   cat ")
    page.press("Enter")
    assert page.text("#class-error") == ""
    page.press("n")
    page.page.keyboard.type("tabby CAT")
    page.press("Enter")
    assert page.classes == ["Tabby cat"]
    assert page.text("#place") == "3 of 12, 2 labelled"
    page.press("u", "u")
    assert page.classes == []


def test_a_key_that_is_held_labels_one_image(plain, tmp_path, opened):
    page = opened(write_label_page(tmp_path / "out", plain, range(12)))
    page.label("cat")
    for _ in range(5):  # without a release in between, as a key that repeats
        page.page.keyboard.down("1")
    assert page.text("#place") == "3 of 12, 2 labelled"


def test_buttons_do_the_same_by_keyboard_and_say_what_they_did(plain, tmp_path, opened):
    page = opened(write_label_page(tmp_path / "out", plain, range(12), [Prediction("owl", 0.614)] * 12))
    page.label("cat")
    assert page.text("#status") == "Labelled cat. Image 2 of 12. Guess: owl, 61\N{NO-BREAK SPACE}%."
    page.page.focus("#classes button")
    page.press("Space", "Space")  # presses the button, which keeps the focus
    assert page.text("#place") == "4 of 12, 3 labelled"
    page.page.focus("#undo")
    page.press("Enter")
    assert page.text("#place") == "3 of 12, 2 labelled"
    assert page.page.get_attribute("#classes button", "aria-keyshortcuts") == "1"
    page.page.click("#overview li:nth-child(2) button")
    assert page.page.get_attribute("#classes button", "aria-pressed") == "true"
    assert page.page.get_attribute("#overview li:nth-child(2) button", "aria-label") == "Image 2: cat"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_narrow_screen_and_follows_the_scheme(plain, tmp_path, opened, scheme):
    path = write_label_page(tmp_path / "out", plain, range(12), [Prediction("a class with a long name" * 3, 0.5)] * 12)
    page = opened(path, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page.label("another class with a long name" * 3)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    background = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(background.removeprefix("rgb(").split(",")[0]) < 128) == (scheme == "dark")


def test_small_images_are_enlarged_and_large_ones_reduced(tmp_path):
    write_images(tmp_path / "in", [f"{number}.png" for number in range(12)])
    noise = np.random.default_rng(0).integers(0, 256, (300, 600, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "in" / "large.png")
    collection = collected(tmp_path / "in", tmp_path / "out")
    row = collection.names.index("large.png")
    small, large = collection.thumbnails([0, row], 256)
    assert (small.size, large.size) == ((256, 256), (256, 128))
    text = write_label_page(tmp_path / "out", collection, [0, row]).read_text()
    assert text.count('"pixels": true') == text.count('"pixels": false') == 1
    assert len(text) < 100_000


@pytest.fixture
def run_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(Path("in pictures"), [f"{number}.png" for number in range(12)])
    Path("labels.csv").write_text("0.png,cat\n1.png,dog\n")
    return Path("in pictures")


def test_the_command_repeats_tables_and_options(run_in):
    out = Path("runs") / "classify-in pictures"
    saved = saved_table(out, collected(run_in, out, ["labels.csv"]))
    assert saved == ("labels-2.csv", {}, "vaebench classify 'in pictures' --labels labels.csv --labels labels-2.csv")
    collection = collected(run_in, Path("elsewhere"), side=16, projection="max")
    saved = saved_table(Path("elsewhere"), collection)
    assert saved.command == (
        "vaebench classify 'in pictures' --labels labels.csv --size 16 --projection max --out elsewhere"
    )
    assert saved.given == {}
    masked = replace(collection, reading=replace(collection.reading, masks="my masks"))
    assert "--projection max --masks 'my masks' --out" in saved_table(Path("elsewhere"), masked).command


def test_labels_of_folders_are_saved_with_the_new_ones_those_of_the_test_part_too(tmp_path):
    parts = {f"{part}/{name}/{number}.png" for part in ("train", "test") for name in ("a", "NA") for number in range(3)}
    write_images(tmp_path / "in", sorted(parts))
    collection = collected(tmp_path / "in", tmp_path / "out")
    saved = saved_table(tmp_path / "out", collection)
    assert saved.given == {name: name.split("/")[1] for name in parts}
    text = write_label_page(tmp_path / "out", collection, [0]).read_text()
    assert "The class “NA” means “no label” in a table" in text
