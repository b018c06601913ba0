"""The benchmark scripts: kept steps, rendered pages, verdicts and selection."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vaebench.data.datasets import Data
from vaebench.data.images import Images
from vaebench.deprecated import upgrade_rows
from vaebench.experiments.experiment import Experiment
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.training.compute import Compute

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch):
    """Function that imports a benchmark by name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    names = (
        "benchmark_script",
        "likelihood",
        "disentangling",
        "missing_pixels",
        "fine_tuning",
        "outliers",
        "peers",
        "peers_page",
        "growth",
        "crowded",
        "time_spent",
        "speed",
        "speed_summary",
        "schedules",
        "comparison",
        "trust",
        "trust_page",
        "trust_queries",
        "trust_subjects",
        "counting",
    )
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


COUNTING = """
from benchmark_script import BenchmarkScript, import_script
WORKERS = 1
def count(experiment, name):
    def make():
        with (experiment.folder / "made").open("a") as file:
            file.write(name + "\\n")
        return {"value": len(name)}
    return experiment.step(name, {}, make)
def tasks(experiment):
    return {name: (lambda name=name: count(experiment, name)) for name in ("a", "bb", "ccc")}
def rows(experiment):
    return [count(experiment, name) for name in ("a", "bb", "ccc")]
def render(report):
    return f"{[row['value'] for row in report['rows']]}"
BENCHMARK = BenchmarkScript("counting", 1, tasks, rows, render, max_workers=WORKERS)
if __name__ == "__main__":
    import_script("counting").BENCHMARK.run(__doc__)
"""


def test_a_script_computes_every_step_once_and_renders_what_it_wrote(benchmark, tmp_path, monkeypatch, capsys):
    (tmp_path / "counting.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["counting.py", "--out", str(tmp_path / "out")])
    script = benchmark("counting").BENCHMARK
    for _ in range(2):
        script.run("counts")
        assert (tmp_path / "out" / "counting.md").read_text() == "[1, 2, 3]"
    made = (tmp_path / "out" / "kept" / "made").read_text().split()
    assert sorted(made) == ["a", "bb", "ccc"]
    report = json.loads((tmp_path / "out" / "counting.json").read_text())
    assert report["rows"] == [{"value": 1}, {"value": 2}, {"value": 3}]
    assert {"seconds", "commit", "machine", "date", "workers"} <= set(report["made"])
    assert "open " in capsys.readouterr().out


def test_a_script_that_runs_as_a_command_shares_its_tasks_among_workers(tmp_path):
    (tmp_path / "counting.py").write_text(COUNTING.replace("WORKERS = 1", "WORKERS = 2"))
    paths = os.pathsep.join([str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(tmp_path / "counting.py"), "--out", str(tmp_path / "out")]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=True, timeout=300)
    assert (tmp_path / "out" / "counting.md").read_text() == "[1, 2, 3]"


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in (ROOT / "benchmarks").glob("*.py")
        if re.search(r"^BENCHMARK = |-> BenchmarkScript", path.read_text(), re.M)
    ],
    ids=str,
)
def test_every_script_imports_itself_before_it_starts_workers(path):
    assert f'import_script("{path.stem}")' in path.read_text()


def test_the_page_of_speed_has_the_difference_in_losses_and_their_deviation_over_seeds(benchmark):
    speed, base = benchmark("speed"), {"seconds": 1.0, "megabytes": 1.0}
    one = [{**base, "loss": loss} for loss in (100.0, 101.0, 102.004)]
    other = [{**base, "loss": loss} for loss in (100.0, 100.5, 101.0)]
    assert speed._losses(one, other) == [[100.0, 101.0, 102.0], [100.0, 100.5, 101.0]]
    rows = [speed.comparison_row("a", one, other, 2, "s", "seconds", losses=speed._losses(one, other))]
    made = {"processor": "p", "cores": 2, "versions": {"torch": "2"}}
    page = speed.render(
        {"machine": made, "commit": None, "rounds": 1, "peer": "q", "rows": rows, "left_out": ["quality", "heads"]}
    )
    assert "Not measured in this run: quality, heads." in page
    assert "--rounds 1 --only training rounding shuffling" in page
    assert speed.command({"left_out": []}) == "make speed"
    assert "differ by +0.50; the standard deviation over seeds is 1.00" in page


