"""How far two tables of scores lie apart, and how far rounding alone moves a score.

One definition for every comparison of a model with itself or its kin; limits are shares of the scale of a row's scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
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


def scales(table: NDArray[Any]) -> NDArray[Any]:
    """What differences of a row's scores are a share of, (rows, 1): the largest score, infinite ones aside.

    At most ten times the better of the two best, or 1 where both are 0: the -1e9 of a masked class would cover any.
    """
    sizes = np.abs(np.where(np.isfinite(table), table, 0.0))
    two = np.argsort(np.where(np.isfinite(table), table, -np.inf), axis=1)[:, -2:]
    best: NDArray[Any] = 10 * np.take_along_axis(sizes, two, axis=1).max(axis=1, keepdims=True, initial=0.0)
    found: NDArray[Any] = np.minimum(sizes.max(axis=1, keepdims=True, initial=0.0), np.where(best > 0, best, 1.0))
    return found


def shares(gap: NDArray[Any], expected: NDArray[Any], scale: NDArray[Any] | float) -> NDArray[Any]:
    """Differences as shares of the scale, or of the score itself where that is larger; inf for what is no number."""
    sizes = np.maximum(np.abs(np.where(np.isfinite(expected), expected, 0.0)), scale)
    part: NDArray[Any] = np.divide(gap, sizes, out=np.where(gap == 0, 0.0, np.inf), where=sizes > 0)
    shown: NDArray[Any] = np.nan_to_num(part, nan=np.inf)
    return shown


def difference(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Largest difference of a row, relative to the row's largest value: 0 for equal labels, inf for other shapes.

    Rows that hold NaN or infinite values must do so in the same places.
    """
    if ours.size != theirs.size or len(ours) != len(theirs):
        return np.inf
    if not len(ours):
        return 0.0
    a, b = (np.asarray(v).reshape(len(v), -1) for v in (ours, theirs))
    if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        return 0.0 if (a == b).all() else np.inf
    if b.dtype.kind != "f":
        return float((a != b).any())
    a, b = a.astype(float), b.astype(float)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    gap = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0))
    return float(shares(gap, b, np.maximum(scales(b), np.finfo(np.float32).tiny)).max(initial=0))
