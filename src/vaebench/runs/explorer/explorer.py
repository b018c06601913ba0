"""Explorer: one HTML file that opens from the disk, asks nothing of the network, and decodes in the browser."""

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
from vaebench.runs.explorer.points import Points, packed, reach

if TYPE_CHECKING:
    from vaebench.models.vae import VAE

SCRIPTS = ("pictures", "networks", "state", "shown", "latents", "map", "walk", "input", "main")
"""The page's own scripts, in the order in which they are read."""
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.gz")
NAME_LENGTH = 40
DRAWN = 1000
"""Codes from a learned prior that a page holds: it cannot draw more by itself."""
HEIGHT = 900
"""Pixels that the page takes in a notebook."""


@dataclass(frozen=True, repr=False)
class Explorer:
    """What the page is about.

    Attributes:
        name: its title; ``lead``: one sentence below it.
        vae: in evaluation mode, on the CPU.
        shape: channels, height, width of the images.
        classes: their names, empty without labels.
        kl_per_latent: mean KL of each latent in nats (D,).
        points: test images of the map.
        head: what names classes by a code, and ``head_words``: what it was taught by.
        drawn: codes from a learned prior (S, D); none where the prior is N(0, I).
    """

    name: str
    lead: str
    vae: VAE
    shape: tuple[int, int, int]
    classes: Sequence[str]
    kl_per_latent: Float[np.ndarray, " D"]
    points: Points
    head: LinearClassifier | None
    head_words: str = ""
    drawn: Float[np.ndarray, "S D"] | None = None

    @classmethod
    def of_run(cls, name: str, vae: VAE, panels: Mapping[str, np.ndarray], results: Mapping[str, Any]) -> Explorer:
        """The explorer of a run's VAE, from its panels.npz and results.json."""
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
            head_words=f"Logistic regression on the latents, taught by all {counts['train']:,} training labels",
            drawn=None if isinstance(vae.prior(), Independent) else prior_samples(vae, 0, DRAWN).numpy(),
        )

    def __repr__(self) -> str:
        return f"Explorer({self.name!r}, {len(self.kl_per_latent)} latents, {len(self.points):,} test images)"

    def write(self, path: Path) -> Path:
        """Write the page.

        Raises:
            VaebenchError: what the extra "onnx" installs is missing, or the file cannot be written.
        """
        write_text(path, self.html)
        return path

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" title="{html.escape(clean(self.name))}" '
            f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )

    @cached_property
    def html(self) -> str:
        """The page; every name in it is escaped."""
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
            about=_embedded(self.about(error)),
            blobs={name: base64.b64encode(content).decode() for name, content in blobs.items()},
            script="\n".join((files("vaebench.runs.explorer") / "page" / f"{name}.js").read_text() for name in SCRIPTS),
            style=(files("vaebench.runs.explorer") / "page" / "explorer.css").read_text(),
        )

    def about(self, error: float) -> dict[str, Any]:
        """All that the scripts read, as JSON values."""
        points, kl = self.points, self.kl_per_latent
        axes, centre, shares = points.pca()
        drawn = np.empty((0, len(kl)), np.float32) if self.drawn is None else self.drawn
        return {
            "name": clean(self.name),
            "shape": list(self.shape),
            "kl": kl.tolist(),
            "order": np.argsort(-kl, kind="stable").tolist(),
            "deadBelow": DEAD_BELOW,
            "dead": np.flatnonzero(kl < DEAD_BELOW).tolist(),
            "reach": reach(np.concatenate([points.mean, drawn])).tolist(),
            "drawn": _numbers(drawn) if len(drawn) else None,
            "classes": [_class(index, name) for index, name in enumerate(self.classes)],
            "head": clean(self.head_words) if self.head is not None else None,
            "ground": points.ground,
            "storedError": error,
            "pca": {"axes": axes.tolist(), "centre": centre.tolist(), "shares": shares.tolist()},
            "points": {
                "count": len(points),
                "columns": points.columns,
                "size": list(points.images.shape[:1:-1]),
                "lossless": points.lossless,
                "labels": points.labels.tolist(),
                "predicted": self._predicted(),
                "mean": _numbers(points.mean),
                "logVariance": _numbers(points.log_variance),
                "tsne": _numbers(points.tsne),
            },
        }

    def _predicted(self) -> list[int] | None:
        if self.head is None:
            return None
        logits = torch.from_numpy(self.points.mean) @ self.head.weight.T + self.head.bias
        found: list[int] = logits.argmax(-1).tolist()
        return found


def _class(index: int, name: str) -> dict[str, str]:
    colour, marker = class_style(index)
    shown = shortened(clean(name), NAME_LENGTH)
    return {"name": shown if shown.strip() else f"class {index}", "colour": colour, "marker": marker}


def _numbers(values: np.ndarray) -> dict[str, Any]:
    step, content = packed(values)
    return {"step": step, "values": base64.b64encode(content).decode()}


def _embedded(value: Any) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
