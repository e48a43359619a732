"""Addressed noise: published vectors, the exact law, a statistical battery, and the same bits for every way to ask."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

from smoothcert.draws import _CHUNK, MAX_STD, IntegerNormal, Stream, float_normal, integer_normal, philox4x32

KEY = 0x0123456789ABCDEF
P_MIN = 1e-4  # keys are fixed, so a test that passes passes always; one p-value in 10,000 would not have
STDS = (0.3, 1.0, 30.6, 127.5, 255.0, 1600.0)

Fill = Callable[..., NDArray[Any]]


def draw_float(rows: int, size: int, *, first: int = 0, key: int = KEY, index: int = 0, stage: int = 0) -> NDArray[Any]:
    """Standard normals of samples first..first + rows - 1."""
    out = np.full((rows, size), np.nan, np.float32)
    float_normal(Stream(key, index, stage), first, out)
    return out


def draw_integer(
    rows: int, size: int, *, std: float = 127.5, first: int = 0, key: int = KEY, index: int = 0, stage: int = 0
) -> NDArray[Any]:
    """Integer normals of samples first..first + rows - 1."""
    out = np.full((rows, size), np.iinfo(np.int16).min, np.int16)
    integer_normal(std).fill(Stream(key, index, stage), first, out)
    return out


FILLS = {"float": draw_float, "integer": draw_integer}


# --- Philox -----------------------------------------------------------------------------------------------------------

VECTORS = {  # Random123, kat_vectors: philox4x32 10; counter, key, random bits
    "zeros": ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    "pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
}


def philox_slow(counter: tuple[int, int, int, int], key: int) -> tuple[int, int, int, int]:
    """Philox4x32-10 in Python integers, written from the paper: the oracle of the array code."""
    x0, x1, x2, x3 = counter
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        a, b = 0xD2511F53 * x0, 0xCD9E8D57 * x2
        x0, x1, x2, x3 = (b >> 32) ^ x1 ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ x3 ^ k1, a & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return x0, x1, x2, x3


@pytest.mark.parametrize(("counter", "key", "bits"), VECTORS.values(), ids=VECTORS)
def test_philox_gives_the_published_vectors(
    counter: tuple[int, ...], key: tuple[int, int], bits: tuple[int, ...]
) -> None:
    words = philox4x32(tuple(np.array([c], np.uint64) for c in counter), key[0] | key[1] << 32)  # type: ignore[arg-type]
    assert tuple(int(w[0]) & 0xFFFFFFFF for w in words) == bits
    assert philox_slow(counter, key[0] | key[1] << 32) == bits  # type: ignore[arg-type]


def test_philox_broadcasts_and_leaves_its_counter_alone() -> None:
    rng = np.random.default_rng(1)
    block, sample = rng.integers(0, 2**32, 5, np.uint64), rng.integers(0, 2**32, (3, 1), np.uint64)
    before = block.copy(), sample.copy()
    words = philox4x32((block, sample, np.uint64(7), np.uint64(2**32 - 1)), KEY)  # type: ignore[arg-type]
    assert all(w.shape == (3, 5) for w in words)
    assert all((a == b).all() for a, b in zip(before, (block, sample), strict=True))
    for i, j in np.ndindex(3, 5):
        slow = philox_slow((int(block[j]), int(sample[i, 0]), 7, 2**32 - 1), KEY)
        assert tuple(int(w[i, j]) & 0xFFFFFFFF for w in words) == slow


@pytest.mark.parametrize(
    ("field", "value"),
    [("key", 2**64), ("key", -1), ("index", 2**32), ("index", -1), ("stage", 2**31), ("stage", -1)],
)
def test_stream_refuses_addresses_that_would_wrap(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field}: expected 0 <= {field}"):
        Stream(**({"key": 0, "index": 0, "stage": 0} | {field: value}))


# --- The integer law --------------------------------------------------------------------------------------------------


@functools.cache
def exact_cells(std: float, reach: int) -> tuple[list[Any], Any]:
    """(P(round(std N) = k) for k = 0..reach, P(|round(std N)| > reach)) by mpmath, 50 digits: the oracle."""
    with mp.workdps(50):
        scale = mp.mpf(std) * mp.sqrt(2)
        tails = [mp.erfc((k - mp.mpf(0.5)) / scale) / 2 for k in range(1, reach + 2)]
        return [1 - 2 * tails[0], *(a - b for a, b in itertools.pairwise(tails))], 2 * tails[-1]


def masses(table: IntegerNormal) -> list[int]:
    """Mass of -reach..reach in units of 2^-64, by the thresholds."""
    edges = [0, *map(int, table.thresholds), 2**64]
    return [b - a for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("std", STDS)
def test_integer_thresholds_follow_the_exact_law(std: float) -> None:
    table = integer_normal(std)
    mass = masses(table)
    cells, beyond = exact_cells(std, table.farthest)
    assert len(mass) == 2 * table.farthest + 1
    assert min(mass) >= 0
    with mp.workdps(50):
        errors = (abs(mp.mpf(m) / 2**64 - cells[abs(i - table.farthest)]) for i, m in enumerate(mass))
        distance = (mp.fsum(errors) + beyond) / 2
        assert distance < table.total_variation
        assert table.total_variation < 1e-14  # so that 150,528 values cost less than 2e-9 of p_lower


def table_masses(table: IntegerNormal) -> list[int]:
    """Mass of -reach..reach by what `fill` does with 64 bits: table first, thresholds for the undecided."""
    mass = [0] * (2 * table.farthest + 1)
    decided = table.values >= -table.farthest
    for v, c in zip(*np.unique(table.values[decided], return_counts=True), strict=True):
        mass[int(v) + table.farthest] += int(c) << 48
    for u in np.flatnonzero(~decided):
        top = int(table.undecided[int(table.values[u]) + 32768])
        assert top == u
        low, high = top << 48, (top + 1) << 48
        inside = [int(t) for t in table.thresholds[(table.thresholds >= low) & (table.thresholds <= high - 1)]]
        k = int(np.searchsorted(table.thresholds, np.uint64(low), side="right"))
        edges = [low, *(t for t in inside if t > low), high]
        for a, b in itertools.pairwise(edges):
            k = int(np.searchsorted(table.thresholds, np.uint64(a), side="right"))
            mass[k] += b - a
    return mass


@pytest.mark.parametrize("std", STDS)
def test_integer_table_realises_its_thresholds_exactly(std: float) -> None:
    table = integer_normal(std)
    assert table_masses(table) == masses(table)
    codes = table.values[table.undecided.astype(int)]
    assert (codes < -table.farthest).all()
    assert (codes == np.arange(len(codes)) - 32768).all()
    decided = np.delete(table.values, table.undecided.astype(int))
    assert (np.abs(decided) <= table.farthest).all()
    assert (np.diff(decided) >= 0).all()


def test_a_wrong_threshold_is_seen() -> None:
    table = integer_normal(30.6)
    thresholds = table.thresholds.copy()
    thresholds[table.farthest] += np.uint64(2**18)  # 2^-46 of the mass moves
    moved = IntegerNormal(table.std, table.farthest, table.values, thresholds, table.undecided)
    cells, _ = exact_cells(table.std, table.farthest)
    errors = sum(abs(m / 2**64 - float(cells[abs(i - table.farthest)])) for i, m in enumerate(masses(moved)))
    assert errors / 2 > moved.total_variation


@pytest.mark.parametrize("std", [0.0, -1.0, MAX_STD * 1.001, float("nan"), float("inf")])
def test_integer_normal_refuses_what_int16_cannot_hold(std: float) -> None:
    with pytest.raises(ValueError, match="integer noise: expected 0 < std <= 1600 levels"):
        integer_normal(std)


def test_integer_normal_of_a_tiny_std_is_zero() -> None:
    """Every std > 0 is promised; the cell of 0 then holds all of the mass."""
    assert (draw_integer(4, 100, std=0.01) == 0).all()


# --- The battery (theory.md section 10) -------------------------------------------------------------------------------


def two_sided(z: float) -> float:
    return float(2 * special.ndtr(-abs(z)))


def moment_p_value(x: NDArray[Any], order: int, moment: Callable[[int], float]) -> float:
    """p-value of the sample's moment of this order against the law's."""
    spread = np.sqrt((moment(2 * order) - moment(order) ** 2) / x.size)
    return two_sided((np.mean(x**order) - moment(order)) / spread)


def chi_squared_p_value(x: NDArray[Any], edges: NDArray[Any], law: NDArray[Any]) -> float:
    """p-value of the counts between the edges (and beyond them) against the law's probabilities of those cells."""
    observed = np.bincount(np.searchsorted(edges, x.ravel()), minlength=len(law))
    keep = law * x.size >= 10
    observed = np.append(observed[keep], observed[~keep].sum())
    expected = np.append(law[keep], law[~keep].sum()) * x.size
    used = expected > 0
    assert observed[~used].sum() == 0
    statistic = float(((observed - expected)[used] ** 2 / expected[used]).sum())
    return float(special.gammaincc((used.sum() - 1) / 2, statistic / 2))


