"""What a smoothing is: parts, applied in order, and what the theorem that covers them promises."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, require
from ..evidence import Evidence
from ..neyman_pearson import sampled_threshold
from ..noise import Stream, uniform
from ..spatial import Raw
from ..transforms.attacks import Manner
from . import bounds, pipeline
from .attack import Attack
from .laws import Law
from .theorem import Theorem, sample_log_ratio

Guarantee = Literal["exact", "path", "calibrated", "enumerated"]
GUARANTEES: tuple[Guarantee, ...] = ("exact", "path")  # of compositions
Kind = Literal["additive", "factor", "norm", "variance"]
_MOST_LOG = 10.0  # scale of a log factor: eight deviations of it are still a float32
AnyAttack = Mapping[str, Any] | Attack


class Smoothing(ABC):
    """A random transformation of the input, and what it certifies. Immutable; equal by value.

    The attack comes first, the smoothing's draw second. An attack maps names of parameters to a number, an interval
    (low, high) or a grid (low, high, points), or is an `Attack`; parameters that it leaves out stay at the identity. A
    number for a norm (noise, translation) is a ball. Attacks of several parameters are applied in the parts' order.
    """

    @property
    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """The parts in the order of application."""

    @property
    @abstractmethod
    def guarantee(self) -> Guarantee:
        """`exact`: Neyman and Pearson's bound. `path`: General Lipschitz put right, which never certifies more.

        `calibrated`: Neyman and Pearson's bound, up to an error that was measured. `enumerated`: no bound at all, for
        nothing is random.
        """

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values, for recipes and ledgers."""
        return {"guarantee": self.guarantee, "parts": [part.description for part in self.parts]}

    @property
    def theorem(self) -> Theorem:
        """What covers the parts together. `ValueError` where nothing does."""
        return bounds.find_theorem(self.parts)

    def p_star(self, attack: AnyAttack) -> float:
        """The top-class probability at the input above which the smoothed classifier survives every attack of the set.

        1 where nothing suffices. `ValueError` for attacks on parameters that are not smoothed, or outside their range.
        Source: theory.md sections 2, 3 and 5.
        """
        return bounds.p_star(self, Attack.of(attack))

    def p_star_sampled(self, attack: AnyAttack, *, n: int, delta: float, seed: int) -> tuple[float, float]:
        """Bounds on `p_star` of one attack (a point) from n draws, both true with probability 1 - delta.

        It shares no quadrature and no closed form with `p_star`: a check on it.
        """
        (box,) = bounds.boxes(self, Attack.of(attack))
        require(all(low == high for low, high in box.values()), f"attack: expected one point, got {Attack.of(attack)}")
        point = {name: low for name, (low, _) in box.items()}
        rng = np.random.default_rng(seed)

        def draw(n: int, attacked: bool) -> NDArray[np.float64]:
            return sample_log_ratio(self.theorem, point, rng, n, attacked=attacked)

        return sampled_threshold(draw, n, delta)

    def survives(self, attack: AnyAttack | None, p_lower: float, p_upper: float) -> bool:
        """Whether the top class stays on top under every attack of the set; None: without any attack.

        `p_lower`, `p_upper`: bounds on the probabilities of the top class and of any other.
        """
        if p_lower <= p_upper or attack is None:
            return p_lower > p_upper
        attack = Attack.of(attack)
        if p_lower > self.p_star(attack):
            return True
        return p_upper < 1 - p_lower and self.leads(attack, p_lower, p_upper)

    def leads(self, attack: Attack, p_lower: float, p_upper: float) -> bool:
        """Whether a class with p_lower stays ahead of any with p_upper < 1 - p_lower all over the set."""
        return self.guarantee == "exact" and bounds.leads(self, attack, p_lower, p_upper)

    @property
    def main(self) -> Part | None:
        """The one parameter that has a radius; None where there are several."""
        return self.parts[0] if len(self.parts) == 1 else None

    def reach(self, p_lower: float, p_upper: float | None = None) -> tuple[float, float]:
        """How far to the left and to the right of the identity the one parameter is certified, in its coordinate.

        Rounded down; 0 where p_lower <= p_upper (1 - p_lower unless given), and for smoothings of several parameters.
        """
        part, p_upper = self.main, 1 - p_lower if p_upper is None else p_upper
        if part is None or p_lower <= p_upper:
            return 0.0, 0.0
        bounds.find_theorem(self.parts)
        left = bounds.reach(part.line, -1, p_lower, p_upper) if part.signed else 0.0
        return left, bounds.reach(part.line, 1, p_lower, p_upper)

    def radius(self, p_lower: float, p_upper: float | None = None) -> float:
        """The certified distance from the identity, either way, in the coordinate of the one parameter."""
        left, right = self.reach(p_lower, p_upper)
        return min(left, right) if self.main and self.main.signed else right

    def interval(self, p_lower: float, p_upper: float | None = None) -> tuple[float, float] | None:
        """The certified values of the one parameter, for those that are not norms; None for others."""
        part = self.main
        if part is None or part.kind == "norm":
            return None
        left, right = self.reach(p_lower, p_upper)
        return part.value(0.0 - left), part.value(right)

    def ball(self, radius: float) -> Attack:
        """All attacks within that distance of the identity, for smoothings of one parameter."""
        part = self.main
        if part is None:
            raise ValueError("radii: a smoothing of several parameters has none; name an attack (--attack)")
        return Attack.of({part.name: (part.value(-radius if part.signed else 0.0), part.value(radius))})

    def interval_of(self, radius: float) -> tuple[float, float] | None:
        """The values within that distance of the identity, as `interval` has them."""
        ((_, ends),) = self.ball(radius)
        return None if self.main and self.main.kind == "norm" else (ends.low, ends.high)

    def attack_model(self, x: NDArray[Any]) -> str:
        """`integer` where 8-bit inputs stay whole numbers all along, else `float-unclipped`."""
        return "integer" if pipeline.is_integer(self.parts, x) else "float-unclipped"

    @property
    def rho(self) -> float:
        """Probability that what was measured ahead of sampling is wrong; 0 where nothing was."""
        return 0.0

    @property
    def errors(self) -> tuple[tuple[float, float], ...]:
        """Bounds measured for one input alone, which belong to its evidence; none for most smoothings."""
        return ()

    @property
    def favourable(self) -> Smoothing:
        """The smoothing as it applies to the input that it suits best."""
        return self

    def of_input(self, fingerprint: str) -> Smoothing:
        """The smoothing as it applies to the input of that SHA-256."""
        return self

    def of_evidence(self, evidence: Evidence) -> Smoothing:
        """The smoothing as it applied when the evidence was drawn."""
        return self

    def slack(self, x: NDArray[Any]) -> float:
        """Total variation between the integers drawn for x and their law; 0, not bounded, for real numbers."""
        return sum(part.drawn_slack(x) for part in self.parts) if pipeline.is_integer(self.parts, x) else 0.0

    def dtype(self, x: NDArray[Any]) -> np.dtype[Any]:
        """Element type of the perturbed samples: int16 levels, or float32. `DataError` for data that do not suit."""
        return pipeline.dtype(self.parts, x)

    def encode(self, x: NDArray[Any], raw: Raw | None = None) -> pipeline.Encoded:
        """What is computed once for x, an image of shape (outer, height, width, inner) or any array of pixels.

        `raw` is the image that x was made of, for smoothings that act ahead of the preprocessing.
        """
        bounds.find_theorem(self.parts)  # what no theorem covers is not sampled
        return pipeline.encode(self.parts, x)

    def perturb(self, encoded: pipeline.Encoded, stream: Stream, first: int, out: NDArray[Any]) -> None:
        """Fill out[i] (shape (batch, *x.shape), C order, type `dtype(x)`) with sample first + i of the smoothed x."""
        pipeline.perturb(self.parts, encoded, stream, first, out)


