"""What a run says of its classifiers' own answers. Oracles: sums by hand, classifiers simulated with known accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smoothcert import Noise, compose
from smoothcert.report import evaluation, summarise, table
from smoothcert.report.answers import Answers, smoothed_answer

from . import models
from .conftest import IMAGES, MODEL, Result

Cli = Callable[..., Result]
RNG = np.random.default_rng(11)


def answers(labels: Sequence[Any], base: Sequence[Any], smoothed: Sequence[Any]) -> Answers:
    return Answers(tuple(labels), tuple(base), tuple(smoothed))


def entry(label: int | None, base: int, smoothed: int | None, **certificate: Any) -> dict[str, Any]:
    """A ledger entry of a fixed run; `smoothed` None abstains."""
    written = {"prediction": -1 if smoothed is None else smoothed, "radius": 0.0, "p_lower": 0.3, "p_upper": 0.7}
    evidence = {"mode": "fixed", "selection": {"4": 60, "5": 40}, "estimation": {"4": 9}, "attack_model": "integer"}
    written |= {"reason": "no majority: x" if smoothed is None else ""} | certificate
    return {"index": 0, "label": label, "base": base, "seconds": 1.0, "certificate": written, "evidence": evidence}


def lines(entries: list[dict[str, Any]], mode: str = "fixed") -> list[str]:
    recipe = {"algorithm": {"mode": mode, "alpha": 0.001}, "smoothing": compose(Noise(0.5)).recipe}
    return [part for part in table(recipe, summarise(recipe, entries)) if isinstance(part, str)]


def test_accuracies_and_distinct_answers_by_hand() -> None:
    """Four inputs: the base right on three; the smoothed on one, wrong on one, and two abstentions."""
    entries = [entry(1, 1, 1), entry(2, 2, 1), entry(3, 3, None), entry(1, 2, None)]
    assert lines(entries)[1:3] == [
        "base accuracy 75.0%, distinct answers 3 (3 labels)",
        "smoothed accuracy 25.0% (abstentions count as wrong), distinct answers 1",
    ]
    assert lines([entry(None, 1, 1), entry(None, 2, 1)])[1:3] == [
        "base classifier, distinct answers 2",
        "smoothed classifier, as the base classifier 50.0%, distinct answers 1",
    ]


def test_a_failed_input_counts_as_wrong_and_ledgers_without_base_answers_say_less() -> None:
    failed = {"index": 1, "label": 1, "seconds": 1.0, "error": "corrupt"}
    assert "base accuracy 50.0%, distinct answers 1 (1 labels)" in lines([entry(1, 1, 1), failed])
    old = {k: v for k, v in entry(1, 1, 1).items() if k != "base"}
    assert not [line for line in lines([old]) if "base" in line]


def test_a_class_with_a_clear_lead_is_an_answer_though_the_attack_was_too_strong() -> None:
    strong = entry(4, 4, None, p_lower=0.7, p_upper=0.3)
    assert smoothed_answer(strong) == 4
    assert smoothed_answer(entry(4, 4, None)) is None
    assert smoothed_answer({"index": 1, "label": 4, "error": "x"}) is None
    assert "smoothed accuracy 100.0%" in "".join(lines([strong]))


def test_an_enumerated_run_smooths_nothing() -> None:
    enumerated = entry(4, 4, 4)
    enumerated["evidence"]["mode"] = "enumerate"
    assert "base accuracy 100.0%" in "".join(lines([enumerated]))
    assert "smoothed" not in "".join(lines([enumerated]))


def test_the_evaluation_counts_certificates_by_whose_class_they_have() -> None:
    """Four inputs: one abstains; of three certificates two have the base classifier's class, one the right one."""
    entries = [entry(1, 1, 1, radius=1.0), entry(2, 1, 1, radius=0.5), entry(3, 2, 1, radius=0.0), entry(1, 2, None)]
    recipe = {"algorithm": {"mode": "fixed", "alpha": 0.001}, "smoothing": compose(Noise(0.5)).recipe}
    rows = evaluation(recipe, entries, "pixels")
    assert rows.title == "noise = 0.5, fixed mode, attack model integer, 4 inputs"
    cells = {column.header: next(column.cells) for column in rows.columns}
    assert cells == {
        "abstained": "1 (25.0%)", "certified": "3 (75.0%)", "base class": "2 (50.0%)", "right class": "1 (25.0%)",
        "mean radius": "0.500 ± 0.408", "s each": "1.00",
    }  # fmt: skip
    assert rows.caption == "radius: pixels"


