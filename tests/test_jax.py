"""JAX functions, Flax and Equinox modules, trained here, exported, certified; oracle: JAX itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert.errors import ModelError
from smoothcert_exporters import Options, export
from smoothcert_exporters.frameworks.jax import to_onnx

from .frameworks import TRAINED, certifies_as, digits, require, run, run_page

jax = require("jax", "jax2onnx", "flax", "equinox", extra="jax")

import equinox  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402
from flax import linen, nnx  # noqa: E402

LAST = (32, 32, 1)  # channels last, as Flax wants them
FIRST = (1, 32, 32)  # channels first, as Equinox does


def batch_of(shape: tuple[int, ...], rows: int = 100) -> NDArray[np.float32]:
    """Digits that nothing was trained on, with noise."""
    x = np.resize(digits()[0][TRAINED:], (rows, 32, 32)).reshape(rows, *shape).astype(np.float32) / 255
    return (x + 0.1 * np.random.default_rng(2).standard_normal(x.shape)).astype(np.float32)


def fit(parameters: Any, scores: Callable[[Any, Any], Any], shape: tuple[int, ...], steps: int = 60) -> Any:
    """Parameters trained on the first digits."""
    x, y = (jnp.asarray(a[:TRAINED]) for a in digits())
    x = x.reshape(TRAINED, *shape) / 255
    optimizer = optax.adam(5e-3)
    state = optimizer.init(parameters)

    def loss(values: Any, rows: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(scores(values, x[rows]), y[rows]).mean()

    @jax.jit
    def step(values: Any, state: Any, rows: Any) -> Any:
        updates, state = optimizer.update(jax.grad(loss)(values, rows), state)
        return optax.apply_updates(values, updates), state

    order = np.random.default_rng(0).integers(0, TRAINED, (steps, 64))
    for rows in order:
        parameters, state = step(parameters, state, rows)
    return parameters


class Linen(linen.Module):
    """Convolution, BatchNorm, pooling, dropout, linear layer."""

    @linen.compact
    def __call__(self, x: Any, training: bool = False) -> Any:
        x = linen.Conv(8, (5, 5), strides=2)(x)
        x = linen.relu(linen.BatchNorm(use_running_average=not training)(x))
        x = linen.avg_pool(x, window_shape=(2, 2), strides=(2, 2)).reshape((x.shape[0], -1))
        return linen.Dense(10)(linen.Dropout(0.5, deterministic=not training)(x))


class Nnx(nnx.Module):
    """Likewise."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.convolution = nnx.Conv(1, 8, (5, 5), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.linear = nnx.Linear(8 * 16 * 16, 10, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = nnx.relu(self.norm(self.convolution(x)))
        return self.linear(self.dropout(x.reshape(x.shape[0], -1)))


class Equinox(equinox.Module):
    """Convolution, dropout, linear layer, of one image."""

    convolution: Any
    dropout: Any
    linear: Any

    def __init__(self) -> None:
        one, two = jax.random.split(jax.random.key(0))
        self.convolution = equinox.nn.Conv2d(1, 8, 5, 2, padding=2, key=one)
        self.dropout = equinox.nn.Dropout(0.5)
        self.linear = equinox.nn.Linear(8 * 16 * 16, 10, key=two)

    def __call__(self, x: Any, key: Any = None) -> Any:
        return self.linear(self.dropout(jax.nn.relu(self.convolution(x)).reshape(-1), key=key))


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[Any, Any, tuple[int, ...]]]:
    """Trained models as `export` takes them, as functions from a batch in inference, and shapes of an input."""
    net = Linen()
    variables = net.init(jax.random.key(0), jnp.zeros((1, *LAST)))
    rest = {"batch_stats": variables["batch_stats"]}
    params = fit(variables["params"], lambda p, x: net.apply({"params": p} | rest, x), LAST)
    variables = {"params": params} | rest

    module = Nnx()
    module.eval()
    graph, weights, others = nnx.split(module, nnx.Param, ...)
    module = nnx.merge(graph, fit(weights, lambda w, x: nnx.merge(graph, w, others)(x), LAST), others)
    inference = nnx.clone(module)
    module.train()  # to_onnx has to see to it

    arrays, static = equinox.partition(Equinox(), equinox.is_array)
    still = equinox.nn.inference_mode(static)
    arrays = fit(arrays, lambda a, x: jax.vmap(equinox.combine(a, still))(x), FIRST)

    weight = fit(jnp.zeros((1024, 10)), lambda w, x: x @ w, (1024,))
    return {
        "function": (lambda x: jax.nn.softmax(x @ weight), lambda x: jax.nn.softmax(x @ weight), (1024,)),
        "jitted": (jax.jit(lambda x: x @ weight), lambda x: x @ weight, (1024,)),
        "linen": ((net, variables), lambda x: net.apply(variables, x), LAST),
        "nnx": (module, lambda x: inference(x), LAST),
        "equinox": (equinox.combine(arrays, static), jax.vmap(equinox.combine(arrays, still)), FIRST),
    }


