"""Every example with a prompt in docs/ runs and gives what the page shows."""

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(page.name for page in DOCS.glob("*.md") if ">>> " in page.read_text(encoding="utf-8"))


def examples(text, name):
    """The blocks of a page as one test, so that later ones see what earlier ones made."""
    parser = doctest.DocTestParser()
    found = []
    for block in BLOCK.finditer(text):
        line = text[: block.start()].count("\n") + 1
        for example in parser.get_examples(block[1]):
            example.lineno += line
            found.append(example)
    return doctest.DocTest(found, {}, name, name, 0, text)


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page_run(name):
    test = examples((DOCS / name).read_text(encoding="utf-8"), name)
    assert len(test.examples) > 5
    said = []
    failed, tried = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert tried == len(test.examples)
    assert failed == 0, "".join(said)


def test_a_wrong_example_is_caught():
    test = examples("```python\n>>> 1 + 1\n3\n```\n", "wrong")
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda text: None).failed == 1


def test_the_pitfalls_are_among_them():
    assert "pitfalls.md" in PAGES
