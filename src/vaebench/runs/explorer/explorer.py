"""`Explorer`: a self-contained HTML page that decodes latent codes in the browser, without network access; and
`Points`, the test images of its map."""

from __future__ import annotations

import base64
import gzip
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch.distributions import Independent

from vaebench.core.files import write_text
from vaebench.evaluation.bounds import DEAD_BELOW
from vaebench.evaluation.panels import prior_samples
from vaebench.evaluation.probes import LinearClassifier
from vaebench.plotting.channels import channel_titles, is_composite
from vaebench.plotting.palette import class_style, clean, shortened
from vaebench.plotting.templates import script_json, template
from vaebench.runs.explorer.networks import decoder_onnx, encoder_onnx, stored_error

if TYPE_CHECKING:
    from vaebench.models.vae import VAE

SCRIPTS = ("images", "networks", "state", "channels", "decoded", "latents", "map", "interpolation", "input", "main")
"""Scripts of the page, in loading order."""
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.gz")
MAX_CLASS_NAME = 40
PRIOR_CODES = 1000
"""Codes from a learned prior stored in the page, which cannot sample from it itself."""
NOTEBOOK_HEIGHT = 900
"""Height of the page in a notebook, in CSS pixels."""
MAX_LOSSLESS_BYTES = 2_000_000
"""Size of the pixels above which the sprite sheet is compressed lossily."""
QUALITY = 85


@dataclass(frozen=True)
class Points:
    """M test images.

    Attributes:
        images: uint8 (M, C, H, W); large images are reduced.
        mean, log_variance: parameters of q(z|x), each (M, D).
        labels: class indices (M,), -1 for unlabelled images.
        tsne: t-SNE coordinates (M, 2).
    """

    images: UInt8[np.ndarray, "M C H W"]
    mean: Float[np.ndarray, "M D"]
    log_variance: Float[np.ndarray, "M D"]
    labels: Int[np.ndarray, " M"]
    tsne: Float[np.ndarray, "M 2"]

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def lossless(self) -> bool:
        """Whether the sprite sheet is lossless."""
        return self.images.nbytes <= MAX_LOSSLESS_BYTES

    @property
    def columns(self) -> int:
        """Columns of the sprite sheet."""
        return math.ceil(math.sqrt(len(self)))

    def sheets(self) -> list[bytes]:
        """Return the sprite sheet, all images in one WebP, row by row; of other than 1 or 3 channels one for each."""
        channels = self.images.shape[1]
        parts = [self.images] if channels in (1, 3) else np.split(self.images, channels, axis=1)
        return [self._sheet(images) for images in parts]

    def _sheet(self, images: UInt8[np.ndarray, "M C H W"]) -> bytes:
        count, channels, height, width = images.shape
        rows = math.ceil(count / self.columns)
        cells = np.zeros((rows * self.columns, channels, height, width), np.uint8)
        cells[:count] = images
        grid = cells.reshape(rows, self.columns, channels, height, width).transpose(0, 3, 1, 4, 2)
        pixels = grid.reshape(rows * height, self.columns * width, channels)
        picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels).convert("RGB")
        file = io.BytesIO()
        picture.save(file, "WEBP", lossless=self.lossless, quality=100 if self.lossless else QUALITY, method=4)
        return file.getvalue()

    def pca(self) -> tuple[Float[np.ndarray, "2 D"], Float[np.ndarray, " D"], Float[np.ndarray, " 2"]]:
        """First two principal axes of the means, their centre, and the variance ratio of each axis."""
        with np.errstate(invalid="ignore"):  # identical codes have no variance
            from sklearn.decomposition import PCA

            pca = PCA(2, svd_solver="full").fit(self.mean)
        return pca.components_, pca.mean_, np.nan_to_num(pca.explained_variance_ratio_)

    @property
    def background(self) -> int:
        """Background of the images, estimated from their edge pixels: 0 (black) or 255 (white)."""
        edges = [self.images[..., 0, :], self.images[..., -1, :], self.images[..., 0], self.images[..., -1]]
        return 255 if np.mean([edge.mean() for edge in edges]) > 127 else 0


