"""What commands leave on a terminal, in a pipe and in pictures: closed pipes, time left, options, levels, ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer

import smoothcert
from smoothcert import Noise, OrtClassifier, Preprocess, certify
from smoothcert.cli import launch
from smoothcert.cli.app import _options, app, main
from smoothcert.cli.messages import as_options
from smoothcert.errors import DataError
from smoothcert.model.card import ModelCard
from smoothcert.report import terminal
from smoothcert.runs.folder import RunFolder

from . import models
from .conftest import IMAGES, MODEL, Result

QUICK = (
    "test_arguments_in_messages_become_options",
    "test_every_option_is_found_by_its_name_and_none_has_two_spellings",
)

Cli = Callable[..., Result]
RUN = ("--smooth", "noise=0.5", "--n", 300, "--nonce", "o")

# --- Readers that go away ---------------------------------------------------------------------------------------------


@pytest.fixture
def finished(cli: Cli, finished_run: Path) -> Path:
    """A run of six digits, in r."""
    return finished_run


def to_nobody(monkeypatch: pytest.MonkeyPatch, *arguments: object, also_stderr: bool) -> int:
    """The exit code of a command whose output is a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    with monkeypatch.context() as patch, os.fdopen(write, "w") as pipe:
        patch.setattr(sys, "argv", ["smoothcert", *map(str, arguments)])
        patch.setattr(sys, "stdout", pipe)
        if also_stderr:
            patch.setattr(sys, "stderr", pipe)
        with pytest.raises(SystemExit) as left:
            main()
    return int(left.value.code or 0)


COMMANDS: dict[str, tuple[tuple[Any, ...], int]] = {
    "certify": (("certify", MODEL, "six.npz", *RUN, "--run", "other"), 0),
    "predict": (("predict", MODEL, "six.npz", *RUN, "--run", "other"), 0),
    "report": (("report", "r"), 0),
    "report --tsv": (("report", "r", "--tsv"), 0),
    "report, below the goal": (("report", "r", "--fail-under", "9=1"), 1),
    "verify": (("verify", "r"), 0),
    "verify, data moved": (("verify", "r", "--data", "gone.npz"), 3),
    "audit": (("audit", "r", "--attacks", 2, "--n", 300), 0),
    "help": (("certify", "--help"), 0),
    "version": (("--version",), 0),
    "bad input": (("report", "nowhere"), 2),
}


@pytest.mark.parametrize(("arguments", "code"), COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("also_stderr", [False, True], ids=["stdout", "both"])
def test_a_reader_that_goes_away_changes_neither_the_work_nor_the_exit_code(
    finished: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], code: int, also_stderr: bool
) -> None:
    assert to_nobody(monkeypatch, *arguments, also_stderr=also_stderr) == code
    if "other" in arguments:
        assert len(RunFolder(Path("other")).entries()) == 6
    if arguments[0] == "audit":
        assert (finished / "audit.json").exists()


@pytest.mark.parametrize("verb", ["certify", "demo"])
def test_head_of_a_real_pipe(tmp_path: Path, verb: str) -> None:
    smoothcert_ = f"{sys.executable} -m smoothcert"
    command = {
        "certify": f"certify {MODEL} {IMAGES} --smooth noise=0.5 --n 300 --limit 30 --run r",
        "demo": "demo --run r",
    }[verb]
    line = f"{smoothcert_} {command} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert len(RunFolder(tmp_path / "r").entries()) == {"certify": 30, "demo": 100}[verb]