# --- Warnings ---------------------------------------------------------------------------------------------------------


def drawn(labels: NDArray[np.int64], accuracy: float, classes: int) -> NDArray[np.int64]:
    """Answers with that accuracy, errors spread evenly over the other classes."""
    wrong = (labels + RNG.integers(1, classes, len(labels))) % classes
    return np.where(RNG.random(len(labels)) < accuracy, labels, wrong)


def test_working_classifiers_give_no_alarm() -> None:
    """1,500 runs, of 1 to 400 inputs and 2 to 30 classes, evenly labelled or not: base and smoothed accuracy above
    half way from always answering the commonest label to always right; the smoothed one answers 60 % to all of the
    inputs, 85 % to all of those as the base. So more than half of what the base gets right, and of its answers, stay.
    The tests allow 1 %; less is seen."""
    alarms = 0
    for _ in range(1500):
        n, classes = int(RNG.integers(1, 400)), int(RNG.integers(2, 30))
        labels = RNG.choice(classes, n, p=RNG.dirichlet(np.full(classes, RNG.choice([0.2, 1, 20]))))
        chance = np.bincount(labels).max() / n
        accuracy = RNG.uniform((1 + chance) / 2, 1)
        base, anew = drawn(labels, accuracy, classes), drawn(labels, accuracy, classes)
        smoothed = np.where(RNG.random(n) < RNG.uniform(0.85, 1), base, anew)
        kept = RNG.random(n) < RNG.uniform(0.6, 1)
        known = RNG.random() < 0.5
        found = answers(
            [int(v) if known else None for v in labels],
            base.tolist(),
            [int(v) if keep else None for v, keep in zip(smoothed, kept, strict=True)],
        )
        alarms += bool(found.warning)
    assert alarms <= 8


@pytest.mark.parametrize("labelled", [True, False], ids=["labels", "no labels"])
def test_a_collapse_is_always_named(labelled: bool) -> None:
    """1,000 runs of 10 to 400 inputs in which all but 4 % of the smoothed answers are one class."""
    for _ in range(1000):
        n, classes = int(RNG.integers(10, 400)), int(RNG.integers(2, 30))
        base = RNG.integers(0, classes, n)
        if np.bincount(base).max() > 0.75 * n:
            continue
        favourite = int(RNG.integers(classes))
        smoothed = np.where(RNG.permutation(n) < int(0.04 * n), base, favourite)
        found = answers(base if labelled else [None] * n, base.tolist(), smoothed.tolist()).warning
        count = int((smoothed == np.bincount(smoothed).argmax()).sum())
        assert f"collapsed: it answers class {np.bincount(smoothed).argmax()} for {count} of {n} inputs" in found
        assert ("the labels say so" in found) == labelled
        assert "\n" not in found


def test_base_answers_by_chance_are_always_named() -> None:
    """500 runs of 40 to 400 inputs, of base classifiers that guess, answer always the same, or are wrong throughout."""
    for _ in range(500):
        n, classes = int(RNG.integers(40, 400)), int(RNG.integers(2, 30))
        labels = RNG.integers(0, classes, n)
        guess = RNG.choice(labels, n)
        base = [guess, np.zeros(n, int), (labels + 1) % classes][RNG.integers(3)]
        by_luck = (base == labels).mean() > np.bincount(labels).max() / n + 0.05
        found = answers(labels.tolist(), base.tolist(), labels.tolist()).warning
        assert by_luck or "check the preprocessing (`scale`, `mean`, `std`, `layout`)" in found


