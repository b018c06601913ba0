"""Files in blocks: the same result from one process, several, and a cluster, each file once."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from fake_ray import FakeRay, install
from vaebench.classification import file_blocks
from vaebench.classification.encoding import encode_files, load_encoder
from vaebench.classification.prediction import predict
from vaebench.classification.results import write_predictions
from vaebench.cli import main
from vaebench.core.errors import VaebenchError
from vaebench.core.local_pool import LocalPool
from vaebench.core.ray_pool import RayPool
from vaebench.data.datasets import Data
from vaebench.data.images import HIDDEN, Images
from vaebench.evaluation.features import encode
from vaebench.models.networks import MLP
from vaebench.models.vae import Model
from vaebench.runs.evaluation import Evaluation
from vaebench.runs.pipeline import run
from vaebench.runs.recipe import Recipe
from vaebench.training.compute import Compute
from vaebench.training.loop import Training


@pytest.fixture
def many(shared, tmp_path, monkeypatch):
    """270 files in blocks of 50, some of which cannot be read, one of them a whole block."""
    folder = tmp_path / "many"
    folder.mkdir()
    for path in shared.folder.iterdir():
        shutil.copy(path, folder)
    for index in range(100, 150):
        (folder / f"0{index}.png").write_bytes(b"no image")
    (folder / "5 broken.png").write_bytes(b"")
    monkeypatch.setattr(file_blocks, "BLOCK", 50)
    return folder


@pytest.fixture
def alone(result, many):
    """The prediction of one process."""
    return predict(result.folder / "model", many, executor=LocalPool(1))


def same(first, second):
    return (
        first.names == second.names
        and list(first.skipped.items()) == list(second.skipped.items())
        and torch.equal(first.probabilities, second.probabilities)
        and np.array_equal(first.outlier_scores, second.outlier_scores)
    )


def test_one_process_processes_every_file_once(alone, many):
    assert sorted([*alone.names, *alone.skipped]) == sorted(path.name for path in many.iterdir())
    assert len(alone.skipped) == 51
    assert len(alone.probabilities) == len(alone.outlier_scores) == len(alone.names) == 240


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_several_processes_give_the_bits_of_one(result, many, alone, tmp_path, suffix):
    path = many
    if suffix:
        path = tmp_path / "many.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in many.iterdir():
                archive.write(file, file.name)
    events = []
    several = predict(result.folder / "model", path, events.append, LocalPool(2))
    assert same(several, alone)
    assert {event.stage for event in events} == {"classifying many"}
    assert sorted({event.done for event in events}) == [event / 6 for event in range(7)]
    for name, predicted in (("one.csv", alone), ("two.csv", several)):
        write_predictions(tmp_path / name, predicted)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_further_processes_are_started_where_the_rest_takes_long(result, many, alone, monkeypatch):
    model, started = result.folder / "model", []

    def pool(workers):
        started.append(workers)
        return RayPool("auto")

    monkeypatch.setattr(file_blocks, "LocalPool", pool)
    monkeypatch.setattr(file_blocks, "available_cores", lambda: 3)
    assert same(predict(model, many), alone)
    assert started == []
    monkeypatch.setattr(file_blocks, "LONG", 0.0)
    install(monkeypatch, FakeRay())
    assert same(predict(model, many), alone)
    assert started == [3]
    monkeypatch.setattr(file_blocks, "available_cores", lambda: 1)
    assert same(predict(model, many), alone)
    assert started == [3]


def test_a_cluster_gives_the_bits_of_one_process_and_needs_no_gpu(result, many, alone, monkeypatch):
    ray = install(monkeypatch, FakeRay(nodes=({"CPU": 4.0, "GPU": 1.0},)))
    assert same(predict(result.folder / "model", many, executor=RayPool("auto", gpus=False)), alone)
    assert ray.options == {"max_retries": 2, "num_cpus": 1, "num_gpus": 0}


def test_a_block_that_is_lost_and_files_that_a_worker_does_not_see_are_one_sentence(result, many, monkeypatch):
    model = result.folder / "model"
    install(monkeypatch, FakeRay(lost=["block 2 of 6"]))
    with pytest.raises(VaebenchError, match=r"^block 2 of 6 of many: it was lost 3 times \(Lost\)"):
        predict(model, many, executor=RayPool("auto"))
    install(monkeypatch, FakeRay())
    load = file_blocks.open_images
    monkeypatch.setattr(file_blocks, "open_images", lambda *given, **more: Moving(load(*given, **more), many))
    with pytest.raises(VaebenchError, match=r"a worker does not find .*many; it must be on a disk that all machines"):
        predict(model, many, executor=RayPool("auto"))


class Moving:
    """Moves the folder away when it has been listed."""

    def __init__(self, inner, folder):
        self.inner, self.folder = inner, folder

    def __enter__(self):
        files = self.inner.__enter__()
        self.folder.rename(self.folder.with_name("elsewhere"))
        return files

    def __exit__(self, *error):
        return self.inner.__exit__(*error)


def test_files_of_which_none_can_be_read_are_refused(result, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no image")
    with pytest.raises(VaebenchError, match="its only image cannot be read"):
        predict(result.folder / "model", tmp_path / "bad")


def test_encoding_gives_the_latents_of_the_vae(result, many, alone):
    one, two = (encode_files(result.folder / "model", many, executor=LocalPool(count)) for count in (1, 2))
    assert one.names == two.names == alone.names
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.log_variance, two.log_variance)
    rows = [result.collection.names.index(name) for name in one.names]
    codes = encode(load_encoder(result.folder / "model").vae, result.collection.images)
    np.testing.assert_allclose(one.mean, codes.mean.numpy()[rows], atol=1e-5)
    np.testing.assert_allclose(one.log_variance, codes.log_variance.numpy()[rows], atol=1e-5)
    assert repr(one) == "EncodingResult(240 images, 8 latents)"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run on 8 x 8 digits."""
    recipe = Recipe(
        name="small",
        data=Data(source="digits", per_class=20),
        model=Model(latent=3, network=MLP(hidden=(16,))),
        training=Training(epochs=1, batch=64),
        evaluation=Evaluation(labels_per_class=(1,), draws=1, features=("vae",), supervised=None, samples=None),
        compute=Compute(device="cpu", precision="fp32", threads=1),
    )
    return run(recipe, tmp_path_factory.mktemp("run") / "run")


