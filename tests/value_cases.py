"""Graphs whose shapes depend on values: sources of such shapes, and what reads a shape as if it were a constant."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .models import value

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
WIDTH, CLASSES = 16, 3


class Build:
    """A graph being written: every call adds a node and gives the name of its result; arrays become constants."""

    def __init__(self, batch: int | str) -> None:
        self.batch, self.nodes, self.constants = batch, list[onnx.NodeProto](), list[onnx.TensorProto]()
        self.functions, self._numbers = list[onnx.FunctionProto](), itertools.count()
        self.feature = "f"  # (batch, 16): what sources look at

    def name(self) -> str:
        return f"n{next(self._numbers)}"

    def operand(self, what: Any) -> str:
        if isinstance(what, str):
            return what
        array = np.asarray(what)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        self.constants.append(numpy_helper.from_array(array, self.name()))
        return self.constants[-1].name

    def __call__(self, op: str, *operands: Any, outputs: int = 1, **attributes: Any) -> str:
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, [self.operand(o) for o in operands], names, **attributes))
        return names[0]

    def model(self, scores: str, opset: int = 20) -> onnx.ModelProto:
        """Inputs (batch, 1, 4, 4), read as `f` (batch, 16); scores (batch, 3)."""
        nodes = [helper.make_node("Flatten", ["x"], ["f"], axis=1), *self.nodes]
        nodes.append(helper.make_node("Identity", [scores], ["y"]))
        ends = [value("x", FLOAT, (self.batch, 1, 4, 4))], [value("y", FLOAT, (self.batch, CLASSES))]
        graph = helper.make_graph(nodes, "values", *ends, self.constants)
        opsets = [helper.make_opsetid(d, v) for d, v in (("", opset), ("com.microsoft", 1), ("local", 1))]
        return helper.make_model(graph, opset_imports=opsets, functions=self.functions, ir_version=8)


def branch(*nodes: onnx.NodeProto, kind: int = FLOAT) -> onnx.GraphProto:
    """A branch of an If: its last node writes its result."""
    last = nodes[-1].output[0]
    return helper.make_graph(nodes, last, [], [value(last, kind, None)])


def count(g: Build) -> str:
    """How many values are not 0, at least 1, as int64 (1,): the same for all inputs without exact zeros."""
    found = g("ReduceSum", g("Cast", _is_there(g, g.feature), to=INT64), keepdims=0)
    return g("Max", g("Reshape", found, [1]), [1])


def _is_there(g: Build, name: str) -> str:
    return g("Not", g("Equal", name, 0.0))


def row(g: Build) -> str:
    """All values of the batch in one axis."""
    return g("Reshape", g.feature, [-1])


def either(g: Build, first: Any, second: Any) -> str:
    """One of two int64 tensors, as more than 4 values are not 0 or are."""
    return g("Where", g("Greater", count(g), [4]), np.asarray(first), np.asarray(second))


def there(g: Build) -> str:
    return _is_there(g, row(g))


def _boxes(g: Build) -> str:
    scores = real(g, g("Reshape", g("Slice", there(g), [0], [WIDTH]), [1, 1, WIDTH]))
    corners = np.arange(WIDTH)[:, None] * 2.0 + np.array([0, 0, 1, 1])
    return g("NonMaxSuppression", corners[None].astype(np.float32), scores, [WIDTH], [0.5], [0.3])


def _loop(g: Build) -> str:
    """As many turns as values that are not 0; every turn gives a row."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Cast", ["turn"], ["given"], to=FLOAT)],
        "body",
        [value("turn", INT64, ()), value("go", TensorProto.BOOL, ())],
        [value("on", TensorProto.BOOL, ()), value("given", FLOAT, ())],
    )
    return g("Loop", g("Reshape", count(g), np.zeros(0, np.int64)), np.array(True), body=body)


