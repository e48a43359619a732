"""How far a layer can lengthen a vector: bounds that hold for every image of one size."""

from __future__ import annotations

from typing import Any

import torch

_ROUNDING = 1 + 1e-6  # of double precision, generously


def convolution_norm(weight: Any, sides: tuple[int, int]) -> float:
    """An upper bound of the l2 operator norm of a convolution (out, in, k, l) of stride 1 on images of these sides.

    With zeros beyond the border, the answer is a part of what the convolution gives on a torus of n + k - 1 by
    m + l - 1 pixels, on which the image lies among zeros and nothing meets round the edge. There the Fourier transform
    makes it one matrix a frequency, and the norm is the largest of theirs.
    """
    size = [side + k - 1 for side, k in zip(sides, weight.shape[2:], strict=True)]
    with torch.no_grad():
        spectrum = torch.fft.rfft2(weight.detach().double(), s=size).permute(2, 3, 0, 1)
        few, many = sorted(weight.shape[:2])
        gram = spectrum @ spectrum.mH if weight.shape[0] == few else spectrum.mH @ spectrum
        largest = torch.linalg.eigvalsh(gram).max().clamp(min=0) if many > 1 else gram.real.max()
        return float(largest.sqrt()) * _ROUNDING


def matrix_norm(weight: Any) -> float:
    """An upper bound of the l2 operator norm of a linear layer."""
    with torch.no_grad():
        return float(torch.linalg.matrix_norm(weight.detach().double(), 2)) * _ROUNDING
