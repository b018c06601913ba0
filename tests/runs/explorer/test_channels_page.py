"""Images of several channels in the browser: the default composite, other colours, and one channel alone."""

from dataclasses import replace

import numpy as np
import pytest
from made import made_explorer
from test_page import decoded

pytestmark = pytest.mark.xdist_group("browser")
HOSTILE = ("<b>red</b>", "nir", "", "a&b", "depth")


def five_channels(names=HOSTILE, channels=5):
    made = made_explorer((channels, 12, 10), 6, 4, count=80)
    images = made.points.images.astype(int) * np.arange(1, channels + 1)[:, None, None] // channels  # a shade for each
    return replace(made, points=replace(made.points, images=images.astype(np.uint8)), channel_names=names)


def canvas_bytes(opened, selector):
    """RGB pixels of a canvas (H, W, 3), read from a copy: browsers warn of a canvas that is read repeatedly."""
    width, height, rgba = opened.page.evaluate(
        "(s) => { const c = document.querySelector(s); const copy = new OffscreenCanvas(c.width, c.height);"
        " const context = copy.getContext('2d'); context.drawImage(c, 0, 0);"
        " return [c.width, c.height, Array.from(context.getImageData(0, 0, c.width, c.height).data)] }",
        selector,
    )
    return np.array(rgba, np.uint8).reshape(height, width, 4)[..., :3]


def expected(explorer, z, colours):
    planes = np.rint(255 * decoded(explorer.html, z)[0][0]).astype(int)
    return np.stack([planes[c] if c >= 0 else np.zeros_like(planes[0]) for c in colours], -1)


def close(shown, wanted):
    assert shown.shape == wanted.shape
    return np.abs(shown.astype(int) - wanted).max() <= 1


def test_a_model_of_five_channels_draws_and_a_select_changes_the_canvas(opened):
    explorer = five_channels()
    page = opened(explorer)
    assert close(canvas_bytes(page, "#image"), expected(explorer, page.z(), (0, 1, 2)))
    before = canvas_bytes(page, "#image")
    strips = page.page.evaluate("() => explorer.strips")
    page.page.select_option("#red", "4")
    page.wait_until(f"() => explorer.strips > {strips}")
    after = canvas_bytes(page, "#image")
    assert not np.array_equal(before, after)
    assert close(after, expected(explorer, page.z(), (4, 1, 2)))
    page.page.select_option("#blue", "-1")
    assert close(canvas_bytes(page, "#image"), expected(explorer, page.z(), (4, 1, -1)))
    page.page.select_option("#alone", "3")
    assert close(canvas_bytes(page, "#image"), expected(explorer, page.z(), (3, 3, 3)))
    page.page.select_option("#green", "0")  # leaves the single channel
    assert page.page.input_value("#alone") == "-1"
    assert close(canvas_bytes(page, "#image"), expected(explorer, page.z(), (4, 0, -1)))


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_test_images_have_the_selected_colours(opened, channels):
    explorer = five_channels(tuple(f"band {c}" for c in range(channels)), channels)
    page = opened(explorer)
    image = explorer.points.images[0]
    default = [image[c] if c < channels else 0 * image[0] for c in range(3)]
    assert np.array_equal(canvas_bytes(page, "#source-image"), np.stack(default, -1))
    last = channels - 1
    page.page.select_option("#alone", str(last))
    assert np.array_equal(canvas_bytes(page, "#source-image"), np.stack([image[last]] * 3, -1))


def test_names_are_text_and_selects_take_the_keyboard(opened):
    page = opened(five_channels())
    assert page.page.locator("#red option").all_inner_texts() == [
        "none",
        "<b>red</b>",
        "nir",
        "channel 3",
        "a&b",
        "depth",
    ]
    assert page.page.locator("#channels b").count() == 0
    assert not page.page.locator("#input-part").is_visible()
    page.page.focus("#red")
    page.page.keyboard.press("ArrowDown")
    assert page.page.input_value("#red") == "1"
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("() => document.activeElement.id") == "green"


def test_a_link_restores_the_channels(opened):
    explorer = five_channels()
    page = opened(explorer)
    page.page.select_option("#red", "3")
    page.page.select_option("#alone", "2")
    fragment = "#s=" + page.page.evaluate("() => explorer.link()").split("#s=")[1]
    again = opened(explorer, fragment)
    assert again.page.input_value("#alone") == "2"
    assert again.page.input_value("#red") == "3"
    assert close(canvas_bytes(again, "#image"), expected(explorer, again.z(), (2, 2, 2)))


def test_grey_and_colour_images_have_no_selects(opened):
    for shape in ((1, 9, 9), (3, 9, 9)):
        page = opened(made_explorer(shape, 2, 2, count=40))
        assert not page.page.locator("#channels").is_visible()
        assert page.page.locator("#input-part").is_visible()
