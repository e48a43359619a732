"""`smoothcert export FRAMEWORK`: options, and a call of the exporters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import require
from . import options as opt
from .groups import grouped
from .preprocessing import Normalisation, Pixels
from .quantised import EightBits

if TYPE_CHECKING:
    from smoothcert_exporters.options import Options

app = typer.Typer(help="Write a trained classifier as ONNX, ready to certify.", no_args_is_help=True)

to_write = partial(typer.Option, rich_help_panel="What to write")
proof = partial(typer.Option, rich_help_panel="Proof that the file computes the same")

_DENOISED = r"""Example:
  smoothcert export denoised demo:digits-clean.onnx \
      demo:digits-denoiser.onnx both.onnx"""
FRAMEWORKS = ("pytorch", "keras", "jax", "sklearn", "boosting")
Precision = Literal["float32", "float16", "bfloat16", "int8", "int8-gpu"]

Out = Annotated[Path, typer.Argument(help="ONNX file to write.")]
Model = Annotated[Path, typer.Argument(parser=opt.path, help="ONNX file.")]
Output = Annotated[
    str | None, to_write(metavar="NAME", help="The output with scores or labels, where there are several.")
]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What every export takes: preprocessing ahead of the model, what the file says of itself, and the proof."""

    normalisation: Normalisation = field(default_factory=Normalisation)
    spatial: Pixels = field(default_factory=Pixels)
    input_layout: Annotated[
        Literal["nchw", "nhwc"] | None,
        to_write(metavar="NAME", help="Order of axes that the file shall take: nchw or nhwc. (default: its own)"),
    ] = None
    input_range: Annotated[str, to_write(metavar="LOW,HIGH", help="Least and largest value of the file's inputs.")] = ""
    class_names: Annotated[
        Path | None, to_write(parser=opt.path, metavar="FILE", help="Text file, a class name a line, for the metadata.")
    ] = None
    training_noise: Annotated[float | None, to_write(help="Standard deviation in training, for the metadata.")] = None
    precision: Annotated[
        Precision,
        to_write(metavar="NAME", help="float32, float16, bfloat16, int8 or int8-gpu; scores stay float32."),
    ] = "float32"
    eight: EightBits = field(default_factory=EightBits)
    examples: Annotated[
        Path | None, proof(parser=opt.path, metavar="DATA", help="Data set of first inputs to try, beside random ones.")
    ] = None
    tolerance: Annotated[float, proof(help="Largest difference of a score, as a share of the largest score.")] = 1e-4
    provider: Annotated[opt.Provider, proof(metavar="NAME", help="Of the comparison: cpu, cuda or tensorrt.")] = "cpu"

    def options(self, shape: tuple[int, ...]) -> Options:
        """What the exporters take; `shape` of one input of the network."""
        from smoothcert_exporters.examples import real_examples
        from smoothcert_exporters.options import Options

        from .parse import lines, numbers, preprocess

        said, span = preprocess(self.normalisation, self.spatial), numbers("--input-range", self.input_range)
        require(len(span) in (0, 2), f"--input-range: expected LOW,HIGH, got {self.input_range!r}")
        layout = self.input_layout or ""
        return Options(
            preprocess=said,
            input_layout=layout,
            input_range=(span[0], span[1]) if span else None,
            class_names=lines(self.class_names) if self.class_names else (),
            training_noise=self.training_noise,
            examples=None if self.examples is None else real_examples(self.examples, shape, said, layout),
            precision=self.precision,
            quantisation=self.eight.asked(self.precision),
            tolerance=self.tolerance,
            provider=self.provider,
        )


@app.callback()
def export() -> None:
    """Write a trained classifier as ONNX, ready to certify: `smoothcert export FRAMEWORK ...`."""


@app.command(epilog="Example: smoothcert export onnx demo:digits.onnx digits.onnx --input-range 0,1")
@grouped
def onnx(
    model: Model,
    out: Out,
    *,
    output: Output = None,
    shape: Annotated[
        str, to_write(metavar="N,N,...", help="Axes of one input, where the file leaves them free: 3,32,32.")
    ] = "",
    front_end: Annotated[
        str,
        to_write(
            metavar="TEXT",
            help="Spectrogram put ahead of a classifier of such: log-mel or mfcc, then rate=HZ, n_fft=, hop=, mels=, "
            "mfcc=, amin=, with commas between: log-mel,rate=8000,n_fft=256,hop=128,mels=40. As librosa's.",
        ),
    ] = "",
    samples: Annotated[int, to_write(help="With --front-end: samples of a recording.")] = 0,
    written: Written,
) -> None:
    """Make the classifier of an ONNX file ready: free batch axis, one output, preprocessing inside, checked."""
    from smoothcert_exporters.audio import FrontEnd
    from smoothcert_exporters.onnx_file import export_file, known_shape

    from .parse import axes

    require(bool(front_end) == (samples > 0), "--samples: expected the samples of a recording with --front-end")
    ahead = FrontEnd.of(front_end) if front_end else None
    one = axes("--shape", shape) or None
    options = written.options((samples,) if ahead else one or known_shape(model) or ())
    done = export_file(model, out, output=output, shape=one, options=options, front_end=ahead, samples=samples)
    print("\n".join(done.lines))


