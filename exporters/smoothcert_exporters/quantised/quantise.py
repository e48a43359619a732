"""A float32 graph with the operators chosen in 8 bits: QuantizeLinear and DequantizeLinear by ONNX Runtime's tool."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from ..adapt.conversion import inferred, upgraded
from ..adapt.folding import constant_nodes
from ..graph import keep, opset, order, prune, refill, rename
from .operators import Chosen
from .ranges import Ranges

_OPSET = 13  # from there on a DequantizeLinear has a scale for each channel
_NEWER = 18


@dataclass(frozen=True)
class Scheme:
    """Types of activations and weights. `reduce_range`: weights of 7 bits, from -64 to 64."""

    activations: str
    weights: str
    reduce_range: bool

    @property
    def symmetric(self) -> bool:
        """Whether zero stands for zero in activations too, as GPUs want it."""
        return self.activations == "int8"


def prepared(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, frozenset[str]]:
    """The graph as the tool wants it: opset, constants, a name for every node; and the names of float32 tensors."""
    model = upgraded(proto, _NEWER) if opset(proto) < _OPSET else deepcopy(proto)
    constant_nodes(model)
    taken: set[str] = set()
    for i, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = next(n for j in range(len(taken) + 1) if (n := f"node_{i}_{j}") not in taken)
        taken.add(node.name)
    del model.graph.value_info[:]
    model = inferred(model)
    known = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    return model, frozenset(v.name for v in known if v.type.tensor_type.elem_type == TensorProto.FLOAT)


def quantised(proto: onnx.ModelProto, picked: Chosen, found: Ranges, scheme: Scheme) -> onnx.ModelProto:
    """A graph of `prepared` with these nodes in 8 bits, a scale for each channel of the weights. The same bytes always.

    What lies between a last layer and the scores stays float32.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    kinds = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
    aside = [name for node in proto.graph.node if node.op_type == "Softmax" for name in node.output]
    found = dict.fromkeys(aside, (0.0, 1.0)) | found  # the tool of 1.20 asks for those, whatever the nodes
    ends = {n: TensorData(lowest=np.float32(a), highest=np.float32(b)) for n, (a, b) in found.items()}
    tool = QDQQuantizer(
        deepcopy(proto),
        per_channel=True,
        reduce_range=scheme.reduce_range,
        weight_qType=kinds[scheme.weights],
        activation_qType=kinds[scheme.activations],
        tensors_range=TensorsData(CalibrationMethod.MinMax, ends),
        nodes_to_quantize=list(picked.nodes),
        nodes_to_exclude=[],
        op_types_to_quantize=list(picked.operators),
        extra_options={
            "WeightSymmetric": True,
            "ActivationSymmetric": scheme.symmetric,
            "QuantizeBias": not scheme.symmetric,
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        },
    )
    tool.quantize_model()
    made: onnx.ModelProto = deepcopy(proto)
    made.graph.CopyFrom(tool.model.model.graph)
    _unquantise(made.graph, picked.last)
    del made.graph.value_info[:]
    order(made.graph)
    _sort_constants(made.graph)
    prune(made.graph)
    return made


def _unquantise(graph: onnx.GraphProto, last: frozenset[str]) -> None:
    """Drop the way through 8 bits behind the last layers."""
    given = {name: node.name for node in graph.node for name in node.output}
    outputs = {value.name for value in graph.output}
    for quantise in [n for n in graph.node if n.op_type == "QuantizeLinear" and given.get(n.input[0]) in last]:
        pairs = [n for n in graph.node if n.input[:1] == quantise.output[:1]]
        names = {node.output[0] for node in pairs}
        gone = {id(quantise), *map(id, pairs)}
        kept = [node for node in graph.node if id(node) not in gone]
        refill(graph.node, [deepcopy(node) for node in kept])
        to = next(iter(sorted(names & outputs)), quantise.input[0])
        rename(graph, dict.fromkeys([quantise.input[0], *sorted(names)], to))


def _sort_constants(graph: onnx.GraphProto) -> None:
    """Initializers by name, each once; the tool's order may depend on the process."""
    tensors = {tensor.name: deepcopy(tensor) for tensor in graph.initializer}
    keep(graph.initializer, lambda _: False)
    graph.initializer.extend(tensors[name] for name in sorted(tensors))
