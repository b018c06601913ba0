"""vaebench list and vaebench completion: names of recipes and parts, and scripts that complete them in a shell."""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from vaebench.cli.fields import load_table, option_of
from vaebench.cli.parser import Parser, add_command, one_of

SHELLS = ("bash", "zsh", "fish")
LIST = """\
Examples:
  vaebench list
  vaebench list --json"""
COMPLETION = """\
The script completes commands, options, fields, recipes, papers and budgets.

Examples:
  vaebench completion bash > ~/.local/share/bash-completion/completions/vaebench
  vaebench completion zsh > ~/.zfunc/_vaebench    (in a folder of $fpath)
  vaebench completion fish > ~/.config/fish/completions/vaebench.fish"""
COMPLETIONS = {"FOLDER": "directory", "RUN": "directory", "MODEL": "directory", "FILE": "file", "PATH": "file"}
"""Kind of path that completes an argument, by its metavar."""


def add_parser(commands: Any) -> None:
    """Add list and completion."""
    parser = add_command(commands, show, "list", "list recipes, papers, data sets and parts by name", LIST)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(without_arguments=True)

    parser = add_command(commands, complete, "completion", "print a script for completion in a shell", COMPLETION)
    shells = ", ".join(SHELLS)
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, type=one_of(*SHELLS), help=f"one of {shells}")


def show(args: argparse.Namespace) -> int:
    """Run ``vaebench list``."""
    names: dict[str, list[str]] = load_table()["names"]
    lines = [f"{kind}: {', '.join(each)}" for kind, each in names.items()]
    print(json.dumps(names, indent=1) if args.json else "\n".join(lines))
    return 0


def complete(args: argparse.Namespace) -> int:
    """Run ``vaebench completion``."""
    import shtab

    for command in args.commands.values():
        _add_completions(command)
    print(shtab.complete(args.root, args.shell))
    return 0


def _add_completions(parser: Parser) -> None:
    """Give every argument its values; run and sweep also get an option for each field of a recipe."""
    table = load_table()
    names = table["names"]
    values = {
        "RECIPE": _names_or_files("recipe", names["recipes"], "*.toml"),
        "DATA": _names_or_files("data", names["data sets"], "*"),
        **COMPLETIONS,
    }
    for action in list(parser._actions):
        if action.metavar in values:
            action.complete = values[action.metavar]  # type: ignore[attr-defined, index]
        if action.metavar == "PAPER":
            action.choices = [*(name.partition(" ")[0] for name in names["papers"]), "all"]
    if parser.get_default("extras") == "overrides":
        types = {option_of(row["field"]): row["type"] for row in table["fields"] if row["type"] != "JSON"}
        for option in types:
            if option not in parser._option_string_actions:
                choices = [word for word in re.split(r"[| ]", types[option]) if word.islower() or word.isdigit()]
                parser.add_argument(option, choices=choices or None, help="a field of the recipe")


def _names_or_files(name: str, names: list[str], pattern: str) -> dict[str, Any]:
    """Return shtab's description of an argument that is one of the names or, in bash, a file."""
    choices = " ".join(names)
    function = f"_vaebench_{name}"
    generators = (f"-W '{choices}'", f"-f -X '!{pattern}'", "-d")
    script = f'{function}() {{ {" ".join(f"""compgen {each} -- "$1";""" for each in generators)} }}'
    return {"bash": function, "zsh": f"({choices})", "fish": choices, "preamble": {"bash": script}}
