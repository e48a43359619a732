"""Front ends of sound inside the graph: log-mel spectrograms and MFCC of raw waveforms, as convolutions.

A classifier of spectrograms becomes one of waveforms, so that noise is added where a recording is, ahead of anything
that could amplify it. Every operator is one that all providers have. The features are librosa's: `melspectrogram`
(Hann window, centred frames, silence beyond the ends), `power_to_db` without `top_db`, `mfcc`.
"""

from __future__ import annotations

import itertools
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smoothcert.errors import ModelError, require
from smoothcert.model.file import FOLDED

from .graph import defined, inputs, refill, rename, static_shape

Array = NDArray[np.float32]
Kind = Literal["log-mel", "mfcc"]
_DECIBELS = np.float32(10 / np.log(10))
_WORDS = {"rate": int, "n_fft": int, "hop": int, "mels": int, "mfcc": int, "amin": float}


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """Features of a waveform in [-1, 1] at `rate` Hz: `mels` bands of power in dB, or `mfcc` coefficients of them.

    Frames of `n_fft` samples, `hop` apart; power below `amin` counts as `amin`. (features, frames) for each recording.
    """

    rate: int
    n_fft: int = 256
    hop: int = 128
    mels: int = 40
    mfcc: int = 0  # coefficients; 0: the bands themselves
    amin: float = 1e-10

    def __post_init__(self) -> None:
        for name in ("rate", "n_fft", "hop", "mels"):
            require(0 < getattr(self, name) < 2**20, f"front_end: expected {name} > 0, got {getattr(self, name)}")
        require(self.n_fft % 2 == 0, f"front_end: expected an even n_fft, got {self.n_fft}")
        require(0 <= self.mfcc <= self.mels, f"front_end: expected mfcc up to mels={self.mels}, got {self.mfcc}")
        require(0 < self.amin < 1, f"front_end: expected amin between 0 and 1, got {self.amin}")

    @staticmethod
    def of(text: str) -> FrontEnd:
        """From `log-mel,rate=8000,n_fft=256,hop=128,mels=40,amin=1e-6`, or `mfcc,rate=8000,mfcc=13,...`."""
        kind, *words = text.split(",")
        found: dict[str, Any] = {"mfcc": 13} if kind == "mfcc" else {}
        expected = f"front_end: expected log-mel or mfcc, then {', '.join(f'{name}=NUMBER' for name in _WORDS)}"
        require(kind in ("log-mel", "mfcc") and len({w.partition("=")[0] for w in words}) == len(words), expected)
        for word in words:
            name, _, value = word.partition("=")
            try:
                found[name] = _WORDS[name](value)
            except (KeyError, ValueError):
                raise ModelError(f"{expected}; got {word!r}") from None
        require("rate" in found, f"{expected}; got no rate, which must be that of the recordings")
        return FrontEnd(**found)

    @cached_property
    def fourier(self) -> tuple[Array, Array]:
        """Cosines and sines under a Hann window, (bins, 1, n_fft) each: what frames are correlated with."""
        t, k = np.arange(self.n_fft), np.arange(self.n_fft // 2 + 1)[:, None]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * t / self.n_fft)
        angle = 2 * np.pi * (k * t % self.n_fft) / self.n_fft
        cosines, sines = (np.asarray(window * wave, np.float32)[:, None] for wave in (np.cos(angle), np.sin(angle)))
        return cosines, sines

    @cached_property
    def bands(self) -> Array:
        """Weights of the mel bands, (mels, bins): librosa's."""
        from librosa.filters import mel

        return np.asarray(mel(sr=self.rate, n_fft=self.n_fft, n_mels=self.mels), np.float32)

    @cached_property
    def cosine_transform(self) -> Array | None:
        """(mfcc, mels), orthonormal, type 2; None where the bands are the features."""
        from scipy.fft import dct

        return np.asarray(dct(np.eye(self.mels), axis=0, norm="ortho")[: self.mfcc], np.float32) if self.mfcc else None

    @property
    def features(self) -> int:
        """How many there are in a frame."""
        return self.mfcc or self.mels

    def frames(self, samples: int) -> int:
        """How many a recording of so many samples has."""
        return 1 + samples // self.hop


def with_front_end(proto: onnx.ModelProto, front_end: FrontEnd, samples: int) -> onnx.ModelProto:
    """The classifier of features as one of waveforms (batch, samples) in [-1, 1]; its input keeps its name.

    Its own input is (batch, features, frames), with an axis of 1 anywhere behind the batch, or with the last two
    turned round. `ModelError` where it fits neither.
    """
    model = deepcopy(proto)
    (value,) = inputs(model.graph)
    sizes, taken = list((static_shape(value) or ())[1:]), defined(model.graph)
    own = [front_end.features, front_end.frames(samples)]
    bare = [n for n in sizes if n != 1]
    turned = bare == own[::-1] and own[0] != own[1]
    if not turned and (len(bare) != 2 or any(n not in (None, m) for n, m in zip(bare, own, strict=True))):
        raise ModelError(
            f"front_end: expected a classifier of {own[0]} features and {own[1]} frames, got an input of {sizes}; "
            "see mels, mfcc, hop and the number of samples"
        )
    names = (name for i in itertools.count() if (name := f"{FOLDED}_{i}") not in taken)
    nodes: list[onnx.NodeProto] = []

    def constant(values: Any, dtype: Any = np.float32) -> str:
        name = next(names)
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(operator: str, *operands: str, **attributes: Any) -> str:
        name = next(names)
        nodes.append(helper.make_node(operator, operands, [name], name=name, **attributes))
        return name

    wave = add("Reshape", value.name, constant([0, 1, samples], np.int64))
    half, squares = front_end.n_fft // 2, []
    for basis in front_end.fourier:
        part = add("Conv", wave, constant(basis), strides=[front_end.hop], pads=[half, half])
        squares.append(add("Mul", part, part))
    power = add("MatMul", constant(front_end.bands), add("Add", *squares))
    found = add("Mul", add("Log", add("Max", power, constant(front_end.amin))), constant(_DECIBELS))
    if front_end.cosine_transform is not None:
        found = add("MatMul", constant(front_end.cosine_transform), found)
    if turned:
        found = add("Transpose", found, perm=[0, 2, 1])
    if len(sizes) != 2:
        shape = iter(own[::-1] if turned else own)
        found = add("Reshape", found, constant([0, *(1 if n == 1 else next(shape) for n in sizes)], np.int64))
    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        found = add("Cast", found, to=tensor.elem_type)
        tensor.elem_type = TensorProto.FLOAT
    first = tensor.shape.dim[0]
    tensor.shape.CopyFrom(onnx.TensorShapeProto(dim=[first, onnx.TensorShapeProto.Dimension(dim_value=samples)]))
    rename(model.graph, {value.name: found})
    refill(model.graph.node, [*nodes, *model.graph.node])
    return model
