"""What a smoothing is: parts, applied in order, and what the theorem that covers them promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..bounds.joint_laws import Theorem, sample_log_ratio
from ..bounds.neyman_pearson import sampled_threshold
from ..draws import Stream
from ..errors import ArgumentError, require
from ..evidence import Evidence
from ..inputs.spatial import Raw
from . import bounds, pipeline
from .attack import Attack
from .pairs import find_theorem

if TYPE_CHECKING:
    from .part import Part

Guarantee = Literal["exact", "path", "calibrated", "enumerated"]
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
        return find_theorem(self.parts)

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

    def hint(self, attack: Attack | None, p_lower: float) -> str:
        """Why that p_lower does not certify the attack (None: any radius at all), and what would; empty if unknown."""
        return ""

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
        find_theorem(self.parts)
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
            raise ArgumentError("radii: a smoothing of several parameters has none; name an `attack`")
        return Attack.of({part.name: (part.value(-radius if part.signed else 0.0), part.value(radius))})

    def interval_of(self, radius: float) -> tuple[float, float] | None:
        """The values within that distance of the identity, as `interval` has them."""
        ((_, ends),) = self.ball(radius)
        return None if self.main and self.main.kind == "norm" else (ends.low, ends.high)

    @property
    def attack_models(self) -> tuple[str, ...]:
        """What `attack_model` may say, whatever the input."""
        return ("integer", "float-unclipped") if all(part.whole for part in self.parts) else ("float-unclipped",)

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
        find_theorem(self.parts)  # what no theorem covers is not sampled
        return pipeline.encode(self.parts, x)

    def perturb(self, encoded: pipeline.Encoded, stream: Stream, first: int, out: NDArray[Any]) -> None:
        """Fill out[i] (shape (batch, *x.shape), C order, type `dtype(x)`) with sample first + i of the smoothed x."""
        pipeline.perturb(self.parts, encoded, stream, first, out)
