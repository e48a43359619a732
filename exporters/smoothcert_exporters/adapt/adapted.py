"""Any ONNX classifier, made ready to certify: one input, one output, a free batch axis; the same function as before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass

import onnx

from smoothcert.errors import ModelError, first_line, require
from smoothcert.model.file import checked
from smoothcert.model.graph.functions import inlined, standing

from ..graph import Array, CannotAdapt, constants, fixed_batch, inputs, opset, prune, set_shape
from ..proof.parity import BATCHES
from ..proof.trial import Trial, input_shape, observe_shapes, runner
from .conversion import inlined_by_conversion, upgraded
from .dynamic_batch import free_batch
from .folding import constant_nodes, fold_batch_norm, fold_constants
from .outputs import drop_dead_inputs, keep_output, scores_output, unzip, wide, widen
from .shapes import loose

_OLDEST = 8  # opset from which the runtime takes a file
_MODERN = 18  # opset that an older file is upgraded to


@dataclass(frozen=True, eq=False)
class Adapted:
    """A classifier ready to certify. `changes` says each change in words; `batch` is the size it stays fixed to.

    `warning`: what could not be changed, and what that costs; empty where all could. `given`: the graph before that.
    """

    proto: onnx.ModelProto
    changes: tuple[str, ...]
    batch: int | None
    warning: str
    given: onnx.ModelProto


def adapt(
    proto: onnx.ModelProto, folder: str = "", *, output: str | None = None, examples: Array | None = None
) -> Adapted:
    """Adapt a classifier; the graph given stays as it is. `folder` holds its external weights, if any.

    ZipMap removed, one output kept (`output`, or the scores found by a trial), initializers no longer listed as
    inputs, local functions inlined, opsets before 8 upgraded, constants computed ahead, BatchNormalization folded, a
    fixed batch axis made free. That the axis can be free is proved from the graph; and every change is tried on random
    and hard inputs and on `examples` (n, *shape of one input), as the graph takes them: scores within 1e-5 at its own
    batch size, the same for every row at batches of 1, 2 and 17; else it is not made. The same bytes every time.
    Raises `ModelError` for what cannot be certified, or where what must change (opset, functions) fails the trial.
    """
    work = deepcopy(proto)
    changes, before = _settle(work, folder, output)
    declared, shape = fixed_batch(work.graph), input_shape(work)
    given = proto if _runs_alone(proto) else before
    mixing = _mixing(work, declared)
    if shape is None:
        if mixing and declared is None:
            inputs(work.graph)[0].type.tensor_type.shape.dim[0].dim_value = declared = 1
        why = CannotAdapt("other axes of its input are free, and no trial of the change can be made")
        return Adapted(work, changes, declared, _slow(declared, why) if declared else "", given)
    require(examples is None or examples.shape[1:] == shape, f"examples: expected inputs of shape {shape}")
    trial = Trial(given, folder, work.graph.output[0].name, shape, declared, examples)
    if work != given:
        _require_kept(trial, work, declared or 1)
    if declared is None and not mixing and not trial.breaks(work):
        work, more = _folded(work, folder, shape, trial, batch=2)
        return Adapted(work, (*changes, *more), None, "", given)
    work, said, warning = _freed(work, folder, shape, declared, trial)
    fixed = declared or 1
    work, more = _folded(work, folder, shape, trial, batch=fixed)
    return Adapted(work, (*changes, *said, *more), fixed if warning else None, warning, given)


def _freed(
    proto: onnx.ModelProto, folder: str, shape: tuple[int, ...], declared: int | None, trial: Trial
) -> tuple[onnx.ModelProto, tuple[str, ...], str]:
    """The graph with a free batch axis, and the change in words; or with a fixed one, and the warning that says why."""
    fixed = declared or 1
    freed = deepcopy(proto)
    try:
        free_batch(freed, folder, (fixed, *shape))
        trial.check(freed)
    except ModelError as error:
        if declared is None:
            set_shape(inputs(proto.graph)[0], [1, *shape])
        return proto, (), _slow(fixed, error)
    was = f"batch axis, fixed to {fixed}, made free" if declared else "batch size baked into the graph taken out"
    return freed, (was,), ""


def _mixing(proto: onnx.ModelProto, declared: int | None) -> bool:
    """Whether a shape depends on the values of the whole batch; `ModelError` where the file allows no batch of one."""
    found = loose(proto.graph)
    if found and (declared or 1) > 1:
        raise ModelError(
            f"expected rows that do not depend on each other: {found[0]} gives a shape that depends on the values of "
            f"all {declared} inputs of a batch; export the model with a batch axis of 1"
        )
    return bool(found)


def _runs_alone(proto: onnx.ModelProto) -> bool:
    """Whether the graph can be asked as it came: one input, and scores that numpy knows."""
    return len(inputs(proto.graph)) == 1 and not wide(proto)


def _require_kept(trial: Trial, work: onnx.ModelProto, size: int) -> None:
    """`ModelError` unless what had to change left the scores as they were, at the file's own batch size."""
    try:
        trial.check(work, (size,), other_kernels=True)
    except ModelError as error:
        raise ModelError(
            f"written with one input and an opset of {_OLDEST} or newer, the model answers otherwise than its file "
            f"({first_line(error)}); export it again with opset {_MODERN} by its own framework"
        ) from None


