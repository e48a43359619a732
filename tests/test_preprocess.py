"""Where an input's rows, columns and colours are once a model has it. Oracle: pixels that hold their own place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smoothcert import Blur, OrtClassifier, Preprocess, Translation, certify
from smoothcert.errors import DataError
from smoothcert.model.arrangement import Shape
from smoothcert.model.classifier import CallableClassifier
from smoothcert.model.preprocess import prepared

from . import models

ROWS, COLUMNS = 6, 5
GREY, LAST, FIRST = (6, 5), (6, 5, 3), (3, 6, 5)
FREE = (None, None, None)

PLACES: dict[str, tuple[tuple[int, ...], Shape, str, tuple[int, ...]]] = {  # data, model, layout, as an image
    "H W for planar": (GREY, (1, 6, 5), "auto", (1, 6, 5, 1)),
    "H W for channels last": (GREY, (6, 5, 1), "auto", (1, 6, 5, 1)),
    "H W for H W": (GREY, GREY, "auto", (1, 6, 5, 1)),
    "H W for flat": (GREY, (30,), "auto", (1, 6, 5, 1)),
    "H W for flat with a channel": (GREY, (30, 1), "auto", (1, 6, 5, 1)),
    "H W 1 for planar": ((6, 5, 1), (1, 6, 5), "auto", (1, 6, 5, 1)),
    "1 H W for channels last": ((1, 6, 5), (6, 5, 1), "auto", (1, 6, 5, 1)),
    "1 H W for flat": ((1, 6, 5), (30,), "auto", (1, 6, 5, 1)),
    "colour: last for planar": (LAST, FIRST, "auto", (3, 6, 5, 1)),
    "colour: last for last": (LAST, LAST, "auto", (1, 6, 5, 3)),
    "colour: first for planar": (FIRST, FIRST, "auto", (3, 6, 5, 1)),
    "colour: first for last": (FIRST, LAST, "auto", (1, 6, 5, 3)),
    "colour: last for planar, free size": (LAST, (3, None, None), "auto", (3, 6, 5, 1)),
    "colour: last for last, free size": (LAST, (None, None, 3), "auto", (1, 6, 5, 3)),
    "colour: first for last, free size": (FIRST, (None, None, 3), "auto", (1, 6, 5, 3)),
    "all free, planar asked for, first": (FIRST, FREE, "nchw", (3, 6, 5, 1)),
    "all free, planar asked for, last": (LAST, FREE, "nchw", (3, 6, 5, 1)),
    "all free, last asked for, first": (FIRST, FREE, "nhwc", (1, 6, 5, 3)),
    "all free, last asked for, last": (LAST, FREE, "nhwc", (1, 6, 5, 3)),
    "flat asked for, last": (LAST, (90,), "flat", (1, 6, 5, 3)),
    "flat asked for, first": (FIRST, (90,), "flat", (3, 6, 5, 1)),
    "four colours": ((6, 5, 4), (4, 6, 5), "auto", (4, 6, 5, 1)),
    "two colours, planar asked for": ((2, 6, 5), (2, 6, 5), "nchw", (2, 6, 5, 1)),
    "two colours, last asked for": ((6, 5, 2), (6, 5, 2), "nhwc", (1, 6, 5, 2)),
    "cube, planar asked for": ((3, 3, 3), (3, 3, 3), "nchw", (3, 3, 3, 1)),
    "cube, last asked for": ((3, 3, 3), (3, 3, 3), "nhwc", (1, 3, 3, 3)),
    "three rows, planar asked for": ((3, 6, 3), (3, 6, 3), "nchw", (3, 6, 3, 1)),
    "three rows, last asked for": ((3, 6, 3), (3, 6, 3), "nhwc", (1, 3, 6, 3)),
    "one row of colours": ((1, 6, 3), (3, 1, 6), "auto", (3, 1, 6, 1)),
    "one column of colours": ((6, 1, 3), (3, 6, 1), "auto", (3, 6, 1, 1)),
}


@pytest.mark.parametrize(("data", "model", "layout", "expected"), PLACES.values(), ids=PLACES)
def test_layout(data: tuple[int, ...], model: Shape, layout: Any, expected: tuple[int, ...]) -> None:
    """The fitted values, read in that shape, lie in their rows and columns, and every colour in a plane of its own."""
    outer, rows, columns, inner = expected
    planar = outer > 1 if model == data or layout == "flat" else data[0] == outer * inner and data[-1] != outer * inner
    y, x, c = np.meshgrid(np.arange(rows), np.arange(columns), np.arange(outer * inner), indexing="ij")
    codes = 100 * c + 10 * y + x  # [row, column, colour]
    values = (np.moveaxis(codes, 2, 0) if planar else codes).reshape(data).astype(np.float32)
    x = prepared(values, model, Preprocess(layout=layout))
    assert x.layout == expected
    assert x.values.shape == tuple(given or free for given, free in zip(model, x.values.shape, strict=True))
    np.testing.assert_array_equal(x.pixels, np.moveaxis(codes.reshape(rows, columns, outer, inner), 2, 0))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GREY, (1, 6, 5, 1)),
        ((6, 5, 1), (1, 6, 5, 1)),
        ((1, 6, 5), (1, 6, 5, 1)),
        (LAST, (1, 6, 5, 3)),
        (FIRST, (3, 6, 5, 1)),
        ((6, 5, 4), (1, 6, 5, 4)),
        ((6, 5, 2), None),
        ((2, 6, 5), None),
        ((30,), None),
        ((2, 6, 5, 3), None),
    ],
    ids=str,
)
def test_layout_for_a_callable(data: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    assert CallableClassifier(lambda batch: batch).prepare(np.zeros(data)).layout == expected
    assert prepared(np.zeros(data)).layout == expected


@pytest.mark.parametrize("part", [Blur(2.0), Translation(1.0)], ids=["blur", "translation"])
@pytest.mark.parametrize(
    ("data", "model"), [((30,), (30,)), ((30,), (1, 6, 5))], ids=["vector for vector", "vector for image"]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_vectors_have_no_rows(part: Any, data: tuple[int, ...], model: tuple[int, ...], dtype: Any) -> None:
    classifier = OrtClassifier(models.half_space(model, np.ones(30), 0.0))
    with pytest.raises(
        DataError, match=rf"^{part.name}: expected images, got values of shape .*give the data"
    ) as error:
        certify(classifier, part, np.zeros(data, dtype), n=1000, key=1)
    assert "\n" not in str(error.value)


def seen(data: NDArray[np.uint8], model: bytes, layout: Any) -> list[int]:
    """Votes for the bright half of an image that a vertical translation moves about."""
    classifier = OrtClassifier(model, threads=1, preprocess=Preprocess(layout=layout))
    votes = certify(classifier, Translation(1.5), data, n0=10, n=1000, key=1).evidence.estimation
    return [votes.get(0, 0), votes.get(1, 0)]


def test_a_model_of_free_axes_has_its_images_moved_alike() -> None:
    """Colours last in the data, planar in the model, its axes named or free: the same votes."""
    weights = np.zeros((3, 6, 5))
    weights[:, :3], weights[:, 3:] = 1, -1
    data = np.zeros((6, 5, 3), np.uint8)
    data[1:3], data[3] = 200, 100
    named = models.half_space((3, 6, 5), weights, 0.0)
    free = models.half_space((None, None, None), weights, 0.0)  # type: ignore[arg-type]
    votes = seen(data, named, "auto")
    assert min(votes) > 100
    assert seen(data, named, "nchw") == seen(data, free, "nchw") == votes
