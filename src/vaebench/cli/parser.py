"""The argument parser of the commands, on argparse: one-sentence errors, types of values, shared options."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

BUDGETS = ("quick", "cpu", "full")


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that reports a mistake as one sentence on stderr with exit status 2."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_formatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Print ``message``, argparse's or one's own, as a sentence and exit."""
        for pattern, sentence in (
            (r"^argument (\S+?)(/\S+)?: expected .*argument.*", r"\1 needs a value after it"),
            (r"^argument (\S+): not allowed with argument (\S+)", r"\1 and \2 cannot be given together; give one of them"),
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
        own = [name for action in self._actions for name in action.option_strings]
        same_end = [name for name in further if name.rpartition(".")[2] == option.lstrip("-")]
        near = same_end[:1] or difflib.get_close_matches(option, [*own, *further], 1)
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


def add_budget(parser: Parser, cpu: str) -> None:
    """Add ``--budget`` and ``--minutes``; ``cpu`` says what the default budget takes."""
    parser.add_argument(
        "--budget",
        choices=BUDGETS,
        type=one_of(*BUDGETS),
        default="cpu",
        metavar="BUDGET",
        help=f"quick: a miniature whose numbers mean nothing; cpu: {cpu}; full: for a GPU (default: cpu)",
    )
    parser.add_argument("--minutes", type=positive, metavar="N", help="stop after N minutes (default: no limit)")


def positive(word: str) -> float:
    """Return a number above 0."""
    return _positive(word, whole=False)


def whole(word: str) -> int:
    """Return a whole number above 0."""
    return int(_positive(word, whole=True))


def _positive(word: str, whole: bool) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf or (whole and value != int(value)):
        expected = f"a {'whole ' if whole else ''}number above 0"
        raise argparse.ArgumentTypeError(f"is {word!r}; expected {expected}")
    return value


def one_of(*names: str) -> Callable[[str], str]:
    """Return the type of an argument that is one of the names."""

    def check(word: str) -> str:
        if word not in names:
            raise argparse.ArgumentTypeError(f"is {word!r}; expected one of {', '.join(names)}")
        return word

    return check


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30)
