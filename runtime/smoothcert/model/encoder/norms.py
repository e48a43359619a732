"""Upper bounds of the spectral norm of matrices and zero-padded convolutions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
SAFETY = 1 + 1e-9  # far above what float64 loses in the sums, transforms and decompositions here
_WIDEST = 4096  # smaller side of a matrix whose eigenvalues are computed
_ROUNDS, _FLOOR = 30, 1e-6  # of the search for a vector without zeros that shows a small bound
_MOST_WORK = 1 << 32  # multiplications for the decompositions of one convolution: a few seconds
_DENSITIES = (32, 8)  # frequencies per degree of the kernel, where the image has more than that


def matrix_norm(matrix: Reals) -> float:
    """At least the spectral norm: from the Gram matrix's largest eigenvalue, or sqrt(|M|_1 |M|_inf) of large ones."""
    peak = float(np.abs(matrix).max(initial=0.0))
    if peak == 0:
        return 0.0
    scaled = matrix / peak
    if min(matrix.shape) > _WIDEST:
        sizes = np.abs(scaled)
        return peak * math.sqrt(float(sizes.sum(axis=0).max() * sizes.sum(axis=1).max())) * SAFETY
    tall = scaled if scaled.shape[0] >= scaled.shape[1] else scaled.T
    # The product and the decomposition are exact for a matrix within a few (m + n) eps |M|_F^2 of the Gram matrix.
    lost = 16 * sum(matrix.shape) * np.finfo(float).eps * float(np.square(scaled).sum())
    return peak * math.sqrt(float(np.linalg.eigvalsh(tall.T @ tall)[-1]) + lost) * SAFETY


def absolute_norm(matrix: Reals) -> float:
    """At least the spectral norm of |matrix| by entries: by Collatz and Wielandt, max (A'A v) / v for any v > 0."""
    peak = float(np.abs(matrix).max(initial=0.0))
    if peak == 0:
        return 0.0
    sizes = np.abs(matrix) / peak
    v, least = np.ones(sizes.shape[1]), math.inf
    for _ in range(_ROUNDS):
        image = (sizes @ v) @ sizes
        least = min(least, float((image / v).max()))
        v = np.maximum(image / image.max(), _FLOOR)
    return peak * math.sqrt(least) * SAFETY


def matrix_work(rows: int, columns: int) -> int:
    """What `matrix_norm` costs, in multiplications of small matrices."""
    least = min(rows, columns)
    return (rows * columns * least + 4 * least**3) // 16 if least <= _WIDEST else rows * columns


def convolution_norm(kernel: Reals, image: tuple[int, int]) -> float:
    """At least the spectral norm of x -> kernel (out, in, kh, kw) * x on images of that size, for any zero padding.

    All sums of a padded convolution are among those of the full one, which is the periodic one on a torus of
    (height + kh - 1) x (width + kw - 1) behind an isometric embedding: a compression. The periodic one is block
    diagonal in frequency, so that its norm is the largest of the norms |K(w)| of the matrices FFT(kernel).

    A torus of more frequencies than needed is not tried point by point. Along one axis K(w) is of exponential type
    t = (k-1)/2 once its phase is centred, and where u'K(w)v takes its largest real value S, by Duffin and Schaeffer
    (f'^2 + t^2 f^2 <= t^2 S^2) it is at least S cos(t h) at distance h. A grid of n points has one within h = pi / n;
    along a diagonal the products t h add up: S <= (largest on the grid) / cos(sum of t pi / n over the axes thinned).
    """
    out, channels, *size = kernel.shape
    for density in _DENSITIES:
        grid, angle = _grid((size[0], size[1]), image, density)
        if _grid_work(grid, out, channels) <= _MOST_WORK:
            peak = _largest(kernel, grid) / math.cos(angle)
            return peak * SAFETY + 1e-12 * float(np.abs(kernel).sum())
    return sum(matrix_norm(kernel[:, :, i, j]) for i, j in np.ndindex(size[0], size[1])) * SAFETY


def convolution_work(shape: tuple[int, ...], image: tuple[int, int]) -> int:
    """What `convolution_norm` costs, in multiplications."""
    out, channels, *size = shape
    works = (
        _grid_work(_grid((size[0], size[1]), image, density)[0], out, channels) + math.prod(shape) * image[1]
        for density in _DENSITIES
    )
    return next((w for w in works if w <= 2 * _MOST_WORK), size[0] * size[1] * matrix_work(out, channels))


def _grid(size: tuple[int, int], image: tuple[int, int], density: int) -> tuple[tuple[int, int], float]:
    """Frequencies per axis, and the angle by which the largest norm may be missed."""
    grid, angle = [], 0.0
    for k, n in zip(size, image, strict=True):
        whole, thin = n + k - 1, max(1, density * (k - 1))
        grid.append(min(whole, thin))
        angle += math.pi * (k - 1) / 2 / thin if thin < whole else 0.0
    return (grid[0], grid[1]), angle


def _grid_work(grid: tuple[int, int], out: int, channels: int) -> int:
    return grid[0] * (grid[1] // 2 + 1) * out * channels * min(out, channels)


def _largest(kernel: Reals, grid: tuple[int, int]) -> float:
    """The largest |K(w)| on a grid no smaller than the kernel; a real kernel has the same norm at w and -w."""
    height, width = grid
    rows = np.moveaxis(np.fft.rfft(kernel, width), 3, 0)
    places = np.arange(kernel.shape[2])
    largest = 0.0
    for frequency in range(height):
        phases = np.exp(-2j * np.pi * ((frequency * places) % height) / height)
        largest = max(largest, float(np.linalg.norm(rows @ phases, 2, axis=(1, 2)).max()))
    return largest
