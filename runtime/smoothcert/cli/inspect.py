"""`smoothcert inspect`: what is in a model's file, and which preprocessing suits it on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from . import options as opt
from .export import Model, Output
from .preprocessing import ahead, size

if TYPE_CHECKING:
    from smoothcert_exporters.conventions.ranking import Ranking

    from ..model.preprocess import Preprocess

_SHOWN = 12  # conventions in the table
_MANY = 40  # about as many are tried
_TESTED = (
    "tie: McNemar's exact test on the inputs, at 5% over all comparisons with the best, does not tell the two apart"
)


def inspect(
    model: Model,
    data: Annotated[
        Path | None,
        typer.Argument(
            parser=opt.path,
            help="Labelled data (.npz file, folder or .csv file): try the common kinds of preprocessing on them.",
        ),
    ] = None,
    *,
    output: Output = None,
    resize: Annotated[
        Any,
        ahead(parser=size, metavar="SIZE", help="With DATA: size to try, for a model that takes any. (default: 224)"),
    ] = None,
    limit: Annotated[int, opt.of_run(min=1, help="Take at most this many inputs of DATA.")] = 200,
    skip: opt.Skip = 0,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """What the runtime sees in MODEL; with labelled DATA, the base accuracy by each common kind of preprocessing."""
    if data is None:
        from smoothcert_exporters.inspect import inspect_model

        print("\n".join(inspect_model(model, output).lines))
        return
    from smoothcert_exporters.conventions.trial import rank_conventions

    from ..inputs.datasets import open_dataset, selection
    from ..inputs.spatial import Spatial
    from ..model.classifier import OrtClassifier, open_model
    from ..report.terminal import watched

    file = open_model(model, output)
    opened = open_dataset(data, OrtClassifier(file, threads=1).channels)
    indices = selection(len(opened), skip=skip, limit=limit)
    if not indices:
        raise DataError(f"{data}: `skip` and `limit` leave none of its {len(opened)} inputs")
    width, height = Spatial(resize).box or (resize, resize)
    with watched("trying conventions", _MANY * len(indices), quiet=quiet) as progress:
        ranking = rank_conventions(
            file,
            opened,
            indices,
            sides=(height, width) if resize else None,
            threads=threads,
            progress=lambda done: progress(done * len(indices)),
        )
    print("\n".join(_lines(ranking, len(indices), metadata=file.preprocess is not None)))


def _lines(ranking: Ranking, inputs: int, *, metadata: bool) -> list[str]:
    many = f"{len(ranking.tried)} conventions" if len(ranking.tried) > 1 else "1 convention"
    lines = [f"base accuracy on {inputs} inputs, {many}, best first (with its 95% interval, and options to copy)"]
    for one in ranking.tried[:_SHOWN]:
        low, high = (100 * end for end in one.interval)
        said = "from the model's own metadata: " * one.own + option_text(one.preprocess)
        found = ranking.compared(one)
        lines.append(f"{100 * one.accuracy:6.1f}%  {low:5.1f} to {high:5.1f}  {found:<12}  {said}")
    if rest := ranking.tried[_SHOWN:]:
        lines.append(f"and {len(rest)} others, {100 * rest[0].accuracy:.1f}% at best")
    if ranking.ties:
        lines += [f"{ranking.ties} cannot be told from the best by these inputs; {_TESTED}"]
    if ranking.best.interval[0] <= ranking.chance:
        lines.append(
            f"remark: none is clearly better than always answering the commonest label ({100 * ranking.chance:.1f}%); "
            "the classes may be in another order, or the preprocessing none of these"
        )
    if metadata:
        lines.append(
            "remark: the model brings its own preprocessing, and takes no options; to change it, export it again"
        )
    return lines


def option_text(preprocess: Preprocess) -> str:
    """The options of certify that ask for this preprocessing."""
    how, numbers = preprocess.spatial, ("mean", "std")
    grey = f"grey={how.grey}" if how.grey not in ("", "bt601") else how.grey and "grey"
    words = {
        "channels": grey or ("bgr" if preprocess.channels == "bgr" else ""),
        "resize": str(how.resize or ""),
        "interpolation": how.interpolation if how.interpolation != "bilinear" else "",
        "pad": how.pad,
        "pad-align": how.pad_align if how.pad_align != "centre" else "",
        "crop": str(how.crop or ""),
        "mask": how.mask + (f"={how.share:g}" if how.share != 1 else ""),
        "scale": "" if preprocess.scale is None else _number(preprocess.scale),
        **{name: ",".join(map(_number, getattr(preprocess, name))) for name in numbers},
        "layout": preprocess.layout if preprocess.layout != "auto" else "",
    }
    said = [f"--{name} {value}" for name, value in words.items() if value]
    said += ["--antialias"] if how.antialias else []
    return " ".join(said) or "(no options)"


def _number(value: float) -> str:
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
