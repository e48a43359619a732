"""A reader of our output that goes away (`| head`): no reason to stop a run, nor to call it failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO


@dataclass(frozen=True, eq=False)
class Output:
    """A text stream whose reader may close it: what is written then is dropped."""

    stream: TextIO

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        """From here on the stream leads nowhere, with what is still in its buffer."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def dropped() -> Iterator[None]:
    """stdout and stderr drop what nobody reads any more; both are flushed at the end."""
    streams = sys.stdout, sys.stderr  # None where there is none at all
    sys.stdout, sys.stderr = (stream and Output(stream) for stream in streams)
    try:
        yield
    finally:
        for output in filter(None, (sys.stdout, sys.stderr)):
            output.flush()
        sys.stdout, sys.stderr = streams
