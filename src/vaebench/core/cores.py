"""Cores that this process may use: its affinity mask and the CPU quota of its container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the size of the affinity mask, or less where a container limits the time on the cores: with a quota of 2.5
    cores it is 2.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> float | None:
    """Return the smallest CPU quota of this process's control groups and the groups above them, in cores.

    None where there is no quota.

    Args:
        cgroups: the folder of control groups, of version 1 or 2.
        own_groups: the file that lists the groups of this process, in lines NUMBER:CONTROLLERS:PATH.
    """
    quotas = [quota for folder in _group_folders(cgroups, own_groups) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _group_folders(cgroups: Path, own_groups: Path) -> Iterator[Path]:
    """Folders of the groups that may limit this process. In a container its own group may be the root."""
    try:
        lines = own_groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for root in dict.fromkeys((cgroups, cgroups / controllers, cgroups / "cpu") if controllers else (cgroups,)):
            yield from (root.joinpath(*parts[:length]) for length in range(len(parts), -1, -1))


def _quota_of(folder: Path) -> float | None:
    """Quota of one group in cores, or None where it has none; version 2 has one file, version 1 two."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        if (file := folder / "cpu.max").exists():
            quota, period = file.read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period")
            )
        return int(quota) / int(period) if int(quota) > 0 else None  # "max" and -1 mean no quota
    return None
