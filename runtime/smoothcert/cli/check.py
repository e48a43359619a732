"""`smoothcert check`: a transformation tried against its contract. Heavy imports stay inside: `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import require
from . import options as opt

if TYPE_CHECKING:
    from ..smoothing import Attack, Part

_IMAGES = 4


app = typer.Typer()


@app.command(epilog="Example: smoothcert check rotation=5")
def check(
    part: Annotated[str, typer.Argument(metavar="NAME=SCALE", help="As for --smooth; or as for --attack, a set.")],
    plugin: opt.Plugin = [],  # noqa: B006 - Typer's own lists
    data: Annotated[Path | None, typer.Option(parser=opt.path, help="Try it on the first images, too.")] = None,
) -> None:
    """Try what certificates take for granted of a transformation: a line for each check, exit code 1 where one fails.

    NAME=SCALE[,OPTION=VALUE] is a part of --smooth, NAME=LOW:HIGH[:POINTS] a set of --attack, to enumerate or slice.
    """
    from ..contract import check as tried
    from ..inputs.datasets import open_dataset
    from ..model.preprocess import raw_image

    opened = open_dataset(data) if data else None
    raws = (raw_image(opened.load(i).x) for i in range(min(_IMAGES, len(opened)))) if opened else ()
    findings = tried(_asked(part), [raw.image for raw in raws if raw is not None])
    for finding in findings:
        print(finding)
    failed = sum(finding.passed is False for finding in findings)
    print(f"{part}: {len(findings)} checks, {failed} failed")
    if failed:
        raise typer.Exit(1)


def _asked(text: str) -> Part | Attack:
    """A part of --smooth, or a set of --attack where there is a colon, or no part of that name."""
    from ..smoothing import PARTS, TRANSFORMS, parse_part
    from .parse import attack

    name, _, value = text.partition("=")
    known = name in TRANSFORMS and bool(value)
    require(
        known, f"check: expected NAME=SCALE or NAME=LOW:HIGH with NAME one of {', '.join(TRANSFORMS)}, got {text!r}"
    )
    found = attack([text], "check") if ":" in value or name not in PARTS else None
    return found or parse_part(text)
