"""Exported ONNX models hold nothing of the machine that made them."""

from pathlib import Path

import pytest
import torch

import vaebench
from vaebench.models.export import can_export, to_onnx
from vaebench.models.networks import MLP
from vaebench.models.vae import Model


@pytest.mark.skipif(not can_export(), reason="the extra onnx is not installed")
def test_an_exported_model_names_no_folder_of_this_machine():
    encoder = Model(latent=2, network=MLP(hidden=(4,))).build((1, 4, 4)).encoder
    data = to_onnx(encoder, torch.zeros(2, 1, 4, 4), ["x"], ["raw"], {"classes": "a"}).SerializeToString()
    for folder in (Path(vaebench.__file__).parent, Path(torch.__file__).parent, Path.cwd()):
        assert str(folder).encode() not in data
    assert b"stack_trace" not in data
    assert b"classes" in data
