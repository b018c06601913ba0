"""Tasks for the tests of worker processes; imports little, since each process imports it."""

import os
import signal
import time
from multiprocessing import util

from threadpoolctl import threadpool_info

from vaebench.core.errors import VaebenchError
from vaebench.core.locks import file_lock
from vaebench.core.progress import ProgressEvent
from vaebench.core.steps import StepCache

NAMES = [f"a/{n}" for n in range(12)]


def cache_in(folder, workers=2):
    return StepCache(folder, workers, {"precision": "fp32"})


def step(cache, name, seconds=0.05):
    def make():
        with (cache.folder / "made").open("a") as file:  # one short line at a time is appended whole
            file.write(f"{name} {os.getpid()}\n")
        time.sleep(seconds)
        return {"value": len(name)}

    return cache.json(name, {"name": name}, make)


def walk(worker, folder):
    cache = cache_in(folder)
    cache.run_tasks({name: lambda name=name: step(cache, name) for name in NAMES})
    return cache.report.computed


def meet(worker, folder, name):
    """Wait until both workers have begun."""
    (folder / name).touch()
    while len(list(folder.glob("begun-*"))) < 2:
        time.sleep(0.01)
    return walk(worker, folder)


def make_slowly(worker, folder):
    step(cache_in(folder), "slow", 2.0)


def hold(path, ready):
    with file_lock(path):
        ready.set()
        time.sleep(60)


def fail(worker):
    os._exit(9)


def fail_once(worker, folder):
    if not (folder / "failed").exists():
        (folder / "failed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def linger(worker, folder):
    util.Finalize(None, finished, args=(folder,), exitpriority=1)


def finished(folder):
    (folder / "finished").touch()
    time.sleep(1)


def refuse(worker):
    raise VaebenchError("no such data")


def stumble(worker):
    return {}["absent"]


def diverge(worker):
    raise FloatingPointError("the loss is nan")


def stay(worker, folder):
    (folder / "begun").touch()
    try:
        worker.report(ProgressEvent("staying", 0.5))
        time.sleep(60)
    finally:
        time.sleep(0.3)  # saving takes a moment
        (folder / "kept").touch()


def threads(worker):
    return worker.threads, {pool["num_threads"] for pool in threadpool_info()}


def gpu(worker):
    time.sleep(0.5)  # the other process takes the other task
    return os.environ["CUDA_VISIBLE_DEVICES"]


def ignore(number, key, event):
    pass
