"""What `--help` and the tab key say, what they cost, and that the options are the library's own names and numbers."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from smoothcert.algorithms import ALGORITHMS, Fixed
from smoothcert.bounds.confidence import BOUNDS
from smoothcert.bounds.error_rule import ErrorRule
from smoothcert.cli import calibrate, export
from smoothcert.cli import options as opt
from smoothcert.cli.app import app
from smoothcert.cli.groups import changed, grouped
from smoothcert.cli.options import part_names
from smoothcert.cli.parse import attack
from smoothcert.cli.parts import parts
from smoothcert.cli.preprocessing import Normalisation, Pixels
from smoothcert.inputs.spatial import INTERPOLATIONS
from smoothcert.model.arrangement import LAYOUTS
from smoothcert.model.providers import PROVIDERS
from smoothcert.smoothing import PARTS, TRANSFORMS, parse_part
from smoothcert.smoothing.calibration import STRATEGIES
from smoothcert.transforms.warps import WARP_BORDERS
from smoothcert_exporters.adapt.precision import PRECISIONS
from smoothcert_exporters.options import INT8
from smoothcert_exporters.proof.parity import TOLERANCE


def tree(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Every command below that one, by its words."""
    for name, below in getattr(command, "commands", {}).items():
        yield from tree(below, *names, name)
    if not hasattr(command, "commands"):
        yield " ".join(names), command


COMMANDS = dict(tree(typer.main.get_command(app)))


# --- Pages ------------------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    """Every page, in one process."""
    code = (
        "import sys\n"
        "from smoothcert.cli.app import app\n"
        "for words in ['', *sys.argv[1:]]: app([*words.split(), '--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'scipy', 'onnx', 'onnxruntime', 'cv2', 'torch', 'msgspec',\n"
        "         'smoothcert_exporters', 'smoothcert_calibration'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, *COMMANDS], check=True, stdout=subprocess.DEVNULL)


def page(words: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    return CliRunner().invoke(app, [*words.split(), "--help"]).output


def test_certify_shows_its_groups_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = page("certify", monkeypatch)
    titles = re.findall(r"^╭─ (.*?) ─", shown, re.MULTILINE)
    assert titles == ["Arguments", "Options", "What to certify", "Statistics", "Preprocessing", "Machine", "Run"]
    assert max(map(len, shown.splitlines())) <= 80
    assert all(f"--{f.name.replace('_', '-')} " in shown for f in fields(opt.ToCertify))


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_an_example_that_can_be_read(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    epilog = COMMANDS[words].epilog
    lines = [shlex.split(line) for line in epilog.replace("\\\n", "").splitlines() if "smoothcert " in line]
    assert lines
    for line in lines:
        given = line[line.index("smoothcert") + 1 :]
        assert " ".join(given).startswith(words)
        COMMANDS[words].make_context(words, given[len(words.split()) :])
    assert max(map(len, epilog.splitlines())) <= 78


def test_every_part_is_listed_with_an_example_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Its options are those that it has, and each of their choices is taken."""
    parts()
    listed = capsys.readouterr().out
    for name, kind in TRANSFORMS.items():
        (block,) = re.findall(rf"(?m)^{name} .*\n(?: .*\n?)+", listed)
        ((asked, _),) = attack([kind.example]) or ()
        assert asked == name
        assert kind.help in block
        assert kind.example in block
        assert ("--smooth" in block) == (name in PARTS)
        for option, values in re.findall(r"(?m)^ +option  (\w+)=(.*)$", block):
            for value in values.split(" or "):
                made = parse_part(f"{name}=0.1,{option}={value}") if name in PARTS else kind(**{option: value})
                assert getattr(made, option) == value
    parts("hue")
    assert capsys.readouterr().out.count("--attack") == 1


# --- The tab key ------------------------------------------------------------------------------------------------------


def completed(line: str) -> list[str]:
    """What bash is offered at the end of that line."""
    code = "import sys; sys.argv = ['smoothcert']; from smoothcert.cli.app import main; main()"
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_SMOOTHCERT_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | words)
    assert done.stderr == ""
    return done.stdout.split()


def test_choices_and_parts_are_completed() -> None:
    assert completed("smoothcert certify m.onnx d.npz --mode ") == list(get_args(opt.Mode))
    assert completed("smoothcert certify m.onnx d.npz --smooth b") == ["brightness=", "blur="]
    assert [name for name, _ in part_names("")] == [f"{name}=" for name in TRANSFORMS]


# --- The library's names and numbers ----------------------------------------------------------------------------------


def choices(group: type, name: str) -> set[str]:
    """Those of a field, None apart."""
    kind = get_type_hints(group)[name]
    found = {one for option in (get_args(kind)) for one in (get_args(option) or [option])}
    return found - {None, type(None)}


CHOICES: dict[str, tuple[type, str, Any]] = {
    "mode": (opt.Statistics, "mode", set(ALGORITHMS) - {"predict"}),
    "bound": (opt.Statistics, "bound", BOUNDS),
    "error rule": (opt.ToCertify, "error_rule", get_args(ErrorRule)),
    "border": (opt.ToCertify, "border", WARP_BORDERS),
    "interpolation": (Pixels, "interpolation", INTERPOLATIONS),
    "layout": (Normalisation, "layout", LAYOUTS),
    "provider": (opt.Machine, "provider", PROVIDERS),
    "precision": (export.Written, "precision", (*PRECISIONS, *INT8)),
}


@pytest.mark.parametrize(("group", "name", "known"), CHOICES.values(), ids=CHOICES)
def test_choices_are_the_librarys(group: type, name: str, known: Any) -> None:
    assert choices(group, name) == set(known)


def test_defaults_and_strategies_are_the_librarys() -> None:
    assert set(get_args(calibrate.Strategy)) == set(STRATEGIES)
    assert (opt.Statistics().n, opt.Statistics().alpha) == (Fixed.n, Fixed.alpha)
    assert export.Written().tolerance == TOLERANCE


# --- Groups -----------------------------------------------------------------------------------------------------------

_option = partial(typer.Option, rich_help_panel="Numbers")


@dataclass(frozen=True, kw_only=True)
class Inner:
    count: Annotated[int, _option()] = 3
    words: Annotated[list[str], _option()] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    path: Annotated[Path | None, _option()] = None


def test_a_command_takes_dataclasses_and_shows_their_fields() -> None:
    small, kept = typer.Typer(), []

    @small.command()
    @grouped
    def go(name: str, *, outer: Outer, fast: bool = False) -> None:
        """Go."""
        kept.append((name, outer, fast))

    for given in (["a"], ["b", "--count", "5", "--words", "x", "--words", "y", "--path", "p", "--fast"]):
        assert CliRunner().invoke(small, given).exit_code == 0
    assert kept[0] == ("a", Outer(), False)
    assert kept[1] == ("b", Outer(inner=Inner(count=5, words=["x", "y"]), path=Path("p")), True)
    assert changed(kept[0][1], kept[0][1].inner) == {}
    assert changed(kept[1][1], kept[1][1].inner) == {"path": Path("p"), "count": 5, "words": ["x", "y"]}
    assert "Numbers" in CliRunner().invoke(small, ["--help"]).output
