"""The picture in docs/architecture.md, asserted: imports run one way, and some things are imported nowhere."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vaebench

ROOT = Path(vaebench.__file__).parent
LAYERS = (
    ("core",),
    ("data", "plotting"),
    ("models",),
    ("training",),
    ("evaluation", "inspection", "semi_supervised"),
    ("runs", "estimators", "experiments"),
    ("classification", "sweeps", "papers", "few_label_benchmark"),
    ("cli",),
)
"""From the lowest to the highest. A package imports itself and lower layers; packages of one layer not each other."""
HEIGHT = {package: height for height, layer in enumerate(LAYERS) for package in layer}
FILES = sorted(ROOT.rglob("*.py"))


def imports_of(source):
    """Every module that a source imports, at any depth of its code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def wrong_way(path, source):
    """Imports of a package in a higher layer, or of another package in the same layer."""
    own = package_of(path)
    for name in imports_of(source):
        parts = name.split(".")
        inside = parts[0] == "vaebench" and len(parts) > 1 and parts[1] in HEIGHT and own in HEIGHT
        if inside and parts[1] != own and HEIGHT[parts[1]] >= HEIGHT[own]:
            yield name


def test_every_file_belongs_to_a_layer():
    assert {package_of(path) for path in FILES} - {"__init__", "deprecated"} == set(HEIGHT)


def test_there_are_at_most_eight_layers():
    assert len(LAYERS) <= 8


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
    assert list(wrong_way(ROOT / "papers" / "x.py", "import vaebench.sweeps")) == ["vaebench.sweeps"]
    assert list(wrong_way(ROOT / "papers" / "x.py", "import vaebench.papers.paper, vaebench.core.files")) == []


def test_the_documented_order_is_the_tested_one():
    page = (ROOT.parents[1] / "docs" / "architecture.md").read_text()
    for layer in LAYERS:
        assert f"| {', '.join(f'`{package}`' for package in layer)} |" in page


def test_public_names_stay_what_they_are_whatever_is_imported():
    for name in vaebench.__all__:
        first = getattr(vaebench, name)
        for path in FILES:
            if path.name == f"{name}.py" and path.parent == ROOT:
                raise AssertionError(f"the module {name} would hide vaebench.{name} once it is imported")
        assert getattr(vaebench, name) is first
        assert not isinstance(first, type(vaebench))


def test_names_of_the_last_version_work_and_warn():
    with pytest.warns(FutureWarning, match=r"vaebench\.perform is now vaebench\.run"):
        assert vaebench.perform is vaebench.run


def test_training_does_not_load_what_only_evaluation_needs():
    slow = ("sklearn", "pandas", "scipy.stats", "scipy.optimize", "torch._dynamo", "matplotlib")
    code = f"import sys, vaebench.runs.pipeline; print([name for name in {slow} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert ended.stdout.strip() == "[]"
