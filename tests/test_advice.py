"""Advice: what it expects a run to certify holds on fresh inputs, and what it prints can be followed.

Oracles: classifiers whose every input has a known probability, simulated; runs of certify on inputs that advice has not
seen; sums over binomial laws.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from scipy.stats import binom

from smoothcert import Noise, OrtClassifier, Preprocess, compose
from smoothcert.algorithms import Fixed
from smoothcert.bounds import forecast as numbers
from smoothcert.bounds.forecast import NOTHING, Forecast, Planned, forecast, forecast_share
from smoothcert.certification import certify_input
from smoothcert.evidence import Evidence
from smoothcert.inputs.datasets import open_dataset
from smoothcert.model.card import ModelCard
from smoothcert.report.advised import parts_of, weak_points
from smoothcert.runs.advice import Wanted, advise
from smoothcert.runs.ladder import ladder, option_of
from smoothcert_exporters import annotate

from . import models
from .conftest import DATA, IMAGES, MODEL, Result

Cli = Callable[..., Result]
VOTES, SIGMA = 256, 0.5
RUN = Planned(100, 10_000, 0.001, 200)
SMOOTHING = compose(Noise(SIGMA))


def needed(radius: float, run: Planned = RUN) -> int | None:
    return run.needed(lambda p: p > 1 - p and SMOOTHING.radius(p, 1 - p) >= radius)


# --- Numbers: simulated inputs, each with the probability of its class ------------------------------------------------

Law = Callable[[np.random.Generator, int], Any]
LAWS: dict[str, Law] = {
    "most near 1": lambda rng, k: rng.beta(8, 0.4, k),
    "half a little above the radius 0.75": lambda rng, k: np.where(rng.random(k) < 0.5, 0.945, 0.2),
    "evenly spread": lambda rng, k: rng.random(k),
    "all but unanimous": lambda rng, k: np.where(rng.random(k) < 0.9, 0.9985, 0.3),
}


def misses(law: Law, radius: float, predict: Callable[[Any, int], Forecast], repeats: int = 60) -> float:
    """How often the share that a run certifies of fresh inputs is outside of what was said of 60 others."""
    rng, need, out = np.random.default_rng(3), needed(radius) or 0, 0
    for _ in range(repeats):
        said = predict(rng.binomial(VOTES, law(rng, 60)), need)
        fresh = law(rng, RUN.fresh)
        share = np.mean((rng.binomial(RUN.n, fresh) >= need) & (rng.binomial(RUN.n0, fresh) > RUN.n0 // 2))
        out += not said.low <= share <= said.high
    return out / repeats


@pytest.mark.parametrize("radius", [0.0, 0.5, 0.75, 1.25])
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_intervals_hold_on_fresh_inputs(law: Law, radius: float) -> None:
    """5 % are allowed; sixty repeats of that leave room for 6."""
    assert misses(law, radius, lambda k, need: forecast(k, VOTES, RUN, need)) <= 0.1


def test_the_check_catches_a_forecast_that_takes_votes_for_probabilities() -> None:
    """Inputs are counted whose votes alone would certify, as if they were without noise of their own."""

    def naive(counts: Any, need: int) -> Forecast:
        return forecast_share(int((counts >= VOTES * need / RUN.n).sum()), len(counts), RUN.fresh)

    assert misses(LAWS["half a little above the radius 0.75"], 0.75, naive) > 0.3
    assert misses(LAWS["all but unanimous"], 1.25, naive) > 0.3


def test_what_votes_cannot_tell_opens_the_interval_and_what_n_cannot_certify_is_nothing() -> None:
    unanimous = [VOTES] * 60
    near, far = (forecast(unanimous, VOTES, RUN, needed(r)) for r in (1.0, 1.55))
    assert near.low > 0.9
    assert (far.low < 0.3, far.high) == (True, 1.0)
    assert forecast(unanimous, VOTES, RUN, needed(1.7)) == NOTHING
    for counts in ([0] * 60, unanimous, list(range(0, VOTES, 4))):
        said = [forecast(counts, VOTES, RUN, needed(r)) for r in (0.0, 0.25, 0.5, 0.75, 1.0)]
        assert all(0 <= f.low <= f.expected <= f.high <= 1 for f in said)
        assert [f.expected for f in said] == sorted((f.expected for f in said), reverse=True)


@pytest.mark.parametrize("tried", [1, 12])
def test_a_share_seen_without_noise_is_predicted_as_often_as_said(tried: int) -> None:
    """Summed over both binomial laws, for any true share."""
    fresh = 15
    said = [forecast_share(k, tried, fresh) for k in range(tried + 1)]
    for p in (0.02, 0.3, 0.5, 0.77, 0.99):
        inside = [
            sum(binom.pmf(x, fresh, p) for x in range(fresh + 1) if f.low - 1e-9 <= x / fresh <= f.high + 1e-9)
            for f in said
        ]
        assert np.dot(binom.pmf(range(tried + 1), tried, p), inside) >= numbers.CONFIDENCE


def test_votes_needed_are_those_with_which_a_run_certifies() -> None:
    run = Planned(10, 60, 0.01, 1)
    for radius in (0.0, 0.2, 0.5, 0.7):
        enough = [k for k in range(61) if certified(run, k, radius)]
        assert needed(radius, run) == (min(enough) if enough else None)
    assert needed(0.9, run) is None


def certified(run: Planned, votes: int, radius: float) -> bool:
    found = Evidence("fixed", {1: votes, 2: run.n - votes}, {1: run.n0})
    certificate = Fixed(run.n0, run.n, run.alpha).decide(found, SMOOTHING)
    return certificate.prediction == 1 and certificate.radius >= radius


# --- Real models: a run of certify on inputs that advice has not seen -------------------------------------------------

SPOKEN = DATA / "spoken.onnx", DATA / "spoken.npz"


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digit classifier with noise on its weights: right on most digits, and less sure of them."""
    rng, network = np.random.default_rng(5), onnx.load(MODEL)
    for tensor in network.graph.initializer:
        weights = onnx.numpy_helper.to_array(tensor)
        if weights.ndim > 1:
            noisy = (weights + rng.normal(0, 0.8 * weights.std(), weights.shape)).astype(weights.dtype)
            tensor.CopyFrom(onnx.numpy_helper.from_array(noisy, tensor.name))
    path = tmp_path_factory.mktemp("spoilt") / "spoilt.onnx"
    onnx.save(network, path)
    return path