# --- Time left --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "total", "before", "said"),
    [
        (0.05, 1000, 0, []),
        (1.0, 100, 0, []),
        (1.0, 200, 0, ["60 of 200 inputs, about 2 min left", "120 of 200 inputs, about 80 s left"]),
        (30.0, 10, 0, [f"{i} of 10 inputs, about {t} left" for i, t in ((2, "4 min"), (4, "3 min"), (6, "2 min"))]
         + ["8 of 10 inputs, about 60 s left"]),
        (3600.0, 100, 50, ["51 of 100", "60 of 100", "70 of 100", "80 of 100", "90 of 100"]),
        (61.0, 1, 0, []),
    ],
    ids=["quick", "less than a minute left", "three minutes", "every tenth, a minute apart", "resumed", "one input"],
)  # fmt: skip
def test_long_runs_say_how_long_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    seconds: float, total: int, before: int, said: list[str],
) -> None:  # fmt: skip
    """By a clock of our own; by hand: what is left, times the pace since this start."""
    clock = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    with terminal.watched("certifying", total, quiet=True, done=before) as progress:
        for done in range(before + 1, total + 1):
            clock[0] += seconds
            progress(done)
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(f"certifying: {words}") for line, words in zip(lines, said, strict=True))


# --- Options of messages ----------------------------------------------------------------------------------------------


def test_arguments_in_messages_become_options() -> None:
    options = _options()
    assert options["batch_size"] == "--batch-size"
    assert as_options("n0: expected 1, got 0", options) == "--n0: expected 1, got 0"
    assert as_options("d.npz: `skip` and `limit`", options) == "d.npz: --skip and --limit"
    assert as_options("see `smoothcert doctor`, or use `providers=cpu`", options).endswith("or use --provider cpu")
    assert as_options("rotation: expected `this`", options) == "rotation: expected `this`"
    assert as_options("calibration: made for others", options, named=False) == "calibration: made for others"


