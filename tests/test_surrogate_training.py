"""Surrogates trained, fine-tuned and exported. Oracles: explicit Jacobians and inverses; files run apart."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smoothcert import OrtClassifier
from smoothcert.errors import ArgumentError, DataError, ModelError, RunError
from smoothcert.inputs.datasets import open_dataset
from smoothcert.inputs.spatial import PLAIN, Spatial
from smoothcert.model.classifier import open_model

from .conftest import Result

torch = pytest.importorskip("torch", reason="PyTorch is not installed: `pip install smoothcert[pytorch]`")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: `pip install smoothcert[pytorch]`")

from smoothcert_exporters.surrogate import training  # noqa: E402
from smoothcert_exporters.surrogate.attacks import Attacks  # noqa: E402
from smoothcert_exporters.surrogate.bundle import FILES, write_bundle  # noqa: E402
from smoothcert_exporters.surrogate.covariance import Covariance, fit  # noqa: E402
from smoothcert_exporters.surrogate.finetune import Tuned, Tuning, finetune  # noqa: E402
from smoothcert_exporters.surrogate.images import Images  # noqa: E402
from smoothcert_exporters.surrogate.joined import Way, join  # noqa: E402
from smoothcert_exporters.surrogate.lipschitz import convolution_norm, matrix_norm  # noqa: E402
from smoothcert_exporters.surrogate.networks import Decoder, Encoder  # noqa: E402
from smoothcert_exporters.surrogate.plan import Descent, Plan, Sizes  # noqa: E402
from smoothcert_exporters.surrogate.training import Trained, train  # noqa: E402

Cli = Callable[..., Result]
SIDES = 11, 9
SMALL = Sizes(width=4, depth=2, encoder_width=2, encoder_kernel=3, encoder_hidden=8)
MODULES = """
from torch import nn
def make(): return nn.Sequential(nn.Flatten(), nn.Linear(99, 16), nn.ReLU(), nn.Linear(16, 2))
def encoder(): return nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))
def decoder(): return nn.Sequential(nn.Linear(99, 99), nn.Unflatten(1, (1, 11, 9)))
def narrow(): return nn.Sequential(nn.Flatten(), nn.Linear(99, 1))
"""


def pictures(count: int = 48, sides: tuple[int, int] = SIDES) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bright bars, upright or lying, on grainy ground, and which of the two they are."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 60, (count, *sides)), np.arange(count) % 2
    for image, label, place in zip(images, labels, rng.integers(2, 6, count), strict=True):
        (image if label else image.T)[place : place + 2] += 150
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    images, labels = pictures()
    np.savez(folder / "bars.npz", x=images, y=labels)
    np.savez(folder / "unlabelled.npz", x=images)
    np.savez(folder / "other.npz", x=pictures(6, (8, 8))[0], y=pictures(6)[1])
    np.savez(folder / "floats.npz", x=images.astype(np.float32) / 255, y=labels)
    (folder / "bars_modules.py").write_text(MODULES)
    return folder


def opened(path: Path, spatial: Spatial = PLAIN) -> Images:
    return Images.of(open_dataset(path), path.name, spatial)


def plan_of(images: Images, text: str = "brightness=-0.2:0.2", epochs: int = 4, **more: Any) -> Plan:
    values = {"descent": Descent(epochs=epochs, batch=16), "sizes": SMALL, "labels": 2, "rank": 4, **more}
    return Plan(attacks=Attacks.parse(text), image=images.shape, data=images.sha256, spatial={}, **values)


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained, Tuned]:
    """A folder with a surrogate of brightness, and a classifier fine-tuned for it."""
    folder, images = tmp_path_factory.mktemp("made"), opened(data / "bars.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data)
        trained = train(plan_of(images, descent=Descent(epochs=12, batch=16, rate=5e-3)), images, folder)
        how = Tuning(
            model="bars_modules:make",
            preprocess={"mean": [0.3], "std": [0.25]},
            data=images.sha256,
            descent=Descent(epochs=12, batch=16, rate=5e-3),
        )
        return folder, trained, finetune(trained, how, images, folder)


# --- Networks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 7), (1, 1, 5), (2, 33, 30)], ids=str)
@pytest.mark.parametrize("hidden", [0, 5])
def test_networks_take_images_of_any_size(shape: tuple[int, int, int], hidden: int) -> None:
    images = torch.rand(3, *shape)
    codes = Encoder(shape, width=2, layers=2, hidden=hidden)(images)
    assert codes.shape == (3, images[0].numel())
    for depth in (1, 3):
        assert Decoder(shape, width=4, depth=depth)(codes).shape == images.shape


@pytest.mark.parametrize(("outs", "ins", "kernel"), [(1, 1, 3), (4, 1, 5), (1, 4, 5), (3, 5, 3), (4, 4, 7)])
def test_the_norm_of_a_convolution_is_bounded(outs: int, ins: int, kernel: int) -> None:
    """Oracle: the largest singular value of the convolution as an explicit matrix; the bound is near."""
    torch.manual_seed(outs + 10 * ins)
    layer = torch.nn.Conv2d(ins, outs, kernel, padding=kernel // 2, bias=False).double()
    basis = torch.eye(ins * 9 * 7, dtype=torch.float64).reshape(-1, ins, 9, 7)
    with torch.no_grad():
        true = float(torch.linalg.matrix_norm(layer(basis).flatten(1), 2))
    bound = convolution_norm(layer.weight, (9, 7))
    assert true <= bound <= 1.5 * true


@pytest.mark.parametrize("hidden", [0, 6])
@pytest.mark.parametrize("limit", [1.5, 4.0, 1e6])
def test_no_encoder_lengthens_more_than_its_bound(hidden: int, limit: float) -> None:
    """Oracle: the largest singular value of explicit Jacobians, and secants between images."""
    torch.manual_seed(1)
    encoder = Encoder((1, 7, 6), width=3, layers=2, kernel=3, hidden=hidden).double()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter *= 3
    encoder.bound(limit)
    assert encoder.lipschitz <= limit * (1 + 1e-9)
    images = 3 * torch.randn(8, 1, 7, 6, dtype=torch.float64)
    for image in images:
        jacobian = torch.autograd.functional.jacobian(lambda x: encoder(x[None])[0], image).reshape(42, 42)
        assert float(torch.linalg.matrix_norm(jacobian, 2)) <= encoder.lipschitz
    with torch.no_grad():
        codes = encoder(images)
    apart, before = torch.cdist(codes, codes), torch.cdist(images.flatten(1), images.flatten(1))
    assert bool((apart <= encoder.lipschitz * before + 1e-9).all())


def test_the_norm_of_a_matrix_is_bounded() -> None:
    weight = torch.randn(5, 9)
    assert np.linalg.norm(weight.numpy(), 2) <= matrix_norm(weight) <= 1.001 * np.linalg.norm(weight.numpy(), 2)


# --- Noise ------------------------------------------------------------------------------------------------------------


def test_delta_is_the_form_of_the_inverse() -> None:
    rng = np.random.default_rng(0)
    given = Covariance(rng.standard_normal((7, 3)), rng.uniform(0.5, 2, 7))
    explicit = np.linalg.inv(given.factor @ given.factor.T + np.diag(given.deviations**2))
    rows = rng.standard_normal((5, 7))
    assert given.deltas(rows) == pytest.approx([np.sqrt(row @ explicit @ row) for row in rows], rel=1e-12)
    assert given.times(2).deltas(rows) == pytest.approx(given.deltas(rows) / 2)


def test_delta_of_training_is_the_theory_s(data: Path) -> None:
    """Test values of theory.md section 6, A1 = (2, 0)', s1 = .5, s2 = .3."""
    images = opened(data / "bars.npz")
    surrogate = training.build(plan_of(images))
    surrogate.directions = torch.nn.Parameter(torch.tensor([[2.0], [0.0]]))
    rows = torch.tensor([[0.5, 0.2], [0.4, 0.0], [0.0, 0.3], [0.4, 0.6]])
    found = surrogate.squared(rows, 0.5, 0.3).sqrt().tolist()
    assert found == pytest.approx([0.820855, 0.383131, 1, 2.036367], abs=1e-6)


