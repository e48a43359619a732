"""Ledgers decided again: what does not follow from its votes is not reported. Oracle: what the algorithms wrote."""

from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from smoothcert import Attack, Brightness, Contrast, Gamma, Noise, Rotation, compose
from smoothcert.algorithms import Algorithm, Enumerate, Fixed, Predict, Radius, Slices, Target, pilot
from smoothcert.algorithms.boxes import outwards
from smoothcert.evidence import Evidence, Slice
from smoothcert.runs.decisions import Decisions, attack_models, problems
from smoothcert.runs.folder import LEDGER, RECIPE, RunFolder
from smoothcert.runs.question import Question
from smoothcert.runs.recipe import differences, run_key
from smoothcert.sampling import Sampler
from smoothcert.smoothing import UNSMOOTHED, Smoothing
from smoothcert.smoothing.offsets import cut

from .conftest import MODEL, Result
from .test_calibrated import WIDE, smoothed
from .test_runs import edited

Cli = Callable[..., Result]
BOX = Attack.of({"contrast": (0.8, 1.2), "brightness": (-0.1, 0.1)})
NOISE, AFFINE = compose(Noise(0.5)), compose(Contrast(0.4), Brightness(0.3))
TURNED = Attack.of({"rotation": (-10, 10)})
CASES: dict[str, tuple[Algorithm, Smoothing]] = {
    "fixed": (Fixed(100, 2000), NOISE),
    "two-sided": (Fixed(100, 2000, bound="two-sided"), NOISE),
    "attack": (Fixed(100, 2000, attack=BOX), AFFINE),
    "radius": (Radius(200, 5000), compose(Gamma(0.1, law="rayleigh"))),
    "target": (Target((0.25, 0.5, 1.0), 5000), NOISE),
    "targeted attack": (Target(n=5000, attack=BOX), AFFINE),
    "predict": (Predict(300), NOISE),
    "slices": (Slices(TURNED, 5000), NOISE),
    "slices of a box": (Slices(Attack((*TURNED, *Attack.of({"brightness": (-0.03, 0.05)}))), 5000), NOISE),
    "slices without a pilot": (Slices(TURNED, 5000, n0=None), NOISE),
    "calibrated": (Target((2.0, 5.0, 8.0), 5000), smoothed(Rotation(6.0), attack=WIDE)),
}


@dataclass(frozen=True)
class Votes:
    """A sampler of made-up votes, and its samples: class 3 with probability p, else 5."""

    smoothing: Smoothing
    p: float
    index: int
    rng: np.random.Generator

    @property
    def made(self) -> Votes:
        return self

    @property
    def slack(self) -> float:
        return 1e-12 if "integer" in self.smoothing.attack_models else 0.0

    def counts(self, stage: int, first: int, last: int) -> Counter[int]:
        right = int(self.rng.binomial(last - first, self.p))
        return +Counter({3: right, 5: last - first - right})

    def evidence(self, mode: str, selection: Any, estimation: Any) -> Evidence:
        model = self.smoothing.attack_models[0]
        return Evidence(mode, dict(estimation), dict(selection), (), 1, self.index, self.slack, model)


def sliced(algorithm: Slices, votes: Votes) -> Evidence:
    """As `Slices.draw`, with cuts at random in place of an image's."""
    from smoothcert.algorithms.sequential import drawn

    inner, pieces = np.sort(votes.rng.uniform(-10, 10, votes.rng.integers(10, 30))).tolist(), cut(algorithm.levels, 4)
    cuts = list(zip([-10.0, *inner], [*inner, 10.0], strict=True))
    slices = [Slice(low, high) for _ in pieces for low, high in cuts]
    total: Counter[int] = Counter()
    label: int | None = None
    found = votes.evidence("slices", {}, {})
    if algorithm.n0:
        counts, needed = [votes.counts(0, 0, 64) for _ in range(5)], algorithm.needed(votes.smoothing)
        for i, n in pilot.open_points(pilot.cast(counts)[0], needed).items():
            counts[i] += votes.counts(0, 64, n)
        first, selection = pilot.cast(counts)
        found, label = replace(found, selection=selection, pilot=first, reach=1.0), first[0].label
        if pilot.hopeless(first, needed, algorithm.n0):
            return replace(found, reach=0.5)
    test = algorithm.test(votes.smoothing, len(slices), votes.slack, found.reach or 0.5)
    for i in outwards(slices, pieces, 0.0):
        looks, more = drawn(cast(Sampler, votes), 0, test, label)
        slices[i] = replace(slices[i], looks=looks)
        total, label = total + more, looks[-1].label
        if not test.claims(looks[-1].n, looks[-1].count):
            break
    brightness = tuple(pieces) if len(pieces) > 1 else ()
    return replace(found, estimation=total, slices=tuple(slices), brightness=brightness)


