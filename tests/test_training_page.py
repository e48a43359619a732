"""The losses of docs/training.md, as they stand on the page. Oracle: their formulas, written out in NumPy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
RNG = np.random.default_rng(4)
X = RNG.random((6, 8, 8, 1), dtype=np.float32)  # channels last
Y = np.array([0, 1, 2, 0, 1, 2])
WEIGHTS = RNG.standard_normal((64, 3)).astype(np.float32)


def block(framework: str) -> str:
    """The code of a framework's section."""
    section = PAGE.split(f"\n## {framework}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(code)


def written_out(framework: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(block(framework), names)
    return names


def cross_entropy(logits: NDArray[Any], y: NDArray[Any]) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(y)), y].mean())


def consistency(first: NDArray[Any], second: NDArray[Any], y: NDArray[Any]) -> float:
    """Weight 10 on KL(mean || each), 0.5 on the mean's entropy, copy by copy and image by image."""
    total = (cross_entropy(first, y) + cross_entropy(second, y)) / 2
    for a, b in zip(softmax(first, axis=1), softmax(second, axis=1), strict=True):
        mean = (a + b) / 2
        apart = sum(float((mean * np.log(mean / each)).sum()) for each in (a, b)) / 2
        total += (10 * apart - 0.5 * float((mean * np.log(mean)).sum())) / len(y)
    return total


@pytest.mark.parametrize("framework", ["PyTorch", "Keras", "JAX"])
def test_each_section_has_the_three_losses(framework: str) -> None:
    code = block(framework)
    compile(code, "docs/training.md", "exec")
    for name in ("consistency_loss", "colour_loss", "noise"):
        assert name in code


def test_pytorch() -> None:
    torch = pytest.importorskip("torch")
    page = written_out("PyTorch")
    seen: list[NDArray[Any]] = []
    weights = torch.tensor(WEIGHTS, requires_grad=True)

    def model(x: Any) -> Any:
        seen.append(x.detach().numpy())
        return x.flatten(1) @ weights

    x, y = torch.from_numpy(X).movedim(3, 1), torch.from_numpy(Y)
    for name in ("noise_loss", "colour_loss", "shift_loss", "rotation_loss", "consistency_loss"):
        torch.manual_seed(0)
        loss = page[name](model, x, y)
        loss.backward()
        assert weights.grad.abs().sum() > 0, name
        logits = seen[-1].reshape(len(seen[-1]), -1) @ WEIGHTS
        expected = consistency(*np.split(logits, 2), Y) if name == "consistency_loss" else cross_entropy(logits, Y)
        assert loss.item() == pytest.approx(expected, rel=1e-4), name
    torch.manual_seed(0)
    page["shift_loss"](model, x, y)
    assert np.allclose(np.sort(seen[-1].reshape(6, -1)), np.sort(X.reshape(6, -1)))  # a permutation of pixels
    wide = torch.rand(2, 1, 20, 30)
    torch.manual_seed(1)
    page["rotation_loss"](lambda x: seen.append(x.numpy()) or torch.zeros(2, 3), wide, y[:2], rotation=0.0, sigma=0.0)
    assert np.allclose(seen[-1], wide.numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of the framework's own
def test_jax() -> None:
    jax = pytest.importorskip("jax")
    page, key = written_out("JAX"), jax.random.key(3)
    seen: list[NDArray[Any]] = []

    def apply(weights: Any, x: Any) -> Any:
        if not isinstance(x, jax.core.Tracer):
            seen.append(np.asarray(x))
        return x.reshape(len(x), -1) @ weights

    for name in ("noise_loss", "colour_loss", "consistency_loss"):
        loss = float(page[name](WEIGHTS, apply, key, X, Y))
        logits = seen[-1].reshape(len(seen[-1]), -1) @ WEIGHTS
        expected = consistency(*np.split(logits, 2), Y) if name == "consistency_loss" else cross_entropy(logits, Y)
        assert loss == pytest.approx(expected, rel=1e-4), name
        value, slopes = jax.value_and_grad(page[name])(jax.numpy.asarray(WEIGHTS), apply, key, X, Y)
        assert float(value) == pytest.approx(loss, rel=1e-4)
        assert abs(np.asarray(slopes)).sum() > 0


@pytest.mark.filterwarnings("ignore")
def test_keras() -> None:
    pytest.importorskip("jax")  # Keras's backend here: KERAS_BACKEND=jax
    keras = pytest.importorskip("keras")
    page = written_out("Keras")
    seen: list[NDArray[Any]] = []

    def network(x: Any) -> Any:
        seen.append(np.asarray(keras.ops.convert_to_numpy(x)))
        return keras.ops.matmul(keras.ops.reshape(x, (-1, 64)), WEIGHTS)

    for name in ("colour_loss", "consistency_loss"):
        loss = float(page[name](network, X, Y, keras.random.SeedGenerator(0)))
        logits = seen[-1].reshape(len(seen[-1]), -1) @ WEIGHTS
        expected = consistency(*np.split(logits, 2), Y) if name == "consistency_loss" else cross_entropy(logits, Y)
        assert loss == pytest.approx(expected, rel=1e-4), name
        keras.utils.set_random_seed(0)
        own = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
        wrapper = page["Trained"](own, page[name])
        wrapper.compile(keras.optimizers.Adam(0.05))
        assert _falls(wrapper, Y), name
    keras.utils.set_random_seed(0)
    own = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    noisy = page["with_noise"](own, (8, 8, 1))
    noisy.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    noisy.fit(X, Y, verbose=0)
    assert np.allclose(noisy.predict(X, verbose=0), own.predict(X, verbose=0), atol=1e-5)  # nothing outside training


def _falls(wrapper: Any, y: NDArray[Any]) -> bool:
    losses = wrapper.fit(X, y, epochs=30, verbose=0).history["loss"]
    return bool(np.isfinite(losses).all() and np.mean(losses[-5:]) < losses[0] and np.isfinite(wrapper.evaluate(X, y)))