@pytest.mark.parametrize(
    ("spoil", "part", "n"),
    [
        (False, "noise=0.25,1", 400),
        (False, "brightness=0.2", 400),
        (False, "contrast=0.4", 400),
        (False, "translation=2", 400),
        (True, "noise=0.12,0.5", 400),
        (True, "gamma=0.4", 400),
        (None, "volume=4", 150),
    ],
)
def test_a_run_on_other_inputs_ends_where_advice_said(spoilt: Path, spoil: bool | None, part: str, n: int) -> None:
    """Deterministic: advice on the first inputs, `certify` on the next."""
    tried, fresh = (10, 10) if spoil is None else (24, 30)
    path, images = SPOKEN if spoil is None else (spoilt if spoil else MODEL, IMAGES)
    classifier = OrtClassifier(path)
    data = open_dataset(images, classifier.channels, classifier.sound)
    found = advise(classifier, data, Wanted((part,), n=n, samples=100, limit=tried))
    run = replace(found.run, fresh=fresh)
    (climbed,) = found.climbed
    for rung in climbed.rungs:
        radii = []
        for index in range(tried, tried + fresh):
            x = classifier.prepare(data.load(index).x)
            got = certify_input(Fixed(n=n), classifier, rung.smoothing, x, key=1, index=index)
            radii.append(got.radius if got.prediction == data.label(index) else -1.0)
        for radius in (0.0, *climbed.ladder.radii):
            said = rung.forecast(radius, run)
            assert said.low <= np.mean(np.array(radii) >= radius) <= said.high


