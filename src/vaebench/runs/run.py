"""A run: a folder with recipe.json, history, weights, latents, label draws, results.json, panels."""

from __future__ import annotations

import csv
import io
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_arrays, read_json, write_text
from vaebench.core.frozen import differences
from vaebench.data.images import HIDDEN, Images
from vaebench.evaluation.features import Codes, encode
from vaebench.evaluation.panels import prior_samples
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.export import can_export
from vaebench.models.likelihoods import BernoulliPixels, check_pixels
from vaebench.models.vae import VAE
from vaebench.runs.explorer.explorer import Explorer
from vaebench.runs.recipe import Recipe, parse_recipe
from vaebench.training.checkpoint import read_tensors
from vaebench.training.compute import Compute
from vaebench.training.prediction import predict_with

SCHEMA = 1
CSV_KEYS = (
    "data",
    "split",
    "features",
    "probe",
    "labels_per_class",
    "latent",
    "metric",
    "mean",
    "sd",
    "n",
    "interval",
)


class Run:
    """A finished run, read from its folder.

    ``recipe``, ``results`` (the whole of results.json), ``rows``, ``history``, ``panels`` (arrays), ``vae``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "recipe.json").exists():
            raise VaebenchError(f"{path} holds no recipe.json; expected the folder of a run")
        self.recipe: Recipe = parse_recipe(read_json(path / "recipe.json"), str(path / "recipe.json"))

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """The run in this folder.

        Raises:
            VaebenchError: the folder holds no run, or a damaged one.
        """
        return cls(Path(path))

    def __repr__(self) -> str:
        state = f"{len(self.rows)} rows" if self.finished else "unfinished"
        return f"Run({self.recipe.name!r} in {self.path}, {state})"

    @property
    def finished(self) -> bool:
        """Whether the results are there."""
        return (self.path / "results.json").exists()

    @cached_property
    def results(self) -> dict[str, Any]:
        """results.json: schema, recipe, machine, commit, seconds, rows, and more."""
        if not self.finished:
            raise VaebenchError(f"the run in {self.path} is not finished; continue it with --resume")
        found: Any = read_json(self.path / "results.json")
        if not isinstance(found, dict):
            raise VaebenchError(f"{self.path}/results.json holds no JSON object; it was damaged or edited")
        if found.get("schema") != SCHEMA:
            raise VaebenchError(
                f"{self.path}/results.json has schema {found.get('schema')!r}; expected {SCHEMA}: read it with "
                "the version of vaebench that wrote it, or run the recipe again"
            )
        rows = found.get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise VaebenchError(f"{self.path}/results.json holds no list of rows; it was damaged or edited")
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The result rows."""
        rows: list[dict[str, Any]] = self.results["rows"]
        return rows

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """One record an epoch of the VAE's training: means over training and validation images, nats per image."""
        epochs: list[dict[str, Any]] = read_json(self.path / "history.json")["epochs"]
        return epochs

    @cached_property
    def panels(self) -> dict[str, np.ndarray]:
        """The arrays that figures show."""
        return read_arrays(self.path / "panels.npz")

    @cached_property
    def vae(self) -> VAE:
        """The trained VAE, in evaluation mode, on the CPU."""
        return load_vae(self.recipe, self.path / "weights.safetensors")

    def encode(self, images: np.ndarray | Tensor) -> Codes:
        """Mean and log-variance of q(z|x), each (N, D), of images (N, H, W) or (N, C, H, W), uint8 or in [0, 1].

        Floats are rounded to 8 bits, as the training images are.

        Raises:
            VaebenchError: another shape than the run was trained on, or pixels out of range.
        """
        pixels = _as_uint8(torch.as_tensor(images), tuple(self.results["image_shape"]))
        return encode(self.vae, Images(pixels, torch.full((len(pixels),), HIDDEN)))

    @cached_property
    def classifier(self) -> ClassifyingVAE:
        """The self-trained VAE of a run with few labels, in evaluation mode, on the CPU."""
        path = self.path / "self-trained" / "weights.safetensors"
        if not path.exists():
            raise VaebenchError(f"the run in {self.path} kept no classifier; run its recipe with --few-labels")
        return load_classifier(self.recipe, path)

    def classify(self, images: np.ndarray | Tensor) -> Float[Tensor, "N Y"]:
        """Class probabilities of images as :meth:`encode` takes them, by the self-trained VAE.

        Raises:
            VaebenchError: the run kept no classifier, another shape than it was trained on, or pixels out of range.
        """
        pixels = _as_uint8(torch.as_tensor(images), tuple(self.results["image_shape"]))
        hidden = Images(pixels, torch.full((len(pixels),), HIDDEN))
        return predict_with(self.classifier, 0, Compute(device="cpu"))(hidden)

    @property
    def unexplorable(self) -> str | None:
        """Why :meth:`explore` cannot be, or nothing where it can."""
        if not can_export():
            return "it needs onnx, onnxscript and onnxruntime: pip install 'vaebench[onnx]'"
        if self.recipe.model.latent < 2:
            return "a map needs at least 2 latents, and this run has 1"
        if not (self.path / "weights.safetensors").exists():
            return f"{self.path} holds no weights.safetensors"
        if "map_images" not in self.panels:
            return "the run was made by an earlier vaebench, which kept no images for the map; run it again"
        return None

    def explore(self) -> Explorer:
        """The latent explorer: shows itself in a notebook; ``.write(path)`` makes one file that opens in a browser.

        Raises:
            VaebenchError: the run is not finished, or :attr:`unexplorable`.
        """
        results = self.results
        if why := self.unexplorable:
            raise VaebenchError(f"the explorer of {self.path} cannot be made: {why}")
        return Explorer.of_run(self.recipe.name, self.vae, self.panels, results)

    @torch.no_grad()
    def decode(self, codes: np.ndarray | Tensor) -> Float[Tensor, "N C H W"]:
        """Mean images of p(x|z) for codes (N, D)."""
        return self.vae.decode(torch.as_tensor(codes, dtype=torch.float32)).mean

    def sample(self, count: int, seed: int = 0) -> Float[Tensor, "N C H W"]:
        """Mean images of p(x|z) for ``count`` codes drawn from the prior."""
        return self.decode(prior_samples(self.vae, seed, count))


