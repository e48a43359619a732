"""The networks of a surrogate: the encoder F2, whose Lipschitz constant is known, and the decoder H."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from .lipschitz import convolution_norm, matrix_norm

_SLOPE = 0.2  # of the activations below 0


class Encoder(nn.Module):  # type: ignore[misc]
    """F2: the image plus a small network of it, as a flat code of the image's own size.

    The network: `layers` convolutions of stride 1 with zeros beyond the border, and behind them, where there are
    `hidden` values, two linear layers that see the whole image; without, the last convolution gives the image's own
    colours. Activations lengthen nothing. After `bound`, the constant `lipschitz` is at most what was asked for.
    """

    def __init__(
        self, shape: tuple[int, int, int], *, width: int = 8, layers: int = 1, kernel: int = 5, hidden: int = 64
    ) -> None:
        nn.Module.__init__(self)
        self.sides = shape[1:]
        sizes = [shape[0], *[width] * (layers if hidden else layers - 1), *([] if hidden else shape[:1])]
        pixels, code = math.prod(shape[1:]), math.prod(shape)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, kernel, padding=kernel // 2) for a, b in pairwise(sizes))
        self.linear = nn.ModuleList([nn.Linear(width * pixels, hidden), nn.Linear(hidden, code)] if hidden else [])

    def forward(self, image: Any) -> Any:
        """The codes (batch, d) of images (batch, colours, height, width)."""
        found = image
        for i, convolution in enumerate(self.convolutions):
            found = convolution(nn.functional.leaky_relu(found, _SLOPE) if i else found)
        found = found.flatten(1)
        for linear in self.linear:
            found = linear(nn.functional.leaky_relu(found, _SLOPE))
        return image.flatten(1) + found

    def bound(self, limit: float) -> None:
        """Scale the network's layers down alike until `lipschitz` is at most the limit, which is above 1."""
        share = ((limit - 1) / max(self.lipschitz - 1, 1e-30)) ** (1 / len(self._layers))
        if share < 1:
            with torch.no_grad():
                for layer in self._layers:
                    layer.weight *= share

    @property
    def lipschitz(self) -> float:
        """No two images' codes lie further apart than so many times the images do, in l2."""
        norms = [convolution_norm(convolution.weight, self.sides) for convolution in self.convolutions]
        return 1 + math.prod([*norms, *(matrix_norm(linear.weight) for linear in self.linear)])

    @property
    def _layers(self) -> list[Any]:
        return [*self.convolutions, *self.linear]


class Decoder(nn.Module):  # type: ignore[misc]
    """H: a U-Net from a code to an image, of GroupNorm and bilinear upsampling, added to the code itself.

    Each of `depth` levels halves the sides, rounded up, and doubles the width. Images of any size.
    """

    def __init__(self, shape: tuple[int, int, int], *, width: int = 8, depth: int = 2) -> None:
        nn.Module.__init__(self)
        self.shape = shape
        sizes = [width * 2**level for level in range(depth + 1)]
        self.first = _block(shape[0], width)
        self.down = nn.ModuleList(_block(a, b, stride=2) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in pairwise(sizes))
        self.last = nn.Conv2d(width, shape[0], 1)

    def forward(self, code: Any) -> Any:
        """The images (batch, colours, height, width) of codes (batch, d)."""
        image = code.unflatten(1, self.shape)
        found = self.first(image)
        levels = [found]
        for down in self.down:
            levels.append(down(levels[-1]))
        found = levels.pop()
        for up in reversed(self.up):
            skipped = levels.pop()
            larger = nn.functional.interpolate(found, size=skipped.shape[-2:], mode="bilinear", align_corners=False)
            found = up(torch.cat([skipped, larger], 1))
        return image + self.last(found)


class Flat(nn.Module):  # type: ignore[misc]
    """Somebody's own encoder, its code made flat."""

    def __init__(self, module: Any) -> None:
        nn.Module.__init__(self)
        self.module = module

    def forward(self, image: Any) -> Any:
        """The codes (batch, d) of images."""
        return self.module(image).flatten(1)


def _block(before: int, after: int, stride: int = 1) -> Any:
    """Convolution, normalisation over groups of channels, activation."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.GroupNorm(math.gcd(4, after), after), nn.ReLU()
    )