def correlation_p_value(a: NDArray[Any], b: NDArray[Any]) -> float:
    """p-value of the inner product of two standardized arrays that ought to be independent."""
    return two_sided(float((a * b).sum() / np.sqrt(a.size)))


def extreme_eigenvalues(x: NDArray[Any]) -> tuple[float, float]:
    """Distance of the least and the greatest eigenvalue of the covariance from the Marchenko-Pastur edges.

    In units of their Tracy-Widom spread (Johnstone 2001; Feldheim and Sodin 2010): in [-6, 6] but once in a million.
    """
    n, d = x.shape
    eigenvalues = np.linalg.eigvalsh(x.T @ x)
    unit_low = (np.sqrt(n) - np.sqrt(d)) * (1 / np.sqrt(d) - 1 / np.sqrt(n)) ** (1 / 3)
    unit_high = (np.sqrt(n) + np.sqrt(d)) * (1 / np.sqrt(d) + 1 / np.sqrt(n)) ** (1 / 3)
    low = ((np.sqrt(n) - np.sqrt(d)) ** 2 - eigenvalues[0]) / unit_low
    high = (eigenvalues[-1] - (np.sqrt(n) + np.sqrt(d)) ** 2) / unit_high
    return float(low), float(high)


def battery(
    x: NDArray[Any], edges: NDArray[Any], law: NDArray[Any], moment: Callable[[int], float]
) -> dict[str, float]:
    """p-value of every check of samples x (rows) of standardized values; yes-or-no checks give 0 or 1.

    `law`: probabilities of the cells that `edges` cut; `moment(k)`: E x^k of one value.
    """
    n, d = x.shape
    norms = (x * x).sum(axis=1)
    low, high = extreme_eigenvalues(x)
    norm_spread = np.sqrt((moment(4) - 1) * d)
    return {
        **{f"moment {k}": moment_p_value(x, k, moment) for k in (1, 2, 3, 4)},
        "chi-squared": chi_squared_p_value(x, edges, law),
        "norm mean": two_sided((norms.mean() - d) / norm_spread * np.sqrt(n)),
        "norm variance": two_sided((norms.var() / norm_spread**2 - 1) / np.sqrt((2 + 12 / d) / n)),
        "norm KS": float(stats.kstest(norms, stats.chi2(d).cdf).pvalue),
        "lag 1": correlation_p_value(x[:-1], x[1:]),
        "neighbours": correlation_p_value(x[:, :-1], x[:, 1:]),
        "repeated rows": float(len(np.unique(x, axis=0)) == n),
        "least eigenvalue": float(-6 < low < 6),
        "greatest eigenvalue": float(-6 < high < 6),
    }


