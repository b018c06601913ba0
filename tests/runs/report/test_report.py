"""The report page: its contents, no external resources, and names are escaped."""

import base64
import re
import tomllib
from html.parser import HTMLParser

import numpy as np
import pytest
from made_up import accuracy_row

from vaebench.core.errors import VaebenchError
from vaebench.runs.recipe import parse_recipe
from vaebench.runs.report.figures import FIGURES
from vaebench.runs.report.report import render, write_report
from vaebench.runs.report.tables import elbo_table, recipe_text
from vaebench.runs.run import Run

TEN = tuple(str(digit) for digit in range(10))
EVIL = "<script>alert(1)</script>"
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Tags with their attributes, text, and tables as lists of rows of cells; nesting is checked."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.tables, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def page_of(run):
    return Page(write_report(run).read_text(encoding="utf-8"))


def without_figures(run):
    return Page(render(run, [], None))


def test_every_figure_is_there_inline_and_as_a_file(make_run):
    run = make_run(shape=(5, 8, 8), classes=TEN, self_trained=True)
    page = page_of(run)
    images = page.of("img")
    names = [name for name in FIGURES if not name.startswith("code-")]
    assert [attributes["id"] for attributes in page.of("figure")] == names
    for attributes, name in zip(images, names, strict=True):
        assert attributes["alt"].strip()
        inline = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
        assert inline == (run.path / "figures" / f"{name}.png").read_bytes()


def test_without_labels_the_label_sections_are_left_out(make_run):
    run = make_run()
    page = page_of(run)
    shown = {attributes["id"] for attributes in page.of("figure")}
    assert {name for name in FIGURES if name not in shown and "self-trained" not in name} == {
        "channels",
        "code-traversals",
        "code-use",
        "learning-curve",
        "pretraining-losses",
        "nearest-training-images",
        "confusion",
    }
    sections = {attributes["id"] for attributes in page.of("section")}
    assert sections == {"explore", "nats", "training", "images", "latents", "how"}
    assert "Latents" not in page.words.replace("Latents below the dashed line", "")
    assert sorted(path.stem for path in (run.path / "figures").iterdir()) == sorted(shown)


def test_the_contents_link_to_every_section(make_run):
    page = page_of(make_run(classes=TEN, alarms=[("dead-latents", "3 of 12 latents")]))
    linked = [attributes["href"].removeprefix("#") for attributes in page.of("a")]
    assert linked == [attributes["id"] for attributes in page.of("section")]
    assert linked == ["alarms", "verdict", "explore", "nats", "training", "images", "latents", "errors", "how"]


def test_the_explorer_lies_beside_the_report_and_is_linked(make_run):
    run = make_run(classes=TEN, weights=True)
    page = page_of(run)
    linked = [attributes["href"] for attributes in page.of("a") if not attributes["href"].startswith("#")]
    assert linked == ["explorer.html"]
    text = (run.path / "explorer.html").read_text(encoding="utf-8")
    assert "<h1>made-up</h1>" in text
    assert "The map holds 40 of the 60 test images." in text
    assert text == run.explore().html


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "holds no weights.safetensors"),
        ({"weights": True, "latent": 1}, "a map needs at least 2 latents, and this run has 1"),
        ({"weights": True, "map_images": False}, "an earlier vaebench, which kept no images for the map; run it again"),
    ],
)
def test_the_report_gives_the_reason_for_a_missing_explorer(make_run, changes, reason):
    run = make_run(classes=TEN, **changes)
    page = page_of(run)
    assert reason in page.words
    assert not [attributes for attributes in page.of("a") if not attributes["href"].startswith("#")]
    with pytest.raises(VaebenchError, match=re.escape(reason)):
        run.explore()


def test_weights_beyond_16_bits_prevent_the_explorer_but_not_the_report(make_run):
    run = make_run(classes=TEN, weights=True)
    next(iter(run.vae.decoder.parameters())).data.fill_(1e5)
    assert "weights above 65,504" in page_of(run).words
    assert not (run.path / "explorer.html").exists()


def test_the_page_has_no_external_resources(make_run):
    run = make_run(classes=(*TEN[:8], EVIL, '"><img src=x onerror=alert(1)>'), data="https://example.org/x.js")
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "form", "svg", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "srcset", "action", "background", "data"):
            if value := attributes.get(name):
                assert value.startswith(("#", "data:image/png;base64,"))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_hostile_names_stay_text(make_run):
    run = make_run(
        classes=(EVIL, "{{ 7*7 }}", "a\x00b\x1b[31m"),
        data=f"{EVIL}data",
        note="</style><script>note()</script>",
        alarms=[(EVIL, "<b onclick=x()>")],
    )
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert "<script" not in text
    assert "{{ 7*7 }}" in page.words
    assert page.words.count(EVIL) >= 3
    assert not [c for c in text if ord(c) < 32 and c != "\n"]


def test_the_accuracy_table_is_the_rows(make_run):
    run = make_run(classes=TEN)
    page = without_figures(run)
    tables = [table for table in page.tables if table[-1][0] == "draws (n)"]
    names = {"VAE latents": "vae", "raw pixels": "pixels", "PCA": "pca", "supervised network": "images"}
    names |= {"plain autoencoder": "autoencoder", "random encoder": "random"}
    assert len(tables) == 2
    for table, probe in zip(tables, ("logistic", "knn"), strict=True):
        assert table[0] == ["labels per class", "1", "10", "all"]
        assert table[-1] == ["draws (n)", "3", "3", "1"]
        assert {row[0] for row in table[1:-1]} == set(names)
        for name, *cells in table[1:-1]:
            probe_name = "supervised" if name == "supervised network" else probe
            for count, cell in zip((1, 10, "all"), cells, strict=True):
                (row,) = (
                    r
                    for r in run.rows
                    if (r.get("features"), r.get("probe"), r.get("labels_per_class"), r["split"])
                    == (names[name], probe_name, count, "test")
                )
                spread = f" ± {np.std(row['values'], ddof=1):.3f}" if row["n"] > 1 else ""
                assert cell == f"{np.mean(row['values']):.3f}{spread}"


