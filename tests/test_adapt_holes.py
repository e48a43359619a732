"""Files made to slip through the adaptation: each is refused, left at its batch, or answers as it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smoothcert import OrtClassifier
from smoothcert.errors import ModelError
from smoothcert.inputs.input import Input
from smoothcert.model.classifier import open_model
from smoothcert.model.graph.functions import inlined
from smoothcert.model.source import read_source
from smoothcert_exporters.adapt.adapted import adapt

from .models import value

QUICK = (
    "test_one_version_said_twice_is_no_harm",
    "test_refused_when_read",
)

FLOAT = TensorProto.FLOAT
node = helper.make_node
RNG = np.random.default_rng(3)
W = RNG.standard_normal((12, 3)).astype(np.float32)


def graph(
    nodes: list[onnx.NodeProto],
    shape: tuple[int | str, ...] = (1, 12),
    constants: dict[str, Any] | None = None,
    *,
    opsets: tuple[tuple[str, int], ...] = (("", 18), ("ai.onnx.ml", 3)),
    functions: tuple[onnx.FunctionProto, ...] = (),
    dead: bool = False,
) -> onnx.ModelProto:
    """From `x` to scores `y` of three classes."""
    weights = [numpy_helper.from_array(np.asarray(v), k) for k, v in ({"W": W} | (constants or {})).items()]
    entries = [value("x", FLOAT, shape), *([value("unused", FLOAT, (1,))] if dead else [])]
    listed = [value(t.name, t.data_type, tuple(t.dims)) for t in weights]
    made = helper.make_graph(nodes, "g", [*entries, *listed], [value("y", FLOAT, (shape[0], 3))], weights)
    imports = [helper.make_opsetid(*one) for one in opsets]
    return helper.make_model(made, opset_imports=imports, ir_version=9, functions=functions)


def answers(proto: onnx.ModelProto, rows: NDArray[Any], size: int = 1) -> NDArray[Any]:
    """Oracle: ONNX Runtime on the graph as it is; zeros for every other input."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    others = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs() if i.name != "x"}
    found = [session.run(["y"], {"x": rows[i : i + size]} | others)[0] for i in range(0, len(rows), size)]
    return np.concatenate(found)


def old(op: str, **attributes: Any) -> list[onnx.NodeProto]:
    return [node(op, ["x"], ["u"], **attributes), node("Flatten", ["u"], ["f"]), node("MatMul", ["f", "V"], ["y"])]


OLD: dict[str, tuple[list[onnx.NodeProto], int]] = {
    "Hardmax": (old("Hardmax"), 12),
    "Softmax": (old("Softmax"), 12),
    "LogSoftmax": (old("LogSoftmax"), 12),
    "AveragePool": (old("AveragePool", kernel_shape=[2, 2], pads=[1, 1, 0, 0]), 12),
    "Clip": (old("Clip", min=-0.3, max=0.4), 12),
    "Elu": (old("Elu"), 12),
    **{
        f"Upsample {mode} {scale}": (
            old("Upsample", scales=[1.0, 1.0, scale, scale], mode=mode),
            int(4 * scale) * int(3 * scale),
        )
        for mode in ("nearest", "linear")
        for scale in (1.5, 2.0, 3.0)
    },
}


@pytest.mark.parametrize("dead", [False, True], ids=["alone", "beside a dead input"])
def test_what_onnx_upgrades_wrongly_is_refused(dead: bool) -> None:
    """12 operators of opset 7, fixed to a batch of 1, or free beside a dead input.

    Oracle: the file, which ONNX Runtime still runs.
    """
    rows = RNG.standard_normal((20, 1, 4, 3)).astype(np.float32)
    refused = set()
    for name, (nodes, width) in OLD.items():
        V = RNG.standard_normal((width, 3)).astype(np.float32)
        proto = graph(nodes, ("N" if dead else 1, 1, 4, 3), {"V": V}, opsets=(("", 7),), dead=dead)
        try:
            adapted = adapt(proto)
        except ModelError:
            refused.add(name)
            continue
        assert np.allclose(answers(adapted.proto, rows), answers(proto, rows), atol=1e-5), name
        assert np.allclose(answers(adapted.given, rows), answers(proto, rows), atol=1e-6), name
    assert {"Hardmax", "Upsample linear 2.0"} <= refused
    assert not refused & {"Softmax", "Clip", "Elu", "Upsample nearest 2.0"}


def test_a_graph_that_stays_fixed_is_tried_too() -> None:
    """What cannot be freed is held against the file before it is returned."""
    nodes = [node("Hardmax", ["x"], ["h"]), node("Flatten", ["h"], ["f"]), node("MatMul", ["f", "V"], ["s"])]
    nodes += [node("ReduceSum", ["s"], ["t"], axes=[0], keepdims=1), node("Add", ["s", "t"], ["y"])]
    with pytest.raises(ModelError, match="answers otherwise than its file"):
        adapt(graph(nodes, (1, 1, 4, 3), {"V": W}, opsets=(("", 7),), dead=True))


