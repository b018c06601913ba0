"""executor_for(): worker processes on this machine, or a Ray cluster."""

from __future__ import annotations

from vaebench.core.cores import available_cores
from vaebench.core.local_pool import LocalPool
from vaebench.core.ray_pool import RayPool
from vaebench.core.workers import Executor


def executor_for(workers: int | None = None, ray: str | None = None, threads: int = 1, gpus: bool = True) -> Executor:
    """Return the executor on a Ray cluster, if its address is given, or on this machine.

    Args:
        workers: number of processes on this machine; None is one a core.
        threads: threads of each worker.
        gpus: whether each worker on a cluster has a GPU if any machine has one.
    """
    return LocalPool(workers or available_cores(), threads) if ray is None else RayPool(ray, threads, gpus)
