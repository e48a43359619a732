"""`smoothcert advise`. Heavy imports stay inside: `--help` answers at once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..files.demo_files import shown
from . import options as opt
from .groups import grouped
from .parts import SEE
from .preprocessing import Normalisation, Pixels

if TYPE_CHECKING:
    from ..model.classifier import OrtClassifier
    from ..report.advised import PartAdvice
    from ..runs.advice import Advice

app = typer.Typer()

_EXAMPLES = r"""Examples:
  smoothcert advise demo:digits.onnx demo:digits.npz --limit 20
  smoothcert advise demo:digits.onnx demo:digits.npz --limit 20 \
      --smooth noise=0.25,0.5,1 --png advice.png"""
# Options that say how a run is made; of those alone, what was given to advice is given to the run that it prints.
_OWN = {"model", "data", "smooth", "n", "alpha", "radii", "limit", "skip", "quiet"}


@app.command(epilog=f"{SEE}\n\n{_EXAMPLES}")
@grouped
def advise(
    context: typer.Context,
    model: opt.Model,
    data: opt.Data,
    *,
    smooth: Annotated[
        list[str],
        opt.to_certify(
            metavar="NAME[=SCALE,...]",
            autocompletion=opt.part_names,
            help="Try this part, at these scales or at some that suit the data; repeats. Its options follow: "
            "blur=1,2,law=uniform. (default: every part that fits the data and needs no calibration)",
        ),
    ] = [],  # noqa: B006 - Typer's own lists
    denoiser: opt.Denoiser = "",
    denoiser_sigma: Annotated[
        float | None, opt.to_certify(metavar="SIGMA", help="Noise that the denoiser is told of, at every scale.")
    ] = None,
    output: opt.Output = None,
    plugin: opt.Plugin = [],  # noqa: B006
    samples: Annotated[
        int, opt.statistic(help="Votes for each input at each scale, rounded up to whole batches.")
    ] = 200,
    n: Annotated[int, opt.statistic(help="Samples for each input of the run that the figures are for.")] = 10_000,
    alpha: opt.Alpha = opt.Statistics.alpha,
    radii: Annotated[
        str,
        opt.statistic(metavar="R,R,...", help="Radii of the table, with one --smooth; for factors, of the logarithm."),
    ] = "",
    normalisation: Normalisation,
    spatial: Pixels,
    machine: opt.Machine,
    limit: Annotated[
        int | None, opt.of_run(help="Try that many inputs. (default: 100, or as many as half a minute allows)")
    ] = None,
    skip: opt.Skip = 0,
    quiet: Annotated[bool, opt.of_run("--quiet", "-q", help="Print no bar.")] = False,
    png: Annotated[
        Path | None, opt.to_show(metavar="FILE", help="A picture: certified accuracy against radius for each scale.")
    ] = None,
    tsv: Annotated[bool, opt.to_show("--tsv", help="A line for each figure, in place of the tables.")] = False,
) -> None:
    """Which scale to take for which part, and what certify will reach with it, from a few votes on the first inputs.

    Nothing is certified. The run that is printed leaves out the inputs that advice has seen.
    """
    from ..inputs.datasets import open_dataset
    from ..report.curves import draw
    from ..report.pictures import require_name
    from ..runs.advice import Wanted
    from ..runs.advice import advise as ask
    from .launch import classifier_of, denoiser_of
    from .parse import numbers, preprocess
    from .show import print_notes

    if png is not None:
        require_name(png)  # before anything takes time
    wanted = Wanted(tuple(smooth), numbers("--radii", radii), samples, n=n, alpha=alpha, skip=skip, limit=limit)
    said = preprocess(normalisation, spatial)
    classifier = classifier_of(model, output, machine, said, denoiser_of(denoiser, denoiser_sigma))
    if not tsv:
        print_notes(classifier)
    there = open_dataset(data, classifier.channels, classifier.sound)
    found = _watched(ask, classifier, there, wanted, quiet=quiet or tsv)
    parts = _shown(found, classifier, there, skip, "" if tsv else " ".join(_command(context, model, data)))
    if png is not None:
        draw(parts, found.run, png)
        if not tsv:
            print(f"picture: {png}")


def _watched(ask: Any, classifier: OrtClassifier, data: Any, wanted: Any, *, quiet: bool) -> Advice:
    from ..report.terminal import watched

    with watched("voting", wanted.limit or 100, quiet=quiet, done=0) as progress:
        found: Advice = ask(classifier, data, wanted, progress)
    return found


def _shown(advice: Advice, classifier: OrtClassifier, data: Any, skip: int, command: str) -> tuple[PartAdvice, ...]:
    """Print tables and lines; the log where there is no command to print."""
    from ..model.labels import sorted_by_label
    from ..report import advised
    from ..report.terminal import console

    parts = advised.parts_of(advice)
    if line := sorted_by_label(data, range(skip, skip + advice.inputs)):
        print(f"warning: {line}", file=sys.stderr)
    if not command:
        print("\n".join(advised.advice_tsv(parts, advice)))
        return parts
    terminal = console()
    machine = f"{classifier.provider} ({classifier.precision}, {classifier.threads} threads)"
    for line in advised.heading(advice, machine):
        terminal.print(line)
    for part in parts:
        terminal.print(advised.part_table(part))
        terminal.print(advised.part_line(part, advice))
        if advice.left:
            run = f"--n {advice.run.n} --alpha {advice.run.alpha:g} --skip {advice.following}"
            terminal.print(f"{command} --smooth {shlex.quote(part.taken[0].option)} {run}")
    if not advice.left:
        terminal.print("no input is left to certify: advice has seen them all; certify others, or give --limit")
    for line in _noted(parts, classifier, data, skip):
        terminal.print(line)
    for line in advised.weak_points(advice, parts):
        terminal.print(line)
    return parts


def _noted(parts: Iterable[PartAdvice], classifier: OrtClassifier, data: Any, skip: int) -> Iterator[str]:
    """A line where the model was trained with noise clearly other than what is advised."""
    from ..runs.asked import first
    from ..runs.preflight import trained_otherwise

    x = classifier.prepare(first(data, range(len(data))[skip:]).x)
    taken = (part.taken[0].rung.smoothing.parts for part in parts)
    yield from filter(None, (trained_otherwise(classifier.card, smoothed, x) for smoothed in taken))


def _command(context: typer.Context, model: Path, data: Path) -> Iterator[str]:
    """`smoothcert certify MODEL DATA`, and as they were typed those options that belong to that run too."""
    commands: Any = context.find_root().command
    certify, own = commands.commands["certify"], context.command
    known = {p.name for p in certify.params} - _OWN
    typed, _, _ = own.make_parser(context).parse_args(sys.argv[sys.argv.index("advise") + 1 :])
    yield from ("smoothcert certify", *(shlex.quote(shown(path)) for path in (model, data)))
    for option in (p for p in own.params if p.name in known and typed.get(p.name) is not None):
        given, name = typed[option.name or ""], option.opts[0]
        for value in given if isinstance(given, list) else [given]:
            yield name if getattr(option, "is_flag", False) else f"{name} {shlex.quote(str(value))}"
