"""The machinery of the papers: steps done once, promises all kept, rows and page."""


import pytest
from made_up import PAPER

from vaebench.papers import registry
from vaebench.papers.reproduce import reproduce


@pytest.fixture
def papers(monkeypatch):
    monkeypatch.setitem(registry.PAPERS, "Z", PAPER)
    return [PAPER]


def test_a_second_call_makes_nothing_and_finds_the_same(papers, tmp_path):
    first = reproduce(papers, "quick", tmp_path)[0]
    rows, page = (tmp_path / "papers.json").read_bytes(), (tmp_path / "papers.md").read_bytes()
    assert first.made == ["vae-0", "line-0", "head"]
    second = reproduce(papers, "quick", tmp_path)[0]
    assert second.made == []
    assert (tmp_path / "papers.json").read_bytes() == rows
    assert (tmp_path / "papers.md").read_bytes() == page
