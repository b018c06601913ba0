"""Atomic, exact checkpoints: everything that the next step depends on, in one safetensors file."""

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
SAID = logging.getLogger("vaebench")
"""Without a handler, warnings go to the standard error output as they are."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state, and what must be the same for a resume to give the same bits."""

    path: Path
    identity: dict[str, Any]
    """Objective, training, compute, data, versions: a checkpoint with another identity is refused."""

    @property
    def before(self) -> Path:
        """Where the last checkpoint but one is kept, for the day that the last is damaged."""
        return self.path.with_name(f"{self.path.name}.before")

    def save(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Write tensors and a JSON record atomically; what was there is kept beside it."""
        text = {"schema": SCHEMA, "identity": self.identity, "record": record}
        write_tensors(self.path, tensors, text, before=self.before)

    def clear(self) -> None:
        """Remove it, once the training is done."""
        self.path.unlink(missing_ok=True)
        self.before.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What :meth:`save` wrote, or nothing where there is no file yet; where the last was damaged, the one before.

        Raises:
            VaebenchError: the file is damaged, and so is the one before, or there is none.
            OtherTrainingError: it was written under another identity (each difference is named).
        """
        if not self.path.exists() and not self.before.exists():
            return None
        tensors, text = self._last_whole()
        if text.get("schema") != SCHEMA:
            raise OtherTrainingError(
                f"{self.path} has schema {text.get('schema')!r}; expected {SCHEMA}: resume with the version of "
                "vaebench that wrote it, or start anew in another folder (--out)"
            )
        if changed := differences(text["identity"], self.identity):
            raise OtherTrainingError(
                f"{self.path} cannot be resumed to the same bits: {'; '.join(changed)}; "
                "resume under the old settings, or start anew in another folder (--out)"
            )
        return tensors, text["record"]

    def _last_whole(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        try:
            return read_tensors(self.path)
        except VaebenchError as error:
            if not self.before.exists():
                raise
            found = read_tensors(self.before)
            if self.path.exists():  # else it was stopped between two renames
                SAID.warning("%s; going on from the checkpoint before it", str(error).split(";")[0])
            return found


def write_tensors(path: Path, tensors: dict[str, Tensor], text: dict[str, Any], before: Path | None = None) -> None:
    """Tensors and a JSON object as one safetensors file, atomically; what was there is moved to ``before``.

    Raises:
        VaebenchError: the folder cannot be written, or the disk is full.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path, before) as temporary:
        try:
            save_file(whole, temporary, metadata={"vaebench": json.dumps(text)})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`write_tensors` wrote.

    Raises:
        VaebenchError: the file is missing, truncated, or not vaebench's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = json.loads((file.metadata() or {})["vaebench"])
            return {name: file.get_tensor(name) for name in file.keys()}, text  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise VaebenchError(
            f"{path} is not a whole vaebench file ({error}); delete it to begin that part again"
        ) from error


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under ``prefix/name``."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that :func:`prefixed` put under this prefix."""
    return {
        name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")
    }


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, one tensor a parameter and quantity."""
    return {
        f"{index}/{name}": value
        for index, parameter in enumerate(_parameters(optimiser))
        for name, value in optimiser.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimiser_tensors` gave, in each parameter's own memory layout: fused kernels walk
    through memory, so that a moment laid out otherwise would be paired with the wrong weight."""
    parameters = _parameters(optimiser)
    for key, value in tensors.items():
        index, name = key.split("/")
        parameter = parameters[int(index)]
        like = parameter.detach() if value.shape == parameter.shape else value.to(parameter.device)
        optimiser.state[parameter][name] = torch.empty_like(like, dtype=value.dtype).copy_(value)


def restore_generators(tensors: dict[str, Tensor]) -> None:
    """Put torch's global generators back where :func:`generator_tensors` found them."""
    torch.set_rng_state(tensors["cpu"])
    if "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"])


def generator_tensors() -> dict[str, Tensor]:
    """The state of torch's global generators."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _parameters(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
