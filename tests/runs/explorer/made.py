"""Explorers of untrained networks on enlarged digits."""

from __future__ import annotations

import base64
import gzip
import re

import numpy as np
import onnxruntime
import torch
from sklearn.datasets import load_digits

from vaebench.data.images import Images
from vaebench.evaluation.features import encode
from vaebench.evaluation.probes import Logistic
from vaebench.models.networks import MLP, Conv
from vaebench.models.vae import Model
from vaebench.runs.explorer.explorer import Explorer, Points

SMALL = MLP(hidden=(32,))


def enlarged_digits(shape, count):
    """Handwritten digits, resized to a shape."""
    pixels = torch.from_numpy(load_digits().images[:count]).float()[:, None] / 16
    pixels = torch.nn.functional.interpolate(pixels, shape[1:], mode="bilinear").repeat(1, shape[0], 1, 1)
    return (pixels * 255).round().to(torch.uint8)


def made_explorer(shape=(1, 28, 28), latent=20, classes=10, count=200, network=None, name="made up", names=None):
    torch.manual_seed(3)
    vae = Model(latent=latent, network=network or SMALL).build(shape).eval()
    for parameter in vae.encoder.parameters():
        parameter.data *= 4  # spreads the codes of an untrained encoder
    pixels = enlarged_digits(shape, count)
    labels = torch.arange(len(pixels)) % classes if classes else torch.full((len(pixels),), -1)
    names = names or tuple(f"class {index}" for index in range(classes))
    codes = encode(vae, Images(pixels, labels, names))
    head = Logistic(iterations=20).fit_linear(codes, classes) if classes else None
    tsne = np.random.default_rng(0).normal(size=(len(pixels), 2)).astype(np.float32) * 10
    points = Points(pixels.numpy(), codes.mean.numpy(), codes.log_variance.numpy(), labels.numpy(), tsne)
    kl = np.linspace(2, 0.01, latent)[::-1].copy()
    return Explorer(name, "Made up.", vae, shape, names, kl, points, head, "A probe")


def reference_network():
    """The network for which the page size is specified: 32-64-64 convolutions."""
    return Conv()


def blob(page, name):
    """A binary part of the page, by name."""
    content = base64.b64decode(re.search(rf'id="blob-{name}">([^<]*)<', page)[1])
    return content if name.startswith("sheet") else gzip.decompress(content)


def session(page, name):
    """An onnxruntime session of a network stored in the page."""
    return onnxruntime.InferenceSession(blob(page, name), providers=["CPUExecutionProvider"])
