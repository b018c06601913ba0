"""vaebench, a plain PyTorch loop, and the code of the papers on one task: `python run_vaebench.py TASK` prints JSON."""

import importlib
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peak_flops
import prediction
import torch
from memory import peak_megabytes
from torch import Tensor, nn

from vaebench.core.local_pool import LocalPool
from vaebench.core.memory import keep_freed_memory
from vaebench.core.workers import Task
from vaebench.data.blocks import Blocks
from vaebench.data.draws import balanced_draw, epoch_batches
from vaebench.data.images import HIDDEN, Batch, Images, Source
from vaebench.evaluation.batched_linear import fit_each, fit_linear_probes
from vaebench.evaluation.bounds import bounds
from vaebench.evaluation.evidence import evidence
from vaebench.evaluation.features import Codes, encode
from vaebench.evaluation.probes import Head
from vaebench.models.layers import Flatten, OneChannel, Unflatten
from vaebench.models.networks import MLP, Conv
from vaebench.models.objectives import CrossEntropy, Elbo
from vaebench.models.vae import VAE, Model
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.recipe import Recipe
from vaebench.sweeps.grid import trials
from vaebench.sweeps.trial import run_trial, run_trial_task
from vaebench.training.compute import Compute
from vaebench.training.loop import Training, train
from vaebench.training.schedules import Adam, Constant

BATCH = 128
TRAINING_IMAGES = 6400
"""Images on which the model is trained before log p(x) is measured."""


def images_of(task) -> Images:
    """First images of the file, unlabelled."""
    pixels = torch.from_numpy(np.load(task["data"])[: task["images"]])
    return Images(pixels, torch.full((len(pixels),), HIDDEN))


def labelled_images(task) -> Images:
    """First images of the file with their labels."""
    images = images_of(task)
    labels = torch.from_numpy(np.load(task["labels"])[: task["images"]])
    return Images(images.pixels, labels, tuple(map(str, range(10))))


def model_of(task) -> VAE:
    """VAE of the task."""
    network = Conv() if task["network"] == "conv" else MLP(hidden=tuple(task["hidden"]))
    torch.manual_seed(task["seed"])
    side = task.get("side", 28)
    return Model(latent=task["latent"], network=network).build((1, side, side))


def compute_of(task) -> Compute:
    return Compute(
        device="cuda" if task.get("cuda") else "cpu",
        precision=task.get("precision", "fp32"),
        compile=task.get("compile", False),
        threads=task["threads"],
    )


@dataclass
class Epochs:
    """Training callback that records the seconds of each epoch; the first includes compilation."""

    start: float
    seconds: list[float]

    def __call__(self, at) -> None:
        if at.epoch is not None:
            now = time.perf_counter()
            self.seconds.append(now - self.start)
            self.start = now


def median_epoch(seconds: list[float]) -> float:
    """Median without the first epoch, which warms up and compiles."""
    return statistics.median(seconds[1:])


def train_vae(task, source: Source | None = None):
    """Images per second in the median epoch."""
    source = source or images_of(task).to("cuda" if task.get("cuda") else "cpu")
    rule = Training(epochs=task["epochs"], batch=BATCH, optimiser=Adam(rate=1e-3), schedule=Constant())
    epochs = Epochs(time.perf_counter(), [])
    train(model_of(task), Elbo(), source, rule, compute=compute_of(task), callback=epochs)
    return {"rate": len(source) / median_epoch(epochs.seconds), "seconds": epochs.seconds}


def quality(task):
    """Seconds of all epochs of one cycle, everything included, and the final validation loss."""
    source = Blocks(**task["blocks"]) if "blocks" in task else images_of(task)
    start = time.perf_counter()
    rule = Training(epochs=task["epochs"], batch=task["batch"], optimiser=task["optimiser"])
    model = train(model_of(task), Elbo(), source, rule, compute=compute_of(task), seed=task["seed"]).model
    seconds = time.perf_counter() - start
    pixels = torch.from_numpy(np.load(task["validation"]))
    elbo = bounds(model, Images(pixels, torch.full((len(pixels),), HIDDEN)))
    return {"seconds": seconds, "loss": -elbo.elbo}


