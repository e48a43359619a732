"""Which tensors of a graph are proved to have one shape, or one value, for every input of one shape.

A list of what is known, not of what is feared: an operator that is not in it may give a shape that depends on values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx

from ..graph import constants, inputs, reads, subgraphs

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})  # where the names below mean what they say
ELEMENTWISE = [
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Binarizer", "BitwiseNot", "Cast", "CastLike", "Ceil",
    "Celu", "Clip", "Cos", "Cosh", "Dropout", "Elu", "Erf", "Exp", "FastGelu", "Floor", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "QuickGelu", "Reciprocal",
    "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish",
    "Tan", "Tanh", "ThresholdedRelu",
]  # fmt: skip
BROADCAST = [
    "Add", "And", "BiasGelu", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual",
    "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "QLinearAdd", "QLinearMul", "Sub",
    "Sum", "Where", "Xor",
]  # fmt: skip
BY_ROW = [
    "AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DepthToSpace", "FusedConv",
    "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN",
    "LinearClassifier", "LinearRegressor", "LpPool", "MaxPool", "Normalizer", "QGemm", "QLinearConv",
    "QLinearGlobalAveragePool", "SVMClassifier", "SVMRegressor", "Scaler", "SpaceToDepth", "TreeEnsemble",
    "TreeEnsembleClassifier", "TreeEnsembleRegressor",
]  # fmt: skip
REDUCE = [
    f"Reduce{name}" for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
]
BY_SHAPE = frozenset({
    *ELEMENTWISE, *BROADCAST, *BY_ROW,
    "ArgMax", "ArgMin", "ArrayFeatureExtractor", "Attention", "BitCast", "BitShift", "Concat", "CumProd", "CumSum",
    "DeformConv", "DequantizeLinear", "Det", "DynamicQuantizeLinear", "Einsum", "EyeLike", "FeatureVectorizer",
    "Flatten", "FusedGemm", "FusedMatMul", "GRU", "Gather", "GatherElements", "GatherND", "Gemm", "GridSample",
    "Hardmax", "Imputer", "LSTM", "LabelEncoder", "LayerNormalization", "LogSoftmax", "LpNormalization", "MatMul",
    "MatMulInteger", "MaxRoiPool", "MeanVarianceNormalization", "NegativeLogLikelihoodLoss", "OneHotEncoder",
    "QLinearAveragePool", "QLinearLeakyRelu", "QLinearMatMul", "QLinearSigmoid", "QLinearSoftmax", "QuantizeLinear",
    "RMSNormalization", "RNN", "ReverseSequence", "RoiAlign", "RotaryEmbedding", "Scatter", "ScatterElements",
    "ScatterND", "Shape", "SimplifiedLayerNormalization", "Size", "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization", "Softmax", "SoftmaxCrossEntropyLoss", "SwiGLU", "Transpose", "Trilu",
})  # fmt: skip
BY_ARGUMENTS = {
    **dict.fromkeys(REDUCE, (1,)),
    **dict.fromkeys(["Expand", "OneHot", "Reshape", "Split", "Squeeze", "Tile", "TopK", "Unsqueeze", "Upsample"], (1,)),
    **dict.fromkeys(["AffineGrid", "CenterCropPad"], (1,)),
    "Col2Im": (1, 2), "DFT": (1, 2), "MaxUnpool": (2,), "Pad": (1, 3), "Resize": (1, 2, 3), "STFT": (1, 3),
    "Slice": (1, 2, 3, 4),
}  # the inputs whose values say how large the result is  # fmt: skip
COUNTS = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})  # results as large as what they find
BY_VALUES = COUNTS | {
    "BlackmanWindow", "ConstantOfShape", "HammingWindow", "HannWindow", "ImageDecoder", "MelWeightMatrix", "Range",
    "StringNormalizer", "StringSplit",
}  # fmt: skip
STEERED = {"Loop": (0, 1), "SplitToSequence": (1,)}  # of which nothing is proved: inputs that no value may decide


@dataclass(frozen=True)
class Proved:
    """Tensors proved to have one value, and one shape, for every input of one shape.

    `loose`: known operators at which a shape begins to depend on values. `trusting`: of other operators the
    best is assumed.
    """

    values: set[str]
    shapes: set[str]
    trusting: bool = False
    loose: list[str] = field(default_factory=list)


def proved(graph: onnx.GraphProto) -> Proved:
    """What is proved of a graph's tensors."""
    return _proved(graph, Proved(set(), set()))


def loose(graph: onnx.GraphProto) -> list[str]:
    """Operators at which a shape is known to depend on values; of operators not known the best is assumed."""
    return _proved(graph, Proved(set(), set(), trusting=True)).loose


def _proved(graph: onnx.GraphProto, around: Proved) -> Proved:
    own = {name for node in graph.node for name in node.output}
    given = set(constants(graph)) | {tensor.values.name for tensor in graph.sparse_initializer} | (around.values - own)
    shapes = given | (around.shapes - own) | {value.name for value in inputs(graph)}
    found = Proved(given, shapes, around.trusting)
    for node in graph.node:
        made = set(node.output) - {""}
        known = node.domain in DOMAINS
        measures = known and node.op_type in ("Shape", "Size") and set(node.input[:1]) <= found.shapes
        if measures or reads(node) <= found.values:
            found.values.update(made)
            found.shapes.update(made)
        elif (_branches_settled if known and node.op_type == "If" else _settled)(node, found):
            found.shapes.update(made)
    return found


def _settled(node: onnx.NodeProto, found: Proved) -> bool:
    """Whether the shapes of all results are proved; an operator that loses what its operands had goes to `loose`."""
    name = node.op_type if node.domain in DOMAINS else ""
    places = BY_ARGUMENTS.get(name) or STEERED.get(name, ())
    steered = {operand for i in places for operand in node.input[i : i + 1]} - {""} <= found.values
    counts = [operator for inner in subgraphs(node) for operator in _counts(inner)]
    operands = set(node.input) - {""} <= found.shapes
    if name in BY_VALUES or (not steered and (name in STEERED or set(node.input[:1]) <= found.shapes)):
        counts.append(name)
    found.loose.extend(counts)
    known = name in BY_SHAPE or name in BY_ARGUMENTS or found.trusting
    return known and operands and steered and not counts


def _branches_settled(node: onnx.NodeProto, found: Proved) -> bool:
    """The same for an If: where its condition is proved, all inputs of one shape take the same branch."""
    settled = set(node.input[:1]) <= found.values
    found.loose.extend([] if settled else ["If"])
    for branch in subgraphs(node):
        inner = _proved(branch, found)
        found.loose.extend(inner.loose)
        settled &= all(value.name in inner.shapes for value in branch.output)
    return settled


def _counts(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        if node.op_type in COUNTS:
            yield node.op_type
        for inner in subgraphs(node):
            yield from _counts(inner)
