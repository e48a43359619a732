"""`smoothcert calibrate`: measure how far transformations are from composing exactly, ahead of certifying."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import require
from . import options as opt
from .groups import grouped
from .parts import SEE
from .preprocessing import Normalisation, Pixels, ahead

if TYPE_CHECKING:
    from ..calibration_file import CalibrationFile
    from ..inputs.datasets import Dataset
    from ..inputs.spatial import Spatial
    from ..smoothing import Attack, Part

app = typer.Typer(
    help="Measure the error of rotation, scaling, shear, translation, 8-bit colours and plugins.", no_args_is_help=True
)

to_measure = partial(typer.Option, rich_help_panel="What to measure")
parts_to_measure = partial(to_measure, autocompletion=opt.part_names)

Strategy = Literal["dataset-sampling", "dataset-worst", "input-sampling", "input-global"]
Limit = Annotated[int | None, opt.of_run(help="Take this many inputs, no fewer. (default: all)", show_default=False)]
Below = Annotated[
    str, opt.statistic(metavar="T,T,...", help="Thresholds t of P(E < t), chosen ahead of the data: 1,1.25,1.5.")
]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured, and how the attacks on it are chosen."""

    smooth: Annotated[
        list[str], parts_to_measure(metavar="NAME=SCALE", help="Part of the smoothing, not noise; repeats, in order.")
    ] = field(default_factory=list)
    attack: Annotated[
        list[str],
        parts_to_measure(
            metavar="NAME=LOW:HIGH",
            help="Range of attacks for each part, around the identity. NAME=LOW:HIGH:POINTS is a grid, which "
            "dataset-worst and input-sampling need. translation=RADIUS, or =0:RADIUS:POINTS an axis.",
        ),
    ] = field(default_factory=list)
    strategy: Annotated[
        Strategy,
        to_measure(
            metavar="NAME",
            help="dataset-sampling: inputs, draws and attacks at random."
            "\n\ndataset-worst: every attack of a grid."
            "\n\ninput-sampling: the same with bounds for each input alone."
            "\n\ninput-global: a search for each input, heuristic.",
        ),
    ] = "dataset-sampling"
    evaluations: Annotated[int | None, to_measure(metavar="N", help="Of input-global's search. (default: 2000)")] = None

    def asked(self) -> tuple[tuple[Part, ...], Attack]:
        from ..smoothing import Attack, parse_part
        from .parse import attack

        require(bool(self.smooth), "--smooth: expected at least one NAME=SCALE, such as rotation=5, got none")
        parts = tuple(parse_part(text) for text in self.smooth)
        name = parts[0].name
        require(bool(self.attack), f"--attack: expected a range for every part, such as {name}=LOW:HIGH, got none")
        return parts, attack(self.attack) or Attack(())


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How many draws, and what they depend on."""

    draws: Annotated[
        int | None, opt.statistic(metavar="N", min=1, help="Draws for each input. (default: 1; input-sampling 1000)")
    ] = None
    confidence: Annotated[float, opt.statistic(help="Of the bounds: certificates add 1 - confidence to alpha.")] = 0.999
    seed: Annotated[int, opt.statistic(help="Of the draws; choose it ahead of the results.")] = 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """How images are read and brought to the model's pixels: as the options say, or as a model does."""

    spatial: Pixels = field(default_factory=Pixels)
    model: Annotated[
        Path | None, ahead(parser=opt.path, metavar="FILE", help="Preprocess, and read files, as this model says.")
    ] = None
    grey: Annotated[
        bool | None, ahead("--grey/--colour", help="How image files are read. (default: colour, or as the model)")
    ] = None

    def opened(self, data: Path, threads: int | None) -> tuple[Dataset, Spatial]:
        from ..inputs.datasets import open_dataset
        from ..inputs.recordings import ANY
        from .parse import preprocess, spatial

        require(threads is None or threads > 0, f"--threads: expected at least 1, got {threads}")
        way, channels, sound = spatial(self.spatial), {None: None, True: 1, False: 3}[self.grey], ANY
        if self.model is not None:
            from ..model.classifier import OrtClassifier

            require(channels is None, "--grey, --colour: the model says which; leave them out with --model")
            classifier = OrtClassifier(self.model, threads=1, preprocess=preprocess(Normalisation(), self.spatial))
            way, channels, sound = classifier.preprocess.spatial, classifier.channels, classifier.sound
        return open_dataset(data, channels, sound), way


