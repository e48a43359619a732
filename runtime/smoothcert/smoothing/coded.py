"""Samples in a semantic space: the code of an image on a grid of steps, and Gaussian noise on the grid.

All is whole steps, so that no arithmetic rounds. The noise of a sample is G(t) + round(v n): v n by the table of whole
numbers that images have (`draws.integer_normal`), G(t) the nearest steps to F t, for normals t of the directions of the
covariance. G(t) stands for F t up to a step: that is in the distance of two codes (`CodeLaw.slip`), by the argument of
calibrated smoothing: theory.md section 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bounds.covariance import Covariance
from ..draws import FARTHEST, MAX_STD, Stream, double_normal, integer_normal
from ..errors import DataError, require
from ..inputs.input import Input

if TYPE_CHECKING:
    from ..model.labels import Classifier

_ROWS = 32  # samples whose noise is computed together
_KINDS = 16  # different deviations of a law, each with a table of its own
_NORMALS = 12.0  # deviations that the normals of directions reach
_OFF = 1e-6  # steps that float64 may be off by
_WHOLE = 2.0**24  # steps: beyond, not every whole number is a float32


class Codes(Protocol):
    """An open surrogate: what its networks and arrays answer. `step` is the finest spacing of codes, a power of two."""

    @property
    def step(self) -> float: ...

    def of(self, images: NDArray[np.uint8], step: float) -> NDArray[np.float64]:
        """The codes (n, d) of images (n, colours, height, width), in whole steps; `DataError` for another size."""
        ...

    def covariance(self, noise: Any) -> Covariance:
        """The covariance that the noise means: see `surrogate.CodeNoise`."""
        ...

    def slope(self, law: CodeLaw) -> tuple[float, float] | None:
        """(a, b): images an l2 distance r apart, in [0,1] intensities, have codes a r + b deviations apart at most.

        None where the encoder has no such bound that is known.
        """
        ...

    def voter(self, classifier: Classifier) -> Classifier:
        """What labels codes, on the machine of `classifier`; `ModelError` where the surrogate belongs to another."""
        ...


def planar(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(height, width, colours) as (colours, height, width)."""
    return np.moveaxis(image, -1, 0)


def image_of(x: Input) -> NDArray[np.uint8]:
    """What the model sees of an 8-bit input, (colours, height, width); `DataError` for other data."""
    if not x.is_whole or x.layout is None:
        got = f"{x.values.dtype} values of shape {x.pixels.shape}"
        raise DataError(f"surrogate: expected 8-bit images, got {got}; convert the data")
    outer, height, width, inner = (pixels := x.pixels).shape
    return np.moveaxis(pixels, 3, 1).reshape(outer * inner, height, width)