def ledger(case: str, size: int) -> list[dict[str, Any]]:
    """Entries as a run of the case leaves them."""
    algorithm, smoothing = CASES[case]
    rng = np.random.default_rng(5)
    entries = []
    for index in range(size):
        votes = Votes(smoothing, float(0.5 + 0.5 * rng.beta(4, 1)), index, rng)
        sliced_ = isinstance(algorithm, Slices)
        evidence = sliced(algorithm, votes) if sliced_ else algorithm.draw(cast(Sampler, votes), smoothing)
        certificate = algorithm.decide(evidence, smoothing).to_json()
        entries.append({"index": index, "certificate": certificate, "evidence": evidence.to_json()})
    return [json.loads(json.dumps(e)) for e in entries]


@pytest.mark.parametrize("case", CASES)
def test_what_was_written_follows_and_any_change_of_it_does_not(case: str) -> None:
    """60 entries of each algorithm, each with every value of its certificate changed in turn: 9 x 60 x about 6."""
    decisions = Decisions(*CASES[case], key=1)
    entries, changed = ledger(case, 60), 0
    for entry in entries:
        assert decisions.problems(entry) == []
        for name, value in entry["certificate"].items():
            forged = copy.deepcopy(entry)
            other = {str: "x", int: 4, float: 0.123}.get(type(value), [0.1, 0.2])
            forged["certificate"][name] = other
            found = decisions.problems(forged)
            changed += 1
            assert found == [f"{name} is {other} in the ledger, {value} by the evidence"], name
        votes = copy.deepcopy(entry)
        votes["evidence"]["estimation"]["3"] = votes["evidence"]["estimation"].get("3", 0) + 1
        assert decisions.problems(votes)
    assert changed >= 300
    assert any(e["certificate"]["prediction"] == 3 for e in entries)


@pytest.mark.parametrize("case", CASES)
def test_slack_and_attack_model_are_those_of_the_smoothing(case: str) -> None:
    """Every combination of the two that no input can have, on every algorithm, without data."""
    algorithm, smoothing = CASES[case]
    decisions, (entry,) = Decisions(algorithm, smoothing, key=1), ledger(case, 1)
    honest = set(smoothing.attack_models) - ({"float-unclipped"} if case.startswith("slices") else set())
    for model, slack in itertools.product(("integer", "float-unclipped", "enumerated"), (0.0, 1e-12)):
        other = copy.deepcopy(entry)
        other["evidence"] |= {"attack_model": model, "slack": slack}
        evidence = Evidence.from_json(other["evidence"])
        other["certificate"] = algorithm.decide(evidence, smoothing).to_json()
        allowed = model in honest and (model == "integer" or slack == 0)
        assert (decisions.problems(other) == []) == allowed, (model, slack)


def test_enumerated_votes_are_called_so() -> None:
    smoothing, algorithm = UNSMOOTHED, Enumerate(Attack.of({"brightness": 0.0}))
    for model in ("enumerated", "integer", "float-unclipped"):
        evidence = Evidence("enumerate", {3: 1}, {3: 1}, key=1, attack_model=model)
        entry = {
            "index": 0,
            "certificate": algorithm.decide(evidence, smoothing).to_json(),
            "evidence": evidence.to_json(),
        }
        assert (Decisions(algorithm, smoothing, key=1).problems(entry) == []) == (model == "enumerated")


def test_what_processors_round_differently_is_no_forgery_and_more_is() -> None:
    decisions = Decisions(*CASES["radius"], key=1)
    for entry in ledger("radius", 20):
        for change, kept in ((1 + 3e-16, True), (1 - 1e-13, True), (1 + 1e-9, False), (float("nan"), False)):
            other = copy.deepcopy(entry)
            other["certificate"]["p_lower"] *= change
            if "interval" in entry["certificate"]:
                other["certificate"]["interval"][1] *= change
            assert (decisions.problems(other) == []) == kept or not entry["certificate"]["p_lower"], change


def test_equal_votes_are_decided_once() -> None:
    asked = []

    @dataclass(frozen=True)
    class Counted(Predict):
        def decide(self, evidence: Evidence, smoothing: Smoothing) -> Any:
            asked.append(evidence)
            return Predict.decide(self, evidence, smoothing)

    algorithm = Counted(100)
    entries = [
        {"index": i, "certificate": algorithm.decide(e, NOISE).to_json(), "evidence": e.to_json()}
        for i in range(50)
        for e in [Evidence("predict", {3: 90 + i % 2, 5: 10 - i % 2}, key=1, index=i)]
    ]
    asked.clear()
    decisions = Decisions(algorithm, NOISE, key=1)
    assert not any(map(decisions.problems, entries))
    assert len(asked) == 2


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_thousand_entries_follow_from_their_votes(case: str) -> None:
    decisions = Decisions(*CASES[case], key=1)
    assert not any(map(decisions.problems, ledger(case, 1000)))


# --- Run folders ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(finished_run: Path) -> Path:
    """A run of six digits, in r."""
    return finished_run


OUTPUTS: list[tuple[Any, ...]] = [(), ("--tsv",), ("--evaluation",), ("--fail-under", "0.1=0.1"), ("--ends", 0)]


