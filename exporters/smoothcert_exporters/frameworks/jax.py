"""JAX functions, Flax and Equinox modules to ONNX, by jax2onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from smoothcert.errors import ModelError

from ..proof.parity import Function
from .converting import as_batch, converting

_OPSET = 21  # the newest that ONNX Runtime 1.20 runs


def to_onnx(model: Any, example: Any) -> tuple[onnx.ModelProto, Function]:
    """The ONNX graph of a classifier in JAX, and its own answers.

    `model` is one of: a function from a batch to its scores, parameters inside; a Flax NNX module; a pair (Flax Linen
    module, variables); an Equinox module, which takes one input. Modules are put in inference mode, the one given stays
    as it is; a function is taken as it is. `example`: one input or a batch. Raises `ModelError` where jax2onnx cannot
    convert it, or where it answers with anything but a row of scores for each input.
    """
    import jax

    function = _function(model)

    def scores_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
        answer = jax.eval_shape(function, jax.ShapeDtypeStruct(shape, np.float32))
        if not isinstance(answer, jax.ShapeDtypeStruct):
            raise ModelError(
                f"expected a function that returns one array of scores, got a {type(answer).__name__}; "
                "return the scores alone"
            )
        return tuple(answer.shape)

    batch = as_batch(example, scores_shape)
    with converting("jax2onnx", getattr(model, "__name__", type(model).__name__)):
        from jax2onnx import to_onnx as convert

        spec = [("batch", *batch.shape[1:])]
        proto = convert(function, spec, model_name="classifier", opset=_OPSET, input_names=["input"])
    compiled = jax.jit(function)

    def reference(rows: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(compiled(rows))

    return proto, reference


def _function(model: Any) -> Any:
    """The model as a function from a batch to its scores, in inference mode."""
    roots = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    if isinstance(model, tuple):
        if len(model) != 2 or not hasattr(model[0], "apply"):
            raise ModelError("expected (Flax Linen module, variables), got another tuple; pass a function instead")
        module, variables = model
        return lambda batch: module.apply(variables, batch)
    if "flax" in roots:
        from flax import nnx

        if not isinstance(model, nnx.Module):
            raise ModelError("expected a Flax Linen module with its variables; pass (module, variables)")
        inference = nnx.clone(model)
        inference.eval()
        return lambda batch: inference(batch)
    if "equinox" in roots:
        import equinox
        import jax

        return jax.vmap(equinox.nn.inference_mode(model))
    if not callable(model):
        raise ModelError(f"expected a function from a batch to its scores, got a {type(model).__name__}")
    return model