def test_the_summary_of_speed_has_a_sentence_and_a_bar_for_what_was_measured(benchmark):
    summary = benchmark("speed_summary")
    report = json.loads((ROOT / "docs" / "results" / "speed.json").read_text())
    rows = upgrade_rows(report["rows"])
    assert len(summary.sentences(rows)) == 5
    drawn = summary.picture(rows).axes[0]
    assert [text.get_text() for text in drawn.get_yticklabels()] == [bar.name for bar in summary.BARS]
    assert [bar.get_x() + bar.get_width() for bar in drawn.patches] == pytest.approx(
        [summary.find(rows, bar.begins, bar.ends)["ratio"] for bar in summary.BARS]
    )
    slow = {"title": "predict, 10,000 PNG files", "threads": 2, "ratio": 0.5, "spread": [0.4, 0.6]}
    assert summary.sentences([slow]) == []
    one, other = ({**slow, "title": f"log p(x), 1,000 in {name}", "threads": 1} for name in ("fp32", "bf16"))
    assert summary.find([slow, one, {**other, "ratio": 3.0}], "log p(x)")["ratio"] == 3.0


def test_the_best_rule_has_the_lowest_loss_over_all_data_sets(benchmark, tmp_path):
    schedules = benchmark("schedules")
    ends = {"constant": 100.0, "adam-5": 101.0, "adam-10": 100.5, "muon-35": 99.0, "muon-50": 98.0, "muon-70": 99.5}
    assert ends.keys() == schedules.RULES.keys()
    worse = {"fashion-mnist": {"muon-50": 5.0}}

    drawn = {}

    class FakeExperiment:
        def data(self, data):
            return data.source

        def vae(self, name, data, model, objective, training, seed):
            rule = name.split("/")[1].removesuffix(f"-{seed}")
            end = ends[rule] + seed / 10 + worse.get(data, {}).get(rule, 0.0)
            history = [{"validation_loss": end + left} for left in reversed(range(training.epochs))]
            return type("Trial", (), {"history": history, "seconds": 8.0})()

        def figure(self, name, draw):
            drawn[name] = draw()

    rows = schedules.rows(FakeExperiment())
    assert schedules.best_rule(rows) == "muon-35"  # -1.0 everywhere; muon-50 -2.0 twice and +3.0 once
    assert [axes.get_title() for axes in drawn["losses"].axes] == list(schedules.DATA)
    made = {"seconds": 60.0, "machine": {"processor": "p", "cores": 2}, "date": "d", "commit": None}
    page = schedules.render({"made": made, "rows": rows})
    assert "| fashion-mnist | Muon, one cycle up to 0.05 | 4 | 103.10 | +3.00 (+3.00 to +3.00) | 0 of 3 | 2 |" in page
    assert "| mnist | Muon, one cycle up to 0.05 | 4 | 98.10 | -2.00 (-2.00 to -2.00) | 3 of 3 | 2 |" in page
    assert "| mnist | Adam at a constant 0.001 | 20 | 100.10 |  |  | 0 |" in page


def test_a_training_is_compared_with_the_peak_of_the_processor(benchmark):
    speed, tasks = benchmark("speed"), []

    class FakeComparison:
        def run(self, script, task, index):
            tasks.append(task)
            return {"operations": 2e6}

        def run_rounds(self, tasks):
            return {"peak": 2 * [{"operations": {"fp32": 1e11, "bf16": 5e10}, "megabytes": 1.0}]}

    rates = {"fp32": 20_000.0, "bf16": 10_000.0, "pythae": 12_500.0}
    results = {name: 2 * [{"rate": rate, "megabytes": 1.0}] for name, rate in rates.items()}
    fp32, bf16 = speed.peak_rows(FakeComparison(), "MLP", {"threads": 2}, results)
    assert (fp32["other"], fp32["ratio"], fp32["most"]) == (50_000, 0.4, 4.0)
    assert (bf16["other"], bf16["ratio"], bf16["most"]) == (25_000, 0.4, 2.0)
    assert tasks[0]["task"] == "flops"


