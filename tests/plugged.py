"""Tables of parts as they were: what a test adds to them is gone when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smoothcert.smoothing import PARTS, TRANSFORMS
from smoothcert.smoothing.pairs import TABLE
from smoothcert.smoothing.plugins import LOADED

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_transforms.py"


@contextmanager
def tables_kept() -> Iterator[Callable[[], None]]:
    """Parts, transformations, pairs and plugins that are added inside are taken out again; at once, when called."""
    tables: list[dict[Any, Any]] = [PARTS, TRANSFORMS, TABLE, LOADED]
    before = [dict(table) for table in tables]

    def forget() -> None:
        for table, old in zip(tables, before, strict=True):
            table.clear()
            table.update(old)

    try:
        yield forget
    finally:
        forget()
