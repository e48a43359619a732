"""The command line: parse, call, print. Heavy imports stay inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..errors import ArgumentError, SmoothcertError
from . import calibrate_commands, check_commands, export_commands, run_commands
from . import options as opt
from .check_commands import Plugin
from .closed_pipe import dropped
from .options import as_options

_INTERRUPTED = 130  # what Typer makes of Ctrl-C

app = typer.Typer(
    help="Certify ONNX classifiers against perturbations of their input, by randomized smoothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point: user errors become one line on stderr and exit code 2; a reader that goes away stops nothing."""
    with dropped():
        _main()


def _main() -> None:
    try:
        code = app(standalone_mode=False)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; all that was finished is kept, and the same command continues")
    except ArgumentError as error:
        _fail(as_options(str(error), _options()))
    except SmoothcertError as error:
        _fail(as_options(str(error), _options(), named=False))
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}; nothing that was finished is lost")
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if not error.format_message():  # no arguments: the help has been printed
            sys.exit(2)
        _fail(f"{error.format_message().rstrip('.')}; see smoothcert --help")
    sys.exit(code if isinstance(code, int) else 0)


def _options() -> dict[str, str]:
    """Every option by its Python name: `batch_size` is `--batch-size`."""
    commands, options = [typer.main.get_command(app)], {"providers": "--provider"}
    for command in commands:  # which grows
        commands += getattr(command, "commands", {}).values()
        options |= {p.name: p.opts[0] for p in command.params if p.name and p.opts[0].startswith("--")}
    return options


def _fail(message: str) -> None:
    print(f"smoothcert: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Certify ONNX classifiers against perturbations of their input, by randomized smoothing."""
    if version:
        from .. import __version__

        print(__version__)


@app.command()
def certify(
    context: typer.Context,
    model: opt.Model,
    data: opt.Data,
    smooth: opt.Smooth = [],  # noqa: B006 - Typer's own lists
    attack: opt.AttackOption = [],  # noqa: B006
    mode: opt.Mode = "fixed",
    n: opt.N = 100_000,
    n0: opt.N0 = None,
    alpha: opt.Alpha = 0.001,
    bound: opt.BoundName = "one-sided",
    radii: opt.Radii = "",
    guarantee: opt.GuaranteeName = "exact",
    calibration: opt.CalibrationOption = None,
    error_rule: opt.ErrorRuleName = "tight",
    border: opt.Border = "",
    limit: opt.Limit = None,
    skip: opt.Skip = 0,
    shard: opt.Shard = "1/1",
    nonce: opt.Nonce = "",
    run: opt.RunOption = None,
    provider: opt.Provider = "cpu",
    threads: opt.Threads = None,
    batch_size: opt.Batch = None,
    output: opt.Output = None,
    resize: opt.Resize = None,
    interpolation: opt.InterpolationName = None,
    antialias: opt.Antialias = False,
    crop: opt.Crop = None,
    mask: opt.Mask = "",
    scale: opt.Scale = None,
    mean: opt.Mean = "",
    std: opt.Std = "",
    layout: opt.LayoutName = "auto",
    tf32: opt.Tf32 = False,
    plugin: Plugin = [],  # noqa: B006
    quiet: opt.Quiet = False,
) -> None:
    """Certify every input of DATA: how strong an attack the smoothed MODEL can take before its answer changes."""
    from .launch import algorithm, launch

    launch(context.params, algorithm(context.params))


@app.command()
def predict(
    context: typer.Context,
    model: opt.Model,
    data: opt.Data,
    smooth: opt.Smooth,
    n: opt.N = 1000,
    alpha: opt.Alpha = 0.001,
    calibration: opt.CalibrationOption = None,
    limit: opt.Limit = None,
    skip: opt.Skip = 0,
    shard: opt.Shard = "1/1",
    nonce: opt.Nonce = "",
    run: opt.RunOption = None,
    provider: opt.Provider = "cpu",
    threads: opt.Threads = None,
    batch_size: opt.Batch = None,
    output: opt.Output = None,
    resize: opt.Resize = None,
    interpolation: opt.InterpolationName = None,
    antialias: opt.Antialias = False,
    crop: opt.Crop = None,
    mask: opt.Mask = "",
    scale: opt.Scale = None,
    mean: opt.Mean = "",
    std: opt.Std = "",
    layout: opt.LayoutName = "auto",
    tf32: opt.Tf32 = False,
    plugin: Plugin = [],  # noqa: B006
    quiet: opt.Quiet = False,
) -> None:
    """The smoothed MODEL's answer for every input of DATA, or abstain where it could be a tie (Hung and Fithian)."""
    from ..algorithms import Predict
    from .launch import launch

    launch(context.params, Predict(n, alpha))


@app.command()
def doctor() -> None:
    """Versions, ONNX Runtime distributions, providers that really start, and a throughput figure."""
    from .show import print_doctor

    if not print_doctor():
        raise typer.Exit(1)


@app.command()
def demo(run: opt.RunOption = None) -> None:
    """Certify the digit classifier that comes with the package, on its own test images."""
    from ..algorithms import Target
    from ..files.demo_files import demo_file
    from .launch import DEFAULTS, launch

    line = "demo:digits.onnx demo:digits.npz --smooth noise=0.5 --mode target --radii 0.25,0.5,0.75,1 --limit 100"
    print(f"smoothcert certify {line}")
    files = {"model": demo_file("digits.onnx"), "data": demo_file("digits.npz"), "smooth": ["noise=0.5"]}
    launch(DEFAULTS | files | {"limit": 100, "run": run}, Target((0.25, 0.5, 0.75, 1.0)))


for _command in (run_commands.merge, run_commands.verify, run_commands.audit, run_commands.report):
    app.command()(_command)
app.command()(check_commands.check)
app.command()(export_commands.inspect)
app.add_typer(calibrate_commands.app, name="calibrate")
app.add_typer(export_commands.app, name="export")
