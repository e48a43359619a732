"""Options of exports with 8 bits: `--precision int8`, what its ranges are measured on, and how it is compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import require
from . import options as opt
from .groups import changed

if TYPE_CHECKING:
    from smoothcert_exporters.options import Quantisation

eight = partial(typer.Option, rich_help_panel="8 bits, with --precision int8 or int8-gpu")


@dataclass(frozen=True, kw_only=True)
class EightBits:
    """What --precision int8 and int8-gpu need."""

    calibrate: Annotated[
        Path | None,
        eight(
            parser=opt.path,
            metavar="DATA",
            help="Data set whose perturbed copies give the ranges of all tensors; 20 of its inputs are kept for the "
            "comparison with float32.",
        ),
    ] = None
    smooth: Annotated[
        list[str],
        eight(
            metavar="NAME=SCALE",
            autocompletion=opt.part_names,
            help="How the copies are perturbed: give the smoothing that the model will be certified with. Repeats.",
        ),
    ] = field(default_factory=list)
    calibration: Annotated[
        Path | None,
        eight(parser=opt.path, metavar="FILE", help="File of smoothcert calibrate, where that smoothing needs one."),
    ] = None
    agreement: Annotated[
        float, eight(metavar="SHARE", help="Write nothing where a smaller share of the copies keeps its label.")
    ] = 0.9
    full_range: Annotated[
        bool,
        eight(
            "--full-range",
            help="Weights of 8 bits, not 7: a little nearer to float32, and another function on processors without "
            "VNNI, whose sums saturate.",
        ),
    ] = False

    def asked(self, precision: str) -> Quantisation | None:
        """What the exporters take; None for other precisions, for which none of these may be given."""
        if not precision.startswith("int8"):
            given = "".join(f"--{name.replace('_', '-')}" for name in list(changed(self))[:1])
            require(not given, f"{given}: expected with --precision int8 alone, got --precision {precision}")
            return None
        from smoothcert_exporters.options import Quantisation

        from ..algorithms import Fixed
        from .parse import smoothing

        require(
            self.calibrate is not None,
            f"--calibrate: expected a data set whose perturbed copies give the ranges of {precision}, got none",
        )
        asked = opt.ToCertify(smooth=self.smooth, calibration=self.calibration)
        return Quantisation(
            data=self.calibrate or Path(),
            smoothing=smoothing(asked, Fixed()),
            reduce_range=not self.full_range,
            agreement=self.agreement,
        )
