"""Processes that this one starts."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait

CONTEXT = multiprocessing.get_context("spawn")
"""How processes are started: afresh, for forked ones inherit locks of torch's threads."""


def die_with_parent() -> None:
    """End this process when the one that started it is gone: it would go on alone and hold its folder."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def callback() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=callback, daemon=True).start()
