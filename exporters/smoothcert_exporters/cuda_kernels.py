"""Which operators ONNX Runtime has CUDA kernels for, as far as that is documented."""

from __future__ import annotations

import onnx

from .graph import ML_DOMAIN, is_standard, opset, subgraphs

# "Operators implemented by CUDAExecutionProvider" in ONNX Runtime's docs/OperatorKernels.md, of domain ai.onnx (the
# state with kernels up to opset 24). Types and opsets are not followed; newer versions of ONNX Runtime may have more.
_KERNELS = frozenset(
    """
    Abs Add Affine And ArgMax ArgMin Attention AveragePool BatchNormalization Cast Ceil Clip Compress Concat
    ConcatFromSequence ConstantOfShape Conv ConvTranspose Cos Crop CumSum DepthToSpace DequantizeLinear Div Dropout
    DynamicSlice Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm
    GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample HardSigmoid HardSwish Identity If ImageScaler
    InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop MatMul
    MatMulInteger Max MaxPool Min Mod Mul Neg NonZero Not OneHot Or PRelu Pad ParametricSoftplus Pow QuantizeLinear
    RMSNormalization RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1
    ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round ScaledTanh Scan Scatter ScatterElements ScatterND
    Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape Shrink Sigmoid
    Sign SimplifiedLayerNormalization Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum
    Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905 - a list of words reads best as one
)


def cuda_gaps(proto: onnx.ModelProto) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(operators without a CUDA kernel, operators of which nothing is known), sorted.

    Those without one run on the CPU, and tensors travel to it and back. An operator that has no kernel
    but that ONNX defines by other operators counts as those, unless what they are depends on its inputs.
    """
    without: set[str] = set()
    unknown: set[str] = set()

    def visit(nodes: list[onnx.NodeProto], version: int) -> None:
        for node in nodes:
            for graph in subgraphs(node):
                visit(list(graph.node), version)
            name = node.op_type if is_standard(node) else f"{node.domain}.{node.op_type}"
            if node.op_type == "Constant" or name in _KERNELS:
                continue
            if body := _body(node, version):
                visit(body, version)
            else:
                (without if body is None else unknown).add(name)

    visit(list(proto.graph.node), opset(proto))
    for function in proto.functions:
        visit(list(function.node), opset(proto))
        unknown.discard(f"{function.domain}.{function.name}")
    return tuple(sorted(without)), tuple(sorted(unknown))


def _body(node: onnx.NodeProto, version: int) -> list[onnx.NodeProto] | None:
    """Nodes that ONNX defines an operator by, None where there are none; empty where that is not known ahead."""
    if not is_standard(node):
        return None if node.domain == ML_DOMAIN else []  # the list has no kernel of that domain
    try:
        schema = onnx.defs.get_schema(node.op_type, version, "")
    except onnx.defs.SchemaError:
        return []
    if getattr(schema, "has_context_dependent_function", False):  # missing from the type stubs
        return []
    return list(schema.function_body.node) or None
