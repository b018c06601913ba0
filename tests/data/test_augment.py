import numpy as np
import pytest
import torch
from scipy import ndimage

from vaebench.data import augment
from vaebench.data.augment import AUGMENTATIONS, KNOTS, Augmentation, _interpolation, bolder, rotate


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


def grey(n=6, c=1, h=9, w=9):
    return pixels(n, c, h, w).double() / 255


def test_no_augmentation_is_the_identity():
    x = grey(c=3, h=7, w=12)
    torch.testing.assert_close(Augmentation()(x), x, atol=1e-12, rtol=0)


def test_only_mirrored_images_are_exact_mirrors():
    torch.manual_seed(0)
    x = grey(40)
    out = Augmentation(mirror=True)(x)
    same = [torch.allclose(a, b) for a, b in zip(out, x, strict=True)]
    flipped = [torch.allclose(a, b.flip(-1)) for a, b in zip(out, x, strict=True)]
    assert all(a != b for a, b in zip(same, flipped, strict=True))
    assert 8 < sum(same) < 32


@pytest.mark.parametrize("sides", [(11, 11), (8, 14)])
def test_a_shift_is_in_pixels_for_any_size(monkeypatch, sides):
    monkeypatch.setattr(augment, "_uniform", lambda x, amount: torch.full((len(x),), amount, dtype=x.dtype))
    x = grey(2, 1, *sides)
    torch.testing.assert_close(Augmentation(shift=2)(x)[..., :-2, :-2], x[..., 2:, 2:], atol=1e-12, rtol=0)


def test_rotation_shear_and_scale_agree_with_scipy(monkeypatch):
    monkeypatch.setattr(augment, "_uniform", lambda x, amount: torch.full((len(x),), amount, dtype=x.dtype))
    x = torch.from_numpy(ndimage.gaussian_filter(grey(1, 1, 15, 10).numpy(), (0, 0, 1, 1)))
    warp = Augmentation(rotation=25, shear=0.3, scale=0.2)
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = (turn @ np.array([[1, 0.3], [0, 1]]) @ np.diag([1.2, 1.2]))[::-1, ::-1]  # scipy's first axis is the rows
    centre = np.array([7.0, 4.5])
    padded = np.pad(x[0, 0].numpy(), 9)
    expected = ndimage.affine_transform(padded, matrix, centre + 9 - matrix @ (centre + 9), order=1)
    np.testing.assert_allclose(warp(x)[0, 0].numpy(), expected[9:-9, 9:-9], atol=0.02)


def test_amounts_are_uniform_and_differ_by_image():
    torch.manual_seed(0)
    spot = torch.zeros(400, 1, 21, 21, dtype=torch.float64)
    spot[:, :, 10, 10] = 1
    out = Augmentation(shift=3)(spot)[:, 0]
    across = (out.sum(1) * torch.arange(21)).sum(1) / out.sum((1, 2)) - 10
    assert across.abs().max() <= 3 + 1e-9
    assert across.std() == pytest.approx(3 / 3**0.5, rel=0.1)


@pytest.mark.parametrize("sides", [(28, 28), (32, 20), (3, 5)])
def test_interpolation_of_knots_is_bicubic(sides):
    knots, like = torch.randn(5, 2, KNOTS, KNOTS, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    expected = torch.nn.functional.interpolate(knots, sides, mode="bicubic", align_corners=True)
    torch.testing.assert_close(_interpolation(sides[0], like) @ knots @ _interpolation(sides[1], like).T, expected)


def test_an_elastic_warp_is_smooth_and_seeded():
    x = torch.linspace(0, 1, 28, dtype=torch.float64).expand(50, 1, 28, 28)
    torch.manual_seed(3)
    out = Augmentation(elastic=1.0)(x)
    torch.manual_seed(3)
    assert torch.equal(Augmentation(elastic=1.0)(x), out)
    inside = (out - x)[:, :, 6:-6, 6:-6] * 27
    assert 0.3 < inside.std() < 1.2  # pixels
    assert inside.diff(dim=-2).abs().max() < 0.6


def test_gamma_keeps_black_and_white():
    x = torch.linspace(0, 1, 16, dtype=torch.float64).view(1, 1, 4, 4).repeat(200, 2, 1, 1)
    out = Augmentation(gamma=0.7)(x)
    torch.testing.assert_close(out[..., 0, 0], torch.zeros(200, 2, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(out[..., -1, -1], torch.ones(200, 2, dtype=torch.float64))
    power = out[..., 1, 1].log() / x[..., 1, 1].log()
    assert power.log().abs().max() <= 0.7 + 1e-9
    assert power.log().std() == pytest.approx(0.7 / 3**0.5, rel=0.1)
    assert (power[:, 0] - power[:, 1]).abs().max() > 0.1


@pytest.mark.parametrize("side", [3, 4])
def test_a_cutout_is_one_square_of_zeros_at_a_random_place(side):
    torch.manual_seed(0)
    out = Augmentation(cutout=side)(torch.ones(500, 2, 9, 12, dtype=torch.float64))
    zero = out == 0
    assert torch.equal(zero[:, 0], zero[:, 1])
    rows, columns = zero[:, 0].any(2), zero[:, 0].any(1)
    assert torch.equal(zero[:, 0], rows[:, :, None] & columns[:, None])
    assert set(rows.sum(1).tolist()) == set(range(side - side // 2, side + 1))
    assert rows.any(0).all()
    assert columns.any(0).all()
    for line in (rows, columns):
        assert (line.int().diff(dim=1).abs().sum(1) <= 2).all()


def test_bolder_changes_gamma_and_cutout_only():
    own = AUGMENTATIONS["fashion-mnist"]
    assert bolder(own).amounts == own.amounts | {"gamma": 0.6, "cutout": 12}
    assert bolder(Augmentation()).amounts == {"gamma": 0.3, "cutout": 6}
