"""Exports with 8 bits: what is quantised, over which ranges, what agrees with float32, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from smoothcert import Blur, Noise, OrtClassifier, Preprocess, Spatial, certify, compose
from smoothcert.errors import DataError, ModelError
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.sampling import ESTIMATION, PROBE, Sampler
from smoothcert_exporters.finish import Export
from smoothcert_exporters.onnx_file import export_file
from smoothcert_exporters.options import Options, Quantisation
from smoothcert_exporters.quantised import eight_bit
from smoothcert_exporters.quantised.calibration import KEY
from smoothcert_exporters.quantised.operators import chosen

from . import models, onnx_cases
from .conftest import IMAGES, MODEL, Result

Cli = Callable[..., Result]
NOISE = compose(Noise(0.5))
DIGITS = Quantisation(data=IMAGES, smoothing=NOISE, copies=128, votes=300)
FEW = replace(DIGITS, inputs=3, votes=50)
COLOUR = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def exported(content: bytes | Path, path: Path, asked: Quantisation = DIGITS, **options: Any) -> Export:
    source = path.with_name("source.onnx")
    source.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
    settings = {"precision": "int8", "quantisation": asked, "input_range": (0, 1)} | options
    return export_file(source, path, options=Options(**settings))


def of_colours(folder: Path, side: int = 12, count: int = 6) -> Quantisation:
    """Random colour images, few copies, and no claim about labels: of networks with random weights."""
    images = np.random.default_rng(3).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    np.savez(folder / "colours.npz", x=images)
    return Quantisation(data=folder / "colours.npz", smoothing=NOISE, copies=24, inputs=2, votes=60, agreement=0)


def turned_in_pairs() -> bytes:
    """A batch axis fixed to two, ahead of an operator whose way with the batch is not known."""
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 8), np.linspace(1, -1, 8)), axis=-1)
    constants = {
        "grid": np.stack([grid, grid]).astype(np.float32),
        "w": rng.standard_normal((192, 5)).astype(np.float32),
        "b": rng.standard_normal(5).astype(np.float32),
    }
    nodes = [
        onnx.helper.make_node("GridSample", ["x", "grid"], ["turned"]),
        onnx.helper.make_node("Flatten", ["turned"], ["flat"]),
        onnx.helper.make_node("Gemm", ["flat", "w", "b"], ["y"]),
    ]
    inputs, outputs = (models.value(n, TensorProto.FLOAT, s) for n, s in (("x", (2, 3, 8, 8)), ("y", (2, 5))))
    return models.model(nodes, [inputs], [outputs], constants)


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exported(MODEL, tmp_path_factory.mktemp("int8") / "digits8.onnx")


def test_digits_agree_and_certify_alike(digits: Export) -> None:
    """Labels to 99 %, every input that float32 certifies, mean radii within 2 %."""
    found = digits.compared
    assert found is not None
    assert found.apart
    assert found.agreement > 0.99
    assert found.worst[1] > 0.95
    assert found.int8.count >= found.float32.count == 20
    assert found.int8.mean_radius == pytest.approx(found.float32.mean_radius, rel=0.02)
    text = "\n".join(digits.lines)
    assert "20 inputs that no range was measured on, 300 copies of each at noise = 0.5" in text
    assert "20 of 20 by float32, 20 by int8; mean radius" in text


def test_votes_are_equal_for_any_threads_and_batch_size(digits: Export) -> None:
    image, counts = np.load(IMAGES)["x"][2], []
    for threads, size in ((1, 1), (1, 64), (2, 7), (2, 32), (2, None)):
        classifier = OrtClassifier(digits.path, threads=threads, batch_size=size)
        sampler = Sampler(classifier, compose(Noise(1.5)).perturbation, classifier.prepare(image), key=5, index=0)
        counts.append(sampler.counts(ESTIMATION, 0, 700))
    assert len(counts[0]) > 3, "noise so strong that labels are mixed"
    assert all(count == counts[0] for count in counts)


def test_the_certificate_says_which_function(digits: Export) -> None:
    classifier = OrtClassifier(digits.path)
    assert digits.precision == classifier.precision == classifier.recipe["precision"] == "int8"
    assert classifier.sha256 != OrtClassifier(MODEL).sha256
    assert certify(classifier, Noise(0.5), np.load(IMAGES)["x"][0], n=500, key=1).radius > 0.5


def test_metadata_say_how_it_came_about(digits: Export, cli: Cli) -> None:
    said = dict(OrtClassifier(digits.path).card.quantisation or {})
    assert said.pop("by").startswith("onnxruntime")
    assert len(said.pop("data_sha256")) == 64
    assert said.pop("agreement") >= 0.99
    assert said == {
        "method": "static QDQ, min-max, per channel",
        "activations": "uint8",
        "weights": "int8",
        "reduce_range": True,
        "operators": ["Conv", "Gemm", "Relu", "Reshape"],
        "smoothing": [{"part": "noise", "scale": 0.5, "law": "normal"}],
        "inputs": 128,
        "copies": 128,
    }
    shown = cli("inspect", digits.path).out
    assert "weights int8 of 7 bits; ranges of 128 perturbed copies of 128 inputs at noise = 0.5" in shown


def test_a_run_at_another_smoothing_is_remarked_on(digits: Export, cli: Cli) -> None:
    other = cli("certify", digits.path, IMAGES, "--smooth", "noise=1", "--n", 200, "--limit", 1)
    assert "ranges of this 8-bit model were measured at noise = 0.5" in other.out + other.err
    same = cli("certify", digits.path, IMAGES, "--smooth", "noise=0.5", "--n", 200, "--limit", 1)
    assert "ranges of this 8-bit model" not in same.out + same.err


def test_no_sum_of_products_saturates_anywhere(digits: Export, tmp_path: Path) -> None:
    """Without VNNI two products of 255 and a weight are added in 16 bits: weights up to 64 leave room, 127 do not."""
    weights = [a for a in arrays(digits.path).values() if a.dtype == np.int8 and a.ndim > 1]
    assert len(weights) == 5
    assert all(2 * 255 * np.abs(w.astype(int)).max() <= 2**15 - 1 for w in weights)
    assert all(np.abs(w.astype(int)).max(axis=tuple(range(1, w.ndim))).min() >= 60 for w in weights[:3]), "per channel"
    full = exported(MODEL, tmp_path / "full.onnx", replace(FEW, reduce_range=False))
    assert max(np.abs(a.astype(int)).max() for a in arrays(full.path).values() if a.dtype == np.int8) == 127


def test_sums_are_those_of_whole_numbers(tmp_path: Path) -> None:
    """Oracle: numpy's integer arithmetic, on inputs beyond both ends of the range too, where saturation would show."""
    rng = np.random.default_rng(0)
    content = models.linear((1, 8, 8), rng.standard_normal((64, 5)), rng.standard_normal(5))
    images = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=images)
    asked = replace(DIGITS, data=tmp_path / "x.npz", votes=50, agreement=0.5)
    path = exported(content, tmp_path / "m.onnx", asked, class_names=()).path
    held = arrays(path)
    step, zero, weights = held["flat_scale"], int(held["flat_zero_point"]), held["w_quantized"].astype(np.int64)
    rows = np.concatenate([images / 255, np.full((1, 8, 8), 9), np.full((1, 8, 8), -9)]).astype(np.float32)[:, None]
    levels = np.clip(np.rint(rows.reshape(-1, 64) / step) + zero, 0, 255).astype(np.int64)
    right = ((levels - zero) @ weights + held["b_quantized"]) * (step * held["w_scale"]).astype(np.float64)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "as-run.onnx")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert "QGemm" in {node.op_type for node in onnx.load(tmp_path / "as-run.onnx").graph.node}
    np.testing.assert_allclose(session.run(None, {"x": rows})[0], right, rtol=1e-5, atol=1e-5)


