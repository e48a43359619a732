"""Runs of single parts, compositions, sets of attacks and enumerations on the embedded digits, end to end.

Oracles: an undisturbed run, `verify`, and the certificate's own promise recomputed from the ledger.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from smoothcert.runs.folder import LEDGER, RECIPE, RunFolder
from smoothcert.runs.recipe import differences, run_key
from smoothcert.smoothing import smoothing_of

from .conftest import MODEL, Result

QUICK = (
    "test_the_order_of_the_parts_is_another_run",
    "test_the_order_of_enumerated_attacks_is_another_run",
)

Cli = Callable[..., Result]
BASE = ("certify", MODEL, "six.npz", "--n", 1000, "--nonce", "test", "--quiet")
AFFINE = ("--smooth", "contrast=0.3", "--smooth", "brightness=0.2")
SET = ("--attack", "contrast=0.9:1.1", "--attack", "brightness=-0.05:0.05")
TWO = (*AFFINE, *SET)
RUNS: dict[str, tuple[tuple[str, ...], str]] = {  # options, what the report prints
    "brightness": (("--smooth", "brightness=0.3"), "brightness = 0.3, fixed mode, 6 inputs"),
    "contrast about mid": (("--smooth", "contrast=0.4,about=mid"), "contrast = 0.4, fixed mode"),
    "gamma": (("--smooth", "gamma=0.4,law=rayleigh", "--mode", "radius"), "gamma = 0.4, radius mode"),
    "blur": (("--smooth", "blur=2"), "blur = 2, fixed mode"),
    "translation": (("--smooth", "translation=0.7"), "translation = 0.7, fixed mode"),
    "targets of contrast": (
        ("--smooth", "contrast=0.4", "--mode", "target", "--radii", "0.1,0.3"),
        "0.3 │ 0.7409:1.3498",
    ),
    "two-sided": (("--smooth", "blur=2,law=uniform", "--bound", "two-sided"), "blur = 2, fixed mode"),
    "one part under attack": (("--smooth", "contrast=0.4", "--attack", "contrast=0.7:1.4"), "contrast 0.7:1.4"),
    "two parts": (AFFINE, "contrast = 0.3, brightness = 0.2, fixed mode"),
    "two parts under attack": ((*AFFINE, *SET), "contrast 0.9:1.1, brightness -0.05:0.05"),
    "target under attack": ((*AFFINE, *SET, "--mode", "target"), "target mode, 6 inputs"),
    "path": (
        (*AFFINE, "--attack", "contrast=0.9", "--attack", "brightness=0.05", "--guarantee", "path"),
        "path guarantee, fixed mode",
    ),
    "whole": (("--smooth", "translation=0.7", "--smooth", "noise=0.3", "--attack", "translation=1"), "translation 1"),
    "grid": (("--smooth", "gamma=0.3", "--attack", "gamma=0.8:1.2:5"), "gamma 0.8:1.2:5 (grid: gamma every 0.1"),
    "enumerate": (("--mode", "enumerate", "--attack", "rotation=-6:6:13"), "rotation -6:6:13 (grid: rotation every 1"),
    "enumerate two": (
        ("--mode", "enumerate", "--attack", "translation=1", "--attack", "brightness=-0.02:0.02", "--border", "wrap"),
        "translation 1, brightness -0.02:0.02",
    ),
}


def timeless(run: str) -> list[dict[str, Any]]:
    """The ledger without its times."""
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in RunFolder(Path(run)).entries()]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that several tests start from."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def certified(cli: Cli, few_digits: Path, shelf: Path) -> Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]:
    """`certified(*options)` leaves that run in the folder r: its recipe and entries."""

    def make(*options: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        kept = shelf / hashlib.sha256(" ".join(options).encode()).hexdigest()
        if not kept.exists():
            assert cli(*BASE, *options, "--run", kept).code == 0
        shutil.copytree(kept, "r")
        return RunFolder(kept).recipe(), RunFolder(kept).entries()

    return make


Certified = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


@pytest.mark.parametrize(("options", "printed"), RUNS.values(), ids=RUNS)
def test_certified_verified_reported(cli: Cli, few_digits: Path, options: tuple[str, ...], printed: str) -> None:
    result = cli(*BASE, *options, "--run", "r")
    said = "warning: --mode enumerate samples nothing" if "enumerate" in options else ""
    assert (result.code, result.err[: len(said) or None]) == (0, said)
    assert result.out.startswith("preflight: 6 inputs")
    entries, recipe = RunFolder(Path("r")).entries(), RunFolder(Path("r")).recipe()
    smoothing, attack = smoothing_of(recipe["smoothing"]), recipe["algorithm"].get("attack")
    certificates = [entry["certificate"] for entry in entries if entry["certificate"]["prediction"] >= 0]
    assert len(certificates) >= 3
    for certificate in certificates:
        if attack and recipe["algorithm"]["mode"] == "fixed":
            assert certificate["p_lower"] > smoothing.p_star(attack)
        assert ("interval" in certificate) == (bool(certificate["radius"]) and not smoothing.parts[0].is_norm)
        if "interval" in certificate:
            part, (low, high) = smoothing.parts[0], certificate["interval"]
            inside = [v for v in (low, high) if part.coordinate(v)]
            for end in inside:  # where the mode tests an end, p_lower is its p_star
                kept = smoothing.survives({part.name: end}, certificate["p_lower"], certificate["p_upper"])
                assert kept or smoothing.p_star({part.name: end}) == pytest.approx(certificate["p_lower"], rel=1e-9)
            assert min(abs(part.coordinate(v)) for v in inside) == pytest.approx(certificate["radius"], rel=1e-9)
            assert certificate["unit"] == part.unit
    for shown in (result.out, cli("report", "r").out):
        assert all(word in shown for word in printed.split())
    model = RunFolder(Path("r")).recipe()["attack_model"]
    assert cli("verify", "r").out == f"r: 6 entries (attack model {model}), 0 problems\n"
    assert {entry["evidence"]["attack_model"] for entry in entries} == {model}
    assert f"attack model {model}, 6 inputs" in result.out
    before = Path("r", LEDGER).read_bytes()
    assert "6 of 6 inputs were there already" in cli(*BASE, *options, "--run", "r").out
    assert Path("r", LEDGER).read_bytes() == before


FOUR = ("--smooth", "blur=1,border=wrap", "--smooth", "translation=0.5", *AFFINE, "--smooth", "noise=0.1")


@pytest.mark.parametrize(
    "options",
    [(*FOUR, *SET), ("--mode", "enumerate", "--attack", "translation=3", "--attack", "gamma=0.8:1.2:3")],
    ids=["four parts and noise", "enumerate"],
)
def test_shards_resumed_and_merged_equal_the_whole(cli: Cli, few_digits: Path, options: tuple[str, ...]) -> None:
    assert cli(*BASE, *options, "--run", "whole").code == 0
    for i, how in ((1, ("--threads", 1)), (2, ("--batch-size", 7))):
        assert cli(*BASE, *options, *how, "--shard", f"{i}/2", "--run", f"part{i}").code == 0
    ledger = Path("part1", LEDGER)
    ledger.write_bytes(ledger.read_bytes()[:-100])  # killed in the middle of a line
    assert cli(*BASE, *options, "--shard", "1/2", "--run", "part1").code == 0
    assert cli("merge", "merged", "part2", "part1").out == "merged: 6 of 6 inputs\n"
    assert timeless("merged") == timeless("whole")
    assert not differences(RunFolder(Path("merged")).recipe(), RunFolder(Path("whole")).recipe())
    assert re.fullmatch(r"merged: 6 entries \(attack model [a-z-]+\), 0 problems\n", cli("verify", "merged").out)


CHANGES: dict[str, tuple[tuple[str, ...], str]] = {
    "wider attack": (("--attack", "contrast=0.9:1.2", "--attack", "brightness=-0.05:0.05"), "attack.contrast.high is"),
    "no attack": ((), "attack.contrast.high is 1.1 there, unset here"),
    "target": ((*SET, "--mode", "target"), "algorithm.mode is fixed there, target here"),
    "one more part": ((*SET, "--smooth", "noise=0.1"), "smoothing: contrast0.3 then brightness0.2 there, "),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_question_is_another_run(cli: Cli, certified: Certified, change: str) -> None:
    certified(*TWO)
    before = Path("r", RECIPE).read_bytes(), Path("r", LEDGER).read_bytes()
    options, message = CHANGES[change]
    result = cli(*BASE, *AFFINE, *options, "--run", "r")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert (Path("r", RECIPE).read_bytes(), Path("r", LEDGER).read_bytes()) == before


def test_the_order_of_the_parts_is_another_run(cli: Cli, certified: Certified) -> None:
    certified(*TWO)
    assert (
        "smoothing: contrast0.3 then brightness0.2 there, "
        in cli(*BASE, *AFFINE[2:], *AFFINE[:2], *SET, "--run", "r").err
    )


def test_the_order_of_enumerated_attacks_is_another_run(cli: Cli, few_digits: Path) -> None:
    attacks = ("--attack", "rotation=-20:20:3"), ("--attack", "translation=2")
    common = (*BASE, "--mode", "enumerate", "--run", "r")
    assert cli(*common, *attacks[0], *attacks[1]).code == 0
    result = cli(*common, *attacks[1], *attacks[0])
    assert (result.code, "holds another run" in result.err) == (2, True)


# --- Forgeries --------------------------------------------------------------------------------------------------------


def rewrite(recipe: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    Path("r", RECIPE).write_text(tomli_w.dumps(recipe))
    Path("r", LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def wrong(cli: Cli) -> int:
    """How many problems `verify` prints, each naming its input or the recipe."""
    result = cli("verify", "r")
    lines = [line for line in result.out.splitlines() if line.startswith("wrong: ")]
    assert all(line.startswith(("wrong: input ", "wrong: recipe: ")) for line in lines)
    assert result.code == (1 if lines else 0)
    assert result.out.endswith(f"{len(lines)} problems\n")
    return len(lines)


RECIPE_FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "wider attack": lambda r: r["algorithm"]["attack"]["contrast"].update(high=3.0),
    "attack made a grid": lambda r: r["algorithm"]["attack"]["contrast"].update(points=2),
    "another attack": lambda r: r["algorithm"]["attack"].pop("brightness"),
    "larger scale": lambda r: r["smoothing"]["parts"][0].update(scale=0.31),
    "other order": lambda r: r["smoothing"]["parts"].reverse(),
    "about mid": lambda r: r["smoothing"]["parts"][0].update(about="mid"),
    "guarantee": lambda r: r["smoothing"].update(guarantee="path"),
    "unit": lambda r: r["smoothing"]["parts"][0].update(unit="decibels"),
}


@pytest.mark.parametrize("change", RECIPE_FORGERIES)
def test_verify_finds_a_changed_recipe(cli: Cli, certified: Certified, change: str) -> None:
    """All that the votes depend on is in their key."""
    recipe, entries = certified(*TWO)
    RECIPE_FORGERIES[change](recipe)
    rewrite(recipe, entries)
    assert wrong(cli) == 6 + (change == "unit")  # the recipe says what no smoothing says


STRANGE_KEYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an attack that nobody certified": lambda r: r["smoothing"].update(
        attack={"rotation": {"low": -90.0, "high": 90.0}}
    ),
    "another unit": lambda r: r["smoothing"]["parts"][0].update(unit="whole images"),
}


@pytest.mark.parametrize("change", STRANGE_KEYS)
def test_verify_finds_keys_that_mean_nothing(cli: Cli, certified: Certified, change: str) -> None:
    """Even where the votes carry the forged recipe's key: a report would print what the recipe claims."""
    recipe, entries = certified(*TWO)
    STRANGE_KEYS[change](recipe)
    for entry in entries:
        entry["evidence"]["key"] = f"{run_key(recipe):016x}"
    rewrite(recipe, entries)
    assert wrong(cli) == 1


