"""Every example with a prompt in docs/ runs and gives what the page shows."""

import doctest
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from vaebench.cli import main
from vaebench.data.datasets import Data
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.pipeline import run
from vaebench.runs.recipe import Recipe
from vaebench.training.compute import Compute
from vaebench.training.loop import Training

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


def test_a_head_is_fitted_on_the_latents_that_encode_wrote(tmp_path, monkeypatch, capsys):
    """The commands of "Use the latents elsewhere" in get-started.md, on digits in one folder per class."""
    digits = load_digits()
    for index, (image, label) in enumerate(zip(digits.images[:300], digits.target[:300], strict=True)):
        (tmp_path / "drawings" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(tmp_path / "drawings" / str(label) / f"{index}.png")
    recipe = Recipe(
        data=Data(source="digits"),
        model=Model(latent=8, network=MLP(hidden=(64,))),
        training=Training(epochs=3, batch=64),
        evaluation=Evaluation(labels_per_class=(1,), draws=1, features=("vae",), supervised=None, samples=None),
        compute=Compute(device="cpu", precision="fp32", threads=1),
    )
    run(recipe, tmp_path / "runs" / "mnist-quickdraw-fine-tuned")
    section = (DOCS / "get-started.md").read_text(encoding="utf-8").partition("## Use the latents elsewhere")[2]
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(re.search(r"^vaebench (encode .*)$", section, re.MULTILINE)[1])) == 0
    exec(compile(BLOCK.search(section)[1], "get-started.md", "exec"), {})
    assert float(re.search(r"accuracy ([\d.]+)", capsys.readouterr().out)[1]) > 0.5  # chance is 0.1


def test_the_pitfalls_are_among_them():
    assert "pitfalls.md" in PAGES
