"""ONNX: a torch module as one file that needs nothing of vaebench."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vaebench.core.errors import VaebenchError

if TYPE_CHECKING:
    from onnx import ModelProto

ONNX_PARTS = ("onnx", "onnxscript", "onnxruntime")
"""What the extra "onnx" installs."""
HALVED_FROM = 64
"""Values in an array from which :func:`halved` stores it as 16-bit floats."""


def can_export() -> bool:
    """Whether what :func:`to_onnx` needs is installed."""
    return all(find_spec(part) for part in ONNX_PARTS)


def to_onnx(
    module: nn.Module,
    example: Tensor,
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> ModelProto:
    """The module as an ONNX graph; the first axis of its input is free.

    Raises:
        VaebenchError: what the extra "onnx" installs is missing.
    """
    if not can_export():
        raise VaebenchError(
            "onnx, onnxscript and onnxruntime are needed; install them with pip install 'vaebench[onnx]'"
        )
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=list(inputs),
            output_names=list(outputs),
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(metadata or {})
        return program.model_proto


def halved(model: ModelProto) -> ModelProto:
    """The same graph with its larger arrays stored as 16-bit floats and computed with as 32-bit ones.

    Raises:
        VaebenchError: a weight is beyond what 16 bits hold (65,504).
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < HALVED_FROM:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise VaebenchError(f"{tensor.name} holds weights above 65,504, which 16-bit floats cannot; train it anew")
        name, half = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter asks for torchvision, which nothing here needs, and warns of its own ways."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
