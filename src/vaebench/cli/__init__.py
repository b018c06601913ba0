"""The command line: parse, call, print. Torch is imported only by the commands that need it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

from vaebench import __version__
from vaebench.cli.classify import classify, predict
from vaebench.cli.compare import compare
from vaebench.cli.experiments import few_labels, reproduce
from vaebench.cli.explore import explore
from vaebench.cli.listing import show
from vaebench.cli.run import run
from vaebench.cli.sweep import sweep
from vaebench.cli.usage import (
    CLASSIFY_USAGE,
    COMPARE_USAGE,
    EXPLORE_USAGE,
    FEW_LABELS_USAGE,
    LIST_USAGE,
    PREDICT_USAGE,
    REPRODUCE_USAGE,
    RUN_USAGE,
    SWEEP_USAGE,
    USAGE,
)
from vaebench.core.errors import VaebenchError

REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a disk says that is full, read-only, or not for this user."""


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
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        where = error.filename or "a file"
        print(
            f"vaebench: {where} cannot be read or written ({error.strerror}); free some space or choose what you have "
            "access to, and run the same again: what is done is kept",
            file=sys.stderr,
        )
        return 2


def _command(words: list[str]) -> int:
    commands: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "run": (run, RUN_USAGE),
        "explore": (explore, EXPLORE_USAGE),
        "compare": (compare, COMPARE_USAGE),
        "sweep": (sweep, SWEEP_USAGE),
        "classify": (classify, CLASSIFY_USAGE),
        "predict": (predict, PREDICT_USAGE),
        "reproduce": (reproduce, REPRODUCE_USAGE),
        "few-labels": (few_labels, FEW_LABELS_USAGE),
        "list": (show, LIST_USAGE),
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
    if words[1:] in (["-h"], ["--help"]) or (words[0] not in ("list", "few-labels") and len(words) == 1):
        print(usage, end="")
        return 0
    return command(words[1:])
