import numpy as np
import pytest
import torch

from vaebench.core.errors import VaebenchError
from vaebench.data.sprites import FACTORS, PLACES, SHAPES, SIDE, factor_grid, render


def test_every_combination_occurs_once():
    factors = factor_grid()
    assert len(factors) == np.prod(list(FACTORS.values())) == len(np.unique(factors, axis=0))
    for column, count in zip(factors.T, FACTORS.values(), strict=True):
        assert np.array_equal(np.unique(column), np.arange(count))


def test_images_are_distinct_and_do_not_touch_the_border():
    images = render(factor_grid())
    assert images.shape == (1, SIDE, SIDE)
    assert len(torch.unique(images.pixels.flatten(1), dim=0)) == len(images)
    border = images.pixels.clone()
    border[:, :, 1:-1, 1:-1] = 0
    assert int(border.max()) == 0


def test_labels_are_shapes():
    factors = factor_grid()[:50]
    images = render(factors)
    assert images.classes == SHAPES
    assert images.labels.tolist() == factors[:, 0].tolist()


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_rotation_factor_of_a_quarter_rotates_the_image_by_90_degrees(shape):
    last = FACTORS["x"] - 1
    here, turned = np.array([[shape, 2, 1, 3, 5]]), np.array([[shape, 2, 5, 5, last - 3]])
    expected = torch.rot90(render(here).pixels, 1, (2, 3)).int()
    # centres are exact in float32 only to a few parts in ten million
    assert int((render(turned).pixels.int() - expected).abs().max()) <= 1


@pytest.mark.parametrize(("column", "axis"), [(3, 3), (4, 2)])
def test_x_runs_right_and_y_runs_down(column, axis):
    moved = np.array([[0, 1, 2, 0, 0]] * FACTORS["x"])
    moved[:, column] = np.arange(FACTORS["x"])
    mass = render(moved).pixels.double().sum(dim=(1, 5 - axis))
    centre = (mass * (torch.arange(SIDE) + 0.5)).sum(1) / mass.sum(1)
    step = float(PLACES[1] - PLACES[0])
    np.testing.assert_allclose(centre.diff().numpy(), step, atol=0.1)


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_area_grows_with_the_square_of_the_scale(shape):
    area = render(np.array([[shape, scale, 0, 4, 4] for scale in (0, 3)])).pixels.double().sum(dim=(1, 2, 3)) / 255
    assert float(area[1] / area[0]) == pytest.approx(4.0, rel=0.03)


def test_the_area_matches_the_shape():
    wedge = render(np.array([[0, 3, 0, 4, 4]])).pixels.double().sum() / 255
    assert float(wedge) == pytest.approx(8.0**2 * 0.5 * 1.2 * 1.8, rel=0.02)


def test_an_index_out_of_range_is_named():
    with pytest.raises(VaebenchError, match=r"rotation index 16; expected 0 to 15"):
        render(np.array([[0, 0, 16, 0, 0]]))
