"""Interpolations begin and end at codes, traversals change one latent, confusion matrices count."""

import numpy as np
import torch

from vaebench.data.images import Images
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.features import encode
from vaebench.evaluation.panels import confusion, panels
from vaebench.models.networks import MLP
from vaebench.models.vae import Model


def make_panels(count=90, channels=3, latent=4, labelled=True):
    torch.manual_seed(1)
    pixels = torch.randint(0, 256, (count, channels, 5, 6)).to(torch.uint8)
    labels = torch.arange(count) % 3 if labelled else torch.full((count,), -1)
    images = Images(pixels, labels, ("a", "b", "c") if labelled else ())
    vae = Model(latent=latent, network=MLP(hidden=(16,))).build((channels, 5, 6)).eval()
    codes, found = encode(vae, images), bounds(vae, images)
    return vae, images, codes, found, panels(vae, images, codes, found, seed=0)


def decoded(vae, z):
    return (vae.decode(z).mean.detach() * 255).round().to(torch.uint8).numpy()


def test_worst_reconstructions_are_the_worst_in_order():
    _, images, _, found, arrays = make_panels()
    order = found.reconstruction.argsort(descending=True)[:16]
    assert np.array_equal(arrays["worst_images"], images.pixels[order].numpy())
    assert np.all(np.diff(arrays["worst_nats"]) <= 0)


def test_traversals_are_ordered_by_kl_and_move_one_latent_over_three_deviations():
    vae, _, codes, found, arrays = make_panels()
    assert arrays["traversal_latents"].tolist() == found.kl_per_latent.argsort(descending=True).tolist()
    row, latent = 1, int(arrays["traversal_latents"][1])
    z = codes.mean[0].repeat(11, 1)
    z[:, latent] = torch.linspace(-3, 3, 11)
    assert np.array_equal(arrays["traversals"][row], decoded(vae, z))


def test_interpolations_begin_and_end_at_the_two_images_codes():
    vae, _, codes, _, arrays = make_panels()
    ends = decoded(vae, codes.mean[:2])  # labels run 0 1 2 0 1 2, so that the first pair is images 0 and 1
    assert np.array_equal(arrays["interpolations"][0][[0, -1]], ends)


def test_samples_come_from_the_prior_with_a_seed():
    vae, images, codes, found, arrays = make_panels()
    again = panels(vae, images, codes, found, seed=0)["samples"]
    other = panels(vae, images, codes, found, seed=1)["samples"]
    assert np.array_equal(arrays["samples"], again)
    assert not np.array_equal(arrays["samples"], other)
    assert arrays["samples"].shape == (64, 3, 5, 6)


def test_small_and_unlabelled_sets_work():
    for count, latent in ((5, 1), (2, 2), (40, 3)):
        *_, arrays = make_panels(count, channels=1, latent=latent, labelled=False)
        assert arrays["map_tsne"].shape == (count, 2)
        assert arrays["map_codes"].shape == (count, latent)
        assert arrays["map_latents"].shape == (min(3, latent),)


def test_confusion_counts_true_rows_and_predicted_columns():
    probabilities = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 2, 0]), 3).float()
    table = confusion(probabilities, torch.tensor([0, 0, 1, 2, 2]))
    assert table.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
