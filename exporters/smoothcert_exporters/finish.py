"""The common end of every export: made ready, preprocessing inside, proved to compute the same, written."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.external_data_helper import load_external_data_for_model

from smoothcert.errors import require
from smoothcert.files.writing import scratch_folder
from smoothcert.inputs.levels import levels_of
from smoothcert.model.arrangement import show
from smoothcert.model.card import ModelCard
from smoothcert.model.file import read_model
from smoothcert.model.preprocess import Preprocess

from .adapt.adapted import Adapted, adapt
from .adapt.pipeline import Folded, Pipeline, fold
from .adapt.precision import TOLERANCES, convert
from .files import outsourced, publish, save
from .graph import element_type, static_shape
from .graph import inputs as graph_inputs
from .metadata import describe, strip, weights_sha256
from .options import DEFAULTS, INT8, Options
from .proof.parity import BATCHES, Function, Parity, random_inputs
from .proof.trial import WHOLE
from .proof.written import Proof
from .quantised.compared import Compared
from .quantised.eight_bit import eight_bit


@dataclass(frozen=True)
class Export:
    """What an export wrote, and how it was checked.

    `parity`: the framework against ONNX Runtime. `agreement`: the float32 graph against one of half precision;
    `compared`: against one of 8 bits, by labels under the smoothing. `changes` in words. `batch`: the size that the
    graph stays fixed to, None for any; `warning`: what that costs, or what was not tried.
    """

    path: Path
    sha256: str
    source: str
    precision: str
    parity: Parity
    agreement: Parity | None
    changes: tuple[str, ...]
    batch: int | None
    warning: str = ""
    compared: Compared | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """The report, for people."""
        sizes = "the same scores at batch 1, 2 and 17" if self.batch is None else f"batch fixed to {self.batch}"
        against = [] if self.agreement is None else [f"{self.precision} against float32: {self.agreement}"]
        return (
            f"{self.path}: {self.precision}, sha256 {self.sha256}",
            *self.changes,
            f"{self.source} against ONNX Runtime: {self.parity}; {sizes}",
            *against,
            *(self.compared.lines if self.compared else ()),
            *([f"warning: {self.warning}"] if self.warning else []),
        )


def finish(
    proto: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    reference: Function,
    example: NDArray[Any],
    source: str,
    options: Options = DEFAULTS,
    folder: str = "",
) -> Export:
    """Make a graph ready to certify, prove that it computes `reference`, and write it to `path`.

    `reference` gives the framework's scores or labels for a batch of the network's own inputs, `example` is a batch of
    those; its shape counts, and without preprocessing it is compared too. `source` goes into the metadata. `folder`
    holds external weights. Raises `ModelError` where scores differ or depend on the batch, and leaves no file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(target.parent, ".export-") as work:
        proto, folder = outsourced(strip(proto), folder, work / "source")
        adapted = adapt(proto, folder)
        load_external_data_for_model(adapted.proto, folder)
        final, card, (parity, agreement) = _proved(adapted, work / target.name, reference, example, options)
        eighth = None
        if options.quantisation is not None:
            describe(final.proto, final.preprocess, card)  # by which its own data are read, resized and checked
            eighth = eight_bit(final.proto, options.precision, options.quantisation, work, options.provider)
            final = replace(final, proto=eighth.proto, changes=(*final.changes, *eighth.changes))
            card = replace(card, quantisation=eighth.record)
        told = replace(card, source=source, weights_sha256=weights_sha256(final.proto))
        describe(final.proto, final.preprocess, told)
        written = read_model(save(final.proto, work / target.name))
        publish(work, target)
    return Export(
        path=target,
        sha256=written.sha256,
        source=source,
        precision=written.precision,
        parity=parity,
        agreement=agreement,
        changes=(*adapted.changes, *final.changes),
        batch=adapted.batch,
        warning="; ".join(filter(None, (adapted.warning, eighth.warning if eighth else ""))),
        compared=eighth.compared if eighth else None,
    )


