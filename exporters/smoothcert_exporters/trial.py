"""Running a graph on ONNX Runtime to see what it does: shapes, constants, and scores of random inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from smoothcert import providers
from smoothcert.classifier import to_labels
from smoothcert.errors import ModelError, ProviderError
from smoothcert.model_file import INPUT, ModelFile
from smoothcert.preprocess import Preprocess
from smoothcert.providers import reason
from smoothcert.scores import scales

from .graph import Array, CannotAdapt, inputs, static_shape
from .parity import BATCHES, shares

TOLERANCE = 1e-5  # relative to a row's largest score, at the batch size that the file was made for
_ROUNDING = 1e-4  # likewise at other batch sizes, where kernels sum in another order
COARSE = 0.02  # in half precision or with 8-bit levels, where that can move a value by a step
_FEW = 5  # rows tried at all sizes but the largest; odd, so that the last batch of two is filled up
_COARSE_TYPES = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.UINT8}
WHOLE = (TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)


@dataclass(frozen=True)
class Observed:
    """What one run of a graph told: the shape of every tensor asked for, and the values of the constants."""

    shapes: Mapping[str, tuple[int, ...]]
    values: Mapping[str, Array]


def session(content: bytes, folder: str) -> Any:
    """A session on the CPU; `ModelError` in ONNX Runtime's words where it cannot load the graph."""
    try:
        return providers.start(content, folder, "cpu", False)
    except ProviderError:
        raise
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load the model: {reason(error)}") from None


def observe(
    proto: onnx.ModelProto, folder: str, shape: Sequence[int], shapes: Sequence[str], values: Sequence[str]
) -> Observed:
    """Run the graph once on an input of that shape; what came of the tensors named."""
    if not shapes and not values:
        return Observed({}, {})
    probe = onnx.ModelProto()
    probe.CopyFrom(proto)
    graph = probe.graph
    (entry,) = inputs(graph)
    del graph.output[:]
    del graph.value_info[:]
    for i, name in enumerate(shapes):
        graph.node.append(helper.make_node("Shape", [name], [f"smoothcert_probe_{i}"]))
        graph.output.add(name=f"smoothcert_probe_{i}").type.tensor_type.elem_type = TensorProto.INT64
    for name in values:
        graph.output.add(name=name)
    wanted = [f"smoothcert_probe_{i}" for i in range(len(shapes))]
    file = ModelFile(probe, folder, "", None, tuple(shape[1:]), entry.type.tensor_type.elem_type, "")
    try:
        runner = session(file.with_input(np.dtype(np.float32), False, Preprocess()), folder)
        found = providers.first_run(runner, [*wanted, *values], {INPUT: np.full(shape, 0.5, np.float32)})
    except ProviderError:
        raise
    except Exception as error:
        raise CannotAdapt(f"its tensors cannot be looked at ({reason(error)})") from None
    sizes = {name: tuple(int(n) for n in size) for name, size in zip(shapes, found, strict=False)}
    return Observed(sizes, dict(zip(values, found[len(shapes) :], strict=True)))


@dataclass(frozen=True)
class Runner:
    """A graph ready to run on float32 values of its input, cast to what it takes."""

    session: Any
    output: str

    @staticmethod
    def of(proto: onnx.ModelProto, folder: str, output: str) -> Runner:
        """A runner for one output."""
        (entry,) = inputs(proto.graph)
        file = ModelFile(proto, folder, "", None, (), entry.type.tensor_type.elem_type, output)
        return Runner(session(file.with_input(np.dtype(np.float32), False, Preprocess()), folder), output)

    def __call__(self, batch: Array) -> Array:
        """The output for a batch, maps from classes as tables; `ModelError` where ONNX Runtime fails."""
        try:
            found = providers.first_run(self.session, [self.output], {INPUT: batch})[0]
        except ProviderError:
            raise
        except Exception as error:
            raise ModelError(f"ONNX Runtime failed on a batch of shape {batch.shape}: {reason(error)}") from None
        if isinstance(found, list) and found and isinstance(found[0], dict):
            return np.array([list(row.values()) for row in found])
        return np.asarray(found)

    def by(self, rows: Array, size: int) -> Array:
        """The output for all rows, run in batches of one size (the last one filled up with the first rows)."""
        parts = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            filled = np.concatenate([part, np.resize(rows, (size - len(part), *rows.shape[1:]))])
            found = self(filled)
            if size == 1 and (found.ndim == 0 or len(found) != 1):
                found = found[None]  # a graph that drops its batch axis of 1
            if len(found) != size:
                raise ModelError(f"expected {size} rows of output for {size} inputs, got shape {found.shape}")
            parts.append(found[: len(part)])
        return np.concatenate(parts)