# --- Ladders ----------------------------------------------------------------------------------------------------------


def prepared(x: Any) -> Any:
    return OrtClassifier(models.half_space(x.shape, np.ones(x.size), 0.5)).prepare(x)


def test_ladders_suit_the_data() -> None:
    image = prepared(np.full((8, 64, 1), 9, np.uint8))
    wide = prepared(np.linspace(-5, 5, 64, dtype=np.float32).reshape(8, 8, 1))
    assert [rung.parts[0].scale for rung in ladder("noise", image).rungs] == [0.06, 0.12, 0.25, 0.5, 1.0]
    assert [rung.parts[0].scale for rung in ladder("noise", image, 0.3).rungs] == [0.06, 0.12, 0.3, 0.5, 1.0]
    assert [rung.parts[0].scale for rung in ladder("noise", wide).rungs] == [0.6, 1.2, 2.5, 5.0, 10.0]
    assert ladder("translation", image).radii == (2, 4, 6, 8, 16)
    asked = ladder("blur=2,1,law=uniform", image, radii=(0.5,))
    assert [option_of(rung) for rung in asked.rungs] == ["blur=1,law=uniform", "blur=2,law=uniform"]
    assert asked.radii == (0.5,)


def linear_data(folder: Path, x: Any) -> tuple[OrtClassifier, Any]:
    weights = np.random.default_rng(0).normal(size=(x[0].size, 3))
    np.savez(folder / "d.npz", x=x)
    return OrtClassifier(models.linear(x.shape[1:], weights, np.zeros(3))), open_dataset(folder / "d.npz")


def test_every_part_that_fits_is_tried_and_inputs_that_fail_count_against_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    colour = linear_data(tmp_path, rng.integers(0, 256, (12, 3, 8, 8), np.uint8))
    found = advise(*colour, Wanted(samples=8, limit=2))
    names = ["noise", "brightness", "contrast", "gamma", "hue", "saturation", "blur", "translation"]
    assert [one.ladder.name for one in found.climbed] == names
    vectors = rng.normal(size=(12, 5)).astype(np.float32)
    vectors[1] = np.nan
    found = advise(*linear_data(tmp_path, vectors), Wanted(samples=8, limit=3))
    assert [one.ladder.name for one in found.climbed] == ["noise"]
    assert found.base[1] is None
    assert all(rung.counts[1] == 0 for rung in found.climbed[0].rungs)
    assert (found.inputs, found.following, found.left, found.run.fresh) == (3, 3, 9, 9)
    everything = advise(*linear_data(tmp_path, vectors), Wanted(samples=8, limit=50))
    assert (everything.inputs, everything.left, everything.run.fresh) == (12, 0, 12)


def test_a_slow_model_gets_fewer_inputs_and_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = linear_data(tmp_path, np.random.default_rng(2).integers(0, 256, (90, 8, 8), np.uint8))
    monkeypatch.setattr("smoothcert.runs.advice.SECONDS", 1e-4)
    found = advise(*data, Wanted(samples=8))
    assert (found.inputs, [one.ladder.name for one in found.climbed]) == (20, ["noise"])
    assert "brightness" in found.left_out
    assert len(advise(*data, Wanted(("blur",), samples=8)).climbed[0].rungs) == 4


# --- The command ------------------------------------------------------------------------------------------------------


