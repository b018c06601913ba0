"""Training by two processes equals training by one, resumes exactly, and stops when a process is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from vaebench.models.loss import LossOutput
from vaebench.runs.run import Run
from vaebench.training.checkpoint import read_tensors
from vaebench.training.distributed import DistributedContext, current_context, is_main_process
from vaebench.training.metrics import MetricAccumulator

TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
RUN = [
    "run",
    "digits",
    "--evaluation.samples",
    "none",
    "--evaluation.supervised",
    "none",
    "--evaluation.labels-per-class",
    "1",
]
RUN += ["--evaluation.features", "vae", "--model.network.kind", "mlp", "--model.network.hidden", "32"]
RUN += ["--compute.threads", "1", "--compute.precision", "fp32", "--training.checkpoint-seconds", "0"]
PLAIN = ["--objective.kind", "reconstruction"]  # without noise, so that two processes give the numbers of one


def vaebench(folder, *words, together=True, **options):
    start = [sys.executable, *(TWO if together else []), "-m", "vaebench.cli", *RUN, *words, "--out", str(folder)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **options)


def ended(process):
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors[-3000:]
    return out


def losses(folder):
    return [{k: v for k, v in epoch.items() if k != "trace"} for epoch in Run.load(folder).history]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same training by two processes and by one."""
    folder = tmp_path_factory.mktemp("pair")
    for name, together in (("two", True), ("one", False)):
        words = [*PLAIN, "--training.epochs", "3", "--training.batch", "64"]
        (folder / f"{name}.txt").write_text(ended(vaebench(folder / name, *words, together=together)))
    return folder


def test_two_processes_have_the_learning_curve_of_one(pair):
    one, two = losses(pair / "one"), losses(pair / "two")
    assert len(one) == 3
    for alone, both in zip(one, two, strict=True):
        assert both == pytest.approx(alone, rel=1e-4)
    for mark, other in zip(Run.load(pair / "one").history[2]["trace"], Run.load(pair / "two").history[2]["trace"],
                           strict=True):  # fmt: skip
        assert other == pytest.approx(mark, rel=1e-4)
    weights = [read_tensors(pair / name / "weights.safetensors")[0] for name in ("one", "two")]
    for name, value in weights[0].items():
        assert_close(weights[1][name], value, atol=1e-3, rtol=1e-3)


def test_only_the_main_process_writes_and_reports(pair):
    assert (pair / "two.txt").read_text().count("open ") == 1
    results = json.loads((pair / "two" / "results.json").read_text())
    assert "processes" not in results["machine"]  # only one process evaluates
    assert (pair / "two" / "report.html").exists()


def stopped_midway(folder, stop, words):
    """Start two processes, and stop them when a checkpoint of the second epoch exists."""
    process = vaebench(folder, *words, start_new_session=True)
    file, end = folder / "checkpoint.safetensors", time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if file.exists() and read_tensors(file)[1]["record"]["epoch"] >= 1:
            break
        time.sleep(0.02)
    assert file.exists()
    stop(process)
    return process


def kill_second_process(process):
    """Send SIGKILL to the process of rank 1."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = {_environment(child).get("RANK"): child for child in children}
    os.kill(int(ranks["1"]), signal.SIGKILL)


def _environment(pid):
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


@pytest.mark.soak
@pytest.mark.parametrize("objective", ["elbo", "factor"])  # factor trains a critic in buffers of the model
def test_a_lost_process_stops_the_run_which_resumes_to_the_same_bits(tmp_path, objective):
    words = ["--training.epochs", "12", "--training.batch", "16", "--objective.kind", objective]
    whole = tmp_path / "whole"
    ended(vaebench(whole, *words))
    folder = tmp_path / "stopped"
    process = stopped_midway(folder, kill_second_process, words)
    errors = process.communicate(timeout=100)[1]
    assert process.returncode != 0
    assert "vaebench: another process of this training was lost; the same command with --resume goes on" in errors
    alone = vaebench(folder, *words, "--resume", together=False)
    assert "machine.processes was 2 and is now None" in alone.communicate(timeout=100)[1]
    ended(vaebench(folder, *words, "--resume"))
    first, second = (read_tensors(one / "weights.safetensors")[0] for one in (whole, folder))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    for alone, again in zip(losses(whole), losses(folder), strict=True):
        assert again == pytest.approx(alone, rel=1e-12)


@pytest.mark.soak
def test_ctrl_c_stops_both_processes_and_the_run_resumes(tmp_path):
    words = ["--training.epochs", "12", "--training.batch", "16"]
    process = stopped_midway(tmp_path, lambda process: os.killpg(process.pid, signal.SIGINT), words)
    errors = process.communicate(timeout=100)[1]
    assert process.returncode != 0
    assert "vaebench: stopped; the same command with --resume goes on from here" in errors
    ended(vaebench(tmp_path, *words, "--resume"))
    assert len(Run.load(tmp_path).history) == 12


def test_the_context_of_a_single_process():
    assert current_context() == DistributedContext(rank=0, size=1)
    assert DistributedContext().any_process(3, True, False) == [True, False]
    rows = torch.arange(5)
    assert DistributedContext().shard(rows) is rows


def test_processes_have_disjoint_shards_and_different_seeds():
    pair = [DistributedContext(rank, 2) for rank in (0, 1)]
    assert [group.shard(torch.arange(5)).tolist() for group in pair] == [[0, 2, 4], [1, 3]]
    assert pair[0].process_seed(7) == 7
    assert len({group.process_seed(epoch) for group in pair for epoch in range(1000)}) == 2000


def test_metrics_accumulate_after_a_reset():
    """After a reset, totals are those of later steps; the other process keeps its own."""
    metrics = [MetricAccumulator(), MetricAccumulator()]
    for step in range(1, 61):
        for rank, accumulator in enumerate(metrics):
            accumulator.update(step, LossOutput(torch.tensor(1.0 + rank), {"kl": torch.full((2,), float(step))}), 2)
    metrics[1].reset()
    metrics[1].update(61, LossOutput(torch.tensor(5.0), {"kl": torch.tensor([1.0, 2.0])}), 2)
    assert metrics[1].images == 2
    assert {name: float(value) for name, value in metrics[1].totals.items()} == {"loss": 10.0, "kl": 3.0}
    assert metrics[1].snapshots == [{"step": 50, "images": 0, "loss": 0, "kl": 0}]
    assert metrics[0].means() == {"loss": 1.0, "kl": pytest.approx(30.5)}
    assert metrics[0].trace() == [{"step": 50, "loss": 1.0, "kl": pytest.approx(25.5)}]


@pytest.mark.parametrize(
    ("world", "rank", "first"),
    [(None, None, True), (None, "3", True), ("1", "0", True), ("2", "0", True), ("2", "1", False)],
)
def test_the_main_process_is_the_first_or_the_only_one(monkeypatch, world, rank, first):
    for name, value in (("WORLD_SIZE", world), ("RANK", rank)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert is_main_process() is first