@pytest.mark.parametrize(("rows", "rank"), [(500, 20), (500, 3), (10, 20)])
def test_the_fitted_covariance_is_the_root_of_the_second_moment(rows: int, rank: int) -> None:
    rng = np.random.default_rng(1)
    differences = rng.standard_normal((rows, 20)) * np.geomspace(3, 0.1, 20)
    found = fit(differences, rank=rank, floor=1e-6)
    assert (found.deltas(differences) ** 2).mean() == pytest.approx(1)
    assert (found.deviations > 0).all()
    if rows > 20 and rank == 20:
        values, vectors = np.linalg.eigh(differences.T @ differences / rows)
        root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
        whole = found.factor @ found.factor.T + np.diag(found.deviations**2)
        assert whole / np.trace(whole) == pytest.approx(root / np.trace(root), abs=1e-4)


# --- Training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["brightness=-0.2:0.2", "rotation=-20:20", "translation=2", "zoom_blur=1:1.5,step=0.1"]
)
def test_training_lowers_the_losses(text: str, data: Path, tmp_path: Path) -> None:
    images = opened(data / "bars.npz")
    how = Descent(epochs=20, batch=8, rate=5e-3)
    found = train(plan_of(images, text, descent=how, closeness=1.0), images, tmp_path / "s")
    first, last = found.history[0], found.history[-1]
    assert last["imitation"] < 0.8 * first["imitation"]
    assert last["delta"] < first["delta"]
    assert last["class"] < first["class"]
    assert found.surrogate.encoder.lipschitz <= SMALL.lipschitz
    assert found.covariance.factor.shape == (99, 4)
    assert found.surrogate.directions.shape == (99, 2 if text.startswith("translation") else 1)