class Part(Smoothing):
    """One random parameter. `line` is its law in the coordinate where attacks add up and the identity is 0."""

    name: ClassVar[str]
    unit: ClassVar[str]  # of an attack's values
    kind: ClassVar[Kind]
    laws: ClassVar[Mapping[str, type[Any]]]  # by name, the default first
    whole: ClassVar[bool] = False  # 8-bit inputs stay whole numbers
    moves: ClassVar[bool] = False  # moves pixels about, rather than changing each for itself
    composes: ClassVar[bool] = True  # obeys its composition law exactly, without a calibration
    scale: float
    law: str

    def __post_init__(self) -> None:
        require(1e-30 <= self.scale <= 1e30, f"{self.name}: expected a scale > 0, got {self.scale:g}")
        low = self.law != "lognormal" or self.scale <= _MOST_LOG
        require(low, f"{self.name}: expected a scale of at most {_MOST_LOG:g}, got {self.scale:g}")
        require(self.law in self.laws, f"{self.name}: expected a law of {', '.join(self.laws)}, got {self.law!r}")

    @property
    def manner(self) -> Manner:
        """The attackers' border and interpolation, as the smoothing's own."""
        return Manner()

    @property
    def line(self) -> Law:
        """The law of the coordinate."""
        law: Law = self.laws[self.law](self.scale)
        return law

    @property
    def description(self) -> dict[str, Any]:
        """The part in a recipe: its name, scale and law, an attack's unit, and its options."""
        options = {f.name: getattr(self, f.name) for f in fields(cast(Any, self))[1:]}
        return {"part": self.name, "scale": self.scale, "law": self.law, "unit": self.unit} | options

    @property
    def label(self) -> str:
        """Name and scale, and the options that are not the default's, as one word: `gamma0.1rayleigh`."""
        options = (f for f in fields(cast(Any, self))[1:] if getattr(self, f.name) != f.default)
        return f"{self.name}{self.scale:g}" + "".join(getattr(self, f.name) for f in options)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The part itself."""
        return (self,)

    @property
    def guarantee(self) -> Guarantee:
        """A part on its own has its exact bound."""
        return "exact"

    @property
    def signed(self) -> bool:
        """Whether attacks go to both sides of the identity."""
        return self.kind in ("additive", "factor")

    def coordinate(self, value: float) -> float:
        """The coordinate of an attack's value; `ValueError` outside the range of the parameter."""
        least = {"additive": -math.inf, "factor": math.ulp(0.0), "norm": 0.0, "variance": 0.0}[self.kind]
        want = {"factor": "a factor > 0", "norm": "an l2 norm >= 0", "variance": "a variance >= 0"}.get(self.kind)
        require(least <= value < math.inf, f"attack: expected {want} for {self.name}, got {value:g}")
        return math.log(value) if self.kind == "factor" else value

    def value(self, coordinate: float) -> float:
        """The attack's value at a coordinate; factors stay floats > 0: nothing survives e^700, or its inverse."""
        return math.exp(min(max(coordinate, -700.0), 700.0)) if self.kind == "factor" else coordinate

    def combined(self, first: Any, second: Any) -> Any:
        """The value of two transformations in a row, by the composition law."""
        if isinstance(first, tuple):
            return tuple(a + b for a, b in zip(first, second, strict=True))
        return first * second if self.kind == "factor" else first + second

    def require_data(self, x: NDArray[Any]) -> None:
        """`DataError` for data that the part has no meaning for."""
        if self.moves and x.ndim != 4:
            raise DataError(
                f"{self.name}: expected images, got values of shape {x.shape}; "
                "give the data rows, columns and 1, 3 or 4 colours"
            )

    def drawn_slack(self, x: NDArray[Any]) -> float:
        """Total variation between the whole numbers drawn for x and their law."""
        return 0.0

    def draw(self, stream: Stream, first: int, batch: int) -> NDArray[Any]:
        """The values of samples first..first + batch - 1, each a function of its address."""
        y = self.line.quantile(uniform(stream, first, batch))
        return np.asarray(np.exp(y) if self.kind == "factor" else y)

    def apply(self, out: NDArray[Any], stream: Stream, first: int, unit: float) -> None:
        """Draw, and change the pixels of out[i] in place; for parts that do not move them."""
        raise NotImplementedError


@dataclass(frozen=True)
class Composition(Smoothing):
    """Parts applied one after the other. Made by `compose`."""

    parts: tuple[Part, ...] = ()
    guarantee: Guarantee = "exact"

    def __post_init__(self) -> None:
        bounds.find_theorem(self.parts)
        require(self.guarantee in GUARANTEES, f"guarantee: expected exact or path, got {self.guarantee!r}")
        rough = [f"{p.name} with law {p.line.name}" for p in self.parts if not p.line.smooth]
        require(
            self.guarantee == "exact" or not rough,
            f"guarantee path: needs laws with a smooth density, got {', '.join(rough)}; use exact, or another law",
        )
