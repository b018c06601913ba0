"""ImageClassifier: images in, class probabilities out; kept as safetensors and JSON, and as ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from pydantic import Field, ValidationError
from torch import Tensor, nn

from vaebench import __version__
from vaebench.core.errors import VaebenchError, explain
from vaebench.core.files import atomic, read_json, write_text
from vaebench.core.frozen import Frozen
from vaebench.data.images import Images
from vaebench.data.listing import UnreadableImageError
from vaebench.data.photos import PreprocessingRule
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.export import can_export, to_onnx
from vaebench.models.folding import fold_batch_norm
from vaebench.models.vae import VAE, Model
from vaebench.training.checkpoint import read_tensors, write_tensors

BATCH = 250


class PixelLine(nn.Module):
    """Logits that are linear in the pixels: of raw pixels, or of any linear code of them."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.line = nn.Linear(pixels, classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """Logits."""
        found: Tensor = self.line(x.flatten(1))
        return found


class LatentLine(nn.Module):
    """Logits that are linear in the mean of q(z|x)."""

    def __init__(self, vae: VAE, classes: int) -> None:
        super().__init__()
        self.encoder = vae.encoder
        self.latent = len(vae.zero)
        self.line = nn.Linear(self.latent, classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """Logits."""
        found: Tensor = self.line(self.encoder(x)[:, : self.latent])
        return found


NetworkKind = Literal["pixel-line", "latent-line", "network"]


class Description(Frozen):
    """All but the weights: what ``model.json`` holds."""

    format: Literal["vaebench image classifier, 1"] = "vaebench image classifier, 1"
    vaebench: str = __version__
    kind: NetworkKind
    method: str
    """The method that made it, in words."""
    rule: PreprocessingRule
    classes: tuple[str, ...] = Field(min_length=2)
    model: Model
    """The VAE."""
    temperature: float = Field(gt=0)
    """Divides the logits, so that probabilities are calibrated."""

    def build(self) -> nn.Module:
        """The network with fresh weights, pixels in [0, 1] to logits."""
        shape = (self.rule.channels, self.rule.height, self.rule.width)
        if self.kind == "pixel-line":
            return PixelLine(int(np.prod(shape)), len(self.classes))
        vae = self.model.build(shape)
        return (
            LatentLine(vae, len(self.classes)) if self.kind == "latent-line" else ClassifyingVAE(vae, len(self.classes))
        )


class ImageClassifier(nn.Module):
    """A trained classifier with its preprocessing.

    As a torch module it takes uint8 pixels (B, H, W, C) of the rule's size and gives probabilities (B, Y); ``predict``
    takes images of any size.
    """

    def __init__(self, description: Description, network: nn.Module) -> None:
        super().__init__()
        self.description = description
        self.network = network.eval()

    def __repr__(self) -> str:
        rule, classes = self.description.rule, self.classes
        shown = ", ".join(classes[:8]) + (", ..." if len(classes) > 8 else "")
        return f"ImageClassifier({self.description.method}: {rule.width}x{rule.height}x{rule.channels} -> {shown})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.description.classes

    def forward(self, images: UInt8[Tensor, "B H W C"]) -> Float[Tensor, "B Y"]:
        """Class probabilities."""
        x = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        found: Tensor = (self.network(x) / self.description.temperature).softmax(-1)
        return found

    @torch.no_grad()
    def probabilities(
        self, images: Images, callback: Callable[[float], None] = lambda share: None
    ) -> Float[Tensor, "N Y"]:
        """Of images that are of the rule's size already, block by block; ``watch`` hears the share that is done."""
        many = len(images) > BATCH  # a copy is made for these alone
        quick = ImageClassifier(self.description, fold_batch_norm(self.network)) if many else self.eval()
        found = []
        for rows in torch.arange(len(images)).split(BATCH):
            found.append(quick(images.pixels[rows].permute(0, 2, 3, 1)))
            callback(sum(map(len, found)) / max(1, len(images)))
        return torch.cat(found)

    def predict(self, images: Sequence[str | Path | Image.Image | np.ndarray]) -> Float[Tensor, "N Y"]:
        """Class probabilities of image files, Pillow images or uint8 arrays (H, W) or (H, W, C), of any size.

        Raises:
            VaebenchError: an image that cannot be read, or an array of another type or shape.
        """
        rule = self.description.rule
        pixels = [_pixels(image, rule) for image in images]
        if not pixels:
            return torch.zeros(0, len(self.classes))
        stacked = torch.from_numpy(np.stack(pixels))
        return self.probabilities(Images(stacked, torch.full((len(pixels),), -1)))

    def save(self, folder: Path) -> Path | None:
        """Write ``model.json``, ``weights.safetensors`` and, where onnx and onnxscript are installed, ``model.onnx``.

        Returns:
            The ONNX file, or nothing where it could not be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / "weights.safetensors", self.network.state_dict(), {"vaebench": __version__})
        write_text(folder / "model.json", self.description.model_dump_json(indent=1) + "\n")
        path = folder / "model.onnx"
        if not can_export():
            path.unlink(missing_ok=True)
            return None
        with atomic(path) as temporary:
            self.write_onnx(temporary)
        return path

    def write_onnx(self, path: Path) -> None:
        """One ONNX file: input ``images``, uint8 (B, H, W, C); output ``probabilities``, float32 (B, Y)."""
        rule = self.description.rule
        example = torch.zeros(2, rule.height, rule.width, rule.channels, dtype=torch.uint8)
        words = {"classes": "\n".join(self.classes)}
        path.write_bytes(to_onnx(self, example, ["images"], ["probabilities"], words).SerializeToString())


def load_classifier(folder: str | Path) -> ImageClassifier:
    """A classifier from the folder that :meth:`ImageClassifier.save` wrote; no code is run.

    Raises:
        VaebenchError: no such folder, or damaged files.
    """
    folder = Path(folder)
    file, weights = folder / "model.json", folder / "weights.safetensors"
    if not file.exists():
        raise VaebenchError(f"{folder} holds no model.json; expected the model folder that vaebench classify wrote")
    values: Any = read_json(file)
    try:
        description = Description.model_validate(values)
    except ValidationError as error:
        raise explain(error, Description, str(file)) from error
    network = description.build()
    tensors = read_tensors(weights)[0]
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise VaebenchError(f"{weights} does not fit {file}; copy both from the same model folder") from error
    return ImageClassifier(description, network)


def _pixels(image: str | Path | Image.Image | np.ndarray, rule: PreprocessingRule) -> UInt8[np.ndarray, "C H W"]:
    if isinstance(image, Image.Image):
        return rule.pixels(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise VaebenchError(
                f"an array is {image.dtype} of shape {image.shape}; expected uint8 (H, W), (H, W, 1) or (H, W, 3)"
            )
        return rule.pixels(Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image))
    try:
        with Image.open(image) as opened:
            return rule.pixels(opened)
    except (OSError, UnreadableImageError) as error:
        raise VaebenchError(f"{image} cannot be read as an image; mend or remove it") from error
