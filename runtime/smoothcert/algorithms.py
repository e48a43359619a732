"""The algorithms, each on one screen: draw the evidence for one input, then decide from the evidence alone.

An algorithm is a value. `draw` is the expensive half and asks a `Sampler` for votes; `decide` is a pure function, so
that a ledger can be decided again by anyone. theory.md section 8; Cohen, Rosenfeld, Kolter 2019, section 3.2 and
appendix C.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from .certificate import ABSTAIN, Certificate
from .confidence import (
    BOUNDS,
    Bound,
    SequentialTest,
    binomial_p_value,
    geometric_looks,
    margin,
    require_alpha,
)
from .errors import require
from .evidence import Counts, Evidence, Look, runner_up, top
from .sampling import ESTIMATION, SELECTION, Sampler
from .smoothing import Smoothing

EFFICIENCY = 0.95  # of the radius that n_max samples would give: what radius mode settles for
PILOT = 1000


class Algorithm(Protocol):
    """How votes are drawn and what is concluded from them."""

    @property
    def recipe(self) -> dict[str, Any]:
        """The algorithm and its numbers as plain values."""
        ...

    def draw(self, sampler: Sampler) -> Evidence:
        """Sample."""
        ...

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """Conclude; the same certificate from the same evidence, always."""
        ...

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """Whether `draw` could have left this evidence: as many votes, at the looks it takes."""
        ...

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """Votes drawn for an input: where all agree, and at most."""
        ...

    def reachable(self, smoothing: Smoothing) -> float:
        """The largest radius that this many samples can certify, all votes agreeing; 0: it can only abstain."""
        ...


@dataclass(frozen=True)
class Fixed:
    """CERTIFY of Cohen et al.: n0 votes choose the class, n fresh votes bound its probability, looked at once."""

    n0: int = 100
    n: int = 100_000
    alpha: float = 0.001
    bound: Bound = "one-sided"

    def __post_init__(self) -> None:
        _require_numbers(self)

    @property
    def recipe(self) -> dict[str, Any]:
        """Mode, sample sizes, failure probability, bound."""
        return {"mode": "fixed", **asdict(self)}

    def draw(self, sampler: Sampler) -> Evidence:
        """n0 votes for selection, n for estimation."""
        selection = sampler.counts(SELECTION, 0, self.n0)
        estimation = sampler.counts(ESTIMATION, 0, self.n)
        return sampler.evidence("fixed", selection, estimation)

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The selected class with its radius, or abstain where its probability cannot be told from the others'."""
        prediction = top(evidence.selection)
        n = sum(evidence.estimation.values())
        votes = evidence.estimation.get(prediction, 0)
        p_lower, p_upper = _margin(evidence, prediction, n, self.alpha, self.bound)
        radius = smoothing.radius(p_lower, p_upper)
        reason = "" if radius > 0 else f"no majority: class {prediction} got {votes} of {n} votes"
        return _certificate(self, smoothing, evidence, prediction, radius, p_lower, p_upper, reason)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """n0 and n votes."""
        return _totals(evidence) == (self.n0, self.n) and not evidence.looks

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """n0 + n, always."""
        return self.n0 + self.n, self.n0 + self.n

    def reachable(self, smoothing: Smoothing) -> float:
        """Radius when all n votes agree."""
        return smoothing.radius(*margin(self.n, 0, self.n, self.alpha, self.bound))


