"""Single attacks out of a certified set: its ends first, then an even grid, then random ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inputs.levels import levels_of
from ..smoothing import Attack, Grid, Part, Range, Transform

Member = Mapping[str, Any]  # by parameter: a number, (down, right) in pixels, or a `Delta`
Others = Sequence[tuple[int, NDArray[Any]]]
_GOLDEN = math.pi * (3 - math.sqrt(5))  # the angle whose multiples fill a disc evenly
_NEAREST = 4  # other inputs at full length among the ends
_INSIDE = 1 - 1e-12


@dataclass(frozen=True, eq=False)
class Delta:
    """A perturbation of the model's pixels, in their units; `norm` is in [0,1] intensities where they are levels."""

    label: str  # how the direction was chosen
    shift: NDArray[Any]
    norm: float

    def __str__(self) -> str:
        return f"{self.norm:.6g} ({self.label})"


@dataclass(frozen=True)
class _Axis:
    """One parameter's values: ends, an even grid, and random draws."""

    ends: Sequence[Any]
    even: Sequence[Any]
    draw: Callable[[], Any]


def members(
    attack: Attack,
    transforms: Mapping[str, Transform],
    parts: Mapping[str, Part],
    m: int,
    *,
    seed: Sequence[int],
    pixels: NDArray[Any],
    others: Others = (),
) -> list[Member]:
    """At most m distinct attacks of the set, all of it where it is finite and small; an empty set has the identity.

    Ends and corners come first, up to half of m, the grid takes half of the rest. `pixels`: what the model gets of the
    input, levels if uint8. `others`: (number, pixels) of other inputs, towards which noise is tried, the best first.
    """
    rng = np.random.default_rng(seed)
    share = math.ceil((m / 2) ** (1 / max(1, len(attack.ranges))))

    def axis(name: str, r: Range) -> _Axis:
        transform = transforms[name]
        if transform.kind == "norm" and not transform.is_planar():
            return _deltas(transform.grid(r), share, rng, pixels, others)
        if r.points:
            return _listed(transform.grid(r), share, rng)
        if transform.is_planar():
            return _shifts(r, share, rng, name not in parts or parts[name].composes)
        return _line(transform, r, share, rng)

    axes = {name: axis(name, r) for name, r in attack}

    def product(sides: Iterable[Sequence[Any]]) -> list[Member]:
        found: list[Member] = [dict(zip(axes, values, strict=True)) for values in itertools.product(*sides)]
        return found if len(axes) == 1 else [found[i] for i in rng.permutation(len(found))]

    draws = ({name: a.draw() for name, a in axes.items()} for _ in range(50 * m))
    return _first(m, product(a.ends for a in axes.values()), product(a.even for a in axes.values()), draws)