def plain_loop(task):
    """Plain PyTorch loop: a DataLoader over float tensors, torch's own layers, Adam, fp32."""
    images = images_of(task)
    pixels = images.pixels.float() / 255
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(pixels), BATCH, shuffle=True)
    model, objective, seconds = with_torch_layers(model_of(task)), Elbo(), []
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(task["epochs"]):
        start = time.perf_counter()
        for (x,) in loader:
            optimiser.zero_grad()
            objective(model, Batch(x, torch.full((len(x),), HIDDEN)), 1.0).loss.backward()
            optimiser.step()
        seconds.append(time.perf_counter() - start)
    return {"rate": len(pixels) / median_epoch(seconds), "seconds": seconds}


def with_torch_layers(model):
    """The model with torch's layers in place of vaebench's faster ones; function and parameters are the same."""
    for part in model.requires_grad_(True).modules():
        for name, layer in part.named_children():
            if isinstance(layer, OneChannel):
                layer.__class__ = nn.ConvTranspose2d
            elif isinstance(layer, Flatten):
                setattr(part, name, nn.Flatten())
            elif isinstance(layer, Unflatten):
                setattr(part, name, nn.Unflatten(layer.dim, layer.unflattened_size))
    return model


def log_evidence(task):
    """Images per second of log p(x) of pixels thresholded at one half, as pythae computes it."""
    some = images_of({**task, "images": TRAINING_IMAGES})
    some = Images((some.pixels > 127).to(torch.uint8) * 255, some.labels)
    exact = compute_of({**task, "precision": "fp32"})  # a trained network has realistic rounding errors
    model = train(model_of(task), Elbo(), some, Training(epochs=1, batch=BATCH), compute=exact).model
    images = some.take(slice(0, task["images"]))
    start = time.perf_counter()
    with compute_of(task).autocast():
        log_px = evidence(model, images, task["samples"])
    seconds = time.perf_counter() - start
    return {"rate": len(images) / seconds, "log_px": log_px.mean, "error": log_px.standard_error}


def heads(task):
    """Seconds of ten epochs of a linear head on sampled codes, including one encoding."""
    images, vae = labelled_images(task), model_of(task).eval()
    start = time.perf_counter()
    with compute_of(task).autocast():
        codes = encode(vae, images)
    codes = Codes(codes.mean, codes.labels, codes.log_variance, sampled=True)
    fit_each(Head(epochs=10, batch=BATCH), [codes], 10, [0], compute_of(task))
    return {"seconds": time.perf_counter() - start}


def heads_of_the_papers(task):
    """Seconds of the same as in the papers' code: image by image from a data set, encoded again in each epoch."""
    images, vae = labelled_images(task), model_of(task).eval()
    arrays = [one.numpy()[0] for one in images.pixels]

    class PerImage(torch.utils.data.Dataset):
        def __len__(self):
            return len(arrays)

        def __getitem__(self, index):
            return torch.from_numpy(arrays[index]).float().div(255)[None], int(images.labels[index])

    start = time.perf_counter()
    loader = torch.utils.data.DataLoader(PerImage(), BATCH, shuffle=True)
    head = nn.Linear(task["latent"], 10)
    optimiser, loss = torch.optim.Adam(head.parameters(), 1e-2), CrossEntropy()
    for _ in range(10):
        for x, labels in loader:
            with torch.no_grad():
                z = vae.posterior(x).rsample()
            optimiser.zero_grad()
            loss(head, Batch(z, labels), 1.0).loss.backward()
            optimiser.step()
    return {"seconds": time.perf_counter() - start}


def _few_label_codes(task) -> tuple[Head, list[Codes], list[int]]:
    """Head, codes and seeds of 35 linear heads: seven numbers of labels per class, five draws each."""
    images, vae = labelled_images(task), model_of(task).eval()
    codes = encode(vae, images)
    counts = task["counts"]
    sources = [codes.take(balanced_draw(images.labels, count, (0, draw))) for count in counts for draw in range(5)]
    return Head(epochs=task["epochs"], batch=BATCH), sources, [draw for _ in counts for draw in range(5)]


