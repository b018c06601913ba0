"""`Start`: the weights that a run starts from, and the parts of the VAE that keep them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vaebench.core.frozen import NONE_IS_A_WORD, Frozen

Freeze = Literal["none", "encoder", "decoder", "both"]
FROZEN: dict[Freeze, tuple[str, ...]] = {
    "none": (),
    "encoder": ("encoder",),
    "decoder": ("decoder", "likelihood"),
    "both": ("encoder", "decoder", "likelihood"),
}
"""Parts of a VAE that each value of ``freeze`` keeps as they are; parameters of p(x|z) belong to the decoder."""


class Start(Frozen):
    """Weights of another run that the training starts from, and parts of them that stay as they are."""

    weights: str | None = None
    """Folder of a finished run, or a file weights.safetensors; none starts from random weights."""
    freeze: Annotated[Freeze, NONE_IS_A_WORD] = "none"
    """Part of the VAE that is not trained: its weights and its batch normalisation stay as they are, without dropout. A
    learned prior is trained in any case."""
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the file of weights, which the run writes; another file is refused."""

    @model_validator(mode="after")
    def _check_weights(self) -> Start:
        if self.weights is None and (self.freeze != "none" or self.sha256 is not None):
            raise ValueError("freeze and sha256 need weights to start from; give start.weights (--from) as well")
        return self

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """Names of the attributes of a VAE that are not trained."""
        return FROZEN[self.freeze]
