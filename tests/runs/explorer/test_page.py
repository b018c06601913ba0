"""The page in a browser, opened from disk: it shows the outputs of the stored networks."""

import base64
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from made import blob, made_explorer, session
from numpy.testing import assert_allclose
from PIL import Image

pytestmark = pytest.mark.xdist_group("browser")


def decoded(page_html, z):
    return session(page_html, "decoder").run(None, {"z": np.array([z], np.float32)})


def drag(opened, slider, fraction):
    """Drag a slider's thumb to a fraction of its width."""
    box = opened.page.locator(slider).bounding_box()
    low, high, value = opened.page.evaluate(
        "(s) => { const e = document.querySelector(s); return [e.min, e.max, e.value].map(Number) }", slider
    )
    y = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + 8 + (value - low) / (high - low) * (box["width"] - 16), y)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + fraction * box["width"] / 2, y, steps=4)
    opened.page.mouse.move(box["x"] + fraction * box["width"], y, steps=4)
    opened.page.mouse.up()
    opened.still()


def canvas_bytes(opened, selector):
    """RGB pixels of a canvas (H, W, 3)."""
    width, height, rgba = opened.page.evaluate(
        "(s) => { const c = document.querySelector(s);"
        " const i = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        " return [i.width, i.height, Array.from(i.data)] }",
        selector,
    )
    return np.array(rgba, np.uint8).reshape(height, width, 4)[..., :3]


@pytest.mark.parametrize(
    ("shape", "latent", "classes"),
    [((1, 28, 28), 20, 10), ((3, 16, 16), 2, 26), ((3, 40, 24), 64, 0), ((1, 9, 12), 3, 2)],
    ids=["grey", "colour, 2 latents, 26 classes", "oblong, 64 latents, no labels", "tiny, 2 classes"],
)
def test_dragging_a_slider_agrees_with_onnxruntime(opened, shape, latent, classes):
    explorer = made_explorer(shape, latent, classes, count=120)
    page = opened(explorer)
    first = int(np.argmax(explorer.kl_per_latent))
    before = page.z()
    drag(page, f"#z{first}", 0.85)
    after = page.z()
    assert after[first] > 1
    assert after[:first] + after[first + 1 :] == before[:first] + before[first + 1 :]
    images, *probabilities = decoded(explorer.html, after)
    assert_allclose(page.image(), images.ravel(), atol=1e-3)
    expected = np.rint(255 * images[0]).astype(int).transpose(1, 2, 0)
    assert np.abs(canvas_bytes(page, "#image").astype(int) - expected).max() <= 1
    bars = page.page.locator("#probabilities li .probability").all_inner_texts()
    assert len(bars) == min(classes, 12)
    if classes:
        in_order = probabilities[0][0] if classes <= 12 else np.sort(probabilities[0][0])[::-1][:12]
        assert_allclose([float(bar.removesuffix("\u00a0%")) / 100 for bar in bars], in_order, atol=6e-3)


def test_a_click_on_the_map_loads_that_images_code_and_hovering_shows_it(opened, explorer):
    page = opened(explorer)
    index = 17
    box = page.page.locator("#map").bounding_box()
    x, y = page.page.evaluate("(index) => explorer.canvasPositionOf(index)", index)
    page.page.mouse.move(box["x"] + x, box["y"] + y)
    hovered = page.page.evaluate("() => explorer.map.highlighted")
    assert page.page.locator("#tip").is_visible()
    assert f"test image {hovered + 1}, labelled class {hovered % 10}" in page.page.inner_text("#tip-text")
    shown = explorer.points.images[hovered].transpose(1, 2, 0).repeat(3, 2)
    assert np.array_equal(canvas_bytes(page, "#tip-image"), shown)
    page.page.mouse.click(box["x"] + x, box["y"] + y)
    page.still()
    assert_allclose(page.z(), explorer.points.mean[hovered], atol=1e-3)
    assert np.array_equal(canvas_bytes(page, "#source-image"), shown)


def test_projections_place_codes_exactly(opened, explorer):
    page = opened(explorer)
    position = "() => explorer.positionOf(explorer.state.z)"
    page.page.select_option("#map-kind", "latents")
    page.page.select_option("#axis-x", "3")
    page.page.select_option("#axis-y", "5")
    z = page.z()
    assert_allclose(page.page.evaluate(position), [z[3], z[5]])
    page.page.select_option("#map-kind", "pca")
    axes, centre, _ = explorer.points.pca()
    assert_allclose(page.page.evaluate(position), axes @ (np.array(z) - centre), atol=1e-4)
    page.page.select_option("#map-kind", "tsne")
    assert_allclose(page.page.evaluate(position), explorer.points.tsne[0], atol=1e-2)  # image 1 is shown first


