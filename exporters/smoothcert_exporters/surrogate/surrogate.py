"""A surrogate in training: encoder F2, decoder H, and the linear F1."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from smoothcert.errors import ModelError, first_line

from ..frameworks.pytorch import load as load_module
from .descent import seeded
from .networks import Decoder, Encoder, Flat
from .plan import Plan

_HIDDEN = 64  # of the probe
_BUILT = 1  # stage of the random numbers


class Surrogate(nn.Module):  # type: ignore[misc]
    """tau(xi, x) = H(A1 xi + F2(x)). `directions` is A1 for xi as a share of its largest length, `span`."""

    def __init__(self, encoder: Any, decoder: Any, code: int, parameters: int, span: float, labels: int = 0) -> None:
        nn.Module.__init__(self)
        self.encoder, self.decoder, self.span = encoder, decoder, span
        self.probe = _probe(code, labels) if labels else None
        self.directions = nn.Parameter(torch.zeros(code, parameters))

    def shift(self, xi: Any) -> Any:
        """A1 xi of parameters (batch, m)."""
        return (xi / self.span) @ self.directions.T

    def squared(self, differences: Any, sigma1: float, sigma2: float) -> Any:
        """D' S^-1 D of each row, S = sigma1^2 directions directions' + sigma2^2 I, by a solve of m by m (Woodbury)."""
        along = differences @ self.directions
        inner = self.directions.T @ self.directions + torch.eye(along.shape[1]) * (sigma2 / sigma1) ** 2
        within = (along * torch.linalg.solve(inner, along.T).T).sum(1)
        return ((differences**2).sum(1) - within).clamp(min=0) / sigma2**2

    def noise(self, like: Any, sigma1: float, sigma2: float, least: float = 0.0) -> Any:
        """N(0, S) for as many codes, at a random share of its strength, `least` to 1, for each."""
        levels, theta = least + (1 - least) * torch.rand(len(like), 1), torch.randn(len(like), self.directions.shape[1])
        return levels * (sigma1 * theta @ self.directions.T + sigma2 * torch.randn_like(like))


def build(plan: Plan) -> Surrogate:
    """The surrogate of a plan, untrained. `ModelError` where one's own modules do not fit images, or each other."""
    sizes, shape = plan.sizes, plan.image
    with seeded(plan.descent.seed, _BUILT):
        encoder = Encoder(
            shape,
            width=sizes.encoder_width,
            layers=sizes.encoder_layers,
            kernel=sizes.encoder_kernel,
            hidden=sizes.encoder_hidden,
        )
        decoder = Decoder(shape, width=sizes.width, depth=sizes.depth)
        ours = Flat(_module(plan.encoder)) if plan.encoder else encoder
        code = _code_of(ours, shape, plan.encoder)
        theirs = _module(plan.decoder) if plan.decoder else decoder
        _require_decodes(theirs, code, shape, plan.decoder or f"decoder of codes of {plan.encoder}")
        found = Surrogate(ours, theirs, code, plan.attacks.parameters, plan.attacks.span, plan.labels)
    bound(found, plan)
    return found


def bound(surrogate: Surrogate, plan: Plan) -> None:
    """Keep the encoder's Lipschitz constant within the plan's, where it is known by construction."""
    if not plan.encoder:
        surrogate.encoder.bound(plan.sizes.lipschitz)


def lipschitz(surrogate: Surrogate) -> float | None:
    """Of the encoder by construction; None for one's own."""
    return surrogate.encoder.lipschitz if isinstance(surrogate.encoder, Encoder) else None


def _probe(code: int, labels: int) -> Any:
    """A small classifier of codes, which teaches the encoder to keep what tells classes apart."""
    return nn.Sequential(nn.Linear(code, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, labels))


def _module(name: str) -> Any:
    module = load_module(name, None)
    if not isinstance(module, nn.Module):
        raise ModelError(f"{name}: expected a torch.nn.Module to train, got an exported program")
    return module


def _code_of(encoder: Any, shape: tuple[int, int, int], name: str) -> int:
    """Values of a code; `ModelError` where the encoder gives no row for each image."""
    try:
        with torch.inference_mode():
            code = encoder.eval()(torch.zeros(2, *shape))
        if len(code) == 2 and code.shape[1] > 0:
            return int(code.shape[1])
        got = f"values of shape {tuple(code.shape)}"
    except Exception as error:
        got = f"{type(error).__name__}: {first_line(error)}"
    raise ModelError(
        f"{name}: expected a code for each image of a batch (batch, {', '.join(map(str, shape))}), got {got}"
    )


def _require_decodes(decoder: Any, code: int, shape: tuple[int, int, int], name: str) -> None:
    expected = f"{name}: expected images (batch, {', '.join(map(str, shape))}) of codes (batch, {code})"
    try:
        with torch.inference_mode():
            got = tuple(decoder.eval()(torch.zeros(2, code)).shape)
    except Exception as error:
        raise ModelError(f"{expected}, got {type(error).__name__}: {first_line(error)}") from None
    if got != (2, *shape):
        raise ModelError(f"{expected}, got values of shape {got}; bring a decoder of your own for your codes")
