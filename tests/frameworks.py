"""What the tests of every framework share: digits to train on, certificates compared, the documentation's page run."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from smoothcert import Noise, OrtClassifier, certify
from smoothcert.model.classifier import CallableClassifier

from .conftest import IMAGES

TRAINED = 180  # the first digits train, the others are certified
DOCS = Path(__file__).parents[1] / "docs"
SIGMA = 0.1  # what classical models, trained without noise, can bear


def require(*packages: str, extra: str) -> Any:
    """The first package; the test file is skipped, visibly, where one of them is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the frameworks' own
        for package in packages:
            pytest.importorskip(package, reason=f"{package} is not installed: `pip install smoothcert[{extra}]`")
        return importlib.import_module(packages[0])


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, 32, 32) and their labels."""
    with np.load(IMAGES) as archive:
        return archive["x"], archive["y"].astype(np.int64)


def training_vectors() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vectors (180, 1024) in [0,1] and labels to train on."""
    x, y = digits()
    return (x[:TRAINED].reshape(TRAINED, -1) / 255).astype(np.float32), y[:TRAINED]


def noisy_vectors(rows: int = 400) -> NDArray[np.float32]:
    """Digits that nothing was trained on, half of them with noise."""
    rng = np.random.default_rng(3)
    x = np.resize(digits()[0][TRAINED:].reshape(-1, 1024), (rows, 1024)).astype(np.float32) / 255
    x[1::2] += 0.25 * rng.standard_normal(x[1::2].shape)
    return x.astype(np.float32)


def votes(classifier: Any, image: NDArray[np.uint8], n: int = 200) -> tuple[int, dict[int, int]]:
    """Prediction and votes of a certificate by `n` samples that are the same for every classifier."""
    found = certify(classifier, Noise(SIGMA), image, n0=40, n=n, key=1)
    return found.prediction, dict(found.evidence.estimation)


def certifies_as(
    path: Path, function: Callable[[NDArray[np.float32]], Any], *, near_ties: int = 0, images: int = 6
) -> int:
    """The file's certificates against those of the framework's own function; how many images got a class.

    Both see the same samples, so votes are the same, but for `near_ties` of them where arithmetic may round apart.
    """
    model, own = OrtClassifier(path), CallableClassifier(function)
    certified = 0
    for image in digits()[0][TRAINED : TRAINED + images]:
        (prediction, counts), (expected, wanted) = votes(model, image), votes(own, image)
        assert prediction == expected
        assert sum(abs(counts.get(k, 0) - wanted.get(k, 0)) for k in counts | wanted) <= 2 * near_ties
        certified += prediction >= 0
    return certified


def run_page(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the Python blocks of a page of the documentation, one after another, in a folder; the names they made."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": name}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), names)
    return names


def run(proto: onnx.ModelProto, rows: NDArray[np.float32]) -> NDArray[Any]:
    """The one output of a graph as it is, before anything adapted it."""
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    (answer,) = session.run(None, {entry.name: rows})
    return np.asarray(answer)
