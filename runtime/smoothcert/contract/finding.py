"""One thing that must hold of a transformation, and what came of trying it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..errors import ArgumentError, SmoothcertError, first_line

Trial = tuple[str, Callable[[], float]]  # where, and how far off it is there; 0 where it holds exactly


@dataclass(frozen=True)
class Finding:
    """What came of one check."""

    what: str  # must hold, in words
    cases: int  # that were tried
    passed: bool | None  # None: numbers to read, of which none is too large
    note: str = ""  # how far off the worst of them is

    def __str__(self) -> str:
        state = {True: "passed", False: "FAILED", None: "measured"}[self.passed]
        cases = f"{self.cases} case{'s' * (self.cases != 1)}"
        return f"{state:8} {self.what}: {cases}" + (f", {self.note}" if self.note else "")


@dataclass(frozen=True)
class Check:
    """What must hold, and the trials of it. `allowed`: how far off a case may be; None where nothing is judged."""

    what: str
    trials: Sequence[Trial] = field(repr=False)
    allowed: float | None = 0.0

    def finding(self) -> Finding:
        """Try every case: smoothcert's own errors are refusals, which do not count; all others are failures."""
        worst, where, tried, refusal = -1.0, "", 0, ""
        for here, measure in self.trials:
            try:
                off = float(measure())
            except (SmoothcertError, ArgumentError) as error:
                refusal = refusal or f"{here}: {error}"
                continue
            except Exception as error:
                return Finding(self.what, tried + 1, False, f"{here}: {type(error).__name__}: {first_line(error)}")
            tried += 1
            if not off <= worst:  # NaN is the worst there is
                worst, where = off, here
        if not tried:
            return Finding(self.what, 0, False, f"every case was refused; {refusal}" if refusal else "no case to try")
        if self.allowed is None:
            return Finding(self.what, tried, None, f"at most {worst:.3g} ({where})")
        note = f"off by {worst:.3g}, allowed {self.allowed:.3g} ({where})" if worst else ""
        return Finding(self.what, tried, worst <= self.allowed, note)
