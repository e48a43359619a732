"""Running a graph on ONNX Runtime to see what it does: shapes, constants, and scores of random inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import TensorProto, helper

from smoothcert.errors import ModelError, ProviderError
from smoothcert.model.file import ModelFile
from smoothcert.model.graph.names import INPUT, PROBE
from smoothcert.model.labels import to_labels
from smoothcert.model.preprocess import Preprocess
from smoothcert.model.providers import first_run, reason
from smoothcert.model.scores import REWRITTEN, TRIAL, difference, is_narrow
from smoothcert.model.sessions import Sessions

from ..graph import Array, CannotAdapt, element_type, inputs, refill, static_shape
from .parity import BATCHES

_FEW = 5  # rows tried at all sizes but the largest; odd, so that the last batch of two is filled up
WHOLE = (TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)


def observe(proto: onnx.ModelProto, folder: str, shape: Sequence[int], names: Sequence[str]) -> dict[str, Array]:
    """Run the graph once on an input of that shape; the values of the tensors named."""
    if not names:
        return {}
    probe = deepcopy(proto)
    del probe.graph.value_info[:]
    refill(probe.graph.output, [onnx.ValueInfoProto(name=name) for name in names])
    try:
        session = runner(probe, folder, "").of(np.dtype(np.float32), None)
        found = first_run(session, list(names), {INPUT: np.full(shape, 0.5, np.float32)})
    except ProviderError:
        raise
    except Exception as error:
        raise CannotAdapt(f"its tensors cannot be looked at ({reason(error)})") from None
    return dict(zip(names, found, strict=True))


def observe_shapes(
    proto: onnx.ModelProto, folder: str, shape: Sequence[int], names: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """The same, for the shapes of the tensors named."""
    probe, places = deepcopy(proto), [f"{PROBE}_{i}" for i in range(len(names))]
    probe.graph.node.extend(helper.make_node("Shape", [n], [p]) for n, p in zip(names, places, strict=True))
    found = observe(probe, folder, shape, places)
    return {name: tuple(found[place].tolist()) for name, place in zip(names, places, strict=True)}


def runner(proto: onnx.ModelProto, folder: str, output: str) -> Sessions:
    """One output of a graph, ready to run on float32 values of its input, cast to what it takes."""
    return Sessions(ModelFile(proto, folder, "", None, (), element_type(proto.graph), output), Preprocess())


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


def hard_rows(elem_type: int, shape: Sequence[int]) -> Array:
    """Inputs on which a count or a shape may come out otherwise than on random ones, the same every time.

    All zero, all full, constant, saturated, half black, and sparse with exact zeros, down to one value that is not.
    """
    rng = np.random.default_rng(1)
    size = math.prod(shape)
    full = 127 if elem_type == TensorProto.INT8 else 255
    dots = np.arange(size)
    rows = [np.full(size, value) for value in (0, full, 1, -1)]
    rows += [full * (dots % 2), 1.0 * (rng.random(size) < 0.5), dots < size // 2, dots == size // 3]
    rows += [rng.integers(1, full, size) / scale * (rng.random(size) < share)
             for scale, share in ((255, 0.5), (255, 0.1), (1, 0.1), (-64, 0.02))]  # fmt: skip
    found = np.array(rows, np.float32)
    if elem_type in WHOLE:
        found = np.clip(np.rint(found), 0, full)
    return found.reshape(-1, *shape)


def input_shape(proto: onnx.ModelProto) -> tuple[int, ...] | None:
    """Shape of one input; None where an axis beside the batch is free or not declared."""
    shape = static_shape(inputs(proto.graph)[0])
    rest = (None,) if shape is None else shape[1:]
    return None if None in rest else tuple(n or 0 for n in rest)


def _answered(run: Sessions, rows: Array, size: int) -> tuple[Array, list[Array]]:
    """The rows that a file has an answer to, and its answers: some files take no row of zeros."""
    if not len(rows):
        return rows, []
    try:
        return rows, [run.by(rows, size)]
    except ModelError:
        if len(rows) == 1:
            return rows[:0], []
    halves = [_answered(run, part, size) for part in np.array_split(rows, 2)]
    return np.concatenate([part for part, _ in halves]), [found for _, more in halves for found in more]


class Trial:
    """What the model given says of random and of hard inputs, against which every change is held."""

    def __init__(
        self,
        given: onnx.ModelProto,
        folder: str,
        output: str,
        shape: tuple[int, ...],
        declared: int | None,
        examples: Array | None = None,
    ) -> None:
        self._folder, self._output, self._own = folder, output, declared or 1
        self.coarse = is_narrow(given)  # a rounding can move a value by a step of half precision or of 8 bits
        run, kind = runner(given, folder, output), element_type(given.graph)
        rows = random_rows(kind, shape)
        scores = run.by(rows, self._own)
        more = [hard_rows(kind, shape), *([] if examples is None else [np.asarray(examples, np.float32)])]
        hard, answers = _answered(run, np.concatenate(more), self._own)
        self._rows, self._expected = np.concatenate([rows, hard]), np.concatenate([scores, *answers])
        self._plain = np.ptp(self._rows.reshape(len(self._rows), -1), axis=1) == 0
        to_labels(np.nan_to_num(self._expected), len(self._rows), len(self._rows))

    def check(self, proto: onnx.ModelProto, batches: tuple[int, ...] = BATCHES, *, other_kernels: bool = False) -> None:
        """`CannotAdapt` unless the changed model gives every row the scores that it had.

        `other_kernels`: rounding may differ at the file's own batch size as it may at others. Rows of one value
        throughout are held to less: a normalisation divides their rounding by next to nothing.
        """
        run = runner(proto, self._folder, self._output)
        for size in dict.fromkeys((self._own, *batches)):
            limit = REWRITTEN if size == self._own and not other_kernels else TRIAL.of(self.coarse)
            count = len(self._rows) if size == max(batches) else max(_FEW, size)
            some = np.linspace(0, len(self._rows) - 1, min(count, len(self._rows))).astype(int)
            found, plain = run.by(self._rows[some], size), self._plain[some]
            for kind, most in ((~plain, limit), (plain, max(limit, TRIAL.narrow))):
                gap = difference(found[kind], self._expected[some][kind])
                if not gap <= most:
                    raise CannotAdapt(f"at batch {size} its scores change by {gap:.1e} of the largest")

    def breaks(self, proto: onnx.ModelProto) -> bool:
        """Whether a model that declares a free batch axis fails at some size, or mixes its rows."""
        try:
            self.check(proto)
        except ModelError:
            return True
        return False
