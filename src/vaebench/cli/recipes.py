"""vaebench run and vaebench sweep: a recipe with fields overridden, trained once or over a grid."""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Any

from vaebench.cli.fields import add_fields, find_values, load_table, option_of
from vaebench.cli.parser import HelpFormatter, Parser, add_command, add_workers, count
from vaebench.cli.terminal import progress

RUN = """\
Any field of the recipe is overridden by an option: --objective.beta 4, --model.latent 10, --training.epochs 20,
--seed 1; several values stand after each other or between commas; --objective.kind free-bits changes the kind of a
part. `vaebench run RECIPE --help` lists every field with its value in that recipe.

Examples:
  vaebench run mnist
  vaebench run mnist --data photos.zip --model.latent 10 --training.epochs 20
  vaebench run fashion-mnist --few-labels --out runs/clothes"""
SWEEP = """\
The page shows each field against each score with intervals, and the best trial by its validation ELBO. The same
command continues a stopped sweep, also with other workers; finished trials are kept. Options such as
--training.epochs 20 override fields in all trials; `vaebench run RECIPE --help` lists the fields.

Examples:
  vaebench sweep mnist --grid model.latent=5,10,20 --seeds 3
  vaebench sweep digits --grid objective.beta=1,4 --grid model.network.filters=[[32,64],[64,64]]
  vaebench sweep mnist --grid model.latent=5,10 --ray auto --out /shared/sweep"""


def add_parser(commands: Any) -> None:
    """Add run and sweep."""
    parser = add_command(commands, run, "run", "train a VAE, evaluate its latents, write a report", RUN)
    _add_recipe(parser)
    parser.add_argument("--few-labels", action="store_true", help="train for few labels and classify by self-training")
    parser.add_argument("--out", metavar="FOLDER", help="folder of the run (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="continue the stopped run in that folder")
    parser.set_defaults(extras="overrides", print_help=_print_fields)

    parser = add_command(commands, sweep, "sweep", "train a recipe over a grid of its fields and over seeds", SWEEP)
    _add_recipe(parser)
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="FIELD=V1,V2",
        help="a field and its values, also as JSON; may be given several times",
    )
    parser.add_argument("--seeds", type=count, default=1, metavar="N", help="seeds of each combination (default: 1)")
    add_workers(parser, "one for two cores")
    parser.add_argument("--out", metavar="FOLDER", help="folder (default: runs/sweep-RECIPE)")
    parser.set_defaults(extras="overrides")


def _add_recipe(parser: Parser) -> None:
    parser.usage = f"{parser.prog} RECIPE [options] [--FIELD VALUE ...]"
    parser.add_argument("recipe", metavar="RECIPE", help="a built-in recipe (see vaebench list) or a .toml file")
    parser.add_argument(
        "--data",
        "--data.source",
        metavar="DATA",
        help="a data set by name, or a folder, .zip or .npz of your images (default: the recipe's)",
    )


def _print_fields(parser: Parser, argv: list[str]) -> None:
    """Print the help of run; with a recipe also its fields."""
    if recipe := find_values(argv):
        name, values = recipe
        parser.conflict_handler = "resolve"  # --data.source is listed with the fields
        parser.usage, parser.epilog = f"vaebench run {name} [options] [--FIELD VALUE ...]", None
        parser.formatter_class = partial(HelpFormatter, max_help_position=8)
        add_fields(parser, values)
    parser.print_help()


def _find_overrides(args: argparse.Namespace) -> list[str]:
    """Return the arguments that override fields; options that are no fields, or stand before RECIPE, are refused."""
    if args.overrides and args.argv.index(args.recipe) > args.argv.index(args.overrides[0]):
        args.parser.error(f"{args.parser.prog} takes RECIPE before {args.overrides[0]}")
    names = [option_of(row["field"]) for row in load_table()["fields"]]
    for word in args.overrides:
        option = word.partition("=")[0]
        if option.startswith("--") and "." not in option and option not in names:
            args.parser.refuse(word, names)
    return args.overrides if args.data is None else ["--data.source", args.data, *args.overrides]


def run(args: argparse.Namespace) -> int:
    """Run ``vaebench run``."""
    argv = _find_overrides(args)

    from vaebench.core.memory import keep_freed_memory
    from vaebench.runs.overrides import apply_overrides
    from vaebench.runs.pipeline import run
    from vaebench.runs.recipe import few_labels, find_recipe
    from vaebench.runs.report.report import EXPLORER, write_report
    from vaebench.training.distributed import is_main_process

    base = find_recipe(args.recipe)
    if args.few_labels:
        base = few_labels(base, args.data or base.data.source)
    recipe = apply_overrides(base, argv, f"recipe {args.recipe}")
    source = re.sub(r"[^A-Za-z0-9]+", "-", Path(recipe.data.source).stem).strip("-")
    name = recipe.name if recipe.data.source == base.data.source else f"{recipe.name}-{source}"
    folder = Path(args.out or f"runs/{name}")

    keep_freed_memory()
    with progress() as callback:
        result = run(recipe, folder, resume=args.resume, callback=callback)
    if not is_main_process():
        return 0
    for alarm in result.results["alarms"]:
        print(f"alarm {alarm['name']}: {alarm['message']}")
    page = write_report(result)
    if (explorer := folder / EXPLORER).exists():
        print(f"latent explorer: {explorer}")
    print(f"open {page}")
    return 0


def sweep(args: argparse.Namespace) -> int:
    """Run ``vaebench sweep``."""
    argv = _find_overrides(args)

    from vaebench.core.memory import keep_freed_memory
    from vaebench.runs.overrides import apply_overrides
    from vaebench.runs.recipe import find_recipe
    from vaebench.sweeps.grid import axis
    from vaebench.sweeps.page import verdict, write_page
    from vaebench.sweeps.sweep import sweep, sweep_executor

    base = find_recipe(args.recipe)
    axes = [axis(word) for word in args.grid]
    base = apply_overrides(base, argv, f"recipe {base.name}")
    executor = sweep_executor(args.workers, args.ray)
    folder = Path(args.out or f"runs/sweep-{base.name}")

    keep_freed_memory()
    with progress() as callback:
        result = sweep(base, axes, seeds=args.seeds, folder=folder, executor=executor, callback=callback)
    print(verdict(result))
    failures = [error for point in result.points for error in point.errors]
    for failure in failures:
        print(f"failed: {failure}")
    print(f"open {write_page(result)}")
    return 1 if failures else 0
