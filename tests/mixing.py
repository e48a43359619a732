"""Generated classifiers whose rows mix, or do not: operator x axes x place in the network, for the independence search.

Every mixing piece maps (N, F) to (N, F) and lets a row see others of its batch; every honest piece does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import models

SIZE, WIDTH, CLASSES = 12, 12, 4
Nodes = list[onnx.NodeProto]
Piece = Callable[[str, str], tuple[Nodes, dict[str, Any]]]
node = helper.make_node


def _numbers(**values: Any) -> dict[str, Any]:
    return {name: np.asarray(v, np.int64) for name, v in values.items()}


def _centred(op: str, how: str, axes: list[int]) -> Piece:
    """x - r(x), x / (|r(x)| + 1), or gated by r(x), with r a reduction over `axes`, batch included."""

    def piece(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
        c: dict[str, Any] = _numbers(axes=axes) | {"one": np.float32(1), "small": np.float32(0.05)}
        nodes = [node(op, [x, "axes"], ["r"], keepdims=1)]
        if how == "sub":
            return [*nodes, node("Sub", [x, "r"], [y])], c
        if how == "div":
            return [*nodes, node("Abs", ["r"], ["a"]), node("Add", ["a", "one"], ["d"]), node("Div", [x, "d"], [y])], c
        compare = [node("Mul", ["r", "small"], ["t"]), node("Greater", [x, "t"], ["gate"])]
        return [*nodes, *compare, node("Where", ["gate", x, "small"], [y])], c

    return piece


def _span(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
    """(x - min) / (max - min) of the whole batch."""
    c: dict[str, Any] = _numbers(axes=[0, 1]) | {"eps": np.float32(1e-6)}
    return [
        node("ReduceMin", [x, "axes"], ["low"], keepdims=1),
        node("ReduceMax", [x, "axes"], ["high"], keepdims=1),
        node("Sub", ["high", "low"], ["span"]),
        node("Add", ["span", "eps"], ["d"]),
        node("Sub", [x, "low"], ["n"]),
        node("Div", ["n", "d"], [y]),
    ], c


def _standard(axes: list[int]) -> Piece:
    """(x - mean) / std over `axes`."""

    def piece(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
        c: dict[str, Any] = _numbers(axes=axes) | {"eps": np.float32(1e-3)}
        return [
            node("ReduceMean", [x, "axes"], ["m"], keepdims=1),
            node("Sub", [x, "m"], ["c"]),
            node("Mul", ["c", "c"], ["cc"]),
            node("ReduceMean", ["cc", "axes"], ["var"], keepdims=1),
            node("Add", ["var", "eps"], ["ve"]),
            node("Sqrt", ["ve"], ["s"]),
            node("Div", ["c", "s"], [y]),
        ], c

    return piece


def _one(op: str, constants: dict[str, Any] | None = None, inputs: tuple[str, ...] = (), **attributes: Any) -> Piece:
    return lambda x, y: ([node(op, [x, *inputs], [y], **attributes)], constants or {})


def _shifted(by: int) -> Piece:
    """x + half of the row `by` places before, the batch rolled."""

    def piece(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
        c: dict[str, Any] = _numbers(s=[0], e=[-by], f=[-by], g=[2**40], z=[0]) | {"half": np.float32(0.5)}
        return [
            node("Slice", [x, "s", "e", "z"], ["head"]),
            node("Slice", [x, "f", "g", "z"], ["tail"]),
            node("Concat", ["tail", "head"], ["rolled"], axis=0),
            node("Mul", ["rolled", "half"], ["part"]),
            node("Add", [x, "part"], [y]),
        ], c

    return piece


def _attention(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
    """Rows attend to each other."""
    c: dict[str, Any] = {"t": np.float32(0.01)}
    return [
        node("Transpose", [x], ["xt"], perm=[1, 0]),
        node("MatMul", [x, "xt"], ["qk"]),
        node("Mul", ["qk", "t"], ["st"]),
        node("Softmax", ["st"], ["soft"], axis=1),
        node("MatMul", ["soft", x], [y]),
    ], c


def _ranked(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
    """Each value less the largest of the batch in its column, by TopK."""
    return [node("TopK", [x, "k"], ["top", "at"], axis=0), node("Sub", [x, "top"], [y])], _numbers(k=[1])


def _scaled(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
    """To 8 bits and back with the batch's own largest value: dynamic quantisation without its operator."""
    c: dict[str, Any] = _numbers(axes=[0, 1]) | {"k": np.float32(127), "eps": np.float32(1e-6)}
    return [
        node("Abs", [x], ["a"]),
        node("ReduceMax", ["a", "axes"], ["m"], keepdims=1),
        node("Add", ["m", "eps"], ["me"]),
        node("Div", ["me", "k"], ["s"]),
        node("Div", [x, "s"], ["q"]),
        node("Round", ["q"], ["r"]),
        node("Mul", ["r", "s"], [y]),
    ], c


