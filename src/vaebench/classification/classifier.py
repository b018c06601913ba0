"""ImageClassifier: a trained classifier with its preprocessing, saved to files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from PIL import Image
from pydantic import Field, ValidationError
from torch import Tensor, nn

from vaebench import __version__
from vaebench.classification.encoded_images import build_feature_network
from vaebench.classification.encoder import FILE, EncoderDescription, OnnxEncoder, digest_of
from vaebench.classification.neighbours import NeighbourClassifier
from vaebench.core.errors import VaebenchError, explain
from vaebench.core.files import read_json, write_bytes, write_text
from vaebench.core.frozen import Frozen
from vaebench.data.decoding import Options, decode, from_array, from_pillow
from vaebench.data.image_set import UnreadableImageError
from vaebench.data.images import HIDDEN, Images
from vaebench.data.preprocessing import PreprocessingRule
from vaebench.deprecated import CLASSIFIER_TENSORS
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.export import can_export, to_onnx
from vaebench.models.folding import fold_batch_norm
from vaebench.models.vae import Model
from vaebench.semi_supervised.graphs import NEIGHBOURS
from vaebench.training.checkpoint import read_tensors, write_tensors

BATCH = 250


class LinearProbe(nn.Module):
    """Linear classifier on the means of q(z|x) where there is an encoder, on flat pixels or features otherwise."""

    def __init__(self, features: int, classes: int, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = nn.Flatten() if encoder is None else encoder
        self.linear = nn.Linear(features, classes)

    def forward(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B Y"]:
        """Logits."""
        means = self.encoder(x)[:, : self.linear.in_features]  # an encoder's further columns are log-variances
        logits: Tensor = self.linear(means)
        return logits


NetworkKind = Literal["pixel-line", "latent-line", "neighbours", "network", "encoder"]
Format = Literal["vaebench image classifier, 1", "vaebench image classifier, 2"]
"""The second one has an encoder of the user's."""


