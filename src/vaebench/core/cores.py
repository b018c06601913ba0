"""The number of cores that this process may use."""

import os


def available_cores() -> int:
    """Cores."""
    return len(os.sched_getaffinity(0))
