"""How far an encoder can spread images apart, and how far its float32 codes are from the exact ones.

Both are read off the graph, and hold for all images of [0,1]^n. Where the graph has an operator that is not known
here, nothing is promised, and cells between the points of a grid cannot be covered (theory.md section 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import require
from .encoder.graph import encoder_steps
from .encoder.norms import SAFETY, absolute_norm, convolution_norm, convolution_work, matrix_norm, matrix_work
from .encoder.steps import Convolution, Curve, Dense, Layout, Reals, Scale, Shift, Step, Steps, Sum
from .encoder.walk import UnknownOperatorError

_UNIT = 2.0**-24  # of float32, rounding to nearest
_TINY = 2.0**-120  # more than what a product loses where it is too small for float32
_HUGE = 2.0**100  # float32 overflows at 2^128
_CURVES = 16 * _UNIT  # ONNX Runtime's own error of Tanh and Sigmoid: 5.5 units at most, measured over all of float32
_MOST_WORK = 1 << 35  # multiplications: about a minute on a busy core
_MOST_UNITS = 1 << 36  # multiplications of unit images, which are many at once
_MOST_PIXELS = 4096
_MOST_MATRIX = 1 << 24


@dataclass(frozen=True, eq=False)
class EncoderBound:
    """What holds of an encoder for every two images of [0,1]^n, and for the float32 code of every one.

    `lipschitz` bounds |F(x) - F(y)| / |x - y| of the exact function in l2, None where no bound is known; `rounding`
    bounds the l2 distance of a code in float32 from the exact one, infinite where none is known. `matrix`
    (d, C*H*W) in float64 is the exact one but for 1e-12 of its size, where the encoder is affine and has at most
    4096 pixels and 2^24 entries; None elsewhere.
    """

    lipschitz: float | None
    rounding: float
    matrix: NDArray[np.float64] | None = None


UNKNOWN = EncoderBound(None, math.inf)


@dataclass(frozen=True)
class _Value:
    """Bounds of one value in l2: of its Lipschitz constant, its norm, and what float32 loses on the way to it.

    The loss is `carried` + gamma(`terms`) `mass`. The second part belongs to sums that are still open: ONNX Runtime may
    take a sum, the sums in it and the constants that scale it as one, so that each of its terms, at most `mass` in
    size together, passes through any of the roundings. `underflow` is what scaled weights may lose again.
    """

    slope: float
    norm: float
    carried: float
    terms: int
    mass: float
    underflow: float

    @property
    def loss(self) -> float:
        return self.carried + _gamma(self.terms) * self.mass


def encoder_bound(proto: onnx.ModelProto, image_shape: Sequence[int]) -> EncoderBound:
    """Bounds of an encoder from its graph alone: one input "image" (batch, C, H, W), one output "code" (batch, d).

    Operators: Conv of stride 1 without groups and dilations, Gemm and MatMul by a constant, Add and Sub of two values
    or of a constant, Mul and Div by a constant, Relu, LeakyRelu, Tanh, Sigmoid, and those that move values. Any other,
    and a graph of more than about a minute's work, gives bounds that are not known. `ModelError` for a graph that is
    damaged, keeps weights outside the file, or has other inputs and outputs.

    The Lipschitz constant is the product of the steps' own, added up where branches meet; of an affine encoder with a
    matrix it is the matrix's norm. The rounding holds for float32 to nearest, sums in any order, with or without fused
    multiply-add, and fusions of neighbouring steps (Higham, Accuracy and Stability of Numerical Algorithms, section
    3.1: |fl(s) - s| <= gamma_n sum |terms|). So it holds on ONNX Runtime's CPU provider, whose float32 convolutions are
    direct, blocked or matrix products. It does not hold for Winograd's, as some development branches have them for
    AVX-512, nor for TF32, bfloat16 or float16, as CUDA and other providers use them unless told otherwise. Tanh and
    Sigmoid are not proved: three times ONNX Runtime's largest error found over all of float32 is granted them.
    """
    shape = tuple(image_shape)
    require(
        len(shape) == 3 and all(isinstance(n, int) and n > 0 for n in shape),
        f"image_shape: expected (C, H, W), each at least 1, got {shape!r:.99}",
    )
    try:
        steps = encoder_steps(proto, shape)
    except UnknownOperatorError:
        return UNKNOWN
    if steps.work + sum(_work(step, steps) for step in steps.steps) > _MOST_WORK:
        return UNKNOWN
    with np.errstate(all="ignore"):
        return _bound(steps)


def _bound(steps: Steps) -> EncoderBound:
    # Unscaled and uncancelled, no product of weights that a fusion makes overflows.
    if not math.prod(max(1.0, _peak(step)) for step in steps.steps) < _HUGE:
        return UNKNOWN
    radius = math.sqrt(math.prod(steps.image)) / 2
    centres = [np.linalg.norm(v) for v in steps.values(np.full((1, *steps.image), 0.5))]
    values = [_Value(1.0, 2 * radius, 0.0, 0, 2 * radius, 0.0)]
    for step, centre in zip(steps.steps, centres[1:], strict=True):
        value = _stepped(step, values, steps)
        # Every image is within the radius of the grey one, whose own value is known; float64 loses less than float32.
        norm = (float(centre) + value.slope * radius) * SAFETY + 2 * value.loss
        if isinstance(step, Curve) and step.name in ("Tanh", "Sigmoid"):
            norm = min(norm, math.sqrt(math.prod(step.shape)) + value.loss)
        if not max(norm, value.mass, value.loss) < _HUGE:
            return UNKNOWN
        values.append(_Value(value.slope, norm, value.carried, value.terms, value.mass or norm, value.underflow))
    code = values[steps.result]
    matrix = _matrix(steps)
    slope = code.slope if matrix is None else min(code.slope, matrix_norm(matrix) + 1e-12 * code.slope)
    return EncoderBound(slope * SAFETY, code.loss * SAFETY, matrix)


def _stepped(step: Step, values: Sequence[_Value], steps: Steps) -> _Value:
    """Bounds behind one step; its norm is not known yet, and a mass of 0 stands for the norm to come."""
    x = values[step.source]
    size = math.sqrt(math.prod(step.shape))
    match step:
        case Layout():
            return x
        case Convolution() | Dense():
            terms, norm, absolute, bias = _operator(step, steps)
            mass = absolute * x.norm + bias
            lost = terms * _TINY * size * (1 + x.norm)
            return _Value(norm * x.slope, 0.0, norm * x.loss + lost, terms, mass, lost)
        case Sum():
            y = values[step.second]
            terms = x.terms + y.terms + 1
            return _Value(
                x.slope + y.slope, 0.0, x.carried + y.carried, terms, x.mass + y.mass, x.underflow + y.underflow
            )
        case Shift():
            mass = x.mass + _spread(step.offset, size)
            return _Value(x.slope, 0.0, x.carried, x.terms + 1, mass, x.underflow)
        case Scale():
            factor = _peak(step)
            lost = x.underflow + _TINY * size * (1 + x.norm)
            return _Value(factor * x.slope, 0.0, factor * x.carried + lost, x.terms + 3, factor * x.mass, lost)
        case Curve():
            return _curved(step, x, size)


def _curved(step: Curve, x: _Value, size: float) -> _Value:
    if step.name == "Tanh":
        return _Value(x.slope, 0.0, x.loss + _CURVES * size, 0, 0.0, 0.0)
    if step.name == "Sigmoid":
        return _Value(x.slope / 4, 0.0, x.loss / 4 + _CURVES * size, 0, 0.0, 0.0)
    steepest = max(1.0, abs(step.slope))
    if step.name == "Relu":
        return _Value(x.slope, 0.0, x.loss, 0, 0.0, 0.0)
    lost = _TINY * size
    return _Value(steepest * x.slope, 0.0, steepest * x.loss + lost, 1, steepest * x.norm, lost)


def _operator(step: Convolution | Dense, steps: Steps) -> tuple[int, float, float, float]:
    """Roundings that a term passes through, norms of the weights and of their absolute values, norm of the bias."""
    size = math.sqrt(math.prod(step.shape))
    if isinstance(step, Dense):
        norm, absolute = matrix_norm(step.matrix), absolute_norm(step.matrix)
        return step.matrix.shape[0] + 4, norm, absolute, _spread(step.bias, size)
    norm = convolution_norm(step.kernel, _image(step, steps))
    # |K(w)| <= sum of |K| entry by entry, and norms of matrices without negative entries grow with the entries.
    absolute = absolute_norm(np.abs(step.kernel).sum(axis=(2, 3)))
    return step.kernel[0].size + 4, norm, absolute, _spread(step.bias, size)


def _image(step: Convolution, steps: Steps) -> tuple[int, int]:
    shape = steps.image if step.source == 0 else steps.steps[step.source - 1].shape
    return shape[1], shape[2]


def _work(step: Step, steps: Steps) -> int:
    match step:
        case Convolution():
            return convolution_work(step.kernel.shape, _image(step, steps))
        case Dense():
            return matrix_work(*step.matrix.shape)
        case _:
            return 0


def _matrix(steps: Steps) -> Reals | None:
    pixels = math.prod(steps.image)
    code = math.prod(steps.steps[steps.result - 1].shape) if steps.result else pixels
    if not steps.affine or pixels > _MOST_PIXELS or pixels * code > _MOST_MATRIX or pixels * steps.work > _MOST_UNITS:
        return None
    return steps.matrix()


def _peak(step: Step) -> float:
    """The largest size of a step's constants."""
    match step:
        case Convolution():
            constants = [step.kernel, step.bias]
        case Dense():
            constants = [step.matrix, step.bias]
        case Shift():
            constants = [step.offset]
        case Scale():
            constants = [step.factor]
        case Curve():
            return abs(step.slope)
        case _:
            return 0.0
    return max(float(np.abs(array).max(initial=0.0)) for array in constants)


def _spread(constant: Reals, size: float) -> float:
    """At least the norm of a constant once it is broadcast to size^2 values."""
    return float(np.abs(constant).max(initial=0.0)) * size


def _gamma(terms: int) -> float:
    lost = terms * _UNIT
    return lost / (1 - lost) if lost < 0.5 else math.inf