def test_ranges_are_those_of_the_perturbed_copies(tmp_path: Path) -> None:
    """Oracle: least and largest value of the samples that the runtime draws, as the graph divides them."""
    classifier = OrtClassifier(MODEL)
    with np.load(IMAGES) as archive:
        np.savez(tmp_path / "two.npz", x=archive["x"][:2], y=archive["y"][:2])
    asked = replace(FEW, data=tmp_path / "two.npz", copies=9)  # 5 of each
    samples = []
    for index, x in enumerate(np.load(tmp_path / "two.npz")["x"]):
        drawn = Sampler(classifier, NOISE.perturbation, classifier.prepare(x), key=KEY, index=index)
        samples.append(drawn.samples(PROBE, 0, 5) / EIGHT_BIT.unit)
    done = exported(MODEL, tmp_path / "m.onnx", asked)
    assert done.compared is not None
    assert not done.compared.apart
    assert "that ranges were measured on too" in "\n".join(done.lines)
    ahead, held = {n.op_type: n for n in reversed(onnx.load(done.path).graph.node)}, arrays(done.path)
    step, zero = (float(held[name]) for name in ahead["QuantizeLinear"].input[1:])
    mean, deviation = (float(held[ahead[op].input[1]].squeeze()) for op in ("Sub", "Div"))
    low, high = ((end - mean) / deviation for end in (np.min(samples), np.max(samples)))
    assert step == pytest.approx((high - low) / 255, rel=3e-3)
    assert zero == pytest.approx(-low / step, abs=1)


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    """In another process, whose sets are ordered otherwise, on another number of threads."""
    code = f"""
from pathlib import Path
import smoothcert.machine as machine
import smoothcert.model.classifier as classifier
classifier.cores = lambda: 1
from tests.test_quantised import *
print(exported(MODEL, Path({str(tmp_path / "again.onnx")!r}), FEW).sha256)"""
    env = os.environ | {"PYTHONHASHSEED": "7"}
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=root, check=False)
    assert done.stdout.strip() == exported(MODEL, tmp_path / "m.onnx", FEW).sha256, done.stderr


