"""What every algorithm has, and the steps they share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, cast

from ..bounds.confidence import BOUNDS, Bound, require_alpha
from ..certificate import ABSTAIN, Certificate, floor_text
from ..errors import require, require_number
from ..evidence import Evidence
from ..inputs.input import Input
from ..inputs.levels import Levels
from ..sampling import Sampler
from ..smoothing import Attack, Smoothing, Transform
from ..smoothing.perturbation import Perturbation
from ..smoothing.transform import plugins_of


class Algorithm(ABC):
    """How votes are drawn, and what is concluded from them. A value: subclasses are frozen dataclasses."""

    attack: Attack | None  # the set of attacks asked about; None for the largest radius
    mode: ClassVar[str]  # what recipes call it
    certifies: ClassVar[bool] = True  # whether certificates speak of attacks, and not of the input alone
    before: ClassVar[Mapping[str, Any]] = {}  # numbers that recipes of earlier versions leave out, and had
    enumerates: ClassVar[bool] = False  # whether every attack of the set is asked about

    @property
    def recipe(self) -> dict[str, Any]:
        """Mode, numbers and plugins as plain values; no attack, and no radii, are no keys."""
        values = {"mode": self.mode} | {field.name: getattr(self, field.name) for field in fields(cast(Any, self))}
        if self.attack is not None:
            values["attack"] = self.attack.recipe
        said = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v not in (None, ())}
        return said | self.plugins

    @property
    def named(self) -> Mapping[str, Transform]:
        """What attackers do, by parameter, where the algorithm itself says it, in the order of application."""
        return {}

    @property
    def plugins(self) -> dict[str, Any]:
        """What the recipe says of users' transformations among those: nothing where there are none."""
        found = plugins_of(self.named)
        return {"plugins": found} if found else {}

    @abstractmethod
    def draw(self, sampler: Sampler, smoothing: Smoothing) -> Evidence:
        """Sample."""

    @abstractmethod
    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """Conclude; the same certificate from the same evidence, always."""

    @abstractmethod
    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """Whether `draw` could have left this evidence: as many votes, at the looks it takes."""

    @abstractmethod
    def needed(self, smoothing: Smoothing) -> float:
        """The probability that the top class needs for the attack asked about, or the smallest radius."""

    @abstractmethod
    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """Votes drawn for an input that is not given up: at least, and at most."""

    @abstractmethod
    def largest(self, smoothing: Smoothing) -> float:
        """The largest radius that this many samples can certify, all votes agreeing; 0: it can only abstain."""

    def goal(self, smoothing: Smoothing) -> str:
        """What is asked of every input, in words."""
        if self.attack is not None:
            more = ", by input more" if smoothing.per_input else ""
            return f"p_lower above {self.needed(smoothing):.6f} needed{more}"
        largest = self.largest(smoothing)
        return "no attack named" if largest == math.inf else f"radius up to {floor_text(largest)}"

    def perturbation(self, smoothing: Smoothing) -> Perturbation:
        """How samples are made: as the smoothing makes them."""
        return smoothing.perturbation

    def attack_models(self, smoothing: Smoothing) -> tuple[str, ...]:
        """What evidence may say of the attackers that it answers."""
        return smoothing.attack_models

    def attack_model(self, smoothing: Smoothing, levels: Levels | None) -> str:
        """What evidence says of them for data in these levels."""
        return self.attack_models(smoothing)[0 if levels else -1]

    def acts_on_raw(self, smoothing: Smoothing) -> bool:
        """Whether attacks act on the raw image, ahead of the preprocessing, as OpenCV computes them."""
        return bool(self.named) or smoothing.acts_on_raw

    def transforms(self, smoothing: Smoothing) -> Mapping[str, Transform]:
        """What attackers do, by parameter, in the order of application."""
        return self.named or {part.name: part.transform for part in smoothing.parts}

    def members(self, x: Input | None = None) -> Sequence[tuple[Any, ...]] | None:
        """Every attack of the set on `x`, as values of its parameters, for an algorithm that enumerates; else None."""
        return None

    def pieces(self, x: Input, smoothing: Smoothing) -> tuple[int, float]:
        """About how many parts of the attack are certified one by one, and the seconds that cutting them takes.

        `DataError` for an input that the mode cannot take.
        """
        return 1, 0.0

    def problems(self, x: Input, evidence: Evidence, smoothing: Smoothing) -> list[str]:
        """What in the evidence does not follow from the input itself, for `verify`."""
        return []


def why_only_abstain(algorithm: Algorithm, smoothing: Smoothing) -> str:
    """Why an algorithm that certifies nothing, even where all votes agree, cannot be run."""
    numbers = ", ".join(f"{k} = {v}" for k, v in algorithm.recipe.items() if k in ("n", "alpha", "radii"))
    why = f"{numbers}: this run could only abstain, even with all votes agreeing"
    if hint := smoothing.hint(algorithm.attack, algorithm.recipe["alpha"] ** (1 / algorithm.recipe.get("n", 1))):
        return f"{why}: {hint}"
    why += "; raise n or alpha"
    if algorithm.attack is None:
        return why + (", or lower the radii" if "radii" in algorithm.recipe else "")
    needed = algorithm.needed(smoothing)
    return f"{why}, or take a smaller attack or another smoothing ({algorithm.attack} needs p_lower > {needed:.6g})"


def require_sizes(n: int, alpha: float, n0: int = 1, bound: Bound = "one-sided") -> None:
    """Raise `ValueError` for sample sizes, a failure probability or a bound that no algorithm takes."""
    require_alpha(alpha)
    require_number("n", n, whole=True)
    require_number("n0", n0, whole=True)
    require(0 < n < 2**31, f"n: expected at least 1 sample and fewer than 2**31, got {n}")
    require(0 < n0 < 2**31, f"n0: expected at least 1 sample and fewer than 2**31, got {n0}")
    require(bound in BOUNDS, f"bound: expected one of {', '.join(BOUNDS)}, got {bound!r}")


def totals(evidence: Evidence) -> tuple[int, int]:
    """Votes cast for selection and for estimation."""
    return sum(evidence.selection.values()), sum(evidence.estimation.values())


def conclude(
    algorithm: Algorithm,
    smoothing: Smoothing,
    evidence: Evidence,
    prediction: int = ABSTAIN,
    radius: float = 0.0,
    p_lower: float = 0.0,
    p_upper: float = 1.0,
    *,
    interval: tuple[float, float] | None = None,
    reason: str = "",
) -> Certificate:
    """The certificate, echoing what it came from; without a prediction, an abstention for that reason."""
    recipe = algorithm.recipe
    return Certificate(
        prediction=prediction,
        radius=radius,
        p_lower=p_lower,
        p_upper=p_upper,
        alpha=recipe["alpha"] + (smoothing.measured.rho if smoothing.measured else 0.0),
        smoothing=smoothing.recipe,
        algorithm=recipe,
        evidence=evidence,
        reason=reason,
        interval=interval,
        unit=smoothing.main.unit if radius and smoothing.main else "",
    )
