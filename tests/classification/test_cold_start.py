"""classify() without labels of two classes: the images to label first, and what to do with them."""

import csv

import numpy as np
import pytest
from miniature import COMPUTE, tiny
from PIL import Image

from vaebench.classification import job
from vaebench.classification.cold_start import LabelProposal
from vaebench.cli import main
from vaebench.core.errors import VaebenchError


@pytest.fixture(scope="module")
def proposal(shared, tmp_path_factory):
    """A proposal that no test changes."""
    return shared.classify(tmp_path_factory.mktemp("cold") / "out", [])


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_without_labels_the_images_to_label_first_are_written_and_nothing_else(proposal, shared):
    assert isinstance(proposal, LabelProposal)
    rows = rows_of(proposal.folder / "to-label-next.csv")
    assert [row["file"] for row in rows] == [proposal.collection.names[row] for row in proposal.to_label_next]
    assert len({row["file"] for row in rows} & set(shared.truth)) == 50
    assert {(row["guess"], row["probability"], row["label"]) for row in rows} == {("", "", "")}
    with Image.open(proposal.folder / "to-label-next.png") as sheet:
        assert sheet.width > 500
    written = {path.name for path in proposal.folder.iterdir() if not path.name.startswith(".")}
    assert written == {"work", "inspection.html", "to-label-next.csv", "to-label-next.png", "label.html"}
    assert repr(proposal).endswith(f"50 images to label first, in {proposal.folder})")


def test_a_filled_in_table_classifies_without_another_vae(files, tmp_path, monkeypatch):
    proposal = files.classify(tmp_path / "out", [])
    rows = rows_of(proposal.folder / "to-label-next.csv")
    table = tmp_path / "filled.csv"
    table.write_text("rank,file,label\n" + "".join(f"{r['rank']},{r['file']},{files.truth[r['file']]}\n" for r in rows))
    monkeypatch.setattr(
        "vaebench.experiments.networks.train", lambda *args, **kwargs: pytest.fail("the VAE was trained again")
    )
    result = files.classify(tmp_path / "out", [table])
    assert result.collection.given_labels == {row["file"]: files.truth[row["file"]] for row in rows}
    correct = [label == files.truth[name] for label, name in zip(result.labels, result.collection.names, strict=True)]
    assert np.mean(correct) > 0.5


def test_labels_of_one_class_are_said_and_their_images_not_proposed(files, tmp_path):
    given = [name for name, label in files.truth.items() if label == "digit 1"][:5]
    table = tmp_path / "one.csv"
    table.write_text("".join(f"{name},digit 1\n" for name in given))
    messages = []
    proposal = files.classify(tmp_path / "out", [table], message_callback=messages.append)
    assert messages[0] == "240 images read, 5 of them labelled in 1 class"
    assert (
        proposal.sentences()[0]
        == "Only the class digit 1 has labels: nothing is predicted before two classes have some."
    )
    assert f"--labels {table} --labels labels.csv" in proposal.sentences()[-1]
    assert not set(given) & {proposal.collection.names[row] for row in proposal.to_label_next}


def test_where_all_images_are_of_one_class_there_is_none_to_label(files, tmp_path):
    table = tmp_path / "one.csv"
    table.write_text("".join(f"{name},digit\n" for name in files.truth))
    proposal = files.classify(tmp_path / "out", [table])
    assert proposal.sentences()[-1] == "All images are labelled; add images of another class."
    assert not (proposal.folder / "label.html").exists()


def test_the_command_says_what_to_do_next(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "settings_for", lambda shape, images, labels, name: tiny(images))
    monkeypatch.setattr(job, "Compute", lambda: COMPUTE)
    assert main(["classify", "images"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "240 images read, none labelled"
    assert lines[-5:] == [
        "No image has a label: nothing is predicted before two classes have some.",
        "The 50 images to label first are typical of the largest groups of similar images without a label.",
        "Label them in label.html, or in the last column of a copy of to-label-next.csv; then run",
        "    vaebench classify images --labels labels.csv",
        "open runs/classify-images/label.html",
    ]


def test_a_filled_in_table_is_not_overwritten(proposal, shared):
    table = proposal.folder / "to-label-next.csv"
    before = table.read_bytes()
    with pytest.raises(
        VaebenchError, match=r"to-label-next.csv would be overwritten .* copy it, for example to labels-2"
    ):
        shared.classify(proposal.folder, [table])
    assert table.read_bytes() == before
