"""Commands on run folders: merge, verify, audit, report. Heavy imports stay inside: `--help` answers at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import RunError, require
from . import options as opt
from .groups import grouped
from .messages import as_options

if TYPE_CHECKING:
    from ..runs.folder import Entry
    from ..runs.recipe import Recipe

app = typer.Typer()

UNCHECKED = 3  # exit code of a verify that found nothing wrong, but could not look at everything


@app.command(epilog="Example: smoothcert merge runs/all runs/shard1 runs/shard2")
def merge(
    out: Annotated[Path, typer.Argument(help="Run folder to make.")],
    shards: Annotated[list[Path], typer.Argument(help="Run folders of the shards.")],
) -> None:
    """Merge the run folders of shards into one, as if it had been one run."""
    from ..runs.folder import RunFolder
    from ..runs.folder import merge as merge_runs
    from ..runs.recipe import chosen

    count = merge_runs(RunFolder(out), [RunFolder(path) for path in shards])
    print(f"{out}: {count} of {len(chosen(RunFolder(out).recipe()))} inputs")


@app.command(epilog="Example: smoothcert verify runs/demo --redraw 3")
def verify(
    run: opt.RunFolder,
    redraw: Annotated[
        int | None, opt.statistic(metavar="K", help="Sample K inputs again too, and compare the votes exactly.")
    ] = None,
    model: opt.MovedModel = None,
    data: opt.MovedData = None,
    calibration: Annotated[Path | None, opt.of_run(metavar="FILE", help="The calibration, if it has moved.")] = None,
    surrogate: opt.MovedSurrogate = None,
    plugin: opt.Plugin = [],  # noqa: B006 - Typer's own lists
) -> None:
    """Decide every certificate of RUN again from its evidence, and check hashes.

    Exit code 1 if something is wrong; 3 if nothing is, but a check could not be made.
    """
    from ..runs.folder import RunFolder
    from ..runs.verify import verify as verify_run
    from .show import print_notes

    verdict = verify_run(RunFolder(run), model, data, calibration, surrogate, redraws=redraw)
    if verdict.redrawn:
        print_notes(verdict.redrawn.classifier)
        print(f"{verdict.redrawn.entries} inputs drawn again")
    files = {name: f"--{name}" for name in ("model", "data", "calibration", "surrogate")}
    for line in verdict.unchecked:
        print(f"not checked: {as_options(line, files, named=False)}")
    for line in verdict.wrong:
        print(f"wrong: {line}")
    some = len(verdict.unchecked)
    missed = f", {some} check{'s' * (some > 1)} could not be made" if some else ""
    print(f"{run}: {verdict.entries} entries ({verdict.attack_model}), {len(verdict.wrong)} problems{missed}")
    if verdict.wrong or verdict.unchecked:
        raise typer.Exit(1 if verdict.wrong else UNCHECKED)


@app.command(epilog="Example: smoothcert audit runs/demo --attacks 5 --limit 20")
def audit(
    run: opt.RunFolder,
    attacks: Annotated[int, opt.statistic(metavar="M", help="Attacks replayed for each certificate, at most.")] = 20,
    n: Annotated[int, opt.statistic(help="Fresh samples for each attack.")] = 1000,
    confidence: Annotated[float, opt.statistic(help="Probability that all confirmed answers are right.")] = 0.999,
    seed: Annotated[
        int | None, opt.statistic(help="Of the attacks and samples. (default: drawn afresh, kept in audit.json)")
    ] = None,
    provider: Annotated[
        opt.Provider | None,
        opt.on_machine(metavar="NAME", help="What runs the model: cpu, cuda or tensorrt. (default: the run's)"),
    ] = None,
    threads: opt.Threads = None,
    limit: Annotated[int | None, opt.of_run(help="Take at most this many certificates.")] = None,
    model: opt.MovedModel = None,
    data: opt.MovedData = None,
    surrogate: opt.MovedSurrogate = None,
    plugin: opt.Plugin = [],  # noqa: B006
    quiet: opt.Quiet = False,
) -> None:
    """Replay attacks inside the certified sets of RUN through the real pipeline. Exit code 1 if an answer changes."""
    from ..audit.audits import open_audit
    from ..report.audited import show_audit
    from ..runs.folder import RunFolder
    from .show import print_notes

    opened = open_audit(
        RunFolder(run),
        model=model,
        data=data,
        surrogate=surrogate,
        limit=limit,
        attacks=attacks,
        n=n,
        confidence=confidence,
        seed=seed,
        provider=provider or "",
        threads=threads,
    )
    print_notes(opened.classifier)
    if show_audit(opened, run, quiet=quiet):
        raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a report prints: the table, or one of the others."""

    radii: Annotated[
        str, opt.to_show(metavar="R,R,...", help="Radii of the table. (default: the run's targets, or a grid)")
    ] = ""
    evaluation: Annotated[
        bool,
        opt.to_show("--evaluation", help="How many are certified: with the base classifier's class, the right one."),
    ] = False
    region: Annotated[
        str,
        opt.to_show(
            metavar="NAME,NAME",
            help="Accuracy over a grid of two parameters, from the run's votes; each NAME or NAME=LOW:HIGH[:POINTS].",
        ),
    ] = ""
    ends: Annotated[
        int | None,
        opt.to_show(metavar="INDEX", help="A picture of that input at the ends of the set certified, or asked about."),
    ] = None
    tsv: Annotated[
        bool,
        opt.to_show("--tsv", help="The field's log: idx, label, predict, radius, correct, time, base, attack_model."),
    ] = False
    png: Annotated[
        Path | None, opt.to_show(metavar="FILE", help="Where the picture of --ends or --region goes. (default: in RUN)")
    ] = None

    def __post_init__(self) -> None:
        wanted = self.evaluation, self.ends is not None, bool(self.region), self.tsv
        names = "--evaluation", "--ends", "--region", "--tsv"
        others = [name for name, one in zip(names, wanted, strict=True) if one]
        require(len(others) < 2, f"{', '.join(others)}: expected one of them, a report has one output; run it twice")
        require(not self.radii or not others, f"--radii: expected for the table alone, got {', '.join(others)} too")
        drawn = others in (["--ends"], ["--region"])
        require(self.png is None or drawn, "--png: expected with --ends or --region, which draw a picture, got neither")


