"""Random hue and saturation: linear maps of the colours that leave grey where it is.

With luma weights w that sum to 1, A the projection onto grey along w, and R_t the rotation by t in the plane w.c = 0:
M(t, s) = A + s R_t (I - A). M(t1, s1) M(t2, s2) = M(t1 + t2, s1 s2), so that angles add up and factors multiply.
Source: docs/theory.md, section 3.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..bounds.laws import LogNormal
from ..errors import DataError
from ..inputs.grey import LUMA
from ..inputs.input import Input
from ..inputs.levels import EIGHT_BIT
from .blur import BLURS
from .color import CONTRASTS
from .geometry import CYCLIC
from .part import Pair, Part
from .transform import Image, Kind, Transform

Matrix = NDArray[np.float64]
_ANGLES = 7200  # at which the stretch is looked at


@functools.cache
def _basis(luma: str) -> tuple[Matrix, Matrix, Matrix]:
    """A, I - A and R_90 (I - A), each (3, 3)."""
    w = np.array(LUMA[luma])
    grey = np.tile(w, (3, 1))
    chroma = np.eye(3) - grey
    u = np.array([w[1], -w[0], 0.0]) / math.hypot(w[0], w[1])
    v = np.cross(w / np.linalg.norm(w), u)
    return grey, chroma, (np.outer(v, u) - np.outer(u, v)) @ chroma


def colour_matrix(luma: str, degrees: float, factor: float) -> Matrix:
    """M(t, s) for t in degrees, for columns of red, green, blue."""
    grey, chroma, turned = _basis(luma)
    t = math.radians(math.remainder(degrees, 360))
    return grey + factor * (math.cos(t) * chroma + math.sin(t) * turned)


@functools.cache
def _longest(luma: str) -> float:
    """How many times longer a rotation of the hue makes a vector at most: rounded up, whatever lies between angles."""
    _, chroma, turned = _basis(luma)
    angles = np.linspace(0, 360, _ANGLES, endpoint=False).tolist()
    norms = [np.linalg.norm(colour_matrix(luma, angle, 1.0), 2) for angle in angles]
    fastest = np.linalg.norm(chroma, 2) + np.linalg.norm(turned, 2)
    return float(max(norms) + fastest * math.pi / _ANGLES)


def _apply(name: str, image: Image, matrix: Matrix) -> Image:
    if image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"{name}: expected an image of 3 colours, red, green, blue, got shape {image.shape}")
    return EIGHT_BIT.rounded(image @ matrix.T)


def _act(out: NDArray[Any], matrices: list[Matrix]) -> None:
    """out[i], (3, height, width, 1) or (1, height, width, 3), becomes the i-th matrix's image of its colours."""
    for sample, matrix in zip(out, matrices, strict=True):
        m = matrix.astype(sample.dtype)
        if len(sample) == 3:
            sample[...] = (m @ sample.reshape(3, -1)).reshape(sample.shape)
        else:
            sample[...] = (sample.reshape(-1, 3) @ m.T).reshape(sample.shape)


def _pairs(name: str, *others: str) -> tuple[Pair, ...]:
    """Whatever treats all colours alike and fixes grey commutes, and noise may stand behind."""
    forms = {luma: f"{name} luma={luma}" for luma in LUMA}
    alike = ("brightness", *CONTRASTS, *BLURS, CYCLIC)
    return (
        *((form, "noise", "carries") for form in forms.values()),
        *((form, other, "commute") for form in forms.values() for other in alike),
        *((form, f"{other} luma={luma}", "commute") for luma, form in forms.items() for other in others),
    )


class _Coloured(Part):
    """A part that takes images of three colours."""

    luma: str

    def require_data(self, x: Input) -> None:
        if x.layout is None or 3 not in (x.layout[0], x.layout[3]):
            raise DataError(f"{self.name}: expected images of 3 colours, red, green, blue, got shape {x.pixels.shape}")


@dataclass(frozen=True)
class RotateHue(Transform):
    """The colours turned about grey by so many degrees; luma stays."""

    name: ClassVar[str] = "hue"
    unit: ClassVar[str] = "degrees"
    kind: ClassVar[Kind] = "additive"
    identity: ClassVar[Any] = 0.0
    help: ClassVar[str] = "colours are turned about grey"
    example: ClassVar[str] = "hue=-10:10"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"luma": [*LUMA]}
    luma: str = "bt601"

    def apply(self, image: Image, value: Any) -> Image:
        return _apply(self.name, image, colour_matrix(self.luma, value, 1.0))


@dataclass(frozen=True)
class Hue(_Coloured):
    """The chroma plane turned by N(0, scale^2) degrees: p_star(t) = Phi(|t| / scale). Red, green, blue images.

    `luma`: the weights of brightness that stay, bt601, bt709 or mean. HSV's hue shift is another map.
    """

    transforms: ClassVar[type[Transform]] = RotateHue
    help: ClassVar[str] = "standard deviation in degrees"
    composes: ClassVar[bool] = True
    pairs: ClassVar[tuple[Pair, ...]] = _pairs("hue", "saturation")
    scale: float
    law: str = "normal"
    luma: str = "bt601"

    @property
    def stretch(self) -> float | None:
        return _longest(self.luma)

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        _act(out, [colour_matrix(self.luma, float(value), 1.0) for value in values])


@dataclass(frozen=True)
class ScaleSaturation(Transform):
    """Distances from grey times a factor; luma stays."""

    name: ClassVar[str] = "saturation"
    unit: ClassVar[str] = "factor"
    kind: ClassVar[Kind] = "factor"
    identity: ClassVar[Any] = 1.0
    help: ClassVar[str] = "distances from grey are multiplied by a factor"
    example: ClassVar[str] = "saturation=0.8:1.25"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {"luma": [*LUMA]}
    luma: str = "bt601"

    def apply(self, image: Image, value: Any) -> Image:
        return _apply(self.name, image, colour_matrix(self.luma, 0.0, value))


@dataclass(frozen=True)
class Saturation(_Coloured):
    """grey + s (x - grey), log s ~ N(0, scale^2): p_star(s) = Phi(|log s| / scale). Red, green, blue images.

    `luma`: the weights that grey is made with, bt601 (that of most image libraries), bt709 or mean.
    """

    transforms: ClassVar[type[Transform]] = ScaleSaturation
    help: ClassVar[str] = "standard deviation of the factor's logarithm"
    laws: ClassVar[Mapping[str, type[Any]]] = {"lognormal": LogNormal}
    composes: ClassVar[bool] = True
    pairs: ClassVar[tuple[Pair, ...]] = _pairs("saturation")
    scale: float
    law: str = "lognormal"
    luma: str = "bt601"

    def act(self, out: NDArray[Any], values: NDArray[Any], unit: float) -> None:
        _act(out, [colour_matrix(self.luma, 0.0, float(value)) for value in values])