def test_the_run_that_is_printed_works_and_leaves_out_what_advice_has_seen(cli: Cli, few_digits: Path) -> None:
    options = ("--mean", "0.1", "--batch-size", "32")
    given = ("--smooth", "contrast=0.2,0.4,about=mid", "--limit", 3, "--skip", 1, "--n", 300, "--samples", 32)
    done = cli("advise", MODEL, few_digits, *given, *options)
    assert (done.code, done.err) == (0, "")
    (line,) = [line for line in done.out.splitlines() if line.startswith("smoothcert certify ")]
    words = shlex.split(line)[1:]
    assert words[1] == "demo:digits.onnx"
    assert words[words.index("--skip") + 1] == "4"
    assert [words[words.index(option) + 1] for option in options[::2]] == ["0.1", "32"]
    assert words[words.index("--smooth") + 1].endswith(",about=mid")
    ran = cli(*words)
    assert ran.code == 0
    assert "2 inputs" in ran.out


def test_behind_a_denoiser_advice_is_on_the_two_together(cli: Cli, few_digits: Path) -> None:
    model, denoiser = "demo:digits-clean.onnx", ("--denoiser", "demo:digits-denoiser.onnx")
    given = ("advise", model, few_digits, "--smooth", "noise=1", "--radii", "0.5", "--limit", 3, "--samples", 64)
    alone, behind = (cli(*given, *some, "--tsv").out.splitlines()[-1].split("\t") for some in ((), denoiser))
    name = cli(*given, "--tsv").out.splitlines()[0].split("\t").index("expected")
    assert float(behind[name]) > float(alone[name]) + 0.3
    (line,) = [one for one in cli(*given, *denoiser).out.splitlines() if one.startswith("smoothcert certify ")]
    assert " ".join(denoiser) in line