def _growing(g: Build) -> str:
    """A tensor that grows with every turn."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Concat", ["held", "held_one"], ["longer"], axis=0),
        ],
        "body",
        [value("turn", INT64, ()), value("go", TensorProto.BOOL, ()), value("held", FLOAT, ("k",))],
        [value("on", TensorProto.BOOL, ()), value("longer", FLOAT, ("m",))],
        [numpy_helper.from_array(np.ones(1, np.float32), "held_one")],
    )
    return g("Loop", g("Reshape", count(g), np.zeros(0, np.int64)), np.array(True), np.zeros(1, np.float32), body=body)


def _scan(g: Build) -> str:
    """A Scan over what Compress left."""
    body = helper.make_graph(
        [helper.make_node("Abs", ["one"], ["given"])], "body", [value("one", FLOAT, ())], [value("given", FLOAT, ())]
    )
    return g("Scan", g("Compress", row(g), there(g), axis=0), body=body, num_scan_inputs=1)


def _branches(g: Build) -> str:
    """An If on the values, with branches of two shapes."""
    g.operand(np.zeros(1))
    many = g("Squeeze", g("Greater", count(g), [4]))
    short = branch(helper.make_node("Constant", [], [g.name()], value_floats=[1.0, 2.0]))
    long = branch(helper.make_node("Constant", [], [g.name()], value_floats=[1.0] * 5))
    return g("If", many, then_branch=short, else_branch=long)


def _inner(g: Build) -> str:
    """A NonZero in the branch of an If whose condition is a constant."""
    kind = INT64
    yes = branch(helper.make_node("NonZero", [g.feature], [g.name()]), kind=kind)
    no = branch(helper.make_node("Constant", [], [g.name()], value_ints=[1]), kind=kind)
    return g("If", np.array(True), then_branch=yes, else_branch=no)


def _function(g: Build) -> str:
    """A NonZero in a local function."""
    opsets = [helper.make_opsetid("", 20)]
    body = [helper.make_node("NonZero", ["a"], ["b"])]
    g.functions.append(helper.make_function("local", "Found", ["a"], ["b"], body, opsets))
    return g("Found", g.feature, domain="local")


def _sequence(g: Build) -> str:
    """The first part of a sequence split where the values say."""
    parts = g("SplitToSequence", row(g), _two_parts(g), axis=0)
    return g("SequenceAt", parts, np.array(0))


def _two_parts(g: Build) -> str:
    number = g("Min", count(g), [WIDTH - 1])
    return g("Concat", number, g("Sub", g("Size", g.feature), number), axis=0)


def _inserted(g: Build) -> str:
    """A sequence of what Compress left and a constant, put together again."""
    held = g("SequenceInsert", g("SequenceEmpty"), g("Compress", row(g), there(g), axis=0))
    return g("ConcatFromSequence", g("SequenceInsert", held, np.ones(1)), axis=0)


def _optional(g: Build) -> str:
    return g("OptionalGetElement", g("Optional", g("NonZero", g.feature)))


def _words(g: Build) -> str:
    return g("Cast", g("Round", g.feature), to=STRING)


def _scales(g: Build) -> str:
    return g("Concat", [1.0, 1.0], g("Cast", count(g), to=FLOAT), axis=0)


def _unpooled(g: Build) -> str:
    shape = g("Concat", [1, 1], g("Add", count(g), [8]), axis=0)
    return g("MaxUnpool", np.ones((1, 1, 2)), np.array([[[0, 3]]]), shape, kernel_shape=[2])


SOURCES: dict[str, Callable[[Build], str]] = {
    "NonZero": lambda g: g("NonZero", g.feature),
    "Compress": lambda g: g("Compress", row(g), there(g), axis=0),
    "Unique": lambda g: g("Unique", row(g)),
    "NonMaxSuppression": _boxes,
    "Range": lambda g: g("Range", np.array(0), g("Squeeze", count(g)), np.array(1)),
    "ConstantOfShape": lambda g: g("ConstantOfShape", count(g)),
    "Loop": _loop,
    "Loop that grows": _growing,
    "Scan": _scan,
    "If": _branches,
    "If around NonZero": _inner,
    "function": _function,
    "SplitToSequence": _sequence,
    "SequenceInsert": _inserted,
    "Optional": _optional,
    "TopK": lambda g: g("TopK", row(g), g("Min", count(g), [WIDTH]), outputs=2, axis=0),
    "Slice": lambda g: g("Slice", row(g), [0], count(g)),
    "Slice, steps": lambda g: g("Slice", row(g), [0], [WIDTH], [0], count(g)),
    "Expand": lambda g: g("Expand", 1.0, count(g)),
    "Reshape": lambda g: g("Reshape", g.feature, either(g, [2, -1], [-1, 1])),
    "Tile": lambda g: g("Tile", row(g), count(g)),
    "Pad": lambda g: g("Pad", row(g), g("Concat", [0], count(g), axis=0)),
    "Resize, scales": lambda g: g("Resize", g("Reshape", g.feature, [1, 1, -1]), "", _scales(g)),
    "Resize, sizes": lambda g: g(
        "Resize", g("Reshape", g.feature, [1, 1, -1]), "", "", g("Concat", [1, 1], count(g), axis=0)
    ),
    "OneHot": lambda g: g("OneHot", [0], count(g), [0.0, 1.0]),
    "Squeeze": lambda g: g("Squeeze", g("Reshape", g.feature, [1, -1, 1]), either(g, [0], [2])),
    "Unsqueeze": lambda g: g("Unsqueeze", row(g), either(g, [0], [1])),
    "Split": lambda g: g("Split", row(g), _two_parts(g), outputs=2, axis=0),
    "ReduceSum": lambda g: g("ReduceSum", g("Reshape", g.feature, [2, -1]), either(g, [0], [1]), keepdims=0),
    "ReduceMax": lambda g: g("ReduceMax", g("Reshape", g.feature, [2, -1]), either(g, [0], [1]), keepdims=1),
    "CenterCropPad": lambda g: g("CenterCropPad", row(g), count(g), axes=[0]),
    "MaxUnpool": _unpooled,
    "AffineGrid": lambda g: g(
        "AffineGrid", np.ones((1, 2, 3)), g("Concat", [1, 1, 2], count(g), axis=0), align_corners=0
    ),
    "DFT": lambda g: g("DFT", g("Reshape", g.feature, [1, -1, 1]), g("Squeeze", count(g)), np.array(1)),
    "STFT": lambda g: g("STFT", g("Reshape", g.feature, [1, -1, 1]), g("Squeeze", count(g)), np.ones(4)),
    "HannWindow": lambda g: g("HannWindow", g("Squeeze", count(g))),
    "HammingWindow": lambda g: g("HammingWindow", g("Squeeze", count(g))),
    "BlackmanWindow": lambda g: g("BlackmanWindow", g("Squeeze", count(g))),
    "MelWeightMatrix": lambda g: g(
        "MelWeightMatrix", g("Squeeze", count(g)), np.array(64), np.array(8000), np.array(0.0), np.array(4000.0)
    ),
    "StringNormalizer": lambda g: g(
        "StringNormalizer", g("Reshape", _words(g), [-1]), stopwords=["0", "-0"], locale="C"
    ),
    "StringSplit": lambda g: g("StringSplit", _words(g), delimiter="1", outputs=2),
    "Unique of ONNX Runtime": lambda g: g("Unique", row(g), domain="com.microsoft", outputs=3),
    "Range of ONNX Runtime": lambda g: g(
        "Range", np.array(0), g("Squeeze", count(g)), np.array(1), domain="com.microsoft"
    ),
    "Gather behind NonZero": lambda g: g("Gather", row(g), g("NonZero", row(g))),
    "GatherND behind NonZero": lambda g: g("GatherND", g.feature, g("Transpose", g("NonZero", g.feature), perm=[1, 0])),
    "EyeLike behind NonZero": lambda g: g("EyeLike", g("NonZero", g.feature)),
    "MatMul behind NonZero": lambda g: g("MatMul", np.ones((1, 2)), g("Cast", g("NonZero", g.feature), to=FLOAT)),
    "Squeeze behind Compress": lambda g: g(
        "Squeeze", g("Compress", g("Reshape", g.feature, [-1, 1, 1]), there(g), axis=0)
    ),
    "Concat behind Compress": lambda g: g("Concat", g("Compress", row(g), there(g), axis=0), np.ones(2), axis=0),
}
SETTLED: dict[str, Callable[[Build], str]] = {
    "Relu": lambda g: g("Relu", g.feature),
    "Softmax, Transpose": lambda g: g("Transpose", g("Softmax", g.feature), perm=[1, 0]),
    "Conv": lambda g: g("Conv", "x", np.ones((2, 1, 3, 3)), kernel_shape=[3, 3]),
    "NonZero of a constant": lambda g: g("NonZero", np.array([0, 1, 1])),
    "Range of a shape": lambda g: g("Range", np.array(0), g("Size", g.feature), np.array(1)),
    "TopK of a constant": lambda g: g("TopK", g.feature, [3], outputs=2),
    "Expand to a shape": lambda g: g("Expand", 1.0, g("Shape", g("Sin", g.feature))),
    "Reshape by a shape": lambda g: g(
        "Reshape", g("Abs", g.feature), g("Concat", [-1], g("Shape", g.feature, end=1), axis=0)
    ),
    "Slice by a shape": lambda g: g("Slice", row(g), [0], g("Shape", g.feature, start=1)),
    "Where": lambda g: g("Where", g("Greater", g.feature, 0.0), g.feature, 1.0),
    "CumSum": lambda g: g("CumSum", g.feature, [1]),
    "Gather by values": lambda g: g("Gather", np.arange(9.0), g("Cast", g("Sigmoid", g.feature), to=INT64)),
}


def number(g: Build, t: str) -> str:
    """The number of values in a tensor, as int64 (1,), at least 1."""
    return g("Max", g("Reshape", g("Size", t), [1]), [1])


def real(g: Build, whole: str) -> str:
    return g("Cast", whole, to=FLOAT)


def _summed(g: Build, f: str, part: str) -> str:
    """The feature times the sum of each row of something made of it."""
    return g("Tanh", g("Mul", f, g("ReduceSum", part, [1], keepdims=1)))


def _taken(g: Build, f: str, t: str) -> str:
    condition = g("Squeeze", g("Greater", number(g, t), [8]))
    two, minus = g.operand(2.0), g.operand(-1.0)
    yes, no = (branch(helper.make_node("Mul", [f, factor], [g.name()])) for factor in (two, minus))
    return g("If", condition, then_branch=yes, else_branch=no)


def _turns(g: Build, f: str, t: str) -> str:
    factor = g.operand(0.9)
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Mul", ["held", factor], ["next"])],
        "body",
        [value("turn", INT64, ()), value("go", TensorProto.BOOL, ()), value("held", FLOAT, None)],
        [value("on", TensorProto.BOOL, ()), value("next", FLOAT, None)],
    )
    return g("Loop", g("Squeeze", number(g, t)), np.array(True), f, body=body)


def _apart(g: Build, f: str, t: str) -> str:
    groups = g("Where", g("Greater", number(g, t), [8]), [2], [8])
    return _summed(g, f, g("ReduceMax", g("Reshape", f, g("Concat", [0], groups, [-1], axis=0)), [2], keepdims=0))


def _split(g: Build, f: str, t: str) -> str:
    first = g("Min", number(g, t), [WIDTH - 1])
    return _summed(g, f, g("Split", f, g("Concat", first, g("Sub", [WIDTH], first), axis=0), outputs=2, axis=1))


def _resized(g: Build, f: str, t: str) -> str:
    scales = g("Concat", [1.0, 1.0], g("Div", real(g, number(g, t)), 8.0), axis=0)
    return _summed(g, f, g("Squeeze", g("Resize", g("Unsqueeze", f, [1]), "", scales), [1]))


FOLDINGS: dict[str, Callable[[Build, str, str], str]] = {
    "Size, Div": lambda g, f, t: g("Div", f, real(g, number(g, t))),
    "Sum, Size, Div": lambda g, f, t: _summed(g, f, g("Div", f, real(g, number(g, t)))),
    "Shape, Gather": lambda g, f, t: g("Div", f, real(g, g("Max", g("Gather", g("Shape", t), [-1]), [1]))),
    "Shape, first": lambda g, f, t: g("Div", f, real(g, g("Max", g("Gather", g("Shape", t), [0]), [1]))),
    "Shape with a start": lambda g, f, t: g("Div", f, real(g, g("Max", g("Shape", t, start=-1), [1]))),
    "Shape with an end": lambda g, f, t: g("Div", f, real(g, g("Max", g("Shape", t, start=0, end=1), [1]))),
    "Expand": lambda g, f, t: g("Mul", f, g("ReduceSum", g("Expand", 0.1, g("Shape", t)), keepdims=0)),
    "ConstantOfShape": lambda g, f, t: g(
        "Add", f, g("ReduceSum", g("Add", g("ConstantOfShape", g("Shape", t)), 0.1), keepdims=0)
    ),
    "Range": lambda g, f, t: g(
        "Add", f, real(g, g("ReduceSum", g("Range", np.array(0), g("Size", t), np.array(1)), keepdims=0))
    ),
    "Slice": lambda g, f, t: _summed(g, f, g("Slice", f, [0], number(g, t), [1])),
    "Tile": lambda g, f, t: _summed(g, f, g("Tile", f, g("Concat", [1], number(g, t), axis=0))),
    "Reshape": _apart,
    "Pad": lambda g, f, t: _summed(g, f, g("Pad", f, g("Concat", [0, 0, 0], number(g, t), axis=0), 0.1)),
    "If": _taken,
    "TopK": lambda g, f, t: _summed(g, f, g("TopK", f, g("Min", number(g, t), [WIDTH]), outputs=2, axis=1)),
    "Gather": lambda g, f, t: _summed(g, f, g("Gather", f, g("Min", number(g, t), [WIDTH - 1]), axis=1)),
    "Where": lambda g, f, t: g("Where", g("Greater", number(g, t), [8]), f, g("Neg", f)),
    "Split": _split,
    "Resize": _resized,
    "OneHot": lambda g, f, t: g(
        "Mul", f, g("ReduceSum", g("OneHot", [0], g("Add", number(g, t), [1]), [0.1, 1.0]), keepdims=0)
    ),
    "Loop": _turns,
    "Size of an Expand": lambda g, f, t: g("Div", f, real(g, number(g, g("Expand", 1.0, g("Shape", t))))),
    "Shape of a Range": lambda g, f, t: g(
        "Div", f, real(g, g("Shape", g("Range", np.array(-1), g("Size", t), np.array(1))))
    ),
}


FEATURES: dict[str, Callable[[Build, str], str]] = {
    "Relu": lambda g, f: g("Relu", f),
    "Round": lambda g, f: g("Round", f),
    "Add": lambda g, f: g("Add", f, np.linspace(-1, 1, WIDTH)),
    "Softmax": lambda g, f: g("Softmax", f),
    "Threshold": lambda g, f: g("ThresholdedRelu", f, alpha=0.5),
    "view": lambda g, f: g("Reshape", g("Reshape", f, [-1, 4, 4]), g("Concat", g("Shape", f, end=1), [-1], axis=0)),
    "Transpose": lambda g, f: g("Reshape", g("Transpose", g("Reshape", f, [-1, 4, 4]), perm=[0, 2, 1]), [-1, WIDTH]),
    "Conv": lambda g, f: g("Flatten", g("Conv", g("Reshape", f, [-1, 1, 4, 4]), np.ones((1, 1, 1, 1))), axis=1),
    "mean": lambda g, f: g("Sub", f, g("ReduceMean", f, [1])),
    "MatMul": lambda g, f: g("MatMul", f, np.tri(WIDTH)),
}


def random_model(seed: int) -> onnx.ModelProto:
    """Features, sources and foldings put together by chance; every second seed has no source that depends on values."""
    rng = np.random.default_rng(seed)
    g = Build([1, 2, 3, "N"][rng.integers(4)])
    sources = SOURCES | SETTLED if seed % 2 else SETTLED
    for _ in range(rng.integers(1, 4)):
        for _ in range(rng.integers(3)):
            g.feature = FEATURES[rng.choice(list(FEATURES))](g, g.feature)
        t = sources[rng.choice(list(sources))](g)
        if rng.random() < 0.3:
            t = g("Concat", g("Shape", t), g("Shape", g.feature), axis=0)
        g.feature = g("Tanh", FOLDINGS[rng.choice(list(FOLDINGS))](g, g.feature, t))
    return scored(g, g.feature)


def rows(seed: int = 0) -> NDArray[np.float32]:
    """Inputs (14, 1, 4, 4) with very different numbers of zeros and of equal values."""
    rng = np.random.default_rng(seed)
    dots = np.arange(WIDTH)
    made = [np.zeros(WIDTH), np.ones(WIDTH), np.full(WIDTH, 0.5), np.full(WIDTH, -1.0), 255.0 * (dots % 2)]
    made += [1.0 * (dots < k) for k in (1, 3, 9)] + [rng.random(WIDTH), rng.standard_normal(WIDTH)]
    made += [rng.random(WIDTH) * (rng.random(WIDTH) < share) for share in (0.1, 0.3, 0.6, 0.9)]
    return np.array(made, np.float32).reshape(-1, 1, 4, 4)


def scored(g: Build, feature: str) -> onnx.ModelProto:
    """The model whose scores are a linear layer over a feature (batch, 16)."""
    rng = np.random.default_rng(5)
    weights = rng.standard_normal((WIDTH, CLASSES)).astype(np.float32)
    return g.model(g("Add", g("MatMul", feature, weights), rng.standard_normal(CLASSES)))