def test_the_difference_table_colours_what_is_clear(make_run):
    rows = [
        accuracy_row("vae", 1, [0.7, 0.8]),
        accuracy_row("pixels", 1, [0.6, 0.7]),
        accuracy_row("pca", 1, [0.8, 0.9]),
        accuracy_row("vae", "all", [0.9]),
        accuracy_row("pixels", "all", [0.95]),
    ]
    page = without_figures(make_run(classes=TEN, counts=(1, "all"), rows=rows))
    (table,) = (table for table in page.tables if table[1][0] == "raw pixels")
    assert table[1][1].startswith("+0.100")
    assert table[1][2] == "\N{MINUS SIGN}0.050one draw"
    assert table[2] == ["PCA", table[2][1], "\N{EN DASH}"]
    assert [a.get("class") for a in page.of("td") if "class" in a] == ["win", "one draw", "lose"]


def test_a_lost_comparison_is_in_the_page(make_run):
    rows = [accuracy_row("vae", 1, [0.5, 0.6]), accuracy_row("pixels", 1, [0.7, 0.8])]
    page = without_figures(make_run(classes=TEN, counts=(1,), rows=rows))
    assert "Latents lose to raw pixels at 1 label per class, the only count with several draws." in page.words
    assert "1 label per class: latents 0.55, pixels 0.75" in page.words


def test_alarms_come_before_the_verdict(make_run):
    page = without_figures(make_run(classes=TEN, alarms=[("posterior-collapse", "the whole code carries 0.1 nats")]))
    assert page.words.index("the whole code carries") < page.words.index("Every representation is evaluated with")


def test_the_run_details_are_complete(make_run):
    page = page_of(make_run(classes=TEN, note="JPEG copy", name="my-run"))
    for text in (
        "my-run",
        "made up (JPEG copy)",
        "1,234 train, 50 validation, 60 test",
        "f00d",
        "abacus, 2 cores",
        "vaebench 9.9",
        "abc123+",
        "12.5",
        "all 1,234 training labels, one draw",
        "3 label draws",
        "Nothing was selected on the test images",
        "recipe.json",
    ):
        assert text in page.words
    assert "made up (JPEG copy)" in next(text for text in page.text if text.startswith("Test accuracy (%)"))


def test_the_elbo_table_is_the_rows_with_units(make_run):
    page = without_figures(make_run())
    (table,) = (table for table in page.tables if table[0][0] == "on the test images")
    assert [row[1] for row in table[1:]] == ["-95.25", "83.50", "11.75", "1", "0"]
    assert table[1][2] == "nats per image; higher is better"


@pytest.mark.parametrize(("black_and_white", "warned"), [(False, True), (True, False)])
def test_bernoulli_on_grey_pixels_is_not_a_density(make_run, black_and_white, warned):
    run = make_run()
    if black_and_white:
        run.panels["reconstruction_images"] = run.panels["reconstruction_images"] // 128 * 255
    assert ("not a density" in without_figures(run).words) == warned


def test_the_recipe_shown_is_toml_of_the_run(make_run):
    run = make_run(classes=TEN)
    assert parse_recipe(tomllib.loads(recipe_text(run)), "the page") == run.recipe


def test_a_page_of_large_colour_images_stays_small(make_run):
    run = make_run(shape=(3, 96, 96), latent=30, classes=TEN, points=2000)
    for name in ("reconstruction_outputs", "worst_outputs", "samples", "traversals", "interpolations"):
        blurred = run.panels[name][..., ::16, ::16]  # decoded means are smooth; the images themselves stay noise
        run.panels[name] = blurred.repeat(16, -1).repeat(16, -2)
    assert write_report(run).stat().st_size < 6e6


def test_an_unfinished_run_has_no_report(tmp_path, make_run):
    run = make_run()
    (run.path / "results.json").unlink()
    with pytest.raises(VaebenchError, match="not finished"):
        write_report(Run.load(run.path))


def test_an_interrupted_report_leaves_the_old_one(make_run):
    run = make_run()
    page = write_report(run)
    before = page.read_text(encoding="utf-8")
    del run.panels["samples"]
    with pytest.raises(KeyError):
        write_report(run)
    assert page.read_text(encoding="utf-8") == before
    assert not [path for path in run.path.rglob(".*") if path.is_file()]


def test_the_elbo_before_and_after_self_training_are_in_one_table(make_run):
    table = elbo_table(make_run(classes=("a", "b"), self_trained=True))
    assert table.header == ["on the test images", "before self-training", "after", "unit"]
    assert table.rows[0][:3] == ["ELBO", "-95.25", "-96.75"]
    assert elbo_table(make_run(classes=("a", "b"))).rows[0][1] == "-95.25"


def test_the_page_of_a_self_trained_vae_compares_it_and_not_the_latents(make_run):
    text = page_of(make_run(classes=TEN, self_trained=True)).words
    assert "Self-trained VAEs against each baseline" in text
    assert "Accuracy of self-trained VAEs minus that of the baseline" in text
    plain = page_of(make_run(classes=TEN)).words
    assert "Latents against each baseline" in plain
    assert "elf-trained" not in plain
