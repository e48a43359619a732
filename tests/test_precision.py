"""Narrower arithmetic: float16, bfloat16 and 8 bits, and the name that a certificate gives them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from smoothcert import Noise, OrtClassifier, Preprocess, certify
from smoothcert.errors import ModelError
from smoothcert.model.file import read_model
from smoothcert_exporters.adapt.adapted import adapt
from smoothcert_exporters.adapt.precision import convert
from smoothcert_exporters.finish import finish
from smoothcert_exporters.options import Options

from . import models
from .test_export import finished, reference

SHAPE = (3, 12, 12)
PLANAR = models.convnet(SHAPE)
BATCH = np.random.default_rng(1).random((60, *SHAPE), np.float32)
CHANNELS = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def scores(model: onnx.ModelProto, batch: NDArray[np.float32] = BATCH) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: batch})[0])


def test_float16_inside_float32_outside() -> None:
    """Oracle: numpy's rounding of the weights, and the float32 scores to half precision's 11 bits."""
    narrow = convert(onnx.load_from_string(PLANAR), "float16")
    onnx.checker.check_model(narrow, full_check=True)
    assert narrow.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert narrow.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    weights = {t.name: numpy_helper.to_array(t) for t in narrow.graph.initializer}
    before = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(PLANAR).graph.initializer}
    assert (weights["w1"] == before["w1"].astype(np.float16)).all()
    assert (weights["w3"] == before["w3"]).all(), "the last layer stays float32"
    right = reference(PLANAR)(BATCH)
    difference = np.abs(scores(narrow) - right).max() / np.abs(right).max()
    assert 1e-6 < difference < 5e-3


def test_scores_of_half_precision_are_no_multiples_of_its_steps() -> None:
    """The last layer adds up in float32: no way through float16 is left behind it."""
    found = scores(convert(onnx.load_from_string(PLANAR), "float16"))
    assert (found != found.astype(np.float16)).mean() > 0.9


def test_bfloat16_is_rounded_from_float32() -> None:
    """Oracle: the top 16 bits, to nearest, ties to even. 1 + 2^-8 + 2^-12 goes up, but down by way of float16."""
    twice = np.float32(1 + 2**-8 + 2**-12)
    content = models.linear((4,), np.full((4, 3), twice), np.zeros(3))
    model = onnx.load_from_string(content)
    model.graph.node.insert(0, onnx.helper.make_node("Mul", ["x", "factor"], ["scaled"]))
    model.graph.node[1].input[0] = "scaled"
    model.graph.initializer.append(numpy_helper.from_array(np.full(4, twice), "factor"))
    narrow = convert(model, "bfloat16")
    (factor,) = (t for t in narrow.graph.initializer if t.name == "factor")
    assert factor.data_type == TensorProto.BFLOAT16
    assert numpy_helper.to_array(factor).astype(np.float32).tolist() == [1 + 2**-7] * 4
    kinds = {t.data_type for t in narrow.graph.initializer} | {
        v.type.tensor_type.elem_type for v in narrow.graph.output
    }
    assert TensorProto.FLOAT16 not in kinds


def test_agreement_is_measured_and_kept(tmp_path: Path) -> None:
    done = finished(tmp_path / "m.onnx", precision="float16", preprocess=CHANNELS)
    assert done.agreement is not None
    assert done.parity.relative < 1e-5 < done.agreement.relative < 0.03
    assert any(line.startswith("float16+float32 against float32: largest difference") for line in done.lines)
    classifier = OrtClassifier(tmp_path / "m.onnx")
    assert classifier.precision == classifier.recipe["precision"] == "float16+float32"
    assert classifier.card.parity is not None
    assert classifier.card.parity["float32"]["relative"] >= done.agreement.relative
    first = (tmp_path / "m.onnx").read_bytes()
    finished(tmp_path / "m.onnx", precision="float16", preprocess=CHANNELS)
    assert (tmp_path / "m.onnx").read_bytes() == first


def test_a_narrow_model_certifies(tmp_path: Path) -> None:
    """Votes like those of the float32 model, within the noise of near ties."""
    finished(tmp_path / "m.onnx", precision="float16")
    x = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    narrow = certify(OrtClassifier(tmp_path / "m.onnx"), Noise(0.5), x, n=2000, key=1).evidence.estimation
    full = certify(OrtClassifier(PLANAR), Noise(0.5), x, n=2000, key=1).evidence.estimation
    assert sum(abs(narrow.get(c, 0) - full.get(c, 0)) for c in full) <= 20


TRANSFORMER = """
import sys
import numpy as np
from smoothcert import OrtClassifier
classifier = OrtClassifier(sys.argv[1], threads=1, batch_size=2)
print(classifier.labels(np.zeros((2, 3, 12, 12), np.float32), 2, False).tolist())
"""


def test_a_float16_transformer_does_not_end_the_process(tmp_path: Path) -> None:
    """Patches, LayerNormalization, Transpose, MatMul: ONNX Runtime 1.31 dies of it, by one of its optimizers.

    In a process of its own. Oracle: the float32 graph's label of a black image.
    """
    rng = np.random.default_rng(0)
    shapes = {"w": (16, 3, 4, 4), "b": (16,), "g": (16,), "m": (16, 16), "k": (144, 4), "e": (1, 9, 16)}
    weights: dict[str, Any] = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {"tokens": np.array([0, 16, 9]), "flat": np.array([0, -1])}
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w", "b"], ["c"], strides=[4, 4], kernel_shape=[4, 4]),
        onnx.helper.make_node("Reshape", ["c", "tokens"], ["v"]),
        onnx.helper.make_node("Transpose", ["v"], ["t"], perm=[0, 2, 1]),
        onnx.helper.make_node("Add", ["t", "e"], ["a"]),
        onnx.helper.make_node("LayerNormalization", ["a", "g", "g"], ["l"]),
        onnx.helper.make_node("Transpose", ["l"], ["turned"], perm=[1, 0, 2]),
        onnx.helper.make_node("MatMul", ["turned", "m"], ["mixed"]),
        onnx.helper.make_node("Transpose", ["mixed"], ["back"], perm=[1, 0, 2]),
        onnx.helper.make_node("Reshape", ["back", "flat"], ["f"]),
        onnx.helper.make_node("Gemm", ["f", "k"], ["y"]),
    ]
    x, y = models.value("x", TensorProto.FLOAT, ("N", *SHAPE)), models.value("y", TensorProto.FLOAT, ("N", 4))
    content = models.model(nodes, [x], [y], weights)
    onnx.save(convert(onnx.load_from_string(content), "float16"), tmp_path / "m.onnx")
    command = [sys.executable, "-c", TRANSFORMER, str(tmp_path / "m.onnx")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-300:]
    label = int(reference(content)(np.zeros((1, *SHAPE), np.float32)).argmax())
    assert result.stdout.strip() == str([label, label])


def test_bfloat16_computes_the_same_to_8_bits() -> None:
    """Oracle: ONNX's own evaluator, which has kernels where ONNX Runtime has none; weights round to 2^-9."""
    weights = np.random.default_rng(2).standard_normal((48, 5)) / 7
    content = models.linear((48,), np.eye(48) * 1.1, np.zeros(48))
    model = onnx.load_from_string(content)
    model.graph.node[-1].output[0] = "hidden"
    model.graph.node.append(onnx.helper.make_node("MatMul", ["hidden", "last"], ["logits"]))
    model.graph.initializer.append(numpy_helper.from_array(weights.astype(np.float32), "last"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    batch = np.random.default_rng(3).random((20, 48), np.float32)
    right = batch * 1.1 @ weights
    found = reference(convert(model, "bfloat16").SerializeToString())(batch)
    assert found.dtype == np.float32
    difference = np.abs(found - right).max() / np.abs(right).max()
    assert 1e-4 < difference < 2e-2


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    """Activations beyond 65504 overflow; the float32 graph is fine."""
    model = onnx.load_from_string(PLANAR)
    for tensor in model.graph.initializer:
        if tensor.name == "w1":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1e5), "w1"))
    with pytest.raises(ModelError, match=r"precision float16: expected differences up to 0\.03"):
        finished(tmp_path / "m.onnx", model.SerializeToString(), precision="float16")
    assert not any(tmp_path.iterdir())