def load_vae(recipe: Recipe, path: Path) -> VAE:
    """A VAE with the weights of this file, in evaluation mode."""
    tensors, text = read_tensors(path)
    channels, height, width = text["image_shape"]
    vae = recipe.model.build((channels, height, width))
    vae.load_state_dict(tensors)
    return vae.eval()


def load_classifier(recipe: Recipe, path: Path) -> ClassifyingVAE:
    """A VAE that names classes, with the weights of this file, in evaluation mode."""
    tensors, text = read_tensors(path)
    channels, height, width = text["image_shape"]
    network = ClassifyingVAE(recipe.model.build((channels, height, width)), len(text["classes"]))
    network.load_state_dict(tensors)
    return network.eval()


def _as_uint8(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    if images.ndim == 3:
        images = images.unsqueeze(1)
    if tuple(images.shape[1:]) != shape:
        raise VaebenchError(
            f"images has shape {tuple(images.shape)}; expected (N, {', '.join(map(str, shape))}), "
            "as the run was trained on"
        )
    if images.dtype == torch.uint8:
        return images
    check_pixels(BernoulliPixels(), images, "images")
    return (images * 255).round().to(torch.uint8)


def claim_folder(recipe: Recipe, compute: Compute, path: Path, resume: bool) -> Recipe:
    """Write recipe.json into a new folder, or check that the one there is this recipe.

    Raises:
        VaebenchError: the folder holds a run and ``resume`` is not set, or a run of another recipe.
    """
    resolved = recipe.model_copy(update={"compute": compute})
    file = path / "recipe.json"
    if not file.exists():
        write_text(file, resolved.model_dump_json(indent=1) + "\n")
        return resolved
    if not resume:
        raise VaebenchError(f"{path} already holds a run; add --resume to continue it, or --out for another folder")
    there = parse_recipe(read_json(file), str(file))
    if changed := differences(there.model_dump(mode="json"), resolved.model_dump(mode="json")):
        raise VaebenchError(
            f"{path} holds a run of another recipe: {'; '.join(changed)}; "
            "give the same options, or choose another folder (--out)"
        )
    return there


def rows_as_csv(rows: list[dict[str, Any]]) -> str:
    """Result rows as CSV, one line a row, without the single values."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_KEYS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