@dataclass(frozen=True, eq=False)
class CodeLaw:
    """G(t) + round(v n) on a grid: the noise of covariance F F' + diag(v^2) as it is drawn, the same for every input.

    `ArgumentError` for deviations of less than a step, or of more than `_KINDS` different sizes.
    """

    covariance: Covariance
    step: float

    @staticmethod
    def of(covariance: Covariance, step: float) -> CodeLaw:
        """On the grid of that step, or the finest coarser one whose steps the table of whole numbers can count."""
        return CodeLaw(covariance, max(step, 2.0 ** math.ceil(math.log2(covariance.deviations.max() / MAX_STD))))

    def __post_init__(self) -> None:
        least, spread = self.covariance.least, np.abs(self.covariance.factor).sum(1).max(initial=0.0)
        fine = f"expected deviations of at least a step of the codes, {self.step:g}"
        require(least >= self.step, f"sigma: {fine}, got {least:g}")
        kinds = len(self._kinds)
        require(kinds <= _KINDS, f"surrogate: expected at most {_KINDS} different deviations, got {kinds}")
        off = 2.0**-50 * (self.covariance.factor.shape[1] + 20) * FARTHEST * spread / self.step
        require(off < _OFF, f"surrogate: expected a factor that float64 can hold to {_OFF:g} steps, got {spread:g}")

    @cached_property
    def _kinds(self) -> list[tuple[float, NDArray[np.intp]]]:
        """The different deviations, in steps, and the coordinates that have them."""
        values = self.covariance.deviations / self.step
        return [(float(value), np.flatnonzero(values == value)) for value in np.unique(values)]

    @cached_property
    def _directions(self) -> NDArray[np.float64]:
        """F' in steps, (k, d)."""
        return np.ascontiguousarray(self.covariance.factor.T) / self.step

    @cached_property
    def slip(self) -> float:
        """How many deviations G(t + s) - G(t) may be off F s, for any t and s: a step in each coordinate."""
        if not self.covariance.factor.shape[1]:
            return 0.0
        return float(np.linalg.norm(self.step / self.covariance.deviations)) * (1 + 4 * _OFF)

    def distances(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many deviations codes that are (n, d) steps apart are apart, rounded up."""
        return self.covariance.distances(steps * self.step, self.slip)

    @property
    def slack(self) -> float:
        """Bound on the total variation of what is drawn from the law."""
        return sum(len(where) * integer_normal(value).total_variation for value, where in self._kinds)

    @property
    def farthest(self) -> float:
        """Steps that the noise of a coordinate reaches at most."""
        spread = _NORMALS * np.abs(self._directions).sum(0) + FARTHEST * self.covariance.deviations / self.step
        return float(spread.max()) + 2

    def fill(self, stream: Stream, first: int, out: NDArray[np.float32]) -> None:
        """out[i] becomes the noise of sample first + i, in steps, a function of its address alone.

        Products have one shape, for blocks of samples that begin at multiples of `_ROWS`, so that batches change
        nothing.
        """
        for place, (value, where) in enumerate(self._kinds, start=2):
            whole = np.empty((len(out), len(where)), np.int16)
            integer_normal(value).fill(_at(stream, place), first, whole)
            out[:, where if len(self._kinds) > 1 else slice(None)] = whole
        if not len(self._directions):
            return
        normals = np.empty((_ROWS, len(self._directions)))
        for begin in range(first - first % _ROWS, first + len(out), _ROWS):
            double_normal(_at(stream, 1), begin, normals)
            moved = np.rint(normals @ self._directions).astype(np.float32)
            skipped = max(0, first - begin)
            rows = out[max(0, begin - first) :][: _ROWS - skipped]
            rows += moved[skipped : skipped + len(rows)]


def _at(stream: Stream, place: int) -> Stream:
    """Where the normals of directions are drawn, at place 1, and those of each kind of deviation."""
    return replace(stream, stage=stream.stage | place << 24)


@dataclass(frozen=True, eq=False)
class OnCodes:
    """Noise on the codes of 8-bit images."""

    codes: Codes
    law: CodeLaw

    def samples(self, x: Input) -> CodeSamples:
        """float32 codes, on the grid. `DataError` for data that are no 8-bit images of the surrogate's size."""
        (code,) = self.codes.of(image_of(x)[None], self.law.step)
        far = self.law.farthest + float(np.abs(code).max())
        if far >= _WHOLE:
            raise DataError(f"surrogate: codes and noise reach {far:.3g} steps, more than a float32 counts")
        return CodeSamples(code, self.law, code.shape, self.law.slack)


@dataclass(frozen=True, eq=False)
class CodeSamples:
    """Samples of `OnCodes`."""

    code: NDArray[np.float64]
    law: CodeLaw
    shape: tuple[int, ...]
    slack: float
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.float32)
    levels: ClassVar[None] = None
    attack_model: ClassVar[str] = "integer"  # what attackers do to 8-bit images, by their own pipeline

    def fill(self, stream: Stream, first: int, out: NDArray[Any]) -> None:
        """Code by code."""
        self.law.fill(stream, first, out)
        out += self.code.astype(np.float32)
        out *= np.float32(self.law.step)
