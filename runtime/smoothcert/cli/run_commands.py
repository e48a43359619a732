"""Commands on run folders: merge, verify, audit, report. Heavy imports stay inside: `--help` answers at once."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ArgumentError, RunError, require
from . import options as opt
from .check_commands import Plugin

UNCHECKED = 3  # exit code of a verify that found nothing wrong, but could not look at everything


def merge(
    out: Annotated[Path, typer.Argument(help="Run folder to make.")],
    shards: Annotated[list[Path], typer.Argument(help="Run folders of the shards.")],
) -> None:
    """Merge the run folders of shards into one, as if it had been one run."""
    from ..runs.folder import RunFolder, chosen
    from ..runs.folder import merge as merge_runs

    count = merge_runs(RunFolder(out), [RunFolder(path) for path in shards])
    print(f"{out}: {count} of {len(chosen(RunFolder(out).recipe()))} inputs")


def verify(
    run: opt.Run,
    model: opt.MovedModel = None,
    data: opt.MovedData = None,
    calibration: Annotated[Path | None, typer.Option(help="The calibration file, if it has moved.")] = None,
    redraw: Annotated[
        int | None, typer.Option(metavar="K", help="Sample K inputs again too, and compare the votes exactly.")
    ] = None,
    plugin: Plugin = [],  # noqa: B006 - Typer's own lists
) -> None:
    """Decide every certificate of RUN again from its evidence, and check hashes.

    Exit code 1 if something is wrong; 3 if nothing is, but a check could not be made.
    """
    from ..runs.folder import RunFolder
    from ..runs.redraw import redraw as draw_again
    from ..runs.verify import verify as verify_run

    verdict = verify_run(RunFolder(run), model, data, calibration)
    if redraw is not None:
        again = draw_again(RunFolder(run), redraw, model, data)
        moved = {"model": "--model", "data": "--data"}
        undrawn = tuple(opt.as_options(line, moved, named=False) for line in again.unchecked)
        known = tuple(line for line in verdict.unchecked if not any(line in other for other in undrawn))
        verdict = replace(verdict, wrong=(*verdict.wrong, *again.wrong), unchecked=(*known, *undrawn))
        print(f"{again.entries} inputs drawn again")
    for line in verdict.unchecked:
        print(f"not checked: {line}")
    for line in verdict.wrong:
        print(f"wrong: {line}")
    some = len(verdict.unchecked)
    missed = f", {some} check{'s' * (some > 1)} could not be made" if some else ""
    print(f"{run}: {verdict.entries} entries ({verdict.attack_model}), {len(verdict.wrong)} problems{missed}")
    if verdict.wrong or verdict.unchecked:
        raise typer.Exit(1 if verdict.wrong else UNCHECKED)


def audit(
    run: opt.Run,
    attacks: Annotated[int, typer.Option(metavar="M", help="Attacks on each certificate, at most.")] = 20,
    n: Annotated[int, typer.Option("--n", help="Fresh samples for each attack.")] = 1000,
    confidence: Annotated[float, typer.Option(help="Probability that all confirmed answers are right.")] = 0.999,
    seed: Annotated[
        int | None, typer.Option(help="Of the attacks and samples. (default: drawn afresh, kept in audit.json)")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take at most this many certificates.")] = None,
    model: opt.MovedModel = None,
    data: opt.MovedData = None,
    provider: Annotated[str, typer.Option(help="cpu, cuda or tensorrt. (default: the run's)", show_default=False)] = "",
    threads: opt.Threads = None,
    plugin: Plugin = [],  # noqa: B006
    quiet: opt.Quiet = False,
) -> None:
    """Replay attacks inside the certified sets of RUN through the real pipeline. Exit code 1 if an answer changes."""
    from ..audit.audits import open_audit
    from ..report.audited import show_audit
    from ..runs.folder import RunFolder

    opened = open_audit(
        RunFolder(run),
        model=model,
        data=data,
        limit=limit,
        attacks=attacks,
        n=n,
        confidence=confidence,
        seed=seed,
        provider=provider,
        threads=threads,
    )
    if show_audit(opened, run, quiet=quiet):
        raise typer.Exit(1)


def report(
    run: opt.Run,
    radii: Annotated[str, typer.Option(help="Radii of the table. (default: the run's targets, or a grid)")] = "",
    tsv: Annotated[
        bool,
        typer.Option("--tsv", help="The field's log: idx, label, predict, radius, correct, time, base, attack_model."),
    ] = False,
    fail_under: Annotated[
        str,
        typer.Option(
            metavar="R=ACC",
            help="Exit code 1 where certified accuracy at radius R (0: the attack) is below ACC (0.9 or 90%).",
        ),
    ] = "",
    region: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME",
            help="Accuracy over a grid of two parameters, from the run's votes; each NAME or NAME=LOW:HIGH[:POINTS].",
        ),
    ] = "",
    ends: Annotated[
        int | None,
        typer.Option(
            metavar="INDEX", help="A picture of that input at the ends of its certified set, or of the set asked about."
        ),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="Where the picture of --ends or --region goes. (default: in RUN)")
    ] = None,
    evaluation: Annotated[
        bool,
        typer.Option(
            "--evaluation", help="How many are certified, with the base classifier's class, with the right one."
        ),
    ] = False,
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Certified accuracy of RUN at radii, under its attack or over a region of two parameters; abstention and cost.

    Every certificate is decided again from its votes first; a run that does not follow from them is not reported.
    """
    from ..report import summarise
    from ..report import tsv as tsv_lines
    from ..runs.decisions import require_decided
    from ..runs.folder import RunFolder, chosen
    from .launch import numbers
    from .show import print_ends, print_evaluation, print_region, print_report, print_warning

    asked = {"--evaluation": evaluation, "--ends": ends is not None, "--region": bool(region), "--tsv": tsv}
    outputs = [name for name, wanted in asked.items() if wanted]
    require(len(outputs) < 2, f"{', '.join(outputs)}: expected one of them, a report has one output; run it twice")
    require(not radii or not outputs, f"--radii: expected for the table alone, got {', '.join(outputs)} too")
    drawn = outputs and outputs[0] in ("--ends", "--region")
    require(png is None or bool(drawn), "--png: expected with --ends or --region, which draw a picture, got neither")
    goals = _goal(fail_under)
    wanted = numbers("--radii", radii)
    if min(wanted, default=0.0) < 0:
        raise ArgumentError(f"--radii: expected radii >= 0, got {radii!r}")
    folder = RunFolder(run)
    recipe, entries = folder.recipe(), folder.entries()
    if not entries:
        raise RunError(f"{run}: expected a ledger with entries, got none; run certify first")
    predicted = recipe["algorithm"].get("mode") == "predict"
    radius = max((*wanted, *goals[:1]), default=0.0)
    require(not predicted or radius == 0, "radii: expected none, or 0, for a run of predict, which certifies nothing")
    require_decided(run, recipe, entries)
    expected = len(chosen(recipe))
    missing = expected - len({entry["index"] for entry in entries})
    if missing:
        print(f"unfinished: {missing} of {expected} inputs are not in the ledger", file=sys.stderr)
    print_warning(entries)
    if evaluation:
        print_evaluation(recipe, entries)
    elif ends is not None:
        print_ends(recipe, entries, ends, run, png)
    elif region:
        print_region(recipe, entries, region, run, png)
    elif tsv:
        print("\n".join(tsv_lines(entries)))
    else:
        print_report(recipe, entries, wanted)
    if goals:
        if missing:
            raise typer.Exit(1)
        r, goal = goals
        got = summarise(recipe, entries, [r]).accuracy[r]
        if got < goal:
            what = "smoothed accuracy" if predicted else f"certified accuracy at radius {r:g}"
            print(f"{what} is {got:.4f}, under {goal:g}", file=sys.stderr)
            raise typer.Exit(1)


def _goal(text: str) -> tuple[float, ...]:
    """Radius and share of `0.5=0.9` or `0.5=90%`; none of an empty text."""
    from .launch import numbers

    radius, _, share = text.partition("=")
    goals = (*numbers("--fail-under R=ACC", radius), *numbers("--fail-under R=ACC", share.removesuffix("%")))
    require(not text or len(goals) == 2, f"--fail-under: expected R=ACC, such as 0.5=0.9, got {text!r}")
    if not text:
        return ()
    r, goal = goals[0], goals[1] / (100 if share.endswith("%") else 1)
    require(0 <= goal <= 1, f"--fail-under: expected a share from 0 to 1, or a percentage such as 90%, got {share!r}")
    return r, goal
