"""Help of every command in every position, quickly, with every field of a recipe."""

import json
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vaebench import __version__
from vaebench.cli import build_parser, main
from vaebench.cli.fields import load_table, option_of, present_fields
from vaebench.cli.parser import BUDGETS as PARSER_BUDGETS
from vaebench.experiments.info import BUDGETS
from vaebench.runs.recipe import RECIPES, parse_recipe, read_recipe

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {
    "run": ["mnist", "--seed", "1"],
    "sweep": ["mnist", "--seeds", "2"],
    "explore": ["x", "--out", "y"],
    "compare": ["a", "b"],
    "inspect": ["x", "--size", "32"],
    "classify": ["x", "--labels", "y"],
    "predict": ["x", "y"],
    "encode": ["x", "y"],
    "reproduce": ["A", "--budget", "quick"],
    "few-labels": ["--budget", "quick"],
    "list": ["--json"],
    "completion": ["bash"],
}
HEAVY = ("torch", "numpy", "pydantic", "rich", "matplotlib", "shtab", "sklearn")


def test_every_command_is_tried():
    assert set(ARGUMENTS) == set(build_parser().get_default("commands"))


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", ARGUMENTS)
def test_help_is_answered_in_every_position(command, option, capsys):
    arguments = ARGUMENTS[command]
    for position in range(len(arguments) + 1):
        assert main([command, *arguments[:position], option, *arguments[position:]]) == 0
        out, errors = capsys.readouterr()
        assert out.startswith(f"usage: vaebench {command}")
        assert errors == ""
    assert main([option, command, *arguments]) == 0
    assert capsys.readouterr().out.startswith("usage: vaebench COMMAND")


@pytest.mark.parametrize("command", ARGUMENTS)
def test_every_option_is_described_and_every_command_has_examples(command, capsys):
    assert main(["help", command]) == 0
    text = capsys.readouterr().out
    parser = build_parser().get_default("commands")[command]
    assert all(action.help for action in parser._actions)
    examples = text.partition("examples:\n")[2].splitlines()
    assert len(examples) >= 2
    assert all(example.startswith(f"  vaebench {command}") for example in examples)


def test_a_command_without_its_arguments_prints_its_help(capsys):
    for command in ARGUMENTS.keys() - {"few-labels", "list"}:
        assert main([command]) == 0
        assert capsys.readouterr().out.startswith(f"usage: vaebench {command}")
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n    {command} " in text for command in ARGUMENTS)


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"], ["--version"], ["run", "--help"], ["run", "mnist", "--help"], ["sweep", "mnist", "-h"],
        ["list", "--help"], ["list"], [], ["reproduce", "A", "--bugdet", "cpu"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_help_names_and_mistakes_need_no_heavy_import(argv):
    code = (
        "import sys; from vaebench.cli import main; status = main(sys.argv[1:]); "
        f"assert not {set(HEAVY)!r} & set(sys.modules), sys.modules.keys(); sys.exit(status)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == (2 if "--bugdet" in argv else 0), done.stderr
    assert time.monotonic() - began < 20  # a hang, not a speed
    if argv == ["--version"]:
        assert done.stdout.strip() == f"vaebench {__version__}"


def test_the_field_table_is_that_of_the_recipe_models():
    build_table = runpy.run_path(str(ROOT / "scripts" / "recipe_fields.py"))["build_table"]
    assert load_table() == json.loads(json.dumps(build_table())), "run python scripts/recipe_fields.py"
    assert PARSER_BUDGETS == BUDGETS


def leaves(values, path=""):
    """Every field of a recipe's plain values that is no part: dotted name, value."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


@pytest.mark.parametrize("name", RECIPES)
def test_help_lists_every_field_of_a_recipe_with_its_value(name, capsys):
    assert main(["run", name, "--help"]) == 0
    text = capsys.readouterr().out
    fields = dict(leaves(RECIPES[name].model_dump(mode="json")))
    listed = re.findall(r"^  (--[a-z0-9.-]+) ", text, flags=re.MULTILINE)
    assert set(map(option_of, fields)) <= set(listed)
    assert len(listed) == len(set(listed))
    assert f"default: {fields['training.epochs']})" in text
    rows = {row["field"]: value for row, value in present_fields(load_table()["recipes"][name])}
    assert {field: rows[field] for field in fields} == fields


TOML = """
objective = {kind = "capacity", gamma = 7}
model = {latent = 3, decoder = {kind = "mlp"}}
[training.optimiser]
kind = "sgd"
[evaluation]
supervised = {epochs = 5}
[evaluation.self_training]
keep_own = 0.5
"""


@pytest.mark.filterwarnings("default:evaluation.self_training.keep_own is now:FutureWarning")
def test_help_of_a_toml_recipe_shows_its_values_and_the_defaults_of_its_kinds(tmp_path, capsys):
    file = tmp_path / "own.toml"
    file.write_text(TOML)
    assert main(["run", str(file), "--help"]) == 0
    text, errors = capsys.readouterr()
    renamed = "evaluation.self_training.keep_own is now evaluation.self_training.network_fraction"
    assert errors == f"vaebench: {renamed}; the old name still works and will be removed in vaebench 0.3\n"
    recipe = read_recipe(file)
    fields = dict(leaves(recipe.model_dump(mode="json")))
    assert fields["evaluation.self_training.network_fraction"] == 0.5
    assert set(map(option_of, fields)) <= set(re.findall(r"^  (--[a-z0-9.-]+) ", text, flags=re.MULTILINE))
    rows = {row["field"]: value for row, value in present_fields({"name": "own", **_plain(TOML)})}
    assert {field: rows[field] for field in fields} == fields
    assert parse_recipe(_plain(TOML), "own") == recipe.model_copy(update={"name": "mine"})


def _plain(text):
    import tomllib

    from vaebench.deprecated import upgrade_recipe

    return upgrade_recipe(tomllib.loads(text))


def test_help_of_few_labels_shows_what_it_sets(capsys):
    assert main(["run", "mnist", "--few-labels", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--objective.augmentation.rotation" in text
    assert "--evaluation.self-training.network-fraction" in text


@pytest.mark.parametrize(
    "argv", [["run", "mnits", "--help"], ["run", "none.toml", "--help"], ["run", "bad.toml", "-h"]], ids=" ".join
)
def test_help_of_a_recipe_that_cannot_be_read_is_a_mistake(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("seed = ")
    assert main(argv) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("vaebench: ")
    assert argv[1] in errors
