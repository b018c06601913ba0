"""The notebook in docs/ runs from its first cell to its last, and shows what it says."""

import json
import os
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "from-images-to-predictions.ipynb"


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A kernel of this very Python, whatever kernels the machine knows."""
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "here"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(kernel, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    os.makedirs(tmp_path / "here")
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path / "here")}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    shown = " ".join(str(output.get("data", {}).get("text/plain", output.get("text", ""))) for output in outputs)
    assert "ClassificationResult(Collection('digits': 800 images, 100 labelled in 10 classes, 0 skipped)" in shown
    assert "ExpectedAccuracy(accuracy=" in shown
    accuracy = float(
        next(cell.outputs[0]["data"]["text/plain"] for cell in notebook.cells if "truth = {" in cell.source)
    )
    assert accuracy > 0.8
    assert (tmp_path / "here" / "classified" / "report.html").exists()


def test_the_notebook_is_kept_with_its_outputs():
    nbformat = pytest.importorskip("nbformat")
    code = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    assert sum("image/png" in output.get("data", {}) for cell in code for output in cell.outputs) == 4
