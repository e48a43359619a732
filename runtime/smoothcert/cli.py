"""The command line: parse, call, print. Heavy imports stay inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import RunError, SmoothcertError

if TYPE_CHECKING:
    from .algorithms import Algorithm

_INTERRUPTED = 130  # what Typer makes of Ctrl-C

app = typer.Typer(
    help="Certify ONNX classifiers against perturbations of their input, by randomized smoothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[Path, typer.Argument(help="ONNX classifier: one input, scores or integer labels as output.")]
Data = Annotated[
    Path, typer.Argument(help=".npz (x, optional y), image folder (class subfolders) or .csv (path,label).")
]
Run = Annotated[Path, typer.Argument(help="Run folder.")]
Smooth = Annotated[
    list[str],
    typer.Option(
        "--smooth",
        metavar="NAME=SCALE",
        help="Part of the smoothing. noise: standard deviation, in [0,1] for 8-bit data, else in their units.",
    ),
]
N = Annotated[int, typer.Option("--n", help="Samples an input: exactly (fixed, predict), at most (radius, target).")]
N0 = Annotated[int | None, typer.Option("--n0", help="Samples that choose the class. (default: 100; radius mode 1000)")]
Alpha = Annotated[float, typer.Option(help="Probability that a certificate may be wrong.")]
Mode = Annotated[
    str, typer.Option(help="fixed: n samples. radius: pilot, then as few as needed. target: --radii, sequential.")
]
BoundName = Annotated[
    str, typer.Option("--bound", help="one-sided (Cohen et al.) or two-sided (bounds the runner-up too).")
]
Radii = Annotated[str, typer.Option(help="Target radii for --mode target, ascending: 0.25,0.5,1.")]
Limit = Annotated[int | None, typer.Option(help="Take at most this many inputs.")]
Skip = Annotated[int, typer.Option(help="Pass over the first inputs.")]
Shard = Annotated[
    str, typer.Option(metavar="I/K", help="Take every K-th input from the I-th on; give each shard the same --nonce.")
]
Nonce = Annotated[str, typer.Option(help="Text mixed into the run key. (default: drawn afresh, kept in the recipe)")]
RunOption = Annotated[
    Path | None, typer.Option("--run", help="Run folder; the same command again continues it. (default: runs/...)")
]
Provider = Annotated[str, typer.Option(help="cpu, cuda or tensorrt; verified once started.")]
Threads = Annotated[int | None, typer.Option(help="Host threads. (default: all cores)")]
Batch = Annotated[int | None, typer.Option("--batch-size", help="Samples a batch. (default: by input size)")]
Output = Annotated[str | None, typer.Option(help="Name of the scores or labels of a model with several outputs.")]
Scale = Annotated[float | None, typer.Option(help="Factor on the values. (default: 1/255 for 8-bit inputs, else 1)")]
Mean = Annotated[str, typer.Option(help="Subtracted after scaling, one value or one a channel: 0.485,0.456,0.406.")]
Std = Annotated[str, typer.Option(help="Divided by after that, likewise.")]
LayoutName = Annotated[str, typer.Option("--layout", help="Of the model's input: auto, nchw, nhwc or flat.")]
Tf32 = Annotated[
    bool, typer.Option("--tf32", help="Allow TF32 on CUDA: faster, another function, named in the certificate.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No line or bar for each input.")]


def main() -> None:
    """Entry point: user errors become one line on stderr and exit code 2."""
    try:
        code = app(standalone_mode=False)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; all finished inputs are in the run folder, and the same command continues the run")
    except (SmoothcertError, ValueError) as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; nobody is left to tell
        sys.exit(2)
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}; nothing that was finished is lost")
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _fail(f"{error.format_message().rstrip('.')}; see smoothcert --help")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print(f"smoothcert: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Certify ONNX classifiers against perturbations of their input, by randomized smoothing."""
    if version:
        from . import __version__

        print(__version__)


