"""The run folder: what a killed, resumed, sharded, merged or edited run leaves. Oracle: an undisturbed run."""

from __future__ import annotations

import copy
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from smoothcert import Noise
from smoothcert.errors import RunError
from smoothcert.runs.folder import LEDGER, RECIPE, RunFolder
from smoothcert.runs.recipe import differences, run_key

from .conftest import IMAGES, MODEL, Once, Result, write_six

Cli = Callable[..., Result]
FIXED = ("certify", MODEL, "six.npz", "--smooth", "noise=0.5", "--n", 700, "--n0", 50, "--nonce", "test", "--quiet")


def timeless(run: Path) -> list[dict[str, Any]]:
    """The ledger without its times."""
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in RunFolder(run).entries()]


@pytest.fixture
def whole(cli: Cli, once: Once) -> list[dict[str, Any]]:
    """The ledger of the undisturbed run."""
    once(lambda: (write_six(Path()), cli(*FIXED, "--run", "whole")))
    return timeless(Path("whole"))


def test_recipe_and_ledger_hold_what_is_needed(whole: list[dict[str, Any]]) -> None:
    recipe = RunFolder(Path("whole")).recipe()
    assert recipe["algorithm"] == {"mode": "fixed", "n0": 50, "n": 700, "alpha": 0.001, "bound": "one-sided"}
    assert recipe["smoothing"] == {"guarantee": "exact", "parts": [Noise(0.5).description]}
    assert recipe["model"]["provider"] == "cpu"
    assert recipe["model"]["precision"] == "float32"
    assert [entry["index"] for entry in whole] == list(range(6))
    for entry in whole:
        evidence = entry["evidence"]
        assert int(evidence["key"], 16) == run_key(recipe)
        assert sum(evidence["estimation"].values()) == 700
        assert sum(evidence["selection"].values()) == 50
        assert evidence["attack_model"] == "integer"
        assert 0 < evidence["slack"] < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [("--batch-size", 7), ("--batch-size", 32), ("--batch-size", 1000), ("--threads", 1), ("--threads", 2)],
    ids=lambda o: " ".join(map(str, o)),
)
@pytest.mark.parametrize("mode", ["fixed", "radius", "target"])
def test_ledger_does_not_depend_on_how_it_was_computed(cli: Cli, few_digits: Path, mode: str, options: Any) -> None:
    common = ("certify", MODEL, "six.npz", "--smooth", "noise=0.7", "--n", 2000, "--nonce", "n", "--quiet")
    common += ("--mode", mode, *(("--radii", "0.3,0.6") if mode == "target" else ()))
    assert cli(*common, "--run", "a").code == 0
    assert cli(*common, *options, "--run", "b").code == 0
    assert timeless(Path("a")) == timeless(Path("b"))


def test_merged_shards_equal_the_whole(cli: Cli, whole: list[dict[str, Any]]) -> None:
    for i in (1, 2, 3):
        assert cli(*FIXED, "--shard", f"{i}/3", "--run", f"part{i}").code == 0
    result = cli("merge", "merged", "part2", "part1", "part3")
    assert (result.code, result.out) == (0, "merged: 6 of 6 inputs\n")
    assert timeless(Path("merged")) == whole
    assert not differences(RunFolder(Path("merged")).recipe(), RunFolder(Path("whole")).recipe())
    assert cli("verify", "merged").code == 0


def test_merge_refuses_strangers_doubles_and_existing_folders(cli: Cli, whole: list[dict[str, Any]]) -> None:
    assert cli(*FIXED, "--shard", "1/2", "--run", "part1").code == 0
    assert cli(*FIXED[:-3], "--nonce", "other", "--quiet", "--shard", "2/2", "--run", "part2").code == 0
    assert "nonce is test there, other here" in cli("merge", "out", "part1", "part2").err
    assert "is in another shard too" in cli("merge", "out", "part1", "part1").err
    assert "already holds a run" in cli("merge", "whole", "part1").err
    assert not Path("out").exists()