@app.command(epilog="Example: smoothcert report runs/demo --radii 0.25,0.5 --fail-under 0.5=90%")
@grouped
def report(
    run: opt.RunFolder,
    output: Output,
    fail_under: Annotated[
        str,
        opt.to_show(
            metavar="R=ACC",
            help="Exit code 1 where certified accuracy at radius R (0: the attack) is below ACC (0.9 or 90%).",
        ),
    ] = "",
    plugin: opt.Plugin = [],  # noqa: B006
) -> None:
    """Certified accuracy of RUN at radii, under its attack or over a region of two parameters; abstention and cost.

    Every certificate is decided again from its votes first; a run that does not follow from them is not reported.
    """
    from ..runs.decisions import require_decided
    from ..runs.folder import RunFolder
    from ..runs.recipe import chosen
    from .parse import goal, numbers
    from .show import print_warning

    least, radii = goal(fail_under), numbers("--radii", output.radii)
    require(min(radii, default=0.0) >= 0, f"--radii: expected radii >= 0, got {output.radii!r}")
    recipe, entries = RunFolder(run).recipe(), RunFolder(run).entries()
    if not entries:
        raise RunError(f"{run}: expected a ledger with entries, got none; run certify first")
    certifies = recipe["algorithm"]["mode"] != "predict" or not any((*radii, *(least or ())[:1]))
    require(certifies, "radii: expected none, or 0, for a run of predict, which certifies nothing")
    require_decided(run, recipe, entries)
    expected = len(chosen(recipe))
    if missing := expected - len({entry["index"] for entry in entries}):
        print(f"unfinished: {missing} of {expected} inputs are not in the ledger", file=sys.stderr)
    print_warning(entries)
    _print(recipe, entries, run, output, radii)
    if least and (missing or _below(recipe, entries, *least)):
        raise typer.Exit(1)


def _print(recipe: Recipe, entries: list[Entry], run: Path, output: Output, radii: tuple[float, ...]) -> None:
    from ..report import tsv
    from .parse import region
    from .show import print_ends, print_evaluation, print_region, print_report

    if output.evaluation:
        print_evaluation(recipe, entries)
    elif output.ends is not None:
        print_ends(recipe, entries, output.ends, run, output.png)
    elif output.region:
        print_region(recipe, entries, region(output.region), run, output.png)
    elif output.tsv:
        print("\n".join(tsv(entries)))
    else:
        print_report(recipe, entries, radii)


def _below(recipe: Recipe, entries: list[Entry], radius: float, least: float) -> bool:
    """Whether the accuracy at the radius is below the least that is wanted; a line says so."""
    from ..report import summarise

    got = summarise(recipe, entries, [radius]).accuracy[radius]
    if got < least:
        predicted = recipe["algorithm"]["mode"] == "predict"
        what = "smoothed accuracy" if predicted else f"certified accuracy at radius {radius:g}"
        print(f"{what} is {got:.4f}, under {least:g}", file=sys.stderr)
    return got < least
