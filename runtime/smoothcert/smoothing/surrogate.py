"""Smoothing in a learned semantic space: Gaussian noise on the code of an image, whatever was done to the image.

Source: Hao et al. 2022 (GSmooth, ICML). The certificate is that of theory.md section 6, which asks nothing of how well
the surrogate imitates the transformation; the paper's own is offered beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, ClassVar

from scipy.special import ndtr, ndtri

from ..errors import ArgumentError, CalibrationError, ModelError, require
from ..evidence import Evidence
from ..inputs.input import Input
from .attack import Attack
from .bundle import Bundle, CodeNoise
from .coded import CodeLaw, Codes, OnCodes
from .coverage import Coverage, Distance
from .offsets import NONE, Piece
from .part import Part
from .published import Published
from .ranges import Range
from .slicing import CodeSlicing
from .smoothing import AnyAttack, Guarantee, Smoothing
from .table import random_part
from .transform import Transform

if TYPE_CHECKING:
    from ..model.labels import Classifier

_DOWN = 1 - 1e-12
_UP = 1 + 1e-12


@dataclass(frozen=True)
class Surrogate(Smoothing):
    """F2(x) + b1 + N(0, S), labelled by classifier and decoder; F2 is the encoder, S the same for every input.

    An attack, made by the real transformation, moves the mean alone, by D = F2(attacked x) - F2(x): the class survives
    where sqrt(D' S^-1 D) < Phi^-1(p_lower). `attack` is the set over which that was computed, beyond which nothing is
    certified; `found` are the distances of one input, none before `of_input` or `of_evidence`. With `published`, they
    are those of the paper's bound. Made by `open_surrogate`; one from a recipe has no `codes`, and decides but does not
    sample.
    """

    bundle: Bundle
    noise: CodeNoise
    attack: Attack
    published: Published | None = None
    found: tuple[Distance, ...] = ()
    codes: Codes | None = field(default=None, compare=False, repr=False)

    acts_on_raw: ClassVar[bool] = True
    attack_models: ClassVar[tuple[str, ...]] = ("integer",)

    def __post_init__(self) -> None:
        name = self.transform.name
        one = [asked for asked, _ in self.attack] == [name]
        require(one, f"attack: expected values of {name}, which the surrogate imitates, got {self.attack}")
        if self.published is not None:
            self._require_published(self.published)

    def _require_published(self, published: Published) -> None:
        """`ArgumentError` for noise or attacks that the paper's bound does not speak of."""
        lined = not self.transform.is_planar() and self.transform.identity is not None and self.range.points is None
        require(lined, f"guarantee paper: expected an interval of a number, got {self.attack}; take exact")
        require(self.noise.sigma is None, "guarantee paper: expected sigma1 and sigma2, got sigma; take exact")
        same = published.surrogate == self.bundle.sha256
        require(same, "calibration: made for another surrogate; calibrate this one")
        inside = published.range.low <= self.range.low and self.range.high <= published.range.high
        known = f"expected {self.transform.name} within {published.range}, on which the surrogate was trained"
        require(inside, f"guarantee paper: {known}, got {self.range}; take exact, or a smaller attack")

    @property
    def guarantee(self) -> Guarantee:
        return "paper" if self.published else "exact"

    @property
    def transform(self) -> Transform:
        """What attackers do."""
        return self.bundle.transform

    @property
    def range(self) -> Range:
        """The values of the attacks that are covered."""
        return self.attack.ranges[0][1]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The one parameter. Its scale is the noise's sigma, or sigma1."""
        scale = self.noise.sigma or self.noise.sigma1
        return (random_part(type(self.transform))(scale, **self.transform.options),)

    @property
    def main(self) -> Part | None:
        """None on a grid, where nothing between points is certified, and where no value changes nothing."""
        lined = self.range.points is None and self.transform.identity is not None and not self.transform.is_planar()
        return self.parts[0] if lined else None

    @property
    def label(self) -> str:
        numbers = "-".join(f"{name}{value:g}" for name, value in self.noise.recipe.items())
        return f"surrogate-{self.transform.name}-{numbers}-{self.bundle.sha256[:8]}"

    @property
    def title(self) -> str:
        return f"surrogate of {self.transform.name}, {self.noise}"

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values: the bundle by its hashes, the noise, and the attacks that are covered."""
        own = self.bundle.recipe | {"noise": self.noise.recipe, "attack": self.attack.recipe}
        parts = [part.description for part in self.parts]
        published = {"published": self.published.recipe} if self.published else {}
        return {"guarantee": self.guarantee, "parts": parts, "surrogate": own | published}

    @staticmethod
    def of(recipe: Mapping[str, Any]) -> Surrogate:
        """The smoothing that `recipe` wrote, without its codes; `KeyError`, `TypeError` or `ValueError` otherwise."""
        own = recipe["surrogate"]
        bundle = Bundle.of(own)
        published = Published.of(own["published"], bundle.sha256) if "published" in own else None
        return Surrogate(bundle, CodeNoise(**own["noise"]), Attack.of(own["attack"]), published)

    @property
    def opened(self) -> Codes:
        """The open bundle; `ModelError` where it is not at hand."""
        if self.codes is None:
            sha256 = self.bundle.sha256
            raise ModelError(f"surrogate: expected the bundle whose surrogate.json has SHA-256 {sha256}, got none")
        return self.codes

    @property
    def perturbation(self) -> OnCodes:
        return OnCodes(self.opened, self._law)

    def voter(self, classifier: Classifier) -> Classifier:
        return self.opened.voter(classifier)

    def of_input(self, x: Input) -> Surrogate:
        return replace(self, found=self._distances(x) if self.published else self._coverage(x).distances())

    def _distances(self, x: Input) -> tuple[Distance, ...]:
        """Those of the paper's bound."""
        assert self.published is not None
        sigmas = (self.noise.sigma1 or 0.0, self.noise.sigma2 or 0.0)
        return self.published.distances(x.sha256, self.transform, self.range, *sigmas)

    def _coverage(self, x: Input) -> Coverage:
        return Coverage(self.opened, self._law, x, self.transform, self.range)

    @property
    def _law(self) -> CodeLaw:
        return CodeLaw.of(self.opened.covariance(self.noise), self.opened.step)

    def problem(self, x: Input, evidence: Evidence) -> str:
        found = tuple(Distance(*row) for row in evidence.distances)
        if self.published is None:
            return self._coverage(x).problem(found)
        return "" if found == self._distances(x) else "the distances are not those of the calibration"

    gapless: ClassVar[bool] = False  # where outcomes are finitely many

    def shifted(self, deviations: float) -> float:
        if self.published is not None:
            raise ArgumentError("slices: expected guarantee exact, got paper")
        return float(ndtr(deviations)) * _UP

    def slicing(self, x: Input, transform: Transform, levels: Piece = NONE) -> CodeSlicing:
        require(
            levels == NONE, f"slices: expected {self.transform.name} alone by a surrogate, got brightness beside it"
        )
        return CodeSlicing(self._coverage(x))

    def require_ready(self) -> None:
        _ = self.opened
        if self.published is not None and not self.published.slopes:
            known = f"expected the file with SHA-256 {self.published.sha256}"
            raise CalibrationError(f"calibration: {known}, got none; pass `calibration`")

    def of_evidence(self, evidence: Evidence) -> Surrogate:
        """`ValueError` for distances that are none of the attacks covered."""
        found = tuple(Distance(*row) for row in evidence.distances)
        rising = all(before[:2] <= after[:2] for before, after in pairwise(found))
        fits = rising and all(row.deviations >= 0 for row in found)
        require(fits, f"expected distances of {self.attack}, got others")
        return replace(self, found=found)

    @property
    def evidence(self) -> dict[str, Any]:
        return {"distances": tuple(tuple(row) for row in self.found)}

    per_input: ClassVar[bool] = True

    @property
    def favourable(self) -> Surrogate:
        """As it would be for an input whose code no attack moves."""
        r, identity = self.range, self.transform.identity
        ends = [r.low, r.high] if self.transform.is_planar() or identity is None else [r.low, identity, r.high]
        return replace(self, found=tuple(Distance(end, end, 0.0) for end in sorted(ends)))

    def p_star(self, attack: AnyAttack) -> float:
        """As for every smoothing; attacks beyond those covered are refused."""
        return min(1.0, float(ndtr(self._farthest(Attack.of(attack)))) * _UP)

    def leads(self, attack: Attack, p_lower: float, p_upper: float) -> bool:
        return self._farthest(attack) < _margin(p_lower, p_upper)

    def _farthest(self, attack: Attack) -> float:
        """The largest distance among those of the set, and of the neighbours of its ends: values between two rows
        have the outcome of one of them."""
        name = self.transform.name
        named = [asked for asked, _ in attack] == [name]
        require(named, f"attack: expected values of {name}, which the surrogate imitates, got {attack or 'nothing'}")
        ((_, r),) = attack
        whole = self.range
        require(whole.low <= r.low and r.high <= whole.high, f"attack: expected {name} within {whole}, got {r}")
        if whole.points is not None and r != whole:
            values = type(self.transform).listed(r)
            held = values is not None and not type(self.transform).grid(whole).lacks(values)
            require(held, f"attack: expected {name} at points of the grid {whole}, which alone were covered, got {r}")
        require(bool(self.found), "surrogate: expected the distances of an input, got none; see `of_input`")
        if self.transform.is_planar():
            return max(row.deviations for row in self.found)
        first = max((i for i, row in enumerate(self.found) if row.first <= r.low), default=0)
        last = min((i for i, row in enumerate(self.found) if row.second >= r.high), default=len(self.found) - 1)
        return max(row.deviations for row in self.found[min(first, last) : max(first, last) + 1])

    def sides(self, p_lower: float, p_upper: float | None = None) -> tuple[float, float]:
        """To either side as far as every attack is certified that was covered."""
        p_upper = 1 - p_lower if p_upper is None else p_upper
        identity, r = self.transform.identity, self.range
        if self.main is None or p_lower <= p_upper or not r.low <= identity <= r.high:
            return 0.0, 0.0
        margin = _margin(p_lower, p_upper)
        below = [row for row in reversed(self.found) if row.first <= identity]
        above = [row for row in self.found if row.second >= identity]
        kept = [list(takewhile(lambda row: row.deviations < margin, rows)) for rows in (below, above)]
        if not all(kept):  # the identity itself is in a cell that is lost
            return 0.0, 0.0
        low = min(identity, max(r.low, kept[0][-1].first))
        high = max(identity, min(r.high, kept[1][-1].second))
        return self._from_identity(low) * _DOWN, self._from_identity(high) * _DOWN

    def _from_identity(self, value: float) -> float:
        """How far from the identity a value is, in the coordinate where attacks add up."""
        return abs(self.transform.coordinate(value) - self.transform.coordinate(self.transform.identity))

    def radius(self, p_lower: float, p_upper: float | None = None) -> float:
        """The certified distance from the identity to every side that the covered attacks have."""
        return self._least(*self.sides(p_lower, p_upper)) if self.main else 0.0

    def _least(self, left: float, right: float) -> float:
        """The lesser of two distances, of those sides of the identity to which attacks are covered."""
        identity, r = self.transform.identity, self.range
        return min([left] * (r.low < identity) + [right] * (r.high > identity), default=0.0)

    def interval(self, left: float, right: float) -> tuple[float, float] | None:
        if self.main is None:
            return None
        at, value = self.transform.coordinate(self.transform.identity), self.transform.value
        return max(self.range.low, value(at - left)), min(self.range.high, value(at + right))

    def ball(self, radius: float) -> Attack:
        """`ArgumentError` for one that reaches beyond the attacks covered."""
        ends = self.interval(radius, radius)
        if ends is None:
            raise ArgumentError("radii: a grid of attacks has none; name an `attack`, with the surrogate's own range")
        most = self._least(self._from_identity(self.range.low), self._from_identity(self.range.high))
        require(radius <= most, f"radii: expected at most {most:g}, as far as {self.attack} goes, got {radius:g}")
        return Attack(((self.transform.name, Range(*ends)),))


def _margin(p_lower: float, p_upper: float) -> float:
    """How many deviations the class can be moved by and stay ahead, rounded down."""
    return float(ndtri(p_lower) - ndtri(p_upper)) / 2 * _DOWN
