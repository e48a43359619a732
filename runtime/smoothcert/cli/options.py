"""Arguments and options of the command line, each with its help and unit, shared by the commands that take them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..files.demo_files import PREFIX, demo_file


def path(text: str) -> Path:
    """A path as given, or behind `demo:` a file that comes with the package.

    It is the parser of every path that is read or that goes to `launch`: Typer's own conversion would leave text in
    `context.params` (before 0.29).
    """
    return demo_file(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else Path(text)


def side(text: str) -> int:
    """A side in pixels."""
    if not text.strip().isdigit():
        raise typer.BadParameter(f"expected one number of pixels, the shorter side, got {text!r}")
    return int(text)


Model = Annotated[
    Path,
    typer.Argument(
        parser=path,
        help="ONNX classifier: one input, scores or integer labels as output. demo:digits.onnx comes with smoothcert.",
    ),
]
Data = Annotated[
    Path,
    typer.Argument(
        parser=path,
        help=".npz (x, optional y), image folder (class subfolders) or .csv (path,label). demo:digits.npz comes with "
        "smoothcert.",
    ),
]
MovedModel = Annotated[Path | None, typer.Option("--model", parser=path, help="The model, if it has moved.")]
MovedData = Annotated[Path | None, typer.Option("--data", parser=path, help="The data, if they have moved.")]
Run = Annotated[Path, typer.Argument(help="Run folder.")]
Smooth = Annotated[
    list[str],
    typer.Option(
        "--smooth",
        metavar="NAME=SCALE[,KEY=VALUE]",
        help="Part of the smoothing; repeats, in the order of application. Scales: noise, brightness: standard "
        "deviation in [0,1] intensities (float data: their units). contrast (about=0|mid), gamma "
        "(law=lognormal|rayleigh): of the log factor. blur: kernel variance in pixels^2 (law=exponential|uniform|"
        "folded-normal|rayleigh, border=reflect101|reflect|wrap). translation: whole pixels, cyclic. "
        "With --calibration also rotation: degrees, scaling: of the log factor, translation: fractions of pixels "
        "(border=, interpolation=bilinear|nearest|bicubic).",
    ),
]
AttackOption = Annotated[
    list[str],
    typer.Option(
        "--attack",
        metavar="NAME=LOW:HIGH",
        help="Certify this set: repeats; all combinations. NAME=VALUE a point (a ball for noise and translation), "
        "NAME=LOW:HIGH an interval, NAME=LOW:HIGH:POINTS a grid with nothing between. noise: l2 norm; brightness: "
        "[0,1] intensities; contrast, scaling: factor; gamma: exponent; blur: variance, pixels^2; translation: pixels; "
        "rotation: degrees (with --calibration, or modes slices and enumerate).",
    ),
]
GuaranteeName = Annotated[
    Literal["exact", "path"],
    typer.Option("--guarantee", help="exact (Neyman and Pearson), or path (General Lipschitz, put right): never more."),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        "--calibration", parser=path, help="File of smoothcert calibrate, for parts that compose up to an error."
    ),
]
ErrorRuleName = Annotated[
    Literal["tight", "paper"],
    typer.Option("--error-rule", help="How the calibrated error enters: tight, or paper (p_lower - e): never more."),
]
Border = Annotated[
    str,
    typer.Option(
        help="Of attacks to enumerate or to slice: black, wrap, reflect101 or replicate. (default: black)",
        show_default=False,
    ),
]
N = Annotated[int, typer.Option("--n", help="Samples an input: exactly (fixed, predict), at most (radius, target).")]
N0 = Annotated[int | None, typer.Option("--n0", help="Samples that choose the class. (default: 100; radius mode 1000)")]
Alpha = Annotated[float, typer.Option(help="Probability that a certificate may be wrong.")]
Mode = Annotated[
    str,
    typer.Option(
        help="fixed: n samples. radius: pilot, then as few as needed. target: --radii or --attack, sequential. "
        "slices: --attack rotation=LOW:HIGH or scaling=LOW:HIGH by pixel noise alone. "
        "enumerate: every member of a finite --attack, exact."
    ),
]
BoundName = Annotated[
    Literal["one-sided", "two-sided"],
    typer.Option("--bound", help="one-sided (Cohen et al.) or two-sided (bounds the runner-up too)."),
]
Radii = Annotated[
    str, typer.Option(help="Target radii for --mode target, ascending: 0.25,0.5,1; of the log for contrast, gamma.")
]
Limit = Annotated[int | None, typer.Option(help="Take at most this many inputs.")]
Skip = Annotated[int, typer.Option(help="Pass over the first inputs.")]
Shard = Annotated[
    str, typer.Option(metavar="I/K", help="Take every K-th input from the I-th on; give each shard the same --nonce.")
]
Nonce = Annotated[str, typer.Option(help="Text mixed into the run key. (default: drawn afresh, kept in the recipe)")]
RunOption = Annotated[
    Path | None,
    typer.Option("--run", parser=path, help="Run folder; the same command again continues it. (default: runs/...)"),
]
Provider = Annotated[str, typer.Option(help="cpu, cuda or tensorrt; the session is asked what it runs on.")]
Threads = Annotated[int | None, typer.Option(help="Host threads. (default: all cores)")]
Batch = Annotated[int | None, typer.Option("--batch-size", help="Samples a batch. (default: by input size)")]
Output = Annotated[str | None, typer.Option(help="Name of the scores or labels of a model with several outputs.")]
Scale = Annotated[float | None, typer.Option(help="Factor on the values. (default: 1/255 for 8-bit inputs, else 1)")]
Mean = Annotated[str, typer.Option(help="Subtracted after scaling, one value or one a channel: 0.485,0.456,0.406.")]
Std = Annotated[str, typer.Option(help="Divided by after that, likewise.")]
Resize = Annotated[
    int | None,
    typer.Option(parser=side, metavar="PIXELS", help="Resize images so that the shorter side has as many pixels."),
]
InterpolationName = Annotated[
    str | None,
    typer.Option("--interpolation", help="Of --resize: bilinear (default), nearest, bicubic, area or lanczos."),
]
Antialias = Annotated[bool, typer.Option("--antialias", help="Average areas where --resize shrinks.")]
Crop = Annotated[int | None, typer.Option(help="Then cut out the central square of this side.")]
Mask = Annotated[
    str,
    typer.Option(
        metavar="NAME[=SHARE]",
        help="Then black out all but a circle or rectangle, of this share of the sides: circle=1.",
    ),
]
LayoutName = Annotated[str, typer.Option("--layout", help="Of the model's input: auto, nchw, nhwc or flat.")]
Tf32 = Annotated[
    bool, typer.Option("--tf32", help="Allow TF32 on CUDA: faster, another function, named in the certificate.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No line or bar for each input.")]


def as_options(message: str, options: Mapping[str, str], *, named: bool = True) -> str:
    """A message of the library, which names arguments, with the options of the command line in their place.

    Arguments are the name before the first colon (unless not `named`), and those in backticks.

    >>> as_options("n0: expected 1, got 0; see `batch_size=1`", {"n0": "--n0", "batch_size": "--batch-size"})
    '--n0: expected 1, got 0; see --batch-size 1'
    """

    def option(found: re.Match[str]) -> str:
        name, value = found.group(1), found.group(2) or ""
        return f"{options[name]} {value}".rstrip() if name in options else found.group(0)

    name, colon, rest = message.partition(":")
    head = options.get(name, name) if named else name
    return re.sub(r"`(\w+)(?:=([^`]*))?`", option, head + colon + rest)