def test_nine_of_ten_images_stay_within_the_reach(made: tuple[Path, Trained, Tuned], data: Path) -> None:
    trained, images = made[1], opened(data / "bars.npz")
    rows = np.arange(len(images))
    clean = training.codes(trained.surrogate, images.clean(rows))
    moved = [
        training.codes(trained.surrogate, images.under(rows, trained.plan.attacks, [value] * len(rows)))
        for value in np.linspace(-0.2, 0.2, 21).tolist()
    ]
    largest = np.max([trained.covariance.deltas(codes - clean) for codes in moved], axis=0)
    assert np.quantile(largest, 0.9) == pytest.approx(trained.plan.reach, rel=0.02)


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3])
def test_a_training_that_was_killed_comes_to_the_same_end(after: int, data: Path, tmp_path: Path) -> None:
    images = opened(data / "bars.npz")
    plan = plan_of(images)
    whole = train(plan, images, tmp_path / "whole")

    def progress(done: int) -> None:
        if done == after * len(images):
            raise Killed

    with pytest.raises(Killed):
        train(plan, images, tmp_path / "cut", progress)
    if after < 4:
        with pytest.raises(RunError, match=f"{after} of 4 epochs"):
            training.opened(tmp_path / "cut")
    assert train(plan, images, tmp_path / "cut").sha256 == whole.sha256
    assert train(plan, images, tmp_path / "cut").sha256 == whole.sha256, "once more changes nothing"


def test_a_seed_gives_the_same_bytes_and_another_others(data: Path, tmp_path: Path) -> None:
    images = opened(data / "bars.npz")
    torch.manual_seed(5)
    first = train(plan_of(images, epochs=1), images, tmp_path / "a")
    state = torch.get_rng_state()
    torch.set_num_threads(2)
    again = train(plan_of(images, epochs=1), images, tmp_path / "b")
    other = train(plan_of(images, descent=Descent(epochs=1, batch=16, seed=1)), images, tmp_path / "c")
    assert first.sha256 == again.sha256 != other.sha256
    assert bool((torch.get_rng_state() == state).all()), "the program's own random numbers are left alone"


