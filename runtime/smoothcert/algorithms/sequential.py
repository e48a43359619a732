"""Looks at votes until a sequential test ends: how they are drawn, and whether evidence could come of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..bounds.confidence import SequentialTest
from ..certificate import ABSTAIN
from ..evidence import Look, top
from ..sampling import Sampler


def drawn(
    sampler: Sampler, stage: int, test: SequentialTest, label: int | None = None
) -> tuple[tuple[Look, ...], Counter[int]]:
    """Looks at the votes of one stage until the test ends, and all votes cast.

    They follow the class `label`; without one, the running favourite until the first claim, and then its class.
    """
    votes: Counter[int] = Counter()
    looks: list[Look] = []
    claimed = 0
    for n in test.looks:
        votes.update(sampler.counts(stage, sum(votes.values()), n))
        followed = top(votes) if label is None else label
        looks.append(Look(n, followed, votes[followed]))
        claimed = test.claims(n, votes[followed], claimed)
        label = followed if claimed else label
        if test.ended(n, votes[followed], claimed):
            break
    return tuple(looks), votes


def claims(test: SequentialTest, looks: Sequence[Look]) -> int:
    """How many targets stand after these looks; each is claimed at its own boundary."""
    claimed = 0
    for look in looks:
        claimed = test.claims(look.n, look.count, claimed)
    return claimed


def possible(test: SequentialTest, looks: Sequence[Look], label: int | None = None) -> bool:
    """Whether `drawn` could have left these looks: at its sizes until the test ends, with votes that only grow."""
    if not looks or tuple(look.n for look in looks) != test.looks[: len(looks)]:
        return False
    claimed, ended, last = 0, False, Look(0, ABSTAIN, 0)
    for look in looks:
        grows = look.label != last.label or 0 <= look.count - last.count <= look.n - last.n
        if ended or not grows or not 0 <= look.count <= look.n or label not in (None, look.label):
            return False
        claimed, last = test.claims(look.n, look.count, claimed), look
        label = look.label if claimed else label
        ended = test.ended(look.n, look.count, claimed)
    return ended or last.n == test.looks[-1]