def normal_moment(k: int) -> float:
    return float(special.factorial2(k - 1)) if k % 2 == 0 else 0.0


def float_battery(x: NDArray[Any]) -> dict[str, float]:
    """The battery against N(0, 1): 200 cells of equal probability, the outer ones cut further."""
    edges = np.sort([*special.ndtri(np.arange(1, 200) / 200), -4, -3.5, -3, 3, 3.5, 4])
    law = np.diff(special.ndtr([-np.inf, *edges, np.inf]))
    return battery(x.astype(float), edges, law, normal_moment)


def integer_battery(k: NDArray[Any], std: float) -> dict[str, float]:
    """The battery against the exact law of round(std N), a cell for each integer, in units of its own deviation."""
    reach = integer_normal(std).farthest
    half = [float(p) for p in exact_cells(std, reach)[0]]
    law, support = np.array([*half[:0:-1], *half]), np.arange(-reach, reach + 1)
    deviation = np.sqrt((law * support**2).sum())
    moment = functools.cache(lambda order: float((law * (support / deviation) ** order).sum()))
    return battery(k / deviation, (support[:-1] + 0.5) / deviation, law, moment)


ROWS, SIZE = 20_000, 64


@pytest.mark.parametrize("address", [{}, {"index": 7, "stage": 1}, {"key": 1}, {"first": 2**32 - ROWS}], ids=str)
def test_battery_float(address: dict[str, int]) -> None:
    results = float_battery(draw_float(ROWS, SIZE, **address))
    assert min(results.values()) > P_MIN, results