_REDUCTIONS = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceLogSumExp")

MIXING: dict[str, Piece] = {
    **{
        f"{op} {how} over {axes}": _centred(op, how, axes)
        for op in _REDUCTIONS
        for how in ("sub", "div", "gate")
        for axes in ([0], [0, 1])
    },
    "min-max of the batch": _span,
    "standardised by column": _standard([0]),
    "standardised by batch": _standard([0, 1]),
    "softmax over the batch": _one("Softmax", axis=0),
    "log-softmax over the batch": _one("LogSoftmax", axis=0),
    "hardmax over the batch": _one("Hardmax", axis=0),
    "running sum": _one("CumSum", _numbers(axis=0), ("axis",)),
    "running sum, exclusive": _one("CumSum", _numbers(axis=0), ("axis",), exclusive=1),
    "running sum, from the end": _one("CumSum", _numbers(axis=0), ("axis",), reverse=1),
    **{f"the row {by} before": _shifted(by) for by in (1, 2, 3)},
    "attention among rows": _attention,
    "rank among rows": _ranked,
    "8 bits by the batch": _scaled,
    "lp-norm over the batch": _one("LpNormalization", axis=0, p=2),
    "mean-variance of the batch": _one("MeanVarianceNormalization", axes=[0]),
}


def _layer_norm(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
    c = {"lg": np.ones(WIDTH, np.float32), "lb": np.zeros(WIDTH, np.float32)}
    return [node("LayerNormalization", [x, "lg", "lb"], [y], axis=-1)], c


def _batch_norm(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
    rng = np.random.default_rng(3)
    c = {f"n{i}": rng.random(WIDTH, np.float32) + np.float32(0.5) for i in range(4)}
    return [node("BatchNormalization", [x, "n0", "n1", "n2", "n3"], [y])], c


def _static_bits(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
    c = {"qs": np.float32(0.02), "qz": np.int8(3)}
    return [node("QuantizeLinear", [x, "qs", "qz"], ["q"]), node("DequantizeLinear", ["q", "qs", "qz"], [y])], c


def _half(x: str, y: str) -> tuple[Nodes, dict[str, Any]]:
    """Half precision inside."""
    w = np.random.default_rng(4).standard_normal((WIDTH, WIDTH)).astype(np.float16) / np.float16(4)
    cast = node("Cast", [x], ["h16"], to=TensorProto.FLOAT16)
    return [cast, node("MatMul", ["h16", "hw"], ["hm"]), node("Cast", ["hm"], [y], to=TensorProto.FLOAT)], {"hw": w}


HONEST: dict[str, Piece] = {
    **{f"{op} {how} over [1]": _centred(op, how, [1]) for op in _REDUCTIONS for how in ("sub", "div", "gate")},
    "standardised by row": _standard([1]),
    "softmax over classes": _one("Softmax", axis=1),
    "hardmax over classes": _one("Hardmax", axis=1),
    "running sum of a row": _one("CumSum", _numbers(axis=1), ("axis",)),
    "layer norm": _layer_norm,
    "batch norm in inference": _batch_norm,
    "static quantisation": _static_bits,
    "half precision": _half,
    "lp-norm of a row": _one("LpNormalization", axis=1, p=2),
    "dropout in inference": _one("Dropout"),
    **{op.lower(): _one(op) for op in ("Relu", "Tanh", "Sigmoid", "Erf", "Sin", "Sign", "Floor", "Exp", "Softplus")},
    "square root, NaN below 0": _one("Sqrt"),
}


def network(piece: Piece, place: str, *, labels: bool = False, seed: int = 0) -> bytes:
    """A classifier of SIZE floats with the piece at its `place`: input, hidden (behind a layer) or scores."""
    rng = np.random.default_rng(seed)
    wide = {"input": SIZE, "hidden": WIDTH, "scores": WIDTH}
    constants: dict[str, Any] = {
        "w": rng.standard_normal((SIZE, WIDTH)).astype(np.float32) / 3,
        "b": rng.standard_normal(WIDTH).astype(np.float32) / 3,
        "v": rng.standard_normal((wide[place], CLASSES)).astype(np.float32) / 3,
    }
    given, result = {"input": "x", "hidden": "h", "scores": "h"}[place], "scores" if place == "scores" else "p"
    inner, more = piece(given, result)
    for n in inner:
        for names in (n.input, n.output):
            names[:] = [name if name in (given, result) else f"piece_{name}" for name in names]
    constants |= {f"piece_{name}": value for name, value in more.items()}
    layer = [node("Gemm", ["x", "w", "b"], ["g"]), node("Relu", ["g"], ["h"])]
    last = [] if place == "scores" else [node("MatMul", ["p", "v"], ["scores"])]
    nodes = [*([] if place == "input" else layer), *inner, *last]
    outputs = [models.value("scores", TensorProto.FLOAT, ("N", WIDTH if place == "scores" else CLASSES))]
    if labels:
        nodes.append(node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0))
        outputs = [models.value("label", TensorProto.INT64, ("N",))]
    return models.model(nodes, [models.value("x", TensorProto.FLOAT, ("N", SIZE))], outputs, constants)


def in_function(content: bytes) -> bytes:
    """The same classifier, all of its nodes inside a local function."""
    proto = onnx.load_from_string(content)
    weights = [t.name for t in proto.graph.initializer]
    (given,), (out,) = proto.graph.input, proto.graph.output
    opset = helper.make_opsetid("", 18)
    function = helper.make_function("local", "All", [given.name, *weights], [out.name], proto.graph.node, [opset])
    graph = helper.make_graph(
        [node("All", [given.name, *weights], [out.name], domain="local")], "g", [given], [out], proto.graph.initializer
    )
    opsets = [opset, helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8).SerializeToString()


def in_branch(content: bytes) -> bytes:
    """The same classifier in both branches of an If."""
    proto = onnx.load_from_string(content)
    (given,), (out,) = proto.graph.input, proto.graph.output
    branches = {}
    for name in ("then_branch", "else_branch"):
        nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in proto.graph.node]
        made = {o for n in nodes for o in n.output}
        for n in nodes:
            for names in (n.input, n.output):
                names[:] = [f"{name}_{i}" if i in made else i for i in names]
        result = onnx.ValueInfoProto.FromString(out.SerializeToString())
        result.name = f"{name}_{out.name}"
        branches[name] = helper.make_graph(nodes, name, [], [result])
    on = numpy_helper.from_array(np.array(True), "on")
    graph = helper.make_graph(
        [node("If", ["on"], [out.name], **branches)], "g", [given], [out], [*proto.graph.initializer, on]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


def cases(pieces: dict[str, Piece]) -> Iterator[tuple[str, bytes]]:
    """Every piece at every place, with scores and with labels as the output."""
    for name, piece in pieces.items():
        for place in ("input", "hidden", "scores"):
            for labels in (False, True):
                yield f"{name}, {place}, {'labels' if labels else 'scores'}", network(piece, place, labels=labels)