@dataclass(frozen=True)
class Radius:
    """Two stages: n0 pilot votes choose the class and how many of at most n fresh votes are worth drawing.

    The second stage is the smallest sample expected to reach 95 % of the radius that n votes would give; it alone
    enters the bound, which is looked at once. Abstains after the pilot where n votes would not be expected to certify
    anything.
    """

    n0: int = PILOT
    n: int = 100_000
    alpha: float = 0.001
    bound: Bound = "one-sided"

    def __post_init__(self) -> None:
        _require_numbers(self)

    @property
    def recipe(self) -> dict[str, Any]:
        """Mode, sample sizes, failure probability, bound."""
        return {"mode": "radius", **asdict(self)}

    def draw(self, sampler: Sampler) -> Evidence:
        """n0 pilot votes, then as many as they call for."""
        pilot = sampler.counts(SELECTION, 0, self.n0)
        n = self.second_stage(pilot, sampler.smoothing)
        estimation = sampler.counts(ESTIMATION, 0, n) if n else Counter[int]()
        return sampler.evidence("radius", pilot, estimation)

    def second_stage(self, pilot: Counts, smoothing: Smoothing) -> int:
        """Votes to draw after the pilot: 0 where all n would be expected to end in abstention."""
        prediction = top(pilot)
        shares = pilot[prediction] / self.n0, runner_up(pilot, prediction) / self.n0

        def expected(n: int) -> float:
            k, other = (int(share * n) for share in shares)
            return smoothing.radius(*margin(k, other, n, self.alpha, self.bound))

        goal = EFFICIENCY * expected(self.n)
        if goal <= 0:
            return 0
        low, high = 0, self.n
        while high - low > max(1, low // 100):
            middle = (low + high) // 2
            low, high = (low, middle) if expected(middle) >= goal else (middle, high)
        return high

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """As `Fixed`, on the second stage."""
        if evidence.estimation:
            fixed = Fixed(self.n0, self.n, self.alpha, self.bound).decide(evidence, smoothing)
            return replace(fixed, protocol=self.recipe)
        prediction = top(evidence.selection)
        reason = f"futile: class {prediction} got {evidence.selection[prediction]} of {self.n0} pilot votes"
        return _certificate(self, smoothing, evidence, prediction, 0.0, 0.0, 1.0, reason)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """n0 votes, then what those call for."""
        pilot, n = _totals(evidence)
        return pilot == self.n0 and n == self.second_stage(evidence.selection, smoothing) and not evidence.looks

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """The pilot and the second stage."""
        return self.n0 + self.second_stage({0: self.n0}, smoothing), self.n0 + self.n

    def reachable(self, smoothing: Smoothing) -> float:
        """Radius when all n votes agree."""
        return smoothing.radius(*margin(self.n, 0, self.n, self.alpha, self.bound))


@dataclass(frozen=True)
class Target:
    """Is the radius at least r_1, r_2, ...? Sequential: stops as soon as the last is claimed or the next is futile.

    At most n votes; all are kept; the targets share one alpha. See `SequentialTest`.
    """

    radii: tuple[float, ...]
    n: int = 100_000
    alpha: float = 0.001

    def __post_init__(self) -> None:
        _require_numbers(self)
        ascending = all(a < b for a, b in zip(self.radii, self.radii[1:], strict=False))
        require(
            len(self.radii) > 0 and self.radii[0] > 0 and ascending,
            f"radii: expected ascending radii > 0, got {', '.join(f'{r:g}' for r in self.radii) or 'none'}",
        )

    @property
    def recipe(self) -> dict[str, Any]:
        """Mode, target radii, sample size, failure probability."""
        return {"mode": "target", **asdict(self), "radii": list(self.radii)}

    def test(self, smoothing: Smoothing, slack: float = 0.0) -> SequentialTest:
        """The sequential test of the targets' p_star, those left out that round to 1."""
        p0s = (smoothing.p_star({"noise": r}) + slack for r in self.radii)
        return SequentialTest(tuple(p for p in p0s if p < 1), self.alpha, geometric_looks(64, self.n))

    def draw(self, sampler: Sampler) -> Evidence:
        """Votes, look by look, until the test ends."""
        test = self.test(sampler.smoothing, sampler.slack)
        votes: Counter[int] = Counter()
        looks: list[Look] = []
        claimed, label = 0, ABSTAIN
        for n in test.looks:
            votes.update(sampler.counts(ESTIMATION, sum(votes.values()), n))
            label = label if claimed else top(votes)
            looks.append(Look(n, label, votes[label]))
            claimed = test.claims(n, votes[label], claimed)
            if claimed == len(test.p0s) or test.futile(n, votes[label], claimed):
                break
        return replace(sampler.evidence("target", {}, votes), looks=tuple(looks))

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The largest target claimed; the looks are replayed, each claim at its own boundary."""
        test = self.test(smoothing, evidence.slack)
        claimed = 0
        for look in evidence.looks:
            claimed = test.claims(look.n, look.count, claimed)
        last = evidence.looks[-1]
        if claimed:
            p_lower = test.p0s[claimed - 1] - evidence.slack
            return _certificate(
                self, smoothing, evidence, last.label, self.radii[claimed - 1], p_lower, 1 - p_lower, ""
            )
        why = "target missed" if last.n == self.n else "futile"
        reason = f"{why}: class {last.label} got {last.count} of {last.n} votes, radius {self.radii[0]:g} not shown"
        return _certificate(self, smoothing, evidence, last.label, 0.0, 0.0, 1.0, reason)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """Looks at the first sizes of the schedule, votes that only grow, one class from the first claim on."""
        test = self.test(smoothing, evidence.slack)
        looks = evidence.looks
        if not looks or tuple(look.n for look in looks) != test.looks[: len(looks)]:
            return False
        claimed, last = 0, Look(0, ABSTAIN, 0)
        for look in looks:
            if claimed and look.label != last.label:
                return False
            if look.count > look.n or (
                look.label == last.label and not 0 <= look.count - last.count <= look.n - last.n
            ):
                return False
            claimed, last = test.claims(look.n, look.count, claimed), look
        return _totals(evidence) == (0, last.n) and evidence.estimation.get(last.label, 0) == last.count

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """The first look that unanimous votes end, and n."""
        test = self.test(smoothing)
        done = (n for n in test.looks if test.claims(n, n) == len(test.p0s))
        return next(done, self.n), self.n

    def reachable(self, smoothing: Smoothing) -> float:
        """The largest target that unanimous votes would claim."""
        if smoothing.p_star({"noise": self.radii[0]}) == 1:
            return 0.0
        claims = self.test(smoothing).claims(self.n, self.n)
        return self.radii[claims - 1] if claims else 0.0


@dataclass(frozen=True)
class Predict:
    """PREDICT of Cohen et al.: the favourite of n votes, unless it could be a tie (Hung and Fithian 2019)."""

    n: int = 1000
    alpha: float = 0.001

    def __post_init__(self) -> None:
        _require_numbers(self)

    @property
    def recipe(self) -> dict[str, Any]:
        """Mode, sample size, failure probability."""
        return {"mode": "predict", **asdict(self)}

    def draw(self, sampler: Sampler) -> Evidence:
        """n votes."""
        return sampler.evidence("predict", {}, sampler.counts(ESTIMATION, 0, self.n))

    def decide(self, evidence: Evidence, smoothing: Smoothing) -> Certificate:
        """The favourite, with probability 1 - alpha the smoothed classifier's own answer; or abstain."""
        prediction = top(evidence.estimation)
        votes, other = evidence.estimation[prediction], runner_up(evidence.estimation, prediction)
        tie = binomial_p_value(votes, votes + other) > self.alpha
        reason = f"no majority: the top two classes got {votes} and {other} of {self.n} votes" if tie else ""
        certificate = _certificate(self, smoothing, evidence, prediction, 0.0, 0.0, 1.0, reason)
        return certificate if tie else replace(certificate, prediction=prediction)

    def consistent(self, evidence: Evidence, smoothing: Smoothing) -> bool:
        """n votes."""
        return _totals(evidence) == (0, self.n) and not evidence.looks

    def samples(self, smoothing: Smoothing) -> tuple[int, int]:
        """n, always."""
        return self.n, self.n

    def reachable(self, smoothing: Smoothing) -> float:
        """Infinite where unanimous votes are an answer: a prediction has no radius."""
        return float("inf") if binomial_p_value(self.n, self.n) <= self.alpha else 0.0


def hopeless(algorithm: Algorithm) -> str:
    """Why an algorithm that reaches no radius at all cannot be run."""
    numbers = ", ".join(f"{k} = {v}" for k, v in algorithm.recipe.items() if k in ("n", "alpha", "radii"))
    return f"{numbers}: this run could only abstain, even with all votes agreeing; raise n or alpha, or lower the radii"


def _require_numbers(protocol: Fixed | Radius | Target | Predict) -> None:
    require_alpha(protocol.alpha)
    require(protocol.n > 0, f"n: expected at least 1 sample, got {protocol.n}")
    require(protocol.n < 2**31, f"n: expected fewer than 2**31 samples, got {protocol.n}")
    if isinstance(protocol, Fixed | Radius):
        require(0 < protocol.n0 < 2**31, f"n0: expected at least 1 sample, got {protocol.n0}")
        require(protocol.bound in BOUNDS, f"bound: expected one of {', '.join(BOUNDS)}, got {protocol.bound!r}")


def _totals(evidence: Evidence) -> tuple[int, int]:
    return sum(evidence.selection.values()), sum(evidence.estimation.values())


def _margin(evidence: Evidence, label: int, n: int, alpha: float, bound: Bound) -> tuple[float, float]:
    """Bounds on the exact law's probabilities: those of the law drawn from, less what the two may differ by."""
    votes = evidence.estimation.get(label, 0)
    p_lower, p_upper = margin(votes, runner_up(evidence.estimation, label), n, alpha, bound)
    return max(0.0, p_lower - evidence.slack), min(1.0, p_upper + evidence.slack)


def _certificate(
    algorithm: Algorithm,
    smoothing: Smoothing,
    evidence: Evidence,
    prediction: int,
    radius: float,
    p_lower: float,
    p_upper: float,
    reason: str,
) -> Certificate:
    recipe = algorithm.recipe
    return Certificate(
        prediction=ABSTAIN if reason else prediction,
        radius=radius,
        p_lower=p_lower,
        p_upper=p_upper,
        alpha=recipe["alpha"],
        smoothing=smoothing.recipe,
        protocol=recipe,
        evidence=evidence,
        reason=reason,
    )