def test_what_agrees_too_seldom_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges that are far too narrow are caught, the default threshold as it is."""
    honest = eight_bit.ranges

    def narrow(*given: Any) -> dict[str, tuple[float, float]]:
        return {name: (low / 200, high / 200) for name, (low, high) in honest(*given).items()}

    monkeypatch.setattr(eight_bit, "ranges", narrow)
    with pytest.raises(ModelError, match=r"at least 90\.00 % of labels to agree with float32, got .* nothing was wri"):
        exported(MODEL, tmp_path / "m.onnx", FEW)
    assert {path.name for path in tmp_path.iterdir()} == {"source.onnx"}


def test_the_last_layer_and_what_stands_ahead_keep_float32(tmp_path: Path) -> None:
    done = exported(models.convnet(), tmp_path / "m.onnx", of_colours(tmp_path), preprocess=COLOUR)
    graph = onnx.load(done.path).graph
    makers = {name: node for node in graph.node for name in node.output}
    assert makers[graph.output[0].name].op_type == "Gemm", "no way through 8 bits behind the scores"
    first = next(node for node in graph.node if node.op_type == "QuantizeLinear")
    assert makers[first.input[0]].op_type == "Div", "mean and deviation in float32"
    assert done.compared is not None
    assert done.compared.agreement > 0.9


def test_transformers_keep_all_but_their_products() -> None:
    """Attention multiplies two computed tensors; of a network without, what lies between layers is taken too."""

    def taken(content: bytes) -> tuple[tuple[str, ...], int]:
        graph = onnx.load_from_string(content).graph
        for i, node in enumerate(graph.node):
            node.name = f"n{i}"
        names = {name for node in graph.node for name in (*node.input, *node.output)}
        found = chosen(graph, names)
        return found.operators, found.layers

    assert taken(onnx_cases.transformer().content) == (("Conv", "Gemm", "MatMul"), 4)
    assert taken(models.convnet()) == (("Conv", "Flatten", "Gemm", "Relu"), 3)


@pytest.mark.parametrize(
    ("content", "side", "options"),
    [
        pytest.param(turned_in_pairs(), 8, {}, id="a batch that stays two"),
        pytest.param(models.convnet(), 12, {"preprocess": COLOUR}, id="mean and deviation"),
        pytest.param(models.convnet((12, 12, 3), nhwc=True), 12, {"preprocess": COLOUR}, id="nhwc"),
        pytest.param(models.convnet(), 30, {"preprocess": Preprocess(spatial=Spatial(resize=12))}, id="resized"),
        pytest.param(models.convnet(), 12, {"preprocess": Preprocess(scale=1.0), "input_range": (0, 255)}, id="levels"),
        pytest.param(onnx_cases.typed(TensorProto.UINT8).content, 8, {"input_range": None}, id="uint8"),
        pytest.param(onnx_cases.transformer().content, 16, {}, id="transformer"),
        pytest.param(onnx_cases.opset_9().content, 8, {}, id="opset 9"),
        pytest.param(models.convnet(), 12, {"precision": "int8-gpu"}, id="for GPUs"),
    ],
)
def test_models_as_they_come(content: bytes, side: int, options: dict[str, Any], tmp_path: Path) -> None:
    """Each is written, opened with its metadata, and certifies an image; its labels are float32's."""
    asked = replace(of_colours(tmp_path, side), agreement=0.9)
    done = exported(content, tmp_path / "m.onnx", asked, **options)
    classifier = OrtClassifier(done.path)
    assert "int8" in classifier.precision
    assert classifier.adapted == ()
    image = np.load(tmp_path / "colours.npz")["x"][0]
    assert sum(certify(classifier, Noise(0.1), image, n=50, key=0).evidence.estimation.values()) == 50