def test_a_shard_needs_a_nonce(cli: Cli, few_digits: Path) -> None:
    result = cli("certify", MODEL, "six.npz", "--smooth", "noise=0.5", "--shard", "1/2")
    assert (result.code, "--nonce" in result.err) == (2, True)


@pytest.mark.parametrize("torn", [0, 1, 30, 2000], ids=lambda t: f"{t} bytes torn")
def test_a_torn_last_line_is_done_again(cli: Cli, whole: list[dict[str, Any]], torn: int) -> None:
    ledger = Path("whole", LEDGER)
    content = ledger.read_bytes()
    ledger.write_bytes(content[: len(content) - torn] if torn < len(content) else content)
    assert cli(*FIXED, "--run", "whole").code == 0
    assert timeless(Path("whole")) == whole


def test_a_finished_run_is_only_reported(cli: Cli, whole: list[dict[str, Any]]) -> None:
    before = Path("whole", LEDGER).read_bytes()
    result = cli(*FIXED, "--run", "whole")
    assert "6 of 6 inputs were there already" in result.out
    assert Path("whole", LEDGER).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--n", 800), "algorithm.n is 700 there, 800 here"),
        (("--alpha", 0.01), "algorithm.alpha is 0.001 there, 0.01 here"),
        (("--smooth", "noise=0.25"), "no theorem for noise then noise"),
        (("--nonce", "else"), "nonce is test there, else here"),
        (("--skip", 1), "selection.skip is 0 there, 1 here"),
        (("--scale", 1.0), "model.preprocess.scale is unset there, 1.0 here"),
    ],
    ids=lambda v: " ".join(map(str, v)) if isinstance(v, tuple) else None,
)
def test_a_folder_of_another_run_is_refused_and_kept(
    cli: Cli, whole: list[dict[str, Any]], change: tuple[Any, ...], message: str
) -> None:
    before = Path("whole", RECIPE).read_bytes(), Path("whole", LEDGER).read_bytes()
    result = cli(*FIXED, *change, "--run", "whole")
    assert result.code == 2
    assert any(part in result.err for part in message.split("|"))
    assert result.err.count("\n") == 1
    assert (Path("whole", RECIPE).read_bytes(), Path("whole", LEDGER).read_bytes()) == before


def limit(run: str) -> int | None:
    found: int | None = RunFolder(Path(run)).recipe()["selection"].get("limit")
    return found


def test_a_limit_may_grow(cli: Cli, whole: list[dict[str, Any]]) -> None:
    for options, count in (((), 6), (("--limit", 2), 2), (("--limit", 5), 5), ((), 6)):
        run = "whole" if count == 6 and options == () and not Path("grown").exists() else "grown"
        assert cli(*FIXED, *options, "--run", run).code == 0
        assert timeless(Path(run)) == whole[:count]
        assert limit(run) == (options[1] if options else None)
        assert cli("verify", run).out.endswith(f"{count} entries (attack model integer), 0 problems\n")
    assert not differences(RunFolder(Path("grown")).recipe(), RunFolder(Path("whole")).recipe())


def test_a_limit_may_shrink_to_what_is_there(cli: Cli, whole: list[dict[str, Any]]) -> None:
    """The ledger loses nothing: inputs beyond the limit stay in it, in the recipe's limit and in the report."""
    assert "more than --limit 4: 2 inputs of the ledger" in cli(*FIXED, "--limit", 4, "--run", "whole").out
    assert (timeless(Path("whole")), limit("whole")) == (whole, 6)
    assert cli("verify", "whole").out.endswith("6 entries (attack model integer), 0 problems\n")
    ledger = Path("whole", LEDGER)
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:2]))
    assert "more than" not in cli(*FIXED, "--limit", 3, "--run", "whole").out
    assert (timeless(Path("whole")), limit("whole")) == (whole[:3], 3)
    assert cli("report", "whole").err == ""