def test_verify_finds_an_attack_widened_with_its_key(cli: Cli, certified: Certified) -> None:
    """Recipe and keys forged together: the votes do not carry the wider attack, certificate by certificate."""
    recipe, entries = certified(*TWO)
    claims = sum(entry["certificate"]["prediction"] >= 0 for entry in entries)
    recipe["algorithm"]["attack"]["contrast"]["high"] = 5.0
    for entry in entries:
        entry["evidence"]["key"] = f"{run_key(recipe):016x}"
    rewrite(recipe, entries)
    assert wrong(cli) >= claims > 0


def forged(entry: dict[str, Any], change: str) -> None:
    """Make one ledger entry false."""
    certificate, evidence = entry["certificate"], entry["evidence"]
    label = str(certificate["prediction"])
    match change:
        case "moved votes":
            evidence["estimation"][label] -= 3
            evidence["estimation"]["99"] = 3
        case "moved selection":
            evidence["selection"] = {"99": sum(evidence["selection"].values())}
        case "upper end":
            certificate["interval"][1] *= 1 + 1e-9
        case "lower end":
            certificate["interval"][0] *= 1 - 1e-9
        case "no interval":
            del certificate["interval"]
        case "an interval":
            certificate["interval"] = [0.1, 10.0]
        case "unit":
            certificate["unit"] = "decibels"
        case "radius":
            certificate["radius"] += 1e-9
        case "p_lower":
            certificate["p_lower"] += 1e-9
        case "attack model":
            evidence["attack_model"] = "integer"
        case "slack":
            evidence["slack"] = 1e-12
        case "one member less":
            evidence["estimation"][label] -= 1
        case "a look":
            evidence["looks"] = [[64, int(label), 64]]