def test_the_operations_of_a_step_are_those_of_its_matrix_products(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "competitors"))
    model = Model(latent=20, network=MLP(hidden=(128,))).build((1, 28, 28))
    forward = 784 * 128 + 128 * 40 + 20 * 128 + 128 * 784
    pixel_gradient = 784 * 128  # not computed
    assert importlib.import_module("peak_flops").count_step(model) == {"operations": 2 * (3 * forward - pixel_gradient)}


@pytest.fixture
def sigint():
    """Default handler of Ctrl-C, also where the parent process ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint")
def test_an_interrupted_script_reports_it_and_resumes(benchmark, tmp_path, monkeypatch, capsys):
    (tmp_path / "counting.py").write_text(
        COUNTING.replace("def rows(experiment):", "def rows(experiment):\n    stop()", 1)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["counting.py", "--out", str(tmp_path / "out")])
    module = benchmark("counting")
    module.stop = lambda: signal.raise_signal(signal.SIGINT)
    with pytest.raises(SystemExit) as stopped:
        module.BENCHMARK.run("counts")
    assert stopped.value.code == 130
    assert "the same command resumes" in capsys.readouterr().err
    module.stop = lambda: None
    module.BENCHMARK.run("counts")
    made = (tmp_path / "out" / "kept" / "made").read_text().split()
    assert sorted(made) == ["a", "bb", "ccc"]


def test_a_script_without_its_data_reports_it_in_a_sentence(benchmark, tmp_path, monkeypatch, capsys):
    refusing_tasks = (
        "def tasks(experiment):\n    from vaebench.core.errors import VaebenchError\n    raise VaebenchError('no data')"
    )
    (tmp_path / "counting.py").write_text(COUNTING.replace("def tasks(experiment):", refusing_tasks))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["counting.py", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stopped:
        benchmark("counting").BENCHMARK.run("counts")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.endswith("no data\n")


MADE = {
    "seconds": 60.0,
    "date": "2026-01-01",
    "commit": "0" * 40,
    "workers": 1,
    "machine": {"processor": "P", "cores": 2, "gpu": None, "versions": {"torch": "2"}},
}


def candidate_row(name, nats, validation):
    return {
        "name": name,
        "title": name,
        "nats": nats,
        "validation_nats": validation,
        "standard_error": 0.01,
        "over_images": 0.2,
        "effective_samples": 10.0,
        "least_effective_samples": 1.0,
        "samples": 500,
        "elbo": -nats - 3,
        "kl": 25.0,
        "active": 10,
        "images_seen": 10**6,
        "seconds": 60.0,
        "epochs": 1,
        "epoch": 1,
        "seed": 0,
        "precision": "bf16",
        "rounding": 0.0123,
        "rounding_error": 0.004,
    }


def test_validation_selects_the_best_model_and_other_binarisations_have_tables_of_their_own(benchmark):
    likelihood = benchmark("likelihood")
    rows = [candidate_row("lucky", 85.0, 88.0), candidate_row("chosen", 86.0, 87.0)]
    page = likelihood.render({"made": MADE, "rows": rows})
    assert "**chosen**" in page
    assert "**lucky**" not in page
    assert "For log p(x), networks ran in bf16" in page
    assert "lucky: +0.012 (0.004); chosen: +0.012 (0.004)." in page
    exact = likelihood.render({"made": MADE, "rows": [row | {"precision": "fp32"} for row in rows]})
    assert "Everything was computed in fp32." in exact
    ours, other = page.split("## Binarisation of training images: fixed")
    assert "84.58" in ours
    assert "84.58" not in other
    assert "85.79" in other
    assert "85.79" not in ours


def test_a_verdict_needs_an_interval_on_the_claimed_side(benchmark):
    verdict = benchmark("disentangling").verdict
    assert verdict([1.0, 1.1, 0.9], 1) == "yes"
    assert verdict([1.0, 1.1, 0.9], -1) == "no, the opposite"
    assert verdict([-1.0, -1.1, -0.9], -1) == "yes"
    assert verdict([1.0, -1.1, 0.2], 1) == "undecided with these seeds"


def test_every_claim_is_of_measured_objectives_and_scores(benchmark):
    module = benchmark("disentangling")
    for name, other, score, sign, claim in module.CLAIMS:
        assert {name, other} <= set(module.TITLES)
        assert score in module.COST_NAMES | module.SCORE_NAMES
        assert sign in (1, -1)
        assert claim


def test_outlier_scores_are_higher_for_outliers(benchmark):
    outliers = benchmark("outliers")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (4, 1, 28, 28), generator=generator, dtype=torch.uint8)
    flat = torch.full((4, 1, 28, 28), 7, dtype=torch.uint8)
    images = Images(torch.cat([flat, noise]), torch.zeros(8, dtype=torch.long), ("a",))
    sizes = outliers.png_sizes(images)
    assert sizes[:4].max() < 1000 < 28 * 28 * 8 * np.log(2) < sizes[4:].min()
    ones = np.ones(3)
    measures = outliers.ImageMeasures(np.array([1.0, 5.0, 9.0]), ones, ones, ones, ones, np.array([0.0, 0.0, 8.0]), 5.0)
    assert outliers.SCORES["typicality"].compute(measures).tolist() == [4.0, 0.0, 4.0]
    assert outliers.SCORES["complexity"].compute(measures).tolist() == [1.0, 5.0, 1.0]


def test_growth_shows_seconds_per_epoch_and_every_point(benchmark):
    growth = benchmark("growth")
    rows = [
        {"axis": axis, "value": value, "rate": 50.0, "megabytes": None if axis == "workers" else 10.0}
        for axis, points in growth.POINTS.items()
        for value in points
    ]
    seconds = growth.panels(rows)[0].lines["in memory"]
    assert list(seconds.y) == [value / 50.0 for value in growth.POINTS["images, in memory"]]
    page = growth.render({"made": MADE, "rows": rows})
    assert page.count("50 images/s") + page.count("50 trials per minute") == len(rows)


def test_the_page_of_a_crowded_machine_has_ratios_of_medians_and_reasons(benchmark, tmp_path):
    crowded, script = benchmark("crowded"), benchmark("benchmark_script")
    kept = script.KeptResults(tmp_path / "answers.json")
    for name in crowded.COMMANDS:
        for place, condition in enumerate(crowded.conditions()):
            for index, seconds in enumerate((10.0, 90.0, 20.0)):
                missing = condition == "with a quota of one core"
                result = {"reason": "no control groups"} if missing else {"seconds": seconds * (place + 1)}
                kept.results[f"{index} {name} {condition}"] = result
    rows = crowded.rows_of(kept, 3)
    assert [row.get("ratio") for row in rows[:5]] == [1.0, 2.0, 3.0, 4.0, None]
    page = crowded.render({"made": MADE, "rows": rows})
    assert page.count("| 40.0 | 2.00 | 20.0, 180.0, 40.0 |") == 3
    assert page.count("not measured: no control groups") == 3


def test_time_spent_adds_up_the_stages_of_kept_steps(benchmark, tmp_path):
    spent = benchmark("time_spent")
    for name, seconds in (
        ("work/steps/graph/fold-1", 1.0),
        ("work/steps/graph/fold-2", 2.0),
        ("work/networks/vae", 5.0),
    ):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"seconds": {seconds}}}')
    stages = spent.stages_of(tmp_path)
    assert stages == {"graph": 3.0, "training of networks": 5.0}
    rows = [{"command": "classify", "seconds": 6.0, "stages": stages | {"small": 0.01}}]
    page = spent.render({"made": MADE, "rows": rows})
    assert "| training of networks | 5.0 | 62% |" in page
    assert "| others | 0.0 | 0% |" in page


def trust_draws(names):
    """Four draws, of which the last has an interval above the truth and the third selects a method below its own."""
    draws = []
    for draw in range(4):
        true = {name: 0.58 - 0.1 * index for index, name in enumerate(names)}
        expected = {"accuracy": 0.65, "low": 0.5 + 0.1 * (draw == 3), "high": 0.7}
        scores = {"brier": 0.4 + 0.1 * draw, "brier_by_frequencies": 0.9}
        draws.append({"draw": draw, "method": names[draw == 2], "expected": expected, "true": true, **scores})
    return draws


def test_the_page_of_trust_summarises_its_draws(benchmark):
    trust, trust_page, trust_queries = (benchmark(name) for name in ("trust", "trust_page", "trust_queries"))
    names = list(trust.METHODS)
    row = trust.coverage_row("a", 10, trust_draws(names)) | {"augmentation": "gentle", "note": "a copy"}
    reports = [{"made": MADE, "rows": [row]}]
    for name, gain in (("b", 0.02), ("c", 0.0)):
        random = [dict.fromkeys(trust_queries.QUERY_METHODS, 0.8 + 0.01 * draw) for draw in range(3)]
        asked = [{method: value + gain for method, value in draw.items()} for draw in random]
        reports.append(
            {"made": MADE, "rows": list(trust_queries.query_rows(name, 20, {"asked": asked, "random": random}))}
        )
    page = trust_page.render_page(reports)
    title = trust.METHODS[names[0]].title
    assert f"| a, gentle | 10 | 2 of 4 | 17.5 points | 58.0 % | +7.0 | {title} | 58.0 % | 0.550 | 0.900 |" in page
    assert "in **2 of 4** draws; mean width 17.5 points, median of expected minus true accuracy +7.0." in page
    assert f"| {trust.METHODS[names[1]].title} | 48.0 %, 1 of 4 |" in page
    assert "a: a copy." in page
    for method in trust_queries.QUERY_METHODS:
        title = trust.METHODS[method].title
        assert f"| b | 20 | {title} | 83.0 % | 81.0 % | **+2.0 (+2.0 to +2.0)** |" in page
        assert f"| c | 20 | {title} | 81.0 % | 81.0 % | +0.0 (+0.0 to +0.0) |" in page
    assert "significantly better than random images in 2 of 4 rows and significantly worse in 0." in page
    assert [line.split(" | ")[0] for line in page.splitlines() if MADE["date"] in line] == ["| a", "| b", "| c"]


def test_the_figure_of_trust_has_a_panel_for_each_data_set(benchmark):
    trust, trust_page = benchmark("trust"), benchmark("trust_page")
    rows = [trust.coverage_row(name, 10, trust_draws(list(trust.METHODS))) for name in "abcd"]
    panels = trust_page.draw_intervals(rows).axes
    assert [axes.get_title() for axes in panels] == [f"{name}: 2 of 4" for name in "abcd"]
    (truth,) = (line for line in panels[0].lines if line.get_marker() == "o")
    assert truth.get_ydata().tolist() == pytest.approx([48.0, 58.0, 58.0, 58.0])


@pytest.mark.parametrize("start", [20, 0])
def test_both_strategies_share_the_first_labels_and_select_from_the_same_half(benchmark, monkeypatch, start):
    queries, fitted = benchmark("trust_queries"), {}
    truth = torch.arange(400) % 4
    means = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    images, settings = SimpleNamespace(classes=list("abcd")), SimpleNamespace(model_dump=lambda mode: {})
    subject = SimpleNamespace(
        truth=truth, images=images, context=SimpleNamespace(means=means), key="", settings=settings
    )
    monkeypatch.setattr(queries, "load_subject", lambda experiment, name: subject)
    monkeypatch.setattr(queries, "accuracies", lambda experiment, subject, rows, seed: {"rows": rows.tolist()})
    experiment = SimpleNamespace(step=lambda name, identity, compute: compute())
    for draw in range(2):
        for strategy in queries.STRATEGIES:
            result = queries.measure_queries(experiment, "made-up", start, draw, strategy)
            fitted[strategy, draw] = set(result["rows"])
    count = start + queries.MORE if start else queries.COLD * 4
    assert {len(rows) for rows in fitted.values()} == {count}
    for draw in range(2):
        pool = set(np.random.default_rng((1, draw, start)).permutation(400)[:200].tolist())
        asked, random = fitted["asked", draw], fitted["random", draw]
        assert asked | random <= pool
        assert len(asked & random) >= start
        assert asked != random
    assert fitted["asked", 0] != fitted["asked", 1]
    again = queries.measure_queries(experiment, "made-up", start, 0, "random")
    assert set(again["rows"]) == fitted["random", 0]


def test_errors_on_unknown_and_on_known_pixels(benchmark):
    missing = benchmark("missing_pixels")
    pixels = torch.randint(0, 256, (200, 1, 8, 8), dtype=torch.uint8)
    images = Images(pixels, torch.arange(200) % 10)
    holes = missing.with_holes(images, torch.Generator().manual_seed(0))
    known = ~holes.pixels.isnan()
    assert 0.28 < 1 - known.double().mean() < 0.32
    assert torch.equal(holes.pixels[known], (pixels.float() / 255)[known])
    assert not torch.equal(known[0], known[1])
    truth = pixels.float() / 255
    outputs = truth + torch.where(known, 0.1, 0.5)
    errors = missing.squared_errors(outputs, truth, known)
    assert errors["unknown"] == pytest.approx(0.25)
    assert errors["known"] == pytest.approx(0.01)


def test_the_unknown_pixels_are_reconstructed_three_times_better_than_by_the_mean():
    rows = json.loads((ROOT / "docs" / "results" / "missing_pixels.json").read_text())["rows"]
    ratios = {row["method"]: row["ratios"] for row in rows}
    assert len(ratios["vae"]) == 3
    assert min(ratios["vae"]) >= 3
    assert ratios["mean"] == [1, 1, 1]


def test_fine_tuning_starts_from_the_source_and_compares_with_all_steps(benchmark, tmp_path, monkeypatch):
    tuning = benchmark("fine_tuning")
    digits = Data(source="digits", per_class=20)
    small = tuning.RECIPE.model_copy(update={"model": Model(latent=3, network=MLP(hidden=(16,)))})
    for name, value in {"SEEDS": 2, "RECIPE": small, "SOURCE": digits, "TARGET": digits}.items():
        monkeypatch.setattr(tuning, name, value)
    script, epochs = tuning.script(5), 5
    experiment = Experiment(script, "cpu", tmp_path, Compute(device="cpu", precision="fp32", threads=1))
    experiment.run_tasks(script.tasks(experiment))
    computed = list(experiment.computed)
    rows = script.rows(experiment)
    assert experiment.computed == computed
    assert [(row["method"], row["epochs"]) for row in rows] == [("anew", 5), ("short", 1), ("tuned", 1), ("frozen", 1)]
    assert rows[0]["loss"]["interval"] is None
    source, tuned, frozen = (
        trained.vae.state_dict()
        for trained in (
            tuning.train_source(experiment, epochs, 0),
            tuning.train_target(experiment, epochs, "tuned", 0),
            tuning.train_target(experiment, epochs, "frozen", 0),
        )
    )
    encoder = [name for name in source if name.startswith("encoder.")]
    assert all(torch.equal(source[name], frozen[name]) for name in encoder)
    assert not torch.equal(source[encoder[0]], tuned[encoder[0]])
    means = {row["method"]: row["loss"]["mean"] for row in rows}
    assert means["tuned"] < means["short"]
    assert rows[1]["loss"]["difference"] == pytest.approx(means["short"] - means["anew"])
    machine = {"processor": "p", "cores": 2}
    page = script.render({"made": {"seconds": 60, "machine": machine, "date": "d", "commit": None}, "rows": rows})
    assert "| weights of MNIST, a fifth of the steps | 1 |" in page
    assert "2 seeds. The VAEs of MNIST have 5 epochs" in page


def test_the_page_of_peers_has_a_row_for_each_question_and_library(benchmark):
    page = benchmark("peers_page")
    whole = {
        "version": "1",
        "versions": {"one": "1.0", "torch": "2"},
        "imported": "yes",
        "trains": {"reconstruction": 20.0, "kl": [0.5, 0.001]},
        "loss": {"value": 1.0, "closed_form": 1.0, "factor": 1.0, "pixels": "mean", "latents": "sum", "constant": ""}
        | {"beta": 392.0001},
        "densities": {"mse": 1.7722, "normal": 1.0, "bernoulli, grey pixels": None},
        "evidence": {"name": "nll", "value": 5.0, "exact": -5.0},
        "resumed": {"repeated": 0.0, "resumed": 0.01},
        "save": {"files": ["a.json", "b.pt"], "pickles": ["b.pt"]},
    }
    other = whole | {"versions": {"other": "2.0"}, "evidence": None, "resumed": None, "save": None}
    other |= {"loss": whole["loss"] | {"value": 1.1}, "trains": {"error": "ValueError: x"}}
    answers = {"one": whole, "other": other, "third": {"version": "3.0", "failed": "no such version"}}
    rows = page.rows(answers)
    assert len(rows) == 3 * len(page.QUESTIONS)
    cells = {(row["question"], row["peer"]): (row["answer"], row["evidence"]) for row in rows}
    assert cells["loss", "one"] == (
        "squared error, mean over pixels; KL, sum over latents: effective beta 392",
        "loss 1.00000, closed form 1.00000",
    )
    assert cells["loss", "other"][0] == "none of the closed forms: effective beta 392"
    assert cells["collapse", "one"] == ("1 of 2 latents used", "KL 0.5 nats per image, largest of a latent 0.5")
    assert cells["collapse", "other"] == ("error", "ValueError: x")
    assert cells["densities", "one"] == ("normal", "mse: 1.772; normal: 1.000; bernoulli, grey pixels: refused")
    assert cells["evidence", "one"] == ("`nll`: -log p(x)", "5.000, exact log p(x) -5.000")
    assert cells["resumed", "one"] == ("no", "0.01; repeated without interruption 0")
    assert cells["save", "one"] == ("no", "pickle in `b.pt`")
    assert cells["objective", "one"] == ("20.50 nats per image", "reconstruction 20.00, KL 0.50")
    assert cells["speed", "one"][0] == "not measured"
    assert cells["evidence", "other"][0] == "reports none"
    assert cells["import", "third"] == ("does not run", "no such version")
    made = {"seconds": 60.0, "machine": {"processor": "p", "cores": 2}, "date": "d", "commit": None}
    settings = {"images": 5000, "validation": 1000, "epochs": 10}
    text = page.render({"made": made, "settings": settings, "rows": rows})
    assert "| one 1.0 | 1 of 2 latents used | KL 0.5 nats per image, largest of a latent 0.5 |" in text
    assert "| third 3.0 | does not run | no such version |" in text


def test_the_evaluation_of_peers_equals_the_closed_forms(benchmark, tmp_path):
    peers = benchmark("peers")
    images = np.full((3, 1, 2, 2), 255, np.uint8)
    mean, log_variance = np.full((3, 2), 2.0), np.zeros((3, 2))
    np.savez(tmp_path / "a.npz", mean=mean, log_variance=log_variance, decoded=np.full((3, 4), 0.5))
    assert peers.evaluate(tmp_path / "a.npz", images) == {"reconstruction": 0.5, "kl": [2.0, 2.0]}
