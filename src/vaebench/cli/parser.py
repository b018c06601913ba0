"""The argument parser of the commands, on argparse: one-sentence errors, types of values, shared options."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from vaebench.core.workers import Executor

BUDGETS = ("quick", "cpu", "full")


class HelpFormatter(argparse.HelpFormatter):
    """A formatter that wraps the paragraphs of a description and keeps the lines of examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        wrap = super()._fill_text
        keep = "examples:"
        return "\n\n".join(each if each.startswith(keep) else wrap(each, width, indent) for each in text.split("\n\n"))


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that reports a mistake as one sentence on stderr with exit status 2."""

    def __init__(self, **settings: Any) -> None:
        layout = partial(HelpFormatter, max_help_position=30)
        super().__init__(allow_abbrev=False, formatter_class=layout, **settings)

    def error(self, message: str) -> NoReturn:
        """Print ``message``, argparse's or one's own, as a sentence and exit."""
        for pattern, sentence in (
            (r"^argument (\S+?)(/\S+)?: expected .*argument.*", r"\1 needs a value after it"),
            (r"^argument (\S+): not allowed with argument (\S+)", r"\1 and \2 exclude each other; give one of them"),
            (r"^argument (\S+?)(/\S+)?: ", r"\1 "),
            (r"^the following arguments are required: (.*)", rf"{self.prog} needs \1; see {self.prog} --help"),
        ):
            message = re.sub(pattern, sentence, message)
        self.exit(2, f"vaebench: {message}\n")

    def refuse(self, word: str, further: Iterable[str] = ()) -> NoReturn:
        """Report an argument that the command does not take; ``further`` are options to suggest beside its own."""
        if not word.startswith("-"):
            self.error(f"{word!r} is not expected here; see {self.prog} --help")
        option = word.partition("=")[0]
        names = [*(name for action in self._actions for name in action.option_strings), *further]
        near = [name for name in names if "." in name and name.rpartition(".")[2] == option.lstrip("-")]
        near += [f"--{name}" for name in difflib.get_close_matches(option.lstrip("-"), [each[2:] for each in names], 1)]
        hint = f"did you mean {near[0]}?" if near else f"see {self.prog} --help"
        self.error(f"{self.prog} has no option {option}; {hint}")


def add_command(commands: Any, run: Callable[[argparse.Namespace], int], name: str, about: str, more: str) -> Parser:
    """Add the command ``name``; ``more`` is the rest of its description, then a line ``Examples:`` and the examples."""
    text, _, examples = more.partition("Examples:")
    description = f"{about[0].upper()}{about[1:]}.\n\n{text.strip()}".strip()
    epilog = f"examples:\n  {examples.strip()}"
    parser: Parser = commands.add_parser(name, help=about, description=description, epilog=epilog)
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_workers(parser: Parser, default: str, shared: str = "--out is") -> None:
    """Add ``--workers`` and ``--ray``, of which one may be given; ``default`` says how many workers there are, and
    ``shared`` what all machines must see."""
    engine = parser.add_mutually_exclusive_group()
    engine.add_argument("--workers", type=count, metavar="N", help=f"processes at a time (default: {default})")
    engine.add_argument("--ray", metavar="ADDRESS", help=f"Ray cluster, HOST:PORT or auto; {shared} on a shared disk")


def executor_of(args: argparse.Namespace, gpus: bool = True) -> Executor | None:
    """Return the workers that ``--workers`` or ``--ray`` asks for; None for the default."""
    from vaebench.core.executors import executor_for

    return None if args.workers is None and args.ray is None else executor_for(args.workers, args.ray, gpus=gpus)


def positive(word: str, whole: bool = False) -> float:
    """Return a number above 0."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf or (whole and value != int(value)):
        raise argparse.ArgumentTypeError(f"is {word!r}; expected a {'whole ' if whole else ''}number above 0")
    return value


def count(word: str) -> int:
    """Return a whole number above 0."""
    return int(positive(word, whole=True))


def one_of(*names: str) -> Callable[[str], str]:
    """Return the type of an argument that is one of the names."""

    def check(word: str) -> str:
        if word not in names:
            raise argparse.ArgumentTypeError(f"is {word!r}; expected one of {', '.join(names)}")
        return word

    return check
