"""The command line: parse, call, print. Torch is imported only by the commands that need it."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from vaebench import __version__
from vaebench.cli import experiments, images, listing, runs
from vaebench.cli.parser import Parser

DESCRIPTION = "vaebench: the workbench for variational autoencoders on images"
EPILOG = """\
`vaebench COMMAND --help` describes a command. Data sets are read from $VAEBENCH_DATA or from your cache, and
downloaded where they are in neither.

examples:
  vaebench run mnist                          train, evaluate, and open runs/mnist/report.html
  vaebench inspect photos                     look at your own images before training
  vaebench classify photos --labels a.csv     classify your own images
  vaebench list                               names of recipes, data sets and parts"""
UNUSABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a disk that is full, read-only, or not accessible to this user."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 failed, 2 a mistake of the user, 130 interrupted."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, warnings.showwarning)
            return _run(argv)
    except SystemExit as stop:  # argparse, after its help or error
        if not isinstance(stop.code, int):
            raise
        return stop.code
    except KeyboardInterrupt:
        resumed = " with --resume" if argv[:1] == ["run"] else ""
        print(f"vaebench: stopped; the same command{resumed} goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        return _report(error)


def build_parser() -> Parser:
    """Return the parser; its default ``commands`` holds the parsers of the commands by name."""
    parser = Parser(prog="vaebench", usage="vaebench COMMAND [arguments]", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"vaebench {__version__}", help="print the version")
    commands = parser.add_subparsers(
        prog="vaebench", metavar="COMMAND [arguments]", title="commands", parser_class=Parser
    )
    for module in (runs, images, experiments, listing):
        module.add_parser(commands)
    parser.set_defaults(root=parser, commands=commands.choices)
    return parser


def _run(argv: list[str]) -> int:
    parser = build_parser()
    commands: dict[str, Parser] = parser.get_default("commands")
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    if not argv:
        parser.print_help()
        return 0
    if argv[0] not in commands and not argv[0].startswith("-"):
        parser.error(f"there is no command {argv[0]!r}; expected one of {', '.join(commands)} (see --help)")
    if command := commands.get(argv[0]):
        help_asked = not {"-h", "--help"}.isdisjoint(argv)
        if help_asked or (len(argv) == 1 and not command.get_default("without_arguments")):
            print_help = command.get_default("print_help") or (lambda command, argv: command.print_help())
            print_help(command, argv[1:])
            return 0
    args, extras = parser.parse_known_args(argv)
    if extras and "extras" not in args:
        (args.parser if "parser" in args else parser).refuse(extras[0])
    if "extras" in args:
        setattr(args, args.extras, extras)
        args.argv = argv

    from vaebench.core.memory import keep_freed_memory

    keep_freed_memory()
    status: int = args.run(args)
    return status


def _show_warning(show: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Print a warning about an old name as one line, and other warnings by ``show``."""
    if issubclass(category, FutureWarning):
        print(f"vaebench: {message}", file=sys.stderr)
    else:
        show(message, category, *where)


def _report(error: Exception) -> int:
    """Print an error that the user can mend as one sentence and return the exit status; raise others again."""
    from vaebench.core.errors import VaebenchError

    if isinstance(error, OSError) and error.errno in UNUSABLE:
        message = (
            f"{error.filename or 'a file'} cannot be read or written ({error.strerror}); free some space or choose "
            "a place that you have access to, and run the same command again: finished work is kept"
        )
    elif isinstance(error, VaebenchError | FloatingPointError):
        message = str(error)
    else:
        raise error
    print(f"vaebench: {message}", file=sys.stderr)
    return 1 if isinstance(error, FloatingPointError) else 2
