"""The command line reports a mistake as one sentence without a traceback, and overrides the fields of a recipe."""

import json
import warnings

import pytest

from vaebench.cli import main
from vaebench.data.datasets import DATASETS, Data
from vaebench.runs.recipe import RECIPES, few_labels

MISTAKES = {
    ("frobnicate",): (
        "there is no command 'frobnicate'; expected one of run, sweep, explore, compare, inspect, classify, predict, "
        "encode, reproduce, few-labels"
    ),
    ("run", "nope"): "there is no recipe 'nope'; expected one of digits",
    ("run", "--resume"): "vaebench run needs RECIPE; see vaebench run --help",
    ("run", "--model.latent", "3", "digits"): "vaebench run takes RECIPE before --model.latent",
    ("run", "digits", "--resum"): "vaebench run has no option --resum; did you mean --resume?",
    ("run", "digits", "--epochs", "3"): "vaebench run has no option --epochs; did you mean --training.epochs?",
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
    ("reproduce", "--budget", "cpu"): "vaebench reproduce needs PAPER; see vaebench reproduce --help",
    ("reproduce", "all", "now"): "'now' is not expected here; see vaebench reproduce --help",
    ("reproduce", "all", "--bugdet", "cpu"): "vaebench reproduce has no option --bugdet; did you mean --budget?",
    ("reproduce", "all", "--budget", "gpu"): "--budget is 'gpu'; expected one of quick, cpu, full",
    ("reproduce", "all", "--seeds", "1.5"): "--seeds is '1.5'; expected a whole number above 0",
    ("reproduce", "all", "--minutes", "soon"): "--minutes is 'soon'; expected a number above 0",
    ("explore", "a", "b"): "'b' is not expected here; see vaebench explore --help",
    ("explore", "/no/such/run"): "/no/such/run holds no recipe.json; expected the folder of a run",
    ("explore", "a", "--out"): "--out needs a value after it",
    ("sweep", "--grid", "seed=1"): "vaebench sweep needs RECIPE; see vaebench sweep --help",
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
    ("sweep", "digits", "--workers", "2", "--ray", "auto"): "--ray and --workers exclude each other; give one of them",
    ("classify", "a", "--size", "4"): "--size is 4; expected 8 to 512 pixels",
    ("predict", "a"): "vaebench predict needs PATH; see vaebench predict --help",
    ("few-labels", "now"): "'now' is not expected here; see vaebench few-labels --help",
    ("few-labels", "--minute", "3"): "vaebench few-labels has no option --minute; did you mean --minutes?",
    ("completion", "tcsh"): "SHELL is 'tcsh'; expected one of bash, zsh, fish",
    ("--versoin",): "vaebench has no option --versoin; did you mean --version?",
    ("compare", "a", "--bug"): "vaebench compare has no option --bug; see vaebench compare --help",
    ("compare", "a"): "compare takes two different runs or more, not 'a'",
    ("compare", "a", "./a"): "compare takes two different runs or more, not 'a a'",
    ("compare", "a", "b"): "a holds no recipe.json; expected the folder of a run",
    ("list", "--josn"): "vaebench list has no option --josn; did you mean --json?",
}


