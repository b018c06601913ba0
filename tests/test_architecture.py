"""The picture in docs/architecture.md, asserted: imports run one way, and some things are imported nowhere."""

import ast
from pathlib import Path

import pytest

import vaebench

ROOT = Path(vaebench.__file__).parent
LAYERS = (
    "errors", "frozen", "files", "memory", "processes", "palette", "data", "models", "export", "training", "evaluation",
    "estimators", "explorer", "recipes", "overrides", "runs", "performance", "reports", "sweeps", "studies",
    "classification", "papers", "ladder", "terminal", "cli",
)  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))


def imports_of(source):
    """Every module that a source imports, at any depth of its code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def wrong_way(path, source):
    """Imports of a layer that stands above the file's own."""
    own = layer_of(path)
    for name in imports_of(source):
        parts = name.split(".")
        inside = parts[0] == "vaebench" and len(parts) > 1 and parts[1] in LAYERS and own != "__init__"
        if inside and LAYERS.index(parts[1]) > LAYERS.index(own):
            yield name


def test_every_file_belongs_to_a_layer():
    assert {layer_of(path) for path in FILES} - {"__init__", "__main__"} == set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    assert list(wrong_way(path, path.read_text())) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle_and_no_torchvision(path):
    roots = {name.split(".")[0] for name in imports_of(path.read_text())}
    assert roots & {"pickle", "cPickle", "dill", "joblib", "torchvision"} == set()
    for banned in ("allow_pickle=True", "weights_only=False", "torch.load("):
        assert banned not in path.read_text()


def test_the_check_itself_finds_a_wrong_import():
    assert list(wrong_way(ROOT / "data" / "x.py", "def f():\n    from vaebench.models.vae import VAE")) == [
        "vaebench.models.vae",
        "vaebench.models.vae.VAE",
    ]


def test_the_documented_order_is_the_tested_one():
    page = (ROOT.parents[1] / "docs" / "architecture.md").read_text()
    assert " -> ".join(LAYERS) in " ".join(page.split())


def test_public_names_stay_what_they_are_whatever_is_imported():
    for name in vaebench.__all__:
        first = getattr(vaebench, name)
        for path in FILES:
            if path.name == f"{name}.py" and path.parent == ROOT:
                raise AssertionError(f"the module {name} would hide vaebench.{name} once it is imported")
        assert getattr(vaebench, name) is first
        assert not isinstance(first, type(vaebench))
