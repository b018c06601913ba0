"""`Run`: a finished run, read from its folder of recipe, results, weights, latents and panels."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent

from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_arrays, read_json, write_text
from vaebench.core.frozen import differences
from vaebench.data.images import HIDDEN, Images
from vaebench.deprecated import upgrade_results
from vaebench.evaluation.features import Codes, encode
from vaebench.evaluation.panels import prior_samples
from vaebench.evaluation.samples import SAMPLERS
from vaebench.models.classifying_vae import ClassifyingVAE
from vaebench.models.export import can_export
from vaebench.models.likelihoods import BernoulliPixels, check_pixels
from vaebench.models.local_decoder import LocalDecoderModel
from vaebench.models.quantised import QuantisedModel
from vaebench.models.vae import VAE, VAEModel
from vaebench.runs.explorer.explorer import Explorer
from vaebench.runs.recipe import Recipe, load_recipe
from vaebench.runs.rows import ResultRow
from vaebench.training.checkpoint import read_tensors
from vaebench.training.compute import Compute
from vaebench.training.prediction import predict_with

SCHEMA = 2
"""Version of results.json; version 1 is upgraded when it is read."""


class Run:
    """A run, read lazily from its folder.

    Attributes:
        path: the folder.
        recipe: the recipe, with every "auto" resolved.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "recipe.json").exists():
            raise VaebenchError(f"{path} holds no recipe.json; expected the folder of a run")
        self.recipe: Recipe = load_recipe(path / "recipe.json")

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Return the run in this folder.

        Raises:
            VaebenchError: the folder holds no run, or its recipe.json is damaged.
        """
        return cls(Path(path))

    def __repr__(self) -> str:
        state = f"{len(self.rows)} rows" if self.finished else "unfinished"
        return f"Run({self.recipe.name!r} in {self.path}, {state})"

    @property
    def finished(self) -> bool:
        """Whether results.json exists."""
        return (self.path / "results.json").exists()

    @cached_property
    def results(self) -> dict[str, Any]:
        """Contents of results.json: recipe, machine, commit, seconds, rows and more (docs/results.md).

        Raises:
            VaebenchError: the run is not finished, or the file is damaged or has another schema.
        """
        path = self.path / "results.json"
        if not self.finished:
            raise VaebenchError(f"the run in {self.path} is not finished; continue it with --resume")
        results: Any = read_json(path)
        if not isinstance(results, dict):
            raise VaebenchError(f"{path} holds no JSON object; it was damaged or edited")
        if results.get("schema") not in (1, SCHEMA):
            raise VaebenchError(
                f"{path} has schema {results.get('schema')!r}; expected 1 or {SCHEMA}: read it with the version of "
                "vaebench that wrote it, or run the recipe again"
            )
        rows = results.get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise VaebenchError(f"{path} holds no list of rows; it was damaged or edited")
        return upgrade_results(results) if results["schema"] == 1 else results

    @property
    def rows(self) -> list[ResultRow]:
        """Rows of results.json."""
        rows: list[ResultRow] = self.results["rows"]
        return rows

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """One record per training epoch of the VAE: mean losses on training and validation images, nats per image."""
        epochs: list[dict[str, Any]] = read_json(self.path / "history.json")["epochs"]
        return epochs

    @cached_property
    def panels(self) -> dict[str, np.ndarray]:
        """Arrays shown in the figures."""
        return read_arrays(self.path / "panels.npz")

    @cached_property
    def vae(self) -> VAE:
        """The trained VAE, in evaluation mode, on the CPU."""
        return load_vae(self.recipe.model, self.path / "weights.safetensors")

    def encode(self, images: np.ndarray | Tensor) -> Codes:
        """Return mean and log-variance of q(z|x), each (N, D); discrete latents have no log-variance.

        Args:
            images: (N, H, W) or (N, C, H, W), uint8 or floats in [0, 1]. If the training images had 8 bits, floats are
                rounded to them; otherwise NaN stands for an unknown pixel.

        Raises:
            VaebenchError: the shape differs from that of the training images, or pixels are out of range.
        """
        return encode(self.vae, self._unlabelled(images))

    @cached_property
    def classifier(self) -> ClassifyingVAE:
        """The self-trained VAE of a run with few labels, in evaluation mode, on the CPU."""
        path = self.path / "self-trained" / "weights.safetensors"
        if not path.exists():
            raise VaebenchError(f"the run in {self.path} has no classifier; run its recipe with --few-labels")
        return load_classifier(self.recipe.model, path)

    def classify(self, images: np.ndarray | Tensor) -> Float[Tensor, "N Y"]:
        """Return class probabilities of the self-trained VAE; ``images`` as for :meth:`encode`.

        Raises:
            VaebenchError: the run has no classifier, the shape differs from that of the training images, or pixels
                are out of range.
        """
        return predict_with(self.classifier, 0, Compute(device="cpu"))(self._unlabelled(images))

    def _unlabelled(self, images: np.ndarray | Tensor) -> Images:
        pixels = _in_shape(torch.as_tensor(images), tuple(self.results["image_shape"]))
        if pixels.dtype != torch.uint8:
            check_pixels(BernoulliPixels(), pixels.nan_to_num(nan=0.0) if self._has_float_pixels else pixels, "images")
            pixels = pixels.float() if self._has_float_pixels else (pixels * 255).round().to(torch.uint8)
        return Images(pixels, torch.full((len(pixels),), HIDDEN))

    @property
    def _has_float_pixels(self) -> bool:
        return bool(self.results.get("pixel_type", "uint8") != "uint8")

    @property
    def explorer_obstacle(self) -> str | None:
        """Reason why the latent explorer cannot be made, or None if it can."""
        if not can_export():
            return "it needs onnx, onnxscript and onnxruntime: pip install 'vaebench[onnx]'"
        if isinstance(self.recipe.model, LocalDecoderModel):
            return "a local decoder generates one pixel after another, which takes too long in a browser"
        if isinstance(self.recipe.model, QuantisedModel):
            return "its sliders vary latents continuously, and the latents of this run have finitely many values"
        if self.recipe.model.latent < 2:
            return "a map needs at least 2 latents, and this run has 1"
        if not (self.path / "weights.safetensors").exists():
            return f"{self.path} holds no weights.safetensors"
        if "map_images" not in self.panels:
            return "the run was made by an earlier vaebench, which kept no images for the map; run it again"
        return None

    def explore(self) -> Explorer:
        """Return the latent explorer, which displays itself in a notebook; ``.write(path)`` makes an HTML file.

        Raises:
            VaebenchError: the run is not finished, or the explorer cannot be made (:attr:`explorer_obstacle`).
        """
        results = self.results
        if reason := self.explorer_obstacle:
            raise VaebenchError(f"the explorer of {self.path} cannot be made: {reason}")
        return Explorer.of_run(self.recipe.name, self.vae, self.panels, results)

    @torch.no_grad()
    def decode(self, codes: np.ndarray | Tensor) -> Float[Tensor, "N C H W"]:
        """Means of p(x|z) for codes (N, D)."""
        return self.vae.decode(torch.as_tensor(codes, dtype=torch.float32)).mean

    def sample(
        self, count: int, seed: int = 0, sampler: str = "prior", temperature: float = 1.0
    ) -> Float[Tensor, "N C H W"]:
        """Means of p(x|z) for ``count`` codes.

        Args:
            count: N.
            seed: of the codes.
            sampler: ``"prior"``, or a density that is fitted to the codes of the training images: ``"gaussian"`` or
                ``"mixture"`` (:data:`vaebench.evaluation.samples.SAMPLERS`).
            temperature: factor of the standard deviation of the codes, for a mixture within its components; below 1
                images are more typical and less varied.

        Raises:
            VaebenchError: no such sampler, or a temperature for a learned prior.
        """
        if sampler in SAMPLERS:
            arrays = read_arrays(self.path / "latents.npz")
            mean, labels, log_variance = (
                torch.from_numpy(arrays[f"train_{name}"]) for name in ("mean", "labels", "log_variance")
            )
            codes = Codes(mean, labels, log_variance)
            return self.decode(SAMPLERS[sampler].draw(codes, count, seed, temperature))
        if sampler != "prior":
            raise VaebenchError(f"sampler is {sampler!r}; expected 'prior' or one of {sorted(SAMPLERS)}")
        if temperature != 1.0 and not isinstance(self.vae.prior(), Independent):
            raise VaebenchError(
                f"temperature is {temperature}, but the prior of {self.path} is learned and has no single standard "
                "deviation; leave it at 1, or choose the sampler 'gaussian' or 'mixture'"
            )
        return self.decode(temperature * prior_samples(self.vae, seed, count))


def load_vae(model: VAEModel, path: Path) -> VAE:
    """Return the VAE of this configuration with the weights of this file, in evaluation mode."""
    tensors, metadata = read_tensors(path)
    vae = model.build(tuple(metadata["image_shape"]))
    vae.load_state_dict(tensors)
    return vae.eval()


def load_classifier(model: VAEModel, path: Path) -> ClassifyingVAE:
    """Return the VAE of this configuration with a class head and the weights of this file, in evaluation mode."""
    tensors, metadata = read_tensors(path)
    network = ClassifyingVAE(model.build(tuple(metadata["image_shape"])), len(metadata["classes"]))
    network.load_state_dict(tensors)
    return network.eval()


def _in_shape(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    if images.ndim == 3:
        images = images.unsqueeze(1)
    if tuple(images.shape[1:]) != shape:
        raise VaebenchError(
            f"images has shape {tuple(images.shape)}; expected (N, {', '.join(map(str, shape))}), the shape of the "
            "images that the run was trained on"
        )
    return images


def _has_begun(path: Path) -> bool:
    """Whether a folder holds more of a run than its recipe: a run whose data were refused leaves only that."""
    names = {each.name for each in path.iterdir() if not each.name.startswith(".")}
    return bool(names - {"recipe.json", "inspection.html"})


def claim_folder(recipe: Recipe, compute: Compute, path: Path, resume: bool) -> Recipe:
    """Write recipe.json into a new folder, or check that the existing one holds the same recipe.

    Raises:
        VaebenchError: the folder holds a run and ``resume`` is not set, or a run of another recipe.
    """
    resolved = recipe.model_copy(update={"compute": compute})
    file = path / "recipe.json"
    if not file.exists() or not _has_begun(path):
        write_text(file, resolved.model_dump_json(indent=1) + "\n")
        return resolved
    if not resume:
        raise VaebenchError(f"{path} already holds a run; add --resume to continue it, or --out for another folder")
    existing = load_recipe(file)
    if compute.threads is None:  # it goes on with the number that it was started with
        resolved = recipe.model_copy(
            update={"compute": compute.model_copy(update={"threads": existing.compute.threads})}
        )
    if changed := differences(existing.model_dump(mode="json"), resolved.model_dump(mode="json")):
        raise VaebenchError(
            f"{path} holds a run of another recipe: {'; '.join(changed)}; "
            "give the same options, or choose another folder (--out)"
        )
    return existing
