"""Threads and forks: the libraries' thread counts come back, and a child process can certify too."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
import threadpoolctl

from smoothcert import Noise, OrtClassifier, certify
from smoothcert.machine import one_thread

from . import models

X = np.full((1, 6, 6), 100, np.uint8)
MODEL = models.linear((1, 6, 6), np.random.default_rng(0).standard_normal((36, 3)), np.zeros(3))
Votes = dict[int, int]


@pytest.fixture(autouse=True)
def two_threads() -> Any:
    """OpenCV and BLAS on two threads each, as the user set them."""
    before = cv2.getNumThreads()
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        cv2.setNumThreads(2)
        yield
    cv2.setNumThreads(before)


def counts() -> tuple[int, ...]:
    """OpenCV's threads, then those of each BLAS."""
    return cv2.getNumThreads(), *(i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas")


def test_counts_come_back_in_every_order_of_leaving() -> None:
    before = counts()
    assert set(before) == {2}
    outer, inner = one_thread(), one_thread()
    outer.__enter__()
    inner.__enter__()
    assert set(counts()) == {1}
    outer.__exit__(None, None, None)  # the first to come leaves first
    assert set(counts()) == {1}
    inner.__exit__(None, None, None)
    assert counts() == before


def test_overlapping_calls_leave_the_counts_as_they_were() -> None:
    """8 threads that certify 5 times each."""
    before, found = counts(), []

    def halfspace(batch: Any) -> Any:
        found.append(counts())
        return (batch.sum(axis=(1, 2, 3)) > 1).astype(int)

    def work(i: int) -> None:
        for j in range(5):
            certify(halfspace, Noise(0.5), X, n0=10, n=50 * (1 + (i + j) % 3), key=i)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert counts() == before
    assert set(found) == {(1,) * len(before)}


def votes(classifier: OrtClassifier) -> Votes:
    return dict(certify(classifier, Noise(0.5), X, n0=50, n=2000, key=1).evidence.estimation)


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` gives in a forked child; a child that hangs is ended, and the test fails."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: theirs.send(work()))
    child.start()
    try:
        assert ours.poll(60), "the child hangs"
        return ours.recv()
    finally:
        child.kill()
        child.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: a process of several threads forks
class TestForks:
    @pytest.mark.parametrize("threads", [2, 3])
    def test_a_child_certifies_with_the_parents_classifier_and_with_its_own(self, threads: int) -> None:
        threads = min(threads, 4 * len(os.sched_getaffinity(0)))
        classifier = OrtClassifier(MODEL, threads=threads, batch_size=16)
        expected = votes(classifier)
        assert in_child(lambda: votes(classifier)) == expected
        assert in_child(lambda: votes(OrtClassifier(MODEL, threads=threads, batch_size=16))) == expected
        assert votes(classifier) == expected  # the parent goes on

    def test_a_grandchild_certifies(self) -> None:
        classifier = OrtClassifier(MODEL, threads=2, batch_size=16)
        expected = votes(classifier)

        def child() -> list[Votes]:
            return [votes(classifier), in_child(lambda: votes(classifier))]

        assert in_child(child) == [expected, expected]

    def test_a_child_has_the_counts_back_and_the_parent_keeps_its_limits(self) -> None:
        before = counts()
        with one_thread():
            assert in_child(counts) == before
            assert set(counts()) == {1}
        assert counts() == before

    def test_forks_while_others_certify(self) -> None:
        """Ten children, forked while another thread draws."""
        classifier = OrtClassifier(MODEL, threads=2, batch_size=16)
        expected, stop = votes(classifier), threading.Event()

        def busy() -> None:
            mine = OrtClassifier(MODEL, threads=2, batch_size=16)
            while not stop.is_set():
                votes(mine)

        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(busy)
            try:
                found = [in_child(lambda: votes(classifier)) for _ in range(10)]
            finally:
                stop.set()
            running.result()
        assert found == [expected] * 10
