"""What a smoothing promises: parts, applied in order, and the theorem that covers them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..errors import ArgumentError
from ..evidence import Evidence
from ..inputs.input import Input
from .attack import Attack
from .calibration import Calibration
from .offsets import NONE, Piece
from .part import Part
from .perturbation import Perturbation
from .slicing import Slicing
from .transform import Transform

if TYPE_CHECKING:
    from ..model.labels import Classifier

Guarantee = Literal["exact", "path", "paper", "calibrated", "none"]
AnyAttack = Mapping[str, Any] | Attack


class Smoothing(ABC):
    """A random transformation of the input, and what it certifies. Immutable; equal by value. Made by `compose`.

    `perturbation` makes the samples, and is all that sampling sees; the rest is what may be promised of them. The
    attack comes first, the smoothing's draw second. An attack maps names of parameters to a number, an interval
    (low, high) or a grid (low, high, points), or is an `Attack`; parameters that it leaves out stay at the identity. A
    number for a norm (noise, translation) is a ball. Attacks of several parameters are applied in the parts' order.

    `guarantee` is `exact` (Neyman and Pearson's bound), `path` (General Lipschitz put right, which never certifies
    more), `calibrated` (Neyman and Pearson's bound, up to an error that was measured), `paper` (of a surrogate: the
    published bound, up to constants that were measured), or `none` for no smoothing.
    """

    @property
    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """The parts in the order of application."""

    @property
    @abstractmethod
    def guarantee(self) -> Guarantee:
        """What the promise rests on."""

    @property
    @abstractmethod
    def perturbation(self) -> Perturbation:
        """How samples are made."""

    @property
    @abstractmethod
    def attack_models(self) -> tuple[str, ...]:
        """What samples may say of the attackers that they answer, whatever the input: see `Certificate`."""

    @abstractmethod
    def p_star(self, attack: AnyAttack) -> float:
        """The top-class probability at the input above which the smoothed classifier survives every attack of the set.

        1 where nothing suffices. `ArgumentError` for attacks on parameters that are not smoothed, or outside their
        range. Source: theory.md sections 2, 3 and 5.
        """

    @abstractmethod
    def leads(self, attack: Attack, p_lower: float, p_upper: float) -> bool:
        """Whether a class with p_lower stays ahead of any with p_upper < 1 - p_lower all over the set."""

    @abstractmethod
    def sides(self, p_lower: float, p_upper: float | None = None) -> tuple[float, float]:
        """How far to the left and to the right of the identity the one parameter is certified, in its coordinate.

        Rounded down; 0 where p_lower <= p_upper (1 - p_lower unless given), and for smoothings of several parameters.
        """

    @property
    def acts_on_raw(self) -> bool:
        """Whether samples are made of the raw image, ahead of the preprocessing, as OpenCV computes them."""
        return False

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values, for recipes and ledgers."""
        return {"guarantee": self.guarantee, "parts": [part.description for part in self.parts]}

    @property
    def label(self) -> str:
        """The smoothing as a word of a folder's name."""
        return "-".join(part.label for part in self.parts)

    @property
    def title(self) -> str:
        """The smoothing as a table's heading has it."""
        return ", ".join(f"{part.name} = {part.scale:g}" for part in self.parts)

    def voter(self, classifier: Classifier) -> Classifier:
        """What labels the samples: the classifier itself, or what stands for it where they are no inputs of its."""
        return classifier

    @property
    def evidence(self) -> dict[str, Any]:
        """What belongs to the evidence of an input besides its votes: fields of `Evidence`."""
        return {"errors": self.measured.errors} if self.measured else {}

    @property
    def main(self) -> Part | None:
        """The one parameter that has a radius; None where there are several."""
        return self.parts[0] if len(self.parts) == 1 else None

    @property
    def measured(self) -> Calibration | None:
        """The error that was measured ahead; None where none was."""
        return None

    def with_measured(self, measured: Calibration) -> Smoothing:
        """The smoothing with other bounds on the error that was measured."""
        return self

    @property
    def per_input(self) -> bool:
        """Whether what is promised depends on the input: see `of_input`."""
        return self.measured is not None and self.measured.per_input

    @property
    def favourable(self) -> Smoothing:
        """The smoothing as it applies to the input that it suits best."""
        return self

    def of_input(self, x: Input) -> Smoothing:
        """The smoothing as it applies to that input."""
        return self

    def of_evidence(self, evidence: Evidence) -> Smoothing:
        """The smoothing as it applied when the evidence was drawn."""
        return self

    gapless: ClassVar[bool] = True  # slices lie side by side, for attacks between two are attacks as well

    def shifted(self, deviations: float) -> float:
        """The p_star of samples whose mean is so many standard deviations away.

        `ArgumentError` for smoothings that have more than a Gaussian mean: what mode slices cannot take.
        """
        raise ArgumentError("slices: expected a smoothing of noise alone; the attack itself is not smoothed")

    def slicing(self, x: Input, transform: Transform, levels: Piece = NONE) -> Slicing:
        """How attacks on an input, with those offsets of brightness behind, are cut into slices that noise covers."""
        raise ArgumentError("slices: expected a smoothing of noise alone; the attack itself is not smoothed")

    def require_ready(self) -> None:
        """`CalibrationError` or `ModelError` where the files are not at hand that new certificates need."""
        if self.measured:
            self.measured.require_bounds()

    def problem(self, x: Input, evidence: Evidence) -> str:
        """Why what the evidence says of the input, besides votes, is not so; empty where it is."""
        return ""

    def hint(self, attack: Attack | None, p_lower: float) -> str:
        """Why that p_lower does not certify the attack (None: any radius at all), and what would; empty if unknown."""
        return ""

    def survives(self, attack: AnyAttack | None, p_lower: float, p_upper: float) -> bool:
        """Whether a class with p_lower stays ahead of any with p_upper under every attack; None: without any."""
        if p_lower <= p_upper or attack is None:
            return p_lower > p_upper
        attack = Attack.of(attack)
        return p_lower > self.p_star(attack) or (p_upper < 1 - p_lower and self.leads(attack, p_lower, p_upper))

    def radius(self, p_lower: float, p_upper: float | None = None) -> float:
        """The certified distance from the identity, either way, in the coordinate of the one parameter."""
        left, right = self.sides(p_lower, p_upper)
        return min(left, right) if self.main and self.main.signed else right

    def interval(self, left: float, right: float) -> tuple[float, float] | None:
        """The values of the one parameter so far to either side of the identity; None for norms, and for several."""
        if self.main is None or self.main.is_norm:
            return None
        ((_, ends),) = self.main.within(left, right)
        return ends.low, ends.high

    def ball(self, radius: float) -> Attack:
        """All attacks within that distance of the identity, for smoothings of one parameter."""
        if self.main is None:
            raise ArgumentError("radii: a smoothing of several parameters has none; name an `attack`")
        return self.main.within(radius, radius)
