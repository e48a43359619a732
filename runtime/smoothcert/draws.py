"""Addressed randomness: every draw is a pure function of (run key, input, stage, sample, position).

Philox4x32-10 turns a 128-bit counter and a 64-bit key into 128 random bits, so sample i of input j is the same
number whatever the batch size, the thread count, the order of work or the number of restarts. The counter is
(block, sample, stage, input), 32 bits each. A sample of d values, w to a 32-bit word (2 integers, 1 float), takes
nb = ceil(d / 4w) blocks; its value e comes from word e // (w nb) of block (e mod w nb) // w, so that whole rows of
words are written at once; a float64 takes two words. A device can make the same draws.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011); theory.md section 10.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .errors import require

U64 = NDArray[np.uint64]
Words = tuple[U64, U64, U64, U64]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_CHUNK = 18816  # counters at a time: the whole state stays near a core's L2 cache
_REFINE = 1 << 31  # the stage bit of the second draw that an undecided integer asks for
_TAILS = 9.3  # standard deviations kept in the integer table: the tails beyond weigh less than 2^-65
FARTHEST = 8.3  # standard deviations that a normal of the 52 bits of `uniform` reaches
MAX_STD = 1600.0  # of integer noise: values and codes of undecided draws share one int16


@dataclass(frozen=True)
class Stream:
    """The address of one family of draws: a 64-bit run key, the input's index, and the stage that asks."""

    key: int
    index: int
    stage: int

    def __post_init__(self) -> None:
        require(0 <= self.key < 2**64, f"key: expected 0 <= key < 2**64, got {self.key}")
        require(0 <= self.index < 2**32, f"index: expected 0 <= index < 2**32, got {self.index}")
        require(0 <= self.stage < _REFINE, f"stage: expected 0 <= stage < 2**31, got {self.stage}")


def philox4x32(counter: Words, key: int) -> Words:
    """Philox4x32-10 of broadcastable arrays of 32-bit counter words held in uint64; only the LOW 32 bits are random."""
    shape = np.broadcast_shapes(*(c.shape for c in counter))
    x0, x1, x2, x3 = (np.array(np.broadcast_to(c, shape), order="C") for c in counter)
    high = np.empty(shape, np.uint64)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        x0 *= _M0
        x2 *= _M1
        for x, product, k in ((x1, x2, k0), (x3, x0, k1)):
            x &= _LOW
            x ^= np.uint64(k)
            np.right_shift(product, _HALF, out=high)
            x ^= high
        x0, x1, x2, x3 = x1, x2, x3, x0
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return x0, x1, x2, x3


def _word(value: int) -> U64:
    return np.array(value, np.uint64)