def test_interpolations_are_linear_or_spherical(opened, explorer):
    page = opened(explorer)
    assert page.page.locator("#play").is_disabled()
    for slot, key in (("A", "a"), ("B", "b"), ("C", "c")):
        page.page.keyboard.press("s")
        page.still()
        page.page.keyboard.press(key)
        assert page.page.evaluate(f"() => explorer.state.slots.{slot} !== null")
    a, b, c = (np.array(page.page.evaluate(f"() => Array.from(explorer.state.slots.{s})")) for s in "ABC")
    drag(page, "#interpolation", 0.3)
    fraction = page.page.evaluate("() => explorer.state.interpolation.fraction")
    assert 0.2 < fraction < 0.4
    assert_allclose(page.z(), a + fraction * (b - a), atol=1e-5)
    page.click("input[value=spherical]")
    angle = math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    length = (1 - fraction) * np.linalg.norm(a) + fraction * np.linalg.norm(b)
    arc = math.sin((1 - fraction) * angle) * a / np.linalg.norm(a) + math.sin(fraction * angle) * b / np.linalg.norm(b)
    assert_allclose(page.z(), length * arc / math.sin(angle), atol=1e-4)
    page.click("#arithmetic")
    assert_allclose(page.z(), a - b + c, atol=1e-5)
    page.page.click("#play")
    page.wait_until("() => explorer.state.interpolation.fraction > 0.6")
    page.page.click("#play")
    assert page.page.inner_text("#play") == "Play"


