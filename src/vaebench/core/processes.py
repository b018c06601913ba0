"""How worker processes are started, and how they end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import ModuleType

CONTEXT = multiprocessing.get_context("spawn")
"""Processes are spawned, since forked ones inherit locks of torch's threads."""


def die_with_parent() -> None:
    """End this process when its parent is gone; otherwise it would go on and keep its folder locked."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def exit_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()


@contextmanager
def without_main_module() -> Iterator[None]:
    """Processes that are spawned in the block do not import the script that this process runs.

    A script without ``if __name__ == "__main__"`` would otherwise do its work again in every process. Functions and
    arguments of tasks must therefore be of other modules.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
