"""A stand-in for Ray that runs tasks in this process."""

import sys
from types import SimpleNamespace


class Lost(Exception):
    """Stands for `ray.exceptions.RayError`."""


class Broken(Lost):
    """Stands for `ray.exceptions.RayTaskError`."""


class Call:
    """A task that was sent."""

    def __init__(self, function, inputs):
        self.function, self.inputs = function, inputs


class FakeRay:
    """Runs tasks in this process.

    ``lost`` names tasks whose machine is lost, ``elsewhere`` those that write to another disk, ``broken`` those that
    fail.
    """

    exceptions = SimpleNamespace(RayError=Lost, RayTaskError=Broken)

    def __init__(self, nodes=({"CPU": 4.0},), lost=(), elsewhere=(), broken=(), unreachable=False):
        self.broken = broken
        self.machines, self.lost, self.elsewhere, self.unreachable = nodes, lost, elsewhere, unreachable
        self.options, self.cancelled, self.connections = None, [], []

    def init(self, **options):
        if self.unreachable:
            raise ConnectionError("nobody there\nand a long story")
        self.connections.append(options)

    def shutdown(self):
        self.connections.append("shut down")

    def nodes(self):
        return [{"Alive": True, "Resources": resources} for resources in self.machines]

    def remote(self, **options):
        self.options = options
        return lambda function: SimpleNamespace(remote=lambda *inputs: Call(function, inputs))

    def wait(self, tasks, num_returns, timeout=None):
        return tasks[:num_returns], tasks[num_returns:]

    def get(self, task):
        own, threads = task.inputs
        if own.key in self.lost:
            raise Lost
        if own.key in self.broken:
            raise Broken("a long story\nOSError: no space left")
        return (None, None) if own.key in self.elsewhere else task.function(own, threads)

    def cancel(self, task):
        self.cancelled.append(task)


def install(monkeypatch, ray):
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray
