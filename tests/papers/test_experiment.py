"""How papers are run and reported: steps done once, stops that lose nothing, complete results, rows and page."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_up_paper import PAPER, REPORTED

from fake_ray import FakeRay, install
from vaebench.core.errors import VaebenchError
from vaebench.core.local_pool import LocalPool
from vaebench.core.ray_pool import RayPool
from vaebench.deprecated import PAPER_ROW_KEYS
from vaebench.experiments.info import check_budget
from vaebench.papers import registry
from vaebench.papers import reproduce as module
from vaebench.papers.experiment import PaperExperiment
from vaebench.papers.page import format_number, page, read_rows
from vaebench.papers.paper import ReportedResult
from vaebench.papers.reproduce import find_papers, minutes_left
from vaebench.training.checkpoint import Checkpoint, read_tensors
from vaebench.training.compute import Compute
from vaebench.training.sharing import check_shared

KEYS = ["paper", "source", "quantity", "reported", "reproduced", "sd", "n", "budget", "agrees", "explanation"]


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(registry.PAPERS, "Z", PAPER)


def reproduce(papers, budget, out, workers=1, **settings):
    """In this process, unless there are more workers."""
    return module.reproduce(papers, budget, out, executor=LocalPool(workers), **settings)


def rows_in(out):
    return json.loads((out / "papers.json").read_text())


def weights(out, budget="quick"):
    return read_tensors(out / "Z-made-up" / budget / "networks" / "vae-0.safetensors")[0]


def test_a_second_call_makes_nothing_and_finds_the_same(tmp_path):
    first = reproduce([PAPER], "quick", tmp_path)[0]
    files = {name: (tmp_path / name).read_bytes() for name in ("papers.json", "papers.md", "papers-made.json")}
    assert first.computed == ["vae-0", "probe-0", "head"]
    second = reproduce([PAPER], "quick", tmp_path)[0]
    assert second.computed == []
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    whole, done = minutes_left([PAPER], "quick", tmp_path)
    assert whole == 0.1
    assert 60 * done == pytest.approx(first.seconds, rel=1e-6)


def test_rows_have_the_agreed_keys_and_the_order_of_the_reported_results(tmp_path):
    reproduce([PAPER], "cpu", tmp_path, seeds=3)
    rows = rows_in(tmp_path)
    assert [list(row) for row in rows] == [KEYS] * 3
    assert [row["quantity"] for row in rows] == [result.quantity for result in REPORTED.values()]
    accuracy, cross_entropy, claim = rows
    assert (accuracy["n"], cross_entropy["n"]) == (3, 1)
    assert accuracy["sd"] > 0
    assert cross_entropy["sd"] is None
    assert cross_entropy["agrees"] is False  # chance is 2.3 nats, two epochs are nowhere near 0.1
    assert claim["reported"] is None
    assert claim["agrees"] is True


def test_each_budget_has_its_own_rows_and_a_new_call_replaces_only_them(tmp_path):
    reproduce([PAPER], "cpu", tmp_path)
    reproduce([PAPER], "quick", tmp_path)
    before = rows_in(tmp_path)
    assert [row["budget"] for row in before] == ["quick"] * 3 + ["cpu"] * 3
    reproduce([PAPER], "cpu", tmp_path, seeds=1)
    after = rows_in(tmp_path)
    assert after[:3] == before[:3]
    assert [row["n"] for row in before[3:]] == [2, 1, 1]
    assert [row["n"] for row in after[3:]] == [1, 1, 1]


def test_more_seeds_make_only_the_new_ones(tmp_path):
    reproduce([PAPER], "quick", tmp_path)
    assert reproduce([PAPER], "quick", tmp_path, seeds=2)[0].computed == ["vae-1", "probe-1"]


def test_a_step_under_another_identity_is_made_again(tmp_path):
    first = reproduce([PAPER], "quick", tmp_path)[0]
    value = first.step("extra", {"answer": 41}, lambda: {"value": 1.5})
    assert first.step("extra", {"answer": 41}, lambda: {"value": 2.5}) == value
    assert first.step("extra", {"answer": 42}, lambda: {"value": 2.5}) == {"value": 2.5}


def assert_same(out, other):
    """Weights, and all but the explanations, in which times may stand."""
    first, second = weights(out, "cpu"), weights(other, "cpu")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    rows, others = ([{**row, "explanation": ""} for row in rows_in(folder)] for folder in (out, other))
    assert rows == others


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder of a reproduction by one worker that nothing stopped."""
    out = tmp_path_factory.mktemp("whole")
    reproduce([PAPER], "cpu", out)
    return out


