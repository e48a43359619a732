"""Keras models to ONNX: by tf2onnx from the TensorFlow backend, torch.onnx from PyTorch's, jax2onnx from JAX's."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from smoothcert.errors import ModelError

from ..proof.parity import Function
from .converting import as_batch, converting
from .naming import canonical

_OPSET = 18  # the newest that tf2onnx writes


def to_onnx(model: Any, example: Any) -> tuple[onnx.ModelProto, Function]:
    """The ONNX graph of a Keras 3 model in inference mode, or of a TensorFlow function, and its own answers.

    The converter is that of the backend which Keras runs on (KERAS_BACKEND). A TensorFlow function or module, such as
    a loaded SavedModel, maps a batch to its scores. `example`: one input or a batch. Raises `ModelError` for several
    inputs or outputs, operators that ONNX lacks, and what the converter cannot convert.
    """
    if not any(cls.__module__.partition(".")[0] == "keras" for cls in type(model).__mro__):
        return _from_tensorflow(model, example, type(model).__name__)
    import keras

    _require_one_of_each(model)
    backend = keras.backend.backend()

    def infer(batch: Any) -> Any:
        return model(batch, training=False)

    # Called once ahead: a subclassed model makes its weights in its first call, which no tracer may see.
    example = as_batch(example, lambda shape: tuple(infer(keras.ops.zeros(shape)).shape))
    if backend == "tensorflow":
        return _from_tensorflow(infer, example, model.name)
    if backend == "torch":
        return _from_torch(model, example)
    if backend == "jax":
        from . import jax

        infer.__name__ = model.name
        return jax.to_onnx(infer, example)
    raise ModelError(f"expected Keras on tensorflow, torch or jax, got {backend}; load the model with another backend")


def _require_one_of_each(model: Any) -> None:
    for what in ("inputs", "outputs"):
        count = len(getattr(model, what, None) or [0])  # a subclassed model does not say
        if count != 1:
            raise ModelError(f"expected a model of one input and one output, got {count} {what}; wrap it in another")


def _from_tensorflow(function: Any, example: Any, name: str) -> tuple[onnx.ModelProto, Function]:
    import tensorflow as tf

    traced = tf.function(function, autograph=False)

    def scores_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
        answer = function(tf.zeros(shape))
        if not isinstance(answer, tf.Tensor):
            raise ModelError(f"expected a model that returns one tensor of scores, got a {type(answer).__name__}")
        return tuple(answer.shape)

    batch = as_batch(example, scores_shape)
    with converting("tf2onnx", name):
        from tf2onnx import convert

        signature = [tf.TensorSpec((None, *batch.shape[1:]), tf.float32, name="input")]
        proto, _ = convert.from_function(traced, signature, opset=_OPSET, custom_op_handlers={"Erfc": (_erfc, [])})
    _require_known(proto, name)
    canonical(proto)  # tf2onnx counts on from one conversion to the next, and iterates over sets

    def reference(rows: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(function(tf.constant(rows)))

    return proto, reference


def _erfc(context: Any, node: Any, name: str, _: Any) -> Any:
    """1 - erf(x), where ONNX has no complementary error function: Keras writes its exact GELU so."""
    one = context.make_const(f"{name}_one", np.float32(1))
    node.type = "Erf"
    difference = context.insert_new_node_on_output("Sub", node.output[0], name=f"{name}_complement")
    context.replace_inputs(difference, [one.output[0], node.output[0]])
    return difference


def _require_known(proto: onnx.ModelProto, name: str) -> None:
    """`ModelError` for operators of TensorFlow: tf2onnx leaves what it cannot convert in the graph."""
    known = {(schema.domain, schema.name) for schema in onnx.defs.get_all_schemas()}
    strange = sorted({n.op_type for n in proto.graph.node if (n.domain, n.op_type) not in known})
    if strange:
        raise ModelError(f"ONNX has no equivalent of {', '.join(strange)} in {name}; build the model without it")


def _from_torch(model: Any, example: Any) -> tuple[onnx.ModelProto, Function]:
    import torch

    from . import pytorch

    class Inference(torch.nn.Module):  # type: ignore[misc]
        """The model with its layers told that this is inference; PyTorch's own training flag says nothing to Keras."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: Any) -> Any:
            return self.model(batch, training=False)

    return pytorch.to_onnx(Inference().eval(), example)
