"""Pages of docs/models/ agree with the code: kinds, fields, defaults, commands, examples, and measured numbers."""

import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel

from vaebench.data.augment import Augmentation
from vaebench.models.classifying_vae import SelfTrainingLoss
from vaebench.models.code_priors import CODE_PRIORS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.networks import NETWORKS
from vaebench.models.objectives import OBJECTIVES
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.models.registry import MODELS
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.overrides import apply_overrides
from vaebench.runs.recipe import few_labels, find_recipe
from vaebench.semi_supervised.classifiers import SEMI_SUPERVISED
from vaebench.semi_supervised.self_training import SelfTraining

DOCS = Path(__file__).parents[1] / "docs"
INDEX = DOCS / "models.md"
PAGES = sorted((DOCS / "models").glob("*.md"))
TEXTS = {page.stem: page.read_text(encoding="utf-8") for page in [INDEX, *PAGES]}
TABLE = re.compile(r"^(?:Fields|Parameters) of `([\w.]+)`([^|]*):\n\n((?:\|[^\n]*\n)+)", re.MULTILINE)
COMMAND = re.compile(r"^vaebench (\w.*)$", re.MULTILINE)
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([\w./-]+\.md)(?:#[\w-]+)?\)")
ITEM = re.compile(r"^- .*?(?=^- |^$)", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"`--([a-z_.]+)\.([a-z_]+)(?: [^`]*)?`")
NUMBER = re.compile(r"(?<![\d.:])\d+(?:,\d{3})*\.\d+|(?<![\d.:])\d{1,3}(?:,\d{3})+")
"""Numbers with decimals or thousands; smaller whole numbers name settings."""
OWNERS = {
    "objective": OBJECTIVES.values(),
    "objective.augmentation": [Augmentation],
    "model": MODELS.values(),
    "model.prior": [*PRIORS.values(), *CODE_PRIORS.values()],
    "model.likelihood": LIKELIHOODS.values(),
    "model.network": NETWORKS.values(),
    "model.posterior": POSTERIORS.values(),
    "evaluation": [Evaluation],
    "evaluation.self_training": [SelfTraining],
    "evaluation.self_training.objective": [SelfTrainingLoss],
}
"""Classes whose fields an option of a recipe sets, by its path."""
REGISTRIES = [MODELS, OBJECTIVES, PRIORS, CODE_PRIORS, LIKELIHOODS, NETWORKS, POSTERIORS, SEMI_SUPERVISED]
HEADINGS = ("## Use", "## Limits", "## References")


def rows_of(table):
    """Cells of the rows of a Markdown table, without its head."""
    lines = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in table.strip().splitlines()[2:]]
    return [[cell.strip() for cell in cells] for cells in lines]


def tables(text):
    """Dotted name, path of the option in a recipe if there is one, and rows of every table of fields."""
    found = []
    for name, heading, table in TABLE.findall(text):
        option = re.search(r"`--([a-z_.]+)\.FIELD`", heading)
        found.append((name, option and option[1], rows_of(table)))
    return found


def defaults_of(owner):
    """Fields, or parameters of the constructor, with their defaults."""
    if issubclass(owner, BaseModel):
        return {name: field.default for name, field in owner.model_fields.items() if name != "kind"}
    return {name: parameter.default for name, parameter in inspect.signature(owner).parameters.items()}


ALL_TABLES = [(page, *table) for page, text in TEXTS.items() for table in tables(text)]


@pytest.mark.parametrize("kinds", REGISTRIES)
def test_every_kind_is_on_a_page(kinds):
    missing = [kind for kind in kinds if f"`{kind}`" not in TEXTS["models"]]
    assert not missing


@pytest.mark.parametrize("kinds", REGISTRIES)
def test_every_class_with_fields_has_a_table(kinds):
    described = {name for _, name, _, _ in ALL_TABLES}
    missing = [kind for kind, owner in kinds.items() if defaults_of(owner) and full_name(owner) not in described]
    assert not missing


def full_name(owner):
    return f"{owner.__module__}.{owner.__qualname__}"


@pytest.mark.parametrize(
    ("page", "name", "option", "rows"), ALL_TABLES, ids=[f"{page}-{name}" for page, name, *_ in ALL_TABLES]
)
def test_a_table_lists_the_fields_and_defaults_of_its_class(page, name, option, rows):
    module, _, attribute = name.rpartition(".")
    owner = getattr(importlib.import_module(module), attribute)
    defaults = defaults_of(owner)
    assert option is None or owner in OWNERS[option]
    assert [row[0].strip("`") for row in rows] == list(defaults)
    for field, _, default, *_ in rows:
        expected = defaults[field.strip("`")]
        if default == "required":
            assert expected is inspect.Parameter.empty
        else:
            assert eval(default.strip("`"), names_of(owner)) == expected, field


def names_of(owner):
    """Names in the modules of a class and the classes that it inherits fields from."""
    modules = [importlib.import_module(each.__module__) for each in reversed(owner.__mro__)]
    return {name: value for module in modules for name, value in vars(module).items()}


def test_the_index_links_every_page():
    assert {f"models/{page.name}" for page in PAGES} == {
        link for link in LINK.findall(TEXTS["models"]) if link.startswith("models/")
    }


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_links_lead_to_pages(page):
    broken = [link for link in LINK.findall(TEXTS[page.stem]) if not (page.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_formula_use_limits_and_references(page):
    text = TEXTS[page.stem]
    assert "```\n" in text or page.stem == "likelihoods"
    assert [line for line in text.splitlines() if line.startswith("## ")] == list(HEADINGS)


COMMANDS = sorted({(page, command) for page, text in TEXTS.items() for command in COMMAND.findall(text)})


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_exists_and_its_options_fit(page, command):
    name, *words = shlex.split(command)
    assert name in ("run", "sweep", "few-labels", "reproduce", "classify")
    if name == "run":
        recipe = find_recipe(words[0])
        few = "--few-labels" in words
        base = few_labels(recipe, recipe.data.source) if few else recipe
        apply_overrides(base, [word for word in words[1:] if word != "--few-labels"], page)


def test_options_within_sentences_exist():
    for page, text in TEXTS.items():
        for path, field in OPTION.findall(text):
            assert any(field in owner.model_fields for owner in OWNERS[path]), f"{page}: --{path}.{field}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if EXAMPLE.search(TEXTS[page.stem])], ids=lambda page: page.stem
)
def test_the_python_of_a_page_runs(page):
    examples = EXAMPLE.findall(TEXTS[page.stem])
    assert examples
    for example in examples:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            exec(compile(example, str(page), "exec"), {})


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_measured_numbers_stand_on_the_linked_pages(page):
    for item in ITEM.findall(TEXTS[page.stem] + "\n"):
        sources = [link for link in LINK.findall(item) if "results/" in link]
        assert sources or not item.startswith("- Measured")
        found = {number for link in sources for number in NUMBER.findall((page.parent / link).read_text("utf-8"))}
        assert not sources or set(NUMBER.findall(item)) <= found, item