def test_every_option_is_found_by_its_name_and_none_has_two_spellings() -> None:
    spellings: dict[str, set[str]] = {}
    commands: list[Any] = [typer.main.get_command(app)]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        for p in command.params:
            if p.opts[0].startswith("--"):
                spellings.setdefault(p.name, set()).add(p.opts[0])
    assert len(spellings) > 50
    assert all(len(found) == 1 for found in spellings.values()), spellings
    options = _options()
    assert all(options[name] in found for name, found in spellings.items())


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What NumPy raises of itself is no user error; what `require` raises is."""

    def broken(*_: Any, **__: Any) -> None:
        np.zeros(3).reshape(2, 2)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "open_dataset", broken)
    monkeypatch.setattr(sys, "argv", ["smoothcert", "certify", str(MODEL), str(IMAGES), "--smooth", "noise=0.5"])
    before = sys.stdout
    with pytest.raises(ValueError, match="cannot reshape"):
        main()
    assert sys.stdout is before


def test_dir_has_the_public_names() -> None:
    assert set(smoothcert.__all__) <= set(dir(smoothcert))
    assert "__version__" in dir(smoothcert)


# --- Outputs of a report ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tsv", "--region", "contrast,brightness"), "--region, --tsv: expected one of them"),
        (("--evaluation", "--ends", 0), "--evaluation, --ends: expected one of them"),
        (("--png", "a.png"), "--png: expected with --ends or --region"),
        (("--tsv", "--png", "a.png"), "--png: expected with --ends or --region"),
        (("--radii", "0.5", "--tsv"), "--radii: expected for the table alone, got --tsv too"),
        (("--ends", 7), "--ends: expected an input of this run, got 7; it is not in the ledger"),
        (("--ends", 0), "got noise alone"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_report_refuses_what_it_would_drop(cli: Cli, finished: Path, options: tuple[Any, ...], message: str) -> None:
    result = cli("report", "r", *options)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert not Path("a.png").exists()


def test_a_prediction_has_no_radii(cli: Cli, few_digits: Path) -> None:
    result = cli("predict", MODEL, "six.npz", *RUN, "-q", "--run", "p")
    assert "certified" not in result.out
    assert "┃ radius" not in result.out
    assert "┃ smoothed accuracy ┃" in result.out
    for asked in (("--radii", "0.5"), ("--fail-under", "0.5=0.1")):
        assert "radii: expected none, or 0, for a run of predict" in cli("report", "p", *asked).err
    assert cli("report", "p", "--fail-under", "0=0.5").code == 0
    assert "expected a share from 0 to 1, or a percentage such as 90%" in cli("report", "p", "--fail-under", "0=2").err


ENDS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "several parts, no attack": (("--smooth", "contrast=0.4", "--smooth", "brightness=0.3"), 5, ", each alone; "),
    "several parts and noise": (
        ("--smooth", "contrast=0.4", "--smooth", "brightness=0.3", "--smooth", "noise=0.1"), 5, ", each alone; "),
    "several parts, an attack": (
        ("--smooth", "contrast=0.4", "--smooth", "brightness=0.3", "--attack", "contrast=0.9:1.1",
         "--attack", "brightness=-0.05:0.05"),
        3, "contrast +0.90, brightness -0.05 to contrast +1.10, brightness +0.05; "),
    "one part": (("--smooth", "brightness=0.3"), 3, "brightness -"),
    "translation": (("--smooth", "translation=2", "--attack", "translation=1"), 3,
                    "translation -1.00 to translation +1.00; "),
    "abstained, an attack": (("--smooth", "brightness=40", "--attack", "brightness=1"), 3,
                             "input 0 abstained, nothing is certified; asked: brightness +1.00 to brightness +1.00; "),
    "abstained, radii": (("--smooth", "brightness=40", "--mode", "target", "--radii", "0.5,1.5"), 3,
                         "input 0 abstained, nothing is certified; asked: brightness -1.50 to brightness +1.50; "),
    "abstained, nothing asked": (("--smooth", "brightness=40"), 1, "input 0 abstained, nothing is certified; "),
    "abstained, several parts": (("--smooth", "contrast=4", "--smooth", "brightness=40"), 1,
                                 "input 0 abstained, nothing is certified; "),
    "enumerated": (("--mode", "enumerate", "--attack", "brightness=-0.02:0.02"), 3,
                   "brightness -0.02 to brightness +0.02; "),
}  # fmt: skip


@pytest.mark.parametrize(("options", "panels", "said"), ENDS.values(), ids=ENDS)
def test_ends_are_drawn_of_every_run(
    cli: Cli, few_digits: Path, options: tuple[str, ...], panels: int, said: str
) -> None:
    n = () if "enumerate" in options else ("--n", 400)
    assert cli("certify", MODEL, "six.npz", *options, *n, "-q", "--run", "r").code == 0
    index = next(
        e["index"] for e in RunFolder(Path("r")).entries()
        if (e["certificate"]["prediction"] < 0) == said.startswith("input 0 abstained")
    )  # fmt: skip
    result = cli("report", "r", "--ends", index)
    assert (result.code, result.err) == (0, "")
    assert said.replace("input 0", f"input {index}") in result.out
    picture = cv2.imread(f"r/ends-{index}.png")
    assert picture.shape[1] == 336 * panels + 16
    assert cli("report", "r", "--ends", index, "--png", "no/where.png").code == 2


def test_each_end_of_several_parts_is_certified(cli: Cli, few_digits: Path) -> None:
    """The values in the captions, each alone, need less than the input's own p_lower: `p_star` is the oracle."""
    from smoothcert.report.ends import ends
    from smoothcert.smoothing import smoothing_of

    parts = ("--smooth", "contrast=0.4", "--smooth", "brightness=0.3")
    assert cli("certify", MODEL, "six.npz", *parts, "--n", 2000, "-q", "--run", "r").code == 0
    folder = RunFolder(Path("r"))
    smoothing, entries, checked = smoothing_of(folder.recipe()["smoothing"]), folder.entries(), 0
    for entry in entries:
        found = ends(folder.recipe(), entries, entry["index"])
        for caption, _ in (*found.pictures[:2], *found.pictures[3:]):
            name, value = caption.split()
            assert smoothing.p_star({name: float(value)}) < entry["certificate"]["p_lower"]
            checked += 1
    assert checked >= 20


# --- Levels held as floats --------------------------------------------------------------------------------------------


def carded(span: tuple[float, float] | None, scale: float | None = None) -> OrtClassifier:
    """The digits' classifier, as if its metadata named that input range."""
    classifier = OrtClassifier(MODEL, preprocess=None if scale is None else Preprocess(scale=scale))
    classifier.card = ModelCard(input_range=span)
    return classifier


