"""The processor: how many cores there are, and keeping the libraries' own threads from fighting ours."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
from threadpoolctl import ThreadpoolController


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS and OpenCV on one thread each, for work that is spread over threads of our own."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with _blas().limit(limits=1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(before)
