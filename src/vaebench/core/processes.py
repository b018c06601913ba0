"""How worker processes are started, and how they end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait

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
