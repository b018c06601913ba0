"""Build the documentation site: README, docs/ and the public docstrings, as pages under site/html.

Warnings are errors: a link that leads nowhere or a docstring that does not parse ends the build.
"""

from __future__ import annotations

import base64
import pkgutil
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.cmd.build import main as sphinx

import vaebench

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"
MODELS = sorted(f"models/{page.stem}" for page in (ROOT / "docs" / "models").glob("*.md"))
PAGES = {
    "Guides": [
        "get-started",
        "your-images",
        "formats",
        "compare",
        "inspect",
        "few-labels",
        "reproduce",
        "scaling",
        "extend",
        "from-images-to-predictions",
    ],
    "Reference guide": ["models", *MODELS, "theory", "results", "pitfalls", "reliability", "support"],
    "Results": [
        "results/papers",
        "results/few-labels",
        "results/trust",
        "results/likelihood",
        "results/disentangling",
        "results/outliers",
        "results/readers",
        "results/peers",
        "results/missing_pixels",
        "results/speed",
        "results/growth",
        "results/crowded",
        "results/schedules",
        "results/explorer",
        "results/fuzz",
    ],
    "Development": ["architecture", "contributing", "changelog", "lab-book"],
}
"""The menu; :func:`main` refuses a page of docs/ that is in none of it."""
LINKS = {"../LOG.md": "lab-book.md", "](docs/": "](", '"docs/': '"', "](LOG.md": "](lab-book.md"}
LINKS |= {"[CITATION.cff](CITATION.cff)": "`CITATION.cff`", "[examples/](examples)": "`examples/`"}
LINKS |= {"](CONTRIBUTING.md": "](contributing.md", "](../CONTRIBUTING.md": "](contributing.md"}
LINKS |= {".ipynb)": ".md)", "](CHANGELOG.md": "](changelog.md", "](LICENSE)": "](license.md)"}


def main() -> int:
    """Stage the pages and run Sphinx; returns its exit status."""
    source = SITE / "source"
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns("*.ipynb"))
    for page in source.rglob("*.md"):
        page.write_text(_linked(page.read_text()))
    for name, file in {"changelog": "CHANGELOG.md", "lab-book": "LOG.md", "contributing": "CONTRIBUTING.md"}.items():
        (source / f"{name}.md").write_text(_linked((ROOT / file).read_text()))
    (source / "license.md").write_text(
        f"---\norphan: true\n---\n# License\n\n```\n{(ROOT / 'LICENSE').read_text()}```\n"
    )
    _notebook(source)
    reference = _reference(source)
    _index(source, reference)
    _no_page_left_out(source)
    pictures = SITE / "pictures"
    pictures.mkdir()
    for picture in (ROOT / "docs").glob("*.png"):  # the README shows them by HTML of its own
        shutil.copy(picture, pictures)
    options = ["-W", "--keep-going", "-q", "-D", f"html_extra_path={pictures}"]
    return sphinx([*options, "-b", "html", str(source), str(SITE / "html")])


def _linked(text: str) -> str:
    """Links of the repository as links of the site."""
    for old, new in LINKS.items():
        text = text.replace(old, new)
    return text


def _notebook(source: Path) -> None:
    """The executed notebook as a page."""
    import nbformat

    cells = nbformat.read(ROOT / "docs" / "from-images-to-predictions.ipynb", 4).cells
    parts = []
    for number, cell in enumerate(cells):
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                name = f"notebook-{number}.png"
                (source / name).write_bytes(base64.b64decode(output["data"]["image/png"]))
                parts.append(f"![what the cell above draws]({name})")
            elif text := _text(output):
                parts.append(f"```\n{text}\n```")
    (source / "from-images-to-predictions.md").write_text("\n\n".join(parts) + "\n")


def _text(output: dict[str, Any]) -> str:
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).strip()


def _reference(source: Path) -> list[str]:
    """A page for each package, with the docstrings of all its modules."""
    folder = source / "reference"
    pages: dict[str, list[str]] = {}
    folder.mkdir()
    for found in pkgutil.walk_packages(vaebench.__path__, "vaebench."):
        package = found.name.split(".")[1]
        if found.name.split(".")[-1] != "__main__":
            pages.setdefault(package, []).append(found.name)
    for package, modules in pages.items():
        parts = [f"# vaebench.{package}"]
        for module in modules:
            heading = [] if module == f"vaebench.{package}" else [f"## {module.removeprefix('vaebench.')}"]
            parts += [*heading, f"```{{eval-rst}}\n.. automodule:: {module}\n```"]
        (folder / f"{package}.md").write_text("\n\n".join(parts) + "\n")
    return [f"reference/{package}" for package in pages]


def _index(source: Path, reference: list[str]) -> None:
    trees = [_tree(caption, pages) for caption, pages in {**PAGES, "Reference": reference}.items()]
    (source / "index.md").write_text("\n".join([_linked((ROOT / "README.md").read_text()), *trees]))


def _tree(caption: str, pages: list[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])


def _no_page_left_out(source: Path) -> None:
    listed = {page for pages in PAGES.values() for page in pages}
    there = {str(page.relative_to(source).with_suffix("")) for page in source.rglob("*.md")}
    there = {name for name in there if not name.startswith(("reference/", "index", "license"))}
    if listed != there:
        sys.exit(f"build_site.py: the menu and docs/ differ: {sorted(listed ^ there)}")


if __name__ == "__main__":
    sys.exit(main())
