"""Names and phrases of vaebench's first private dialect stay retired; docs/architecture.md has today's terms.

``src/vaebench/deprecated.py`` (aliases), CHANGELOG.md, LOG.md and the JSON of earlier measurements may hold them.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for path in (ROOT / "src").rglob("*.py") if path.name != "deprecated.py")
TEMPLATES = sorted(path for kind in ("j2", "js", "css") for path in (ROOT / "src").rglob(f"*.{kind}"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

RETIRED = """
arena arenas rung rungs climb climbs ladder hands helped Bench bench Promise promises printed Tick Moment watch
Terms Account Spreader spreader spreaders Teacher teacher judge judged team leads told tell telling held unlike rarity
rarities perform performed found words what taught Line Ledger ledger Guess guess Given Judge Team Study study
share shares crew hire dismiss
"""
IDENTIFIERS = frozenset(RETIRED.split())
"""No variable, parameter, attribute, function or class of the package is called so."""
STORED = {
    "data/blocks.py": frozenset({"tell"}),
    "data/formats/npy.py": frozenset({"tell"}),
    "data/official.py": frozenset({"tell"}),
    "models/priors.py": frozenset({"share"}),
    "models/vade.py": frozenset({"share"}),
}
"""Methods of files, and names of parameters in weight files."""
PHRASES = (
    r"\bladder of (few )?labels\b", r"\brungs?\b", r"\barenas?\b", r"\bclimb(s|ed|ing)?\b", r"\bspreaders?\b",
    r"\bteachers?\b(?! \(Tarvainen)", r"(?<![\"'])\bjudged?\b(?![\"'/])", r"\brarity\b", r"\bunlike (the rest|those)\b",
    r"\ba line on\b", r"\blines on (raw |frozen )?(pixels|latents)\b", r"\bpromised? beside found\b", r"\bhands\b",
    r"\bprinted (numbers?|values?|results?|accurac\w+)\b", r"\bthe house\b", r"\bshares? of\b", r"\bfor the day that\b",
    r"\bnobody could\b", r"\bhelp(s|ed)? out\b",
)  # fmt: skip
"""No docstring, message, template or page says so."""
PHRASE = re.compile("|".join(PHRASES), re.IGNORECASE)


def identifiers(tree):
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_retired_name_in_the_sources(path):
    text = path.read_text()
    aliases = {number for number, line in enumerate(text.splitlines(), 1) if "renamed_" in line}
    allowed = STORED.get(str(path.relative_to(ROOT / "src" / "vaebench")), frozenset())
    names = {(name, line) for name, line in identifiers(ast.parse(text)) if name in IDENTIFIERS - allowed}
    assert sorted((name, line) for name, line in names if line not in aliases) == []


def said(text):
    return [f"{number}: {line.strip()[:90]}" for number, line in enumerate(text.splitlines(), 1) if PHRASE.search(line)]


@pytest.mark.parametrize("path", [*SOURCES, *TEMPLATES, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_retired_phrase_in_sources_templates_and_pages(path):
    assert said(path.read_text()) == []


def test_the_check_itself_finds_them():
    assert list(identifiers(ast.parse("def f(watch): return x.arena(found=1)"))) == [
        ("f", 1), ("watch", 1), ("arena", 1), ("found", 1), ("x", 1),
    ]  # fmt: skip
    assert said("fine\nA line on frozen latents, judged by its rung.") == [
        "2: A line on frozen latents, judged by its rung."
    ]
