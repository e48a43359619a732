"""`smoothcert report`. Heavy imports stay inside: `--help` answers at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import RunError, require
from . import options as opt
from .groups import grouped

if TYPE_CHECKING:
    from ..runs.folder import Entry
    from ..runs.recipe import Recipe

app = typer.Typer()


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
    from ..report import ends, evaluation, hearing, region, tsv
    from ..report.terminal import console
    from ..runs.question import Question
    from .parse import region as axes
    from .show import print_report

    if output.evaluation:
        unit = next((unit for entry in entries if (unit := entry.get("certificate", {}).get("unit"))), "")
        main = Question.of(recipe).smoothing.main
        unit = f"log {unit}" if unit and main and main.transforms.kind == "factor" else unit
        console().print(evaluation(recipe, entries, unit))
    elif output.ends is not None:
        shown, picture = ends.ends(recipe, entries, output.ends), output.png or run / f"ends-{output.ends}.png"
        ends.draw(shown.pictures, picture)
        heard = hearing.write_wavs(shown.pictures, picture, recipe["data"].get("rate"))
        print(f"{shown.text}; picture: {picture}" + (f"; {heard}" if heard else ""))
    elif output.region:
        found = region.region(recipe, entries, axes(output.region))
        console().print(region.region_table(found))
        picture = output.png or run / f"region-{'-'.join(found.names)}.png"
        region.draw(found, picture)
        print(f"each point for itself, {found.accuracy.size} points, nothing promised between; picture: {picture}")
    elif output.tsv:
        print("\n".join(tsv(entries)))
    else:
        print_report(recipe, entries, radii)


def _below(recipe: Recipe, entries: list[Entry], radius: float, least: float) -> bool:
    from ..report import summarise

    got = summarise(recipe, entries, [radius]).accuracy[radius]
    if got < least:
        predicted = recipe["algorithm"]["mode"] == "predict"
        what = "smoothed accuracy" if predicted else f"certified accuracy at radius {radius:g}"
        print(f"{what} is {got:.4f}, under {least:g}", file=sys.stderr)
    return got < least