@app.command()
def certify(
    context: typer.Context,
    model: Model,
    data: Data,
    smooth: Smooth,
    mode: Mode = "fixed",
    n: N = 100_000,
    n0: N0 = None,
    alpha: Alpha = 0.001,
    bound: BoundName = "one-sided",
    radii: Radii = "",
    limit: Limit = None,
    skip: Skip = 0,
    shard: Shard = "1/1",
    nonce: Nonce = "",
    run: RunOption = None,
    provider: Provider = "cpu",
    threads: Threads = None,
    batch_size: Batch = None,
    output: Output = None,
    scale: Scale = None,
    mean: Mean = "",
    std: Std = "",
    layout: LayoutName = "auto",
    tf32: Tf32 = False,
    quiet: Quiet = False,
) -> None:
    """Certify every input of DATA: the radius within which the smoothed MODEL cannot change its answer."""
    _run(context.params, _algorithm(mode, n, n0, alpha, bound, _numbers("--radii", radii)))


@app.command()
def predict(
    context: typer.Context,
    model: Model,
    data: Data,
    smooth: Smooth,
    n: N = 1000,
    alpha: Alpha = 0.001,
    limit: Limit = None,
    skip: Skip = 0,
    shard: Shard = "1/1",
    nonce: Nonce = "",
    run: RunOption = None,
    provider: Provider = "cpu",
    threads: Threads = None,
    batch_size: Batch = None,
    output: Output = None,
    scale: Scale = None,
    mean: Mean = "",
    std: Std = "",
    layout: LayoutName = "auto",
    tf32: Tf32 = False,
    quiet: Quiet = False,
) -> None:
    """The smoothed MODEL's answer for every input of DATA, or abstain where it could be a tie (Hung and Fithian)."""
    from .algorithms import Predict

    _run(context.params, Predict(n, alpha))


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="Run folder to make.")],
    shards: Annotated[list[Path], typer.Argument(help="Run folders of the shards.")],
) -> None:
    """Merge the run folders of shards into one, as if it had been one run."""
    from .datasets import selection
    from .runs import RunFolder
    from .runs import merge as merge_runs

    count = merge_runs(RunFolder(out), [RunFolder(path) for path in shards])
    recipe = RunFolder(out).recipe()
    expected = len(selection(recipe["data"]["inputs"], **recipe["selection"]))
    print(f"{out}: {count} of {expected} inputs")


@app.command()
def verify(
    run: Run,
    model: Annotated[Path | None, typer.Option(help="The model, if it has moved.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data, if they have moved.")] = None,
) -> None:
    """Decide every certificate of RUN again from its evidence, and check hashes. Exit code 1 if one is wrong."""
    from .runs import RunFolder
    from .verify import verify as verify_run

    verdict = verify_run(RunFolder(run), model, data)
    for line in verdict.unchecked:
        print(f"not checked: {line}")
    for line in verdict.wrong:
        print(f"wrong: {line}")
    print(f"{run}: {verdict.entries} entries, {len(verdict.wrong)} problems")
    if verdict.wrong:
        raise typer.Exit(1)


