"""PyTorch modules and exported programs to ONNX, by torch.onnx's dynamo exporter."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from smoothcert.errors import ModelError, first_line

from ..proof.parity import Function
from .converting import converting
from .loading import from_module


def to_onnx(model: Any, example: Any) -> tuple[onnx.ModelProto, Function]:
    """The ONNX graph of a `torch.nn.Module` in evaluation mode or an `ExportedProgram`, and its own answers.

    `example`: one input or a batch, numpy or tensor; values do not count. The batch axis is free where the module
    allows it. Raises `ModelError` for a module in training mode, of several inputs, with random operators, with
    operators that ONNX lacks, or whose answer is not one tensor.
    """
    import torch

    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            "expected a torch.nn.Module, got TorchScript, which the exporter does not read; export the module"
        )
    exported = isinstance(model, torch.export.ExportedProgram)
    if not exported:
        _require_evaluation(model)
        _require_one_input(model)
    reference = _Reference(model.module() if exported else model)
    batch = reference.batch(example)
    with converting("torch.onnx", type(model).__name__):
        program = model if exported else _program(model, batch)
        _require_no_chance(program)
        try:
            written = torch.onnx.export(program, (), dynamo=True, verbose=False)
        except Exception as error:
            raise ModelError(_unsupported(error)) from None
    if written is None:
        raise ModelError("torch.onnx.export returned no program; expected PyTorch 2.6 or newer")
    return written.model_proto, replace(reference, rows=_fixed_rows(program))


@dataclass(frozen=True, eq=False)
class _Reference:
    """A module as a function from float32 batches to scores; `rows` at once where its program takes no other number."""

    module: Any
    rows: int | None = None

    def tensor(self, values: Any) -> Any:
        """Values as the module takes them."""
        import torch

        if not isinstance(values, torch.Tensor):
            values = torch.from_numpy(np.ascontiguousarray(values))
        weights = next((p for p in self.module.parameters() if p.is_floating_point()), torch.zeros(()))
        return values.detach().to(dtype=weights.dtype, device=weights.device)

    def batch(self, example: Any) -> Any:
        """The example as a batch of two: its first input, or itself, twice. `ModelError` where neither is answered."""
        given = self.tensor(example)
        failures = []
        for batch in (given, given[None]):
            if batch.ndim > 1:
                try:
                    scores = self._scores(batch)
                except ModelError:
                    raise
                except Exception as error:
                    failures.append(first_line(error)[:100])
                else:
                    if scores.ndim > 1 and len(scores) == len(batch):
                        return batch[:1].repeat(2, *[1] * (batch.ndim - 1))
                    failures.append(f"scores of shape {tuple(scores.shape)}")
        raise ModelError(
            f"expected an example that the module answers with a row of scores, got {tuple(given.shape)}: "
            f"{failures[0] if failures else 'no batch'}"
        )

    def _scores(self, batch: Any) -> Any:
        import torch

        with torch.inference_mode():
            scores = self.module(batch)
        if not isinstance(scores, torch.Tensor):
            raise ModelError(
                f"expected a module that returns one tensor of scores, got a {type(scores).__name__}; "
                "wrap it in a module that returns the scores alone"
            )
        return scores

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[Any]:
        size = self.rows or len(batch)
        filled = np.resize(batch, (-(-len(batch) // size) * size, *batch.shape[1:]))
        parts = [self._scores(part).cpu() for part in self.tensor(filled).split(size)]
        tables = [part.float().numpy() if part.is_floating_point() else part.numpy() for part in parts]
        return np.concatenate(tables)[: len(batch)]


def _require_evaluation(model: Any) -> None:
    training = [name or "the module itself" for name, module in model.named_modules() if module.training]
    if training:
        raise ModelError(f"expected a module in evaluation mode, got training mode ({training[0]}); call model.eval()")


def _require_one_input(model: Any) -> None:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(model.forward).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind in kinds]
    if len(needed) > 1:
        raise ModelError(
            f"expected a module of one input, got {len(needed)} ({', '.join(needed)}); wrap it with the others fixed"
        )


def _program(model: Any, batch: Any) -> Any:
    """The module as a program, its batch axis free, or else fixed to 1."""
    import torch

    try:
        return torch.export.export(model, (batch,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as error:
        failure = error
    try:
        return torch.export.export(model, (batch[:1],))
    except Exception:
        raise ModelError(f"PyTorch cannot export the module: {first_line(failure)}") from None


def _fixed_rows(program: Any) -> int | None:
    """The batch size that a program was made for; None where it takes any."""
    (name,) = program.graph_signature.user_inputs
    (value,) = (node.meta["val"] for node in program.graph.nodes if node.name == name)
    return value.shape[0] if isinstance(value.shape[0], int) else None


def _require_no_chance(program: Any) -> None:
    """`ModelError` where the program draws random numbers."""
    import torch

    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    if drawn := sorted({str(node.target) for graph in graphs for node in graph.nodes if _draws(node)}):
        raise ModelError(
            f"the module draws random numbers ({', '.join(drawn)}); the certified function must be one function: "
            "leave them out of its evaluation"
        )


def _draws(node: Any) -> bool:
    """Whether a node's operator is random, and not switched off as dropout is in evaluation."""
    import torch

    if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return False
    names = [argument.name for argument in node.target._schema.arguments]
    defaults = {a.name: a.default_value for a in node.target._schema.arguments if a.has_default_value()}
    values = defaults | dict(zip(names, node.args, strict=False)) | node.kwargs
    switches = [values[name] for name in ("train", "training", "dropout_p") if name in values]
    return bool(switches[0]) if switches else True


def _unsupported(error: BaseException) -> str:
    """One line that names the operator that ONNX lacks, or else the innermost reason."""
    said, inner = str(error), error.__cause__ or error.__context__
    while inner is not None:
        said, inner = f"{said}\n{inner}", inner.__cause__ or inner.__context__
    found = re.search(r"No (?:ONNX function|decompositions)[^\n]*?<OpOverload\(op='([^']+)'", said)
    if found:
        return f"ONNX has no equivalent of the operator {found[1]}; write the module without it"
    reason = next((line for line in reversed(said.splitlines()) if line.strip()), type(error).__name__)
    return f"torch.onnx cannot export the module: {reason.strip()}"


def load(name: str, weights: Path | None) -> Any:
    """The module that MODULE:FACTORY makes, in evaluation mode, with weights of a state dictionary.

    Only tensors are read from `weights` (torch.load, weights_only), bare or under `state_dict`; a `module.` ahead of
    all names, left by DataParallel, is dropped. Raises `ModelError`.
    """
    import torch

    model = from_module(name)
    if isinstance(model, torch.export.ExportedProgram):
        return model
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"{name}: expected a torch.nn.Module, got {type(model).__name__}")
    if weights is not None:
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
            if all(key.startswith("module.") for key in state):
                state = {key.removeprefix("module."): value for key, value in state.items()}
            model.load_state_dict(state)
        except Exception as error:
            why = " ".join(str(error).split())[:200]
            raise ModelError(f"{weights}: expected weights that fit {name}: {why}") from None
    return model.eval()