ONE = ("--smooth", "contrast=0.4")
MEMBERS = ("--mode", "enumerate", "--attack", "translation=1")
FORGERIES = [
    *((ONE, change) for change in ("moved votes", "upper end", "lower end", "no interval", "unit", "radius", "slack")),
    *(
        (TWO, change)
        for change in ("moved votes", "moved selection", "an interval", "radius", "p_lower", "attack model")
    ),
    *((MEMBERS, change) for change in ("moved votes", "moved selection", "one member less", "attack model", "a look")),
]


@pytest.mark.parametrize(
    ("options", "change"), FORGERIES, ids=[f"{' '.join(o)[2:20]}: {change}" for o, change in FORGERIES]
)
def test_verify_finds_the_forgery(cli: Cli, certified: Certified, options: tuple[str, ...], change: str) -> None:
    recipe, entries = certified(*options)
    forged(next(entry for entry in entries if entry["certificate"]["prediction"] >= 0), change)
    rewrite(recipe, entries)
    assert wrong(cli) >= 1


def test_a_run_of_the_first_version_is_refused_in_a_line(cli: Cli, certified: Certified) -> None:
    """Its recipe has `noise = 0.5` for a smoothing: nothing to guess from."""
    recipe, entries = certified("--smooth", "noise=0.5")
    rewrite(recipe | {"smoothing": {"noise": 0.5}}, entries)
    for verb in ("verify", "report"):
        result = cli(verb, "r")
        assert (result.code, result.err.count("\n")) == (2, 1)


def test_fail_under_an_attack(cli: Cli, certified: Certified) -> None:
    """Radius 0 is the attack itself; no run under attack has a radius."""
    certified(*TWO)
    assert cli("report", "r", "--fail-under", "0=0.3").code == 0
    assert cli("report", "r", "--fail-under", "0=101%").code == 2
    assert cli("report", "r", "--fail-under", "0.1=0.3").code == 1