def test_for_gpus_zero_is_zero(tmp_path: Path) -> None:
    done = exported(models.convnet(), tmp_path / "m.onnx", of_colours(tmp_path), precision="int8-gpu")
    held = arrays(done.path)
    points = [held[n.input[2]] for n in onnx.load(done.path).graph.node if "uantizeLinear" in n.op_type]
    assert {p.dtype.name for p in points} == {"int8"}
    assert not any(p.any() for p in points)
    assert "tried on a CPU alone, where it is slower than float32" in done.warning
    assert (OrtClassifier(done.path).card.quantisation or {})["activations"] == "int8"


def test_smoothings_without_a_radius_and_data_without_labels(tmp_path: Path, cli: Cli) -> None:
    with np.load(IMAGES) as archive:
        np.savez(tmp_path / "x.npz", x=archive["x"][:8])
    done = cli(
        *("export", "onnx", MODEL, "m.onnx", "--precision", "int8", "--calibrate", "x.npz"),
        *("--smooth", "contrast=0.3", "--smooth", "brightness=0.2", "--full-range"),
    )
    assert done.code == 0, done.err
    assert "certified (the data have no labels)" in done.out
    assert "mean radius" not in done.out
    said = OrtClassifier("m.onnx").card.quantisation or {}
    assert [part["part"] for part in said["smoothing"]] == ["contrast", "brightness"]
    assert said["reduce_range"] is False


def test_a_smoothing_of_one_part_that_is_no_noise(tmp_path: Path) -> None:
    done = exported(MODEL, tmp_path / "m.onnx", replace(FEW, smoothing=compose(Blur(2))))
    assert done.compared is not None
    assert done.compared.int8.mean_radius is not None


CALIBRATE = ("--calibrate", "demo:digits.npz", "--smooth", "noise=0.5")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(("--precision", "int8"), "--calibrate: expected a data set", id="no data"),
        pytest.param(
            ("--precision", "int8", "--calibrate", "demo:digits.npz"),
            "--smooth: expected at least one NAME=SCALE, such as noise=0.5, got none",
            id="no smoothing",
        ),
        pytest.param(
            CALIBRATE, "--calibrate: expected with --precision int8 alone, got --precision float32", id="else"
        ),
        pytest.param(
            ("--precision", "int8", "--calibrate", "demo:spoken.npz", "--smooth", "noise=0.5"),
            "expected an input that fits the model's (1, 32, 32)",
            id="data of another shape",
        ),
        pytest.param(
            ("--precision", "int8", "--calibrate", "none.npz", "--smooth", "noise=0.5"), "none.npz: expected", id="none"
        ),
        pytest.param(("--precision", "int8", *CALIBRATE, "--agreement", "2"), "--agreement: expected a share", id="2"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, options: tuple[str, ...], says: str) -> None:
    refused = cli("export", "onnx", "demo:digits.onnx", "m.onnx", *options)
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
    assert says in refused.err
    assert not Path("m.onnx").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(onnx_cases.forest().content, "found none to quantise", id="trees"),
        pytest.param(onnx_cases.quantised().content, "got one quantised already; take the original", id="8 bits"),
        pytest.param(onnx_cases.typed(TensorProto.FLOAT16).content, "got half-precision ones", id="float16"),
        pytest.param(onnx_cases.typed(TensorProto.DOUBLE).content, "found none to quantise", id="double"),
    ],
)
def test_what_cannot_be_quantised_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=says):
        exported(content, tmp_path / "m.onnx", of_colours(tmp_path), input_range=None)
    assert not (tmp_path / "m.onnx").exists()


def test_options_belong_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="quantisation: expected with int8, got none"):
        Options(precision="int8")
    with pytest.raises(ValueError, match="quantisation: expected with int8, got float32"):
        Options(quantisation=DIGITS)
    shutil.copy(IMAGES, tmp_path / "d.npz")
    with pytest.raises(DataError, match="fits the model's"):
        exported(models.convnet(), tmp_path / "m.onnx", replace(DIGITS, data=tmp_path / "d.npz"))
