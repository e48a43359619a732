"""The README as written: every command, in order, in a fresh folder; every Python block."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .readme import README, ROOT, Command, commands, differences, like_a_clone, run, updated

PAGE = README.read_text()
TABLE = """\
```console
$ smoothcert certify demo:digits.onnx demo:digits.npz{nonce}  # the main job
preflight: 9 inputs, 1,000 samples/s
0 label 8 predicts 8 radius 1.000 (0.09 s)
...
noise = 0.5, 9 inputs
┏━━━━━━━━┳━━━━━━━━━━┓
┃ radius ┃ accuracy ┃
┡━━━━━━━━╇━━━━━━━━━━┩
│      0 │    98.0% │
└────────┴──────────┘
mean radius 0.955
$ smoothcert report runs/a
│      0 │    98.0% │
```
"""
OUT = (
    "preflight: 9 inputs, 2,000 samples/s",
    "0 label 8 predicts 8 radius 0.900 (0.02 s)",
    "1 label 2 predicts 2 radius 1.000 (0.02 s)",
    "noise = 0.5, integer attacks, 9 inputs",
    "┏━━━━━━━━┳━━━━━━━━━━━━┓",
    "┃ radius ┃   accuracy ┃",
    "┡━━━━━━━━╇━━━━━━━━━━━━┩",
    "│      0 │      97.0% │",
    "└────────┴────────────┘",
    "mean radius 0.944",
)


@pytest.mark.slow
def test_commands_run_as_written_and_print_what_is_shown(tmp_path: Path) -> None:
    """In `sh`, in a folder that has what a clone has after `make demo`; rows of repeatable commands agree exactly."""
    like_a_clone(tmp_path)
    found = [command for command in commands(PAGE) if command.runs]
    assert len(found) >= 20
    assert sum(len(command.shown) for command in found) >= 60
    for command in found:
        done = run(command, tmp_path)
        complaints = [line for line in done.err.splitlines() if "inputs, about" not in line]  # a slow machine says so
        assert (done.code, complaints) == (0, []), command.text
        assert differences(command, done.out) == [], (command.text, done.out)


def test_make_commands_are_targets() -> None:
    """What is not run here: `make` itself runs the tests."""
    makefile = (ROOT / "Makefile").read_text()
    for command in commands(PAGE):
        if not command.runs:
            assert re.search(rf"^{command.words.removeprefix('make ')}: .*## ", makefile, re.MULTILINE), command.text


def test_what_is_written_is_the_same_choice_of_lines() -> None:
    first, second = commands(TABLE.format(nonce=""))
    assert updated(first, OUT) == (*OUT[:2], "...", *OUT[3:])
    assert updated(second, OUT) == (OUT[7],)
    assert updated(Command("", 0, ("nothing like it",)), OUT) == ("nothing like it",)
    assert updated(Command("", 0, ()), OUT) == ()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert getattr(names["certificate"], "prediction", -1) >= 0
