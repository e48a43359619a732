"""The peer of our loops: bare ONNX Runtime on one ready batch, no noise, no argmax, no counts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from .measure import Contender


def bare_loop(model: Path | bytes, inputs: NDArray[Any], threads: int) -> Contender:
    """Nothing but `session.run` on the batch: as many host threads, each calling the one-threaded session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    pool, (given,), batch = ThreadPoolExecutor(threads), session.get_inputs(), len(inputs)

    def run(count: int) -> None:
        batches = iter(range(0, count, batch))

        def work() -> None:
            for _ in batches:
                session.run(None, {given.name: inputs})

        for future in [pool.submit(work) for _ in range(threads)]:
            future.result()

    return Contender(run, batch * threads)
