"""Commands on run folders: merge, verify, audit. Heavy imports stay inside: `--help` answers at once."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from . import options as opt
from .messages import as_options

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
    denoiser: opt.MovedDenoiser = None,
    plugin: opt.Plugin = [],  # noqa: B006 - Typer's own lists
) -> None:
    """Decide every certificate of RUN again from its evidence, and check hashes.

    Exit code 1 if something is wrong; 3 if nothing is, but a check could not be made.
    """
    from ..runs.folder import RunFolder
    from ..runs.verify import verify as verify_run
    from .show import print_notes

    verdict = verify_run(RunFolder(run), model, data, calibration, surrogate, denoiser, redraws=redraw)
    if verdict.redrawn:
        print_notes(verdict.redrawn.classifier)
        print(f"{verdict.redrawn.entries} inputs drawn again")
    files = {name: f"--{name}" for name in ("model", "data", "calibration", "surrogate", "denoiser")}
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
    denoiser: opt.MovedDenoiser = None,
    plugin: opt.Plugin = [],  # noqa: B006
    quiet: opt.Quiet = False,
) -> None:
    """Replay attacks inside the certified sets of RUN through the real pipeline. Exit code 1 if an answer changes."""
    from ..audit.audits import Audit, certificates
    from ..report.audited import show_audit
    from ..runs.folder import RunFolder
    from .show import print_notes

    opened, certified = certificates(
        RunFolder(run),
        model=model,
        data=data,
        surrogate=surrogate,
        denoiser=denoiser,
        provider=provider or "",
        threads=threads,
    )
    seed = secrets.randbits(48) if seed is None else seed
    asked = Audit(opened, certified, limit, attacks, n, confidence, seed)
    print_notes(opened.classifier)
    if show_audit(asked, run, quiet=quiet):
        raise typer.Exit(1)
