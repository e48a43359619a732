"""From a float32 classifier to one of 8 bits: ranges measured, written, tried, compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from smoothcert.model.classifier import OrtClassifier
from smoothcert.model.file import ModelFile, read_model
from smoothcert.model.providers import installed
from smoothcert.model.scores import NEIGHBOURS
from smoothcert.model.sessions import Sessions
from smoothcert.sampling import PROBE, Sampler
from smoothcert.smoothing.calibration import plain

from ..files import save
from ..options import Quantisation
from ..proof.parity import BATCHES, check_batches
from .calibration import batches, opened, sampler
from .compared import Compared, compared, require_agreement
from .operators import activations, chosen, require_float32
from .quantise import Scheme, prepared, quantised
from .ranges import ranges

_SMALL = 64 * 64 * 3  # values of an input up to which a thousand votes are quick
_FEW, _MANY = 100, 1000
_GPU = "int8-gpu is made for TensorRT and was tried on a CPU alone, where it is slower than float32"


@dataclass(frozen=True, eq=False)
class EightBit:
    """The graph, what was compared, what goes into the metadata, and the report, for people."""

    proto: onnx.ModelProto
    compared: Compared
    record: dict[str, Any]
    changes: tuple[str, ...]
    warning: str


def eight_bit(
    float32: onnx.ModelProto, precision: str, asked: Quantisation, work: Path, provider: str = "cpu"
) -> EightBit:
    """A float32 model, finished, metadata included, in 8 bits: static, min-max, a scale for each channel of weights.

    `work`: a folder for files that nobody keeps. Raises `ModelError` for what cannot be
    quantised, mixes rows, or agrees too seldom with float32; `DataError` for data that do not fit.
    """
    require_float32(float32)
    graph, floats = prepared(float32)
    picked = chosen(graph.graph, floats)
    file, before = _opened(graph, work / "float32.onnx", "cpu")
    inputs = opened(asked, before)
    drawn, copies = batches(before, asked.smoothing, inputs, asked.copies)
    names = activations(graph.graph, picked, floats)
    found = ranges(file, before.preprocess, names, drawn, before.threads)
    gpu = precision == "int8-gpu"
    scheme = Scheme("int8" if gpu else "uint8", "int8", asked.reduce_range and not gpu)
    proto = quantised(graph, picked, found, scheme)
    small, after = _opened(proto, work / "int8.onnx", provider)
    one = sampler(after, asked.smoothing, inputs, inputs.compared[0])
    _require_one_function(one, small, after)
    votes = asked.votes or (_MANY if math.prod(one.made.shape) <= _SMALL else _FEW)
    agreed = compared(before, after, asked.smoothing, inputs, votes)
    require_agreement(agreed, asked.agreement)
    record = {
        "method": "static QDQ, min-max, per channel",
        "by": installed(),
        "activations": scheme.activations,
        "weights": scheme.weights,
        "reduce_range": scheme.reduce_range,
        "operators": list(picked.operators),
        "smoothing": [plain(part.description) for part in asked.smoothing.parts],
        "data_sha256": inputs.data.sha256,
        "inputs": len(inputs.measured),
        "copies": copies,
        "agreement": math.floor(100 * agreed.agreement) / 100,
    }
    said = (
        f"8 bits in {', '.join(picked.operators)}: {picked.layers} with weights, ranges of {copies} perturbed copies "
        f"of {len(inputs.measured)} inputs"
    )
    return EightBit(proto, agreed, record, (said,), _GPU if gpu else "")


def _opened(proto: onnx.ModelProto, path: Path, provider: str) -> tuple[ModelFile, OrtClassifier]:
    """The graph as the runtime opens a file of it."""
    file = read_model(save(proto, path))
    return file, OrtClassifier(file, providers=provider)


def _require_one_function(one: Sampler, file: ModelFile, classifier: OrtClassifier) -> None:
    """`ModelError` where the answer to a sample depends on the batch around it, or on the batch's size."""
    one.require_one_function()
    if classifier.batch is None:
        run = Sessions(file, classifier.preprocess, classifier.provider)
        samples = one.samples(PROBE, 0, max(BATCHES))
        check_batches(lambda batch: np.asarray(run.scores(batch, one.made.levels)), samples, NEIGHBOURS.narrow)
