"""A classifier behind a denoiser, opened as one: f(D(z)) in place of f(z), a classifier like any other."""

from __future__ import annotations

from .denoiser import Denoiser
from .file import ModelFile
from .preprocess import Preprocess
from .source import Readable

AS_USUAL = Denoiser()  # [0,1] in, the clean image out


def open_denoised(
    model: Readable,
    denoiser: Readable,
    how: Denoiser = AS_USUAL,
    *,
    output: str | None = None,
    preprocess: Preprocess | None = None,
) -> ModelFile:
    """The classifier of an ONNX file behind the denoiser of another, ready to certify: for `OrtClassifier`.

    Noisy images go to the denoiser, by its conventions `how`, its clean images to the classifier: resized where it
    takes other sides, then through its own arithmetic, that of `preprocess` or of its metadata. `preprocess.spatial`
    brings a user's images to the denoiser's pixels, where the noise is. `output`: as of `OrtClassifier`. `sha256` is
    the classifier's; `denoiser` has the other one.

    Denoised smoothing: Salman et al. 2020, Carlini et al. 2023; docs/denoising.md. `ModelError` where one of the files
    cannot be used so, or where the graph of both computes anything but the two files one after the other.
    """
    from smoothcert_exporters.denoised.opened import opened

    return opened(model, denoiser, how, output=output, preprocess=preprocess)