class Description(Frozen):
    """Everything about a classifier except its weights: the contents of ``model.json``."""

    format: Format = "vaebench image classifier, 1"
    vaebench: str = __version__
    kind: NetworkKind
    method: str
    """Title of the method that the network was fitted by."""
    rule: PreprocessingRule
    """Of the images of the VAE."""
    classes: tuple[str, ...] = Field(min_length=2)
    model: Model
    """Configuration of the VAE."""
    temperature: float = Field(gt=0)
    """Divides the logits, so that probabilities are calibrated."""
    neighbours: int = Field(NEIGHBOURS, ge=1)
    """Nearest stored codes whose scores are averaged, for the kind "neighbours"."""
    encoder: EncoderDescription | None = None
    """The user's encoder, whose features the network classifies; none where it classifies pixels."""

    def build(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        """Build the network for these weights: pixels (B, C, H, W) in [0, 1] to logits (B, Y)."""
        classes = len(self.classes)
        if self.kind == "pixel-line":
            return LinearProbe(math.prod(self.shape), classes)
        vae = self.model.build(self.shape)
        if self.kind == "network":
            return ClassifyingVAE(vae, classes)
        if self.kind == "latent-line":
            return LinearProbe(len(vae.zero), classes, vae.encoder)
        return NeighbourClassifier(vae.encoder, tensors["codes"], tensors["scores"], self.neighbours)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images of the VAE."""
        return self.rule.channels, self.rule.height, self.rule.width

    @property
    def image_rule(self) -> PreprocessingRule:
        """Preprocessing of the images to classify: that of the encoder where there is one."""
        return self.rule if self.encoder is None else self.encoder.rule(self.rule)

    def load(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Build the network with these weights, also under their names of vaebench 0.1.

        Raises:
            KeyError, RuntimeError: the tensors do not match the network.
        """
        tensors = {CLASSIFIER_TENSORS.get(name, name): value for name, value in tensors.items()}
        network = self.build(tensors) if self.encoder is None else _feature_classifier(tensors, self.encoder.features)
        network.load_state_dict(tensors)
        return network


class ImageClassifier(nn.Module):
    """A trained classifier with its preprocessing.

    As a torch module it maps images (B, H, W, C) of the rule's size to class probabilities (B, Y): uint8 pixels, or
    float32 stored values where the rule has a range of them. :meth:`predict` takes images of any size.

    Args:
        description: everything but the weights.
        network: pixels (B, C, H, W) in [0, 1], or features (B, F) of the encoder, to logits (B, Y).
        encoder: the user's encoder, if the description has one.
    """

    low: Tensor
    high: Tensor

    def __init__(self, description: Description, network: nn.Module, encoder: OnnxEncoder | None = None) -> None:
        super().__init__()
        self.description = description
        self.network = network.eval()
        self.encoder = encoder
        rule = self.rule
        self.register_buffer("low", torch.tensor(rule.low or (0.0,)).view(-1, 1, 1), persistent=False)
        self.register_buffer("high", torch.tensor(rule.high or (255.0,)).view(-1, 1, 1), persistent=False)

    @property
    def rule(self) -> PreprocessingRule:
        """Preprocessing of the images to classify."""
        return self.description.image_rule

    def __repr__(self) -> str:
        rule, classes = self.rule, self.classes
        shown = ", ".join(classes[:8]) + (", ..." if len(classes) > 8 else "")
        return f"ImageClassifier({self.description.method}: {rule.width}x{rule.height}x{rule.channels} -> {shown})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.description.classes

    def forward(self, images: Shaped[Tensor, "B H W C"]) -> Float[Tensor, "B Y"]:
        """Class probabilities."""
        x = images.permute(0, 3, 1, 2).to(torch.float32)
        if not self.rule.low:
            return self._classify(x / 255)
        return self._classify(((x - self.low) / (self.high - self.low)).clamp(0, 1).nan_to_num(0.0))

    def _classify(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Y"]:
        """Class probabilities of pixels in [0, 1]."""
        return self._classify_features(x if self.encoder is None else self.encoder.features(x))

    def _classify_features(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B Y"]:
        probabilities: Tensor = (self.network(x) / self.description.temperature).softmax(-1)
        return probabilities

    @torch.no_grad()
    def probabilities(
        self, images: Images, callback: Callable[[float], None] = lambda fraction: None
    ) -> Float[Tensor, "N Y"]:
        """Class probabilities of preprocessed images; ``callback`` receives the completed fraction."""
        many = len(images) > BATCH  # the copy with folded batch normalisation pays off only for many images
        network = fold_batch_norm(self.network) if many else self.network
        classifier = ImageClassifier(self.description, network, self.encoder)
        probabilities = []
        for rows in torch.arange(len(images)).split(BATCH):
            probabilities.append(classifier._classify(images.batch(rows).x.float()))
            callback(sum(map(len, probabilities)) / max(1, len(images)))
        return torch.cat(probabilities)

    @torch.no_grad()
    def probabilities_of_features(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N Y"]:
        """Class probabilities of features of the encoder, to the bits of those of the images."""
        return torch.cat([self._classify_features(part) for part in features.split(BATCH)])

    def predict(self, images: Sequence[str | Path | Image.Image | np.ndarray]) -> Float[Tensor, "N Y"]:
        """Class probabilities of image files, Pillow images or arrays (H, W) or (H, W, C), of any size.

        Raises:
            VaebenchError: an image cannot be read, or an array has another shape or another number of channels.
        """
        rule = self.rule
        pixels = [_pixels(image, rule) for image in images]
        if not pixels:
            return torch.zeros(0, len(self.classes))
        stacked = torch.from_numpy(np.stack(pixels))
        return self.probabilities(Images(stacked, torch.full((len(pixels),), HIDDEN)))

    def save(self, folder: Path) -> Path | None:
        """Write ``model.json``, ``weights.safetensors`` and, where onnx and onnxscript are installed, ``model.onnx``.

        The ONNX model maps ``images``, uint8 or float32 (B, H, W, C) as :meth:`forward`, to ``probabilities``, float32
        (B, Y). A classifier with an encoder writes a copy of it, ``encoder.onnx``, and no ONNX model.

        Returns:
            Path of the ONNX file; None for the reason that :attr:`without_onnx` says.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / "weights.safetensors", self.network.state_dict(), {"vaebench": __version__})
        if self.encoder is not None:
            self.encoder.copy_to(folder)
        unused = {"encoder"} if self.encoder is None else set()  # not written: vaebench 0.2 knows no such field
        write_text(folder / "model.json", self.description.model_dump_json(indent=1, exclude=unused) + "\n")
        if self.encoder is None:
            (folder / FILE).unlink(missing_ok=True)
        path = folder / "model.onnx"
        if self.without_onnx:
            path.unlink(missing_ok=True)
            return None
        rule, metadata = self.rule, {"classes": "\n".join(self.classes)}
        kind = torch.float32 if rule.low else torch.uint8
        example = torch.zeros(2, rule.height, rule.width, rule.channels, dtype=kind)
        write_bytes(path, to_onnx(self, example, ["images"], ["probabilities"], metadata).SerializeToString())
        return path

    @property
    def without_onnx(self) -> str:
        """Why :meth:`save` writes no ``model.onnx``, or ""."""
        if self.encoder is not None:
            return (
                "the classifier reads the features of an encoder, and ONNX graphs of different versions cannot be "
                f"merged reliably; the model is {FILE} with weights.safetensors"
            )
        return "" if can_export() else "it needs pip install 'vaebench[onnx]'"


def load_classifier(folder: str | Path) -> ImageClassifier:
    """Load a classifier from the folder that :meth:`ImageClassifier.save` wrote. No code from the folder is executed.

    Raises:
        VaebenchError: the folder does not exist, or a file is damaged.
    """
    folder = Path(folder)
    file, weights = folder / "model.json", folder / "weights.safetensors"
    if not file.exists():
        raise VaebenchError(f"{folder} contains no model.json; expected the model folder that vaebench classify wrote")
    values: Any = read_json(file)
    try:
        description = Description.model_validate(values)
    except ValidationError as error:
        raise explain(error, Description, str(file)) from error
    tensors = read_tensors(weights)[0]
    try:
        network = description.load(tensors)
    except (RuntimeError, KeyError) as error:
        raise VaebenchError(f"{weights} does not match {file}; copy both from the same model folder") from error
    return ImageClassifier(description, network, _saved_encoder(folder, description))


def _saved_encoder(folder: Path, description: Description) -> OnnxEncoder | None:
    if description.encoder is None:
        return None
    if digest_of(folder / FILE) != description.encoder.digest:
        raise VaebenchError(f"{folder / FILE} does not match model.json; copy both from the same model folder")
    return OnnxEncoder(folder / FILE, description.encoder, description.image_rule)


def _feature_classifier(tensors: dict[str, Tensor], features: int) -> nn.Module:
    """Build the network on an encoder's features that has tensors of these names and shapes.

    Raises:
        KeyError: a tensor is missing.
    """
    encoder: nn.Module | None = None
    if "encoder.weight" in tensors:
        encoder = nn.Linear(features, len(tensors["encoder.weight"]))
    elif any(name.startswith("encoder.") for name in tensors):
        encoder = build_feature_network(features)
    if "codes" in tensors:
        return NeighbourClassifier(encoder, tensors["codes"], tensors["scores"])
    classes, inputs = tensors["linear.weight"].shape
    return LinearProbe(inputs, classes, encoder)


def _pixels(image: str | Path | Image.Image | np.ndarray, rule: PreprocessingRule) -> Shaped[np.ndarray, "C H W"]:
    name = (
        "an array" if isinstance(image, np.ndarray) else "a picture" if isinstance(image, Image.Image) else str(image)
    )
    try:
        if isinstance(image, Image.Image):
            raw = from_pillow(image, max(rule.width, rule.height))
        elif isinstance(image, np.ndarray):
            raw = from_array(image)
        else:
            path = Path(image)
            raw = decode(path.read_bytes(), path.name, Options(max(rule.width, rule.height), rule.projection))
        return rule.pixels(raw)
    except OSError as error:
        raise VaebenchError(f"{name} cannot be read ({error.strerror}); expected a file of one image") from error
    except UnreadableImageError as error:
        raise VaebenchError(f"{name} {error}") from error
