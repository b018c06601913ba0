"""The figures of the report: which are drawn, and their contents."""

import numpy as np
import pytest
from made_up import accuracy_row
from matplotlib.text import Text

from vaebench.plotting.palette import class_style
from vaebench.plotting.style import class_names, png, signed
from vaebench.runs.report.figures import FIGURES, figures

TEN = tuple(str(digit) for digit in range(10))
LABELS = {"learning-curve", "nearest-training-images", "confusion"}
CODES = {"code-traversals", "code-use"}
"""Figures of runs with discrete latents."""
OTHER_RUNS = {name for name in FIGURES if name.startswith("self-trained")} | {"pretraining-losses", "channels"} | CODES
"""Figures of runs with self-training, with a model that starts from a trained VAE, on other than grey or colour images,
or with discrete latents."""


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_without_labels_exactly_the_label_panels_are_left_out(make_run):
    assert set(FIGURES) - set(figures(make_run())) == LABELS | OTHER_RUNS


@pytest.mark.parametrize(
    ("latent", "missing"),
    [(1, {"map-images", "map-tsne", "map-2d", "map-3d"}), (2, {"map-3d"}), (3, set()), (12, set())],
)
def test_maps_need_as_many_latents(make_run, latent, missing):
    drawn = figures(make_run(latent=latent, classes=("a", "b")))
    assert set(FIGURES) - set(drawn) == missing | OTHER_RUNS
    for figure in drawn.values():
        assert png(figure).startswith(b"\x89PNG")


def test_without_an_autoencoder_its_losses_are_left_out(make_run):
    assert set(FIGURES) - set(figures(make_run(classes=TEN, autoencoder=False))) == {"autoencoder-losses"} | OTHER_RUNS


def test_a_self_trained_vae_is_shown_beside_the_vae(make_run):
    drawn = figures(make_run(classes=TEN, self_trained=True))
    assert set(drawn) == set(FIGURES) - {"channels"} - CODES
    assert "accuracy 100.0 %" in " ".join(texts(drawn["self-trained-confusion"]))
    for ax in drawn["learning-curve"].axes:
        curve = next(line for line in ax.lines if line.get_label() == "self-trained VAE")
        np.testing.assert_allclose(curve.get_ydata(), 90.0)


def test_a_figure_that_fails_is_not_swallowed(make_run):
    run = make_run(classes=TEN)
    del run.panels["worst_nats"]
    with pytest.raises(KeyError, match="worst_nats"):
        figures(run)


def test_learning_curve_draws_the_rows(make_run):
    run = make_run(classes=TEN)
    figure = FIGURES["learning-curve"].figure(run)
    assert [ax.get_title("left") for ax in figure.axes] == [
        "logistic on each representation",
        "knn on each representation",
    ]
    for ax, probe in zip(figure.axes, ("logistic", "knn"), strict=True):
        drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
        for features, name, probe_name in (
            ("vae", "VAE latents", probe),
            ("pixels", "raw pixels", probe),
            ("images", "supervised network", "supervised"),
        ):
            means = [
                100 * row["mean"]
                for row in run.rows
                if (row.get("features"), row.get("probe"), row["split"]) == (features, probe_name, "test")
            ]
            np.testing.assert_allclose(drawn[name], means)
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "10", "all"]


def test_traversals_are_named_by_latent_and_nats(make_run):
    labels = texts(FIGURES["traversals"].figure(make_run(latent=3)))
    assert "z0  2.00 nats" in labels
    assert "z2  0.01 nats" in labels
    assert {"\N{MINUS SIGN}3", "0", "+3"} <= set(labels)


def test_dead_latents_are_counted_in_the_bars(make_run):
    figure = FIGURES["kl-per-latent"].figure(make_run(latent=3))
    assert figure.axes[0].get_title("left") == "3.01 nats in total; 1 of 3 latents are dead"


def test_confusion_names_its_probe_and_accuracy(make_run):
    run = make_run(classes=TEN)
    counts = run.panels["confusion"]
    title = " ".join(FIGURES["confusion"].figure(run).get_suptitle().split())
    assert title.startswith("logistic regression on VAE means, all training labels")
    assert f"{100 * np.trace(counts) / counts.sum():.1f} %" in title


def test_numbers_in_the_confusion_only_where_there_is_room(make_run):
    ten = make_run(classes=TEN)
    assert str(ten.panels["confusion"].max()) in texts(FIGURES["confusion"].figure(ten))


def test_many_classes_have_no_numbers_in_the_confusion(make_run):
    run = make_run(classes=tuple("abcdefghijklmnopqrstuvwxyz"), points=120)
    figure = FIGURES["confusion"].figure(run)
    assert not figure.axes[0].texts
    assert set("abcdefghijklmnopqrstuvwxyz") <= set(texts(FIGURES["map-tsne"].figure(run)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 64, 48), (1, 90, 130), (3, 200, 200)])
def test_pictures_of_any_size_and_colour(make_run, shape):
    run = make_run(shape=shape, pairs=5)
    for name in ("reconstructions", "worst-reconstructions", "samples", "traversals", "interpolations"):
        figure = FIGURES[name].figure(run)
        canvas = figure.axes[0].images[0].get_array()
        assert canvas.shape[-1] == 3
        assert max(figure.get_size_inches()) < 22


