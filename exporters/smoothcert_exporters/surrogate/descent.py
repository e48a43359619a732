"""The loop of every training here: the same steps again from any epoch on, one checkpoint after each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .plan import Descent

Losses = dict[str, Any]  # by name, tensors of one value; `loss` is the one that is lowered
Step = Callable[[NDArray[Any], np.random.Generator], Losses]


@contextmanager
def seeded(*numbers: int) -> Iterator[np.random.Generator]:
    """Random numbers of NumPy and of PyTorch that depend on these numbers alone; one thread of PyTorch.

    Sums come out differently on another number of threads, and the same training would not give the same bytes.
    """
    threads, sequence = torch.get_num_threads(), np.random.SeedSequence(numbers)
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
            yield np.random.default_rng(sequence)
    finally:
        torch.set_num_threads(threads)


def descend(
    how: Descent,
    stage: int,
    images: int,
    optimizer: Any,
    step: Step,
    history: list[dict[str, float]],
    after_epoch: Callable[[], None],
    progress: Callable[[int], None],
) -> None:
    """Train from the epoch that `history`, mean losses by epoch, has reached; append to it, then call `after_epoch`.

    All that an epoch draws depends on the seed, the `stage` and its number, so that a training that was interrupted
    comes to the same end.
    """
    batches = math.ceil(images / how.batch)
    progress(len(history) * images)
    for epoch in range(len(history), how.epochs):
        sums: dict[str, float] = {}
        with seeded(how.seed, stage, epoch) as rng:
            for i, rows in enumerate(np.array_split(rng.permutation(images), batches)):
                share = (epoch + i / batches) / how.epochs
                for group in optimizer.param_groups:
                    group["lr"] = how.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
                optimizer.zero_grad()
                losses = step(rows, rng)
                losses["loss"].backward()
                optimizer.step()
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach()) * len(rows) / images
        history.append(sums)
        after_epoch()
        progress((epoch + 1) * images)
