"""vaebench reproduce and vaebench few-labels: long experiments that continue where they were stopped."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaebench.cli.parser import BUDGETS, Parser, add_command, add_workers, count, executor_of, one_of, positive
from vaebench.cli.terminal import interrupted_after, progress

if TYPE_CHECKING:
    from vaebench.core.progress import ProgressCallback

REPRODUCE = """\
Runs the whole protocol of a paper and writes its tables and figures, each reported number beside the reproduced one.
The same command continues where it was stopped; finished steps are kept.

Examples:
  vaebench reproduce A --budget quick
  vaebench reproduce all --minutes 60
  vaebench reproduce disentangling --seeds 3 --out runs/disentangling
  vaebench reproduce all --ray auto --out /shared/papers"""
FEW_LABELS = """\
Compares classifiers on frozen latents, semi-supervised VAEs, self-training and a supervised network on MNIST,
Fashion-MNIST, Quick Draw and CIFAR-10. Settings for each data set are chosen on the others. The same command
continues where it was stopped; finished steps are kept.

Examples:
  vaebench few-labels --budget quick
  vaebench few-labels --minutes 120 --out runs/few-labels"""


def add_parser(commands: Any) -> None:
    """Add reproduce and few-labels."""
    parser = add_command(commands, reproduce, "reproduce", "reproduce the experiments of a paper", REPRODUCE)
    parser.add_argument("paper", metavar="PAPER", help="A to E or a longer name (see vaebench list), or all")
    parser.add_argument("--seeds", type=count, metavar="N", help="seeds of every model (default: the budget's number)")
    _add_options(parser, "at most 30 minutes a paper on two cores", "papers")

    about = "compare methods with 1 to 100 labels a class (few-label benchmark)"
    parser = add_command(commands, few_labels, "few-labels", about, FEW_LABELS)
    _add_options(parser, "about five hours on two cores", "few-labels")
    parser.set_defaults(without_arguments=True)


def _add_options(parser: Parser, cpu: str, name: str) -> None:
    """Add --budget, --minutes and --out; ``cpu`` says what the default budget takes, ``name`` is that of the page."""
    parser.add_argument(
        "--budget",
        choices=BUDGETS,
        type=one_of(*BUDGETS),
        default="cpu",
        metavar="BUDGET",
        help=f"quick: a miniature whose numbers mean nothing; cpu: {cpu}; full: for a GPU (default: cpu)",
    )
    parser.add_argument("--minutes", type=positive, metavar="N", help="stop after N minutes (default: no limit)")
    add_workers(parser, "one a core")
    default = f"runs/{name}"
    about = f"folder of {name}.md, {name}.json, figures and all steps (default: {default})"
    parser.add_argument("--out", type=lambda word: Path(word or default), default=default, metavar="FOLDER", help=about)


def reproduce(args: argparse.Namespace) -> int:
    """Run ``vaebench reproduce``."""
    from vaebench.papers.reproduce import find_papers, minutes_left, reproduce

    papers = find_papers(args.paper)
    with _limited(args, *minutes_left(papers, args.budget, args.out)) as callback:
        experiments = reproduce(
            papers, args.budget, args.out, seeds=args.seeds, callback=callback, executor=executor_of(args)
        )
    for experiment in experiments:
        verdicts = [row["agrees"] for row in experiment.result_rows()]
        counts = f"{verdicts.count(True)} hold, {verdicts.count(False)} do not, {verdicts.count(None)} are undecided"
        print(f"{experiment.paper.short} {experiment.paper.name}: {len(verdicts)} reported results, {counts}")
    print(f"open {args.out / 'papers.md'}")
    return 0


def few_labels(args: argparse.Namespace) -> int:
    """Run ``vaebench few-labels``."""
    from vaebench.few_label_benchmark.run import BenchmarkInfo, minutes_done, run_benchmark

    with _limited(args, BenchmarkInfo.minutes[args.budget], minutes_done(args.out, args.budget)) as callback:
        run_benchmark(args.budget, args.out, callback, executor=executor_of(args))
    print(f"open {args.out / 'few-labels.md'}")
    return 0


@contextmanager
def _limited(args: argparse.Namespace, total: float | int, done: float) -> Iterator[ProgressCallback]:
    """Print how many minutes the experiment takes and yield its progress callback; stop after ``--minutes``."""
    machine = "one GPU (estimated, not measured)" if args.budget == "full" else "two cores"
    print(f"about {total:.3g} minutes on {machine}, of which {min(done, total):.1f} are done", flush=True)
    with interrupted_after(None if args.minutes is None else 60 * args.minutes), progress() as callback:
        yield callback
