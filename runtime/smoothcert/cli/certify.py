"""Commands that run: certify, predict, demo. Heavy imports stay inside: `--help` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as opt
from .groups import grouped
from .parts import SEE

app = typer.Typer()

_CERTIFY = r"""Examples:
  smoothcert certify demo:digits.onnx demo:digits.npz --limit 20 \
      --smooth noise=0.5
  smoothcert certify demo:digits.onnx demo:digits.npz --limit 20 \
      --smooth contrast=0.4 --attack contrast=0.7:1.4 --mode target"""
_PREDICT = r"""Example:
  smoothcert predict demo:digits.onnx demo:digits.npz --limit 20 \
      --smooth noise=0.5"""


@app.command(epilog=f"{SEE}\n\n{_CERTIFY}")
@grouped
def certify(
    model: opt.Model, data: opt.Data, asked: opt.ToCertify, statistics: opt.Statistics, setting: opt.Setting
) -> None:
    """Certify every input of DATA: how strong an attack the smoothed MODEL can take before its answer changes."""
    from .launch import launch
    from .parse import algorithm

    launch(model, data, asked, algorithm(statistics, asked), setting)


@app.command(epilog=f"{SEE}\n\n{_PREDICT}")
@grouped
def predict(
    model: opt.Model,
    data: opt.Data,
    *,
    smooth: opt.Smooth,
    n: Annotated[int, opt.statistic(help="Samples for each input.")] = 1000,
    alpha: opt.Alpha = opt.Statistics.alpha,
    calibration: opt.Calibration = None,
    denoiser: opt.Denoiser = "",
    denoiser_sigma: opt.DenoiserSigma = None,
    output: opt.Output = None,
    plugin: opt.Plugin = [],  # noqa: B006 - Typer's own lists
    setting: opt.Setting,
) -> None:
    """The smoothed MODEL's answer for every input of DATA, or abstain where it could be a tie (Hung and Fithian)."""
    from ..algorithms import Predict
    from .launch import launch

    asked = opt.ToCertify(
        smooth=smooth, calibration=calibration, denoiser=denoiser, denoiser_sigma=denoiser_sigma, output=output
    )
    launch(model, data, asked, Predict(n, alpha), setting)


@app.command(epilog="Example: smoothcert demo --audio --run runs/demo")
def demo(
    run: Annotated[
        Path | None, opt.of_run(parser=opt.path, metavar="FOLDER", help="Where the run goes. (default: runs/...)")
    ] = None,
    audio: Annotated[bool, opt.to_certify("--audio", help="Spoken digits, against time shifts.")] = False,
) -> None:
    """Certify the digit classifier that comes with the package, on its own test images or recordings."""
    from ..algorithms import Target
    from ..files.demo_files import demo_file
    from ..smoothing import Attack
    from .launch import launch

    if audio:
        shift, attack = "time-shift=800", "time-shift=-800:800"
        line = f"demo:spoken.onnx demo:spoken.npz --smooth {shift} --attack {attack} --mode target"
        print(f"smoothcert certify {line}")
        asked, setting = opt.ToCertify(smooth=[shift], attack=[attack]), opt.Setting(run=opt.Run(folder=run))
        target = Target(attack=Attack.of({"time-shift": (-800, 800)}))
        return launch(demo_file("spoken.onnx"), demo_file("spoken.npz"), asked, target, setting)
    line = "demo:digits.onnx demo:digits.npz --smooth noise=0.5 --mode target --radii 0.25,0.5,0.75,1 --limit 100"
    print(f"smoothcert certify {line}")
    asked, setting = opt.ToCertify(smooth=["noise=0.5"]), opt.Setting(run=opt.Run(folder=run, limit=100))
    return launch(demo_file("digits.onnx"), demo_file("digits.npz"), asked, Target((0.25, 0.5, 0.75, 1.0)), setting)
