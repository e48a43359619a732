"""Over which values the tensors of a graph range, on inputs as a run perturbs them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from smoothcert.errors import ModelError
from smoothcert.inputs.levels import Levels
from smoothcert.machine import one_thread
from smoothcert.model.file import ModelFile
from smoothcert.model.graph.names import INPUT, PROBE
from smoothcert.model.preprocess import Preprocess
from smoothcert.model.sessions import Sessions

from ..graph import refill

Batch = Callable[[], tuple[NDArray[Any], Levels | None]]  # draws it, as the runtime gives it to a classifier
Ranges = dict[str, tuple[float, float]]
_DIGITS = 1024  # a range's ends are rounded outward to so many steps: other processors' last bits change no file


def ranges(
    file: ModelFile, preprocess: Preprocess, names: Sequence[str], batches: Sequence[Batch], threads: int
) -> Ranges:
    """Least and largest value of every tensor named, over all batches, rounded outward by a thousandth at most.

    The same for any number of threads. `ModelError` for a tensor that does not stay finite.
    """
    places = [f"{PROBE}_{i}" for i in range(2 * len(names))]
    probe = deepcopy(file.proto)
    for i, name in enumerate(names):
        for operator, place in zip(("ReduceMin", "ReduceMax"), places[2 * i :], strict=False):
            probe.graph.node.append(helper.make_node(operator, [name], [place], keepdims=0))
    refill(probe.graph.output, [onnx.ValueInfoProto(name=place) for place in places])
    sessions = Sessions(replace(file, proto=probe, output=places[0]), preprocess)

    def ends(batch: Batch) -> NDArray[np.float64]:
        samples, levels = batch()
        found = sessions.of(samples.dtype, levels).run(places, {INPUT: samples})
        return np.array(found, np.float64).reshape(-1, 2)

    with one_thread(), ThreadPoolExecutor(threads) as pool:
        tables = list(pool.map(ends, batches))
    low, high = np.min([t[:, 0] for t in tables], axis=0), np.max([t[:, 1] for t in tables], axis=0)
    strange = next((n for n, *pair in zip(names, low, high, strict=True) if not np.isfinite(pair).all()), None)
    if strange is not None:
        raise ModelError(f"precision int8: expected finite values, got others in {strange!r}; export it as float32")
    return {n: (-_up(-a), _up(b)) for n, a, b in zip(names, low.tolist(), high.tolist(), strict=True)}


def _up(value: float) -> float:
    share, exponent = math.frexp(value)
    return math.ldexp(math.ceil(share * _DIGITS) / _DIGITS, exponent)
