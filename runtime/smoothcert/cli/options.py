"""Groups of command-line options that several commands share, each option with its help, unit and default."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..files.demo_files import PREFIX, demo_file
from .preprocessing import Normalisation, Pixels


def part_names(incomplete: str) -> list[tuple[str, str]]:
    """Completions of a part's name on the command line, each with what it does."""
    from ..smoothing import TRANSFORMS

    return [(f"{name}=", kind.help) for name, kind in TRANSFORMS.items() if name.startswith(incomplete)]


def path(text: str) -> Path:
    """A path as given, or behind `demo:` a file that comes with the package; the parser of every path that is read."""
    return demo_file(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else Path(text)


Mode = Literal["fixed", "radius", "target", "slices", "enumerate"]
Bound = Literal["one-sided", "two-sided"]
Guarantee = Literal["exact", "path", "paper"]
ErrorRule = Literal["tight", "paper"]
Border = Literal["black", "wrap", "reflect101", "replicate"]
Provider = Literal["cpu", "cuda", "tensorrt"]

to_certify = partial(typer.Option, rich_help_panel="What to certify")
statistic = partial(typer.Option, rich_help_panel="Statistics")
on_machine = partial(typer.Option, rich_help_panel="Machine")
of_run = partial(typer.Option, rich_help_panel="Run")
to_show = partial(typer.Option, rich_help_panel="What to show")

Model = Annotated[
    Path,
    typer.Argument(parser=path, help="ONNX classifier: one input; scores or labels as output. Or demo:digits.onnx."),
]
Data = Annotated[
    Path,
    typer.Argument(
        parser=path,
        help=".npz file (x, and y where there are labels), image folder (a subfolder for each class) or .csv file "
        "(path,label). demo:digits.npz comes with smoothcert.",
    ),
]
RunFolder = Annotated[Path, typer.Argument(help="Run folder.")]
MovedModel = Annotated[Path | None, of_run("--model", parser=path, metavar="FILE", help="The model, if it has moved.")]
MovedSurrogate = Annotated[
    Path | None, of_run("--surrogate", parser=path, metavar="FOLDER", help="The surrogate, if it has moved.")
]
MovedDenoiser = Annotated[
    Path | None, of_run("--denoiser", parser=path, metavar="FILE", help="The denoiser, if it has moved.")
]
MovedData = Annotated[Path | None, of_run("--data", parser=path, metavar="FILE", help="The data, if they have moved.")]


def load_plugins(names: Iterable[str]) -> None:
    """Run the files of --plugin, ahead of all that names transformations."""
    names = list(names)
    if names:
        from ..smoothing.plugins import load_plugin

        for name in names:
            load_plugin(name)


def _load(context: typer.Context, names: list[str]) -> list[str]:
    if not context.resilient_parsing:  # a shell that completes a line runs nothing
        load_plugins(names)
    return names


Plugin = Annotated[
    list[str],
    to_certify(
        "--plugin",
        metavar="FILE",
        callback=_load,
        is_eager=True,  # ahead of all other options, and of the command
        help="Python file with transformations of your own, or the name of an installed one; it is run. Repeats.",
    ),
]
Smooth = Annotated[
    list[str],
    to_certify(
        metavar="NAME=SCALE",
        autocompletion=part_names,
        help="How each input is changed at random, and how strongly: the answer certified is what the model says to "
        "most of the changed inputs. NAME is a part, see smoothcert parts; its own options follow it: "
        "blur=2,law=uniform. Repeat --smooth for several parts, in the order in which they act.",
    ),
]
Calibration = Annotated[
    Path | None,
    to_certify(
        parser=path,
        metavar="FILE",
        help="File of smoothcert calibrate; rotation, scaling, shear and shifts by fractions of a pixel need one.",
    ),
]
Output = Annotated[
    str | None, to_certify(metavar="NAME", help="The model's output with scores or labels, where it has several.")
]
Denoiser = Annotated[
    str,
    to_certify(
        metavar="FILE[,NAME=VALUE]",
        help="ONNX denoiser between noise and model: the model gets its clean images, and needs no training with "
        "noise. By default it takes [0,1] and gives the clean image."
        "\n\nrange=-1:1: what black and white are to it; 0:255 for levels."
        "\n\noutput=noise: it gives the noise."
        "\n\ninput.NAME=VALUE: what another input gets: a number, sigma (the noise's deviation in that range), step."
        "\n\ndiffusion=linear or cosine, steps=1000: it inverts a diffusion, at the step of that noise; or "
        "diffusion=ABAR."
        "\n\nvariance=learned: the first half of its channels. channels=bgr. clip=no. See docs/denoising.md.",
    ),
]
DenoiserSigma = Annotated[
    float | None,
    to_certify(metavar="SIGMA", help="Noise that the denoiser is told of. (default: that of --smooth noise=SIGMA)"),
]
Alpha = Annotated[float, statistic(help="Probability that a certificate may be wrong.")]
Threads = Annotated[int | None, on_machine(help="Threads on this machine. (default: all cores)")]
Skip = Annotated[int, of_run(help="Leave out that many inputs at the start.")]
Quiet = Annotated[bool, of_run("--quiet", "-q", help="Print no line or bar for each input.")]


@dataclass(frozen=True, kw_only=True)
class ToCertify:
    """What is to be certified."""

    smooth: Smooth = field(default_factory=list)
    attack: Annotated[
        list[str],
        to_certify(
            metavar="NAME=LOW:HIGH",
            autocompletion=part_names,
            help="Certify that no change of this set alters the answer; repeat --attack for several parts: all "
            "combinations. Without it, each input gets the largest radius that can be certified."
            "\n\nNAME=LOW:HIGH: all values between."
            "\n\nNAME=VALUE: one value; of noise and translation, all up to it."
            "\n\nNAME=LOW:HIGH:POINTS: as many values, and nothing promised between them.",
        ),
    ] = field(default_factory=list)
    guarantee: Annotated[
        Guarantee,
        to_certify(
            metavar="NAME",
            help="exact: the best bound there is (Neyman and Pearson). path: that of General Lipschitz, corrected; "
            "never better. paper: of a surrogate, the bound of its paper, by --calibration.",
        ),
    ] = "exact"
    calibration: Calibration = None
    error_rule: Annotated[
        ErrorRule,
        to_certify(
            metavar="NAME",
            help="How the error that a calibration measured enters: tight, or paper, which takes it off p_lower and is "
            "never better.",
        ),
    ] = "tight"
    plugin: Plugin = field(default_factory=list)
    border: Annotated[
        Border | None,
        to_certify(
            metavar="NAME",
            help="With modes slices and enumerate: what fills the places that an attack leaves open: black, wrap, "
            "reflect101 or replicate. (default: black)",
        ),
    ] = None
    denoiser: Denoiser = ""
    denoiser_sigma: DenoiserSigma = None
    output: Output = None


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """How many samples, and what is concluded from them."""

    mode: Annotated[
        Mode,
        statistic(
            metavar="NAME",
            help="fixed: --n samples for each input."
            "\n\nradius: a few samples first, then as few as the radius they promise needs."
            "\n\ntarget: samples until --radii or --attack is certified or out of reach."
            "\n\nslices: --attack on rotation, scaling or shear, alone or with brightness behind it, is cut into "
            "small steps, each covered by noise."
            "\n\nenumerate: the model is asked about every member of a finite --attack, without samples.",
        ),
    ] = "fixed"
    n: Annotated[
        int, statistic(help="Samples for each input: exactly (mode fixed) or at most (radius, target, slices).")
    ] = 100_000
    n0: Annotated[
        int | None, statistic(help="Samples that choose the class, ahead of those. (default: 100; mode radius: 1000)")
    ] = None
    alpha: Alpha = 0.001
    bound: Annotated[
        Bound,
        statistic(
            metavar="NAME",
            help="one-sided: bound the probability of the first class alone. two-sided: that of the second as well.",
        ),
    ] = "one-sided"
    radii: Annotated[
        str,
        statistic(
            metavar="R,R,...",
            help="With mode target: the radii to certify, ascending, such as 0.25,0.5,1; for contrast, gamma and "
            "scaling they are those of the logarithm.",
        ),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the model runs on."""

    provider: Annotated[Provider, on_machine(metavar="NAME", help="What runs the model: cpu, cuda or tensorrt.")] = (
        "cpu"
    )
    threads: Threads = None
    batch_size: Annotated[int | None, on_machine(help="Samples in a batch. (default: by the input's size)")] = None
    tf32: Annotated[
        bool, on_machine("--tf32", help="Allow TF32 on CUDA: faster, another function, named in the certificate.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """Which inputs, and where the results go."""

    folder: Annotated[
        Path | None,
        of_run(
            "--run",
            parser=path,
            metavar="FOLDER",
            help="Where results go; the same command again continues it. (default: runs/...)",
        ),
    ] = None
    limit: Annotated[int | None, of_run(help="Take at most this many inputs.")] = None
    skip: Skip = 0
    shard: Annotated[
        str, of_run(metavar="I/K", help="Take every K-th input from the I-th on; give each shard the same --nonce.")
    ] = "1/1"
    nonce: Annotated[
        str, of_run(help="Text that the draws depend on. (default: drawn afresh, kept in the run folder)")
    ] = ""
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How and where a run is made."""

    normalisation: Normalisation = field(default_factory=Normalisation)
    spatial: Pixels = field(default_factory=Pixels)
    machine: Machine = field(default_factory=Machine)
    run: Run = field(default_factory=Run)