def _slow(batch: int, error: Exception) -> str:
    why = first_line(error).removesuffix(".")
    return (
        f"the batch axis stays fixed to {batch}, since {why}: expect certifying to be several times slower than with "
        "a free batch axis, with which its framework may be able to export it"
    )


def _settle(proto: onnx.ModelProto, folder: str, output: str | None) -> tuple[tuple[str, ...], onnx.ModelProto]:
    """One input, one output, an opset that the runtime takes; `ModelError` for anything that is no classifier.

    What was changed, and the graph with one input and one output as it was in its own opset.
    """
    graph = proto.graph
    changes: list[str] = []
    if not graph.node or not graph.output:
        raise ModelError("expected an ONNX graph with nodes and outputs, got none; export the model again")
    if proto.functions:  # of another opset, they are converted where the graph itself can be asked besides
        converted = standing(proto) and _runs_alone(proto)
        proto.CopyFrom(inlined(inlined_by_conversion(proto) if converted else proto))
        changes.append("local functions written out")
    changes += unzip(proto)
    changes += drop_dead_inputs(proto)
    listed = {value.name for value in graph.input} & set(constants(graph))
    prune(graph)
    if listed:
        proto.ir_version = max(proto.ir_version, 4)  # before, initializers had to be inputs
        changes.append(f"{len(listed)} initializers no longer listed as inputs")
    names = [value.name for value in graph.output]
    if output is not None and output not in names:
        raise ModelError(f"no output {output!r}; pass `output` with one of: {', '.join(names)}")
    entries = [value.name for value in inputs(graph)]
    if len(entries) != 1:
        found = ", ".join(entries) or "none"
        raise ModelError(f"expected one input, got {len(entries)} ({found}); fix the others inside the graph")
    changes += keep_output(proto, output or scores_output(proto, folder))
    changes += widen(proto)
    before = deepcopy(proto)
    if opset(proto) < _OLDEST:
        changes.append(f"opset {opset(proto)} upgraded to {_MODERN}")
        runner(proto, folder, graph.output[0].name)  # ONNX Runtime loads the graph first, and refuses what is damaged
        proto.CopyFrom(upgraded(proto, _MODERN))
    checked(proto, graph.output[0].name)
    return tuple(changes), before


def _folded(
    proto: onnx.ModelProto, folder: str, shape: tuple[int, ...], trial: Trial, *, batch: int
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Constants computed ahead and BatchNormalization folded, each kept only where the trial allows it."""
    batches = (batch,) if fixed_batch(proto.graph) else BATCHES
    changes: tuple[str, ...] = ()

    def ahead(work: onnx.ModelProto) -> tuple[str, ...]:
        constant_nodes(work)
        count = fold_constants(work, folder, (batch, *shape), static=False)
        return (f"nodes that compute with constants alone computed ahead: {count}",) if count else ()

    def norms(work: onnx.ModelProto) -> tuple[str, ...]:
        found = [n for n in work.graph.node if n.op_type == "BatchNormalization"]
        if not found or trial.coarse:
            return ()
        constant_nodes(work)
        names = [n.input[0] for n in found] + [n.input[0] for n in work.graph.node if n.op_type == "MatMul"]
        made = {name for node in work.graph.node for name in node.output}
        return fold_batch_norm(
            work, folder, observe_shapes(work, folder, (batch, *shape), [n for n in dict.fromkeys(names) if n in made])
        )

    steps: tuple[Callable[[onnx.ModelProto], tuple[str, ...]], ...] = (ahead, norms)
    for step in steps:
        candidate = deepcopy(proto)
        with suppress(ModelError):
            if said := step(candidate):
                trial.check(candidate, batches)
                proto, changes = candidate, (*changes, *said)
    return proto, changes
