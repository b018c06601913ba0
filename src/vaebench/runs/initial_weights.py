"""The initial weights of a run that starts from another: found, compared with the recipe, and kept in its folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaebench import __version__
from vaebench.core.errors import VaebenchError
from vaebench.core.frozen import differences
from vaebench.core.progress import ProgressEvent
from vaebench.models.registry import PretrainedModel
from vaebench.models.vae import VAEModel
from vaebench.runs.context import RunContext
from vaebench.runs.recipe import Recipe, load_recipe
from vaebench.training.checkpoint import read_tensors, write_tensors

INITIAL = "start.safetensors"
"""File of the initial weights in the folder of a run; a run that is resumed reads no other."""
NETWORKS = ("encoder", "decoder", "likelihood", "to_posterior")
"""Parts of a VAE that are taken, with the codebook of discrete latents; the others are parameters of p(z)."""
EXPECTED = "expected the folder of a finished run or its weights.safetensors"
Tensors = dict[str, Tensor]


def pin_weights(recipe: Recipe, folder: Path | None = None) -> Recipe:
    """Return the recipe with the SHA-256 of its ``start.weights``, so that their content is part of its identity.

    Args:
        folder: of the run; where it already holds the initial weights, the file they came from may be missing.

    Raises:
        VaebenchError: the weights do not exist, belong to an unfinished run, or are not those of ``start.sha256`` or
            of the run in ``folder``.
    """
    start = recipe.start
    if start.weights is None:
        return recipe
    known, is_kept = start.sha256, False
    if folder is not None and (folder / INITIAL).exists():
        kept = read_tensors(folder / INITIAL)[1]
        is_kept = kept["weights"] == start.weights
        known = known or (kept["sha256"] if is_kept else None)
    if is_kept and not Path(start.weights).expanduser().exists():
        digest = known
    else:
        digest = _sha256(find_weights(start.weights))
    if known not in (None, digest):
        raise VaebenchError(
            f"start.weights (--from) is {start.weights}, whose weights have changed: their SHA-256 was {known} and is "
            f"now {digest}; restore that file, or start a new run in another folder (--out)"
        )
    return recipe.model_copy(update={"start": start.model_copy(update={"sha256": digest})})


def find_weights(weights: str) -> Path:
    """Return the file of weights in the folder of a finished run, or the file itself.

    Raises:
        VaebenchError: there is nothing at the path, the folder holds no run, or its run is not finished.
    """
    path, given = Path(weights).expanduser(), f"start.weights (--from) is {weights}"
    if not path.exists():
        raise VaebenchError(f"{given}, which does not exist; {EXPECTED}")
    if not path.is_dir():
        return path
    if not (path / "recipe.json").exists():
        raise VaebenchError(f"{given}, a folder without recipe.json; {EXPECTED}")
    if not (path / "results.json").exists():
        raise VaebenchError(f"{given}, whose run is not finished; continue it with --resume first")
    if not (path / "weights.safetensors").exists():
        raise VaebenchError(f"{given}, whose weights.safetensors is missing; {EXPECTED}")
    return path / "weights.safetensors"


def keep_initial_weights(run: RunContext) -> None:
    """Write the initial weights of a run that starts from another into its folder, unless they are there, and report
    what was taken.

    Encoder, decoder, codebooks and the parameters of p(x|z) are taken. A prior with parameters is taken if it is the
    same prior; otherwise it starts from random weights.

    Raises:
        VaebenchError: the file is missing, damaged or changed, or does not suit the recipe or the images.
    """
    if run.recipe.start.weights is None or (run.folder / INITIAL).exists():
        return
    tensors, notes = _adapt(run)
    metadata = {"image_shape": run.data.train.shape, "model": "start", "vaebench": __version__, "notes": notes}
    write_tensors(run.folder / INITIAL, tensors, metadata | run.recipe.start.model_dump(include={"weights", "sha256"}))
    for note in notes:
        run.callback(ProgressEvent("data", 1.0, message=note))


def start_notes(run: RunContext) -> list[str]:
    """Sentences on what the run started from; empty for random weights."""
    if run.recipe.start.weights is None:
        return []
    notes: list[str] = read_tensors(run.folder / INITIAL)[1]["notes"]
    return notes


def _adapt(run: RunContext) -> tuple[Tensors, list[str]]:
    """The initial weights of the VAE that is trained first, and sentences on where they come from."""
    recipe, weights = run.recipe, str(run.recipe.start.weights)
    file, model = find_weights(weights), _first_trained(run.recipe.model)
    taken, shape = _read(weights, file, recipe.start.sha256)
    source = _recipe_beside(file)
    _check_images(weights, shape, run.data.train.shape)
    if source is not None:
        _check_model(weights, _first_trained(source.model), model)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        own: Tensors = model.build(run.data.train.shape).state_dict()
    _check_tensors(weights, _networks(taken), _networks(own))
    old_prior, new_prior = _prior(taken), _prior(own)
    same = {name: value.shape for name, value in old_prior.items()} == {n: v.shape for n, v in new_prior.items()}
    change = differences(_prior_fields(source.model), _prior_fields(recipe.model), "model.prior") if source else []
    keeps_prior = same and not change
    notes = [_describe(recipe, keeps_prior and bool(new_prior))]
    if not keeps_prior:
        reason = f" ({'; '.join(change)})" if change else ""
        notes.append(f"The prior of {weights} was not taken, as this recipe has another{reason}.")
    if source is None:
        notes.append(
            f"No recipe.json is beside {weights}: only the shapes of its tensors were compared; its activation, "
            "strides and likelihood are assumed to be those of this recipe."
        )
    return own | _networks(taken) | (old_prior if keeps_prior else {}), notes


def _describe(recipe: Recipe, prior: bool) -> str:
    """What was taken, what is frozen, and what starts from random weights all the same."""
    parts = "encoder, decoder and prior" if prior else "encoder and decoder"
    frozen = {"none": "all are trained", "both": "encoder and decoder are frozen"}
    others = ["the plain autoencoder"] if "autoencoder" in recipe.evaluation.features else []
    others += ["the supervised network"] if recipe.evaluation.supervised is not None else []
    rest = f"; {' and '.join(others)} start{'s' if len(others) == 1 else ''} from random weights" if others else ""
    state = frozen.get(recipe.start.freeze, f"the {recipe.start.freeze} is frozen")
    return f"The VAE started from the weights of {recipe.start.weights} ({parts}; {state}){rest}."


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(weights: str, file: Path, sha256: str | None) -> tuple[Tensors, tuple[int, ...]]:
    """Tensors of the file and the shape of the images that it was trained on."""
    try:
        tensors, metadata = read_tensors(file)
        shape = tuple(int(side) for side in metadata["image_shape"])
    except (VaebenchError, KeyError, TypeError, ValueError) as error:
        raise VaebenchError(
            f"start.weights (--from) is {weights}, but {file} is damaged or no file of weights by vaebench; {EXPECTED}"
        ) from error
    if _sha256(file) != sha256:
        raise VaebenchError(f"{file} was changed while this run began; run the same command again")
    if broken := [name for name, value in tensors.items() if not value.isfinite().all()]:
        raise VaebenchError(f"{file} has values in {broken[0]} that are not finite; start from another run")
    return tensors, shape


def _recipe_beside(file: Path) -> Recipe | None:
    """The recipe of the run that the file belongs to, if it lies in the folder of one."""
    folder = file.parent.parent if file.parent.name in ("autoencoder", "pretrained") else file.parent
    return load_recipe(folder / "recipe.json") if (folder / "recipe.json").exists() else None


def _first_trained(model: VAEModel) -> VAEModel:
    """The VAE that a run of this model trains first."""
    return model.pretrained if isinstance(model, PretrainedModel) else model


def _check_images(weights: str, old: tuple[int, ...], new: tuple[int, ...]) -> None:
    if old != new:
        before, now = ("x".join(map(str, shape)) for shape in (old, new))
        raise VaebenchError(
            f"start.weights (--from) is {weights}, which was trained on images of {before}, and the images of this run "
            f"are {now} (channels x height x width); scale your own images by --data.size, start from a run on images "
            "of that shape, or leave start.weights out"
        )


def _check_model(weights: str, old: VAEModel, new: VAEModel) -> None:
    if changed := differences(_network_fields(old), _network_fields(new), "model"):
        raise VaebenchError(
            f"start.weights (--from) is {weights}, whose model is another: {'; '.join(changed)}; set these fields as "
            "they were, start from another run, or leave start.weights out"
        )


def _network_fields(model: VAEModel) -> dict[str, Any]:
    """All fields that decide what the weights of encoder and decoder mean."""
    fields = model.model_dump(mode="json", exclude={"prior"})
    return fields | {"kind": model.kind, "decoder": fields["decoder"] or fields["network"]}


def _prior_fields(model: VAEModel) -> Any:
    """Fields of p(z); that of a model with a pretrained VAE is fitted to codes, and never taken."""
    return model.kind if isinstance(model, PretrainedModel) else model.model_dump(mode="json")["prior"]


def _check_tensors(weights: str, old: Tensors, new: Tensors) -> None:
    """Refuse the first tensor that one side lacks or that has two shapes."""
    for name in [*new, *old]:
        before, now = (_shape(tensors, name) for tensors in (old, new))
        if before != now:
            raise VaebenchError(
                f"start.weights (--from) is {weights}, whose tensor {name} {before}, but in the model of this recipe "
                f"it {now}; set model.kind, network, latent and likelihood as they were, or leave start.weights out"
            )


def _shape(tensors: Tensors, name: str) -> str:
    return f"has the shape {tuple(tensors[name].shape)}" if name in tensors else "does not exist"


def _networks(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if name.partition(".")[0] in NETWORKS}


def _prior(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if name.partition(".")[0] not in NETWORKS}
