"""The photographs' crops: nothing that tests was ever trained on; the same crops every time."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "photographs.py"
SHAPES = [(512, 512), (300, 451), (427, 640), (400, 600), (872, 1000), (1411, 1411)]  # of the photographs


@pytest.fixture(scope="module")
def photographs() -> ModuleType:
    """The example, as a module; it opens no photograph."""
    spec = importlib.util.spec_from_file_location("photographs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["photographs"] = module  # where dataclasses look
    spec.loader.exec_module(module)
    del sys.modules["photographs"]
    return module


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_pixel_both_trains_and_tests(photographs: ModuleType, shape: tuple[int, int]) -> None:
    places = np.arange(shape[0] * shape[1]).reshape(shape)
    trained, tested = photographs.left(places), photographs.right(places)
    assert not np.isin(trained, tested).any()
    assert trained.size + tested.size == places.size
    assert trained.shape[1] >= 140
    assert tested.shape[1] >= photographs.TESTED


def test_crops_lie_in_their_own_photograph(photographs: ModuleType) -> None:
    images = [np.full((300 + i, 290 + i, 3), 10 * i, np.uint8) for i in range(4)]
    x, y = photographs.cropped(images, 288, 40, seed=1)
    assert x.shape == (40, 288, 288, 3)
    assert set(y.tolist()) == {0, 1, 2, 3}
    assert all((crop == 10 * label).all() for crop, label in zip(x, y, strict=True))
    again, _ = photographs.cropped(images, 288, 40, seed=1)
    assert np.array_equal(x, again)


def test_small_photographs_give_no_crop(photographs: ModuleType) -> None:
    images = [np.zeros((100, 400, 3), np.uint8), np.zeros((200, 200, 3), np.uint8)]
    _, y = photographs.cropped(images, 150, 10, seed=0)
    assert set(y.tolist()) == {1}
    with pytest.raises(SystemExit, match="--side: expected at most 200, got 201"):
        photographs.cropped(images, 201, 1, seed=0)