@pytest.mark.parametrize("channels", [2, 4, 16])
def test_several_channels_are_drawn_as_a_composite_and_alone(make_run, channels):
    run = make_run(shape=(channels, 8, 8), pairs=5, classes=TEN)
    for figure in figures(run).values():
        assert png(figure).startswith(b"\x89PNG")
    first = run.panels["samples"][0]
    colours = [first[c] if c < channels else 0 * first[0] for c in range(3)]
    canvas = FIGURES["samples"].figure(run).axes[0].images[0].get_array()
    np.testing.assert_array_equal(canvas[:8, :8], np.stack(colours, -1))
    ax = FIGURES["channels"].figure(run).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "composite", *(f"channel {c + 1}" for c in range(channels))
    ]  # fmt: skip
    canvas, output = ax.images[0].get_array(), run.panels["reconstruction_outputs"][0]
    np.testing.assert_array_equal(canvas[-8:, 9:17], np.repeat(output[-1][:, :, None], 3, 2))


def test_empty_cells_are_white_for_any_number_of_channels(make_run):
    for channels in (1, 2, 3, 5):
        run = make_run(shape=(channels, 8, 8), pairs=11)
        canvas = FIGURES["reconstructions"].figure(run).axes[0].images[0].get_array()
        assert (canvas[-8:, -8:] == 255).all()


def test_image_pixels_reach_the_sheet_unchanged(make_run):
    run = make_run(shape=(3, 8, 8))
    canvas = FIGURES["samples"].figure(run).axes[0].images[0].get_array()
    first = np.moveaxis(run.panels["samples"][0], 0, -1)
    np.testing.assert_array_equal(canvas[:8, :8], first)


def test_every_image_pixel_is_a_whole_number_of_figure_pixels(make_run):
    figure = FIGURES["reconstructions"].figure(make_run(shape=(1, 28, 28)))
    ax = figure.axes[0]
    box = ax.get_position()
    wide, high = figure.get_size_inches() * 150
    rows, columns, _ = ax.images[0].get_array().shape
    across, down = box.width * wide / columns, box.height * high / rows
    assert across == pytest.approx(round(across))
    assert down == pytest.approx(across)


def test_hostile_names_are_drawn_as_they_are(make_run):
    names = ("$x_1$", "$\\frac{$", "a_b^c", "new\nline\x07", "\u65e5\u672c", "x" * 80, "\u202eevil", "<b>")
    run = make_run(classes=names)
    for name in ("map-tsne", "map-2d", "confusion"):
        figure = FIGURES[name].figure(run)
        assert {"$x_1$", "$\\frac{$", "a_b^c", "new line", "class 4", "evil", "<b>"} <= set(texts(figure))
        assert max(map(len, texts(figure))) < 80
        assert png(figure).startswith(b"\x89PNG")


def test_a_single_epoch_and_a_single_count_can_be_drawn(make_run):
    run = make_run(classes=("a", "b"), counts=("all",), epochs=1)
    for name in ("losses", "autoencoder-losses", "learning-curve"):
        assert png(FIGURES[name].figure(run)).startswith(b"\x89PNG")


def test_maps_of_partly_labelled_images_have_an_entry_for_no_label(make_run):
    run = make_run(classes=("a", "b"))
    run.panels["map_labels"][:5] = -1
    assert "no label" in texts(FIGURES["map-2d"].figure(run))


def test_the_same_run_gives_the_same_bytes(make_run):
    run = make_run(classes=TEN)
    assert png(FIGURES["losses"].figure(run)) == png(FIGURES["losses"].figure(run))


def test_class_markers_are_distinct_for_up_to_thirty_classes():
    assert len({class_style(index) for index in range(30)}) == 30


def test_an_empty_class_name_is_replaced():
    assert class_names(["", " ", "\x00", "ok"]) == ["class 0", "class 1", "class 2", "ok"]


@pytest.mark.parametrize(("value", "text"), [(-3.0, "\N{MINUS SIGN}3"), (0.0, "0"), (0.6, "+0.6")])
def test_signed(value, text):
    assert signed(value, ".2g") == text


def test_an_odd_number_of_probes_leaves_no_empty_panel(make_run):
    rows = [accuracy_row("vae", 1, [0.2, 0.9], probe) for probe in ("logistic", "knn", "mlp")]
    figure = FIGURES["learning-curve"].figure(make_run(classes=("a", "b"), counts=(1,), rows=rows))
    assert len(figure.axes) == 3
    for ax in figure.axes:  # the interval reaches from below 0 to above 100 %
        assert ax.get_ylim() == (-2, 102)


def test_chance_far_below_every_score_is_only_in_the_legend(make_run):
    rows = [accuracy_row("vae", 1, [0.80, 0.81]), accuracy_row("vae", 1, [0.90, 0.91], "knn")]
    figure = FIGURES["learning-curve"].figure(make_run(classes=TEN, counts=(1,), rows=rows))
    assert "chance (10 %), below the axes" in texts(figure)
    assert all(50 < ax.get_ylim()[0] < 100 * rows[0]["interval"][0] for ax in figure.axes)


def test_the_legend_of_the_kl_lies_below_the_axes(make_run):
    figure = FIGURES["kl-per-latent"].figure(make_run(classes=TEN))
    png(figure, dpi=100)
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 <= figure.axes[0].get_window_extent().y0
