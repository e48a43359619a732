"""Whether a base classifier is one function of one input: a search, no proof, among rows that differ in every way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..inputs.levels import Levels
from .scores import difference, scales

Ask = Callable[[NDArray[Any]], Any]
_ALONE = 8  # rows that are asked twice where a batch is one row
_LEAD = 1e-3  # share of the scores' scale by which a label must lead to be more than rounding


def tried(size: int) -> int:
    """How many rows of that many values are tried of either kind."""
    return int(np.clip(50_000 // max(1, size), 4, 64))


def contrasts(x: NDArray[Any], dtype: np.dtype[Any], levels: Levels | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows like x of little range, and as many of great range or offset, (`tried`, *x.shape); the same every time.

    Further rows are mixtures of the first four; the great ones lie on the other side of 0, so that sums over a batch
    change their sign.
    """
    rng = np.random.default_rng(0)
    more = tried(x.size) - 4
    top = levels.unit if levels else float(max(1.0, np.abs(x).max(initial=0.0)))
    middle = top / 2 if levels else float(x.mean())
    own, one = x.astype(float), np.zeros(x.shape)
    one.reshape(-1)[x.size // 2] = top
    noise = rng.random((3, *x.shape)) - 0.5
    little = [0 * own, own, middle + (own - middle) / 100, middle + top / 10 * noise[0]]
    great = [0 * own + top, one, top * (noise[1] + 0.5), middle + 8 * top * noise[2]]
    each = (more, *[1] * x.ndim)
    across = -3 * top * (1 if own.mean() >= 0 else -1)
    for rows, reach, offset in ((little, 0.3, 0.0), (great, 8.0, across)):
        share, spread = rng.random(each), top * rng.uniform(0.02, reach, each)
        rows.extend(offset + share * own + (1 - share) * rows[0] + spread * rng.standard_normal((more, *x.shape)))
    quiet, loud = np.stack(little), np.stack(great)
    if dtype.kind in "iu":
        quiet, loud = np.rint(quiet), np.rint(loud)
    return quiet.astype(dtype), loud.astype(dtype)


def require_independent(ask: Ask, rows: NDArray[Any], others: NDArray[Any], size: int, tolerance: float) -> None:
    """`ModelError` where an answer depends on the batch around a row, or differs when asked for again.

    `ask` gives scores (batch, classes) or labels for a batch of `size` inputs. Each of `rows` is asked beside one of
    the `others`, which are as many, in two orders, and beside `rows` alone; and so is each of the others. Scores may
    move by `tolerance` of their scale, labels only where their lead is rounding. A batch of one has no neighbours;
    some are asked for twice.
    """
    everyone = np.concatenate([rows, others])
    first, second = np.split(np.arange(2 * len(rows)), 2)
    mixed = np.stack([first, second], axis=1).reshape(-1)
    known: dict[int, NDArray[Any]] = {}
    if size == 1:
        for row in mixed[:_ALONE]:
            _require_same(ask(everyone[row : row + 1]), ask(everyone[row : row + 1]))
        return
    for order in (mixed, mixed[::-1], first, second):
        count = -(-len(order) // size) * size  # begun again until the last batch is full
        for places in np.resize(order, count).reshape(-1, size):
            batch = everyone[places]
            found = np.asarray(ask(batch))
            if not known:
                _require_same(found, ask(batch))
            if found.shape[:1] != places.shape or found.dtype.kind not in "fiub":
                return  # no scores or labels at all: `to_labels` says so
            answers = found.reshape(len(found), -1)
            first_ones = [known.setdefault(row, got) for row, got in zip(places.tolist(), answers, strict=True)]
            if not _agree(first_ones, answers, tolerance):
                raise ModelError(
                    "the model's answer for an input depends on the others in its batch (batch statistics?); "
                    "export it for inference, or pass `batch_size=1`"
                )


def require_independent_samples(
    ask: Ask, samples: NDArray[Any], levels: Levels | None, size: int, tolerance: float
) -> None:
    """`require_independent` for perturbed inputs, an even number: one half beside the other, and beside great rows."""
    first, second = np.split(samples, 2)
    great = np.resize(contrasts(first[0], samples.dtype, levels)[1], first.shape)
    for others in (second, great):
        require_independent(ask, first, others, size, tolerance)


def _require_same(first: Any, second: Any) -> None:
    once, again = np.asarray(first), np.asarray(second)
    if not np.array_equal(once, again, equal_nan=once.dtype.kind == "f"):
        raise ModelError(
            "expected the same answer when the same batch is asked for twice, got another; the model draws random "
            "numbers, or keeps a state: export it for inference"
        )


def _agree(known: list[NDArray[Any]], b: NDArray[Any], tolerance: float) -> bool:
    """Whether all rows of answers (rows, classes) are those known: near in scores, and labels but for rounding."""
    if any(row.shape != b.shape[1:] for row in known):
        return False
    a = np.stack(known)
    if not difference(a, b) <= tolerance:
        return False
    if a.dtype.kind != "f":
        return True
    a, b = (np.where(np.isnan(v), -np.inf, v.astype(float)) for v in (a, b))
    other = np.flatnonzero(a.argmax(axis=1) != b.argmax(axis=1))
    a, b, each = a[other], b[other], np.arange(len(other))
    ours, theirs = a.argmax(axis=1), b.argmax(axis=1)
    leads = np.minimum(a[each, ours] - a[each, theirs], b[each, theirs] - b[each, ours])
    return bool((leads <= _LEAD * scales(b)[:, 0]).all())
