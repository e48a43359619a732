"""`smoothcert export FRAMEWORK` and `smoothcert inspect`: options, and a call of the exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import options as opt

app = typer.Typer(help="Write a trained classifier as ONNX, ready to certify.", no_args_is_help=True)

Out = Annotated[Path, typer.Argument(help="ONNX file to write.")]
Model = Annotated[Path, typer.Argument(parser=opt.path, help="ONNX file.")]
Shape = Annotated[
    str, typer.Option("--shape", metavar="N,N,...", help="Axes of one input, where the file leaves them free: 3,32,32.")
]
Name = Annotated[
    str, typer.Argument(metavar="MODULE:FACTORY", help="Function of a module in this folder that returns the model.")
]
ExampleShape = Annotated[
    str, typer.Option("--example-shape", metavar="N,N,...", help="Axes of one input, as the model takes it: 3,32,32.")
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", parser=opt.path, help="State dictionary for the module; tensors alone are read. (pytorch)"
    ),
]
InputLayout = Annotated[
    str, typer.Option("--input-layout", help="Order of axes that the file shall take: nchw or nhwc. (default: its own)")
]
InputRange = Annotated[
    str, typer.Option("--input-range", metavar="LOW,HIGH", help="Least and largest value of the file's inputs.")
]
ClassNames = Annotated[
    Path | None,
    typer.Option("--class-names", parser=opt.path, help="Text file, a class name a line, kept in the metadata."),
]
TrainingNoise = Annotated[
    float | None, typer.Option("--training-noise", help="Standard deviation of the training's noise, for the metadata.")
]
Examples = Annotated[
    Path | None,
    typer.Option("--examples", parser=opt.path, help="Data set whose first inputs parity is measured on."),
]
Precision = Annotated[str, typer.Option("--precision", help="float32, float16 or bfloat16; scores stay float32.")]
Tolerance = Annotated[
    float, typer.Option("--tolerance", help="Largest difference of a score, as a share of the largest score.")
]


def inspect(model: Model, output: opt.Output = None) -> None:
    """What the runtime sees in MODEL: inputs, outputs, operators, metadata, and what adapting it would do."""
    from smoothcert_exporters.inspect import inspect_model

    print("\n".join(inspect_model(model, output).lines))


@app.callback()
def export() -> None:
    """Write a trained classifier as ONNX, ready to certify: `smoothcert export FRAMEWORK ...`."""


@app.command()
def onnx(
    context: typer.Context,
    model: Model,
    out: Out,
    output: opt.Output = None,
    shape: Shape = "",
    scale: opt.Scale = None,
    mean: opt.Mean = "",
    std: opt.Std = "",
    layout: opt.LayoutName = "auto",
    input_layout: InputLayout = "",
    input_range: InputRange = "",
    resize: opt.Resize = None,
    interpolation: opt.InterpolationName = None,
    antialias: opt.Antialias = False,
    crop: opt.Crop = None,
    mask: opt.Mask = "",
    class_names: ClassNames = None,
    training_noise: TrainingNoise = None,
    examples: Examples = None,
    precision: Precision = "float32",
    tolerance: Tolerance = 1e-4,
    provider: opt.Provider = "cpu",
) -> None:
    """Make the classifier of an ONNX file ready: free batch axis, one output, preprocessing inside, checked."""
    from smoothcert_exporters.onnx_file import export_options

    print("\n".join(export_options(model, out, _given(context)).lines))


def framework(
    context: typer.Context,
    model: Name,
    out: Out,
    example_shape: ExampleShape,
    weights: Weights = None,
    scale: opt.Scale = None,
    mean: opt.Mean = "",
    std: opt.Std = "",
    layout: opt.LayoutName = "auto",
    input_layout: InputLayout = "",
    input_range: InputRange = "",
    resize: opt.Resize = None,
    interpolation: opt.InterpolationName = None,
    antialias: opt.Antialias = False,
    crop: opt.Crop = None,
    mask: opt.Mask = "",
    class_names: ClassNames = None,
    training_noise: TrainingNoise = None,
    examples: Examples = None,
    precision: Precision = "float32",
    tolerance: Tolerance = 1e-4,
    provider: opt.Provider = "cpu",
) -> None:
    """Write a model of this framework as ONNX: any batch size, preprocessing inside, proved to compute the same."""
    from smoothcert_exporters.commands import print_export

    print_export(context.command.name or "", model, out, _given(context))


for _name in ("pytorch", "keras", "jax", "sklearn", "boosting"):
    app.command(_name)(framework)


def _given(context: typer.Context) -> dict[str, Any]:
    """The options by name, without the arguments."""
    return {name: value for name, value in context.params.items() if name not in ("model", "out")}
