"""Memory of this process."""

from pathlib import Path


def peak():
    """Megabytes that have been resident at most. Not ``ru_maxrss``: a process begins with that of the one that started
    it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
