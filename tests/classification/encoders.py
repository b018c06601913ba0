"""Encoders as ONNX files: graphs of a few nodes whose features can be computed by hand, and small trained networks."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from vaebench.core.files import write_bytes
from vaebench.data.decoding import from_array
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.models.export import to_onnx

SIDE = 16
"""Side of the images of :class:`SmallCNN`, twice that of the digits."""


def write_graph(path, nodes, shape, outputs=("features",), **settings):
    """Write a graph with one input ``images`` of this shape; a node is (operator, inputs, outputs, attributes)."""
    from onnx import TensorProto, helper, save

    kind = settings.get("dtype", TensorProto.FLOAT)
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name in settings.get("inputs", ("images",))]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    made = [helper.make_node(operator, list(given), list(made), **more) for operator, given, made, more in nodes]
    graph = helper.make_graph(made, "encoder", inputs, results, settings.get("weights", []))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, settings.get("metadata", {}))
    save(model, str(path), **settings.get("saving", {}))
    return Path(path)


FLATTEN = ("Flatten", ["images"], ["features"], {"axis": 1})
"""The node whose features are the encoder's input itself."""


def write_flatten(path, shape=("N", 1, 8, 8), **settings):
    """Write the encoder whose features are its input."""
    return write_graph(path, [FLATTEN], shape, **settings)


class SmallCNN(nn.Module):
    """Convolutions with batch normalisation and a global mean; ``head`` is for the training alone."""

    def __init__(self, classes=10, features=24):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * (SIDE // 4) ** 2, features), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(features, classes)

    def forward(self, x):
        return self.body(x)


def digits_for_cnn(rows=slice(None)):
    """Pixels of digits (N, 1, 16, 16) in [0, 1] as the rule of that size reads them."""
    rule = PreprocessingRule(height=SIDE, width=SIDE, channels=1)
    stored = (load_digits().images[rows] * 255 / 16).astype(np.uint8)
    return torch.from_numpy(np.stack([rule.pixels(from_array(image)) for image in stored])).float() / 255


@cache
def trained_cnn(classes, steps=150, seed=0):
    """A :class:`SmallCNN` trained in seconds on the digits of these classes, in evaluation mode."""
    torch.manual_seed(seed)
    truth = torch.from_numpy(load_digits().target)
    rows = torch.nonzero(torch.isin(truth, torch.tensor(list(classes))))[:, 0]
    x, y = digits_for_cnn(rows.numpy()), truth[rows]
    network = SmallCNN().train()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(steps):
        batch = torch.randint(len(x), (64,))
        optimiser.zero_grad()
        F.cross_entropy(network.head(network((x[batch] - 0.5) / 0.25)), y[batch]).backward()
        optimiser.step()
    return network.eval()


def write_cnn(path, network, **metadata):
    """Export the features of a CNN that reads pixels less 0.5, divided by 0.25."""
    example = torch.zeros(2, 1, SIDE, SIDE)
    metadata = metadata or {"mean": "[0.5]", "std": "[0.25]"}
    write_bytes(Path(path), to_onnx(network, example, ["images"], ["features"], metadata).SerializeToString())
    return Path(path)
