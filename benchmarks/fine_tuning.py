"""Fine-tuning from MNIST to Quick Draw: `python benchmarks/fine_tuning.py [--epochs N] [--minutes N] [--out DIR]`.

A VAE trained on MNIST is trained on the ten classes of Quick Draw in a fifth of the steps of a training from random
weights, with the same objective and once with its encoder frozen; the control has random weights and a fifth of the
steps. Three seeds. Resumes where it was stopped; writes fine_tuning.json and fine_tuning.md.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any, NamedTuple

from benchmark_script import BenchmarkScript, Report, Row, Tasks, arguments, import_script, provenance

from vaebench.core.statistics import mean_interval, summary
from vaebench.data.datasets import Data
from vaebench.evaluation.probes import Logistic
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.trained import TrainedModel
from vaebench.models.vae import VAE
from vaebench.runs.recipe import RECIPES
from vaebench.runs.start import FROZEN, Freeze
from vaebench.training.loop import Training
from vaebench.training.metrics import validate

MINUTES = 12
"""Time to expect on two cores."""
SEEDS, EPOCHS, FACTOR = 3, 20, 5
"""Seeds; epochs of a training from random weights; the factor by which the other trainings are shorter."""
RECIPE = RECIPES["mnist"]
SOURCE, TARGET = Data(source="mnist"), Data(source="quickdraw")
ANEW = "anew"


class Method(NamedTuple):
    """How a VAE of Quick Draw is trained."""

    title: str
    shorter: bool
    """Whether it has a fifth of the steps."""
    pretrained: bool
    """Whether it starts from the VAE of MNIST."""
    freeze: Freeze = "none"


METHODS = {
    ANEW: Method("random weights", False, False),
    "short": Method("random weights, a fifth of the steps", True, False),
    "tuned": Method("weights of MNIST, a fifth of the steps", True, True),
    "frozen": Method("weights of MNIST, encoder frozen, a fifth of the steps", True, True, "encoder"),
}


def training(epochs: int) -> Training:
    """Training of the mnist recipe with this many epochs."""
    return RECIPE.training.model_copy(update={"epochs": epochs})


def train_source(experiment: Experiment, epochs: int, seed: int) -> TrainedModel:
    """VAE of MNIST."""
    data = experiment.data(SOURCE)
    return experiment.vae(f"source-{seed}", data, RECIPE.model, RECIPE.objective, training(epochs), seed)


def train_target(experiment: Experiment, epochs: int, method: str, seed: int) -> TrainedModel:
    """VAE of Quick Draw by one of the methods."""
    settings, data = METHODS[method], experiment.data(TARGET)
    source = train_source(experiment, epochs, seed) if settings.pretrained else None

    def build() -> VAE:
        vae = RECIPE.model.build(data.train.shape)
        if source is not None:
            vae.load_state_dict(source.vae.state_dict())
        vae.freeze(*FROZEN[settings.freeze])
        return vae

    identity: dict[str, Any] = {"model": RECIPE.model.model_dump()}
    if source is not None:
        identity["start"] = {"source": source.key, "freeze": settings.freeze}
    parts = data.train.without_labels(), data.validation.without_labels()
    steps = training(max(1, epochs // FACTOR) if settings.shorter else epochs)
    return experiment.network(f"{method}-{seed}", data, build, parts, RECIPE.objective, steps, seed, identity)


def measure(experiment: Experiment, epochs: int, method: str, seed: int) -> dict[str, Any]:
    """Test loss in nats per image, and test accuracy of a logistic regression on the latents with all labels; kept."""
    trained = train_target(experiment, epochs, method, seed)
    data = experiment.data(TARGET)

    def loss() -> dict[str, Any]:
        return validate(trained.vae, RECIPE.objective, data.test.without_labels())

    losses = experiment.step(f"loss/{method}-{seed}", {"trial": trained.key}, loss)
    probe = experiment.probe(f"probe/{method}-{seed}", Logistic(), trained.means, len(data.classes), seed)
    return {"loss": losses["loss"], "accuracy": probe["accuracy"], "seconds": trained.seconds}


def tasks(experiment: Experiment, epochs: int) -> Tasks:
    """Training and test of every VAE; those of MNIST first, from which others start."""
    sources = {f"source-{seed}": partial(train_source, experiment, epochs, seed) for seed in range(SEEDS)}
    targets = {
        f"{method}-{seed}": partial(measure, experiment, epochs, method, seed)
        for seed, method in product(range(SEEDS), METHODS)
    }
    return sources | targets


def rows(experiment: Experiment, epochs: int) -> list[Row]:
    """One row per method, with paired differences from the training from random weights with all steps."""
    results = {name: [measure(experiment, epochs, name, seed) for seed in range(SEEDS)] for name in METHODS}
    return [method_row(name, epochs, results[name], results[ANEW]) for name in METHODS]


def method_row(method: str, epochs: int, own: list[dict[str, Any]], anew: list[dict[str, Any]]) -> Row:
    """Scores of a method over seeds, and their differences from ``anew`` of the same seeds."""
    row: Row = {"method": method, "title": METHODS[method].title, "seeds": len(own)}
    row["epochs"] = max(1, epochs // FACTOR) if METHODS[method].shorter else epochs
    for score in ("loss", "accuracy"):
        values = [result[score] for result in own]
        differences = [value - base[score] for value, base in zip(values, anew, strict=True)]
        interval = None if method == ANEW else list(mean_interval(differences))
        row[score] = summary(values) | {
            "values": values,
            "difference": sum(differences) / len(own),
            "interval": interval,
        }
    return row | {"seconds": sum(result["seconds"] for result in own) / len(own)}


def render(report: Report) -> str:
    """Render fine_tuning.json as Markdown."""
    rows = report["rows"]
    out = [
        "# Fine-tuning from MNIST to Quick Draw",
        "",
        f"{provenance(report, 'fine-tuning')} The network, objective and optimiser of the recipe mnist; ten classes of "
        f"Quick Draw, {rows[0]['seeds']} seeds. The VAEs of MNIST have {rows[0]['epochs']} epochs, whose time is not "
        "in the column of seconds. The loss is that of the test images in nats per image, the accuracy that of a "
        "logistic regression on the latents with all labels; validation images select the epoch. Mean ± standard "
        "deviation over seeds; differences from the first row are paired by seed, with 95 % intervals by Student's t.",
        "",
        "| start | epochs | seconds | loss | difference | accuracy | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["title"], str(row["epochs"]), f"{row['seconds']:.0f}"]
        cells += [*score_cells(row["loss"], 1, "2f"), *score_cells(row["accuracy"], 100, "1f")]
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def score_cells(score: dict[str, Any], scale: float, digits: str) -> list[str]:
    """Mean with deviation, and the difference with its interval; accuracies are in percent and points."""
    unit = " %" if scale == 100 else ""
    mean = f"{scale * score['mean']:.{digits}} ± {scale * score['sd']:.{digits}}{unit}"
    if score["interval"] is None:
        return [mean, ""]
    low, high = (f"{scale * end:+.{digits}}" for end in score["interval"])
    return [mean, f"{scale * score['difference']:+.{digits}} ({low} to {high})"]


def script(epochs: int) -> BenchmarkScript:
    """The benchmark with this many epochs of a training from random weights."""
    measured, collected = partial(tasks, epochs=epochs), partial(rows, epochs=epochs)
    return BenchmarkScript("fine_tuning", MINUTES, measured, collected, render)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs of a training from random weights")
    options = parser.parse_args()
    import_script("fine_tuning").script(options.epochs).execute(options)
