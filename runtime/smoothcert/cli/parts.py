"""`smoothcert parts`: the table of parts, as the library has it. Heavy imports stay inside: `--help` is quick."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import require
from . import options as opt

if TYPE_CHECKING:
    from ..smoothing import Transform

app = typer.Typer()
SEE = "The command parts lists what NAME may be, with scales, values and options."


@app.command(epilog="Example: smoothcert parts rotation")
def parts(
    name: Annotated[str, typer.Argument(metavar="[NAME]", autocompletion=opt.part_names, help="This one alone.")] = "",
    plugin: opt.Plugin = [],  # noqa: B006 - Typer's own lists
) -> None:
    """What --smooth and --attack may name: what each part does to an input, its numbers, options and modes."""
    from ..smoothing import TRANSFORMS

    require(not name or name in TRANSFORMS, f"parts: expected one of {', '.join(TRANSFORMS)}, got {name!r}")
    print("Intensities run from 0, black, to 1, white; NAME=LOW:HIGH is all between, NAME=LOW:HIGH:POINTS a grid.")
    for kind in TRANSFORMS.values():
        if name in ("", kind.name):
            print("\n".join(_lines(kind)))


def _lines(kind: type[Transform]) -> Iterator[str]:
    from ..smoothing import PARTS, Transform

    part, modes = PARTS.get(kind.name), []
    yield f"{kind.name:11} {kind.help}"
    if part is not None:
        yield f"{'--smooth':>10}  {kind.name}=SCALE, {part.help}"
        modes.append("without a calibration" if part.composes is not False else "with --calibration")
    laws = {"law": [*part.laws]} if part and len(part.laws) > 1 else {}
    choices = {**kind.choices, **(part.choices if part else {}), **laws}
    named = {field.name: field.default for field in fields(part or kind)}
    for option in (o for o in named if o in choices):
        first = [named[option], *(c for c in choices[option] if c != named[option])]
        yield f"{'option':>10}  {option}={' or '.join(map(str, first))}"
    yield f"{'--attack':>10}  {kind.example or kind.name + '=LOW:HIGH'}, {kind.unit}"
    modes += ["by --mode slices"] if kind.enclose is not Transform.enclose else []
    modes += ["by --mode enumerate"] if kind.kind != "norm" or kind.is_planar() else []
    yield f"{'certified':>10}  {', '.join(modes)}"
