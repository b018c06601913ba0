"""The command line: parse, call, print. Torch is imported only by the commands that need it."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaebench import __version__
from vaebench.errors import VaebenchError
from vaebench.terminal import interrupted_after, keep_freed_memory, progress

if TYPE_CHECKING:
    from vaebench.recipes import Recipe

USAGE = """\
vaebench: the workbench for variational autoencoders on images

  vaebench run RECIPE [options]   train a VAE, measure what its latents are worth, write a report
  vaebench reproduce PAPER        run a paper's whole protocol: promised beside found
  vaebench few-labels             how far a VAE goes with 1 to 100 labels a class, rung by rung
  vaebench list [--json]          recipes, data sets and parts by name
  vaebench --version              the version
  vaebench COMMAND --help         more on one command

Data sets are looked for in $VAEBENCH_DATA, then in your cache, then downloaded.
"""
RUN_USAGE = """\
usage: vaebench run RECIPE [--few-labels] [--data NAME|PATH] [--out DIR] [--resume] [--FIELD VALUE ...]

Train a VAE on images, probe its latents with few labels beside honest baselines, and write a report.

  RECIPE        a built-in recipe (see `vaebench list`), or the path of a .toml file
  --data X      a data set by name, or a folder, .zip or .npz of your own images
  --few-labels  train for few labels: pairs of augmented images, then a classifier of the VAE by self-training
                from 1, 10 and 100 labels a class, beside frozen latents, raw pixels and a supervised network
  --out DIR     where the run is kept (default: runs/NAME)
  --resume      go on where the run in that folder stopped
  --FIELD V     override any field of the recipe, such as --objective.beta 4 --model.latent 10
                --training.epochs 20 --seed 1; a part of another kind by --objective.kind free-bits

`vaebench run RECIPE --help` lists every field with its meaning and its value in that recipe.
"""
REPRODUCE_USAGE = """\
usage: vaebench reproduce A|B|C|D|E|all [--budget quick|cpu|full] [--seeds N] [--minutes N] [--out DIR]

Run the whole protocol of a paper, write its tables and figures, the printed number beside the found one.

  A|B|C|D|E     the paper by its short name (or its long one, see `vaebench list`), or all of them
  --budget X    quick: a miniature of every experiment, minutes for all; its numbers mean nothing
                cpu (default): at most 30 minutes a paper on two cores, by better schedules and fewer epochs
                full: the printed epochs and sizes, for a GPU
  --seeds N     train every VAE and classifier from N seeds instead of the budget's own number
  --minutes N   stop after N minutes in a state that the same command goes on from
  --out DIR     where papers.md, papers.json, figures and all steps are kept (default: runs/papers)

The same command goes on where it was stopped; nothing that is done is done again.
"""
FEW_LABELS_USAGE = """\
usage: vaebench few-labels [--budget quick|cpu|full] [--minutes N] [--out DIR]

Climb the ladder of few labels on MNIST, Fashion-MNIST, Quick Draw and CIFAR-10: readers of frozen latents,
semi-supervised VAEs, better representations, the whole method, its supervised rival. Settings for each data set are
chosen on others.

  --budget X    quick: a miniature that shows that everything runs; its numbers mean nothing
                cpu (default): about six hours on two cores; full: longer trainings, for a GPU
  --minutes N   stop after N minutes in a state that the same command goes on from
  --out DIR     where few-labels.md, few-labels.json, figures and all steps are kept (default: runs/few-labels)

The same command goes on where it was stopped; nothing that is done is done again.
"""
LIST_USAGE = """\
usage: vaebench list [--json]

