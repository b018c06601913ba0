"""vaebench run and sweep: a recipe trained once or over a grid; vaebench explore and compare: pages about runs."""

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
  vaebench run mnist --data quickdraw --from runs/mnist --start.freeze encoder
  vaebench run fashion-mnist --few-labels --out runs/clothes"""
SWEEP = """\
The page shows each field against each score with intervals, and the best trial by its validation ELBO. The same
command continues a stopped sweep, also with other workers; finished trials are kept. Options such as
--training.epochs 20 override fields in all trials; `vaebench run RECIPE --help` lists the fields.

Examples:
  vaebench sweep mnist --grid model.latent=5,10,20 --seeds 3
  vaebench sweep digits --grid objective.beta=1,4 --grid model.network.filters=[[32,64],[64,64]]
  vaebench sweep mnist --grid model.latent=5,10 --ray auto --out /shared/sweep"""

EXPLORE = """\
One HTML file that opens from the disk, needs no network, and runs the decoder in the browser. `vaebench run` already
writes it beside the report.

Examples:
  vaebench explore runs/mnist
  vaebench explore runs/mnist --out mnist.html"""
COMPARE = """\
The page shows all scores, differences from the first run with their intervals, learning curves and losses, and every
field in which the recipes differ. Runs that differ in their seed alone are summarised together, with their spread.

Examples:
  vaebench compare runs/mnist runs/mnist-beta-4
  vaebench compare runs/a runs/b runs/c --out comparison.html"""


def add_parser(commands: Any) -> None:
    """Add run, sweep, explore and compare."""
    parser = add_command(commands, run, "run", "train a VAE, evaluate its latents, write a report", RUN)
    _add_recipe(parser)
    parser.add_argument("--few-labels", action="store_true", help="train for few labels and classify by self-training")
    parser.add_argument("--out", metavar="FOLDER", help="folder of the run (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="continue the stopped run in that folder")
    parser.set_defaults(extras="overrides", print_help=_print_fields)

    parser = add_command(commands, sweep, "sweep", "train a recipe over a grid of its fields and over seeds", SWEEP)
    _add_recipe(parser)
    about = "a field and its values, also as JSON; may be given several times"
    parser.add_argument("--grid", action="append", default=[], metavar="FIELD=V1,V2", help=about)
    parser.add_argument("--seeds", type=count, default=1, metavar="N", help="seeds of each combination (default: 1)")
    add_workers(parser, "one for two cores")
    parser.add_argument("--out", metavar="FOLDER", help="folder (default: runs/sweep-RECIPE)")
    parser.set_defaults(extras="overrides")

    parser = add_command(commands, explore, "explore", "write the latent explorer of a run", EXPLORE)
    parser.add_argument("folder", metavar="RUN", help="folder of a run")
    parser.add_argument("--out", metavar="FILE", help="page to write (default: RUN/explorer.html)")

    parser = add_command(commands, compare, "compare", "compare finished runs on one page", COMPARE)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of two runs or more")
    parser.add_argument("--out", metavar="FILE", help="page (default: compare.html beside the first run)")
    parser.set_defaults(extras="more_runs")


def _add_recipe(parser: Parser) -> None:
    parser.usage = f"{parser.prog} RECIPE [options] [--FIELD VALUE ...]"
    parser.add_argument("recipe", metavar="RECIPE", help="a built-in recipe (see vaebench list) or a .toml file")
    about = "a data set by name, or a folder, .zip or .npz of your images (default: the recipe's)"
    parser.add_argument("--data", "--data.source", metavar="DATA", help=about)
    about = "start from the weights of a finished run, its folder or its weights.safetensors (default: random weights)"
    parser.add_argument("--from", "--start.weights", dest="weights", metavar="RUN", help=about)


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
    given = {"--data.source": args.data, "--start.weights": args.weights}
    return [
        *(word for option, value in given.items() if value is not None for word in (option, value)),
        *args.overrides,
    ]


def run(args: argparse.Namespace) -> int:
    """Run ``vaebench run``."""
    argv = _find_overrides(args)

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
    name = name if recipe.start.weights is None else f"{name}-fine-tuned"
    folder = Path(args.out or f"runs/{name}")

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

    with progress() as callback:
        result = sweep(base, axes, seeds=args.seeds, folder=folder, executor=executor, callback=callback)
    print(verdict(result))
    failures = [error for point in result.points for error in point.errors]
    for failure in failures:
        print(f"failed: {failure}")
    print(f"open {write_page(result)}")
    return 1 if failures else 0


def explore(args: argparse.Namespace) -> int:
    """Run ``vaebench explore``."""
    from vaebench.runs.report.report import EXPLORER
    from vaebench.runs.run import Run

    run = Run.load(args.folder)
    print(f"open {run.explore().write(Path(args.out or run.path / EXPLORER))}")
    return 0


def compare(args: argparse.Namespace) -> int:
    """Run ``vaebench compare``."""
    for word in args.more_runs:  # runs after an option
        if word.startswith("-"):
            args.parser.refuse(word)

    from vaebench.runs.report.compare import write_comparison

    page = Path(args.out or Path(args.runs[0]).parent / "compare.html")
    comparison = write_comparison([*args.runs, *args.more_runs], page)
    for index, group in enumerate(comparison.groups):
        scores = ", ".join(
            f"{score.name} {score.mean_and_sd(index)}" for score in comparison.scores[:1] + comparison.scores[-1:]
        )
        print(f"{group.name}: {scores}")
    for note in comparison.notes:
        print(f"note: {note}")
    print(f"open {page}")
    return 0
