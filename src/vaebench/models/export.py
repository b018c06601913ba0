"""Export of torch modules to ONNX."""

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

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""Packages of the extra "onnx"."""
MIN_HALF_SIZE = 64
"""Number of values from which :func:`to_half` stores an array as 16-bit floats."""


def can_export() -> bool:
    """Whether the packages that :func:`to_onnx` needs are installed."""
    return all(find_spec(package) for package in ONNX_PACKAGES)


def to_onnx(
    module: nn.Module,
    example: Tensor,
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> ModelProto:
    """Return the module as an ONNX graph whose input has a dynamic first axis.

    Raises:
        VaebenchError: a package of the extra "onnx" is not installed.
    """
    if not can_export():
        raise VaebenchError(
            "onnx, onnxscript and onnxruntime are needed; install them with pip install 'vaebench[onnx]'"
        )
    with _silenced():
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
        for node in program.model.graph.all_nodes():  # the exporter's stack traces name folders of this machine
            node.metadata_props.clear()
        program.model.metadata_props.update(metadata or {})
        return program.model_proto


def to_half(model: ModelProto) -> ModelProto:
    """Store the graph's larger arrays as 16-bit floats, in place; computations remain in 32 bits.

    Raises:
        VaebenchError: a weight is outside the range of 16-bit floats (65,504).
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < MIN_HALF_SIZE:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise VaebenchError(f"{tensor.name} has weights above 65,504, the largest 16-bit float; train it again")
        name, half = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@contextmanager
def _silenced() -> Iterator[None]:
    """Suppress the exporter's messages about torchvision, which is not needed, and its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