def test_bfloat16_where_the_cpu_has_no_kernels_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^bfloat16 does not run on provider cpu: .*Conv") as error:
        finished(tmp_path / "m.onnx", precision="bfloat16")
    assert "\n" not in str(error.value)
    assert not any(tmp_path.iterdir())


def test_other_precisions_and_narrow_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="precision: expected one of float32, float16, bfloat16, got 'int4'"):
        finished(tmp_path / "m.onnx", precision="int4")
    narrow = convert(onnx.load_from_string(PLANAR), "float16")
    with pytest.raises(ModelError, match="precision float16: expected a graph of float32 weights"):
        convert(narrow, "float16")
    assert not any(tmp_path.iterdir())


# --- 8 bits -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["one scale a tensor", "one scale a channel"])
def quantised(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    """The convolutional network in 8 bits, by ONNX Runtime's own tool."""
    quantization = pytest.importorskip("onnxruntime.quantization", exc_type=ImportError)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: Iterator[dict[str, Any]] = iter([{"x": BATCH[:30]}, {"x": BATCH[30:]}])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    source, target = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    source.write_bytes(PLANAR)
    options = {"quant_format": quantization.QuantFormat.QDQ, "weight_type": quantization.QuantType.QInt8}
    quantization.quantize_static(source, target, Reader(), per_channel=request.param, **options)
    return target.read_bytes()


def test_8_bit_models_pass_through(quantised: bytes, tmp_path: Path) -> None:
    """Their nodes and weights stay; preprocessing goes ahead of them. Oracle: the file itself, as it came."""
    model = onnx.load_from_string(quantised)
    done = finish(
        model,
        tmp_path / "out" / "m.onnx",
        reference=lambda batch: scores(model, batch),
        example=BATCH[:1],
        source="onnx",
        options=Options(preprocess=CHANNELS),
    )
    written = onnx.load(tmp_path / "out" / "m.onnx")
    kept = [node.op_type for node in written.graph.node if not node.name.startswith("smoothcert_folded")]
    assert kept == [node.op_type for node in model.graph.node]
    assert done.precision == OrtClassifier(tmp_path / "out" / "m.onnx").precision == "int8"
    assert done.parity.relative < 1e-4


def test_8_bit_models_are_adapted_by_nothing(quantised: bytes) -> None:
    model = onnx.load_from_string(quantised)
    adapted = adapt(model).proto
    assert [node.op_type for node in adapted.graph.node] == [node.op_type for node in model.graph.node]
    assert {t.name: t.raw_data for t in adapted.graph.initializer} == {
        t.name: t.raw_data for t in model.graph.initializer
    }


def test_8_bit_models_are_not_narrowed_again(quantised: bytes) -> None:
    with pytest.raises(ModelError, match="precision float16: expected a graph of float32 weights, got a narrower one"):
        convert(onnx.load_from_string(quantised), "float16")


def test_precision_of_a_model_quantised_in_part(quantised: bytes) -> None:
    """Its last layer in float32, and preprocessing, which does not count."""
    model = onnx.load_from_string(quantised)
    extra = np.zeros((3, 1, 1), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(extra, "smoothcert_folded_0"))
    assert read_model(model.SerializeToString()).precision == "int8"
    model.graph.initializer.append(numpy_helper.from_array(extra, "other"))
    assert read_model(model.SerializeToString()).precision == "float32+int8"
