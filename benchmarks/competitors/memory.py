"""Peak memory of this process."""

from pathlib import Path


def peak_megabytes():
    """Peak resident memory in MB. Not ``ru_maxrss``, whose initial value is inherited from the parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