@pytest.mark.parametrize("std", [30.6, 127.5, 255.0, 1600.0])
def test_battery_integer(std: float) -> None:
    results = integer_battery(draw_integer(ROWS, SIZE, std=std), std)
    assert min(results.values()) > P_MIN, results


@pytest.mark.parametrize("std", [0.3, 1.0])
def test_battery_integer_of_few_levels(std: float) -> None:
    results = integer_battery(draw_integer(ROWS, SIZE, std=std), std)
    del results["norm KS"], results["repeated rows"]  # norms take few values here, and rows may agree by chance
    assert min(results.values()) > P_MIN, results


def test_battery_integer_of_undecided_draws_only() -> None:
    """Draws that the 48 further bits decide, on their own, against the law given that they are undecided."""
    std = 127.5
    table = integer_normal(std)
    values = draw_integer(ROWS, SIZE, std=std).ravel()
    bare = IntegerNormal(std, 32768, table.values, table.thresholds, table.undecided)  # refines nothing
    codes = np.empty((ROWS, SIZE), np.int16)
    bare.fill(Stream(KEY, 0, 0), 0, codes)
    refined = values[codes.ravel() < -table.farthest]
    assert len(refined) > 10_000
    mass = np.zeros(2 * table.farthest + 1)
    for u in table.undecided.tolist():
        inside = [t for t in map(int, table.thresholds) if u << 48 < t < (u + 1) << 48]
        edges = [u << 48, *inside, (u + 1) << 48]
        start = int(np.searchsorted(table.thresholds, np.uint64(edges[0]), side="right"))
        for k, (a, b) in enumerate(itertools.pairwise(edges)):
            mass[start + k] += (b - a) / 2**48 / len(table.undecided)
    edges = np.arange(-table.farthest, table.farthest) + 0.5
    assert chi_squared_p_value(refined, edges, mass) > P_MIN