@pytest.mark.parametrize("size", [6, 10, 20], ids=str)
def test_a_constant_base_classifier_is_blamed_on_its_preprocessing_whatever_the_number(size: int) -> None:
    """Not on the smoothing, which gives the same constant answer; with fewer than 10 inputs nothing is said."""
    labels, constant = [0, 1] * (size // 2), [1] * size
    found = answers(labels, constant, constant).warning
    assert ("check the preprocessing" in found and "collapsed" not in found) == (size >= 10)
    assert answers([None] * size, constant, constant).warning == ""


@pytest.mark.parametrize("labelled", [True, False], ids=["labels", "no labels"])
def test_smoothing_that_destroys_the_classifier_is_always_named(labelled: bool) -> None:
    """1,000 runs of 20 to 400 inputs: the base right on 90 %, the smoothed on 15 %, wrong or abstaining elsewhere."""
    for _ in range(1000):
        n, classes = int(RNG.integers(20, 400)), int(RNG.integers(4, 30))
        labels = RNG.permutation(np.arange(n) % classes)
        base = np.where(RNG.permutation(n) < int(0.9 * n), labels, (labels + 1) % classes)
        truth = labels if labelled else base
        wrong = (truth + RNG.integers(1, classes, n)) % classes
        right, silent = RNG.permutation(n) < int(0.15 * n), RNG.random(n) < RNG.random()
        smoothed = [
            int(t) if r else None if s else int(w) for t, w, r, s in zip(truth, wrong, right, silent, strict=True)
        ]
        found = answers(labels.tolist() if labelled else [None] * n, base.tolist(), smoothed).warning
        counted = f"{right.sum()} of {n} inputs {'right' if labelled else 'as the base does'} ("
        assert f"the smoothed classifier answers {counted}" in found
        assert f"{smoothed.count(None)} abstained): the smoothing is stronger than this model bears" in found
        assert "\n" not in found


def test_smoothing_that_keeps_half_gives_no_alarm() -> None:
    """2,000 runs in which each answer of the base classifier survives with probability 1/2: 1 % may alarm."""
    alarms = 0
    for _ in range(2000):
        labels = RNG.permutation(np.arange(int(RNG.integers(10, 400))) % int(RNG.integers(2, 30)))
        kept = RNG.random(len(labels)) < 0.5
        smoothed = [int(label) if keep else None for label, keep in zip(labels, kept, strict=True)]
        alarms += bool(answers(labels.tolist(), labels.tolist(), smoothed).warning)
    assert alarms <= 30


def futile(label: int, base: int, votes: dict[int, int]) -> dict[str, Any]:
    """A ledger entry of a target run that stopped at its first look, or was given up after a pilot."""
    found = entry(label, base, None, p_lower=0.0, p_upper=1.0, reason="futile: x")
    found["evidence"] |= {"mode": "target", "selection": {}, "estimation": {str(k): n for k, n in votes.items()}}
    return found


def test_a_futile_target_with_the_right_class_in_a_clear_lead_is_no_collapse() -> None:
    """300 target runs out of whose reach all inputs are, each with a share of 70 to 95 % of 64 votes; and two where
    nothing leads, or another class."""
    for _ in range(300):
        labels = RNG.integers(0, 2, int(RNG.integers(10, 100)))
        votes = RNG.binomial(64, RNG.uniform(0.7, 0.95, len(labels)))
        entries = [futile(y, y, {y: v, 1 - y: 64 - v}) for y, v in zip(labels.tolist(), votes.tolist(), strict=True)]
        assert Answers.of(entries).warning == ""
    assert smoothed_answer(futile(4, 4, {4: 45, 1: 19})) == 4
    assert smoothed_answer(futile(4, 4, {4: 33, 1: 31})) is None
    tied = Answers.of([futile(i % 4, i % 4, {i % 4: 33, 5: 31}) for i in range(20)])
    assert "0 of 20 inputs right (base accuracy 100.0%, 20 abstained)" in tied.warning
    lost = Answers.of([futile(i % 4, i % 4, {(i * 7 + 1 + i // 4 % 2) % 4: 60, 5: 4}) for i in range(20)])
    assert "the smoothed classifier answers " in lost.warning


def test_a_pilot_given_up_with_a_clear_lead_leaves_the_answer_known() -> None:
    given_up = futile(4, 4, {})
    given_up["evidence"] |= {"mode": "radius", "selection": {"4": 700, "1": 300}}
    assert smoothed_answer(given_up) == 4
    given_up["evidence"]["selection"] = {"4": 510, "1": 490}
    assert smoothed_answer(given_up) is None


QUIET: dict[str, Answers] = {
    "one class": answers([3] * 50, [3] * 50, [3] * 50),
    "one class, base often wrong": answers([3] * 50, [3, 1] * 25, [3] * 50),
    "nine inputs": answers(range(9), [0] * 9, [0] * 9),
    "nothing known": answers([None] * 50, (), [0] * 50),
    "unlabelled, base of one class": answers([None] * 50, [2] * 50, [2] * 50),
    "half as good as the base": answers([0, 1] * 50, [0, 1] * 50, [0, None, None, 1] * 25),
    "a few fewer than half": answers([0, 1] * 10, [0, 1] * 10, [0, 1] * 4 + [None] * 12),
    "only the easy class is answered": answers([0, 1] * 25, [0, 1] * 25, [0, None] * 25),
    "nothing": answers([], (), []),
    "labels mostly of one class": answers([0] * 45 + [1] * 5, [0] * 45 + [1] * 5, [0] * 50),
    "a hard task of many classes": answers(range(100), [*range(30), *([0] * 70)], [*range(30), *([None] * 70)]),
}


@pytest.mark.parametrize("found", QUIET.values(), ids=QUIET)
def test_no_false_alarm(found: Answers) -> None:
    assert found.warning == ""


def shell(path: Path) -> None:
    """Class 1 where the sum of |x| is above 2: near 0 alone class 0, and large noise sees nothing of that."""
    weights = numpy_helper.from_array(np.array([[-1, 1]] * 4, np.float32), "w")
    bias = numpy_helper.from_array(np.array([2, -2], np.float32), "b")
    nodes = [helper.make_node("Abs", ["x"], ["a"]), helper.make_node("Gemm", ["a", "w", "b"], ["y"])]
    values = [models.value("x", TensorProto.FLOAT, ("N", 4))], [models.value("y", TensorProto.FLOAT, ("N", 2))]
    graph = helper.make_graph(nodes, "shell", *values, initializer=[weights, bias])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


def test_a_collapsed_run_says_so_in_one_line_and_every_report_with_it(cli: Cli, tmp_path: Path) -> None:
    shell(tmp_path / "m.onnx")
    x = np.repeat(np.array([[0.1], [1.0]], np.float32), 8, axis=0) * np.ones(4, np.float32)
    np.savez("d.npz", x=x, y=np.repeat([0, 1], 8))
    options = ("--smooth", "noise=5", "--mode", "target", "--radii", "1", "-q", "--run", "r")
    result = cli("certify", "m.onnx", "d.npz", *options)
    said = "smoothcert".join(result.err.split("smoothcert")[:1])
    assert said.startswith("warning: the smoothed classifier has collapsed: it answers class 1 for 16 of 16 inputs, ")
    assert said.count("\n") == 1
    assert "base accuracy 100.0%, distinct answers 2 (2 labels)" in result.out
    assert "smoothed accuracy 50.0% (abstentions count as wrong), distinct answers 1" in result.out
    for output in ((), ("--tsv",), ("--evaluation",)):
        assert cli("report", "r", *output).err == said
    assert "collapsed" in cli("predict", "m.onnx", "d.npz", "--smooth", "noise=5", "-q").err


def test_wrong_preprocessing_is_suspected(cli: Cli) -> None:
    """Pixels scaled to next to nothing; and the digits as they should be, of which nothing is said."""
    common = ("predict", MODEL, IMAGES, "--smooth", "noise=0.5", "--n", 100, "--limit", 60, "-q")
    wrong = cli(*common, "--scale", 1e-5)
    assert wrong.err.startswith("warning: base accuracy is ")
    assert wrong.err.count("\n") == 1
    assert "check the preprocessing (--scale, --mean, --std, --layout) and the order of the classes" in wrong.err
    right = cli(*common, "--run", "right")
    assert right.err == ""
    assert "smoothed accuracy" in right.out
    assert "certified" not in right.out
