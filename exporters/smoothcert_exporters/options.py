"""What may be asked of an export beside the model: preprocessing, metadata, precision, and how parity is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from smoothcert.errors import require
from smoothcert.model.preprocess import Preprocess

from .proof.parity import TOLERANCE


@dataclass(frozen=True, eq=False, kw_only=True)
class Options:
    """What every export takes.

    `preprocess`: what stands ahead of the model; scale, mean and std go into the graph, resizing and cropping into the
    metadata. `input_layout`: order of axes (nchw or nhwc) that the file takes; by default the model's. `input_range`:
    least and largest value of the file's inputs. `class_names`: one for each class; by default what scikit-learn and
    its like know. `training_noise`: its standard deviation, in [0,1] intensities. `sample_rate`: in Hz, of recordings.
    `denoiser`: what the metadata say of one inside.
    `examples` (n, *shape): real inputs, as the file takes them or 8-bit images or 16-bit recordings, that parity is
    measured on beside random ones. `precision`: float32, float16
    or bfloat16. `tolerance`: largest difference of a score, as a share of the largest score; at least what the
    network's own numbers resolve (float16: 0.001). `provider` runs the comparison. Raises `ArgumentError`.
    """

    preprocess: Preprocess | None = None
    input_layout: str = ""
    input_range: tuple[float, float] | None = None
    class_names: Sequence[str] = ()
    training_noise: float | None = None
    sample_rate: int | None = None
    denoiser: Mapping[str, Any] | None = None
    examples: NDArray[Any] | None = None
    precision: str = "float32"
    tolerance: float = TOLERANCE
    provider: str = "cpu"

    def __post_init__(self) -> None:
        share = 0 < self.tolerance < 1
        require(share, f"tolerance: expected a share of the scores' scale between 0 and 1, got {self.tolerance}")


DEFAULTS = Options()
