"""Reading what others made: regular files alone, and no more of them than is plausible. The limits: `limits`."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from ..errors import SmoothcertError
from .limits import COMPRESSION, FREELY_DECODED


def open_regular(
    path: str | os.PathLike[str], expected: str, error: type[SmoothcertError], most: int
) -> io.BufferedReader:
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
    return open(descriptor, "rb")


def read_regular(path: str | os.PathLike[str], expected: str, error: type[SmoothcertError], most: int) -> bytes:
    """The bytes of a regular file of at most that many; see `open_regular`."""
    with open_regular(path, expected, error, most) as file:
        return file.read(most)


def require_decodable(where: str, encoded: int, decoded: int, error: type[SmoothcertError]) -> None:
    """`error` where that many bytes decode to more than is plausible, or than this machine has room for."""
    most = max(FREELY_DECODED, COMPRESSION * encoded)
    if decoded > most:
        raise error(f"{where}: expected at most {most:,} bytes once decoded, from {encoded:,}, got {decoded:,}")
    if decoded > FREELY_DECODED and decoded > (room := _room()):
        raise error(f"{where}: needs {decoded:,} bytes of memory, this machine has {room:,} left; take fewer at once")


def _room() -> int:
    """Bytes of memory that are free, or that the system would free."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
