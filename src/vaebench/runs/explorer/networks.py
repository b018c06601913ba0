"""The encoder and decoder of the page as ONNX models with 16-bit weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vaebench.evaluation.probes import LinearClassifier
from vaebench.models.export import to_half, to_onnx
from vaebench.models.vae import VAE

if TYPE_CHECKING:
    from onnx import ModelProto


class Decode(nn.Module):
    """Maps a code to the mean of p(x|z) and, with a head, to class probabilities."""

    def __init__(self, vae: VAE, head: LinearClassifier | None) -> None:
        super().__init__()
        self.vae = vae
        self.head = None if head is None else nn.Linear(len(vae.zero), len(head.bias))
        if head is not None and self.head is not None:
            self.head.load_state_dict({"weight": head.weight, "bias": head.bias})

    def forward(self, z: Float[Tensor, "B D"]) -> tuple[Tensor, ...]:
        """Images (B, C, H, W) in [0, 1] and probabilities (B, Y)."""
        images = self.vae.decode(z).mean.clamp(0, 1)
        return (images,) if self.head is None else (images, self.head(z).softmax(-1))


class Encode(nn.Module):
    """Maps an image to the mean and log-variance of q(z|x)."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, x: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (B, D), of images in [0, 1]."""
        q = self.vae.posterior(x).base_dist
        return q.loc, 2 * q.scale.log()


def decoder_onnx(vae: VAE, head: LinearClassifier | None) -> ModelProto:
    """Export the decoder: input ``z`` (B, D); outputs ``images`` (B, C, H, W) and, if any, ``probabilities`` (B, Y)."""
    outputs = ["images"] if head is None else ["images", "probabilities"]
    return to_half(to_onnx(Decode(vae, head), torch.zeros(2, len(vae.zero)), ["z"], outputs))


def encoder_onnx(vae: VAE, shape: tuple[int, int, int]) -> ModelProto:
    """Export the encoder: input ``x`` (B, C, H, W) in [0, 1]; outputs ``mean`` and ``log_variance`` (B, D)."""
    return to_half(to_onnx(Encode(vae), torch.zeros(2, *shape), ["x"], ["mean", "log_variance"]))


def stored_error(vae: VAE, decoder: ModelProto, codes: Float[Tensor, "N D"]) -> float:
    """Return the largest pixel difference, on the scale 0 to 1, between the stored and the trained decoder."""
    import onnxruntime

    session = onnxruntime.InferenceSession(decoder.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        exact = vae.decode(codes).mean.clamp(0, 1)
    stored = torch.from_numpy(session.run(["images"], {"z": codes.numpy()})[0])
    return float((stored - exact).abs().max())
