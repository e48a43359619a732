"""Work on every input of a data set: on all cores, in bounded memory, answers in order."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from smoothcert.errors import DataError
from smoothcert.inputs.datasets import Dataset, Example
from smoothcert.machine import one_thread

T = TypeVar("T")
Work = Callable[[Example], T]
_AHEAD = 4  # jobs a thread that wait, which hold no image, or their answers


class _Held:
    """An input that is loaded once, by the first of the threads that ask for it."""

    def __init__(self, data: Dataset, index: int) -> None:
        self._data, self._index = data, index
        self._lock = threading.Lock()
        self._example: Example | None = None

    def get(self) -> Example:
        with self._lock:
            if self._example is None:
                self._example = self._data.load(self._index)
            return self._example


def worked(
    data: Dataset, indices: Sequence[int], works: Sequence[Work[T]], threads: int
) -> Generator[list[T], None, None]:
    """For each index in order the answers of all works on that input, which is loaded once.

    A thread takes an input with all its works, or, where inputs are few, one work. What loading or work raises passes
    through, when its turn has come.
    """
    apart = len(indices) < 2 * _AHEAD * threads
    parts = [[work] for work in works] if apart else [list(works)]

    def job(held: _Held, part: list[Work[T]]) -> list[T]:
        example = held.get()
        try:
            return [work(example) for work in part]
        except DataError as error:
            said = str(error)
            raise DataError(said if example.name in said else f"{example.name}: {said}") from None

    def jobs() -> Iterator[Callable[[], list[T]]]:
        for index in indices:
            held = _Held(data, index)
            for part in parts:
                yield lambda held=held, part=part: job(held, part)  # type: ignore[misc]

    answers = _in_order(jobs(), threads)
    for _ in indices:
        yield [answer for some in itertools.islice(answers, len(parts)) for answer in some]


def _in_order(jobs: Iterable[Callable[[], T]], threads: int) -> Generator[T, None, None]:
    with one_thread(), ThreadPoolExecutor(threads, thread_name_prefix="calibration") as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) >= _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