@pytest.mark.parametrize("argv", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_sentence_on_stderr_and_status_2(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(list(argv)) == 2
    out, errors = capsys.readouterr()
    assert MISTAKES[argv] in errors
    assert out == ""
    assert [line for line in errors.splitlines() if line.startswith("vaebench: ")] == [errors.strip().splitlines()[-1]]


def test_kinds_fields_lists_and_json_override_the_recipe(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "vaebench.runs.pipeline.run", lambda recipe, folder, **rest: seen.append((recipe, folder)) or 1 / 0
    )
    argv = [
        "run", "digits", "--model.network.filters", "8,16", "--model.latent=3", "--objective.nats", "12",
        "--objective.kind", "capacity", "--model.decoder.kind", "mlp", "--model.decoder.hidden", "64",
        "--evaluation.labels-per-class", "1", "all", "--data.classes", "3,", "5",
        "--evaluation.probes", '[{"kind": "knn", "neighbours": 3}]',
        "--data", "sprites", "--training.patience", "none", "--compute.compile", "false",
        "--evaluation.supervised", "none",
    ]  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        main(argv)
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


def test_weights_to_start_from_have_a_short_option_and_name_the_folder(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "vaebench.runs.pipeline.run", lambda recipe, folder, **rest: seen.append((recipe, folder)) or 1 / 0
    )
    for option in ("--from", "--start.weights"):
        with pytest.raises(ZeroDivisionError):
            main(["run", "mnist", option, "runs/mnist", "--data", "quickdraw", "--start.freeze", "encoder"])
    with pytest.raises(ZeroDivisionError):
        main(["run", "mnist", "--from", "runs/mnist", "--start.freeze", "none", "--out", "elsewhere"])
    (recipe, folder), same, (other, elsewhere) = seen
    assert (recipe.start.weights, recipe.start.freeze, str(folder)) == (
        "runs/mnist",
        "encoder",
        "runs/mnist-quickdraw-fine-tuned",
    )
    assert same == (recipe, folder)
    assert (other.start.freeze, str(elsewhere)) == ("none", "elsewhere")


def test_missing_weights_are_one_sentence(tmp_path, capsys):
    assert main(["run", "digits", "--from", str(tmp_path / "none"), "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.strip() == (
        f"vaebench: start.weights (--from) is {tmp_path / 'none'}, which does not exist; expected the folder of a "
        "finished run or its weights.safetensors"
    )


def test_a_value_called_none_is_a_value(monkeypatch):
    seen = []
    monkeypatch.setattr("vaebench.runs.pipeline.run", lambda recipe, folder, **rest: seen.append(recipe) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["run", "digits", "--model.network.batch-norm", "none"])
    assert seen[0].model.network.batch_norm == "none"


@pytest.mark.filterwarnings("default::FutureWarning")
def test_an_old_name_of_an_option_is_one_line_on_stderr(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr("vaebench.runs.pipeline.run", lambda recipe, folder, **rest: seen.append(recipe) or 1 / 0)
    argv = [
        "run", "digits", "--data.test-share", "0.3", "--evaluation.self-training.pseudo-labeller.kind", "feature-graph",
        "--evaluation.self-training.teacher.share=0.4", "--evaluation.self-training.keep", "0.6",
    ]  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        main(argv)
    part = "evaluation.self_training"
    assert [line for line in capsys.readouterr().err.splitlines() if line] == [
        f"vaebench: {old} is now {new}; the old name still works and will be removed in vaebench 0.3"
        for old, new in (
            ("data.test_share", "data.test_fraction"),
            (f"{part}.teacher", f"{part}.pseudo_labeller"),
            (f"{part}.pseudo_labeller.share", f"{part}.pseudo_labeller.confident_fraction"),
            (f"{part}.keep", f"{part}.graph_fraction"),
            (f"{part}.pseudo_labeller.kind = feature-graph", f"{part}.pseudo_labeller.kind = graph"),
        )
    ]
    (recipe,) = seen
    assert recipe.data.test_fraction == 0.3
    assert recipe.evaluation.self_training.pseudo_labeller.confident_fraction == 0.4
    assert recipe.evaluation.self_training.graph_fraction == 0.6


def test_other_warnings_keep_their_source_line(monkeypatch):
    monkeypatch.setattr("vaebench.cli.listing.json.dumps", lambda *args, **kwargs: warnings.warn("slow", stacklevel=1))
    with pytest.warns(UserWarning, match="slow") as warned:
        assert main(["list", "--json"]) == 0
    assert [warning.filename for warning in warned] == [__file__]


def test_list_names_every_part_and_json_is_json(capsys):
    assert main(["list", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)
    assert parts["recipes"] == list(RECIPES)
    assert parts["data sets"] == list(DATASETS)
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for names in parts.values() for name in names)


def test_an_out_folder_that_cannot_be_made_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert main(["run", "digits", "--out", str(tmp_path / "file" / "run")]) == 2
    assert str(tmp_path / "file" / "run") in capsys.readouterr().err


def test_options_may_stand_before_between_and_after_the_arguments(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "vaebench.runs.report.compare.write_comparison", lambda runs, page: seen.append((runs, str(page))) or 1 / 0
    )
    for argv in (["--out", "x", "a", "b"], ["a", "--out", "x", "b"], ["a", "b", "--out=x"]):
        with pytest.raises(ZeroDivisionError):
            main(["compare", *argv])
    assert seen == 3 * [(["a", "b"], "x")]


def test_data_given_as_a_field_decides_the_augmentation_of_few_labels(monkeypatch):
    seen = []
    monkeypatch.setattr("vaebench.runs.pipeline.run", lambda recipe, folder, **rest: seen.append(recipe) or 1 / 0)
    for option in ("--data", "--data.source"):
        with pytest.raises(ZeroDivisionError):
            main(["run", "mnist", "--few-labels", option, "sprites", "--seed", "3"])
    assert (
        seen[0]
        == seen[1]
        == few_labels(RECIPES["mnist"], "sprites").model_copy(update={"seed": 3, "data": Data(source="sprites")})
    )
