"""`Explorer`: a self-contained HTML page that decodes latent codes in the browser, without network access."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from jinja2 import Environment, PackageLoader, StrictUndefined
from torch.distributions import Independent

from vaebench.core.files import write_text
from vaebench.evaluation.bounds import DEAD_BELOW
from vaebench.evaluation.panels import prior_samples
from vaebench.evaluation.probes import LinearClassifier
from vaebench.plotting.palette import class_style, clean, shortened
from vaebench.runs.explorer.networks import decoder_onnx, encoder_onnx, stored_error
from vaebench.runs.explorer.points import Points, quantise, slider_ranges

if TYPE_CHECKING:
    from vaebench.models.vae import VAE

SCRIPTS = ("images", "networks", "state", "decoded", "latents", "map", "interpolation", "input", "main")
"""Scripts of the page, in loading order."""
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.gz")
MAX_CLASS_NAME = 40
PRIOR_CODES = 1000
"""Codes from a learned prior stored in the page, which cannot sample from it itself."""
NOTEBOOK_HEIGHT = 900
"""Height of the page in a notebook, in CSS pixels."""


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

    @classmethod
    def of_run(cls, name: str, vae: VAE, panels: Mapping[str, np.ndarray], results: Mapping[str, Any]) -> Explorer:
        """Return the explorer of a run's VAE from the contents of its panels.npz and results.json."""
        counts = results["data"]["images"]
        channels, height, width = results["image_shape"]
        points = Points(*(panels[f"map_{part}"] for part in ("images", "codes", "log_variance", "labels", "tsne")))
        head = None
        if "head_weight" in panels:
            head = LinearClassifier(torch.from_numpy(panels["head_weight"]), torch.from_numpy(panels["head_bias"]))
        return cls(
            name=name,
            lead=f"A VAE with {len(vae.zero)} latents, trained without labels on {counts['train']:,} images of "
            f"{results['data']['name']}. The map holds {len(points):,} of the {counts['test']:,} test images.",
            vae=vae,
            shape=(channels, height, width),
            classes=results["classes"],
            kl_per_latent=panels["kl_per_latent"],
            points=points,
            head=head,
            head_description=f"Logistic regression on the latents, trained on all {counts['train']:,} training labels",
            prior_codes=None if isinstance(vae.prior(), Independent) else prior_samples(vae, 0, PRIOR_CODES).numpy(),
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
        runtime = files("vaebench.runs.explorer") / "runtime"
        script, wasm = ((runtime / name).read_bytes() for name in RUNTIME)
        blobs = {
            "runtime": gzip.compress(script, 9, mtime=0),
            "wasm": wasm,
            "decoder": gzip.compress(decoder.SerializeToString(), 9, mtime=0),
            "encoder": gzip.compress(encoder.SerializeToString(), 9, mtime=0),
            "sheet": self.points.sheet(),
        }
        environment = Environment(
            loader=PackageLoader("vaebench.runs.explorer", "page"), autoescape=True, undefined=StrictUndefined
        )
        return environment.get_template("explorer.html.j2").render(
            name=clean(self.name),
            lead=clean(self.lead),
            page_data=_script_json(self.page_data(error)),
            blobs={name: base64.b64encode(content).decode() for name, content in blobs.items()},
            script="\n".join((files("vaebench.runs.explorer") / "page" / f"{name}.js").read_text() for name in SCRIPTS),
            style=(files("vaebench.runs.explorer") / "page" / "explorer.css").read_text(),
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


def _encoded(values: np.ndarray) -> dict[str, Any]:
    step, content = quantise(values)
    return {"step": step, "values": base64.b64encode(content).decode()}


def _script_json(value: Any) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