def _chunks(stream: Stream, first: int, shape: tuple[int, int], per_block: int) -> Iterator[tuple[slice, int, Words]]:
    """Walk a batch in cache-sized pieces: (rows, number of the piece's first block, words)."""
    batch, size = shape
    blocks = -(-size // per_block)
    rows, columns = max(1, _CHUNK // blocks), min(blocks, _CHUNK)
    for r in range(0, batch, rows):
        last = min(r + rows, batch)
        samples = np.arange(first + r, first + last, dtype=np.uint64)[:, None]
        for b in range(0, blocks, columns):
            block = np.arange(b, min(b + columns, blocks), dtype=np.uint64)
            words = philox4x32((block, samples, _word(stream.stage), _word(stream.index)), stream.key)
            yield slice(r, last), b, words


def float_normal(stream: Stream, first: int, out: NDArray[np.float32]) -> None:
    """Fill out[i] (shape (batch, size)) with the standard normals of sample first + i: Box-Muller in float32."""
    segment = -(-out.shape[1] // 4)
    for rows, at, words in _chunks(stream, first, out.shape, 4):
        bits = [w.astype(np.uint32).astype(np.float32) for w in words]
        for w in (0, 2):
            radius = np.sqrt(np.float32(-2) * np.log((bits[w] + np.float32(0.5)) * np.float32(2**-32)))
            angle = bits[w + 1] * np.float32(2 * np.pi * 2**-32)
            for s, value in ((w, radius * np.cos(angle)), (w + 1, radius * np.sin(angle))):
                target = out[rows, s * segment + at : min((s + 1) * segment, s * segment + at + value.shape[1])]
                target[...] = value[:, : target.shape[1]]


def double_normal(stream: Stream, first: int, out: NDArray[np.float64]) -> None:
    """Fill out[i] (shape (batch, size)) with the normals of sample first + i: the inverse CDF of 52 random bits each.

    None is farther from 0 than `FARTHEST`.
    """
    segment = -(-out.shape[1] // 2)
    for rows, at, words in _chunks(stream, first, out.shape, 2):
        for half in (0, 1):
            values = ndtri(_unit(words[2 * half], words[2 * half + 1]))
            target = out[rows, half * segment + at : min((half + 1) * segment, half * segment + at + values.shape[1])]
            target[...] = values[:, : target.shape[1]]


def _unit(high: U64, low: U64) -> NDArray[np.float64]:
    """A number of 52 random bits in (0, 1)."""
    bits = (high & _LOW) << np.uint64(20) | (low & _LOW) >> np.uint64(12)
    return np.asarray((bits + 0.5) * 2.0**-52)


def uniform(stream: Stream, first: int, batch: int) -> NDArray[np.float64]:
    """One number of 52 random bits in (0, 1) for each of samples first..first + batch - 1."""
    samples = np.arange(first, first + batch, dtype=np.uint64)
    high, low, _, _ = philox4x32((_word(0), samples, _word(stream.stage), _word(stream.index)), stream.key)
    return _unit(high, low)


@dataclass(frozen=True, eq=False)
class IntegerNormal:
    """round(std N(0, 1)) by table: 16 random bits decide most draws, 64 bits decide the rest.

    `values[u]` is the draw of 16 bits u, or a code below -`farthest` where the bucket of u holds a threshold; then 48
    more bits are drawn and compared with the cumulative `thresholds`, in units of 2^-64.
    """

    std: float
    farthest: int
    values: NDArray[np.int16]
    thresholds: U64
    undecided: U64

    @property
    def total_variation(self) -> float:
        """Bound on the total-variation distance of one draw from round(std N(0, 1))."""
        return 64 * 2.0**-53 + (2 * self.farthest + 2) * 2.0**-64

    def fill(self, stream: Stream, first: int, out: NDArray[np.int16]) -> None:
        """Fill out[i] (shape (batch, size)) with the draws of sample first + i."""
        segment = 2 * -(-out.shape[1] // 8)
        for rows, block, words in _chunks(stream, first, out.shape, 8):
            for w, word in enumerate(words):
                bits = word.astype("<u4").view("<u2")
                at = w * segment + 2 * block
                target = out[rows, at : at + bits.shape[1]]
                target[...] = self.values.take(bits[:, : target.shape[1]])
        flat = out.reshape(-1)
        where = np.flatnonzero(flat < -self.farthest)
        code = flat[where].astype(np.int64) + 32768
        sample, position = np.divmod(where, out.shape[1])
        counter = (position.astype(np.uint64), (sample + first).astype(np.uint64))
        w0, w1, _, _ = philox4x32((*counter, _word(stream.stage | _REFINE), _word(stream.index)), stream.key)
        uniform = self.undecided[code] << np.uint64(48) | (w0 & _LOW) << np.uint64(16) | w1 & np.uint64(0xFFFF)
        flat[where] = np.searchsorted(self.thresholds, uniform, side="right") - self.farthest


def _cell_probabilities(std: float, farthest: int) -> NDArray[np.float64]:
    """P(round(std N(0, 1)) = k), k = 0..farthest, to a few units in the last place: Gauss-Legendre on each cell."""
    if std < 0.05:  # P(|N(0, 1)| > 10) < 2^-64: every draw is 0
        return np.eye(1, farthest + 1).ravel()
    nodes, weights = np.polynomial.legendre.leggauss(16)
    panels = max(1, int(np.ceil(2 / std)))
    edges = (np.arange(panels) + 0.5) / panels - 0.5
    offsets = (edges[:, None] + nodes / (2 * panels)).ravel() / std
    t = np.arange(farthest + 1)[:, None] / std + offsets
    density = np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi)
    return np.asarray(density @ np.tile(weights / (2 * panels), panels) / std)


@functools.lru_cache(maxsize=16)
def integer_normal(std: float) -> IntegerNormal:
    """The table sampler of round(std N(0, 1)); std in intensity levels, 0 < std <= 1600."""
    require(0 < std <= MAX_STD, f"integer noise: expected 0 < std <= {MAX_STD:g} levels, got {std:g}")
    farthest = int(np.ceil(_TAILS * std)) + 1
    half = [round(p * 2**64) for p in _cell_probabilities(std, farthest).tolist()]
    mass = [*half[:0:-1], half[0], *half[1:]]
    mass[farthest] += 2**64 - sum(mass)
    # From the last cell with any mass on the sum is 2^64 itself: it must not wrap round to 0 and break the order.
    thresholds = np.array([min(t, 2**64 - 1) for t in itertools.accumulate(mass[:-1])], np.uint64)
    edges = np.arange(2**16, dtype=np.uint64) << np.uint64(48)
    low = np.searchsorted(thresholds, edges, side="right")
    high = np.searchsorted(thresholds, edges | np.uint64(2**48 - 1), side="right")
    undecided = np.flatnonzero(low != high)
    values = (low - farthest).astype(np.int16)
    values[undecided] = np.arange(len(undecided)) - 32768
    assert len(undecided) - 32768 <= -farthest
    return IntegerNormal(std, farthest, values, thresholds, undecided.astype(np.uint64))
