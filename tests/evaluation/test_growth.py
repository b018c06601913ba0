"""Growth records the right epochs and the same codes, and changes neither weights nor the random stream."""

import numpy as np
import torch

from vaebench.evaluation.growth import Growth, recorded_epochs
from vaebench.models.networks import MLP
from vaebench.models.vae import Model


def small_vae():
    return Model(latent=3, network=MLP(hidden=(8,), batch_norm="before", dropout=0.5)).build((1, 4, 5))


def test_epochs_run_from_the_first_to_the_last_closer_at_the_beginning():
    assert recorded_epochs(1) == [1]
    assert recorded_epochs(3) == [1, 2, 3]
    found = recorded_epochs(60)
    assert (found[0], found[-1], len(found)) == (1, 60, 8)
    assert sorted(np.diff(found)) == np.diff(found).tolist()


def test_the_same_codes_are_decoded_with_the_current_weights(tmp_path):
    growth, vae = Growth(tmp_path / "growth.npz", 3, seed=4), small_vae()
    expected = []
    for epoch in (1, 2, 3):
        with torch.no_grad():
            list(vae.decoder.parameters())[-1].add_(0.3)
            vae.eval()
            z = torch.randn(6, 3, generator=torch.Generator().manual_seed(4))
            expected.append((vae.decode(z).mean * 255).round().to(torch.uint8).numpy())
        vae.train()
        growth.record(vae, epoch)
        assert vae.training
    panels = Growth(tmp_path / "growth.npz", 3, seed=4).panels()
    assert panels["growth_epochs"].tolist() == [1, 2, 3]
    assert np.array_equal(panels["growth_samples"], np.stack(expected))


def test_recording_leaves_the_random_stream_and_statistics_unchanged(tmp_path):
    growth, vae = Growth(tmp_path / "growth.npz", 1, seed=0), small_vae()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    torch.manual_seed(1)
    growth.record(vae, 1)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())


def test_a_repeated_epoch_replaces_its_images_and_other_epochs_are_not_recorded(tmp_path):
    growth, vae = Growth(tmp_path / "growth.npz", 60, seed=0), small_vae()
    growth.record(vae, 1)
    growth.record(vae, 59)
    with torch.no_grad():
        list(vae.decoder.parameters())[-1].add_(2.0)
    growth.record(vae, 1)
    panels = growth.panels()
    assert panels["growth_epochs"].tolist() == [1]
    other = Growth(tmp_path / "other.npz", 60, seed=0)
    assert other.panels() == {}
    other.record(vae, 1)
    assert np.array_equal(other.panels()["growth_samples"], panels["growth_samples"])
