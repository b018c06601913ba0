import numpy as np
import pytest
import torch
from scipy import ndimage

from vaebench.data import augment
from vaebench.data.augment import rotate


def pixels(n=5, c=1, h=9, w=9):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, c, h, w), np.uint8))


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4])
def test_quarter_turns_move_pixels_exactly(turns):
    x = pixels(c=3)
    expected = torch.rot90(x, turns, (2, 3))
    assert torch.equal(rotate(x, torch.full((5,), 90.0 * turns)), expected)


@pytest.mark.parametrize("sides", [(11, 11), (8, 14), (15, 10)])
def test_any_angle_agrees_with_scipy(sides):
    x = pixels(1, 1, *sides)
    smooth = torch.from_numpy(ndimage.gaussian_filter(x.numpy().astype(float), (0, 0, 1, 1)).astype(np.uint8))
    ours = rotate(smooth, torch.tensor([33.0]))[0, 0].numpy().astype(float)
    # scipy drops to 0 just outside the edge where torch fades; inside they agree
    scipys = ndimage.rotate(np.pad(smooth[0, 0].numpy().astype(float), 9), 33.0, reshape=False, order=1)
    np.testing.assert_allclose(ours, scipys[9:-9, 9:-9], atol=1.0)


def test_each_image_has_its_own_angle_across_blocks(monkeypatch):
    x, degrees = pixels(7), torch.linspace(-180, 180, 7)
    whole = rotate(x, degrees)
    monkeypatch.setattr(augment, "BLOCK", 3)
    assert torch.equal(rotate(x, degrees), whole)
    assert torch.equal(rotate(x[2:3], degrees[2:3]), whole[2:3])
