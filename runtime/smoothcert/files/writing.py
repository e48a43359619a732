"""Files that are whole or not there, whatever is planted where they go and whenever the process ends."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import SmoothcertError

SCRATCH: set[str] = set()  # folders that an interrupt removes, for it ends the process at once


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder of the caller's own beside what it makes there, gone at the end or with an interrupt."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
        SCRATCH.add(folder)
        try:
            yield Path(folder)
        finally:
            SCRATCH.discard(folder)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or not there. `OSError`, with the file's name, where the disk is full.

    A link at that path is replaced, not followed. A kill may leave a file NAME.XXXX.partial, which nothing reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.urandom(4).hex()}.partial")
    with named(path):
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            try:
                write_whole(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def open_own(path: Path, expected: str, error: type[SmoothcertError]) -> int:
    """A descriptor to append to a file, made where there is none; `error` for a link, or anything but a file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as failure:
        raise error(f"{path}: expected {expected} that can be written, got: {failure.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error(f"{path}: expected {expected}, got no regular file; choose another name")
    return descriptor


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all bytes to a descriptor, in as many calls as the system needs."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Give errors of the system the name of the file that they are about: writing to a descriptor knows none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
