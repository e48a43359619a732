"""Samples in a semantic space: the code of an image on a grid of steps, and Gaussian noise on it, rounded to the grid.

Rounding commutes with shifts by whole steps: noise that is added to a code, and rounded, is rounded noise added to the
code. So the samples of two images whose codes are so many steps apart are post-processed Gaussian vectors exactly as
far apart, in the arithmetic that runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bounds.covariance import Covariance
from ..draws import FARTHEST, Stream, double_normal
from ..errors import DataError, require
from ..inputs.input import Input
from .perturbation import eight_bit

if TYPE_CHECKING:
    from ..model.labels import Classifier

_ROWS = 32  # samples whose noise is computed together
_WHOLE = 2.0**24  # steps: beyond, not every whole number is a float32


class Codes(Protocol):
    """An open surrogate: what its networks and arrays answer. `step` is the spacing of codes, a power of two."""

    @property
    def step(self) -> float: ...

    def of(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The codes (n, d) of images (n, colours, height, width), in whole steps; `DataError` for another size."""
        ...

    def covariance(self, noise: Any) -> Covariance:
        """The covariance that the noise means: see `surrogate.CodeNoise`."""
        ...

    def slope(self, covariance: Covariance) -> tuple[float, float] | None:
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
    outer, height, width, inner = (pixels := eight_bit(x, "surrogate").pixels).shape
    return np.moveaxis(pixels, 3, 1).reshape(outer * inner, height, width)


@dataclass(frozen=True, eq=False)
class OnCodes:
    """Noise N(0, S) on the codes of 8-bit images."""

    codes: Codes
    covariance: Covariance

    def samples(self, x: Input) -> CodeSamples:
        """float32 codes, on the grid. `DataError` for data that are no 8-bit images of the surrogate's size."""
        (code,) = self.codes.of(image_of(x)[None])
        covariance, step = self.covariance, self.codes.step
        least = covariance.least
        require(least >= step, f"sigma: expected deviations of at least a step of the codes, {step:g}, got {least:g}")
        far = FARTHEST * (np.abs(covariance.factor).sum(1) + covariance.deviations) / step + np.abs(code)
        if far.max() >= _WHOLE:
            raise DataError(f"surrogate: codes and noise reach {far.max():.3g} steps, more than a float32 counts")
        slack = covariance.rounding_variation(step, FARTHEST)
        return CodeSamples(code, covariance, step, code.shape, slack)


@dataclass(frozen=True, eq=False)
class CodeSamples:
    """Samples of `OnCodes`."""

    code: NDArray[np.float64]
    covariance: Covariance
    step: float
    shape: tuple[int, ...]
    slack: float
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.float32)
    levels: ClassVar[None] = None
    attack_model: ClassVar[str] = "integer"  # what attackers do to 8-bit images, by their own pipeline

    def fill(self, stream: Stream, first: int, out: NDArray[Any]) -> None:
        """Blocks that begin at multiples of `_ROWS`: products of one shape, so that batches change nothing."""
        directions, deviations = np.ascontiguousarray(self.covariance.factor.T), self.covariance.deviations
        normals = np.empty((_ROWS, sum(directions.shape)))
        for begin in range(first - first % _ROWS, first + len(out), _ROWS):
            double_normal(stream, begin, normals)
            noise = normals[:, : len(directions)] @ directions
            noise += normals[:, len(directions) :] * deviations
            noise /= self.step
            np.rint(noise, out=noise)
            noise += self.code
            noise *= self.step
            skipped = max(0, first - begin)
            rows = out[max(0, begin - first) :][: _ROWS - skipped]
            rows[...] = noise[skipped : skipped + len(rows)]