def _proved(
    adapted: Adapted, file: Path, reference: Function, example: NDArray[Any], options: Options
) -> tuple[Folded, ModelCard, tuple[Parity, Parity | None]]:
    """The graph with preprocessing inside, in the precision asked for; its card; how it was compared."""
    tolerance = max(options.tolerance, _resolution(adapted.proto))
    shape = _shape(adapted.proto, example)
    pipeline = Pipeline(options.preprocess or Preprocess(), shape, options.input_layout)
    span = options.input_range or _range(options.preprocess)
    inputs = _inputs(adapted.proto, pipeline, example, options.examples, span)
    proof = Proof(file, inputs, pipeline.apply(inputs), adapted.batch, options.provider, options.class_names)
    final, agreement = fold(adapted.proto, pipeline), None
    parity, scores = proof.parity(final.proto, final.preprocess, reference, tolerance)
    record: dict[str, Any] = {"framework": parity.bounds}
    if (precision := options.precision) not in ("float32", *INT8):
        final = fold(convert(adapted.proto, precision), pipeline)
        limit = max(tolerance, TOLERANCES[precision])
        agreement = proof.agreement(final.proto, final.preprocess, scores, precision, limit)
        record["float32"] = agreement.bounds
    record |= {"tolerance": tolerance, "batches": list(BATCHES if adapted.batch is None else (adapted.batch,))}
    names, noise = tuple(options.class_names), options.training_noise
    known: dict[str, Any] = {"sample_rate": options.sample_rate, "denoiser": options.denoiser}
    card = ModelCard(span, class_names=names, training_noise=noise, parity=record, **known)
    return final, card, (parity, agreement)


def _resolution(proto: onnx.ModelProto) -> float:
    """What the network's own numbers resolve, as a share: parity cannot be asked for beyond it."""
    coarse = {onnx.TensorProto.FLOAT16: 2.0**-10, onnx.TensorProto.BFLOAT16: 2.0**-7}
    return max((coarse.get(tensor.data_type, 0.0) for tensor in proto.graph.initializer), default=0.0)


def _shape(proto: onnx.ModelProto, example: NDArray[Any]) -> tuple[int, ...]:
    """Shape of one of the network's inputs, free axes as in the example; `ValueError` where that does not fit."""
    shape = example.shape[1:]
    declared = static_shape(graph_inputs(proto.graph)[0]) or (None, *shape)
    fits = len(shape) == len(declared) - 1 and all(d in (None, n) for d, n in zip(declared[1:], shape, strict=True))
    require(fits, f"example: expected a batch of inputs of shape {show(declared[1:])}, got an array {example.shape}")
    return shape


def _range(preprocess: Preprocess | None) -> tuple[float, float] | None:
    """[0,1], or levels where a scale of at most 1 acts on them; None where nothing is known of the inputs."""
    if preprocess is None:
        return None
    return (0.0, 255.0) if preprocess.scale is not None and preprocess.scale <= 1 else (0.0, 1.0)


def _inputs(
    proto: onnx.ModelProto,
    pipeline: Pipeline,
    example: NDArray[Any],
    examples: NDArray[Any] | None,
    span: tuple[float, float] | None,
) -> NDArray[np.float32]:
    """What parity is measured on, as the file takes it: random inputs, then real ones."""
    divided = element_type(proto.graph) not in WHOLE and pipeline.preprocess.scale is None
    levels = span is not None and span[1] == 255
    require(not (divided and levels), "input_range: up to 255 is for files of levels; give `scale=1` as well")
    if divided and span is not None and span[1] <= 1:
        pipeline.preprocess.require_unit()
    if span is None:
        span = float(min(0.0, example.min())), float(max(1.0, example.max()))
        examples = example if examples is None else examples
    shape = tuple(n or 1 for n in pipeline.outer)
    inputs = random_inputs(shape, *span)
    if examples is None:
        return inputs
    real = np.asarray(examples)
    require(real.shape[1:] == shape, f"examples: expected inputs of shape (n, {show(shape)[1:]}, got {real.shape}")
    own = levels_of(real)
    divisor = own.unit if divided and own else 1
    return np.concatenate([inputs, real.astype(np.float32) / divisor], dtype=np.float32)
