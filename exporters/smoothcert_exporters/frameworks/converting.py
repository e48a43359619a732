"""What the exporters of several frameworks share: the example as a batch, refusals in a line, quiet converters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import ModelError, first_line
from smoothcert.model.arrangement import show

_EXTRAS = {
    "torch.onnx": "pytorch",
    "tf2onnx": "keras",
    "jax2onnx": "jax",
    "skl2onnx": "sklearn",
    "onnxmltools": "boosting",
}


def as_batch(example: Any, scores_shape: Callable[[tuple[int, ...]], tuple[int, ...]]) -> NDArray[np.float32]:
    """The example, one input or a batch of them, as a batch.

    `scores_shape` maps the shape of a batch to that of the model's answer, and raises where there is none. It is asked
    for a batch of two. Raises `ModelError` where neither reading is answered by a row of scores for each input.
    """
    given = np.asarray(example, np.float32)
    failure = "no scores"
    for batch in (given, given[None]):
        if batch.ndim > 1:
            try:
                shape = scores_shape((2, *batch.shape[1:]))
            except ModelError:
                raise
            except Exception as error:
                failure = first_line(error)
            else:
                if len(shape) > 1 and shape[0] == 2:
                    return batch
                failure = f"an answer of shape {show(shape)} to two inputs"
    raise ModelError(
        f"expected an example that the model answers with a row of scores, got shape {show(given.shape)}: {failure}"
    )


@contextmanager
def converting(converter: str, model: str) -> Iterator[None]:
    """A converter at work, without its warnings; its failure is one line of `ModelError` that names both."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"{converter} cannot be imported ({first_line(error)}); "
            f"pip install 'smoothcert[{_EXTRAS.get(converter, converter)}]'"
        ) from None
    except Exception as error:
        line = first_line(error)
        line = line if len(line) < 200 else f"{line[:200]} ..."
        raise ModelError(f"{converter} cannot convert {model}: {line}") from None
    finally:
        logging.disable(before)
