"""Reading what others made: regular files alone, and no more of them than is plausible."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from .errors import SmoothcertError


def open_regular(path: str | os.PathLike[str], expected: str, error: type[SmoothcertError], most: int) -> BinaryIO:
    """A regular file of at most that many bytes, open for reading; `error` for anything else.

    A pipe, a socket or a device would block, or never end. `expected` says in words what the file should be.
    """
    where = Path(path)
    try:
        descriptor = os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for its writer
    except (OSError, ValueError) as failure:  # ValueError: a NUL in the name
        raise error(f"{where}: expected {expected}, got: {getattr(failure, 'strerror', None) or failure}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        os.close(descriptor)
        got = f"{status.st_size:,} bytes" if stat.S_ISREG(status.st_mode) else "no regular file"
        raise error(f"{where}: expected {expected}, a file of at most {most:,} bytes, got {got}")
    return os.fdopen(descriptor, "rb")


def read_regular(path: str | os.PathLike[str], expected: str, error: type[SmoothcertError], most: int) -> bytes:
    """The bytes of such a file; see `open_regular`."""
    with open_regular(path, expected, error, most) as file:
        return file.read(most)
