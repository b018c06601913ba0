"""classify(): a folder of images, a few of them labelled, to predictions, a report and a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vaebench.classification.active_learning import to_label_next
from vaebench.classification.classifier import Description, ImageClassifier
from vaebench.classification.collection import Collection, collect
from vaebench.classification.methods import METHODS, MethodContext
from vaebench.classification.outliers import LIMIT, OutlierDetector
from vaebench.classification.results import ClassificationResult, write_results
from vaebench.classification.selection import LEAST, MethodSelection, cross_validate, selected_method
from vaebench.classification.settings import Settings, minutes, settings_for
from vaebench.core.errors import VaebenchError
from vaebench.core.files import read_json, write_json
from vaebench.core.locks import lock_folder
from vaebench.core.progress import ProgressCallback, ProgressEvent
from vaebench.data.blocks import Blocks
from vaebench.data.images import Dataset, Progress, Source
from vaebench.evaluation.features import encode
from vaebench.experiments.experiment import Experiment
from vaebench.experiments.info import Budget
from vaebench.models.vae import VAE
from vaebench.training.compute import Compute

POOL = 100_000
"""Images that methods learn from, the labelled ones among them; the VAE sees all."""
IN_MEMORY = 1 << 30
"""Bytes of pixels up to which training reads them in any order; more are read from the disk in shuffled blocks."""
ASKED = 50
"""Images that a person is asked to label next."""


@dataclass(frozen=True)
class ClassificationInfo:
    """What the study's machinery must know."""

    minutes: Mapping[Budget, float | int]
    title_in_short: str = "classify"
    captions: Mapping[str, str] = field(default_factory=dict)