def _repeat(x: NDArray[Any]) -> NDArray[Any]:
    x[ROWS // 2] = x[3]
    return x


def _follow(x: NDArray[Any]) -> NDArray[Any]:
    x[1:] = (x[1:] + 0.01 * x[:-1]) / np.sqrt(1 + 1e-4)
    return x


def _smear(x: NDArray[Any]) -> NDArray[Any]:
    x[:, 1:] = (x[:, 1:] + 0.01 * x[:, :-1]) / np.sqrt(1 + 1e-4)
    return x


def _same_column(x: NDArray[Any]) -> NDArray[Any]:
    x[:, 5] = x[:, 60]
    return x


def _common(x: NDArray[Any]) -> NDArray[Any]:
    common = np.random.default_rng(2).standard_normal((len(x), 1))
    return (x + 0.1 * common) / np.sqrt(1.01)


def _cube(x: NDArray[Any]) -> NDArray[Any]:
    return (x + 0.003 * (x**3 - 3 * x)) / np.sqrt(1 + 6 * 0.003**2)


DEFECTS = {  # defect: (what it does to good samples, the check that must see it)
    "shifted": (lambda x: x + 0.005, "moment 1"),
    "one part in 300 too wide": (lambda x: x * 1.0033, "moment 2"),
    "skewed": (lambda x: x + 0.003 * (x * x - 1), "moment 3"),
    "heavy tails": (_cube, "moment 4"),
    "clipped at 3": (lambda x: np.clip(x, -3, 3), "chi-squared"),
    "ten bits": (lambda x: special.ndtri((np.floor(special.ndtr(x) * 1024) + 0.5) / 1024), "chi-squared"),
    "rows of equal norm": (
        lambda x: x / np.sqrt((x * x).sum(axis=1, keepdims=True) / x.shape[1]),
        "norm variance",
    ),
    "rows of equal norm, by KS": (
        lambda x: x / np.sqrt((x * x).sum(axis=1, keepdims=True) / x.shape[1]),
        "norm KS",
    ),
    "samples that follow each other": (_follow, "lag 1"),
    "values that follow each other": (_smear, "neighbours"),
    "a row twice": (_repeat, "repeated rows"),
    "a column twice": (_same_column, "least eigenvalue"),
    "a common part": (_common, "greatest eigenvalue"),
}


@pytest.mark.parametrize(("spoil", "check"), DEFECTS.values(), ids=DEFECTS)
def test_battery_sees(spoil: Callable[[NDArray[Any]], NDArray[Any]], check: str) -> None:
    assert float_battery(spoil(draw_float(ROWS, SIZE).astype(float)))[check] <= P_MIN


def test_integer_battery_sees_a_std_off_by_half_a_percent() -> None:
    results = integer_battery(draw_integer(ROWS, SIZE, std=127.5 * 1.005), 127.5)
    assert results["moment 2"] < P_MIN
    assert results["norm mean"] < P_MIN


def test_integer_battery_sees_a_level_that_is_never_drawn() -> None:
    draws = draw_integer(ROWS, SIZE, std=30.6)
    draws[draws == 17] = 18
    assert integer_battery(draws, 30.6)["chi-squared"] < P_MIN


# --- Independence between addresses -----------------------------------------------------------------------------------


def independence_p_value(a: NDArray[Any], b: NDArray[Any]) -> float:
    """p-value of the greatest of three correlations: value by value, row with next row, position with next position."""
    a, b = ((x - x.mean()) / x.std() for x in (a.astype(float), b.astype(float)))
    return 3 * min(
        correlation_p_value(a, b),
        correlation_p_value(a[1:], b[:-1]),
        correlation_p_value(a[:, 1:], b[:, :-1]),
    )


OTHERS = {
    "stage": {"stage": 1},
    "stage, far": {"stage": 2**31 - 1},
    "index": {"index": 1},
    "index, far": {"index": 2**32 - 1},
    "key, low word": {"key": KEY + 1},
    "key, high word": {"key": KEY ^ 1 << 63},
    "samples": {"first": ROWS},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_other_addresses_are_independent(fill: Fill, other: dict[str, int]) -> None:
    a, b = fill(ROWS, SIZE), fill(ROWS, SIZE, **other)
    assert independence_p_value(a, b) > P_MIN
    assert (a == b).mean() < 0.01
    assert len(np.unique(np.concatenate([a, b]), axis=0)) == 2 * ROWS


def test_dependence_between_addresses_is_seen() -> None:
    a, b = draw_float(ROWS, SIZE).astype(float), draw_float(ROWS, SIZE, stage=1).astype(float)
    assert independence_p_value(a, b + 0.01 * a) < P_MIN
    assert independence_p_value(a, b + 0.01 * np.roll(a, -1, axis=0)) < P_MIN
    assert independence_p_value(a, b + 0.01 * np.roll(a, -1, axis=1)) < P_MIN


# --- Addressing -------------------------------------------------------------------------------------------------------

FLOAT_CHUNK, INTEGER_CHUNK = _CHUNK * 4, _CHUNK * 8  # values of one sample that fill a piece of the walk
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 16, 63, 784, 3072)
LARGE = (*(c + e for c in (FLOAT_CHUNK, INTEGER_CHUNK) for e in (-1, 0, 1, 8)), 150_528)


@pytest.mark.parametrize("size", SIZES + LARGE)
@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_any_split_gives_the_same_bits(fill: Fill, size: int) -> None:
    rows = 40 if size < 10_000 else 5
    whole = fill(rows, size, first=3)
    assert np.isfinite(whole).all()
    for step in (1, 2, 7, 32):
        parts = [fill(min(step, rows - r), size, first=3 + r) for r in range(0, rows, step)]
        assert (np.concatenate(parts) == whole).all()
    assert (fill(1, size, first=3 + rows - 1) == whole[-1]).all()


@pytest.mark.parametrize("size", [1, 7, 8])
@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_many_small_samples_cross_chunks_of_rows(fill: Fill, size: int) -> None:
    """A piece holds _CHUNK samples of one block each, or half as many of two."""
    rows = 2 * _CHUNK + 5
    whole = fill(rows, size)
    cuts = (0, _CHUNK - 1, _CHUNK + 1, rows)
    parts = [fill(b - a, size, first=a) for a, b in itertools.pairwise(cuts)]
    assert (np.concatenate(parts) == whole).all()


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_last_sample_and_addresses_of_32_bits(fill: Fill) -> None:
    top = {"index": 2**32 - 1, "stage": 2**31 - 1, "key": 2**64 - 1}
    pair = fill(2, 100, first=2**32 - 2, **top)
    assert (fill(1, 100, first=2**32 - 1, **top) == pair[1]).all()
    assert (pair[0] != pair[1]).any()


def word_address(position: int, size: int, per_word: int) -> tuple[int, int, int]:
    """(block, word, place in the word) of a value, as the module's documentation has it."""
    blocks = -(-size // (4 * per_word))
    segment = per_word * blocks
    return position % segment // per_word, position // segment, position % per_word


@pytest.mark.parametrize("size", [1, 7, 8, 9, 784, INTEGER_CHUNK + 1])
def test_float_values_come_from_the_documented_words(size: int) -> None:
    """Oracle: Philox in Python integers, Box-Muller in double precision."""
    values = draw_float(2, size, first=10, index=4, stage=1)
    for position in {0, 1, size // 3, size // 2, size - 2, size - 1} & set(range(size)):
        block, word, _ = word_address(position, size, 1)
        words = philox_slow((block, 11, 1, 4), KEY)
        radius = np.sqrt(-2 * np.log((words[word & 2] + 0.5) / 2**32))
        angle = 2 * np.pi * words[(word & 2) + 1] / 2**32
        assert values[1, position] == pytest.approx(radius * (np.sin if word & 1 else np.cos)(angle), abs=2e-6)


@pytest.mark.parametrize("std", [1.0, 127.5])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 784, INTEGER_CHUNK + 1])
def test_integer_values_come_from_the_documented_words(size: int, std: float) -> None:
    """Oracle: Philox in Python integers, and the first threshold above the 64-bit uniform they make."""
    table = integer_normal(std)
    thresholds = [int(t) for t in table.thresholds]
    first, index, stage, rows = 10, 4, 1, 3
    values = draw_integer(rows, size, std=std, first=first, index=index, stage=stage)
    step = max(1, size // 100)
    undecided = 0
    for sample, position in ((s, p) for s in range(rows) for p in range(0, size, step)):
        block, word, place = word_address(position, size, 2)
        bits = philox_slow((block, first + sample, stage, index), KEY)[word] >> 16 * place & 0xFFFF
        w0, w1, _, _ = philox_slow((position, first + sample, stage | 1 << 31, index), KEY)
        uniform = bits << 48 | w0 << 16 | w1 & 0xFFFF
        undecided += bits in table.undecided
        assert values[sample, position] == sum(t <= uniform for t in thresholds) - table.farthest
    assert undecided > 0 or size < 100 or std == 1.0