@app.command()
def report(
    run: Run,
    radii: Annotated[str, typer.Option(help="Radii of the table. (default: the run's targets, or a grid)")] = "",
    tsv: Annotated[
        bool, typer.Option("--tsv", help="The field's log: idx, label, predict, radius, correct, time.")
    ] = False,
    fail_under: Annotated[
        str,
        typer.Option(metavar="R=ACC", help="Exit code 1 where certified accuracy at radius R is below ACC (0 to 1)."),
    ] = "",
) -> None:
    """Certified accuracy at radii, abstention, mean radius and cost of RUN."""
    from .report import summarise
    from .report import tsv as tsv_lines
    from .runs import RunFolder
    from .show import print_report

    folder = RunFolder(run)
    recipe, entries = folder.recipe(), folder.entries()
    if not entries:
        raise RunError(f"{run}: expected a ledger with entries, got none; run certify first")
    if tsv:
        print("\n".join(tsv_lines(entries)))
    else:
        print_report(recipe, entries, _numbers("--radii", radii))
    if fail_under:
        radius, _, wanted = fail_under.partition("=")
        (r,), (goal,) = (_numbers("--fail-under R=ACC", text) or (0.0,) for text in (radius, wanted))
        got = summarise(recipe, entries, [r]).accuracy[r]
        if got < goal:
            print(f"certified accuracy at radius {r:g} is {got:.4f}, under {goal:g}", file=sys.stderr)
            raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Versions, ONNX Runtime distributions, providers that really start, and a throughput figure."""
    from .show import print_doctor

    if not print_doctor():
        raise typer.Exit(1)


@app.command()
def demo(run: RunOption = None) -> None:
    """Certify the digit classifier that comes with the package, on its own test images."""
    from .algorithms import Target
    from .show import DATA_FOLDER

    line = "digits.onnx digits.npz --smooth noise=0.5 --mode target --radii 0.25,0.5,0.75,1 --limit 100"
    print(f"smoothcert certify {line}")
    files = {"model": DATA_FOLDER / "digits.onnx", "data": DATA_FOLDER / "digits.npz", "smooth": ["noise=0.5"]}
    _run(_DEFAULTS | files | {"limit": 100, "run": run}, Target((0.25, 0.5, 0.75, 1.0)))


_DEFAULTS: dict[str, Any] = {
    "skip": 0, "shard": "1/1", "nonce": "", "provider": "cpu", "threads": None, "batch_size": None, "output": None,
    "scale": None, "mean": "", "std": "", "layout": "auto", "tf32": False, "quiet": False,
}  # fmt: skip


def _algorithm(mode: str, n: int, n0: int | None, alpha: float, bound: str, radii: tuple[float, ...]) -> Algorithm:
    from .algorithms import Fixed, Radius, Target

    if mode not in ("fixed", "radius", "target"):
        raise ValueError(f"--mode: expected fixed, radius or target, got {mode!r}")
    if radii and mode != "target":
        raise ValueError(f"--radii: expected with --mode target alone, got --mode {mode}")
    if mode == "target":
        if bound != "one-sided" or n0 is not None:
            raise ValueError("--mode target: --bound and --n0 have no meaning there; leave them out")
        return Target(radii, n, alpha)
    kind, first = (Fixed, 100) if mode == "fixed" else (Radius, 1000)
    return kind(first if n0 is None else n0, n, alpha, bound)  # type: ignore[arg-type]


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ValueError(f"{option}: expected numbers separated by commas, got {text!r}") from None


def _run(o: dict[str, Any], algorithm: Algorithm) -> None:
    """Build the job from a command's options, run it, print; exit code 2 where an input failed."""
    from .classifier import OrtClassifier
    from .datasets import open_dataset
    from .job import Job
    from .preprocess import Preprocess
    from .runs import RunFolder
    from .show import show_run
    from .smoothing import compose, parse_part

    smoothing = compose(*(parse_part(text) for text in o["smooth"]))
    preprocess = Preprocess(o["scale"], _numbers("--mean", o["mean"]), _numbers("--std", o["std"]), o["layout"])
    classifier = OrtClassifier(
        o["model"],
        providers=o["provider"],
        threads=o["threads"],
        batch_size=o["batch_size"],
        output=o["output"],
        preprocess=preprocess,
        tf32=o["tf32"],
    )
    job = Job(
        o["model"],
        classifier,
        o["data"],
        open_dataset(o["data"], classifier.channels),
        smoothing,
        algorithm,
        skip=o["skip"],
        limit=o["limit"],
        shard=o["shard"],
        nonce=o["nonce"],
    )
    failed = show_run(job, RunFolder(o["run"] or job.folder_name), quiet=o["quiet"])
    if failed:
        raise SmoothcertError(failed)