def test_the_command_encodes_with_a_run_too(run_folder, shared, tmp_path, capsys):
    out = tmp_path / "latents.npz"
    assert main(["encode", str(run_folder.path), str(shared.folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == ["240 images, 3 latents", f"open {out}"]
    with np.load(out, allow_pickle=False) as latents:
        assert sorted(latents) == ["log_variance", "mean", "names"]
        names, mean = latents["names"].tolist(), latents["mean"]
    assert sorted(names) == sorted(shared.truth)
    pixels = torch.stack([torch.from_numpy(np.array(Image.open(shared.folder / name))) for name in names])[:, None]
    images = Images(pixels, torch.full((len(pixels),), HIDDEN))
    np.testing.assert_allclose(mean, run_folder.encode(images.pixels).mean.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{files}", "{files}"], "contains neither model.json nor recipe.json; expected the model folder"),
        (["{run}", "nowhere"], "nowhere does not exist"),
        (["{run}", "{files}", "--out", "latents.csv"], "--out is 'latents.csv'; expected a file that ends in .npz"),
        (["{run}", "{files}", "--workers", "0"], "--workers is '0'; expected a whole number above 0"),
        (["{run}", "{files}", "--workers", "2", "--ray", "auto"], "exclude each other; give one of them"),
        (["{binarised}", "{files}"], "holds a run on binarised images, which image files are not"),
    ],
)
def test_mistakes_of_encode_are_one_sentence(run_folder, shared, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    binarised = tmp_path / "binarised"
    binarised.mkdir()
    text = (run_folder.path / "recipe.json").read_text()
    (binarised / "recipe.json").write_text(text.replace('"binarised": false', '"binarised": true'))
    places = {"run": run_folder.path, "files": shared.folder, "binarised": binarised}
    assert main(["encode", *(word.format(**places) for word in words)]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", ["predict", "encode"])
def test_a_cluster_that_does_not_answer_is_one_sentence(result, shared, tmp_path, monkeypatch, capsys, command):
    words = [command, str(result.folder / "model"), str(shared.folder), "--ray", "there:1"]
    words += ["--out", str(tmp_path / "out.npz")]
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(words) == 2
    assert "pip install 'vaebench[cluster]'" in capsys.readouterr().err
    install(monkeypatch, FakeRay(unreachable=True))
    assert main(words) == 2
    assert "no Ray cluster answers at 'there:1' (nobody there)" in capsys.readouterr().err


TWO_MACHINES = """
import json, sys, threading
from pathlib import Path
from ray.cluster_utils import Cluster as Machines
from vaebench.classification import file_blocks
from vaebench.classification.prediction import predict
from vaebench.classification.results import write_predictions
from vaebench.core.ray_pool import RayPool
machines = Machines(initialize_head=True, head_node_args={"num_cpus": 0})
nodes = [machines.add_node(num_cpus=1) for _ in range(2)]
killed = []
def kill(event):
    if event.done >= 0.5 and not killed:
        killed.append(event.done < 0.8)
        threading.Thread(target=machines.remove_node, args=(nodes[0],), kwargs={"allow_graceful": False}).start()
result = predict(sys.argv[1], sys.argv[2], kill, RayPool(machines.address, gpus=False))
write_predictions(Path(sys.argv[3]), result)
print("result", json.dumps(killed))
machines.shutdown()
"""


@pytest.mark.soak
def test_killing_a_machine_of_a_real_cluster_changes_no_line(result, shared, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    folder, model = tmp_path / "many", result.folder / "model"
    for index in range(50):
        shutil.copytree(shared.folder, folder / f"{index:02d}")
    (folder / "00" / "broken.png").write_bytes(b"no image")
    write_predictions(tmp_path / "alone.csv", predict(model, folder, executor=LocalPool(1)))
    run = subprocess.run(
        [sys.executable, "-c", TWO_MACHINES, model, folder, tmp_path / "cluster.csv"],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "RAY_worker_niceness": "0", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    line = next((line for line in run.stdout.splitlines() if line.startswith("result ")), None)
    assert line is not None, run.stderr[-3000:]
    assert json.loads(line.removeprefix("result ")) == [True]
    assert (tmp_path / "cluster.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert len((tmp_path / "alone.csv").read_text().splitlines()) == 12_001


def masked_scans(folder):
    """60 images of floats with masks, and the same images as an array in which unknown pixels are NaN."""
    generator = np.random.default_rng(0)
    values = generator.random((60, 8, 8), np.float32) * 500
    known = generator.random(values.shape) > 0.2
    for row in range(60):
        (folder / "scans").mkdir(parents=True, exist_ok=True)
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(values[row]).save(folder / "scans" / f"{row:02}.tif")
        if row % 5:  # the others have no mask
            Image.fromarray(known[row].astype(np.uint8) * 255).save(folder / "masks" / f"{row:02}.png")
    known[::5] = True
    np.save(folder / "scans.npy", np.where(known, values, np.nan).astype(np.float32))


@pytest.mark.parametrize("workers", [1, 2])
def test_masks_make_pixels_unknown_also_to_encode(tmp_path, monkeypatch, workers):
    """The latents are those of the array with NaN; under the masks they do not depend on what stands there."""
    masked_scans(tmp_path)
    monkeypatch.setattr(file_blocks, "BLOCK", 25)
    recipe = Recipe(
        name="scans",
        data=Data(source=str(tmp_path / "scans.npy")),
        model=Model(latent=3, network=MLP(hidden=(16,))),
        training=Training(epochs=1),
        evaluation=Evaluation(labels_per_class=(1,), draws=1, features=("vae",), supervised=None, samples=None),
        compute=Compute(device="cpu", precision="fp32", threads=1),
    )
    run(recipe, tmp_path / "run")
    of_array = encode_files(tmp_path / "run", tmp_path / "scans.npy", executor=LocalPool(1))
    pool = LocalPool(workers)
    of_masks = encode_files(tmp_path / "run", tmp_path / "scans", executor=pool, masks=tmp_path / "masks")
    assert len(of_masks.names) == 60
    np.testing.assert_allclose(of_masks.mean, of_array.mean, atol=1e-5)
    assert "48 of 60 images have a mask in masks; all pixels of the others are known" in of_masks.notes
    without = encode_files(tmp_path / "run", tmp_path / "scans", executor=LocalPool(1))
    assert np.abs(without.mean - of_masks.mean)[1:5].max() > 1e-3
    np.testing.assert_allclose(without.mean[::5], of_masks.mean[::5], atol=1e-5)


def test_a_model_of_8_bit_images_leaves_masked_ones_out_by_name(result, shared, tmp_path, capsys):
    names = sorted(path.name for path in shared.folder.iterdir())
    (tmp_path / "masks").mkdir()
    for name in names[:3]:
        with Image.open(shared.folder / name) as image:
            mask = np.full(image.size[::-1], 255, np.uint8)
        mask[0] = 0
        Image.fromarray(mask).save(tmp_path / "masks" / name)
    out = tmp_path / "out.csv"
    model, masks = str(result.folder / "model"), str(tmp_path / "masks")
    assert main(["predict", model, str(shared.folder), "--masks", masks, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert all(f"skipped {name}: has pixels that are not known" in said for name in names[:3])
    assert len(out.read_text().splitlines()) == 1 + len(names) - 3


def test_images_in_other_units_are_said(result, tmp_path, capsys):
    """Zeros and ones are nearly black to a model of 8-bit images; nothing is said of images with contrast."""
    generator = np.random.default_rng(0)
    (tmp_path / "new").mkdir()
    for row in range(12):
        top = 2 if row < 9 else 256
        Image.fromarray(generator.integers(0, top, (8, 8), np.uint8)).save(tmp_path / "new" / f"{row}.png")
    out = str(tmp_path / "out.csv")
    assert main(["predict", str(result.folder / "model"), str(tmp_path / "new"), "--out", out]) == 0
    said = capsys.readouterr().out
    expected = "9 images almost of one colour in the range of the training images, 0 to 255: check that the values have"
    assert expected in said
    assert predict(result.folder / "model", tmp_path / "new" / "11.png").notes == ()


def test_predictions_do_not_import_scikit_learn():
    """It takes a second, as long as classifying ten thousand small images."""
    modules = "vaebench.classification.prediction, vaebench.classification.results"
    check = f"import sys, {modules}; print([name for name in ('sklearn', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