@app.command(
    epilog=f"{SEE}\n\nExample:\n  smoothcert calibrate measure demo:digits.npz contrast.cal \\\n      "
    "--smooth contrast=0.3 --attack contrast=0.7:1.4"
)
@grouped
def measure(
    data: opt.Data,
    out: Annotated[Path, typer.Argument(help="Calibration file to write; the same command again continues it.")],
    *,
    measured: Measured,
    draws: Draws,
    source: Source,
    threads: opt.Threads = None,
    limit: Limit = None,
    skip: opt.Skip = 0,
    shard: Annotated[str, opt.of_run(metavar="I/K", help="Take every K-th input from the I-th on; see merge.")] = "1/1",
    plugin: opt.Plugin = [],  # noqa: B006 - Typer's own lists
    quiet: opt.Quiet = False,
) -> None:
    """Measure the error of the parts of --smooth (without noise) over DATA, for attacks of --attack; write OUT."""
    from smoothcert_calibration.measure import measure as write
    from smoothcert_calibration.plan import plan_of

    from ..report.terminal import watched

    asked, (images, spatial) = measured.asked(), source.opened(data, threads)
    plan = plan_of(
        images,
        data.resolve().name,
        *asked,
        strategy=measured.strategy,
        draws=draws.draws,
        evaluations=measured.evaluations,
        confidence=draws.confidence,
        seed=draws.seed,
        spatial=spatial,
        skip=skip,
        limit=limit,
        shard=shard,
    )
    there = out.exists()
    with watched("calibrating", len(plan.indices), quiet=quiet) as progress:
        file = write(plan, images, out, threads=threads, progress=progress)
    print(f"{out}: finished before, left as it is" if there else f"{out}: written, SHA-256 {file.head['sha256']}")
    if not quiet:
        _print_file(file)


@app.command(epilog="Example: smoothcert calibrate show contrast.cal --png errors.png")
def show(
    file: Annotated[Path, typer.Argument(help="Calibration file.")],
    below: Below = "",
    png: Annotated[Path | None, opt.to_show(metavar="FILE", help="Draw the histogram of the errors there.")] = None,
    plugin: opt.Plugin = [],  # noqa: B006
) -> None:
    """What FILE measured, what may be claimed with it, P(E < t), and the bounds that certificates may use."""
    from smoothcert_calibration.histogram import draw

    from ..calibration_file import read

    thresholds, found = _thresholds(below), read(file)
    used = png is not None or not found.calibration.per_input
    require(used or not thresholds, "--below: expected for a dataset strategy, or with --png, got bounds of each input")
    _print_file(found, thresholds)
    if png:
        draw(found, png, thresholds)
        print(f"histogram: {png}")


@app.command(epilog="Example: smoothcert calibrate table demo:digits.npz --limit 20")
@grouped
def table(
    data: opt.Data,
    *,
    scale: Annotated[float, to_measure(help="Rotation: standard deviation of the smoothing, degrees.")] = 5.0,
    range_: Annotated[float, to_measure("--range", help="Rotation: attacks to both sides, degrees.")] = 10.0,
    translation_scale: Annotated[float, to_measure(help="Translation: standard deviation, pixels.")] = 2.0,
    translation_range: Annotated[float, to_measure(help="Translation: radius of the attacks, pixels.")] = 2.0,
    below: Below = "1,1.25,1.5",
    draws: Draws,
    source: Source,
    threads: opt.Threads = None,
    limit: Limit = None,
    skip: opt.Skip = 0,
    quiet: opt.Quiet = False,
) -> None:
    """P(E < t) of rotation and translation by three interpolations over DATA: Fischer et al. 2020, table 1."""
    from smoothcert_calibration import table as fischer

    from ..report.terminal import console, watched

    thresholds, (images, spatial) = _thresholds(below), source.opened(data, threads)
    asked = fischer.plans(
        images,
        data.resolve().name,
        rotation=(scale, range_),
        translation=(translation_scale, translation_range),
        spatial=spatial,
        draws=draws.draws or 1,
        confidence=draws.confidence,
        seed=draws.seed,
        skip=skip,
        limit=limit,
    )
    with watched("calibrating", len(asked[0].indices), quiet=quiet) as progress:
        worst = fischer.worst_errors(asked, images, threads=threads, progress=progress)
    console().print(fischer.table(asked, worst, thresholds))


@app.command(epilog="Example: smoothcert calibrate merge all.cal shard1.cal shard2.cal")
def merge(
    out: Annotated[Path, typer.Argument(help="Calibration file to write.")],
    files: Annotated[list[Path], typer.Argument(help="Calibration files of all shards.")],
) -> None:
    """Put the calibrations of shards together: the same bytes as if measured at once."""
    from smoothcert_calibration.merge import merge as merged

    file = merged(out, files)
    print(f"{out}: {len(file.errors)} inputs of {len(files)} shards, SHA-256 {file.head['sha256']}")


def _thresholds(text: str) -> tuple[float, ...]:
    from .parse import numbers

    values = numbers("--below", text)
    require(all(value > 0 for value in values), f"--below: expected thresholds > 0, got {text!r}")
    return values


def _print_file(file: CalibrationFile, thresholds: tuple[float, ...] = ()) -> None:
    from smoothcert_calibration.show import lines, tables

    from ..report.terminal import console

    for part in (*lines(file), *tables(file, thresholds)):
        console().print(part)
