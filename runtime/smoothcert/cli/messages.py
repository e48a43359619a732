"""Messages of the library in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping


def as_options(message: str, options: Mapping[str, str], *, named: bool = True) -> str:
    """A message with options in place of arguments: those in backticks, and if `named` the one before the first colon.

    >>> as_options("n0: expected 1, got 0; see `batch_size=1`", {"n0": "--n0", "batch_size": "--batch-size"})
    '--n0: expected 1, got 0; see --batch-size 1'
    """

    def option(found: re.Match[str]) -> str:
        name, value = found.group(1), found.group(2) or ""
        return f"{options[name]} {value}".rstrip() if name in options else found.group(0)

    name, colon, rest = message.partition(":")
    head = options.get(name, name) if named else name
    return re.sub(r"`(\w+)(?:=([^`]*))?`", option, head + colon + rest)