def random_rows(elem_type: int, shape: Sequence[int], count: int = max(BATCHES)) -> Array:
    """`count` random inputs, the same every time: intensities, standardised values and levels in turn.

    For whole numbers they are levels, within the type's range.
    """
    rng = np.random.default_rng(0)
    if elem_type in WHOLE:
        return rng.integers(0, 128 if elem_type == TensorProto.INT8 else 256, (count, *shape)).astype(np.float32)
    rows = rng.random((count, *shape), dtype=np.float32)
    rows[1::3] = rng.standard_normal(rows[1::3].shape, dtype=np.float32)
    rows[2::3] *= 255
    return rows


def input_shape(proto: onnx.ModelProto) -> tuple[int, ...] | None:
    """Shape of one input; None where an axis beside the batch is free or not declared."""
    shape = static_shape(inputs(proto.graph)[0])
    rest = (None,) if shape is None else shape[1:]
    return None if None in rest else tuple(n or 0 for n in rest)


def difference(ours: Array, theirs: Array) -> float:
    """Largest difference of a row, relative to the row's largest value: 0 for equal labels, inf for other shapes.

    Rows that hold NaN or infinite values must do so in the same places.
    """
    if ours.size != theirs.size or len(ours) != len(theirs):
        return np.inf
    a, b = (np.asarray(v).reshape(len(v), -1) for v in (ours, theirs))
    if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        return 0.0 if (a == b).all() else np.inf
    if b.dtype.kind != "f":
        return float((a != b).any())
    a, b = a.astype(float), b.astype(float)
    finite = np.isfinite(b)
    if (np.isfinite(a) != finite).any():
        return np.inf
    gap = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0))
    return float(shares(gap, b, np.maximum(scales(b), np.finfo(np.float32).tiny)).max(initial=0))


class Trial:
    """What the model given says of random inputs, against which every change is held."""

    def __init__(
        self, given: onnx.ModelProto, folder: str, output: str, shape: tuple[int, ...], declared: int | None
    ) -> None:
        self._folder, self._output, self._own = folder, output, declared or 1
        self._rows = random_rows(inputs(given.graph)[0].type.tensor_type.elem_type, shape)
        self._expected = Runner.of(given, folder, output).by(self._rows, self._own)
        self._coarse = is_coarse(given)
        table = np.nan_to_num(self._expected)
        if self._own == 1 and table.ndim == 1 and table.size > len(table):
            table = table.reshape(len(self._rows), -1)
        to_labels(table, len(table), len(table))

    @property
    def coarse(self) -> bool:
        """Whether a rounding can move a value by a step of half precision or of 8 bits."""
        return self._coarse

    def check(self, proto: onnx.ModelProto, batches: tuple[int, ...] = BATCHES) -> None:
        """`CannotAdapt` unless the changed model gives every row the scores that it had."""
        run = Runner.of(proto, self._folder, self._output)
        for size in dict.fromkeys((self._own, *batches)):
            limit = TOLERANCE if size == self._own else COARSE if self._coarse else _ROUNDING
            some = len(self._rows) if size == max(batches) else max(_FEW, size)
            gap = difference(run.by(self._rows[:some], size), self._expected[:some])
            if not gap <= limit:
                raise CannotAdapt(f"at batch {size} its scores change by {gap:.1e} of the largest")

    def breaks(self, proto: onnx.ModelProto) -> bool:
        """Whether a model that declares a free batch axis fails at some size, or mixes its rows."""
        try:
            self.check(proto)
        except ProviderError:
            raise
        except ModelError:
            return True
        return False


def is_coarse(proto: onnx.ModelProto) -> bool:
    """Whether anything in the graph is computed in half precision or with 8 bits."""
    kinds = {tensor.data_type for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        kinds |= {a.i for a in node.attribute if a.name == "to"} | {a.t.data_type for a in node.attribute}
        if node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear"):
            return True
    return bool(kinds & _COARSE_TYPES)
