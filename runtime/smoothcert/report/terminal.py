"""The terminal: plain text wherever it goes, a progress bar where somebody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_APART = 60.0  # seconds between lines of progress, and to the end


def console() -> Console:
    """A console that prints text as it is, lines of any length."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


@contextmanager
def watched(what: str, total: int, *, quiet: bool, done: int | None = None) -> Iterator[Callable[[int], None]]:
    """How far a run of `total` inputs is: call what it gives with the number done.

    `done`: what was there before; as many as the first call says unless given. A bar with the time left on a terminal,
    unless `quiet`; else a line on stderr at every tenth, while a minute or more is left, a minute apart or more.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = console()
    shown = terminal.is_terminal and not quiet
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    start = said_at = time.monotonic()
    said = first = done

    with Progress(*columns, console=terminal, disable=not shown, transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done or 0)

        def progress(done: int) -> None:
            nonlocal first, said, said_at
            first = done if first is None else first
            bar.update(task, completed=done)
            now = time.monotonic()
            tenth = said in (None, first) or 10 * done // total > 10 * (said or 0) // total
            left = (now - start) / max(done - first, 1) * (total - done)
            if not shown and done > first and tenth and min(left, now - said_at) >= _APART:
                said, said_at = done, now
                print(f"{what}: {done} of {total} inputs, about {duration(left)} left", file=sys.stderr, flush=True)

        yield progress


def counted(number: int, what: str) -> str:
    """`1 input`, `20 inputs`."""
    return f"{number} {what}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