def test_networks_of_one_s_own(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    images = opened(data / "bars.npz")
    plan = plan_of(images, encoder="bars_modules:encoder", decoder="bars_modules:decoder")
    found = train(plan, images, tmp_path / "s")
    assert "not known, for the encoder is your own" in found.lines[1]
    bundle = write_bundle(found, classifier_file(tmp_path / "m.onnx"), tmp_path / "b")
    assert json.loads((bundle.path / "surrogate.json").read_text())["training"]["lipschitz of F2"] is None


# --- Fine-tuning ------------------------------------------------------------------------------------------------------


def test_finetuning_lowers_the_loss_and_resumes(made: tuple[Path, Trained, Tuned], data: Path, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(data)
    images, trained = opened(data / "bars.npz"), made[1]
    assert made[2].history[-1]["loss"] < made[2].history[0]["loss"]
    for joint in (False, True):
        folder = tmp_path / str(joint)
        how = Tuning(
            model="bars_modules:make", preprocess={}, data=images.sha256, descent=Descent(epochs=2), joint=joint
        )
        whole = finetune(trained, how, images, folder / "whole")

        def progress(done: int) -> None:
            if done == len(opened(data / "bars.npz")):
                raise Killed

        with pytest.raises(Killed):
            finetune(trained, how, images, folder / "cut", progress=progress)
        finetune(trained, how, images, folder / "cut")
        files = [(folder / name / "finetuned.pt").read_bytes() for name in ("whole", "cut")]
        assert files[0] == files[1]
        before, after = (module.state_dict().values() for module in (trained.surrogate.decoder, whole.decoder))
        same = all(bool((a == b).all()) for a, b in zip(before, after, strict=True))
        assert same is not joint


# --- The bundle -------------------------------------------------------------------------------------------------------


def classifier_file(path: Path, shape: tuple[int, ...] = (1, *SIDES), kind: int = TensorProto.FLOAT) -> Path:
    """A linear classifier of two classes, of opset 18, that tells every place of its input apart."""
    size = int(np.prod(shape))
    weight = np.random.default_rng(3).standard_normal((size, 2)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["f"], ["r"]),
            helper.make_node("MatMul", ["r", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", kind, ["n", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def answers(path: Path, rows: NDArray[Any]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: rows})[0]
    return found


def test_the_bundle_is_what_it_says(made: tuple[Path, Trained, Tuned], data: Path, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(data)
    _, trained, tuned = made
    done = write_bundle(trained, tuned, tmp_path / "b")
    manifest = json.loads((tmp_path / "b" / "surrogate.json").read_text())
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == sorted([*FILES, "surrogate.json"])
    assert manifest["files"] == {n: hashlib.sha256((tmp_path / "b" / n).read_bytes()).hexdigest() for n in FILES}
    assert [*sorted(manifest)] == [
        "code", "files", "format", "image", "noise", "step", "trained", "training", "transform", "version",
    ]  # fmt: skip
    assert (manifest["format"], manifest["version"]) == ("smoothcert surrogate", 1)
    assert (manifest["transform"], manifest["trained"]) == (
        {"name": "brightness", "options": {}},
        {"low": -0.2, "high": 0.2},
    )
    assert (manifest["image"], manifest["code"], manifest["step"]) == ([1, 11, 9], 99, 2**-12)
    assert manifest["noise"] == {"sigma": 1.0}
    assert manifest["training"]["lipschitz of F2"] == pytest.approx(trained.surrogate.encoder.lipschitz)
    assert max(parity.relative for parity in done.parity.values()) < 1e-4
    arrays = np.load(tmp_path / "b" / "arrays.npz")
    assert {name: (array.shape, array.dtype.str) for name, array in arrays.items()} == {
        "A1": ((99, 1), "<f8"), "b1": ((99,), "<f8"), "factor": ((99, 4), "<f8"), "deviations": ((99,), "<f8"),
    }  # fmt: skip
    again = write_bundle(trained, tuned, tmp_path / "again")
    assert again.sha256 == done.sha256
    assert (tmp_path / "again" / "surrogate.json").read_bytes() == (tmp_path / "b" / "surrogate.json").read_bytes()


def test_the_graphs_of_a_bundle_compute_what_they_should(made: tuple[Path, Trained, Tuned], data: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Oracle: the modules, and the graphs run one after the other."""
    monkeypatch.chdir(data)
    _, trained, tuned = made
    write_bundle(trained, tuned, tmp_path / "b")
    images = opened(data / "bars.npz").clean(np.arange(5))
    codes = answers(tmp_path / "b" / "encoder.onnx", images)
    assert codes == pytest.approx(training.codes(trained.surrogate, images), abs=1e-5)
    decoded = answers(tmp_path / "b" / "decoder.onnx", codes)
    scores = answers(tmp_path / "b" / "model.onnx", decoded)
    with torch.inference_mode():
        module = tuned.classifier((torch.from_numpy(decoded) - 0.3) / 0.25).numpy()
    assert scores == pytest.approx(module, abs=1e-4)
    assert answers(tmp_path / "b" / "classifier.onnx", codes) == pytest.approx(scores, abs=1e-4)
    joined = open_model(tmp_path / "b" / "classifier.onnx")
    assert (joined.batch, joined.shape, joined.adapted, joined.output) == (None, (99,), (), "scores")
    assert OrtClassifier(tmp_path / "b" / "classifier.onnx").classes == 2


def test_the_user_s_file_is_kept_byte_for_byte(made: tuple[Path, Trained, Tuned], tmp_path: Path) -> None:
    file = classifier_file(tmp_path / "m.onnx")
    write_bundle(made[1], file, tmp_path / "b")
    assert (tmp_path / "b" / "model.onnx").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 5, 3), (None, 4, 5)], ids=str)
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8])
def test_a_classifier_of_any_layout_is_joined(shape: tuple[int, ...], kind: int, tmp_path: Path) -> None:
    """Oracle: the file's own answers to the 8-bit image of which the code is the decoder's."""
    known = tuple(n or 3 for n in shape)
    file = open_model(classifier_file(tmp_path / "m.onnx", known, kind))
    decoder = onnx.helper.make_model(
        helper.make_graph(
            [helper.make_node("Reshape", ["code", "s"], ["image"])],
            "d",
            [helper.make_tensor_value_info("code", TensorProto.FLOAT, ["batch", 60])],
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 4, 5])],
            [numpy_helper.from_array(np.array([0, 3, 4, 5]), "s")],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    way = Way.of(file, (3, 4, 5), "m.onnx")
    onnx.save(join(decoder, way), tmp_path / "j.onnx")
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    code = (image / 255).astype(np.float32)
    taken = image if known == (3, 4, 5) else np.moveaxis(image, 1, -1)
    rows = taken if kind == TensorProto.UINT8 else taken.astype(np.float32) / 255
    expected = answers(tmp_path / "m.onnx", np.ascontiguousarray(rows))
    assert answers(tmp_path / "j.onnx", code.reshape(2, 60)) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert way.scores(code) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_no_bundle_is_left_where_parity_fails(made: tuple[Path, Trained, Tuned], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"parity of encoder.onnx|single inputs"):
        write_bundle(made[1], classifier_file(tmp_path / "m.onnx"), tmp_path / "b", tolerance=1e-12)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("name", ["surrogate.pt", "finetuned.pt"])
def test_damaged_checkpoints_are_refused(
    name: str, made: tuple[Path, Trained, Tuned], tmp_path: Path, cli: Cli
) -> None:
    content = (made[0] / name).read_bytes()
    for i, bad in enumerate((content[: len(content) // 2], b"", content.replace(b"smoothcert surrogate", b"x" * 20))):
        folder = tmp_path / str(i)
        folder.mkdir()
        for file in ("surrogate.pt", "finetuned.pt"):
            (folder / file).write_bytes((made[0] / file).read_bytes())
        (folder / name).write_bytes(bad)
        found = cli("export", "surrogate", folder, "b")
        assert found.code == 2
        assert re.fullmatch(rf"smoothcert: .*{name}: expected .*, got: .*\n", found.err)
        assert not Path("b").exists()


# --- Commands ---------------------------------------------------------------------------------------------------------

SHORT = ("--epochs", 2, "--width", 4, "--encoder-hidden", 4)


def test_commands_train_finetune_and_export(data: Path, cli: Cli) -> None:
    Path("bars_modules.py").write_text(MODULES)
    bars = data / "bars.npz"
    first = cli("surrogate", "train", "--transform", "brightness=-0.2:0.2", "--data", bars, "--out", "s", *SHORT)
    assert (first.code, first.err) == (0, "")
    assert "brightness -0.2:0.2: 2 epochs" in first.out
    tuned = cli("surrogate", "finetune", "s", "--model", "bars_modules:make", "--data", bars, "--epochs", 2)
    assert (tuned.code, tuned.err) == (0, "")
    written = cli("export", "surrogate", "s", "b")
    assert (written.code, written.err) == (0, "")
    assert {path.name for path in Path("b").iterdir()} == {*FILES, "surrogate.json"}


TRAIN = ("surrogate", "train", "--data", "bars.npz", "--out", "s")
TUNE = ("surrogate", "finetune", "made", "--model", "bars_modules:make")
BAD = {
    "unknown": ((*TRAIN, "--transform", "zoom"), "--transform: expected one of noise, "),
    "beyond": ((*TRAIN, "--transform", "pixelate=0.5:2"), "--transform: expected values of pixelate from"),
    "no range": ((*TRAIN, "--transform", "rotation=3"), "--transform: expected rotation=LOW:HIGH"),
    "no identity": ((*TRAIN, "--transform", "jpeg=50:95"), "expected one with a value that changes nothing, got jpeg"),
    "not within": ((*TRAIN, "--transform", "rotation=3:5"), "expected a range that holds 0"),
    "option": ((*TRAIN, "--transform", "rotation=-3:5,edge=1"), "expected options of rotation: border"),
    "noise": ((*TRAIN, "--transform", "noise=0:1"), "which has one a pixel"),
    "lipschitz": (
        (*TRAIN, "--transform", "rotation=-3:5", "--lipschitz", "1"),
        "--lipschitz: expected a number above 1",
    ),
    "floats": (
        ("surrogate", "train", "--transform", "blur=0:2", "--data", "floats.npz", "--out", "s"),
        "floats.npz[0]: expected an 8-bit image, got float32",
    ),
    "another": (
        ("surrogate", "train", "--transform", "rotation=-3:5", "--data", "bars.npz", "--out", "made"),
        "made: expected a checkpoint of this training, got one of another: ",
    ),
    "unlabelled": ((*TUNE, "--data", "unlabelled.npz"), "unlabelled.npz: expected a label for every image"),
    "size": ((*TUNE, "--data", "other.npz"), "other.npz: expected images of 1x11x9, as the surrogate has, got 1x8x8"),
    "none": (
        ("surrogate", "finetune", "s", "--model", "bars_modules:make", "--data", "bars.npz"),
        "s/surrogate.pt: expected a checkpoint of smoothcert surrogate",
    ),
    "classes": (
        ("surrogate", "finetune", "untuned", "--model", "bars_modules:narrow", "--data", "bars.npz"),
        "bars_modules:narrow: expected scores of 2 classes or more",
    ),
    "no noise": ((*TUNE, "--data", "bars.npz", "--sigma", "0"), "--sigma: expected a number above 0, got 0"),
    "there": (("export", "surrogate", "made", "made", "--model", "m.onnx"), "made: expected a new folder"),
    "step": (("export", "surrogate", "made", "b", "--model", "m.onnx", "--step", "0.3"), "--step: expected a power of"),
    "other model": (
        ("export", "surrogate", "made", "b", "--model", "other.onnx"),
        "other.onnx: expected a classifier of images (1, 11, 9)",
    ),
    "no model": (("export", "surrogate", "untuned", "b"), "untuned: expected a fine-tuned classifier, got none"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line(case: str, data: Path, made: tuple[Path, Trained, Tuned], cli: Cli) -> None:
    for file in data.iterdir():
        if file.is_file():
            Path(file.name).write_bytes(file.read_bytes())
    classifier_file(Path("m.onnx"))
    classifier_file(Path("other.onnx"), (1, 8, 8))
    for folder, names in (("made", ["surrogate.pt", "finetuned.pt"]), ("untuned", ["surrogate.pt"])):
        Path(folder).mkdir()
        for name in names:
            (Path(folder) / name).write_bytes((made[0] / name).read_bytes())
    words, line = BAD[case]
    found = cli(*words)
    assert found.code == 2
    assert found.err.startswith("smoothcert: ")
    assert found.err.count("\n") == 1
    assert line in found.err
    assert not Path("b").exists()


def test_without_pytorch_the_line_names_the_extra(data: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from smoothcert.cli.app import main; main()"
    for words in (
        ("surrogate", "train", "--transform", "blur=0:2", "--data", data / "bars.npz", "--out", "s"),
        ("surrogate", "finetune", "s", "--model", "m:make", "--data", data / "bars.npz"),
        ("export", "surrogate", "s", "b"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert re.fullmatch(r"smoothcert: .*torch.*; pip install 'smoothcert\[pytorch\]'\n", done.stderr), done.stderr


def test_plain_errors(data: Path) -> None:
    with pytest.raises(ArgumentError, match="epochs: expected at least 1"):
        Descent(epochs=0)
    with pytest.raises(DataError, match="expected a label for every image"):
        _ = opened(data / "unlabelled.npz").classes
