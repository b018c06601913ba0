"""Processes that the system kills for lack of memory. Requires memory control groups of Linux, version 1, and root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from other_faults import compare_sweep, sweep_command, worker_of
from run_faults import FaultInjector, FaultResult, run_command, wait_for_end

GROUPS = Path("/sys/fs/cgroup/memory")
HEADROOM = 32 << 20
"""Bytes that a group may still allocate when its limit is set."""
ALLOCATE = """
import sys
from pathlib import Path
group, blocks = Path(sys.argv[1]), []
(group / "cgroup.procs").write_text("0")
Path("/proc/self/oom_score_adj").write_text("900")
while "oom_kill 0" in (group / "memory.oom_control").read_text():
    blocks.append(b"x" * (4 << 20))
"""
"""Program that allocates memory until the system has killed a process of the group; it is the second candidate itself,
so that it always ends."""


@contextmanager
def memory_group() -> Iterator[Path]:
    """New memory control group."""
    group = GROUPS / f"vaebench-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        for left in (group / "cgroup.procs").read_text().split():  # after an error, or while a sweep is ending
            with suppress(ProcessLookupError):
                os.kill(int(left), signal.SIGKILL)
        wait_wait_for(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def wait_wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for the condition, at most for this many seconds."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def start_in_group(injector: FaultInjector, group: Path, command: list[str]) -> subprocess.Popen[str]:
    """Start a command in the group, so that its memory and that of its child processes counts from the beginning."""
    return injector.start_command(["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(group), *command])


def starve(group: Path, victim: int) -> None:
    """Let another process allocate all remaining memory until the system kills the victim, then lift the limit.

    Does nothing if the victim has ended.
    """
    if _has_ended(victim):
        return
    Path(f"/proc/{victim}/oom_score_adj").write_text("1000")
    limit = group / "memory.limit_in_bytes"
    limit.write_text(str(int((group / "memory.usage_in_bytes").read_text()) + HEADROOM))
    subprocess.run([sys.executable, "-c", ALLOCATE, str(group)], check=False)
    limit.write_text("-1")


def run_out_of_memory(injector: FaultInjector, result: FaultResult, folder: Path) -> None:
    """Out-of-memory kill of a run, or of the worker of a sweep."""
    with memory_group() as group:
        (_starve_worker if int(folder.name) % 2 else _starve_run)(injector, result, folder, group)


def _starve_run(injector: FaultInjector, result: FaultResult, folder: Path, group: Path) -> None:
    for _ in range(10):
        process = start_in_group(injector, group, run_command(folder))
        injector.wait_for_training(process, folder)
        starve(group, process.pid)
        if killed := wait_for_end(process)[0] == -signal.SIGKILL:
            break
        shutil.rmtree(folder, ignore_errors=True)  # the run ended before memory did
    result.tried += result.check(killed, "the run was not killed")
    injector.resume_and_compare(result, folder)


def _starve_worker(injector: FaultInjector, result: FaultResult, folder: Path, group: Path) -> None:
    process = start_in_group(injector, group, sweep_command(injector, folder))
    injector.wait_for_training(process, folder)
    worker = worker_of(process.pid)
    starve(group, worker)
    wait_wait_for(lambda: _has_ended(worker))
    result.tried += result.check(_has_ended(worker), "the worker was not killed")
    compare_sweep(injector, result, folder, process)


def _has_ended(process: int) -> bool:
    """Whether a process has ended, or is a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "XZ"
    except (FileNotFoundError, ProcessLookupError):
        return True


def can_starve() -> bool:
    """Whether memory control groups can be created here."""
    try:
        with memory_group() as group:
            return (group / "memory.oom_control").exists()
    except OSError:
        return False
