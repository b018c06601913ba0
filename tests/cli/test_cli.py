"""The command line as a user meets it: one sentence for a mistake, never a traceback, help at once."""

import json
import subprocess
import sys
import time

import pytest

from vaebench import __version__
from vaebench.cli import main
from vaebench.data.datasets import DATASETS
from vaebench.runs.recipe import RECIPES

MISTAKES = {
    ("frobnicate",): (
        "there is no command 'frobnicate'; expected one of run, explore, compare, sweep, classify, predict, "
        "reproduce, few-labels"
    ),
    ("run", "nope"): "there is no recipe 'nope'; expected one of digits",
    ("run", "--resume"): "takes a recipe before its options, not '--resume'",
    ("run", "digits", "20"): "'20' is not expected here; options look like --training.epochs 20",
    ("run", "digits", "--objectiv.beta", "3"): "no field 'objectiv'; did you mean 'objective'",
    ("run", "digits", "--objective.betta", "3"): "no field 'objective.betta'; did you mean 'beta'? the fields here are",
    ("run", "digits", "--objective.kind", "elbow"): "objective.kind is 'elbow'; expected one of elbo, warm-up",
    ("run", "digits", "--objective.kind", "free-bits", "--objective.beta", "3"): "no field 'objective.beta'",
    ("run", "digits", "--training.epochs", "many"): "training.epochs is 'many'; input should be a valid integer",
    ("run", "digits", "--training.epochs"): "--training.epochs needs a value after it",
    ("run", "digits", "--training.epochs", "0"): "input should be greater than or equal to 1",
    ("run", "digits", "--seed.x", "1"): "'seed' has no fields of its own",
    ("run", "digits", "--evaluation.probes", "[{]"): "looks like JSON, but is not",
    ("run", "digits", "--evaluation.labels-per-class", "1", "b"): (
        "evaluation.labels_per_class.1 is 'b'; input should be a valid integer, unable to parse string as an integer, "
        "or input should be 'all'"
    ),
    ("run", "digits", "--out"): "--out needs a value after it",
    ("run", "digits", "--data", "/no/such/folder"): "/no/such/folder",
    ("reproduce", "Q"): "there is no paper 'Q'; expected all, or one of",
    ("reproduce", "--budget", "cpu"): "takes one paper (A to E, or all) and its options, not 'nothing'",
    ("reproduce", "all", "now"): "takes one paper (A to E, or all) and its options, not 'all now'",
    ("reproduce", "all", "--bugdet", "cpu"): "not 'all --bugdet cpu'",
    ("reproduce", "all", "--budget", "gpu"): "--budget is 'gpu'; expected one of quick, cpu, full",
    ("reproduce", "all", "--seeds", "1.5"): "--seeds is '1.5'; expected a whole number above 0",
    ("reproduce", "all", "--minutes", "soon"): "--minutes is 'soon'; expected a number above 0",
    ("explore", "a", "b"): "vaebench explore takes the folder of one run, not 'a b'",
    ("explore", "/no/such/run"): "/no/such/run holds no recipe.json; expected the folder of a run",
    ("explore", "a", "--out"): "--out needs a value after it",
    ("sweep", "--grid", "seed=1"): "vaebench sweep takes a recipe before its options, not '--grid'",
    (
        "sweep",
        "digits",
        "--grid",
        "latent",
    ): "--grid is 'latent'; expected a field and its values, such as model.latent=2",
    ("sweep", "digits", "--grid", "seed=1,2"): "--grid names seed; leave it out and give --seeds",
    ("sweep", "digits", "--grid", "model.latent=2,2"): "names a value twice; expected each once",
    ("sweep", "digits", "--grid", "model.latnt=2"): "no field 'model.latnt'; did you mean 'latent'",
    ("sweep", "digits", "--grid", "model.latent=[2"): "looks like JSON, but is not",
    ("sweep", "digits", "--seeds", "0"): "--seeds is '0'; expected a whole number above 0",
    ("sweep", "digits", "--workers", "two"): "--workers is 'two'; expected a whole number above 0",
    ("compare", "a", "--bug"): "vaebench compare takes the folders of runs and --out, not '--bug'",
    ("compare", "a"): "compare takes two different runs or more, not 'a'",
    ("compare", "a", "./a"): "compare takes two different runs or more, not 'a a'",
    ("compare", "a", "b"): "a holds no recipe.json; expected the folder of a run",
    ("list", "--josn"): "takes only --json, not '--josn'",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_sentence_on_stderr_and_status_2(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(list(words)) == 2
    out, errors = capsys.readouterr()
    assert MISTAKES[words] in errors
    assert out == ""
    assert [line for line in errors.splitlines() if line.startswith("vaebench: ")] == [errors.strip().splitlines()[-1]]


def test_kinds_fields_lists_and_json_override_the_recipe(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "vaebench.runs.pipeline.run", lambda recipe, folder, **rest: seen.append((recipe, folder)) or 1 / 0
    )
    words = [
        "run", "digits", "--model.network.filters", "8,16", "--model.latent=3", "--objective.nats", "12",
        "--objective.kind", "capacity", "--model.decoder.kind", "mlp", "--model.decoder.hidden", "64",
        "--evaluation.labels-per-class", "1", "all", "--data.classes", "3,", "5",
        "--evaluation.probes", '[{"kind": "knn", "neighbours": 3}]',
        "--data", "sprites", "--training.patience", "none", "--compute.compile", "false",
        "--evaluation.supervised", "none",
    ]  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        main(words)
    ((recipe, folder),) = seen
    assert recipe.model.network.filters == (8, 16)
    assert recipe.model.latent == 3
    assert (recipe.objective.kind, recipe.objective.nats) == ("capacity", 12.0)
    assert recipe.model.decoder.hidden == (64,)
    assert recipe.evaluation.labels_per_class == (1, "all")
    assert [probe.neighbours for probe in recipe.evaluation.probes] == [3]
    assert recipe.evaluation.supervised is None
    assert recipe.data.source == "sprites"
    assert recipe.data.classes == ("3", "5")
    assert recipe.training == RECIPES["digits"].training
    assert str(folder) == "runs/digits-sprites"


def test_list_names_every_part_and_json_is_json(capsys):
    assert main(["list", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)
    assert parts["recipes"] == list(RECIPES)
    assert parts["data sets"] == list(DATASETS)
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for names in parts.values() for name in names)


def test_help_names_every_field_of_the_recipe(capsys):
    assert main(["run", "mnist", "--help"]) == 0
    text = capsys.readouterr().out
    for field in (
        "--objective.beta",
        "--model.network.filters",
        "--evaluation.labels-per-class",
        "--compute.precision",
    ):
        assert field in text


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["list", "--help"], []])
def test_help_and_version_answer_without_importing_torch(words):
    code = (
        "import sys; from vaebench.cli import main; status = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules; sys.exit(status)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 20  # a hang, not a speed
    assert ("usage" in done.stdout) or ("vaebench" in done.stdout)
    if words == ["--version"]:
        assert done.stdout.strip() == f"vaebench {__version__}"


def test_an_out_folder_that_cannot_be_made_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert main(["run", "digits", "--out", str(tmp_path / "file" / "run")]) == 2
    assert str(tmp_path / "file" / "run") in capsys.readouterr().err
