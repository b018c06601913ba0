"""Axes, legends and marks of the plots shared by reports and papers."""

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from vaebench.plotting.plots import Estimate, Panel, Series, bars, confusion, estimates, lines
from vaebench.plotting.sheets import channels_alone, grids
from vaebench.plotting.style import DPI, STYLE, png


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context(STYLE):
        yield


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels() if label.get_text()]


def test_logarithmic_axes_have_plain_numbers():
    x = list(range(1, 13))
    figure = lines([Panel("loss", {"a": Series(x, [30.0 * n for n in x])}, "step", "nats", log_x=True, log_y=True)])
    png(figure)
    ax = figure.axes[0]
    assert {"1", "2", "5", "10"} <= set(ticks(ax.xaxis))
    assert {"50", "100", "200"} <= set(ticks(ax.yaxis))
    assert not [word for word in texts(figure) if "$" in word]


@pytest.mark.parametrize("length", [3, 12, 22, 30])
@pytest.mark.parametrize("count", [2, 4, 6])
def test_the_legend_stays_inside_the_figure(length, count):
    names = [f"{n}".ljust(length, "m")[:length] for n in range(count)]
    figures = (
        bars(["x", "y", "z"], {name: [1.0, 2.0, 3.0] for name in names}, "y"),
        lines([Panel("t", {name: Series([0, 1], [0.0, 1.0]) for name in names}, "x", "y")] * 2),
    )
    for figure in figures:
        png(figure)
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width


def test_an_interval_about_a_single_point_is_visible():
    series = {"a": Series([1], [0.5], [0.4], [0.7]), "b": Series([1, 2], [0.5, 0.6], [0.4, 0.5], [0.6, 0.7])}
    (axes,) = lines([Panel("score", series, "", "score")]).axes
    one, band = axes.collections
    assert [point[1] for point in one.get_segments()[0]] == [0.4, 0.7]
    assert band.get_paths()[0].get_extents().height == pytest.approx(0.3)


SCORES = {"one": 0.5, "two": 0.6, "three": 0.7}


def test_estimates_are_at_their_values_and_rows():
    panels = {
        "one": {"1 label": {"graph": Estimate(2.0, 1.0, 3.5), "images": Estimate(-1.0, -2.0, 0.0)}},
        "other": {"1 label": {"images": Estimate(0.5, 0.0, 1.0)}, "10 labels": {"images": Estimate(4.0, 3.0, 5.0)}},
    }
    figure = estimates(panels, "points")
    png(figure)
    first, second = figure.axes
    assert ticks(first.yaxis) == ["graph", "images"]
    seen = [container.lines[0].get_xydata().tolist() for container in (*first.containers, *second.containers)]
    assert [[x for x, _ in points] for points in seen] == [[2.0, -1.0], [0.5], [4.0]]
    assert [[round(y) for _, y in points] for points in seen] == [[0, 1], [1], [1]]
    (bars_,) = first.containers[0].lines[2]
    assert [segment[:, 0].tolist() for segment in bars_.get_segments()] == [[1.0, 3.5], [-2.0, 0.0]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1 label", "10 labels"]


def test_estimates_in_several_rows_keep_limits_and_names():
    panels = {title: {"": {"a": Estimate(at, 0.0, 0.9), "b": Estimate(0.1, 0.0, 0.2)}} for title, at in SCORES.items()}
    figure = estimates(panels, "score", 2, (0.0, 1.0))
    png(figure)
    assert [ax.get_title("left") for ax in figure.axes] == list(SCORES)
    assert [ax.containers[0].lines[0].get_xdata()[0] for ax in figure.axes] == list(SCORES.values())
    assert all(ax.get_xlim() == (0, 1) for ax in figure.axes)
    lefts = [ax for ax in figure.axes if ax.yaxis.get_tick_params()["labelleft"]]
    assert [ax.get_title("left") for ax in lefts] == ["one", "three"]
    assert not figure.legends


def test_a_fraction_below_one_percent_is_shown_as_such():
    figure = confusion(np.array([[995, 5], [10, 990]]), ["a", "b"], "errors")
    assert [word for word in texts(figure) if word.endswith("1 %")] == ["<1 %", "1 %"]


@pytest.mark.parametrize(("columns", "shape"), [(1, (2, 16)), (3, (8, 8)), (2, (1, 3))])
def test_grids_have_titles_and_exact_pixels(columns, shape):
    rng = np.random.default_rng(0)
    sheets = {name: rng.integers(0, 256, (*shape, 1, 28, 28)).astype(np.uint8) for name in ("a", "b", "c", "d")}
    figure = grids(sheets, columns)
    png(figure)
    assert [ax.get_title("left") for ax in figure.axes] == list(sheets)
    wide, high = figure.get_size_inches() * DPI
    tops = []
    for ax, images in zip(figure.axes, sheets.values(), strict=True):
        canvas = ax.images[0].get_array()
        np.testing.assert_array_equal(canvas[-28:, -28:, 0], images[-1, -1, 0])
        box = ax.get_position()
        across, down = box.width * wide / canvas.shape[1], box.height * high / canvas.shape[0]
        assert across == pytest.approx(round(across))
        assert down == pytest.approx(across)
        tops.append((ax.get_window_extent(), ax.title.get_window_extent()))
    for image, _ in tops:
        assert not any(image.overlaps(words) for _, words in tops)


def test_large_numbers_on_logarithmic_axes_have_no_exponent():
    panel = Panel("", {"a": Series([100, 1_000_000], [0.02, 2_000_000])}, "images", "s", log_x=True, log_y=True)
    figure = lines([panel])
    figure.draw_without_rendering()
    shown = texts(figure)
    assert {"100", "1,000,000", "0.02", "2,000,000"} <= set(shown)
    assert not any("e+" in word for word in shown)


@pytest.mark.parametrize("count", [2, 10, 30])
def test_a_long_title_stays_inside_the_figure(count):
    title = "logistic regression on VAE means, all training labels: accuracy 100.0 %"
    figure = confusion(np.eye(count, dtype=int), [f"class {n}" for n in range(count)], title)
    png(figure, dpi=100)
    (text,) = [text for text in figure.findobj(Text) if text.get_text().replace("\n", " ") == title]
    box = text.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.y1 <= figure.bbox.height
    assert box.y0 >= figure.axes[0].get_window_extent().y1


def test_channels_alone_are_grey_and_the_composite_is_colour():
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 4), np.uint8)
    figure = channels_alone(images, ("a", "b", "c", "d", "e"), ["x", "y", "z"])
    png(figure)
    assert ticks(figure.axes[0].yaxis) == ["composite", "a", "b", "c", "d", "e"]
    assert ticks(figure.axes[0].xaxis) == ["x", "y", "z"]
    canvas = figure.axes[0].images[0].get_array()
    for column in range(3):
        shown = canvas[:4, 5 * column : 5 * column + 4]
        np.testing.assert_array_equal(shown, np.moveaxis(images[column, :3], 0, 2))
        for channel in range(5):
            rows = slice(5 * (channel + 1), 5 * (channel + 1) + 4)
            shown = canvas[rows, 5 * column : 5 * column + 4]
            np.testing.assert_array_equal(shown, images[column, channel, ..., None].repeat(3, 2))