def negative_size() -> onnx.ModelProto:
    proto = graph([node("MatMul", ["x", "W"], ["y"])], opsets=(("", 7),))
    proto.graph.initializer[0].dims[:] = [-1]
    return proto


def negative_inside() -> onnx.ModelProto:
    inner = helper.make_tensor("c", FLOAT, [1], [1.0])
    inner.dims[:] = [1, -4]
    return graph([node("Constant", [], ["c"], value=inner), node("MatMul", ["x", "W"], ["y"])])


def two_versions(*opsets: tuple[str, int]) -> onnx.ModelProto:
    return graph([node("MatMul", ["x", "W"], ["y"])], opsets=opsets)


def outputs_alike() -> onnx.ModelProto:
    proto = graph([node("MatMul", ["x", "W"], ["y"])])
    proto.graph.output.append(proto.graph.output[0])
    return proto


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (negative_size, "got one of a negative size"),
        (negative_inside, "got one of a negative size"),
        (lambda: two_versions(("", 13), ("ai.onnx", 11)), "one opset of the standard operators, got 11 and 13"),
        (lambda: two_versions(("ai.onnx", 11), ("ai.onnx", 13)), "one opset of the standard operators"),
        (lambda: two_versions(("", 13), ("ai.onnx.ml", 1), ("ai.onnx.ml", 3)), "one opset of ai.onnx.ml"),
        (outputs_alike, "got two alike"),
    ],
)
def test_refused_when_read(make: Callable[[], onnx.ModelProto], words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        read_source(make().SerializeToString())
    assert "\n" not in str(caught.value)


def test_one_version_said_twice_is_no_harm() -> None:
    assert open_model(two_versions(("", 18), ("ai.onnx", 18)).SerializeToString()).batch is None


def test_a_converter_that_crashes_does_not_end_the_process() -> None:
    """Past the checks of a reader: ONNX's converter is known to end the process on this graph."""
    from smoothcert_exporters.adapt.conversion import upgraded

    with pytest.raises(ModelError, match="cannot be converted to opset 18") as caught:
        upgraded(negative_size(), 18)
    assert "\n" not in str(caught.value)


def test_a_constant_with_two_attributes_is_left_to_onnx_runtime() -> None:
    constant = node("Constant", [], ["c"], value_float=1.0)
    constant.attribute.append(helper.make_attribute("note", "hi"))
    nodes = [constant, node("MatMul", ["x", "W"], ["z"]), node("Add", ["z", "c"], ["y"])]
    for batch in (1, "N"):
        proto = graph(nodes, (batch, 12))
        rows = RNG.standard_normal((6, 12)).astype(np.float32)
        assert np.allclose(answers(adapt(proto).proto, rows), answers(proto, rows), atol=1e-5)


def function(domain: str, opset: int) -> onnx.FunctionProto:
    """Named like an operator that takes every value for itself; it takes the largest of all rows off."""
    body = [node("ReduceMax", ["a"], ["m"], axes=[0], keepdims=1), node("Sub", ["a", "m"], ["b"])]
    return helper.make_function(domain, "Elu", ["a"], ["b"], body, [helper.make_opsetid("", opset)])


@pytest.mark.parametrize("domain", ["com.microsoft", "my"])
@pytest.mark.parametrize("opset", [16, 17])
def test_a_function_is_never_taken_for_an_operator_of_its_name(domain: str, opset: int) -> None:
    """Whatever its opset: what is freed answers every row as the file does alone, else the batch stays."""
    nodes = [node("MatMul", ["x", "W"], ["a"]), node("Elu", ["a"], ["y"], domain=domain)]
    opsets = (("", 17), (domain, 1))
    proto = graph(nodes, opsets=opsets, functions=(function(domain, opset),))
    rows = RNG.standard_normal((8, 12)).astype(np.float32)
    adapted = adapt(proto)
    assert not adapted.proto.functions
    assert "Elu" not in {n.op_type for n in adapted.proto.graph.node}
    found = answers(adapted.proto, rows, adapted.batch or 4)
    assert np.allclose(found, answers(proto, rows), atol=1e-5)
    if opset == 16:
        with pytest.raises(ModelError, match="expected functions that can be written out, got"):
            inlined(proto)


ML: dict[str, dict[str, Any]] = {
    "Normalizer": {"norm": "L1"},
    "Scaler": {"offset": [0.5], "scale": [2.0]},
    "LinearRegressor": {"coefficients": [1.0], "intercepts": [0.5]},
}


@pytest.mark.parametrize("op", ML)
def test_one_axis_is_one_row_to_operators_of_machine_learning(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the graph alone: with a trial that lets all pass."""
    from smoothcert_exporters.proof import trial

    monkeypatch.setattr(trial.Trial, "check", lambda *_, **__: None)
    flat, back = np.array([-1], np.int64), np.array([-1, 1], np.int64)
    nodes = [node("MatMul", ["x", "w"], ["p"]), node("Reshape", ["p", "flat"], ["v"])]
    nodes += [node(op, ["v"], ["q"], domain="ai.onnx.ml", **ML[op]), node("Reshape", ["q", "back"], ["r"])]
    nodes += [node("Mul", ["r", "e"], ["y"])]
    constants = {"w": W[:, :1], "flat": flat, "back": back, "e": np.array([[1, 2, 3]], np.float32)}
    adapted = adapt(graph(nodes, constants=constants))
    assert adapted.batch == 1
    assert "takes a tensor of one axis for one row" in adapted.warning


REDUCTIONS = [("ReduceSum", opset) for opset in (11, 13, 17, 18)] + [("ReduceMax", opset) for opset in (13, 17, 18, 20)]


@pytest.mark.parametrize(("op", "opset"), REDUCTIONS)
def test_a_reduction_over_everything_is_made_free(op: str, opset: int) -> None:
    """Axes are an attribute or an input by the opset. Oracle: the file, row by row."""
    nodes = [node("MatMul", ["x", "W"], ["z"]), node(op, ["z"], ["s"], keepdims=1), node("Sub", ["z", "s"], ["y"])]
    proto = graph(nodes, opsets=(("", opset),))
    rows = RNG.standard_normal((8, 12)).astype(np.float32)
    adapted = adapt(proto)
    assert adapted.batch is None, adapted.warning
    assert np.allclose(answers(adapted.proto, rows, 4), answers(proto, rows), atol=1e-5)


@pytest.mark.parametrize(("op", "opset"), [("Upsample", 9), ("Resize", 10), ("Resize", 13), ("Resize", 19)])
@pytest.mark.parametrize("scale", [1.0, 1.04])
def test_a_resize_of_the_batch_by_next_to_nothing(op: str, opset: int, scale: float) -> None:
    """1.04 leaves one row one row, and makes two of 25."""
    scales = np.array([scale, 1.0], np.float32)
    names = ["z", "", "scales"] if opset > 10 else ["z", "scales"]
    mode = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if opset > 10 else {}
    nodes = [node("MatMul", ["x", "W"], ["z"]), node(op, names, ["y"], mode="nearest", **mode)]
    adapted = adapt(graph(nodes, constants={"scales": scales}, opsets=(("", opset),)))
    assert adapted.batch == (None if scale == 1.0 else 1)
    assert ("resizes the batch" in adapted.warning) == (scale != 1.0)


def test_a_classifier_of_an_old_file_answers_as_it_did() -> None:
    """End to end, through bytes: labels of 20 images."""
    proto = graph(OLD["Softmax"][0], ("N", 1, 4, 3), {"V": W}, opsets=(("", 7),), dead=True)
    images = RNG.random((20, 1, 4, 3)).astype(np.float32)
    found = OrtClassifier(proto.SerializeToString()).labels(images, 20, levels=None)
    assert (found == answers(proto, images).argmax(axis=1)).all()


def test_every_input_of_a_run_is_asked_of_the_file_too() -> None:
    """An adapted model whose file says otherwise of one input alone: that input fails, the others have their answer."""
    opened = open_model(graph([node("MatMul", ["x", "W"], ["y"])]).SerializeToString())
    assert opened.given is not None
    bias = {"far": np.float32(9), "much": np.float32([0, 1e4, 0])}
    nodes = [node("MatMul", ["x", "W"], ["z"]), node("ReduceMax", ["x"], ["m"], axes=[1], keepdims=1)]
    nodes += [node("Greater", ["m", "far"], ["g"]), node("Cast", ["g"], ["k"], to=FLOAT)]
    nodes += [node("Mul", ["k", "much"], ["b"]), node("Add", ["z", "b"], ["y"])]
    other = graph(nodes, constants=bias, opsets=(("", 17),))
    classifier = OrtClassifier(replace(opened, given=other), threads=1)
    rows = np.abs(RNG.standard_normal((9, 12))).astype(np.float32)
    assert [classifier.answer(Input.of(x)) for x in rows] == answers(opened.given, rows).argmax(axis=1).tolist()
    rows[3] = 10 * (W[:, 0] - W[:, 1])
    rows[3, 0] = max(rows[3, 0], 10)
    with pytest.raises(ModelError, match="to this input, its file 1;"):
        classifier.answer(Input.of(rows[3]))