@app.command(epilog=_DENOISED)
@grouped
def denoised(
    model: Model,
    denoiser: Annotated[
        str,
        typer.Argument(
            metavar="FILE[,NAME=VALUE]", help="ONNX denoiser, with its conventions as certify --denoiser has them."
        ),
    ],
    out: Out,
    *,
    denoiser_sigma: Annotated[
        float | None, to_write(metavar="SIGMA", help="Noise that the denoiser is told of, where it is told.")
    ] = None,
    output: Output = None,
    written: Written,
) -> None:
    """Write a classifier behind a denoiser as one file of noisy images, checked against the two run apart."""
    from smoothcert_exporters.denoised.file import export_denoised
    from smoothcert_exporters.denoised.pair import paired

    from .parse import denoiser as parsed
    from .parse import preprocess

    taken = not written.input_layout and not written.input_range
    require(
        taken, "--input-layout and --input-range have no meaning here: the file takes images in [0,1]; leave them out"
    )
    said = preprocess(written.normalisation, written.spatial)
    pair = paired(model, *parsed(denoiser, denoiser_sigma), output=output, preprocess=said)
    print(
        "\n".join(export_denoised(pair, out, replace(written, normalisation=Normalisation()).options(pair.shape)).lines)
    )


@app.command(epilog="Example: smoothcert export surrogate zoom bundle --model classifier.onnx")
def surrogate(
    folder: Annotated[Path, typer.Argument(help="Folder of smoothcert surrogate train.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not be there.")],
    model: Annotated[
        Path | None,
        to_write(parser=opt.path, metavar="FILE", help="ONNX classifier of images. (default: the fine-tuned one)"),
    ] = None,
    sigma: Annotated[float, to_write(help="Noise when none is named, as a multiple of the fitted one.")] = 1.0,
    step: Annotated[float, to_write(help="Of the grid of codes, a power of two.")] = 2.0**-12,
    tolerance: Annotated[float, proof(help="Largest difference of a score, as a share of the largest score.")] = 1e-4,
) -> None:
    """Write a trained surrogate and a classifier as one bundle: ONNX files, arrays, and a manifest with hashes."""
    from .surrogate import pytorch

    with pytorch():
        from smoothcert_exporters.surrogate.bundle import write_bundle
        from smoothcert_exporters.surrogate.finetune import opened as opened_tuned
        from smoothcert_exporters.surrogate.training import opened

    trained = opened(folder)
    classifier = opened_tuned(folder, trained) if model is None else model
    print("\n".join(write_bundle(trained, classifier, out, step=step, sigma=sigma, tolerance=tolerance).lines))


@grouped
def framework(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODULE:FACTORY", help="Function of a module in this folder that makes the model.")
    ],
    out: Out,
    *,
    example_shape: Annotated[
        str, to_write(metavar="N,N,...", help="Axes of one input, as the model takes it: 3,32,32.")
    ],
    weights: Annotated[
        Path | None, to_write(parser=opt.path, metavar="FILE", help="State dictionary, tensors alone. (pytorch)")
    ] = None,
    written: Written,
) -> None:
    """Write a model of this framework as ONNX: any batch size, preprocessing inside, proved to compute the same."""
    import numpy as np

    from smoothcert_exporters.export import export
    from smoothcert_exporters.frameworks.loading import load

    from .parse import axes

    name, shape = context.command.name or "", axes("--example-shape", example_shape)
    require(bool(shape), "--example-shape: expected the axes of one input, such as 3,32,32, got ''")
    options, example = written.options(shape), np.zeros((1, *shape), np.float32)
    done = export(load(name, model, weights), out, example=example, framework=name, options=options)
    print("\n".join(done.lines))


for _name in FRAMEWORKS:
    _example = f"Example:\n  smoothcert export {_name} mymodel:make model.onnx \\\n      --example-shape 3,32,32"
    app.command(_name, epilog=_example)(framework)
