"""`smoothcert calibrate`: measure how far transformations are from composing exactly, ahead of certifying."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArgumentError, require
from . import options as opt
from .check_commands import Plugin

if TYPE_CHECKING:
    from ..inputs.datasets import Dataset
    from ..inputs.spatial import Spatial

app = typer.Typer(
    help="Measure the interpolation error of rotation, scaling, translation and 8-bit colour changes.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Argument(help="Calibration file to write; the same command again continues it.")]
File = Annotated[Path, typer.Argument(help="Calibration file.")]
AttackRange = Annotated[
    list[str],
    typer.Option(
        "--attack",
        metavar="NAME=LOW:HIGH[:POINTS]",
        help="Range of attacks for each part, around the identity: degrees, pixels, factors, [0,1] intensities. A grid "
        "of POINTS with dataset-worst and input-sampling; translation=RADIUS, or =0:RADIUS:POINTS an axis.",
    ),
]
Strategy = Annotated[
    str,
    typer.Option(
        help="dataset-sampling: inputs, draws and attacks at random. dataset-worst: every attack of a grid. "
        "input-sampling: the same with bounds for each input alone. input-global: a search for each, heuristic."
    ),
]
Draws = Annotated[
    int | None, typer.Option(help="Draws of the smoothing an input. (default: 1; input-sampling 1000)", min=1)
]
Evaluations = Annotated[int | None, typer.Option(help="Of the search an input: input-global. (default: 2000)")]
Confidence = Annotated[float, typer.Option(help="Of the error's bounds: certificates add 1 - confidence to alpha.")]
Seed = Annotated[int, typer.Option(help="Of the draws; choose it ahead of the results.")]
Limit = Annotated[int | None, typer.Option(help="Take this many inputs, no fewer. (default: all)", show_default=False)]
Shard = Annotated[str, typer.Option(metavar="I/K", help="Take every K-th input from the I-th on; see merge.")]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", parser=opt.path, help="Take preprocessing and grey or colour from this model, as certify does."
    ),
]
Grey = Annotated[
    bool | None, typer.Option("--grey/--colour", help="How image files are read. (default: colour, or as the model)")
]
Below = Annotated[str, typer.Option(help="Thresholds t of P(E < t), chosen ahead of the data: 1,1.25,1.5.")]
RotationScale = Annotated[float, typer.Option(help="Rotation: standard deviation of the smoothing, degrees.")]


@app.command()
def measure(
    context: typer.Context,
    data: opt.Data,
    out: Out,
    smooth: opt.Smooth = [],  # noqa: B006 - Typer's own lists
    attack: AttackRange = [],  # noqa: B006
    strategy: Strategy = "dataset-sampling",
    draws: Draws = None,
    evaluations: Evaluations = None,
    confidence: Confidence = 0.999,
    seed: Seed = 0,
    limit: Limit = None,
    skip: opt.Skip = 0,
    shard: Shard = "1/1",
    threads: opt.Threads = None,
    resize: opt.Resize = None,
    interpolation: opt.InterpolationName = None,
    antialias: opt.Antialias = False,
    crop: opt.Crop = None,
    mask: opt.Mask = "",
    model: Model = None,
    grey: Grey = None,
    plugin: Plugin = [],  # noqa: B006
    quiet: opt.Quiet = False,
) -> None:
    """Measure the error of the parts of --smooth (without noise) over DATA, for attacks of --attack; write OUT."""
    from smoothcert_calibration.measure import measure as measured
    from smoothcert_calibration.plan import plan_of
    from smoothcert_calibration.show import lines, tables

    from ..report.terminal import watched
    from ..smoothing import Attack, parse_part

    require(bool(smooth), "--smooth: expected at least one NAME=SCALE, such as rotation=5, got none")
    parts = tuple(parse_part(text) for text in smooth)
    asked = Attack.parse(attack)
    if asked is None:
        raise ArgumentError(f"--attack: expected a range for every part, such as {parts[0].name}=LOW:HIGH, got none")
    images, spatial = _opened(context.params)
    plan = plan_of(
        images,
        data.resolve().name,
        parts,
        asked,
        strategy=strategy,
        draws=draws,
        evaluations=evaluations,
        confidence=confidence,
        seed=seed,
        spatial=spatial,
        skip=skip,
        limit=limit,
        shard=shard,
    )
    there = out.exists()
    with watched("calibrating", len(plan.indices), quiet=quiet) as progress:
        file = measured(plan, images, out, threads=threads, progress=progress)
    print(f"{out}: finished before, left as it is" if there else f"{out}: written, SHA-256 {file.head['sha256']}")
    if not quiet:
        _print(lines(file), tables(file))


@app.command()
def show(
    file: File,
    below: Below = "",
    png: Annotated[Path | None, typer.Option(help="Draw the histogram of the errors there.")] = None,
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """What FILE measured, what may be claimed with it, P(E < t), and the bounds that certificates may use."""
    from smoothcert_calibration.histogram import draw
    from smoothcert_calibration.show import lines, tables

    from ..calibration_file import read

    thresholds = _thresholds(below)
    found = read(file)
    used = png is not None or not found.calibration.per_input
    require(used or not thresholds, "--below: expected for a dataset strategy, or with --png, got bounds of each input")
    _print(lines(found), tables(found, thresholds))
    if png:
        draw(found, png, thresholds)
        print(f"histogram: {png}")


@app.command()
def table(
    context: typer.Context,
    data: opt.Data,
    scale: RotationScale = 5.0,
    range_: Annotated[float, typer.Option("--range", help="Rotation: attacks to both sides, degrees.")] = 10.0,
    translation_scale: Annotated[float, typer.Option(help="Translation: standard deviation, pixels.")] = 2.0,
    translation_range: Annotated[float, typer.Option(help="Translation: radius of the attacks, pixels.")] = 2.0,
    below: Below = "1,1.25,1.5",
    draws: Draws = None,
    confidence: Confidence = 0.999,
    seed: Seed = 0,
    limit: Limit = None,
    skip: opt.Skip = 0,
    threads: opt.Threads = None,
    resize: opt.Resize = None,
    interpolation: opt.InterpolationName = None,
    antialias: opt.Antialias = False,
    crop: opt.Crop = None,
    mask: opt.Mask = "",
    model: Model = None,
    grey: Grey = None,
    quiet: opt.Quiet = False,
) -> None:
    """P(E < t) of rotation and translation by three interpolations over DATA: Fischer et al. 2020, table 1."""
    from smoothcert_calibration.table import plans, worst_errors
    from smoothcert_calibration.table import table as table_of

    from ..report.terminal import watched

    thresholds = _thresholds(below)
    images, spatial = _opened(context.params)
    asked = plans(
        images,
        data.resolve().name,
        rotation=(scale, range_),
        translation=(translation_scale, translation_range),
        spatial=spatial,
        draws=draws or 1,
        confidence=confidence,
        seed=seed,
        skip=skip,
        limit=limit,
    )
    with watched("calibrating", len(asked[0].indices), quiet=quiet) as progress:
        worst = worst_errors(asked, images, threads=threads, progress=progress)
    _print([], [table_of(asked, worst, thresholds)])


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="Calibration file to write.")],
    files: Annotated[list[Path], typer.Argument(help="Calibration files of all shards.")],
) -> None:
    """Put the calibrations of shards together: the same bytes as if measured at once."""
    from smoothcert_calibration.merge import merge as merged

    file = merged(out, files)
    print(f"{out}: {len(file.errors)} inputs of {len(files)} shards, SHA-256 {file.head['sha256']}")


def _opened(o: Mapping[str, Any]) -> tuple[Dataset, Spatial]:
    """The data set and the pipeline that the options, or the model, name."""
    from ..inputs.datasets import open_dataset
    from ..inputs.spatial import PLAIN
    from ..model.preprocess import Preprocess
    from .launch import spatial

    require(o["threads"] is None or o["threads"] > 0, f"--threads: expected at least 1, got {o['threads']}")
    way, channels = spatial(o), {None: None, True: 1, False: 3}[o["grey"]]
    if o["model"] is not None:
        from ..model.classifier import OrtClassifier

        require(channels is None, "--grey, --colour: the model says which; leave them out with --model")
        asked = None if way == PLAIN else Preprocess(spatial=way)
        classifier = OrtClassifier(o["model"], threads=1, preprocess=asked)
        way, channels = classifier.preprocess.spatial, classifier.channels
    return open_dataset(o["data"], channels), way


def _thresholds(text: str) -> tuple[float, ...]:
    from .launch import numbers

    values = numbers("--below", text)
    require(all(value > 0 for value in values), f"--below: expected thresholds > 0, got {text!r}")
    return values


def _print(lines: list[str], tables: list[Any]) -> None:
    from ..report.terminal import console

    terminal = console()
    for part in (*lines, *tables):
        terminal.print(part)