def test_a_kill_after_the_limit_was_written_loses_nothing(cli: Cli, whole: list[dict[str, Any]]) -> None:
    assert cli(*FIXED, "--limit", 2, "--run", "r").code == 0
    asked = RunFolder(Path("r")).recipe()
    asked["selection"]["limit"] = 5
    assert RunFolder(Path("r")).begin(asked)["selection"]["limit"] == 5
    assert "3 of 5 inputs are not in the ledger" in cli("verify", "r").out
    assert cli(*FIXED, "--limit", 4, "--run", "r").code == 0
    assert (timeless(Path("r")), limit("r")) == (whole[:4], 4)


def test_a_limit_counts_from_the_inputs_skipped(cli: Cli, whole: list[dict[str, Any]]) -> None:
    for count in (3, 1, 4):
        assert cli(*FIXED, "--skip", 2, "--limit", count, "--run", "r").code == 0
    assert (timeless(Path("r")), limit("r")) == (whole[2:], 4)
    assert cli("verify", "r").out.endswith("4 entries (attack model integer), 0 problems\n")


def test_shards_of_different_limits_merge_into_the_largest(cli: Cli, whole: list[dict[str, Any]]) -> None:
    assert cli(*FIXED, "--shard", "1/2", "--limit", 4, "--run", "part1").code == 0
    assert cli(*FIXED, "--shard", "2/2", "--limit", 5, "--run", "part2").code == 0
    assert cli("merge", "merged", "part1", "part2").out == "merged: 4 of 5 inputs\n"
    assert cli(*FIXED, "--run", "merged").code == 0
    assert sorted(timeless(Path("merged")), key=lambda entry: entry["index"]) == whole


def test_a_folder_of_another_model_is_refused(cli: Cli, whole: list[dict[str, Any]]) -> None:
    Path("other.onnx").write_bytes(MODEL.read_bytes() + b"\x3a\x00")  # one more, empty, protobuf field: another file
    result = cli("certify", "other.onnx", *FIXED[2:], "--run", "whole")
    assert (result.code, "the model is another: SHA-256 " in result.err) == (2, True)


def test_a_folder_in_use_is_refused(cli: Cli, whole: list[dict[str, Any]]) -> None:
    with Path("whole", LEDGER).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = cli(*FIXED, "--run", "whole")
    assert (result.code, "in use by another process" in result.err) == (2, True)


def test_no_folder_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a run folder"):
        RunFolder(tmp_path).recipe()
    (tmp_path / LEDGER).write_text("{}\n")
    with pytest.raises(RunError, match="without its recipe"):
        RunFolder(tmp_path).begin({"nonce": ""})


def test_the_key_depends_on_what_determines_the_votes(whole: list[dict[str, Any]]) -> None:
    recipe = RunFolder(Path("whole")).recipe()
    keys = {run_key(recipe)}
    for path, other in [
        (("nonce",), "x"),
        (("model", "sha256"), "x"),
        (("model", "output"), "x"),
        (("model", "preprocess", "scale"), 2.0),
        (("data", "sha256"), "x"),
        (("smoothing", "parts"), [Noise(0.6).description]),
        (("smoothing", "guarantee"), "path"),
        (("algorithm", "attack"), {"noise": {"low": 0.1, "high": 0.1}}),
        (("algorithm", "n"), 701),
    ]:
        changed = copy.deepcopy(recipe)
        table = changed
        for name in path[:-1]:
            table = table[name]
        table[path[-1]] = other
        keys.add(run_key(changed))
    assert len(keys) == 10
    moved = copy.deepcopy(recipe)
    moved["model"]["path"] = moved["host"]["python"] = moved["selection"]["shard"] = "elsewhere"
    assert run_key(moved) == run_key(recipe)


