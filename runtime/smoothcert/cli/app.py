"""The command line: parse, call, print. Heavy imports stay inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import sys
from functools import cache
from typing import Annotated, Any

import typer

from ..errors import ArgumentError, SmoothcertError
from . import advise, calibrate, certify, check, export, inspect, parts, report, runs, surrogate
from .closed_pipe import dropped
from .messages import as_options

_INTERRUPTED = 130  # what Typer makes of Ctrl-C

app = typer.Typer(
    help="Certify ONNX classifiers against perturbations of their input, by randomized smoothing.",
    epilog="Example: smoothcert demo, then smoothcert certify --help. To complete options with the tab key: "
    "smoothcert --install-completion",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _family in (certify, advise, parts, check, runs, report):
    app.registered_commands += _family.app.registered_commands
app.command(epilog="Example: smoothcert inspect demo:digits.onnx demo:digits.npz")(inspect.inspect)
_CONSTANTS = "Example: smoothcert calibrate surrogate OUT demo:digits.npz zoom.cal"
calibrate.app.command("surrogate", epilog=_CONSTANTS)(surrogate.constants)
app.add_typer(calibrate.app, name="calibrate")
app.add_typer(export.app, name="export")
app.add_typer(surrogate.app, name="surrogate")


def main() -> None:
    """Entry point: user errors become one line on stderr and exit code 2; a reader that goes away stops nothing."""
    with dropped():
        _main()


def _main() -> None:
    try:
        code = _command()(standalone_mode=False)
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
        said, where = error.format_message().rstrip(".").replace("Value error, ", ""), getattr(error, "ctx", None)
        _fail(f"{said}; see {where.command_path if where else 'smoothcert'} --help")
    sys.exit(code if isinstance(code, int) else 0)


@cache
def _command() -> Any:
    """The tree of commands, built once: Typer reads the signatures of all of them."""
    return typer.main.get_command(app)


def _options() -> dict[str, str]:
    """Every option by its Python name: `batch_size` is `--batch-size`."""
    commands, options = [_command()], {"providers": "--provider", "smoothing": "--smooth"}
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


@app.command(epilog="Example: smoothcert doctor")
def doctor() -> None:
    """Versions, ONNX Runtime distributions, providers that really start, and a throughput figure."""
    from .show import print_doctor

    if not print_doctor():
        raise typer.Exit(1)
