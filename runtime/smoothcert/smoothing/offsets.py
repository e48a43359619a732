"""A range of brightness behind another attack, as slices take it: whole levels, side by side in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..errors import require
from ..inputs.levels import EIGHT_BIT
from .color import Brighten
from .ranges import Range
from .transform import Image, attacked

Piece = tuple[int, int]  # the least and the greatest offset of all pixels, in levels
NONE: Piece = (0, 0)


def levels_in(r: Range) -> Piece:
    """The offsets that brightness of the range makes: an attacker's b is rounded to a whole level."""
    require(r.points is None, f"slices: expected an interval of brightness, got {r}")
    require(r.low >= -1 and r.high <= 1, f"slices: expected brightness between -1 and 1, got {r}")
    return round(EIGHT_BIT.unit * r.low), round(EIGHT_BIT.unit * r.high)


def brightness(level: int) -> float:
    """The attack's value that adds that offset."""
    return level / EIGHT_BIT.unit


def brightened(image: Image, level: int) -> Image:
    """The image with that offset, by the attacker's own code, which rounds and saturates."""
    return attacked(image, [(Brighten(), brightness(level))])


def middle(piece: Piece) -> int:
    """The offset around which samples are drawn."""
    return (piece[0] + piece[1]) // 2


def farthest_offset(piece: Piece) -> int:
    """Levels from the middle to the farther end."""
    return piece[1] - middle(piece)


def cover(pieces: Sequence[Piece], levels: Piece) -> bool:
    """Whether every offset is in one of the pieces, which lie side by side."""
    ordered = all(low <= high for low, high in pieces)
    side_by_side = all(before[1] + 1 == after[0] for before, after in pairwise(pieces))
    return bool(pieces) and ordered and side_by_side and (pieces[0][0], pieces[-1][1]) == levels


def cut(levels: Piece, allowed: float) -> list[Piece]:
    """The offsets in pieces; `allowed`: levels that an image may move in all, by this and by another attack.

    What brightness leaves of them is for the other attack, whose slices become more as it becomes less: the number of
    pieces is the one for which slices times pieces are fewest, were the two to add up.
    """
    low, high = levels
    least, found = float("inf"), [(level, level) for level in range(low, high + 1)]
    for count in range(1, high - low + 2):
        ends = [low + i * (high - low + 1) // count for i in range(count + 1)]
        pieces = [(a, b - 1) for a, b in pairwise(ends)]
        left = allowed - max(map(farthest_offset, pieces))
        if left > 0 and count / left < least:
            least, found = count / left, pieces
    return found