def test_a_run_that_this_version_does_not_read_is_refused_by_a_line_that_names_its_own(
    cli: Cli, finished_run: Path
) -> None:
    """Before enumeration was an algorithm, its set of attacks stood in the smoothing."""
    recipe = RunFolder(finished_run).recipe()
    brightness = {"brightness": {"low": 0.0, "high": 0.02}}
    enumerated = {"guarantee": "enumerated", "attack": brightness, "order": ["brightness"], "border": "black"}
    old = {"smoothcert": "0.0.7", "smoothing": enumerated | {"parts": []}}
    (finished_run / RECIPE).write_text(tomli_w.dumps(recipe | old | {"algorithm": {"mode": "enumerate", "alpha": 0.0}}))
    again = ("--mode", "enumerate", "--attack", "brightness=0:0.02", "--run", "r")
    for asked in (("report", "r"), ("verify", "r"), ("audit", "r"), ("certify", MODEL, "six.npz", *again)):
        result = cli(*asked)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert "recipe.toml: expected a run folder" in result.err
        assert "'enumerated'" in result.err
        assert "use the version that wrote it, '0.0.7'" in result.err


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from smoothcert.cli.app import main; main()", *map(str, arguments)]


def until_ledger_grows(process: subprocess.Popen[str], ledger: Path, size: int) -> None:
    while process.poll() is None and (not ledger.exists() or ledger.stat().st_size <= size):
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_at_any_instant_and_resumed(tmp_path: Path) -> None:
    """SIGKILL after ever later moments; the run ends with the ledger of one that was never killed."""
    with np.load(IMAGES) as archive:
        np.savez(tmp_path / "d.npz", x=archive["x"][:40], y=archive["y"][:40])
    run = ("certify", MODEL, "d.npz", "--smooth", "noise=0.5", "--n", 3000, "--nonce", "k", "--quiet", "--run")
    ledger = tmp_path / "killed" / LEDGER
    kills = 0
    for delay in (0.0, 0.013, 0.031, 0.002, 0.05, 0.021):
        process = subprocess.Popen(command(*run, "killed"), cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        until_ledger_grows(process, ledger, ledger.stat().st_size if ledger.exists() else 0)
        time.sleep(delay)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        process.communicate()
    assert kills >= 3
    assert 0 < len(RunFolder(tmp_path / "killed").entries()) < 40
    for name in ("killed", "whole"):
        subprocess.run(command(*run, name), cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert timeless(tmp_path / "killed") == timeless(tmp_path / "whole")


@pytest.mark.slow
def test_two_hundred_random_kills(tmp_path: Path) -> None:
    """SIGKILL at random instants; every run that ends in spite of that has the ledger of one never killed."""
    with np.load(IMAGES) as archive:
        np.savez(tmp_path / "d.npz", x=archive["x"][:40], y=archive["y"][:40])
    arguments = [sys.executable, "-c", KILLS, str(MODEL), "200"]
    result = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    runs, instants = json.loads(result.stdout)
    assert len(set(instants)) > 10  # sizes of the ledger when the kill came; how many depends on the machine
    whole = timeless(tmp_path / "whole")
    assert len(whole) == 40
    for number in range(runs):
        assert timeless(tmp_path / f"killed{number}") == whole


# Each run is forked from a process that has done one, so that kills come within the run and not ahead of it.
KILLS = """
import json, os, random, signal, sys, time
from pathlib import Path
from smoothcert import Noise, compose
from smoothcert.algorithms import Fixed
from smoothcert.model.classifier import OrtClassifier
from smoothcert.inputs.datasets import open_dataset
from smoothcert.runs.asked import Files, new_run
from smoothcert.runs.complete import complete
from smoothcert.runs.folder import RunFolder

files = Files(Path(sys.argv[1]), Path("d.npz"))
classifier, data = OrtClassifier(files.model, threads=1), open_dataset(files.data)
run = new_run(files, classifier, data, compose(Noise(0.5)), Fixed(20, 200), nonce="k")
start = time.monotonic()
entries = len(list(complete(RunFolder(Path("whole")), run)))
one = (time.monotonic() - start) / entries

def forked(name):
    child = os.fork()
    if not child:
        list(complete(RunFolder(Path(name)), run))
        os._exit(0)
    return child

chance, kills, runs, instants = random.Random(0), 0, 0, []
while kills < int(sys.argv[2]):
    child, ledger = forked(f"killed{runs}"), Path(f"killed{runs}", "ledger.jsonl")
    time.sleep(chance.uniform(0.0, 4 * one))
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] == signal.SIGKILL:
        kills += 1
        instants.append(ledger.stat().st_size if ledger.exists() else 0)
    else:
        runs += 1
assert os.waitpid(forked(f"killed{runs}"), 0)[1] == 0
print(json.dumps([runs + 1, instants]))
"""


def test_interrupt_ends_in_a_line_and_keeps_the_ledger(tmp_path: Path) -> None:
    run = ("certify", MODEL, IMAGES, "--smooth", "noise=0.5", "--n", 3000, "--quiet", "--run", "r")
    process = subprocess.Popen(
        command(*run),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    until_ledger_grows(process, tmp_path / "r" / LEDGER, 0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "the same command continues" in err
    entries = RunFolder(tmp_path / "r").entries()
    assert entries
    assert all("certificate" in entry for entry in entries)


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """The kernel refuses the ledger's growth past 2,500 bytes, as a full disk does, in the middle of a line."""
    run = ("certify", MODEL, IMAGES, "--smooth", "noise=0.5", "--n", 1000, "--limit", 20, "--nonce", "f", "--quiet")
    result = subprocess.run(
        command(*run, "--run", "full"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500)),
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "nothing that was finished is lost" in result.stderr
    ledger = (tmp_path / "full" / LEDGER).read_bytes()
    assert ledger.endswith(b"\n")
    assert 0 < ledger.count(b"\n") < 20
    for name in ("full", "whole"):
        subprocess.run(command(*run, "--run", name), cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert timeless(tmp_path / "full") == timeless(tmp_path / "whole")


def edited(entry: dict[str, Any], change: str) -> dict[str, Any]:
    """A forged ledger entry."""
    certificate, evidence = entry["certificate"], entry["evidence"]
    label = str(certificate["prediction"])
    match change:
        case "radius":
            certificate["radius"] += 1e-9
        case "prediction":
            certificate["prediction"] = 9 - certificate["prediction"]
        case "votes":
            evidence["estimation"][label] -= 1
        case "moved votes":
            evidence["estimation"][label] -= 3
            evidence["estimation"]["99"] = 3
        case "more votes":
            evidence["estimation"][label] += 100_000
        case "key":
            evidence["key"] = "0" * 16
        case "slack":
            evidence["slack"] = 0.0
        case "negative slack":
            evidence["slack"] = -1e-9
        case "large slack":
            evidence["slack"] = 0.1
        case "another attacker":
            evidence["attack_model"] = "enumerated"
        case "an attacker of its own":
            evidence["attack_model"] = "every attack there is"
        case "attack model":
            evidence["attack_model"] = "float-unclipped"
        case "input":
            entry["input"] = "0" * 64
        case "label":
            entry["label"] = 9 - entry["label"]
        case "index":
            entry["index"] = 77
        case "no input":
            del entry["input"]
        case "mode":
            evidence["mode"] = "radius"
    return entry


@pytest.mark.parametrize(
    "change",
    ["radius", "prediction", "votes", "moved votes", "more votes", "key", "slack", "attack model", "input", "label",
     "index", "no input", "mode"],
)  # fmt: skip
def test_verify_finds_the_forgery(cli: Cli, whole: list[dict[str, Any]], change: str) -> None:
    assert cli("verify", "whole").code == 0
    entries = RunFolder(Path("whole")).entries()
    entries[2] = edited(entries[2], change)
    Path("whole", LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    result = cli("verify", "whole")
    assert result.code == 1
    assert f"wrong: input {entries[2]['index']}: " in result.out


@pytest.mark.parametrize("mode", ["radius", "target", "predict"])
def test_verify_accepts_every_mode_and_finds_changed_votes(cli: Cli, few_digits: Path, mode: str) -> None:
    arguments = {"radius": ("--mode", "radius"), "target": ("--mode", "target", "--radii", "0.5,1")}.get(mode, ())
    first = "predict" if mode == "predict" else "certify"
    assert cli(first, MODEL, "six.npz", "--smooth", "noise=0.6", "--run", "r", "--quiet", *arguments).code == 0
    assert cli("verify", "r").code == 0
    entries = RunFolder(Path("r")).entries()
    votes = entries[0]["evidence"]["estimation"]
    votes[next(iter(votes))] += 1
    Path("r", LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert cli("verify", "r").code == 1


@pytest.mark.parametrize(
    ("looks", "votes"),
    [([[64, 3, 54]], {"3": 54, "8": 10}), ([[64, 8, 10]], {"3": 54, "8": 10})],
    ids=["stopped at will", "another class than the favourite"],
)
def test_verify_wants_a_test_that_ended(cli: Cli, few_digits: Path, looks: Any, votes: Any) -> None:
    """Looks that stop at a lucky moment, or follow another class than the favourite, are no sequential test."""
    run = (
        "certify",
        MODEL,
        "six.npz",
        "--smooth",
        "noise=0.6",
        "--mode",
        "target",
        "--radii",
        "0.5",
        "--run",
        "r",
        "-q",
    )
    assert cli(*run).code == 0
    entry = RunFolder(Path("r")).entries()[0]
    evidence, certificate = entry["evidence"], entry["certificate"]
    evidence["looks"], evidence["estimation"] = looks, votes
    certificate |= {"prediction": -1, "radius": 0.0, "p_lower": 0.0, "p_upper": 1.0}
    Path("r", LEDGER).write_text(json.dumps(entry) + "\n")
    assert "not as many as the algorithm draws" in cli("verify", "r").out


def test_two_that_begin_one_run_agree_on_its_nonce(tmp_path: Path) -> None:
    """The loser of the race is told so, or finds the run finished; the votes are all of the recipe's key."""
    with np.load(IMAGES) as archive:
        np.savez(tmp_path / "d.npz", x=archive["x"][:3])
    run = command("certify", MODEL, "d.npz", "--smooth", "noise=0.5", "--n", 300, "-q", "--run", "r")
    both = [subprocess.Popen(run, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 2]), errors
    folder = RunFolder(tmp_path / "r")
    assert {int(e["evidence"]["key"], 16) for e in folder.entries()} == {run_key(folder.recipe())}


def test_verify_says_what_it_could_not_look_at(cli: Cli, whole: list[dict[str, Any]]) -> None:
    shutil.move("six.npz", "moved.npz")
    result = cli("verify", "whole")
    assert (result.code, "not checked: data: " in result.out) == (3, True)
    assert result.out.endswith("whole: 6 entries (attack model integer), 0 problems, 1 check could not be made\n")
    assert "not checked" not in cli("verify", "whole", "--data", "moved.npz").out
    Path("moved.npz").write_bytes(IMAGES.read_bytes())
    result = cli("verify", "whole", "--data", "moved.npz")
    assert (result.code, "wrong: data: expected SHA-256" in result.out) == (1, True)


def test_verify_names_a_damaged_line(cli: Cli, whole: list[dict[str, Any]]) -> None:
    lines = Path("whole", LEDGER).read_text().splitlines()
    lines[3] = lines[3][:50]
    Path("whole", LEDGER).write_text("\n".join(lines) + "\n")
    for verb in ("verify", "report"):
        result = cli(verb, "whole")
        assert (result.code, "line 4: expected a ledger entry" in result.err) == (2, True)


def test_fsync_of_every_line(cli: Cli, few_digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    assert cli(*FIXED, "--run", "r").code == 0
    ledger = Path("r", LEDGER).read_bytes()
    ends = [i + 1 for i, byte in enumerate(ledger) if byte == ord("\n")]
    assert synced[-6:] == ends
