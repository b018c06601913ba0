"""Processes that the system kills because memory is out. Needs Linux's memory control groups, version 1, as root."""

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

from injected import Bench, Found, ended, run_command
from injected_elsewhere import compare_sweep, sweep_command, worker_of

GROUPS = Path("/sys/fs/cgroup/memory")
LEFT = 32 << 20
"""Bytes that a group may still take when its limit is set."""
EATER = """
import sys
from pathlib import Path
group, eaten = Path(sys.argv[1]), []
(group / "cgroup.procs").write_text("0")
Path("/proc/self/oom_score_adj").write_text("900")
while "oom_kill 0" in (group / "memory.oom_control").read_text():
    eaten.append(b"x" * (4 << 20))
"""
"""Takes memory until the system has killed one of the group; is the second choice itself, so that it ends with one."""


@contextmanager
def group_of_its_own() -> Iterator[Path]:
    """A memory control group."""
    group = GROUPS / f"vaebench-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        for left in (group / "cgroup.procs").read_text().split():  # after an error, or what a sweep is ending still
            with suppress(ProcessLookupError):
                os.kill(int(left), signal.SIGKILL)
        wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for the condition, but not for ever."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def begun_within(bench: Bench, group: Path, command: list[str]) -> subprocess.Popen[str]:
    """A command whose memory, and that of what it starts, counts in the group from the first byte."""
    return bench.begun(["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(group), *command])


def starve(group: Path, victim: int) -> None:
    """Another process takes all that is left, until the system kills its first choice; then there is enough again.

    Nothing happens to a victim that is no more.
    """
    if _dead(victim):
        return
    Path(f"/proc/{victim}/oom_score_adj").write_text("1000")
    limit = group / "memory.limit_in_bytes"
    limit.write_text(str(int((group / "memory.usage_in_bytes").read_text()) + LEFT))
    subprocess.run([sys.executable, "-c", EATER, str(group)], check=False)
    limit.write_text("-1")


def out_of_memory(bench: Bench) -> Found:
    """A run, or the worker of a sweep, that the system kills for its memory."""
    victims = "a run, or a worker of a sweep, in turn"
    found = Found(
        "killed for memory", f"another process takes all memory of its group, until the system kills {victims}"
    )
    for number, folder in enumerate(bench.folders("out-of-memory")):
        with group_of_its_own() as group:
            (_worker_starved if number % 2 else _run_starved)(bench, found, folder, group)
    return found


def _run_starved(bench: Bench, found: Found, folder: Path, group: Path) -> None:
    for _ in range(10):
        process = begun_within(bench, group, run_command(folder))
        bench.wait_into(process, folder)
        starve(group, process.pid)
        if killed := ended(process)[0] == -signal.SIGKILL:
            break
        shutil.rmtree(folder, ignore_errors=True)  # it was over before memory was
    found.tried += found.check(killed, "the run was not killed")
    bench.resumed(found, folder)


def _worker_starved(bench: Bench, found: Found, folder: Path, group: Path) -> None:
    process = begun_within(bench, group, sweep_command(bench, folder))
    bench.wait_into(process, folder)
    lost = worker_of(process.pid)
    starve(group, lost)
    wait_until(lambda: _dead(lost))
    found.tried += found.check(_dead(lost), "the worker was not killed")
    compare_sweep(bench, found, folder, process)


def _dead(process: int) -> bool:
    """Whether a process is no more, or is only waiting to be buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "XZ"
    except (FileNotFoundError, ProcessLookupError):
        return True


def can_starve() -> bool:
    """Whether there are such groups here."""
    try:
        with group_of_its_own() as group:
            return (group / "memory.oom_control").exists()
    except OSError:
        return False