def heads_batched(task):
    """Seconds of all heads trained as one batch."""
    head, sources, seeds = _few_label_codes(task)
    start = time.perf_counter()
    lines = fit_linear_probes(head, sources, 10, seeds)
    return {"seconds": time.perf_counter() - start, "weights": [line.weight.sum().item() for line in lines]}


def heads_sequential(task):
    """Seconds of all heads, each trained by the training loop with the fused optimiser."""
    head, sources, seeds = _few_label_codes(task)
    weights, start = [], time.perf_counter()
    for source, seed in zip(sources, seeds, strict=True):
        model = head.build(source.shape, 10, seed)
        rule = head.training(len(source), seed)
        train(model, CrossEntropy(), source, rule, compute=compute_of(task), seed=seed)
        weights.append(model[-1].weight.sum().item())
    return {"seconds": time.perf_counter() - start, "weights": weights}


class FirstImages:
    """Source that yields only the first ``images`` of each epoch of another source."""

    def __init__(self, source: Source, images: int) -> None:
        self.source, self.images = source, images

    def __len__(self) -> int:
        return self.images

    def order(self, seed):
        yield next(iter(epoch_batches(self.source, self.images, seed))).numpy()

    def batch(self, rows: Tensor) -> Batch:
        return self.source.batch(rows)


def train_with_memory(task):
    """Images per second from memory or from a file, and the peak memory above that after all imports, in MB."""
    importlib.import_module("torch._dynamo")  # otherwise imported by the first optimiser
    before = peak_megabytes()
    source = Blocks(task["data"]) if task["from"] == "file" else images_of(task)
    result = train_vae(task, FirstImages(source, task["images"]) if task.get("part") else source)
    return {**result, "above": peak_megabytes() - before}


TRIAL = Recipe(
    name="trial",
    model=Model(latent=2, network=MLP(hidden=(16,))),
    training=Training(epochs=2),
    compute=Compute(device="cpu", threads=1),
    evaluation=Evaluation(labels_per_class=(), features=(), probes=(), supervised=None, samples=None),
)


def sweep_trials(task):
    """Seconds per trial of a sweep with warm workers: the mean time between outcomes."""
    with tempfile.TemporaryDirectory() as folder:
        ends, every = [], trials(TRIAL, (), task["trials"])
        tasks = [Task(trial.key, run_trial_task, (trial, folder)) for trial in every]
        for _ in LocalPool(task["workers"], task["threads"])(tasks, lambda *_: None):
            ends.append(time.perf_counter())
    warm = ends[2 * task["workers"] - 1 :]
    return {"seconds": (warm[-1] - warm[0]) / (len(warm) - 1)}


def sequential_trials(task):
    """Seconds per trial in one warm process."""
    ends = []
    with tempfile.TemporaryDirectory() as folder:
        for trial in trials(TRIAL, (), task["trials"]):
            run_trial(trial.recipe, Path(folder) / trial.key, lambda event: None)
            ends.append(time.perf_counter())
    return {"seconds": (ends[-1] - ends[1]) / (len(ends) - 2)}


TASKS = {
    "grown": train_with_memory,
    "sweep": sweep_trials,
    "trials": sequential_trials,
    "train": train_vae,
    "peak": lambda task: peak_flops.measure_peak(),
    "flops": lambda task: peak_flops.count_step(model_of(task)),
    "plain": plain_loop,
    "quality": quality,
    "evidence": log_evidence,
    "heads": heads,
    "heads of the papers": heads_of_the_papers,
    "batched": heads_batched,
    "sequential": heads_sequential,
    "prepare": prediction.prepare,
    "predict": prediction.predict_files,
    "readme": prediction.predict_as_readme,
}

if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    keep_freed_memory()
    result = TASKS[task["task"]](task)
    print(json.dumps({**result, "megabytes": peak_megabytes()}))
