"""Checkpoints that hold the complete state of a training in one safetensors file, written atomically."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vaebench.core.errors import OtherTrainingError, VaebenchError
from vaebench.core.files import atomic
from vaebench.core.frozen import differences

SCHEMA = 4
LOGGER = logging.getLogger("vaebench")


@dataclass(frozen=True)
class Checkpoint:
    """The file of a training's state, and the identity that a resumed training must share to give the same bits."""

    path: Path
    identity: dict[str, Any]
    """Objective, training, compute, data, versions: a checkpoint with another identity is refused."""

    @property
    def previous(self) -> Path:
        """Path of the previous checkpoint, used when the last one is damaged."""
        return self.path.with_name(f"{self.path.name}.before")

    def save(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Write tensors and a JSON record atomically, and keep the last checkpoint as :attr:`previous`."""
        metadata = {"schema": SCHEMA, "identity": self.identity, "record": record}
        write_tensors(self.path, tensors, metadata, previous=self.previous)

    def clear(self) -> None:
        """Remove the files."""
        self.path.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and record of the last intact checkpoint, or None if there is no file.

        Raises:
            VaebenchError: the file is damaged, and so is the previous one, or there is none.
            OtherTrainingError: the checkpoint has another identity; the message lists the differences.
        """
        if not self.path.exists() and not self.previous.exists():
            return None
        try:
            tensors, metadata = read_tensors(self.path)
        except VaebenchError as error:
            if not self.previous.exists():
                raise
            tensors, metadata = read_tensors(self.previous)
            if self.path.exists():  # otherwise the process was stopped between two renames
                LOGGER.warning("%s; going on from the checkpoint before it", str(error).split(";")[0])
        if metadata.get("schema") != SCHEMA:
            raise OtherTrainingError(
                f"{self.path} has schema {metadata.get('schema')!r}; expected {SCHEMA}: resume with the version of "
                "vaebench that wrote it, or start anew in another folder (--out)"
            )
        if changed := differences(metadata["identity"], self.identity):
            raise OtherTrainingError(
                f"{self.path} cannot be resumed to the same bits: {'; '.join(changed)}; "
                "resume under the old settings, or start anew in another folder (--out)"
            )
        return tensors, metadata["record"]


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any], previous: Path | None = None
) -> None:
    """Write tensors and a JSON object as one safetensors file, atomically; an existing file is moved to ``previous``.

    Raises:
        VaebenchError: the folder cannot be written, or the disk is full.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path, previous) as temporary:
        try:
            save_file(contiguous, temporary, metadata={"vaebench": json.dumps(metadata)})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the JSON object of a file by :func:`write_tensors`.

    Raises:
        VaebenchError: the file is missing, truncated, or not by vaebench.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["vaebench"])
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise VaebenchError(
            f"{path} is not a whole vaebench file ({error}); delete it to begin that part again"
        ) from error


def join_groups(groups: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all groups, each named ``group/name``."""
    return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}


def select_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Select the tensors whose names have the prefix, and remove it: one group of :func:`join_groups`."""
    return {
        name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")
    }


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Tensors of the optimiser's state, named by parameter index and quantity."""
    return {
        f"{index}/{name}": value
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore the state given by :func:`optimiser_tensors`, each tensor in its parameter's memory layout: fused kernels
    read memory in order and would pair a moment in another layout with the wrong weight."""
    parameters: list[nn.Parameter] = [p for group in optimiser.param_groups for p in group["params"]]
    for key, value in tensors.items():
        index, name = key.split("/")
        parameter = parameters[int(index)]
        like = parameter.detach() if value.shape == parameter.shape else value.to(parameter.device)
        optimiser.state[parameter][name] = torch.empty_like(like, dtype=value.dtype).copy_(value)


def generator_tensors() -> dict[str, Tensor]:
    """States of torch's global generators."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_generators(tensors: dict[str, Tensor]) -> None:
    """Restore the states given by :func:`generator_tensors`."""
    torch.set_rng_state(tensors["cpu"])
    if "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"])
