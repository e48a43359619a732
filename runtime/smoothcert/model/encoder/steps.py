"""What an encoder computes, as steps of real arithmetic: each knows its values' shape and computes them in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Shape = tuple[int, ...]
CurveName = Literal["Relu", "LeakyRelu", "Tanh", "Sigmoid"]


@dataclass(frozen=True, eq=False)
class Convolution:
    """Kernel (out, in, kh, kw) over images (in, height, width); pads are top, left, bottom, right."""

    source: int
    kernel: Reals
    bias: Reals
    pads: tuple[int, int, int, int]
    shape: Shape

    def work(self) -> int:
        return math.prod(self.kernel.shape[2:]) * (1024 + self.kernel[:, :, 0, 0].size * math.prod(self.shape[1:]))

    def apply(self, x: Reals, linear: bool) -> Reals:
        top, left, bottom, right = self.pads
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        height, width = self.shape[1:]
        found = np.zeros((len(x), self.shape[0], height * width))
        for i, j in np.ndindex(*self.kernel.shape[2:]):
            seen = padded[:, :, i : i + height, j : j + width].reshape(*x.shape[:2], height * width)
            found += np.ascontiguousarray(self.kernel[:, :, i, j]) @ seen
        return (found if linear else found + self.bias[:, None]).reshape(len(x), *self.shape)


@dataclass(frozen=True, eq=False)
class Dense:
    """x @ matrix + bias along the last axis."""

    source: int
    matrix: Reals
    bias: Reals
    shape: Shape

    def work(self) -> int:
        return self.matrix.size * math.prod(self.shape[:-1])

    def apply(self, x: Reals, linear: bool) -> Reals:
        found: Reals = x @ self.matrix
        return found if linear else found + self.bias


@dataclass(frozen=True, eq=False)
class Sum:
    """first + sign * second, of one shape."""

    source: int
    second: int
    sign: int
    shape: Shape


@dataclass(frozen=True, eq=False)
class Shift:
    """sign * x + offset."""

    source: int
    sign: int
    offset: Reals
    shape: Shape


@dataclass(frozen=True, eq=False)
class Scale:
    """x * factor."""

    source: int
    factor: Reals
    shape: Shape


@dataclass(frozen=True, eq=False)
class Curve:
    """A function of each value by itself; `slope` is that of LeakyRelu below 0."""

    source: int
    name: CurveName
    slope: float
    shape: Shape


@dataclass(frozen=True, eq=False)
class Layout:
    """The same values in another order (`axes` of the batch, None: none) and shape."""

    source: int
    axes: tuple[int, ...] | None
    shape: Shape


Step = Convolution | Dense | Sum | Shift | Scale | Curve | Layout


@dataclass(frozen=True, eq=False)
class Steps:
    """Value 0 is the image, value i + 1 the i-th step's; `result` is the code's."""

    image: Shape
    steps: tuple[Step, ...]
    result: int

    @property
    def affine(self) -> bool:
        return not any(isinstance(step, Curve) for step in self.steps)

    @property
    def size(self) -> int:
        """Values of one image, all steps together."""
        return math.prod(self.image) + sum(math.prod(step.shape) for step in self.steps)

    @property
    def work(self) -> int:
        """Multiplications for one image."""
        return self.size + sum(s.work() for s in self.steps if isinstance(s, Convolution | Dense))

    def values(self, images: Reals, *, linear: bool = False) -> list[Reals]:
        """All values for a batch of images; `linear`: without biases and offsets."""
        found: list[Reals] = [images]
        for step in self.steps:
            found.append(_value(step, found, linear))
        return found

    def matrix(self) -> Reals:
        """The matrix (code, image) of affine steps, from unit images, a bounded number of them at once."""
        pixels = math.prod(self.image)
        rows = max(1, (1 << 24) // self.size)
        parts = []
        for start in range(0, pixels, rows):
            units = np.eye(min(rows, pixels - start), pixels, start)
            parts.append(self.values(units.reshape(-1, *self.image), linear=True)[self.result])
        return np.ascontiguousarray(np.concatenate(parts).T)


def _value(step: Step, values: Sequence[Reals], linear: bool) -> Reals:
    x = values[step.source]
    match step:
        case Convolution() | Dense():
            return step.apply(x, linear)
        case Sum():
            return x + step.sign * values[step.second]
        case Shift():
            return step.sign * x if linear else step.sign * x + step.offset
        case Scale():
            return x * step.factor
        case Curve():
            return _curved(step, x)
        case Layout():
            return (x if step.axes is None else x.transpose(step.axes)).reshape(len(x), *step.shape)


def _curved(step: Curve, x: Reals) -> Reals:
    if step.name == "Tanh":
        return np.tanh(x)
    if step.name == "Sigmoid":
        return 0.5 + 0.5 * np.tanh(x / 2)
    return np.where(x > 0, x, step.slope * x)
