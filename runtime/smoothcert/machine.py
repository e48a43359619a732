"""The processor: how many cores there are, and keeping the libraries' own threads from fighting ours."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

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


Context = Callable[[], AbstractContextManager[None]]


def shared(context: Context) -> Context:
    """A context that changes the whole process, for any number of threads: entered by the first, left by the last.

    A child process, which has none of the users' threads, leaves it at once.
    """
    lock, users, entered = threading.Lock(), 0, ExitStack()

    @contextmanager
    def used() -> Iterator[None]:
        nonlocal users
        with lock:
            users += 1
            if users == 1:
                entered.enter_context(context())
        try:
            yield
        finally:
            with lock:
                users = max(0, users - 1)  # 0 already in a child that was forked by a user
                if not users:
                    entered.close()

    def reset() -> None:
        nonlocal lock, users
        lock, users = threading.Lock(), 0
        entered.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
    return used


@shared
@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS and OpenCV on one thread each, for work that is spread over threads of our own."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    _let_this_thread_set_limits()
    limiter = _blas().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        _let_this_thread_set_limits()
        limiter.restore_original_limits()
        _let_this_thread_set_limits()