@pytest.mark.parametrize(
    "change",
    ["radius", "prediction", "votes", "moved votes", "more votes", "key", "slack", "index", "another attacker",
     "twice", "recipe"],
)  # fmt: skip
def test_a_forged_run_is_not_reported(cli: Cli, run: Path, change: str) -> None:
    entries = RunFolder(run).entries()
    if change == "recipe":
        text = (run / RECIPE).read_text()
        assert 'attack_model = "integer"' in text
        (run / RECIPE).write_text(text.replace('attack_model = "integer"', 'attack_model = "enumerated"'))
    elif change == "twice":
        entries.append(entries[2])
    else:
        entries[2] = edited(entries[2], change)
    (run / LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    where = "recipe: expected attack_model integer" if change == "recipe" else f"input {entries[2]['index']}: "
    for output in OUTPUTS:
        result = cli("report", "r", *output)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert f"smoothcert: r: {where}" in result.err
        assert "see smoothcert verify r" in result.err
    assert cli("verify", "r").code == 1


@pytest.mark.parametrize("change", ["negative slack", "large slack", "an attacker of its own"])
def test_what_no_run_writes_is_no_line(cli: Cli, run: Path, change: str) -> None:
    entries = RunFolder(run).entries()
    entries[2] = edited(entries[2], change)
    (run / LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    for verb in ("report", "verify"):
        result = cli(verb, "r")
        assert (result.code, "line 3: expected a ledger entry" in result.err) == (2, True)


def test_a_forged_run_is_not_continued(cli: Cli, run: Path) -> None:
    entries = RunFolder(run).entries()
    forged = "".join(json.dumps(entry) + "\n" for entry in [entries[0], edited(entries[2], "radius")])
    (run / LEDGER).write_text(forged)
    result = cli("certify", MODEL, "six.npz", "--smooth", "noise=0.5", "--n", 500, "-q", "--run", "r")
    assert (result.code, "input 2: radius is " in result.err) == (2, True)
    assert (run / LEDGER).read_text() == forged


def test_inputs_outside_of_the_selection_are_no_part_of_the_run(run: Path) -> None:
    recipe, entries = RunFolder(run).recipe(), RunFolder(run).entries()
    assert not [found for _, found in problems(Question.of(recipe), entries) if found]
    recipe["selection"]["limit"] = 3
    assert [entry["index"] for entry, found in problems(Question.of(recipe), entries) if found] == [3, 4, 5]


# --- The attack model -------------------------------------------------------------------------------------------------


def test_the_attack_model_is_in_the_recipe_and_in_no_key(cli: Cli, run: Path) -> None:
    """A recipe of before, without it, gives the same votes and is continued."""
    recipe = RunFolder(run).recipe()
    old = {name: value for name, value in recipe.items() if name != "attack_model"}
    assert recipe["attack_model"] == "integer"
    assert run_key(old) == run_key(recipe)
    assert not differences(old, recipe)
    text = (run / RECIPE).read_text().replace('attack_model = "integer"\n', "")
    (run / RECIPE).write_text(text)
    options = ("--smooth", "noise=0.5", "--n", 500, "--nonce", "n", "--quiet", "--run", "r")
    assert "6 of 6 inputs were there already" in cli("certify", MODEL, "six.npz", *options).out
    assert "attack model integer" in cli("report", "r").out


@pytest.mark.parametrize(
    ("options", "model"),
    [
        (("--smooth", "noise=0.5"), "integer"),
        (("--smooth", "brightness=0.2"), "float-unclipped"),
        (("--mode", "enumerate", "--attack", "brightness=0.02"), "enumerated"),
    ],
    ids=["integer", "float-unclipped", "enumerated"],
)
def test_the_attack_model_is_in_every_title(cli: Cli, few_digits: Path, options: tuple[str, ...], model: str) -> None:
    n = () if "enumerate" in options else ("--n", 300)
    result = cli("certify", MODEL, "six.npz", *options, *n, "-q", "--run", "r")
    assert RunFolder(Path("r")).recipe()["attack_model"] == model
    titles = result.out, cli("report", "r").out, cli("report", "r", "--evaluation").out, cli("verify", "r").out
    for printed in titles:
        assert f"attack model {model}" in " ".join(printed.split())
    assert cli("report", "r", "--tsv").out.splitlines()[1].endswith(f"\t{model}")


def test_the_region_names_its_attack_model(cli: Cli, few_digits: Path) -> None:
    parts = ("--smooth", "contrast=0.4", "--smooth", "brightness=0.3")
    assert cli("certify", MODEL, "six.npz", *parts, "--n", 300, "-q", "--run", "r").code == 0
    printed = cli("report", "r", "--region", "contrast=0.8:1.2:3,brightness=-0.1:0.1:3").out
    assert "across, attack model float-unclipped" in " ".join(printed.split())


def test_a_mixed_run_is_called_so() -> None:
    models = ["integer"] * 3 + ["float-unclipped"] * 2
    entries = [{"evidence": {"attack_model": model}} for model in models] + [{"error": "corrupt"}]
    assert attack_models({}, entries) == "mixed attack models: 2 float-unclipped, 3 integer"
    assert attack_models({"attack_model": "integer"}, []) == "attack model integer"
    assert attack_models({}, [{"error": "corrupt"}]) == "attack model unknown"