def test_stopped_in_a_training_and_called_again_it_ends_with_the_same_bits(tmp_path, whole):
    stops = []

    def stop_once(event):
        if not stops and event.note.startswith("vae-0, step"):
            stops.append(event.note)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        reproduce([PAPER], "cpu", tmp_path, callback=stop_once)
    assert (tmp_path / "Z-made-up" / "cpu" / "networks" / "vae-0.checkpoint").exists()
    reproduce([PAPER], "cpu", tmp_path)
    assert_same(whole, tmp_path)
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_two_workers_of_which_one_is_killed_and_one_stopped_end_with_the_same_bits(tmp_path, whole):
    stops = []

    def kill_and_stop(event):
        if ", step" in event.note and not stops:
            stops.append(event.note)
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            os.kill(int(workers[0]), signal.SIGKILL)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce([PAPER], "cpu", tmp_path, 2, callback=kill_and_stop)
    assert not (tmp_path / "papers.json").exists()
    experiment = reproduce([PAPER], "cpu", tmp_path, 2)[0]
    assert_same(whole, tmp_path)
    assert not list(tmp_path.rglob("*.checkpoint"))
    record = json.loads((experiment.folder / "networks" / "vae-0.json").read_text())
    assert (record["machine"]["workers"], record["machine"]["threads"]) == (2, 1)
    made = json.loads((tmp_path / "papers-made.json").read_text())["Z cpu"]
    assert (made["workers"], made["compute"]["threads"]) == (2, 1)


def test_a_cluster_ends_what_was_begun_here_and_this_machine_what_a_cluster_began(tmp_path, whole, monkeypatch):
    ray = install(monkeypatch, FakeRay())
    first = module.reproduce([PAPER], "cpu", tmp_path, seeds=1, executor=RayPool("head:6379"))[0]
    assert sorted(first.computed) == ["head", "probe-0", "vae-0"]
    assert ray.options == {"max_retries": 2, "num_cpus": 1, "num_gpus": 0}
    assert first.workers == 4
    assert ray.connections[-1] == "shut down"
    assert reproduce([PAPER], "cpu", tmp_path)[0].computed == ["vae-1", "probe-1"]
    assert_same(whole, tmp_path)
    assert module.reproduce([PAPER], "cpu", tmp_path, executor=RayPool("head:6379"))[0].computed == []


TWO_MACHINES = """
import json, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster as Machines
from vaebench.core.ray_pool import RayPool
from vaebench.papers.reproduce import reproduce
sys.path.insert(0, sys.argv[1])
from made_up_paper import PAPER
machines = Machines(initialize_head=True, head_node_args={"num_cpus": 0})
nodes = [machines.add_node(num_cpus=1) for _ in range(2)]
folder, killed = Path(sys.argv[2]), []
def kill():
    while not list(folder.glob("Z-made-up/cpu/claims/steps/networks/*.lock")):
        time.sleep(0.01)
    machines.remove_node(nodes[0], allow_graceful=False)
    killed.append(True)
threading.Thread(target=kill, daemon=True).start()
experiment = reproduce([PAPER], "cpu", folder, executor=RayPool(machines.address))[0]
print("result", json.dumps([killed, experiment.workers, sorted(experiment.computed)]))
machines.shutdown()
"""