def _first(m: int, ends: Sequence[Member], even: Sequence[Member], draws: Iterable[Member]) -> list[Member]:
    found: dict[tuple[Any, ...], Member] = {}

    def take(source: Iterable[Member], most: int) -> None:
        for member in source:
            if len(found) >= most:
                return
            found.setdefault(tuple(str(v) if isinstance(v, Delta) else v for v in member.values()), member)

    take(ends, min(m, max(2, m // 2)))
    take(even, len(found) + math.ceil((m - len(found)) / 2))
    take(draws, m)
    take(itertools.chain(ends, even), m)
    return list(found.values())


def members_of(names: Sequence[str], pool: Sequence[tuple[Any, ...]], m: int, seed: Sequence[int]) -> list[Member]:
    """m at most of a finite set; its ends are those with every parameter at the least or greatest value."""
    rng = np.random.default_rng(seed)
    sizes = np.array([[_size(v) for v in values] for values in pool])
    extreme = ((sizes == np.nanmin(sizes, 0)) | (sizes == np.nanmax(sizes, 0))).all(1)
    ends = rng.permutation(np.flatnonzero(extreme))
    even = np.linspace(0, len(pool) - 1, min(m, len(pool))).round().astype(int)

    def named(rows: Iterable[int]) -> list[Member]:
        return [dict(zip(names, pool[i], strict=True)) for i in rows]

    return _first(m, named(ends[:m]), named(rng.permutation(even)), named(rng.permutation(len(pool))[: 3 * m]))


def _size(value: Any) -> float:
    return math.nan if value is None else math.hypot(*value) if isinstance(value, tuple) else float(value)


def _listed(grid: Grid, share: int, rng: np.random.Generator) -> _Axis:
    """The points of a grid: the first and the last of numbers, the longest of translations, then all over it."""
    points, sizes = grid.points, [math.hypot(*p) if isinstance(p, tuple) else 0.0 for p in grid.points]
    farthest = [p for p, size in zip(points, sizes, strict=True) if size >= max(sizes) * _INSIDE]
    places = np.linspace(0, len(points) - 1, min(share, len(points))).round().astype(int)
    ends = farthest if grid.is_planar else (points[0], points[-1])
    return _Axis(ends, [points[i] for i in places], lambda: points[int(rng.integers(len(points)))])


def _line(transform: Transform, r: Range, share: int, rng: np.random.Generator) -> _Axis:
    low, high = transform.coordinate(r.low), transform.coordinate(r.high)

    def value(at: float) -> float:
        return min(max(transform.value(at), r.low), r.high)

    even = [value(at) for at in np.linspace(low, high, share + 2)[1:-1].tolist()]
    return _Axis((r.low, r.high), even, lambda: value(rng.uniform(low, high)))


def _length(grid: Grid, rng: np.random.Generator) -> float:
    r = grid.range
    if r.points:
        return float(rng.choice(grid.points))
    return r.high if rng.random() < 0.5 else r.high * rng.random()


def _shifts(r: Range, share: int, rng: np.random.Generator, whole: bool) -> _Axis:
    def shift(angle: float, length: float) -> tuple[float, float]:
        down, right = length * math.sin(angle), length * math.cos(angle)
        if not whole:
            return down * _INSIDE, right * _INSIDE
        found = float(math.trunc(down)), float(math.trunc(right))
        return found if math.hypot(*found) <= length else (0.0, 0.0)

    ends = [shift(i * math.pi / 4, r.high) for i in (0, 2, 4, 6, 1, 3, 5, 7)]
    even = [shift(i * _GOLDEN, r.high * math.sqrt((i + 0.5) / share)) for i in range(share)]
    return _Axis(ends, even, lambda: shift(rng.uniform(0, 2 * math.pi), _length(Grid("", r), rng)))


def _deltas(grid: Grid, share: int, rng: np.random.Generator, pixels: NDArray[Any], others: Others) -> _Axis:
    """Noise within a ball: towards other inputs, constant, random signs, single pixels, Gaussian."""
    numbers, r = itertools.count(1), grid.range

    def delta(kind: str, length: float) -> Delta:
        word, _, place = kind.partition(" ")
        match word:
            case "towards":
                number, other = others[int(place)]
                apart = other.astype(float) - pixels
                unit = levels.unit if (levels := levels_of(pixels)) else 1.0
                nearer = min(length, float(np.linalg.norm(apart)) / unit)
                return delta_towards(apart, nearer, pixels, f"towards {number}")
            case "brighter" | "darker":
                return delta_towards(np.full(pixels.shape, 1.0 if word == "brighter" else -1.0), length, pixels, word)
            case "pixel":
                at = int(rng.integers(pixels.size))
                one = np.eye(1, pixels.size, at).reshape(pixels.shape) * rng.choice([-1.0, 1.0])
                return delta_towards(inwards(one, pixels), length, pixels, f"pixel {at}")
            case "signs":
                direction = rng.choice([-1.0, 1.0], pixels.shape)
            case _:
                direction = rng.standard_normal(pixels.shape)
        return delta_towards(inwards(direction, pixels), length, pixels, f"{word} {next(numbers)}")

    def draw() -> Delta:
        return delta(str(rng.choice(kinds)), _length(grid, rng))

    near = [f"towards {place}" for place in range(len(others))]
    kinds = [*near[: 2 * _NEAREST], "brighter", "darker", "signs", "pixel", "gaussian"]
    ends = [delta(kind, r.high) for kind in [*near[:_NEAREST], "brighter", "darker", "signs", "pixel", "gaussian"]]
    lengths = grid.points if r.points else [r.high * (i + 1) / share for i in range(share)]
    around: Iterator[str] = itertools.cycle([*near[_NEAREST:], "signs", "gaussian"])
    return _Axis(ends, [delta(next(around), lengths[i % len(lengths)]) for i in range(share)], draw)


def inwards(direction: NDArray[np.float64], pixels: NDArray[Any]) -> NDArray[np.float64]:
    """The direction with its signs turned where it would leave 0..255 at once: nothing of the length is lost there."""
    levels = levels_of(pixels)
    if levels is None:
        return direction
    low, high = pixels == levels.lowest, pixels == levels.highest
    return np.where(low, abs(direction), np.where(high, -abs(direction), direction))


def delta_towards(direction: NDArray[np.float64], norm: float, pixels: NDArray[Any], label: str) -> Delta:
    """The perturbation of at most that norm that goes farthest in the direction, within 0..255 for levels."""
    size = float(np.linalg.norm(direction))
    levels = levels_of(pixels)
    if levels is None:
        shift = (direction * (norm / size if size else 0.0)).astype(np.float32)
        moved = (pixels + shift).astype(float) - pixels  # as float32 addition leaves it
        while (found := float(np.linalg.norm(moved))) > norm:
            shift = shift * np.float32(norm / found * (1 - 1e-6))
            moved = (pixels + shift).astype(float) - pixels
        return Delta(label, shift, found)
    length = levels.unit * norm * _INSIDE
    exact = direction.ravel() * (length / size if size else 0.0)
    whole = np.trunc(exact)
    order = np.argsort(-abs(exact - whole), kind="stable")  # a level more where most was cut off, as the norm allows
    cost = np.cumsum(2 * abs(whole[order]) + 1)
    more = order[: np.searchsorted(cost, length**2 - whole @ whole, side="right")]
    more = more[exact[more] != 0]
    whole[more] += np.sign(exact[more])
    room = np.clip(pixels.ravel() + whole, levels.lowest, levels.highest) - pixels.ravel()
    return Delta(label, room.astype(levels.wide).reshape(pixels.shape), float(np.linalg.norm(room)) / levels.unit)
