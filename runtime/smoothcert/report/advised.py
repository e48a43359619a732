"""Advice as tables and lines: what each scale would certify, which one to take, and where the model is weak."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..bounds.forecast import NOTHING, Forecast, Planned
from ..runs.advice import Advice, Climbed, Rung
from ..runs.ladder import option_of, part_of
from .answers import Answers
from .table import interval_text
from .terminal import counted, duration

_MOST = 0.8  # share of base accuracy: certified at a radius, the scale is worth it; below it, smoothed, a part is weak
_ALIKE = 0.02  # shares that differ by less are the same, and the smaller scale is taken
_POOR = 0.5  # base accuracy below which the model itself is what is wrong


@dataclass(frozen=True, eq=False)
class Outlook:
    """What a run at one scale would certify: at radius 0, which is smoothed accuracy, and at each of the radii."""

    rung: Rung
    at: dict[float, Forecast]

    @property
    def option(self) -> str:
        """`noise=0.5`, as --smooth takes it."""
        return option_of(self.rung.smoothing)

    @property
    def smoothed(self) -> Forecast:
        return self.at[0.0]


@dataclass(frozen=True, eq=False)
class PartAdvice:
    """The outlooks of one part, scales ascending. `base`: the accuracy of the base classifier."""

    name: str
    radii: tuple[float, ...]
    outlooks: tuple[Outlook, ...]
    base: Forecast

    @staticmethod
    def of(climbed: Climbed, run: Planned, base: Forecast) -> PartAdvice:
        radii = climbed.ladder.radii
        outlooks = (Outlook(rung, {r: rung.forecast(r, run) for r in (0.0, *radii)}) for rung in climbed.rungs)
        return PartAdvice(climbed.ladder.name, radii, tuple(outlooks), base)

    def best(self, radius: float) -> Outlook:
        """The smallest of the scales that certify most there."""
        most = max(outlook.at[radius].middle for outlook in self.outlooks)
        return next(outlook for outlook in self.outlooks if outlook.at[radius].middle >= most - _ALIKE)

    @property
    def taken(self) -> tuple[Outlook, float]:
        """The scale to take, and for which radius: the largest that leaves most of base accuracy, else the smallest.

        Both by the middles of their intervals, which few inputs lower alike.
        """
        reached = [r for r in self.radii if self.best(r).at[r].middle >= _MOST * self.base.middle]
        radius = reached[-1] if reached else self.radii[0]
        return self.best(radius), radius

    @property
    def weak(self) -> Outlook | None:
        """The middle scale, where the answers under it are clearly worse than those without it; else None."""
        middle = self.outlooks[len(self.outlooks) // 2]
        return middle if middle.smoothed.high < _MOST * self.base.expected else None


def parts_of(advice: Advice) -> tuple[PartAdvice, ...]:
    """The advice on each part."""
    return tuple(PartAdvice.of(climbed, advice.run, advice.base_accuracy) for climbed in advice.climbed)


# --- Tables and lines -------------------------------------------------------------------------------------------------


def heading(advice: Advice, machine: str) -> Iterator[str]:
    """What was tried, and what the figures mean."""
    run, scales = advice.run, sum(len(climbed.rungs) for climbed in advice.climbed)
    yield (
        f"advice: {counted(advice.inputs, 'input')}, {advice.votes} votes each at {counted(scales, 'scale')} of "
        f"{counted(len(advice.climbed), 'part')}: {advice.samples:,} samples on {machine}: {duration(advice.seconds)}"
    )
    if advice.left_out:
        yield f"left out, for this model is slow: {', '.join(advice.left_out)}; name them by --smooth, or give --limit"
    others = "other inputs" if advice.left else "inputs like these"
    yield (
        f"figures: certified accuracy, in %, of certify with n = {run.n:,}, alpha = {run.alpha:g} on {run.fresh:,} "
        f"{others}: expected, and from-to with 95 % confidence, each figure by itself; * marks the scale for a radius, "
        "- is out of reach"
    )
    if not advice.labelled:
        yield "no labels: a figure is the share certified with the model's own answer"
    else:
        right = sum(a is not None and b in (None, a) for a, b in zip(advice.base, advice.labels, strict=True))
        yield f"base accuracy {100 * right / advice.inputs:.1f}% of the {advice.inputs}: {cell(advice.base_accuracy)}"


def cell(forecast: Forecast) -> str:
    """`92 80-99`: rounded to the nearest, the ends outwards; `-` for what cannot be certified at all."""
    if forecast == NOTHING:
        return "-"
    low, high = math.floor(100 * forecast.low + 1e-9), math.ceil(100 * forecast.high - 1e-9)
    return f"{min(max(round(100 * forecast.expected), low), high)} {low}-{high}"


def part_table(part: PartAdvice) -> Any:
    """Rows are radii, from 0, which is smoothed accuracy; columns are scales."""
    from rich.table import Table

    main = part_of(part.outlooks[0].rung.smoothing)
    rows = Table(title=f"{part.name}: {main.help}; radius: {main.unit}", title_justify="left")
    for head in ("radius", *(f"{part_of(outlook.rung.smoothing).scale:g}" for outlook in part.outlooks)):
        rows.add_column(head, justify="right")
    for r in (0.0, *part.radii):
        shown = ((outlook, outlook.at[r]) for outlook in part.outlooks)
        best = part.best(r) if r else None
        cells = [cell(f) + "*" * (outlook is best and f != NOTHING) for outlook, f in shown]
        rows.add_row(radius_text(part, r), *cells)
    return rows


def radius_text(part: PartAdvice, radius: float) -> str:
    """A radius, or the interval of values that it stands for."""
    interval = part.outlooks[0].rung.smoothing.interval(radius, radius)
    return f"{radius:g}" if interval is None or not radius else interval_text(*interval)


def part_line(part: PartAdvice, advice: Advice) -> str:
    """The scale to take, and what a run with it costs."""
    outlook, radius = part.taken
    run, rate = advice.run, outlook.rung.rate
    each = run.n0 + run.n
    return (
        f"take {outlook.option}: {cell(outlook.at[radius])} at {radius_text(part, radius)}; {each:,} samples an input, "
        f"{each * run.fresh:,} in all, about {duration(each * run.fresh / rate)} at {rate:,.0f} samples/s"
    )


def weak_points(advice: Advice, parts: Sequence[PartAdvice]) -> Iterator[str]:
    """What is missing: a better model as it is, a model or a denoiser for noise, training for another part, nothing."""
    base, weak = advice.base_accuracy, [(part.name, part.weak) for part in parts if part.weak]
    line = Answers(advice.labels, advice.base, ()).warning if advice.labelled else ""
    if line or (advice.labelled and base.high < _POOR):
        yield (
            f"weak point: the model as it is, {100 * base.expected:.1f}% right without any smoothing; "
            "smoothcert inspect MODEL DATA tries what its preprocessing may be"
        )
        return
    for name, outlook in weak:
        assert outlook is not None
        yield (
            f"weak point: {name}; at {outlook.option} {cell(outlook.smoothed)} % are right, without it "
            f"{100 * base.expected:.0f} %; {_remedy(name)}"
        )
    if not weak:
        yield "no weak point: at the middle scale of each part the answers are not clearly worse than without smoothing"


def _remedy(name: str) -> str:
    if name == "noise":
        return "put a denoiser ahead of the model (--denoiser), or train it with noise (docs/training.md)"
    return f"train the model with random {name} (docs/training.md)"


def advice_tsv(parts: Iterable[PartAdvice], advice: Advice) -> Iterator[str]:
    """A line for each figure; radius 0 is smoothed accuracy, shares are of `fresh` inputs."""
    yield "part\tscale\tradius\texpected\tlow\thigh\tinputs\tvotes\tn\talpha\tfresh"
    run = advice.run
    for part in parts:
        for outlook in part.outlooks:
            for radius, f in outlook.at.items():
                what = [part.name, f"{part_of(outlook.rung.smoothing).scale:g}", f"{radius:.6g}"]
                shares = [f"{share:.4f}" for share in (f.expected, f.low, f.high)]
                yield "\t".join(map(str, [*what, *shares, advice.inputs, advice.votes, run.n, run.alpha, run.fresh]))