def test_tables_a_log_and_a_picture(cli: Cli, tmp_path: Path) -> None:
    given = ("advise", MODEL, IMAGES, "--limit", 10, "--samples", 32, "--png", "a.png")
    done = cli(*given, "--smooth", "noise", "--smooth", "blur")
    assert (done.code, done.err) == (0, "")
    assert "no weak point" in done.out
    assert "350 other inputs" in done.out
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture is not None
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    log = cli(*given, "--smooth", "noise=0.5", "--radii", "0.5", "--tsv").out.splitlines()
    assert len(log) == 3
    row = dict(zip(log[0].split("\t"), log[2].split("\t"), strict=True))
    assert (row["part"], row["scale"], row["radius"], row["fresh"]) == ("noise", "0.5", "0.5", "350")
    assert float(row["low"]) <= float(row["expected"]) <= float(row["high"])
    assert cli(*given, "--smooth", "noise=0.5", "--radii", "0.5", "--tsv").out.splitlines() == log


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--smooth", "rotation=5"), "calibration is needed"),
        (("--smooth", "wobble"), "--smooth: expected NAME or NAME=SCALE,... of noise, "),
        (("--smooth", "shear"), "--smooth shear: expected scales to try"),
        (("--smooth", "hue"), "hue: expected images of 3 colours"),
        (("--smooth", "volume"), "volume: expected 16-bit recordings"),
        (("--samples", 0), "--samples: expected 1 to 2,000 votes, got 0"),
        (("--limit", 0), "--limit: expected at least 1, got 0"),
        (("--skip", 6), "--skip leaves none of 6 inputs"),
        (("--skip", -1), "--skip: expected at least 0, got -1"),
        (("--n", 0), "--n: expected at least 1 sample"),
        (("--radii", "1"), "--radii: expected with one --smooth"),
        (("--smooth", "noise", "--radii", "-1"), "--radii: expected radii > 0"),
        (("--denoiser-sigma", "0.5"), "--denoiser-sigma: expected with --denoiser alone"),
        (("--png", "a.jpeg2"), "--png: expected a name that ends in .png"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(cli: Cli, few_digits: Path, options: tuple[Any, ...], message: str) -> None:
    done = cli("advise", MODEL, few_digits, "--samples", 8, "--limit", 2, *options)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1


# --- What is missing --------------------------------------------------------------------------------------------------


def lines_of(path: Path | bytes, x: Any, y: Any, folder: Path, part: str = "noise") -> list[str]:
    np.savez(folder / "d.npz", x=x, **({} if y is None else {"y": y}))
    classifier = OrtClassifier(path)
    found = advise(classifier, open_dataset(folder / "d.npz"), Wanted((part,), samples=64, limit=30, n=1000))
    return list(weak_points(found, parts_of(found)))


def test_the_weak_point_is_named(tmp_path: Path) -> None:
    """A linear classifier of faint images, which noise drowns; the same with shuffled labels; and of bright ones."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(64, 10))
    network = models.linear((1, 8, 8), weights, np.zeros(10))
    faint, bright = rng.integers(0, 12, (60, 8, 8)).astype(np.uint8), rng.integers(0, 256, (60, 8, 8)).astype(np.uint8)
    right = (faint.reshape(60, -1) @ weights).argmax(axis=1)
    (line,) = lines_of(network, faint, right, tmp_path)
    assert line.startswith("weak point: noise; at noise=0.25 ")
    assert "--denoiser" in line
    assert "docs/training.md" in line
    (line,) = lines_of(network, faint, None, tmp_path)
    assert line.startswith("weak point: noise; ")
    (line,) = lines_of(network, faint, rng.integers(0, 10, 60), tmp_path)
    assert "smoothcert inspect MODEL DATA" in line
    (line,) = lines_of(network, bright, (bright.reshape(60, -1) @ weights).argmax(axis=1), tmp_path, "brightness=0.001")
    assert line.startswith("no weak point")


def test_inputs_sorted_by_class_are_warned_of(cli: Cli, tmp_path: Path) -> None:
    with np.load(IMAGES) as archive:
        order = np.argsort(archive["y"], kind="stable")
        np.savez(tmp_path / "sorted.npz", x=archive["x"][order], y=archive["y"][order])
    given = ("--smooth", "noise=0.5", "--limit", 12, "--samples", 8)
    assert "the data are sorted" in cli("advise", MODEL, "sorted.npz", *given).err
    run = ("--smooth", "noise=0.5", "--n", 200, "--limit", 12, "-q")
    assert "note: the 12 inputs taken have 1 of the labels" in cli("certify", MODEL, "sorted.npz", *run).out
    assert "sorted" not in cli("certify", MODEL, IMAGES, *run).out
    assert cli("advise", MODEL, IMAGES, *given).err == ""


def test_training_noise_is_compared(cli: Cli, tmp_path: Path, few_digits: Path) -> None:
    annotate(MODEL, tmp_path / "m.onnx", Preprocess(), card=ModelCard(training_noise=0.25))
    said = "was trained with noise 0.25; the smoothing's is "
    run = ("--mode", "target", "--radii", "0.1", "--n", 200, "-q")
    assert said + "1, more than" in cli("certify", "m.onnx", few_digits, "--smooth", "noise=1", *run).out
    assert said not in cli("certify", "m.onnx", few_digits, "--smooth", "noise=0.3", *run).out
    assert said not in cli("certify", MODEL, few_digits, "--smooth", "noise=1", *run).out
    advice = ("advise", "m.onnx", few_digits, "--limit", 2, "--samples", 8, "--smooth")
    assert said + "0.06, less than" in cli(*advice, "noise=0.06").out
    assert said not in cli(*advice, "noise=0.25").out


def test_a_poor_run_points_to_advice(cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    weights, x = rng.normal(size=(64, 10)), rng.integers(0, 12, (20, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "d.npz", x=x, y=(x.reshape(20, -1) @ weights).argmax(axis=1))
    (tmp_path / "m.onnx").write_bytes(models.linear((1, 8, 8), weights, np.zeros(10)))
    run = ("certify", "m.onnx", "d.npz", "--n", 200, "-q", "--smooth")
    assert "smoothcert advise MODEL DATA" in cli(*run, "noise=1").out
    assert "smoothcert advise" not in cli(*run, "noise=0.002").out
