"""What may be asked of an export beside the model: preprocessing, metadata, precision, and how parity is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from smoothcert.errors import require
from smoothcert.model.preprocess import Preprocess

from .proof.parity import TOLERANCE

if TYPE_CHECKING:
    from smoothcert.smoothing import Smoothing

INT8 = ("int8", "int8-gpu")


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantisation:
    """How a float32 model becomes one of 8 bits, and how the two are compared.

    `data`: a data set as `certify` takes it; `copies` of its inputs at least, perturbed as `smoothing` does, give the
    ranges of all tensors. `reduce_range`: weights have 7 bits, so that no processor's sums saturate. The share
    `agreement` of labels at least must be float32's, over `votes` copies of each of `inputs` inputs (None: 1,000
    copies, 100 of inputs beyond 64x64x3). Raises `ArgumentError`.
    """

    data: Path
    smoothing: Smoothing
    reduce_range: bool = True
    agreement: float = 0.9
    copies: int = 512
    inputs: int = 20
    votes: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.agreement <= 1, f"agreement: expected a share from 0 to 1, got {self.agreement}")
        require(self.copies >= 1, f"copies: expected at least 1, got {self.copies}")
        require(self.inputs >= 1, f"inputs: expected at least 1, got {self.inputs}")
        require(self.votes is None or self.votes >= 1, f"votes: expected at least 1, got {self.votes}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Options:
    """What every export takes.

    `preprocess`: what stands ahead of the model; scale, mean and std go into the graph, resizing and cropping into the
    metadata. `input_layout`: order of axes (nchw or nhwc) that the file takes; by default the model's. `input_range`:
    least and largest value of the file's inputs. `class_names`: one for each class; by default what scikit-learn and
    its like know. `training_noise`: its standard deviation, in [0,1] intensities. `sample_rate`: in Hz, of recordings.
    `denoiser`: what the metadata say of one inside.
    `examples` (n, *shape): real inputs, as the file takes them or 8-bit images or 16-bit recordings, that parity is
    measured on beside random ones. `precision`: float32, float16, bfloat16, int8 for CPUs or int8-gpu; the last two
    with `quantisation`. `tolerance`: largest difference of a score, as a share of the largest score; at least what the
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
    quantisation: Quantisation | None = None
    tolerance: float = TOLERANCE
    provider: str = "cpu"

    def __post_init__(self) -> None:
        share = 0 < self.tolerance < 1
        eight = self.precision in INT8
        require(eight or self.quantisation is None, f"quantisation: expected with int8, got {self.precision}")
        require(not eight or self.quantisation is not None, f"quantisation: expected with {self.precision}, got none")
        require(share, f"tolerance: expected a share of the scores' scale between 0 and 1, got {self.tolerance}")


DEFAULTS = Options()
