"""Compare objectives with their compiled versions: `python compiling.py BACKEND NAME ...` prints a JSON object.

A separate program, as torch.compile does not support the shape checks that pytest adds to functions.
"""

import json
import sys
from functools import partial

import torch
import torch._inductor.config
from torch._dynamo.testing import CompileCounterWithBackend

from vaebench.data.images import Batch
from vaebench.models.loss import AttachableObjective
from vaebench.models.networks import MLP
from vaebench.models.objectives import OBJECTIVES
from vaebench.models.vae import Model
from vaebench.training.compute import Compute

COMPILING = Compute(device="cpu", precision="fp32", compile=True, threads=1)


def build(name):
    """A model and an objective, attached to the model if it is attachable."""
    torch.manual_seed(0)
    model, objective = Model(latent=3, network=MLP(hidden=(8,))).build((1, 4, 4)), OBJECTIVES[name]()
    if isinstance(objective, AttachableObjective):
        objective.attach(model)
    return model, objective


def losses(model, objective, steps):
    """Loss and component means of training steps on the same images."""
    pixels = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    batch = Batch(pixels, torch.zeros(6, dtype=torch.long))
    optimiser, found = torch.optim.SGD(model.parameters(), 1e-2), []
    torch.manual_seed(2)
    for step in range(steps):
        optimiser.zero_grad()
        loss, components = objective(model, batch, step / 10)
        loss.backward()
        optimiser.step()
        found.append([float(loss), *(float(part.float().mean()) for part in components.values())])
    return found


def call_backend(counter, graph, inputs, options=None):
    """Call the counting backend with the compile options set, as it accepts none."""
    with torch._inductor.config.patch(options or {}):
        return counter(graph, inputs)


def main(backend, *names):
    found = {}
    for name in names:
        torch._dynamo.reset()
        counter, (model, objective), (eager, plain) = CompileCounterWithBackend(backend), build(name), build(name)
        torch.compile, kept = partial(torch.compile, backend=partial(call_backend, counter)), torch.compile
        compiled = COMPILING.compile_objective(objective)
        torch.compile = kept
        record = {"losses": losses(model, compiled, 3), "eager": losses(eager, plain, 3)}
        record |= {"graphs": counter.frame_count, "names": list(model.state_dict()) == list(eager.state_dict())}
        losses(model, compiled, 9)
        found[name] = record | {"graphs_later": counter.frame_count}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
