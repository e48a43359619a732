"""A model that was adapted in memory, held against its file as it came."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ..errors import ModelError, ProviderError
from . import providers
from .file import ModelFile
from .graph.names import INPUT
from .preprocess import Preprocess
from .providers import reason
from .scores import difference

COARSE = 0.02  # of a row's largest score: in half precision or with 8 bits, where a rounding moves it by a step
_CLOSE = 1e-3  # likewise in float32: kernels sum in another order at another batch size
_COARSE_TYPES = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.UINT8}


def session(content: bytes, folder: str) -> Any:
    """A session on the CPU; `ModelError` in ONNX Runtime's words where it cannot load the graph."""
    try:
        return providers.start(content, folder, "cpu", False)
    except ProviderError:
        raise
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load the model: {reason(error)}") from None


@dataclass(frozen=True)
class Runner:
    """A model ready to run on the CPU, in batches of any size that it takes."""

    session: Any
    output: str

    @staticmethod
    def of(file: ModelFile, dtype: np.dtype[Any], levels: bool, preprocess: Preprocess) -> Runner:
        """A runner for batches as `OrtClassifier.labels` gets them."""
        return Runner(session(file.with_input(dtype, levels, preprocess), file.folder), file.output)

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
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

    def by(self, rows: NDArray[Any], size: int) -> NDArray[Any]:
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


def require_as_given(file: ModelFile, preprocess: Preprocess, batch: NDArray[Any], levels: bool) -> None:
    """`ModelError` unless an adapted model scores every row of a batch as its file does, in batches of the file's size.

    `batch` and `levels` as `OrtClassifier.labels` gets them. Nothing is asked of a file that runs as it came.
    """
    if file.given is None:
        return
    theirs = given_runner(file, batch.dtype, levels, preprocess).by(batch, declared_batch(file.given) or 1)
    ours = Runner.of(file, batch.dtype, levels, preprocess).by(batch, file.batch or len(batch))
    gap = difference(ours, theirs)
    if not gap <= tolerance(file.given):
        raise ModelError(
            f"adapted in memory, the model answers otherwise than its file: on these inputs and samples of them the "
            f"scores change by {gap:.1e} of the largest; export it again with a free batch axis by its own framework"
        )


def given_runner(file: ModelFile, dtype: np.dtype[Any], levels: bool, preprocess: Preprocess) -> Runner:
    """A runner of an adapted model's file as it came."""
    return Runner.of(replace(file, proto=file.given or file.proto), dtype, levels, preprocess)


def tolerance(given: onnx.ModelProto) -> float:
    """Share of a row's largest score that rounding may move it by, at another batch size."""
    return COARSE if is_coarse(given) else _CLOSE


def declared_batch(proto: onnx.ModelProto) -> int | None:
    """The size that the first axis of the input is fixed to; None for a free one."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    (shape,) = (v.type.tensor_type.shape for v in proto.graph.input if v.name not in weights)
    return int(shape.dim[0].dim_value) or None if shape.dim else None


def is_coarse(proto: onnx.ModelProto) -> bool:
    """Whether anything in the graph is computed in half precision or with 8 bits."""
    kinds = {tensor.data_type for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        kinds |= {a.i for a in node.attribute if a.name == "to"} | {a.t.data_type for a in node.attribute}
        if node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear"):
            return True
    return bool(kinds & _COARSE_TYPES)
