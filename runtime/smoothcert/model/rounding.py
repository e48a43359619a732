"""How far rounding alone moves a score: the one definition, for every comparison of a model with itself or its kin.

All are shares of the scale of a row's scores (see `scores.difference`).
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto

_NARROW = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.UINT8}


@dataclass(frozen=True)
class Rounding:
    """In float32 throughout; and where anything is narrower (half precision, 8 bits), whose rounding is a step."""

    float32: float
    narrow: float

    def of(self, narrow: bool) -> float:
        """The limit for a model that is narrow, or is not."""
        return self.narrow if narrow else self.float32


NEIGHBOURS = Rounding(1e-3, 1e-2)  # the same kernels, with other rows in the batch
ADAPTED = Rounding(1e-3, 2e-2)  # an adapted model and its file, whose kernels sum in another order, on a user's inputs
TRIAL = Rounding(1e-4, 2e-2)  # the same two on inputs made up for a trial
REWRITTEN = 1e-5  # the same two at the batch size that the file was made for


def is_narrow(proto: onnx.ModelProto) -> bool:
    """Whether anything in the graph is computed in half precision or with 8 bits."""
    kinds = {tensor.data_type for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        kinds |= {a.i for a in node.attribute if a.name == "to"} | {a.t.data_type for a in node.attribute}
        if node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear"):
            return True
    return bool(kinds & _NARROW)
