"""The slices of a box: cuts of one attack's range, the same with every piece of a range of brightness behind it."""

from __future__ import annotations

from collections.abc import Sequence

from ..evidence import Evidence, Slice
from ..smoothing import Range
from ..smoothing.offsets import NONE, Piece, cover

Cut = tuple[float, float]


def pieces_of(evidence: Evidence) -> Sequence[Piece]:
    """Of brightness; nothing is added where the evidence says nothing of it."""
    return evidence.brightness or [NONE]


def cuts_of(evidence: Evidence) -> list[Cut]:
    """Of the attack; those that come with the first piece."""
    return [(s.low, s.high) for s in evidence.slices[: len(evidence.slices) // len(pieces_of(evidence))]]


def is_box(evidence: Evidence, whole: Range, levels: Piece, *, gapless: bool) -> bool:
    """Whether cuts and pieces lie side by side over their ranges, with a slice for each pair; cuts may leave gaps."""
    cuts, pieces = cuts_of(evidence), pieces_of(evidence)
    if not cuts or [(s.low, s.high) for s in evidence.slices] != cuts * len(pieces) or not cover(pieces, levels):
        return False
    ends = [end for cut in cuts for end in cut]
    side_by_side = [whole.low, *ends[1::2]] == [*ends[::2], whole.high]
    return ends == sorted(ends) and (side_by_side or not gapless)


def outwards(slices: Sequence[Slice], pieces: Sequence[Piece], start: float) -> list[int]:
    """The order of testing: least brightness first, with each piece from the cut at `start` to the ends."""

    def away(i: int) -> tuple[int, float]:
        return abs(sum(pieces[i * len(pieces) // len(slices)])), abs((slices[i].low + slices[i].high) / 2 - start)

    return sorted(range(len(slices)), key=away)