LEVELS = np.random.default_rng(1).integers(0, 256, (32, 32)).astype(np.float32)
RANGES: dict[str, tuple[tuple[float, float] | None, float | None, Any, bool]] = {
    "levels into [0,1]": ((0, 1), None, LEVELS, True),
    "negative levels into [0,1]": ((0, 1), None, -LEVELS, True),
    "levels into [0,255]": ((0, 255), None, LEVELS, False),
    "levels into nothing known": (None, None, LEVELS, False),
    "levels and a scale": ((0, 1), 1 / 255, LEVELS, False),
    "8-bit levels": ((0, 1), None, LEVELS.astype(np.uint8), False),
    "[0,1] into [0,1]": ((0, 1), None, LEVELS / 255, False),
    "a little beyond": ((0, 1), None, LEVELS / 255 * 1.4 - 0.2, False),
}


@pytest.mark.parametrize(("span", "scale", "x", "refused"), RANGES.values(), ids=RANGES)
def test_values_far_beyond_the_models_range_are_refused(
    span: tuple[float, float] | None, scale: float | None, x: Any, refused: bool
) -> None:
    classifier = carded(span, scale)
    if refused:
        with pytest.raises(DataError, match="expected values of 0 to 1, the model's own input range, got"):
            certify(classifier, Noise(0.5), x, n=200, key=1)
    else:
        unknown = span is None and x.dtype.kind == "f"
        with pytest.warns(UserWarning, match="look like 8-bit levels") if unknown else nullcontext():
            certify(classifier, Noise(0.5), x, n=200, key=1)


def ranged(path: str) -> None:
    """A model of four values whose metadata say [0,1]."""
    proto = models.onnx.ModelProto.FromString(models.half_space((2, 2), [1, 0, 0, 0], 0.5))
    for key, value in ModelCard(input_range=(0.0, 1.0)).metadata.items():
        proto.metadata_props.add(key=key, value=value)
    models.onnx.save(proto, path)


def test_levels_are_refused_ahead_of_a_run_though_the_first_input_is_dark(cli: Cli) -> None:
    ranged("m.onnx")
    x = np.zeros((6, 2, 2), np.float32)
    x[4] = 255
    np.savez("d.npz", x=x)
    result = cli("certify", "m.onnx", "d.npz", *RUN, "--run", "r")
    assert (result.code, "expected values of 0 to 1, the model's own input range" in result.err) == (2, True)
    assert not Path("r").exists()


def test_a_late_input_of_levels_fails_alone(cli: Cli) -> None:
    ranged("m.onnx")
    x = np.zeros((20, 2, 2), np.float32)
    x[18] = 255
    np.savez("d.npz", x=x)
    result = cli("certify", "m.onnx", "d.npz", *RUN, "-q", "--run", "r")
    assert (result.code, "1 of 20 inputs failed" in result.err) == (2, True)
    assert [entry["index"] for entry in RunFolder(Path("r")).entries() if "error" in entry] == [18]


@pytest.mark.parametrize(("factor", "warned"), [(1.0, True), (1 / 255, False), (0.999, False), (2.0, False)], ids=str)
def test_levels_without_metadata_are_named(cli: Cli, few_digits: Path, factor: float, warned: bool) -> None:
    with np.load("six.npz") as archive:
        np.savez("float.npz", x=archive["x"].astype(np.float32) * np.float32(factor))
    result = cli("predict", MODEL, "float.npz", *RUN, "-q")
    assert ("a radius of 1 is then one level of 255" in result.err) == warned
    assert result.err.count("\n") == warned
    assert result.code == 0


def test_tables_fit_80_columns(cli: Cli, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of the table itself is longer; titles and sentences wrap in the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (("report", "r"), ("report", "r", "--evaluation")):
        lines = cli(*arguments).out.splitlines()
        assert max(len(line) for line in lines if line[:1] in "┏┃│└") <= 80
