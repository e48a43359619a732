"""Tiny denoisers in ONNX whose answers numpy can give, and a classifier of images for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from .models import model, value

node = helper.make_node
FLOAT = TensorProto.FLOAT


def scaled(
    shape: Sequence[int | str], factor: float = 0.5, term: float = 0.0, *, batch: int | str = "N", opset: int = 18
) -> bytes:
    """y = factor x + term."""
    return model(
        [node("Mul", ["x", "factor"], ["m"]), node("Add", ["m", "term"], ["y"])],
        [value("x", FLOAT, (batch, *shape))],
        [value("y", FLOAT, (batch, *shape))],
        {"factor": np.float32(factor), "term": np.float32(term)},
        opset=opset,
    )


def told(shape: Sequence[int | str], kind: int = FLOAT, axes: Sequence[int | str] = ("N",), **more: Any) -> bytes:
    """y = x * (1 - t / 10), where t is a second input, one number or one for each image or pixel."""
    batch = more.get("batch", "N")
    nodes = [node("Cast", ["t"], ["real"], to=FLOAT), node("Mul", ["real", "tenth"], ["part"])]
    if len(axes) < 2:
        nodes.append(node("Reshape", ["part", "places"], ["wide"]))
    else:
        nodes.append(node("Identity", ["part"], ["wide"]))
    nodes += [node("Mul", ["x", "wide"], ["less"]), node("Sub", ["x", "less"], ["y"])]
    return model(
        nodes,
        [value("x", FLOAT, (batch, *shape)), value("t", kind, axes)],
        [value("y", FLOAT, (batch, *shape))],
        {"tenth": np.float32(0.1), "places": np.array([-1, 1, 1, 1], np.int64)},
    )


def doubled(shape: Sequence[int]) -> bytes:
    """Twice the channels: x / 2, then x - 7, as where the variance is learned."""
    return model(
        [
            node("Mul", ["x", "half"], ["first"]),
            node("Sub", ["x", "seven"], ["second"]),
            node("Concat", ["first", "second"], ["y"], axis=1),
        ],
        [value("x", FLOAT, ("N", *shape))],
        [value("y", FLOAT, ("N", 2 * shape[0], *shape[1:]))],
        {"half": np.float32(0.5), "seven": np.float32(7)},
    )


def mixed(shape: Sequence[int]) -> bytes:
    """Colours that are not alike: y = x times 1, 0.5 and 0.25, in the order of the channels."""
    factors = np.array([1, 0.5, 0.25], np.float32)
    factors = factors[:, None, None] if shape[0] == 3 else factors
    return model(
        [node("Mul", ["x", "factors"], ["y"])],
        [value("x", FLOAT, ("N", *shape))],
        [value("y", FLOAT, ("N", *shape))],
        {"factors": factors},
    )


def grown(shape: Sequence[int]) -> bytes:
    """An output of another size: every pixel twice."""
    return model(
        [node("Concat", ["x", "x"], ["y"], axis=3)],
        [value("x", FLOAT, ("N", *shape))],
        [value("y", FLOAT, ("N", *shape[:2], 2 * shape[2]))],
    )


def noisy(shape: Sequence[int]) -> bytes:
    """One that draws noise of its own."""
    return model(
        [node("RandomNormalLike", ["x"], ["n"]), node("Add", ["x", "n"], ["y"])],
        [value("x", FLOAT, ("N", *shape))],
        [value("y", FLOAT, ("N", *shape))],
    )


def echo(shape: Sequence[int | str], batch: int | str = "N", **more: Any) -> bytes:
    """Scores that are the image itself, flattened."""
    size = int(np.prod([n for n in shape if isinstance(n, int)]))
    return model(
        [node("Reshape", ["x", "row"], ["scores"])],
        [value("x", FLOAT, (batch, *shape))],
        [value("scores", FLOAT, (batch, size))],
        {"row": np.array([1 if batch == 1 else -1, size], np.int64)},
        **more,
    )


def across(matrix: Any) -> bytes:
    """Every row of an image (1, rows, columns) times a matrix: a linear denoiser."""
    matrix = np.asarray(matrix, np.float32)
    shape = ("N", 1, "rows", len(matrix))
    return model(
        [node("MatMul", ["x", "matrix"], ["y"])],
        [value("x", FLOAT, shape)],
        [value("y", FLOAT, shape)],
        {"matrix": matrix},
    )