def test_an_image_that_is_dropped_is_encoded(opened, explorer):
    page = opened(explorer)
    pixels = explorer.points.images[5, 0]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    page.page.evaluate(
        """(content) => {
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], "five.png", { type: "image/png" }));
          document.querySelector("#map").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        base64.b64encode(file.getvalue()).decode(),
    )
    page.still()
    mean, _ = session(explorer.html, "encoder").run(None, {"x": pixels[None, None].astype(np.float32) / 255})
    assert_allclose(page.z(), mean[0], atol=1e-3)
    assert "mean code of your image" in page.page.inner_text("#code-description")
    before = page.z()
    page.click("#resample")
    assert page.z() != before
    page.click("#mean")
    assert page.z() == before


def test_a_file_that_is_not_an_image_is_named(opened, explorer, tmp_path):
    page = opened(explorer)
    (tmp_path / "notes.png").write_text("not an image")
    page.page.set_input_files("#file", tmp_path / "notes.png")
    page.page.wait_for_selector("#page-error:not([hidden])")
    assert "notes.png cannot be read as an image" in page.page.inner_text("#page-error")


def test_drawing_encodes_the_drawn_pixels(opened, explorer):
    page = opened(explorer)
    box = page.page.locator("#pad").bounding_box()
    page.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    page.page.mouse.up()
    page.still()
    drawn = canvas_bytes(page, "#pad")[..., 0]
    assert drawn.max() > 200
    assert drawn[0].max() == 0
    mean, _ = session(explorer.html, "encoder").run(None, {"x": drawn[None, None].astype(np.float32) / 255})
    assert_allclose(page.z(), mean[0], atol=5e-3)
    page.page.click("#clear")
    assert canvas_bytes(page, "#pad").max() == 0


def test_the_page_works_by_keyboard(opened, explorer):
    page = opened(explorer)
    page.page.keyboard.press("0")
    page.still()
    assert set(page.z()) == {0}
    first = int(np.argmax(explorer.kl_per_latent))
    page.page.focus(f"#z{first}")
    page.page.keyboard.press("ArrowRight")
    page.still()
    assert page.z()[first] == pytest.approx(0.01)
    page.page.focus("#map")
    page.page.keyboard.press("ArrowRight")
    index = page.page.evaluate("() => explorer.map.highlighted")
    assert f"test image {index + 1}" in page.page.inner_text("#map-status")
    page.page.keyboard.press("Enter")
    page.still()
    assert_allclose(page.z(), explorer.points.mean[index], atol=1e-3)


def test_a_learned_prior_is_sampled_from_the_stored_codes(opened, explorer):
    prior_codes = np.random.default_rng(1).normal(2, 5, (30, len(explorer.kl_per_latent))).astype(np.float32)
    page = opened(replace(explorer, prior_codes=prior_codes))
    assert not page.page.locator("#temperature").is_visible()
    assert float(page.page.get_attribute("#z0", "max")) > np.abs(prior_codes[:, 0]).max()
    assert "N(0, I)" in page.page.inner_text("#latent-title")
    sampled = set()
    for _ in range(6):
        page.click("#sample")
        distances = np.abs(prior_codes - page.z()).max(1)
        assert distances.min() < 1e-3
        sampled.add(int(distances.argmin()))
    assert len(sampled) > 1
    page.wait_until(
        "() => document.querySelector('#code-description').textContent.startsWith('A sample from the learned prior.')"
    )


def test_a_standard_prior_is_sampled_at_a_temperature(opened, explorer):
    page = opened(explorer)
    assert page.page.locator("#temperature").is_visible()
    page.page.fill("#temperature", "0")
    page.click("#sample")
    assert set(page.z()) == {0.0}


def test_a_link_restores_the_state(opened, explorer):
    page = opened(explorer)
    page.click("#sample")
    page.page.keyboard.press("a")
    page.page.select_option("#map-kind", "pca")
    page.page.click("#legend li:nth-child(2) button")
    text = page.page.evaluate("() => explorer.link()")
    other = opened(explorer, "#" + text.split("#")[1])
    assert_allclose(other.z(), page.z(), atol=1e-4)
    assert other.page.input_value("#map-kind") == "pca"
    assert other.page.evaluate("() => [...explorer.state.hiddenClasses]") == [1]
    assert_allclose(other.page.evaluate("() => Array.from(explorer.state.slots.A)"), page.z(), atol=1e-4)


@pytest.mark.parametrize("change", ["", "x", "null", "[]", '{"z": [1]}', '{"z": ["<b>"]}'])
def test_a_damaged_link_is_one_sentence(opened, explorer, change):
    page = opened(explorer)
    page.page.click("#open-state")
    page.page.fill("#state-text", base64.b64encode(change.encode()).decode() if change != "x" else "x")
    page.page.click("#restore")
    assert page.page.inner_text("#state-error").endswith((".", "it."))
    assert page.page.locator("#state-dialog").is_visible()


def test_classes_can_be_hidden_and_errors_shown_alone(opened, explorer):
    page = opened(explorer)
    wrong = (np.array(explorer.page_data(0.0)["points"]["predicted"]) != explorer.points.labels).sum()
    assert f"misclassifies {wrong} of 200" in page.page.inner_text("#map-status")
    page.page.check("#errors")
    assert page.page.inner_text("#map-status").startswith(f"{wrong} test images")
    page.page.uncheck("#errors")
    page.page.click("#legend li:first-child button")
    assert page.page.inner_text("#map-status").startswith("180 test images")


def test_the_shown_image_is_saved_as_png(opened, explorer):
    page = opened(explorer)
    with page.page.expect_download() as download:
        page.page.click("#save")
    with Image.open(download.value.path()) as saved:
        assert saved.size == (448, 448)
        pixels = np.asarray(saved.convert("RGB"))[8::16, 8::16]
    assert np.array_equal(pixels, canvas_bytes(page, "#image"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_and_the_switch_between_them(opened, explorer, scheme):
    page = opened(explorer, color_scheme=scheme)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    before = page.page.evaluate(ground)
    assert before == {"light": "rgb(247, 248, 250)", "dark": "rgb(20, 24, 29)"}[scheme]
    page.page.click("#theme")
    assert page.page.evaluate(ground) == {"dark": "rgb(247, 248, 250)", "light": "rgb(20, 24, 29)"}[scheme]


def test_dead_latents_still_have_sliders(opened):
    explorer = made_explorer(latent=4, count=60)
    explorer.kl_per_latent[:] = 0.001
    page = opened(explorer)
    assert page.page.inner_text("#dead summary").startswith("4 dead latents: below 0.05 nats")
    drag(page, "#z2", 0.9)
    assert page.z()[2] > 1.5


def test_hostile_names_are_shown_and_not_executed(opened):
    names = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "</script><script>alert(3)</script>")
    page = opened(made_explorer(classes=3, count=60, name=names[2], names=names))
    assert page.page.inner_text("h1") == names[2]
    assert page.page.locator("#legend span").all_inner_texts() == list(names)


def test_a_notebook_shows_the_page_in_a_frame(chromium, explorer, tmp_path):
    (tmp_path / "notebook.html").write_text(f"<!DOCTYPE html><body>{explorer._repr_html_()}</body>")
    page = chromium.new_page()
    page.goto((tmp_path / "notebook.html").as_uri())
    page.frame_locator("iframe").locator("main[aria-busy=false]").wait_for(timeout=60000)
    assert page.frame_locator("iframe").locator("h1").inner_text() == "made up"
    page.close()


def test_the_sprite_sheet_of_grey_images_is_lossless(explorer):
    with Image.open(io.BytesIO(blob(explorer.html, "sheet-0"))) as sheet:
        pixels = np.asarray(sheet)[..., 0]
    columns = explorer.points.columns
    for index in (0, 16, 199):
        row, column = divmod(index, columns)
        cell = pixels[28 * row : 28 * row + 28, 28 * column : 28 * column + 28]
        assert np.array_equal(cell, explorer.points.images[index, 0])
