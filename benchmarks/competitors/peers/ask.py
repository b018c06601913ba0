"""What one library does, measured through its public API: `python ask.py TASK` prints JSON.

The task names the module of the library in this folder, `with_NAME.py`. Such a module has `IMPORTED`, a remark;
`vae(latents, width)`, its VAE with the default settings; `train`, `encode`, `decode`; `KINDS`, its reconstruction
losses and where each is defined; `Fixed`, a VAE whose encoder and decoder output given values; and `evidence`,
`resumed`, `save`, each None where the library has no such function.
"""

import importlib
import importlib.metadata
import itertools
import json
import math
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

LATENTS, WIDTH, PIXELS = 10, 256, 784
BATCH, RATE = 100, 1e-3


class Network(nn.Sequential):
    """Fully connected layers of given widths with ReLU between them."""

    def __init__(self, *widths):
        layers = []
        for one, other in itertools.pairwise(widths):
            layers += [nn.Linear(one, other), nn.ReLU()]
        super().__init__(*layers[:-1])


def digits(task, name):
    """Images (N, 1, 28, 28) in [0, 1]."""
    return torch.from_numpy(np.load(task[name])).float() / 255


def trains(library, task):
    """Train the VAE on digits; writes posteriors and decoded images of the validation digits."""
    torch.manual_seed(0)
    vae = library.vae(LATENTS, WIDTH)
    images, start = digits(task, "training"), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        vae = library.train(vae, images, task["epochs"], folder)
    seconds = time.perf_counter() - start
    validation = digits(task, "validation")
    with torch.no_grad():
        mean, log_variance = library.encode(vae.eval(), validation)
        noise = torch.from_numpy(np.random.default_rng(0).standard_normal(mean.shape)).float()
        decoded = library.decode(vae, mean + (log_variance / 2).exp() * noise)
    arrays = {"mean": mean, "log_variance": log_variance, "decoded": decoded.reshape(len(mean), -1)}
    np.savez(task["out"], **{name: value.numpy() for name, value in arrays.items()})
    return {"rate": task["epochs"] * len(images) / seconds}


def reductions(parts):
    """Closed forms of the loss in float64, from its parts (B, pixels) and (B, latents), by their reductions."""
    squares, kl = parts
    over = {"sum": torch.sum, "mean": torch.mean}
    constants = {"": 0.0, "with its constant": PIXELS / 2 * math.log(2 * math.pi)}
    return {
        (factor, pixels, latents, words): float(
            (factor * over[pixels](squares, 1) + over[latents](kl, 1)).mean() + more
        )
        for factor in (0.5, 1.0)
        for pixels in over
        for latents in over
        for words, more in constants.items()
    }


def loss(library, task):
    """The default loss on a known input, next to closed forms, and the weights of its two terms."""
    generator = torch.Generator().manual_seed(0)
    x, output = (torch.rand(6, PIXELS, generator=generator) for _ in range(2))
    mean = torch.randn(6, LATENTS, generator=generator)
    log_variance = -0.5 - torch.rand(6, LATENTS, generator=generator)
    value = library.Fixed(mean, log_variance, output).loss(x)
    exact = [each.double() for each in (x, output, mean, log_variance)]
    kl = 0.5 * (exact[3].exp() + exact[2] ** 2 - 1 - exact[3])
    forms = reductions(((exact[0] - exact[1]) ** 2, kl))
    closest = min(forms, key=lambda name: abs(forms[name] - value))
    return {
        "value": value,
        "closed_form": forms[closest],
        "factor": closest[0],
        "pixels": closest[1],
        "latents": closest[2],
        "constant": closest[3],
        "beta": effective_beta(library),
    }


def effective_beta(library):
    """Increase of the loss per nat of KL, divided by that per nat of -log N(x; output, 1)."""
    flat, deviation = torch.zeros(2, PIXELS), torch.full((2, LATENTS), -1.0)

    def value(mean, error):
        return library.Fixed(torch.full((2, LATENTS), mean), deviation, flat + error).loss(flat)

    kl = (value(2.0, 0.0) - value(1.0, 0.0)) / (LATENTS * (2.0**2 - 1.0**2) / 2)
    return kl / ((value(1.0, 1.0) - value(1.0, 0.0)) / (PIXELS / 2))


