"""The processor: how many cores there are, and keeping the libraries' own threads from fighting ours."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import threadpoolctl
from threadpoolctl import ThreadpoolController


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _let_this_thread_set_limits() -> None:
    """OpenBLAS's count is the process's, but threadpoolctl since 3.7 lets only the thread that set it first set it."""
    clear = getattr(getattr(threadpoolctl, "OpenBLASController", None), "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


class _Limits:
    """The libraries' own threads, taken away while anyone needs that: by the first who enters, until the last leaves.

    The counts belong to the whole process, so that overlapping users cannot each restore what they found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._opencv = 0
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._opencv = cv2.getNumThreads()
                cv2.setNumThreads(1)
                _let_this_thread_set_limits()
                self._limiter = _blas().limit(limits=1, user_api="blas")

    def leave(self) -> None:
        with self._lock:
            self._users = max(0, self._users - 1)  # 0 already in a child that was forked by a user
            if not self._users:
                self._restore()

    def reset(self) -> None:
        """In a child process, which has none of the users' threads."""
        self._lock, self._users = threading.Lock(), 0
        self._restore()

    def _restore(self) -> None:
        if self._limiter is not None:
            cv2.setNumThreads(self._opencv)
            _let_this_thread_set_limits()
            self._limiter.restore_original_limits()
            self._limiter = None
            _let_this_thread_set_limits()


_limits = _Limits()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limits.reset)


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS and OpenCV on one thread each, for work that is spread over threads of our own.

    Calls may overlap, in any threads: the counts from before the first come back when the last is done.
    """
    _limits.enter()
    try:
        yield
    finally:
        _limits.leave()
