"""Bundles of surrogates with known answers: linear encoders, classifiers that are half-spaces of the code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from smoothcert.smoothing.transform import transform_of

from .models import linear, model, value

STEP = 2.0**-12


def affine(into: str, outof: str, shape: tuple[int, ...], matrix: NDArray[Any], back: tuple[int, ...]) -> bytes:
    """A graph of the given input and output names: flatten, times the transposed matrix (out, in), reshape."""
    nodes = [
        helper.make_node("Flatten", [into], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["product"]),
        helper.make_node("Reshape", ["product", "back"], [outof]),
    ]
    constants = {"weights": np.asarray(matrix, np.float32).T, "back": np.array([-1, *back], np.int64)}
    inputs = [value(into, TensorProto.FLOAT, ("N", *shape))]
    return model(nodes, inputs, [value(outof, TensorProto.FLOAT, ("N", *back))], constants)


def halfspace(shape: tuple[int, ...], normal: NDArray[Any], threshold: float) -> bytes:
    """Class 1 where normal . x > threshold, else class 0."""
    return linear(shape, np.stack([0 * normal.ravel(), normal.ravel()], 1), [0.0, -threshold])


def write_bundle(
    folder: Path,
    *,
    name: str,
    trained: tuple[float, float],
    matrix: NDArray[Any],
    normal: NDArray[Any],
    threshold: float = 0.0,
    image: tuple[int, int, int] = (1, 8, 8),
    options: Mapping[str, Any] | None = None,
    a1: NDArray[Any] | None = None,
    b1: NDArray[Any] | None = None,
    factor: NDArray[Any] | None = None,
    deviations: NDArray[Any] | None = None,
    noise: Mapping[str, float] | None = None,
    graphs: Mapping[str, bytes] | None = None,
) -> Path:
    """The code is matrix @ x, class 1 where normal . code > threshold; `model.onnx` is the same on images.

    `graphs`: other graphs than these, by the file's name.
    """
    d = len(normal)
    transform = transform_of(name, options or {})
    m = 2 if transform.is_planar() else 1
    folder.mkdir(parents=True, exist_ok=True)
    made = graphs or {
        "encoder.onnx": affine("image", "code", image, matrix, (d,)),
        "decoder.onnx": affine("code", "image", (d,), np.linalg.pinv(matrix), image),
        "classifier.onnx": halfspace((d,), normal, threshold),
        "model.onnx": halfspace(image, normal @ matrix, threshold),
    }
    for file, content in made.items():
        (folder / file).write_bytes(content)
    arrays = {
        "A1": np.zeros((d, m)) if a1 is None else a1,
        "b1": np.zeros(d) if b1 is None else b1,
        "factor": np.zeros((d, 0)) if factor is None else factor,
        "deviations": np.ones(d) if deviations is None else deviations,
    }
    np.savez(folder / "arrays.npz", **arrays)
    files = ("encoder.onnx", "decoder.onnx", "classifier.onnx", "model.onnx", "arrays.npz")
    manifest = {
        "format": "smoothcert surrogate",
        "version": 1,
        "transform": {"name": name, "options": transform.options},
        "trained": {"low": trained[0], "high": trained[1]},
        "image": list(image),
        "code": d,
        "step": STEP,
        "noise": dict(noise or {"sigma": 1.0}),
        "files": {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files},
        "training": {},
    }
    (folder / "surrogate.json").write_text(json.dumps(manifest))
    return folder