def total(log_density, grid):
    """Integral of exp(log p) over a grid by the trapezoidal rule, or the sum over two values; None if refused."""
    try:
        values = [math.exp(log_density(torch.full((1, 1), float(x)))) for x in grid]
    except ValueError:  # torch.distributions refuses values outside of the support
        return None
    step = float(grid[1] - grid[0])
    return sum(values) if len(grid) == 2 else step * (sum(values) - (values[0] + values[-1]) / 2)


def densities(library, task):
    """Integral over one pixel of exp(-reconstruction loss): over the line, over {0, 1} and [0, 1], or over [0, 1]."""
    found = {}
    for kind, where in library.KINDS.items():
        fixed = library.Fixed(torch.zeros(1, 1), torch.full((1, 1), -1.0), torch.full((1, 1), 0.3), kind=kind)
        if where == "line":
            found[kind] = total(fixed.log_density, np.linspace(-19.7, 20.3, 4001))
        if where == "binary":
            found[f"{kind}, pixels 0 and 1"] = total(fixed.log_density, np.array([0.0, 1.0]))
        if where in ("binary", "interval"):
            found[f"{kind}, grey pixels"] = total(fixed.log_density, np.linspace(0, 1, 1001))
    return found


def linear_gaussian():
    """Weights (4, 2), images (3, 4), their exact posterior and mean log p(x): x = W z + noise, orthogonal columns."""
    weights = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    images = torch.tensor([[0.5, -0.2, 1.0, 0.3], [1.5, 1.0, -2.0, 0.0], [0.0, 0.1, 0.2, -1.0]])
    precision = 1 + (weights**2).sum(0)
    mean, log_variance = images @ weights / precision, (-precision.log()).expand(3, 2)
    exact = torch.distributions.MultivariateNormal(
        torch.zeros(4).double(), (weights @ weights.T + torch.eye(4)).double()
    )
    return weights, images, mean, log_variance, float(exact.log_prob(images.double()).mean())


def evidence(library, task):
    """What the library reports as log-likelihood where log p(x) is known: four pixels, three images."""
    weights, images, mean, log_variance, exact = linear_gaussian()
    torch.manual_seed(0)
    return {"exact": exact, **library.evidence(weights, images, mean, log_variance)}


def resumed(library, task):
    """Largest differences of weights: of two trainings without interruption, and of one to another with a resume."""
    with tempfile.TemporaryDirectory() as folder:
        whole, again, after_resume = library.resumed(digits(task, "training")[:500], folder)
    return {"repeated": largest_difference(whole, again), "resumed": largest_difference(whole, after_resume)}


def largest_difference(some, others):
    """Largest difference of two lists of tensors."""
    return max(float((one.double() - other.double()).abs().max()) for one, other in zip(some, others, strict=True))


def save(library, task):
    """Files of a saved model that hold a pickle."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        library.save(library.vae(LATENTS, WIDTH), folder)
        files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        return {"files": [path.name for path in files], "pickles": [path.name for path in files if holds_pickle(path)]}


def holds_pickle(path):
    """Whether a file is a pickle, or a zip file with one inside, as torch.save writes."""
    if zipfile.is_zipfile(path):
        return any(name.endswith(".pkl") for name in zipfile.ZipFile(path).namelist())
    return path.read_bytes()[:1] == b"\x80"


QUESTIONS = {
    "trains": trains,
    "loss": loss,
    "densities": densities,
    "evidence": evidence,
    "resumed": resumed,
    "save": save,
}


def answer(question, library, task):
    """Answer of one question, None if the library has no such function, or the error."""
    if getattr(library, question, question) is None:
        return None
    try:
        return QUESTIONS[question](library, task)
    except Exception as error:  # what fails is an answer too
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"}


def main():
    """Answer all questions of a task."""
    task = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    library = importlib.import_module(f"with_{task['peer']}")
    answers = {question: answer(question, library, task) for question in QUESTIONS}
    versions = {name: importlib.metadata.version(name) for name in (task["peer"], "torch")}
    print(json.dumps({"versions": versions, "imported": library.IMPORTED, **answers}))


if __name__ == "__main__":
    main()
