"""vaebench inspect: the Python call, the command's text and JSON, and its page in a browser."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vaebench as vb
from vaebench.cli import main
from vaebench.inspection.text import MAX_CLASSES, lines

HOSTILE = "<script>alert(1)</script>"


def noise(seed, side=20):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.fixture
def photos(tmp_path):
    """Two parts, three classes one of which has a hostile name, a copy in both parts, and a broken file."""
    root = tmp_path / "photos"
    for number, (part, count) in enumerate((("train", 8), ("test", 3))):
        for index, name in enumerate(("cat", "dog", HOSTILE.replace("/", "\N{DIVISION SLASH}"))):
            (root / part / name).mkdir(parents=True)
            for row in range(count):
                side = 20 + row % 3
                noise(1000 * number + 100 * index + row, side).save(root / part / name / f"&lt;{row}.png")
    for part in ("train", "test"):
        noise(7777).save(root / part / "cat" / "copy.png")
    (root / "train" / "dog" / "broken.png").write_bytes(b"no image")
    return root


def test_python_call(photos, tmp_path):
    events = []
    inspection = vb.inspect(photos, page=tmp_path / "pages" / "page.html", callback=events.append)
    assert [each.kind for each in inspection.warnings] == ["equal-across-parts", "unreadable"]
    assert (inspection.images, inspection.labelled, inspection.parts) == (36, 35, ("train", "test"))
    assert inspection.counts["cat"] == {"train": 9, "test": 4}
    assert (tmp_path / "pages" / "page.html").exists()
    assert {event.stage for event in events} == {
        f"{task} photos" for task in ("scanning", "sampling", "reading", "comparing", "drawing")
    }
    assert events[-1].done == 1


def test_one_table_or_several(tmp_path):
    for row in range(12):
        noise(row).save(tmp_path / f"{row:02}.png")
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("".join(f"{row:02}.png,cat\n" for row in range(6)))
    second.write_text("".join(f"{row:02}.png,dog\n" for row in range(6, 12)))
    assert vb.inspect(tmp_path, str(first)).labelled == 6
    inspection = vb.inspect(tmp_path, [first, str(second)], side=16)
    assert inspection.labelled == 12
    assert (inspection.rule.width, inspection.rule.height) == (16, 16)


def test_command_prints_warnings_first_and_writes_a_page(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", str(photos)]) == 0
    out, errors = capsys.readouterr()
    rows = out.splitlines()
    assert rows[0] == "photos: 36 images, 1 of them unreadable, 35 labelled in 3 classes"
    assert rows[2] == "2 warnings, worst first:"
    assert rows[3].startswith("- 1 image occurs in several parts of the data set, for example test/cat/copy.png = ")
    assert rows[5].startswith("- 1 image cannot be read and will be left out: train/dog/broken.png is not an image")
    assert any(row.split() == ["cat", "9", "4"] for row in rows)
    assert rows[-1] == "open runs/inspect-photos.html"
    assert (tmp_path / "runs" / "inspect-photos.html").exists()
    assert "reading photos" in errors


def test_json_is_one_object_and_nothing_else(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", str(photos), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "runs").exists()
    assert result["schema"] == 1
    assert (result["images"], result["labelled"], result["parts"]) == (36, 35, ["train", "test"])
    assert [set(warning) for warning in result["warnings"]] == [{"kind", "sentence", "advice", "names"}] * 2
    assert list(result["unreadable"]) == ["train/dog/broken.png"]
    assert sum(each["images"] for each in result["sizes"]) == 35
    assert {"name", "lowest", "highest", "low", "high", "clipped", "counts"} == set(result["channels"][0])
    assert result["duplicates"]["equal"] == [["test/cat/copy.png", "train/cat/copy.png"]]
    assert result["rule"]["width"] == 21
    assert result == vb.inspect(photos).to_json()


def test_json_documents_its_keys(photos):
    text = (Path(__file__).parents[2] / "docs" / "your-images.md").read_text()
    result = vb.inspect(photos).to_json()
    for key in (*result, *result["duplicates"], *result["channels"][0], *result["warnings"][0]):
        assert f"`{key}`" in text


def test_json_with_a_page(photos, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["inspect", str(photos), "--json", "--out", str(page)]) == 0
    json.loads(capsys.readouterr().out)
    assert page.exists()


def test_mistakes(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "nothing")]) == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "only.png").write_bytes(b"no image")
    assert main(["inspect", str(tmp_path)]) == 2
    assert "its only image cannot be read" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path), "--projection", "median"]) == 2
    assert "expected one of max, mean, first" in capsys.readouterr().err


def test_many_classes_are_shortened_in_text(tmp_path):
    for label in range(60):
        (tmp_path / f"class {label:02}").mkdir()
        for row in range(2):
            noise(10 * label + row).save(tmp_path / f"class {label:02}" / f"{row}.png")
    inspection = vb.inspect(tmp_path, page=tmp_path / "page.html")
    text = lines(inspection)
    assert sum(line.startswith("class 0") or line.startswith("class 1") for line in text) == MAX_CLASSES
    assert any(line.startswith(f"({60 - MAX_CLASSES} more)") for line in text)
    page = (tmp_path / "page.html").read_text()
    assert "30 of 60 classes are left out." in page
    assert page.count('<ul class="gallery">') == 30


class Checker(HTMLParser):
    """Counts elements and checks that they are nested."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_well_formed_and_escapes_names(photos, tmp_path):
    vb.inspect(photos, page=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert not [tag for tag, _ in checker.tags if tag == "script"]
    assert "&amp;lt;0.png" in text
    assert "http:" not in text
    assert "https:" not in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_a_browser(photos, tmp_path, chromium, scheme):
    path = tmp_path / "page.html"
    vb.inspect(photos, page=path)
    page = chromium.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme).new_page()
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("dialog", lambda dialog: (messages.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert messages == []
    assert [url for url in requests if not url.startswith(("file://", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert page.locator(".alarm").count() == 2
    assert page.locator("figure").count() == 3
    assert page.locator("#images .gallery img").count() == 12 + 11 + 11
    assert page.locator("h3", has_text=HOSTILE.replace("/", "\N{DIVISION SLASH}")).count() == 1
    page.context.close()


def test_known_factors_are_named(tmp_path):
    factors = np.stack(np.meshgrid(np.arange(3), np.arange(4), np.arange(2)), -1).reshape(-1, 3)
    shapes = np.random.default_rng(0).integers(0, 2, (24, 16, 16), np.uint8)
    np.savez(tmp_path / "sprites.npz", imgs=shapes, latents_classes=factors, latents_values=factors / 7)
    inspection = vb.inspect(tmp_path / "sprites.npz")
    assert inspection.factors == (3, 4, 2)
    assert inspection.to_json()["factors"] == [3, 4, 2]
    sentence = "3 known factors of variation, with 3, 4, 2 values: vaebench run measures disentanglement by them"
    assert any(sentence in line for line in lines(inspection))


def test_each_channel_is_shown_alone(tmp_path):
    values = np.random.default_rng(0).integers(0, 4000, (12, 20, 20, 5)).astype(np.uint16)
    np.save(tmp_path / "stacks.npy", values)
    vb.inspect(tmp_path / "stacks.npy", page=tmp_path / "page.html")
    assert "Channels alone" in (tmp_path / "page.html").read_text()
    np.save(tmp_path / "colours.npy", values[..., :3])
    vb.inspect(tmp_path / "colours.npy", page=tmp_path / "page.html")
    assert "Channels alone" not in (tmp_path / "page.html").read_text()


def test_long_loops_report_their_progress(tmp_path):
    for row in range(300):
        noise(row // 3, 24).save(tmp_path / f"{row:03}.png")
        noise(row // 3, 24).resize((25, 25)).save(tmp_path / f"{row:03}.jpg", quality=95)
    events = []
    vb.inspect(tmp_path, page=tmp_path.parent / "page.html", callback=events.append)
    for task in ("scanning", "sampling", "reading", "comparing", "drawing"):
        done = [event.done for event in events if event.stage.startswith(task)]
        assert done == sorted(done), task
        assert done[-1] == 1, task
    assert sum(event.stage.startswith("comparing") for event in events) >= 5