KINDS = ["function", "jitted", "linen", "nnx", "equinox"]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_jax(kind: str, models: Any) -> None:
    """At batches of 1, 2 and 17, dropout and batch statistics of training left out."""
    model, function, shape = models[kind]
    proto, reference = to_onnx(model, np.zeros(shape, np.float32))
    for rows in (1, 2, 17):
        batch = batch_of(shape, rows)
        expected = np.asarray(function(batch))
        assert np.abs(run(proto, batch) - expected).max() <= 1e-5 * np.abs(expected).max()
        assert np.abs(reference(batch) - expected).max() <= 1e-5 * np.abs(expected).max()
    again = to_onnx(model, np.zeros((2, *shape), np.float32))[0]
    assert again.SerializeToString() == proto.SerializeToString()


@pytest.mark.parametrize("kind", KINDS)
def test_exports_certify_as_jax_does(kind: str, models: Any, tmp_path: Path) -> None:
    model, function, shape = models[kind]
    done = export(
        model,
        tmp_path / "m.onnx",
        example=np.zeros(shape, np.float32),
        options=Options(examples=batch_of(shape, 20)),
        framework="jax",
    )
    assert done.parity.flips == 0
    assert done.batch is None
    jitted = jax.jit(function)
    assert certifies_as(tmp_path / "m.onnx", lambda x: np.asarray(jitted(x.reshape(-1, *shape))), near_ties=1) >= 4


def test_the_module_given_stays_in_training_mode(models: Any) -> None:
    module = models["nnx"][0]
    to_onnx(module, np.zeros(LAST, np.float32))
    assert not module.dropout.deterministic
    assert not module.norm.use_running_average


W = np.random.default_rng(0).standard_normal((64, 10)).astype(np.float32)
REFUSED: dict[str, tuple[Any, str]] = {
    "random": (lambda x: x @ W + jax.random.normal(jax.random.key(0), (10,)), "random numbers"),
    "two outputs": (lambda x: (x @ W, x), "returns one array of scores, got a tuple"),
    "two inputs": (lambda x, y: x @ W + y, "row of scores"),
    "one number": (lambda x: (x @ W).sum(axis=1), "row of scores"),
    "linen without variables": (Linen(), "pass \\(module, variables\\)"),
    "another tuple": ((1, 2, 3), "another tuple"),
    "no function": (3, "expected a function"),
    "what jax2onnx cannot convert": (lambda x: jnp.linalg.svd(x.reshape(-1, 8, 8))[1], "jax2onnx cannot convert"),
}


@pytest.mark.parametrize(("model", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_why_in_a_line(model: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message) as error:
        export(model, tmp_path / "m.onnx", example=np.zeros(64, np.float32), framework="jax")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_page("export-jax.md", tmp_path, monkeypatch)
    assert names["certificate"].prediction >= -1
    assert {path.name for path in tmp_path.iterdir()} == {"function.onnx", "equinox.onnx", "flax.onnx"}
