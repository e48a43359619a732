"""The terminal: plain text wherever it goes, a progress bar where somebody watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """A console that prints text as it is, lines of any length."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def progress_bar(console: Console, quiet: bool) -> Any:
    """A `rich.progress.Progress` of counts and time left, shown on terminals alone."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