def classify(
    path: str | Path,
    labels: Sequence[str | Path] = (),
    out: str | Path | None = None,
    *,
    side: int | None = None,
    compute: Compute | None = None,
    callback: ProgressCallback = lambda tick: None,
    tell: Callable[[str], None] = lambda sentence: None,
    settings: Settings | None = None,
) -> ClassificationResult:
    """Learn from all images, choose by the labels of a few, classify the rest.

    Stopped and called again, it goes on; called with more labels, it keeps the VAE.

    Args:
        path: a folder or zip of images of any size, or an npz of ``x_train`` and ``y_train`` with -1 for no label.
        labels: CSV files of file and label; none takes class folders beside ``unlabelled``.
        out: where everything is written; none means ``runs/classify-NAME``.
        side: pixels of the squares that images are brought to.
        compute: where and how precisely; none chooses for the machine.
        watch: hears progress.
        tell: hears sentences: what was read, how long it will take.
        settings: none chooses by the images' shape and number.

    Raises:
        VaebenchError: nothing to read, bad labels, or a folder that is in use, cannot be written or is another's.
        KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    path = Path(path).expanduser()
    folder = Path(out) if out is not None else Path("runs") / f"classify-{path.resolve().stem}"
    with lock_folder(folder):
        _claim(folder, path)
        collection = collect(path, [Path(one) for one in labels], side, folder / "work", _reading(callback))
        settings = settings or settings_for(collection.images.shape, len(collection.names), len(collection.rows))
        job = _Job(folder, collection, settings, (compute or Compute()).resolve(), callback, tell)
        return job.run()


def _claim(folder: Path, path: Path) -> None:
    """Note which images the folder is about, or check that it is these."""
    note, source = folder / "work" / "source.json", str(path.resolve())
    if not note.exists():
        write_json(note, {"source": source})
    elif (other := read_json(note)["source"]) != source:
        raise VaebenchError(f"{folder} holds what was found of {other}; choose another folder (--out)")


def _reading(callback: ProgressCallback) -> Progress:
    return lambda what, share: callback(ProgressEvent(what, share))


@dataclass
class _Job:
    """One classification under way."""

    folder: Path
    collection: Collection
    settings: Settings
    compute: Compute
    callback: ProgressCallback
    tell: Callable[[str], None]

    def run(self) -> ClassificationResult:
        experiment = self.experiment()
        vae, key = self.vae(experiment)
        pool = self.pool()
        bench = self.bench(vae, pool)
        rows = torch.from_numpy(np.searchsorted(pool.numpy(), self.collection.rows.numpy()))
        choice = cross_validate(bench, rows, self.collection.labels, self.kept(experiment, key), self.settings.seed)
        classifier = self.classifier(experiment, key, bench, rows, choice)
        return self.finish(experiment, key, vae, classifier, choice)

    def experiment(self) -> Experiment:
        """The steps of an earlier call are read from it."""
        images = self.collection.images
        expected = minutes(self.settings, images, len(self.collection.classes), self.compute, self.validated)
        self.tell(_read_sentence(self.collection))
        self.tell(f"about {max(1, round(expected))} minutes on this machine, less what an earlier call has done")
        return Experiment(
            ClassificationInfo({"cpu": expected}), "cpu", self.folder / "work", self.compute, self.callback
        )

    @property
    def validated(self) -> bool:
        """Whether labels are enough for a cross-validation."""
        return min(self.collection.counts) >= LEAST

    def vae(self, experiment: Experiment) -> tuple[VAE, str]:
        """Trained on all images without labels; its key names all that decided it."""
        images = self.collection.images
        none = images.take(slice(0, 0))
        data = Dataset(self.collection.title, images, none, none)
        model, settings, source = self.settings.model, self.settings, self.training_source()
        trial = experiment.network(
            "vae",
            data,
            lambda: model.build(images.shape),
            (source, None),
            settings.objective,
            settings.training,
            settings.seed,
            {"model": model.model_dump()} | ({} if source is images else {"order": "blocks"}),
        )
        return trial.vae.cpu(), trial.key

    def training_source(self) -> Source:
        """All images, in blocks where they are more than memory should hold."""
        images, store = self.collection.images, self.collection.store
        return Blocks(store) if store is not None and images.pixels.nbytes > IN_MEMORY else images

    def pool(self) -> Int[Tensor, " P"]:
        """Rows that methods learn from, rising: all, or the labelled ones and others drawn at random."""
        count = len(self.collection.names)
        if count <= POOL:
            return torch.arange(count)
        order = torch.from_numpy(np.random.default_rng(self.settings.seed).permutation(count)[:POOL])
        rows: Tensor = torch.cat([order, self.collection.rows]).unique()
        return rows

    def bench(self, vae: VAE, pool: Int[Tensor, " P"]) -> MethodContext:
        """What methods learn from."""
        images = self.collection.images
        images = images if len(pool) == len(images) else images.take(pool)
        settings = self.settings
        return MethodContext(
            images,
            len(self.collection.classes),
            settings.model,
            vae,
            settings.semi_supervised,
            settings.supervised,
            self.compute,
        )

    def identity(self, key: str) -> dict[str, Any]:
        """All that decides a fit, but for its method and fold."""
        return {
            "vae": key,
            "rows": self.collection.rows.tolist(),
            "labels": self.collection.labels.tolist(),
            "settings": self.settings.model_dump(mode="json", include={"semi_supervised", "supervised", "seed"}),
        }

    def kept(self, experiment: Experiment, key: str) -> Callable[[str, int, Callable[[], np.ndarray]], np.ndarray]:
        """Answers on a fold, made once."""

        def keep(name: str, fold: int, make: Callable[[], np.ndarray]) -> np.ndarray:
            identity = {**self.identity(key), "method": name, "fold": fold}
            return experiment.arrays(f"{name}/fold-{fold + 1}", identity, lambda: {"answers": make()})["answers"]

        return keep

    def classifier(
        self,
        experiment: Experiment,
        key: str,
        bench: MethodContext,
        rows: Int[Tensor, " M"],
        choice: MethodSelection | None,
    ) -> ImageClassifier:
        """The chosen method, taught by all labels."""
        name, temperature = selected_method(choice)
        description = Description(
            kind=METHODS[name].kind,
            method=METHODS[name].words,
            rule=self.collection.rule,
            classes=self.collection.classes,
            model=self.settings.model,
            temperature=temperature,
        )

        def make() -> dict[str, np.ndarray]:
            network = METHODS[name].fit(bench, rows, self.collection.labels, self.settings.seed).cpu()
            return {name: value.numpy() for name, value in network.state_dict().items()}

        weights = experiment.arrays("chosen", {**self.identity(key), "method": name}, make)
        network = description.build()
        network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return ImageClassifier(description, network)

    def answers(self, experiment: Experiment, key: str, classifier: ImageClassifier) -> Float[Tensor, "N Y"]:
        """Probabilities of all images."""
        about = classifier.description
        identity = {**self.identity(key), "method": about.method, "temperature": about.temperature}
        callback, images = experiment.telling("classifying all images"), self.collection.images
        found = experiment.arrays(
            "all/answers", identity, lambda: {"found": classifier.probabilities(images, callback).numpy()}
        )
        return torch.from_numpy(found["found"])

    def codes(self, experiment: Experiment, key: str, vae: VAE) -> Float[np.ndarray, "N D"]:
        """Of all images, whatever their labels."""
        callback, images = experiment.telling("encoding all images"), self.collection.images
        found = experiment.arrays(
            "all/codes", {"vae": key}, lambda: {"found": encode(vae, images, callback).mean.numpy()}
        )
        return found["found"]

    def rarity(
        self, experiment: Experiment, key: str, vae: VAE, codes: Float[np.ndarray, "N D"]
    ) -> tuple[OutlierDetector, Float[np.ndarray, " N"]]:
        """What is usual, and how far each image is from it."""
        callback, images = experiment.telling("looking for images unlike the rest"), self.collection.images

        def measured(bare: OutlierDetector) -> np.ndarray:
            found = experiment.arrays("all/rarity", {"vae": key}, lambda: {"found": bare.measures(images, callback)})
            return found["found"]

        return OutlierDetector.of(vae, images, codes, measured=measured)

    def finish(
        self, experiment: Experiment, key: str, vae: VAE, classifier: ImageClassifier, choice: MethodSelection | None
    ) -> ClassificationResult:
        """Classify all images, and write everything."""
        collection = self.collection
        probabilities = self.answers(experiment, key, classifier)
        codes = self.codes(experiment, key, vae)
        rarity, rarities = self.rarity(experiment, key, vae, codes)
        unlike = rarities > LIMIT
        experiment.tell("choosing what to label next")
        asked = to_label_next(codes, probabilities.numpy(), collection.rows.numpy(), ASKED, unlike)
        onnx = classifier.save(self.folder / "model")
        rarity.save(self.folder / "model")
        found = ClassificationResult(
            self.folder,
            collection,
            self.settings,
            choice,
            classifier,
            probabilities,
            unlike,
            rarities,
            asked,
            onnx,
            experiment.seconds,
        )
        write_results(found)
        experiment.finish()
        return found


def _read_sentence(collection: Collection) -> str:
    told = f"{len(collection.names):,} images read, {len(collection.rows):,} of them labelled in "
    told += f"{len(collection.classes)} classes"
    return told + (f"; {len(collection.skipped):,} skipped" if collection.skipped else "")
