"""Keras models, trained here, exported, certified by the runtime; oracle: Keras itself, on the backend it runs on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert.errors import ModelError
from smoothcert_exporters import Options, export
from smoothcert_exporters.frameworks.keras import to_onnx

from .frameworks import TRAINED, certifies_as, digits, require, run, run_page

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
CONVERTERS = {"tensorflow": ("tensorflow", "tf2onnx"), "torch": ("torch", "onnxscript"), "jax": ("jax", "jax2onnx")}
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")  # the Makefile runs these tests on each
require(*CONVERTERS[BACKEND], extra="keras")
keras = require("keras", extra="keras")

from keras import layers  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of the frameworks' own, in training
    pytest.mark.skipif(keras.backend.backend() != BACKEND, reason="Keras was imported with another backend"),
]
IMAGE = (32, 32, 1)


def batch_of(shape: tuple[int, ...], rows: int = 40) -> NDArray[np.float32]:
    """Digits that nothing was trained on, with noise, or as many values of them as fit the shape."""
    x = np.resize(digits()[0][TRAINED:] / 255, (rows, *shape))
    return (x + 0.1 * np.random.default_rng(2).standard_normal(x.shape)).astype(np.float32)


def scores(model: Any, batch: NDArray[np.float32]) -> NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(model(batch, training=False)))


def strided() -> Any:
    """Convolution, BatchNormalization, dropout and noise of training, softmax."""
    body = [layers.Conv2D(8, 5, strides=2), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.5)]
    ends = [layers.GaussianNoise(0.3), layers.Flatten(), layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input(IMAGE), *body, *ends])


@pytest.fixture(scope="module")
def trained() -> Any:
    keras.utils.set_random_seed(0)
    model = strided()
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = digits()
    model.fit(x[:TRAINED, ..., None] / 255.0, y[:TRAINED], epochs=25, batch_size=30, verbose=0)
    return model


class Subclassed(keras.Model):
    """A model that does not say what its inputs are."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = layers.Dense(16, activation="relu")
        self.outer = layers.Dense(10)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.outer(self.inner(x))


def functional() -> Any:
    """Exact GELU and layer normalisation, which converters have stumbled over."""
    x = keras.Input((64,))
    y = layers.LayerNormalization()(layers.Dense(32, activation="gelu")(x))
    return keras.Model(x, layers.Dense(10)(y))


def separable() -> Any:
    """Depthwise and separable convolutions, colours last, global pooling."""
    body = [layers.DepthwiseConv2D(3, padding="same"), layers.SeparableConv2D(8, 3, padding="same", strides=2)]
    return keras.Sequential([keras.Input((32, 32, 3)), *body, layers.GlobalAveragePooling2D(), layers.Dense(5)])


def attention() -> Any:
    """Self-attention over four patches."""
    x = keras.Input((64,))
    patches = layers.Reshape((4, 16))(x)
    mixed = layers.Add()([patches, layers.MultiHeadAttention(2, 8)(patches, patches)])
    return keras.Model(x, layers.Dense(10)(layers.GlobalAveragePooling1D()(mixed)))


def pooled() -> Any:
    """Largest values of squares."""
    return keras.Sequential([keras.Input(IMAGE), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10)])


MODELS = {
    "strided": (strided, IMAGE),
    "functional": (functional, (64,)),
    "subclassed": (Subclassed, (64,)),
    "separable": (separable, (32, 32, 3)),
    "attention": (attention, (64,)),
    "pooled": (pooled, IMAGE),
}


@pytest.mark.parametrize(("make", "shape"), MODELS.values(), ids=MODELS)
def test_scores_are_those_of_keras(make: Any, shape: tuple[int, ...], request: pytest.FixtureRequest) -> None:
    """At batches of 1, 2 and 17, in inference mode; the same bytes twice."""
    if make is pooled and BACKEND == "jax":
        pytest.skip("jax2onnx 0.17 writes a pooling of Keras that ONNX Runtime refuses")
    keras.utils.set_random_seed(1)
    model = make()
    proto, reference = to_onnx(model, np.zeros(shape, np.float32))
    for rows in (1, 2, 17):
        batch = batch_of(shape, rows)
        expected = scores(model, batch)
        assert np.abs(run(proto, batch) - expected).max() <= 1e-5 * np.abs(expected).max()
        assert np.abs(reference(batch) - expected).max() <= 1e-6 * np.abs(expected).max()
    again = to_onnx(model, np.zeros((3, *shape), np.float32))[0]
    assert again.SerializeToString() == proto.SerializeToString()


def test_a_trained_model_certifies_as_keras_does(trained: Any, tmp_path: Path) -> None:
    done = export(
        trained, tmp_path / "m.onnx", example=np.zeros(IMAGE, np.float32), options=Options(examples=batch_of(IMAGE))
    )
    assert done.parity.flips == 0
    assert done.batch is None
    assert done.source.startswith("keras ")
    assert certifies_as(tmp_path / "m.onnx", lambda x: scores(trained, x.reshape(-1, *IMAGE)), near_ties=1) >= 4


def two_outputs() -> Any:
    x = keras.Input((64,))
    return keras.Model(x, [layers.Dense(3)(x), layers.Dense(2)(x)])


def two_inputs() -> Any:
    x, y = keras.Input((64,)), keras.Input((64,))
    return keras.Model([x, y], layers.Dense(3)(layers.Add()([x, y])))


def one_number() -> Any:
    return keras.Sequential([keras.Input((64,)), layers.Dense(1)])


@pytest.mark.parametrize(
    ("make", "message"),
    [(two_outputs, "got 2 outputs"), (two_inputs, "got 2 inputs"), (one_number, "not a classifier")],
)
def test_refusals_say_why_in_a_line(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message) as error:
        export(make(), tmp_path / "m.onnx", example=np.zeros(64, np.float32))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(BACKEND == "jax", reason="on this backend Keras itself refuses random numbers without a seed")
def test_a_layer_that_is_random_in_inference_is_refused(tmp_path: Path) -> None:
    class Noisy(layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x + keras.random.normal((1, 64))

    model = keras.Sequential([keras.Input((64,)), Noisy(), layers.Dense(10)])
    with pytest.raises(ModelError):
        export(model, tmp_path / "m.onnx", example=np.zeros(64, np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(BACKEND != "tensorflow", reason="functions of TensorFlow")
def test_functions_of_tensorflow(tmp_path: Path) -> None:
    """A module with variables of its own exports by name; what ONNX lacks is named."""
    tensorflow = require("tensorflow", extra="keras")
    weight = np.random.default_rng(0).standard_normal((64, 10)).astype(np.float32)

    class Linear(tensorflow.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.weight = tensorflow.Variable(weight)

        def __call__(self, x: Any) -> Any:
            return tensorflow.matmul(x, self.weight)

    export(Linear(), tmp_path / "m.onnx", example=np.zeros(64, np.float32))
    batch = batch_of((64,), 5)
    assert np.allclose(run(to_onnx(Linear(), batch)[0], batch), batch @ weight, rtol=1e-5, atol=1e-5)
    with pytest.raises(ModelError, match="ONNX has no equivalent of Lgamma"):
        to_onnx(tensorflow.function(lambda x: tensorflow.math.lgamma(x)), batch)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_page("export-keras.md", tmp_path, monkeypatch)
    assert names["certificate"].prediction >= -1
    assert (tmp_path / "keras.onnx").exists()
