"""`verify --redraw`: votes that the ledger holds come again from the model, or the ledger is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from smoothcert.errors import ArgumentError
from smoothcert.evidence import Evidence
from smoothcert.model import providers
from smoothcert.runs.folder import RunFolder
from smoothcert.runs.question import Question
from smoothcert.runs.redraw import redraw

from . import models
from .conftest import MODEL, Result

Cli = Callable[..., Result]
MODES: dict[str, tuple[object, ...]] = {
    "fixed": ("--n0", 20, "--n", 200),
    "radius": ("--mode", "radius", "--n", 300),
    "target": ("--mode", "target", "--radii", "0.1", "--n", 500),
    "enumerate": ("--mode", "enumerate", "--attack", "brightness=-0.02:0.02"),
}


def run(cli: Cli, mode: str, *more: object) -> RunFolder:
    noise = () if mode == "enumerate" else ("--smooth", "noise=0.25")
    done = cli("certify", MODEL, "six.npz", *noise, *MODES[mode], "--run", "r", "-q", *more)
    assert done.code == 0, done.err
    return RunFolder(Path("r"))


def forge(folder: RunFolder, index: int) -> None:
    """One vote moved from the winner to another class, and the certificate decided again: consistent, and wrong."""
    recipe, entries = folder.recipe(), folder.entries()
    (entry,) = (e for e in entries if e["index"] == index)
    votes = entry["evidence"]["estimation"]
    best = max(votes, key=votes.get)
    other = "1" if best != "1" else "2"
    votes[best] -= 1
    votes[other] = votes.get(other, 0) + 1
    evidence = Evidence.from_json(entry["evidence"])
    question = Question.of(recipe)
    decided = question.algorithm.decide(evidence, question.smoothing)
    entry["certificate"] = decided.to_json()
    (folder.path / "ledger.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))


@pytest.mark.parametrize("mode", MODES)
def test_honest_votes_come_again(cli: Cli, few_digits: Path, mode: str) -> None:
    """At any number of threads and batch size."""
    folder = run(cli, mode, "--threads", 1, "--batch-size", 7)
    verdict = redraw(folder, 6)
    assert (verdict.entries, verdict.wrong, verdict.unchecked) == (6, (), ())
    done = cli("verify", "r", "--redraw", 2)
    assert (done.code, "2 inputs drawn again" in done.out, "0 problems" in done.out) == (0, True, True)


def test_a_single_vote_that_was_moved_is_found(cli: Cli, few_digits: Path) -> None:
    """`verify` alone cannot: the ledger is consistent."""
    folder = run(cli, "fixed")
    forge(folder, 3)
    assert cli("verify", "r").code == 0
    done = cli("verify", "r", "--redraw", 6)
    assert done.code == 1
    assert "wrong: input 3: the votes are {" in done.out
    assert len(redraw(folder, 6).wrong) == 1
    assert redraw(folder, 2).wrong == ()  # the first and the last


def test_base_classes_and_errors_are_asked_again(cli: Cli, few_digits: Path) -> None:
    """A class that was never answered, and an input that was hidden behind an error: `verify` alone sees neither."""
    folder = run(cli, "fixed")
    entries = folder.entries()
    entries[1]["base"] = (entries[1]["base"] + 1) % 10
    hidden = {name: entries[4][name] for name in ("index", "name", "label", "input", "seconds")}
    entries[4] = hidden | {"error": "six.npz[4]: cannot be read"}
    (folder.path / "ledger.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    assert cli("verify", "r").code == 0
    base, error = redraw(folder, 6).wrong
    assert base.startswith("input 1: the base classifier's class is ")
    assert error == "input 4: the error does not come again: six.npz[4]: cannot be read"


def test_an_error_that_comes_again_is_no_problem(cli: Cli, tmp_path: Path) -> None:
    x = np.zeros((3, 32, 32), np.float32)
    x[1, 0, 0] = np.nan
    np.savez("six.npz", x=x, y=np.zeros(3, int))
    done = cli("certify", MODEL, "six.npz", "--smooth", "noise=0.5", *MODES["fixed"], "--run", "r", "-q")
    assert sum("error" in entry for entry in RunFolder(Path("r")).entries()) == 1, done.err
    verdict = redraw(RunFolder(Path("r")), 3)
    assert (verdict.entries, verdict.wrong) == (3, ())


def test_one_reason_is_said_once(cli: Cli, few_digits: Path) -> None:
    run(cli, "fixed")
    few_digits.rename("moved.npz")
    done = cli("verify", "r", "--redraw", 3)
    assert (done.code, done.out.count("is not there"), done.out.count("pass --data"), "`" in done.out) == (
        3,
        1,
        1,
        False,
    )


def test_what_cannot_be_drawn_again_is_said(
    cli: Cli, few_digits: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = run(cli, "fixed")
    (tmp_path / "other.onnx").write_bytes(models.linear((1, 28, 28), np.ones((784, 10)), np.zeros(10)))
    cases: dict[str, dict[str, Any]] = {
        "model: none.onnx is not there": {"model": Path("none.onnx")},
        "data: none.npz is not there": {"data": Path("none.npz")},
        "expected SHA-256": {"model": tmp_path / "other.onnx"},
    }
    for words, options in cases.items():
        verdict = redraw(folder, 1, **options)
        assert (verdict.entries, verdict.wrong) == (0, ())
        assert words in verdict.unchecked[0]
    monkeypatch.setattr(providers, "installed", lambda: "onnxruntime 0.1")
    (line,) = redraw(folder, 1).unchecked
    assert "here onnxruntime 0.1" in line
    with pytest.raises(ArgumentError, match="redraw: expected at least 1 input, got 0"):
        redraw(folder, 0)


def test_a_run_that_holds_nothing_is_no_problem(cli: Cli, few_digits: Path) -> None:
    folder = run(cli, "fixed")
    empty = RunFolder(Path("empty"))
    empty.path.mkdir()
    shutil.copy(folder.path / "recipe.toml", empty.path)
    assert redraw(empty, 3).entries == 0
    recipe = folder.recipe()
    recipe["model"]["provider"] = "tensorrt"
    (empty.path / "recipe.toml").write_text(tomli_w.dumps(recipe))
    (line,) = redraw(empty, 3).unchecked
    assert "provider tensorrt" in line
