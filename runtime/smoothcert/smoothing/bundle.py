"""What a surrogate is in plain values, and the noise that may be put on its codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import require, require_number
from .attack import Attack
from .part import require_scale
from .ranges import Range
from .transform import Transform, transform_of


@dataclass(frozen=True)
class CodeNoise:
    """The covariance of the noise on codes: sigma1^2 A1 A1' + sigma2^2 I as published, or sigma^2 times the fitted one.

    A1 and the fitted covariance are the bundle's, the same for every input: a covariance that followed the input would
    be another at the attacked input, and nothing would be certified.
    """

    sigma: float | None = None
    sigma1: float | None = None
    sigma2: float | None = None

    def __post_init__(self) -> None:
        fitted, published = self.sigma is not None, self.sigma1 is not None and self.sigma2 is not None
        one = fitted != published and not (fitted and (self.sigma1 or self.sigma2))
        require(one, "surrogate: expected sigma alone, or both sigma1 and sigma2, got " + (str(self) or "neither"))
        for name, value in self.recipe.items():
            require_number(f"surrogate: {name}", value)
            require_scale("surrogate", name, value)

    @property
    def recipe(self) -> dict[str, float]:
        """Those that are given."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value:g}" for name, value in self.recipe.items())


@dataclass(frozen=True)
class Bundle:
    """What a surrogate is, in plain values: see docs/surrogates.md for its files.

    `sha256` is that of the manifest, which holds the hashes of all files; `model`: of the plain classifier that the
    surrogate was joined with. `trained`: the attacks that it was trained on.
    """

    sha256: str
    model: str
    transform: Transform
    trained: Range
    image: tuple[int, int, int]
    code: int

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "sha256": self.sha256,
            "model": self.model,
            "options": self.transform.options,
            "trained": Attack(((self.transform.name, self.trained),)).recipe,
            "image": list(self.image),
            "code": self.code,
        }

    @staticmethod
    def of(recipe: Mapping[str, Any]) -> Bundle:
        """The bundle that `recipe` wrote; `KeyError`, `TypeError` or `ValueError` for anything else."""
        (((name, trained),), (colours, height, width)) = Attack.of(recipe["trained"]).ranges, recipe["image"]
        transform = transform_of(name, recipe["options"])
        return Bundle(recipe["sha256"], recipe["model"], transform, trained, (colours, height, width), recipe["code"])