Names of the built-in recipes, data sets, networks, likelihoods, objectives, probes and schedules.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 a user's mistake, 130 stopped."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        return _command(words)
    except VaebenchError as error:
        print(f"vaebench: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"vaebench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resumed = " with --resume" if words[:1] == ["run"] else ""
        print(f"vaebench: stopped; the same command{resumed} goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1


def _command(words: list[str]) -> int:
    commands: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "run": (_run, RUN_USAGE),
        "reproduce": (_reproduce, REPRODUCE_USAGE),
        "few-labels": (_few_labels, FEW_LABELS_USAGE),
        "list": (_list, LIST_USAGE),
    }
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if words[0] == "--version":
        print(f"vaebench {__version__}")
        return 0
    if words[0] not in commands:
        raise VaebenchError(f"there is no command {words[0]!r}; expected one of {', '.join(commands)} (see --help)")
    command, usage = commands[words[0]]
    if words[1:] in (["-h"], ["--help"]) or (words[0] in ("run", "reproduce") and len(words) == 1):
        print(usage, end="")
        return 0
    return command(words[1:])


def _list(words: list[str]) -> int:
    if unknown := [word for word in words if word != "--json"]:
        raise VaebenchError(f"vaebench list takes only --json, not {unknown[0]!r}")
    parts = _parts()
    if "--json" in words:
        print(json.dumps(parts, indent=1))
        return 0
    for title, names in parts.items():
        print(f"{title}: {', '.join(names)}")
    return 0


def _parts() -> dict[str, list[str]]:
    from vaebench.data.datasets import DATASETS
    from vaebench.evaluation.probes import PROBES
    from vaebench.models.latents import POSTERIORS
    from vaebench.models.likelihoods import LIKELIHOODS
    from vaebench.models.networks import NETWORKS
    from vaebench.models.objectives import OBJECTIVES
    from vaebench.papers.registry import PAPERS
    from vaebench.recipes import RECIPES
    from vaebench.training.schedules import OPTIMISERS, SCHEDULES

    return {
        "recipes": list(RECIPES),
        "papers": [f"{short} ({paper.name})" for short, paper in PAPERS.items()],
        "data sets": list(DATASETS),
        "networks": list(NETWORKS),
        "likelihoods": list(LIKELIHOODS),
        "posteriors": list(POSTERIORS),
        "objectives": list(OBJECTIVES),
        "optimisers": list(OPTIMISERS),
        "schedules": list(SCHEDULES),
        "probes": list(PROBES),
    }


def _run(words: list[str]) -> int:
    from vaebench.recipes import few_labels, find_recipe

    name, words = _recipe_name(words)
    base = find_recipe(name)
    if "--few-labels" in words:
        words = [word for word in words if word != "--few-labels"]
        named = (_option(words, flag)[1] for flag in ("--data", "--data.source"))
        base = few_labels(base, next(filter(None, named), base.data.source))
    if {"-h", "--help"} & set(words):
        _print_fields(base, name)
        return 0
    words, out = _option(words, "--out")
    resume = "--resume" in words
    recipe = _overridden(base, [word for word in words if word != "--resume"], name)
    folder = Path(out) if out else Path("runs") / _folder_name(recipe, base)

    from vaebench.perform import perform
    from vaebench.reports.report import write_report

    keep_freed_memory()
    with progress() as watch:
        run = perform(recipe, folder, resume=resume, watch=watch)
    for alarm in run.results["alarms"]:
        print(f"alarm {alarm['name']}: {alarm['message']}")
    page = write_report(run)
    print(f"open {page}")
    return 0


def _reproduce(words: list[str]) -> int:
    words, budget_name = _option(words, "--budget")
    words, out_name = _option(words, "--out")
    words, seeds = _option(words, "--seeds")
    words, minutes = _option(words, "--minutes")
    if len(words) != 1 or words[0].startswith("-"):
        given = " ".join(words) or "nothing"
        raise VaebenchError(f"vaebench reproduce takes one paper (A to E, or all) and its options, not {given!r}")

    from vaebench.papers.reproduce import find_papers, minutes_left, reproduce
    from vaebench.studies.subject import check_budget

    budget, papers = check_budget(budget_name or "cpu"), find_papers(words[0])
    out = Path(out_name) if out_name else Path("runs") / "papers"
    seeds_asked = None if seeds is None else int(_number("--seeds", seeds, whole=True))
    seconds = None if minutes is None else 60 * _number("--minutes", minutes)
    whole, done = minutes_left(papers, budget, out)
    where = "one GPU (reckoned, not measured)" if budget == "full" else "two cores"
    print(f"about {whole:.3g} minutes on {where}, of which {min(done, whole):.1f} are done", flush=True)

    keep_freed_memory()
    with interrupted_after(seconds), progress() as watch:
        studies = reproduce(papers, budget, out, seeds=seeds_asked, watch=watch)
    for study in studies:
        verdicts = [row["holds"] for row in study.findings.in_order()]
        counts = (
            f"{verdicts.count(True)} hold, {verdicts.count(False)} do not, {verdicts.count(None)} without a verdict"
        )
        print(f"{study.paper.short} {study.paper.name}: {len(verdicts)} promises, {counts}")
    print(f"open {out / 'papers.md'}")
    return 0


def _few_labels(words: list[str]) -> int:
    words, budget_name = _option(words, "--budget")
    words, out_name = _option(words, "--out")
    words, minutes = _option(words, "--minutes")
    if words:
        raise VaebenchError(f"vaebench few-labels takes only its options, not {' '.join(words)!r}")

    from vaebench.ladder.run import Ladder, minutes_done, run_ladder
    from vaebench.studies.subject import check_budget

    budget = check_budget(budget_name or "cpu")
    out = Path(out_name) if out_name else Path("runs") / "few-labels"
    seconds = None if minutes is None else 60 * _number("--minutes", minutes)
    whole = Ladder.minutes[budget]
    done = min(minutes_done(out, budget), whole)
    where = "one GPU (reckoned, not measured)" if budget == "full" else "two cores"
    print(f"about {whole:.3g} minutes on {where}, of which {done:.1f} are done", flush=True)

    keep_freed_memory()
    with interrupted_after(seconds), progress() as watch:
        run_ladder(budget, out, watch)
    print(f"open {out / 'few-labels.md'}")
    return 0


def _number(flag: str, word: str, whole: bool = False) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf or (whole and value != int(value)):
        raise VaebenchError(f"{flag} is {word!r}; expected a {'whole ' if whole else ''}number above 0")
    return value


def _recipe_name(words: list[str]) -> tuple[str, list[str]]:
    if words[0].startswith("-"):
        raise VaebenchError(f"vaebench run takes a recipe before its options, not {words[0]!r}; see vaebench list")
    return words[0], words[1:]


def _option(words: list[str], flag: str) -> tuple[list[str], str | None]:
    """Take ``flag VALUE`` or ``flag=VALUE`` out of the words."""
    for index, word in enumerate(words):
        if word.startswith(f"{flag}="):
            return words[:index] + words[index + 1 :], word.partition("=")[2]
        if word == flag:
            if index + 1 == len(words):
                raise VaebenchError(f"{flag} needs a value after it")
            return words[:index] + words[index + 2 :], words[index + 1]
    return words, None


def _folder_name(recipe: Recipe, base: Recipe) -> str:
    if recipe.data.source == base.data.source:
        return recipe.name
    return f"{recipe.name}-{re.sub(r'[^A-Za-z0-9]+', '-', Path(recipe.data.source).stem).strip('-')}"


def _overridden(base: Recipe, words: list[str], name: str) -> Recipe:
    """The recipe with the fields that the words override; parts of another kind begin from that kind's defaults."""
    from vaebench.recipes import parse_recipe

    flags = list(_flags(words))
    where = f"recipe {name}"
    kinds = [flag for flag in flags if flag[0][-1] == "kind"]
    base = parse_recipe(_put(base.model_dump(mode="json"), kinds), where) if kinds else base
    fields = [flag for flag in flags if flag[0][-1] != "kind"]
    return parse_recipe(_put(base.model_dump(mode="json"), fields), where)


def _put(values: dict[str, Any], flags: list[tuple[list[str], list[str]]]) -> dict[str, Any]:
    """The values with each flag's words in its place; a kind clears the part that it begins anew."""
    for (*parents, field), given in flags:
        place = values
        for parent in parents:
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
            if not isinstance(place, dict):
                raise VaebenchError(f"--{'.'.join([*parents, field])}: {parent!r} has no fields of its own")
        if field == "kind":
            place.clear()
        place[field] = _value(given, place.get(field))
    return values


def _flags(words: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Each --path.to-field with the words that follow it."""
    if words and not words[0].startswith("--"):
        raise VaebenchError(f"{words[0]!r} is not expected here; options look like --training.epochs 20")
    starts = [index for index, word in enumerate(words) if word.startswith("--")]
    for start, end in pairwise([*starts, len(words)]):
        flag, equals, value = words[start].partition("=")
        given = [value] if equals else words[start + 1 : end]
        if not given:
            raise VaebenchError(f"{flag} needs a value after it")
        path = flag.removeprefix("--").replace("-", "_").split(".")
        yield (["data", "source"] if path == ["data"] else path), given


def _value(given: list[str], before: Any) -> Any:
    """What the words mean: JSON where they look like it, several words or a list's one word a list."""
    if len(given) == 1 and given[0][:1] in ("[", "{"):
        try:
            return json.loads(given[0])
        except ValueError as error:
            raise VaebenchError(f"{given[0]!r} looks like JSON, but is not: {error}") from error
    if isinstance(before, list) or len(given) > 1:
        return given
    return None if given[0].lower() == "none" else given[0]


def _print_fields(base: Recipe, name: str) -> None:
    """Every field of the recipe with its meaning and its value."""
    import tyro

    from vaebench.recipes import Recipe

    with suppress(SystemExit):
        tyro.cli(
            Recipe,
            prog=f"vaebench run {name}",
            default=base,
            args=["--help"],
            config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
        )


if __name__ == "__main__":
    sys.exit(main())