@dataclass(frozen=True, repr=False)
class Explorer:
    """The latent explorer of a VAE.

    Attributes:
        name: title of the page.
        lead: sentence below the title.
        vae: the VAE, in evaluation mode, on the CPU.
        shape: channels, height and width of the images.
        classes: class names, empty without labels.
        kl_per_latent: mean KL of each latent in nats (D,).
        points: test images of the map.
        head: linear probe that classifies codes.
        head_description: sentence on the probe and its training labels.
        prior_codes: codes from a learned prior (S, D); None if the prior is N(0, I).
        channel_names: names of the channels, or empty.
    """

    name: str
    lead: str
    vae: VAE
    shape: tuple[int, int, int]
    classes: Sequence[str]
    kl_per_latent: Float[np.ndarray, " D"]
    points: Points
    head: LinearClassifier | None
    head_description: str = ""
    prior_codes: Float[np.ndarray, "S D"] | None = None
    channel_names: Sequence[str] = ()

    @classmethod
    def of_run(cls, name: str, vae: VAE, panels: Mapping[str, np.ndarray], results: Mapping[str, Any]) -> Explorer:
        """Return the explorer of a run's VAE from the contents of its panels.npz and results.json."""
        counts = results["data"]["images"]
        points = Points(*(panels[f"map_{part}"] for part in ("images", "codes", "log_variance", "labels", "tsne")))
        head = None
        if "head_weight" in panels:
            head = LinearClassifier(torch.from_numpy(panels["head_weight"]), torch.from_numpy(panels["head_bias"]))
        return cls(
            name=name,
            lead=f"A VAE with {len(vae.zero)} latents, trained without labels on {counts['train']:,} images of "
            f"{results['data']['name']}. The map holds {len(points):,} of the {counts['test']:,} test images.",
            vae=vae,
            shape=tuple(results["image_shape"]),
            classes=results["classes"],
            kl_per_latent=panels["kl_per_latent"],
            points=points,
            head=head,
            head_description=f"Logistic regression on the latents, trained on all {counts['train']:,} training labels",
            prior_codes=None if isinstance(vae.prior(), Independent) else prior_samples(vae, 0, PRIOR_CODES).numpy(),
            channel_names=results.get("channel_names", ()),
        )

    def __repr__(self) -> str:
        return f"Explorer({self.name!r}, {len(self.kl_per_latent)} latents, {len(self.points):,} test images)"

    def write(self, path: Path) -> Path:
        """Write the page and return its path.

        Raises:
            VaebenchError: the packages of the extra "onnx" are missing, or the file cannot be written.
        """
        write_text(path, self.html)
        return path

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" title="{html.escape(clean(self.name))}" '
            f'style="width: 100%; height: {NOTEBOOK_HEIGHT}px; border: 0"></iframe>'
        )

    @cached_property
    def html(self) -> str:
        """The page as HTML, with every name escaped."""
        decoder, encoder = decoder_onnx(self.vae, self.head), encoder_onnx(self.vae, self.shape)
        error = stored_error(self.vae, decoder, torch.from_numpy(self.points.mean[:100]))
        folder = files("vaebench.runs.explorer")
        script, wasm = ((folder / "runtime" / name).read_bytes() for name in RUNTIME)
        compress = partial(gzip.compress, compresslevel=9, mtime=0)
        blobs = {
            "runtime": compress(script),
            "wasm": wasm,
            "decoder": compress(decoder.SerializeToString()),
            "encoder": compress(encoder.SerializeToString()),
        }
        blobs |= {f"sheet-{index}": sheet for index, sheet in enumerate(self.points.sheets())}
        return template("page/explorer.html.j2", "vaebench.runs.explorer").render(
            name=clean(self.name),
            lead=clean(self.lead),
            page_data=script_json(self.page_data(error)),
            blobs={name: base64.b64encode(content).decode() for name, content in blobs.items()},
            script="\n".join((folder / "page" / f"{name}.js").read_text() for name in SCRIPTS),
            style=(folder / "page" / "explorer.css").read_text(),
        )

    def page_data(self, stored_error: float) -> dict[str, Any]:
        """Return the data of the page's scripts as JSON values; ``stored_error`` is that of the 16-bit weights."""
        points, kl = self.points, self.kl_per_latent
        axes, centre, variance_ratios = points.pca()
        predicted = None
        if self.head is not None:
            logits = torch.from_numpy(points.mean) @ self.head.weight.T + self.head.bias
            predicted = logits.argmax(-1).tolist()
        prior_codes = np.empty((0, len(kl)), np.float32) if self.prior_codes is None else self.prior_codes
        return {
            "name": clean(self.name),
            "shape": list(self.shape),
            "kl": kl.tolist(),
            "order": np.argsort(-kl, kind="stable").tolist(),
            "deadBelow": DEAD_BELOW,
            "dead": np.flatnonzero(kl < DEAD_BELOW).tolist(),
            "ranges": slider_ranges(np.concatenate([points.mean, prior_codes])).tolist(),
            "priorCodes": _encoded(prior_codes) if len(prior_codes) else None,
            "classes": [_class_entry(index, name) for index, name in enumerate(self.classes)],
            "head": clean(self.head_description) if self.head is not None else None,
            "background": points.background,
            "channels": channel_titles(self.shape[0], self.channel_names),
            "composite": is_composite(self.shape[0], self.channel_names),
            "storedError": stored_error,
            "pca": {"axes": axes.tolist(), "centre": centre.tolist(), "varianceRatios": variance_ratios.tolist()},
            "points": {
                "count": len(points),
                "columns": points.columns,
                "size": list(points.images.shape[:1:-1]),
                "lossless": points.lossless,
                "labels": points.labels.tolist(),
                "predicted": predicted,
                "mean": _encoded(points.mean),
                "logVariance": _encoded(points.log_variance),
                "tsne": _encoded(points.tsne),
            },
        }


def _class_entry(index: int, name: str) -> dict[str, str]:
    colour, marker = class_style(index)
    shown = shortened(clean(name), MAX_CLASS_NAME)
    return {"name": shown if shown.strip() else f"class {index}", "colour": colour, "marker": marker}


def slider_ranges(codes: Float[np.ndarray, "M D"]) -> Float[np.ndarray, " D"]:
    """Half-width of each latent's slider: at least 3, and wide enough for all codes."""
    ranges: np.ndarray = np.maximum(3.0, np.ceil(2 * np.abs(codes).max(0)) / 2)
    return ranges


def quantise(values: Float[np.ndarray, ...]) -> tuple[float, bytes]:
    """Return a step size and the values as little-endian 16-bit multiples of it, exact to half a step."""
    step = float(np.abs(values).max()) / 32767 or 1.0
    return step, np.rint(values / step).astype("<i2").tobytes()


def _encoded(values: np.ndarray) -> dict[str, Any]:
    step, content = quantise(values)
    return {"step": step, "values": base64.b64encode(content).decode()}
