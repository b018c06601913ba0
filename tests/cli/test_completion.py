"""Scripts for shell completion: valid, and complete commands, options, names and fields."""

import shutil
import subprocess

import pytest

from vaebench.cli import main
from vaebench.cli.listing import SHELLS
from vaebench.runs.recipe import RECIPES

COMMANDS = "run sweep explore compare inspect classify predict encode reproduce few-labels list completion"
COMPLETED = {
    ("",): COMMANDS.split(),
    ("re",): ["reproduce"],
    ("run", ""): list(RECIPES),
    ("sweep", "fash"): ["fashion-mnist"],
    ("run", "mnist", "--res"): ["--resume"],
    ("run", "mnist", "--training.ep"): ["--training.epochs"],
    ("sweep", "mnist", "--evaluation.self-training.net"): ["--evaluation.self-training.network-fraction"],
    ("run", "mnist", "--model.network.kind", ""): ["mlp", "conv", "residual"],
    ("run", "mnist", "--data", "qu"): ["quickdraw"],
    ("reproduce", ""): ["A", "B", "C", "D", "E", "all"],
    ("reproduce", "A", "--budget", ""): ["quick", "cpu", "full"],
    ("few-labels", "--budget", "c"): ["cpu"],
    ("completion", ""): list(SHELLS),
}
BASH = """
source "$1"; shift
COMP_WORDS=(vaebench "$@"); COMP_CWORD=$#
_shtab_vaebench
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def scripts(tmp_path, capsys):
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        (tmp_path / shell).write_text(capsys.readouterr().out)
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_valid_and_knows_fields_and_budgets(scripts, shell):
    text = (scripts / shell).read_text()
    assert "training.epochs" in text
    assert "quick cpu full" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n", scripts / shell], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_names_and_fields(scripts):
    def complete(*argv):
        command = ["bash", "-c", BASH, "-", scripts / "bash", *argv]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    folder = scripts / "empty"
    folder.mkdir()
    for argv, completed in COMPLETED.items():
        assert complete(*argv) == completed, argv
    (folder / "own.toml").touch()
    (folder / "own.txt").touch()
    assert complete("run", "ow") == ["own.toml"]
    assert complete("run", "mnist", "--data", "ow") == ["own.toml", "own.txt"]
    (folder / "runs").mkdir()
    assert complete("explore", "r") == complete("compare", "a", "r") == ["runs"]