@pytest.mark.soak
def test_killing_a_machine_of_a_real_cluster_loses_nothing(tmp_path, whole):
    pytest.importorskip("ray", reason="Ray is not installed")
    run = subprocess.run(
        [sys.executable, "-c", TWO_MACHINES, os.path.dirname(__file__), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "RAY_worker_niceness": "0", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    line = next((line for line in run.stdout.splitlines() if line.startswith("result ")), None)
    assert line is not None, run.stderr[-3000:]
    killed, workers, _ = json.loads(line.removeprefix("result "))
    assert (killed, workers) == ([True], 2)
    assert_same(whole, tmp_path)


def test_a_training_begun_with_another_number_of_threads_starts_again(tmp_path, whole):
    def stop(event):
        if event.note.startswith("vae-0, step"):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        module.reproduce([PAPER], "cpu", tmp_path, executor=LocalPool(1, threads=2), callback=stop)
    assert list(tmp_path.rglob("vae-0.checkpoint"))
    reproduce([PAPER], "cpu", tmp_path)
    assert_same(whole, tmp_path)


def test_a_worker_without_the_folder_is_told_to_use_a_shared_disk(tmp_path):
    with pytest.raises(VaebenchError, match=r"nowhere; the folder \(--out\) must be on a disk that all machines share"):
        check_shared(tmp_path / "nowhere")


def test_the_time_left_is_that_of_all_papers(tmp_path):
    events = []
    reproduce([PAPER, replace(PAPER, short="Y", name="second")], "quick", tmp_path, callback=events.append)
    left = [event.seconds_left for event in events if event.done < 1]
    assert 6 < left[0] <= 12  # each takes 0.1 minutes
    assert left[-1] <= 6


def test_a_damaged_checkpoint_is_named(tmp_path):
    reproduce([PAPER], "quick", tmp_path)
    networks = tmp_path / "Z-made-up" / "quick" / "networks"
    record = json.loads((networks / "vae-0.json").read_text())
    (networks / "vae-0.json").write_text(json.dumps({**record, "identity": {"older": True}}))
    (networks / "vae-0.checkpoint").write_bytes(b"cut")
    with pytest.raises(VaebenchError, match=r"vae-0.checkpoint is not a whole .* delete it to begin that part again"):
        reproduce([PAPER], "quick", tmp_path)


def test_a_checkpoint_of_an_older_recipe_does_not_stand_in_the_way(tmp_path):
    experiment = reproduce([PAPER], "quick", tmp_path)[0]
    networks = experiment.folder / "networks"
    Checkpoint(networks / "vae-0.checkpoint", {"older": True}).save({"weight": torch.ones(2)}, {"epoch": 1})
    (networks / "vae-0.json").unlink()
    assert reproduce([PAPER], "quick", tmp_path)[0].computed == ["vae-0"]
    assert not (networks / "vae-0.checkpoint").exists()


@pytest.mark.parametrize(
    ("rule", "tolerance", "reproduced", "agrees"),
    [
        ("at least", 0.005, 0.9651, True),
        ("at least", 0.005, 0.9649, False),
        ("at most", 0.0, 0.97, True),
        ("at most", 0.0, 0.9701, False),
        ("about", 0.1, 1.06, True),
        ("about", 0.1, 1.07, False),
        ("about", 0.1, 0.86, False),
    ],
)
def test_when_a_reproduced_value_agrees(rule, tolerance, reproduced, agrees):
    assert ReportedResult("Table 1", "accuracy", 0.97, rule, tolerance).agrees(reproduced) is agrees


def test_a_claim_has_no_verdict_by_number():
    assert ReportedResult("section 1", "it is blurry").agrees(3.0) is None


def test_recording_refuses_what_would_leave_a_reader_without_an_answer(tmp_path):
    experiment = PaperExperiment(PAPER, "quick", tmp_path, Compute(device="cpu", threads=1))
    experiment.record("accuracy", [0.2, 0.5])
    assert experiment.rows["accuracy"].agrees is True
    assert experiment.rows["accuracy"].sd == pytest.approx(0.2121320)
    with pytest.raises(ValueError, match="recorded twice"):
        experiment.record("accuracy", 0.9)
    with pytest.raises(ValueError, match="explain it"):
        experiment.record("cross-entropy", 0.2)
    with pytest.raises(ValueError, match="explain it"):
        experiment.record("claim", 0.2)
    with pytest.raises(KeyError):
        experiment.record("nothing", 0.2)
    with pytest.raises(ValueError, match="not recorded: cross-entropy, claim"):
        experiment.result_rows()


def test_rows_of_an_older_version_are_upgraded_and_new_ones_stay(tmp_path):
    reproduce([PAPER], "quick", tmp_path)
    new = rows_in(tmp_path)
    old_keys = {today: old for old, today in PAPER_ROW_KEYS.items()}
    old = [{old_keys.get(key, key): value for key, value in row.items()} for row in new]
    old[1]["where"], old[1]["why"] = "its notebooks", "the share is 0.5, as a share of the printed loss"
    (tmp_path / "papers.json").write_text(json.dumps(old))
    upgraded = read_rows(tmp_path / "papers.json")
    assert [upgraded[0], upgraded[2]] == [new[0], new[2]]
    assert upgraded[1]["source"] == "notebooks"
    assert upgraded[1]["explanation"] == "the share is 0.5, as a fraction of the reported loss"
    reproduce([PAPER], "cpu", tmp_path, seeds=1)
    assert [list(row) for row in rows_in(tmp_path)] == [KEYS] * 6


def test_a_figure_without_a_caption_is_refused(tmp_path):
    experiment = reproduce([PAPER], "quick", tmp_path)[0]
    with pytest.raises(KeyError):
        experiment.figure("unheard-of", lambda: None)


def test_the_page_shows_every_row_and_figure_and_breaks_no_table(tmp_path):
    reproduce([PAPER], "quick", tmp_path)
    text = (tmp_path / "papers.md").read_text()
    assert "| Table 1 | accuracy of a linear probe \\| on means | 0.3 |" in text
    assert "![curves](papers/Z-quick-curves.png)" in text
    assert (tmp_path / "papers" / "Z-quick-curves.png").read_bytes().startswith(b"\x89PNG")
    tables = [line for line in text.splitlines() if line.startswith("| Table 1") or line.startswith("| section 4")]
    assert len(tables) == 3
    assert {line.replace("\\|", "").count("|") for line in tables} == {8}
    made = json.loads((tmp_path / "papers-made.json").read_text())
    assert text == page({"Z": PAPER}, rows_in(tmp_path), made, tmp_path)
    assert set(made["Z quick"]) == {"seconds", "workers", "date", "commit", "machine", "compute"}


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [(0.96126, 0.97, "0.9613"), (12.587, None, "12.59"), (3.0, None, "3"), (36.2341, 36.68, "36.23"),
     (3.0, 4.41, "3.000"), (-3354359.0, -3354359.0, "-3,354,359"), (0.0000123, None, "1.2e-05"), (0.0, None, "0")],
)  # fmt: skip
def test_numbers_have_the_significant_digits(value, like, text):
    assert format_number(value, like) == text


def test_papers_are_found_by_short_and_long_name():
    assert find_papers("Z") == find_papers("z") == find_papers("made-up") == [PAPER]
    assert PAPER in find_papers("all")
    with pytest.raises(VaebenchError, match=r"there is no paper 'Q'; expected all, or one of .*Z \(made-up\)"):
        find_papers("Q")
    with pytest.raises(VaebenchError, match="--budget is 'gpu'; expected one of quick, cpu, full"):
        check_budget("gpu")


def test_a_step_counts_its_own_seconds_and_not_those_of_the_steps_it_calls_for(tmp_path, monkeypatch):
    experiment, now = PaperExperiment(PAPER, "quick", tmp_path, Compute(device="cpu", threads=1)), [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def inner():
        now[0] += 2.0
        return {"value": 1}

    def outer():
        now[0] += 0.5
        return experiment.step("inner", {}, inner)

    assert experiment.step("outer", {}, outer) == {"value": 1}
    assert experiment.cache.seconds == {"inner": 2.0, "outer": 0.5}
    assert experiment.seconds == experiment.cache.spent == 2.5
