"""Speed of the latent explorer: `python benchmarks/explorer.py [--out DIR]`.

For the networks of the five papers, in headless Chromium: size of the page, seconds until it is ready, milliseconds per
redraw while a slider moves. Writes explorer.json and explorer.md. Times do not depend on the weights, so the networks
are not trained.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_script import write_report
from playwright.sync_api import Browser, sync_playwright
from sklearn.datasets import load_digits

from vaebench.core.provenance import commit
from vaebench.evaluation.probes import LinearClassifier
from vaebench.models.likelihoods import GaussianPixels
from vaebench.models.networks import Shape
from vaebench.models.vae import Model
from vaebench.papers import cifar10_latent_space
from vaebench.papers.benchmarking_mnist.claims import make_model
from vaebench.papers.disentangling.comparison import DECODER, ENCODER
from vaebench.papers.generation_and_classification.networks import CB, NORMAL
from vaebench.runs.explorer.explorer import Explorer, Points
from vaebench.training.compute import machine

GREY, COLOUR = (1, 28, 28), (3, 32, 32)
_D = {"likelihood": GaussianPixels()}
NETWORKS: dict[str, tuple[Model, Shape]] = {
    "A: 32-64-64 convolutions, 20 latents": (Model(), GREY),
    "B: 128 hidden units, 20 latents": (NORMAL, GREY),
    "B: CB VAE, 20 latents": (CB, GREY),
    "C: CNN with 1,024 hidden units, 10 latents": (Model(latent=10, network=ENCODER, decoder=DECODER), GREY),
    "D: simple, CIFAR-10, 16 latents": (Model(latent=16, network=cifar10_latent_space.SIMPLE, **_D), COLOUR),
    "D: deep, CIFAR-10, 2 latents": (Model(latent=2, network=cifar10_latent_space.DEEP, **_D), COLOUR),
    "E: 32-64-64-64 convolutions, 30 latents": (make_model(30), GREY),
}
POINTS, MOVES, ROUNDS = 1797, 200, 5
MOVE = """async (moves) => {
  const slider = document.querySelector("#latents input");
  const before = explorer.timings.length;
  for (let i = 0; i < moves; i++) {
    slider.value = 2 * Math.sin(i / 9);
    slider.dispatchEvent(new Event("input"));
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  return explorer.timings.slice(before);
}"""


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/explorer", help="where explorer.json and explorer.md are written")
    out = Path(parser.parse_args().out)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("chromium is not installed; install it, for example by apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        pages = {name: _write_page(Path(folder), index, name) for index, name in enumerate(NETWORKS)}
        rounds: list[dict[str, Any]] = []
        for index in range(ROUNDS):  # interleaved, so that other load on the machine affects all networks
            print(f"round {index + 1} of {ROUNDS}", flush=True)
            rounds.append({name: _measure(browser, path) for name, path in pages.items()})
        rows = [_row(name, path, [each[name] for each in rounds]) for name, path in pages.items()]
        report = {"chromium": browser.version, "machine": machine(), "commit": commit(), "rounds": ROUNDS, "rows": rows}
    write_report(report, render, out / "explorer.json")


def _write_page(folder: Path, index: int, name: str) -> Path:
    model, shape = NETWORKS[name]
    torch.manual_seed(0)
    pixels = torch.from_numpy(load_digits().images[:POINTS]).float()[:, None] / 16
    pixels = torch.nn.functional.interpolate(pixels, shape[1:], mode="bilinear").repeat(1, shape[0], 1, 1)
    images = (pixels * 255).round().to(torch.uint8).numpy()
    codes = torch.randn(len(images), model.latent).numpy()
    head = LinearClassifier(torch.randn(10, model.latent), torch.zeros(10))
    points = Points(images, codes, np.zeros_like(codes), np.arange(len(images)) % 10, codes[:, :2])
    kl = np.linspace(2, 1, model.latent)
    classes = [str(label) for label in range(10)]
    explorer = Explorer(name, "", model.build(shape).eval(), shape, classes, kl, points, head)
    return explorer.write(folder / f"{index}.html")


def _measure(browser: Browser, path: Path) -> dict[str, Any]:
    page = browser.new_page(viewport={"width": 1440, "height": 950})
    page.goto(path.as_uri())
    while not page.evaluate("() => Boolean(window.explorer && explorer.ready && explorer.strips)"):
        time.sleep(0.05)
    times = page.evaluate(MOVE, MOVES)
    ready = page.evaluate("() => explorer.ready") / 1000
    page.close()
    return {"ready": ready, "redraws": times}


def _row(name: str, path: Path, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    model, shape = NETWORKS[name]
    redraws = np.concatenate([each["redraws"] for each in rounds])
    return {
        "network": name,
        "parameters": sum(weights.numel() for weights in model.build(shape).parameters()),
        "page_megabytes": path.stat().st_size / 1e6,
        "ready_seconds": [each["ready"] for each in rounds],
        "redraw_milliseconds": {"median": float(np.median(redraws)), "p99": float(np.quantile(redraws, 0.99))},
        "redraws": len(redraws),
    }


def render(report: dict[str, Any]) -> str:
    here = report["machine"]
    lines = [
        "# Speed of the latent explorer",
        "",
        "Made by `make explorer`. Untrained networks of the papers, 1,797 points on the map, opened from disk in "
        f"headless Chromium {report['chromium']}, {report['rounds']} interleaved rounds. A redraw decodes the latents "
        "and paints the image, the class probabilities, all sliders and the position on the map; 33 ms is 30 frames "
        "per second.",
        "",
        f"{here['processor']}, {here['cores']} cores; commit {str(report['commit'])[:12]}.",
        "",
        "| network | parameters | page (MB) | ready (s): median, maximum | redraw (ms): median, 99th percentile |",
        "|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        ready, redraw = row["ready_seconds"], row["redraw_milliseconds"]
        lines.append(
            f"| {row['network']} | {row['parameters']:,} | {row['page_megabytes']:.1f} | "
            f"{np.median(ready):.2f}, {max(ready):.2f} | {redraw['median']:.1f}, {redraw['p99']:.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
