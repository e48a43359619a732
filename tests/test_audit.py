"""Audits: sound runs stand, planted violations are found, and false confirmations keep to what was stated.

Oracles: runs whose ledger was forged, classifiers that change their answer at a known attack, the transformations
applied by hand, the binomial law.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tomli_w
from numpy.typing import NDArray
from scipy.stats import binom

from smoothcert import Attack, Brightness, Contrast, Noise, OrtClassifier, Rotation, compose, transforms
from smoothcert.algorithms import Fixed
from smoothcert.audit.audits import Audit, certificates
from smoothcert.calibration_file import error_bounds
from smoothcert.inputs.datasets import Archive, fingerprint, open_dataset
from smoothcert.inputs.spatial import PLAIN
from smoothcert.model.classifier import CallableClassifier
from smoothcert.report.audited import outcome
from smoothcert.runs.asked import Files, new_run
from smoothcert.runs.complete import complete
from smoothcert.runs.folder import LEDGER, RECIPE, RunFolder
from smoothcert.runs.opening import OpenRun
from smoothcert.runs.question import Question
from smoothcert.runs.recipe import run_key
from smoothcert.smoothing import Calibration, Part, Smoothing

from .conftest import IMAGES, MODEL, Result
from .models import half_space

QUICK = (
    "test_a_sound_run_stands[noise]",
    "test_a_planted_violation_is_found_and_drawn[brightness]",
    "test_allowed_false_certificates",
)

Cli = Callable[..., Result]
BASE = ("certify", MODEL, "six.npz", "--n", 1000, "--quiet", "--run", "r")
BOX = ("--smooth", "contrast=0.3", "--smooth", "brightness=0.2")
FOUR = ("--smooth", "blur=1,border=wrap", "--smooth", "translation=0.5", *BOX, "--smooth", "noise=0.1")
RUNS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {  # options of a run, and a set far beyond what it certifies
    "noise": (("--smooth", "noise=0.5"), {"radius": 20.0}),
    "noise to target": (("--smooth", "noise=0.5", "--mode", "target", "--radii", "0.2,0.4"), {"radius": 20.0}),
    "brightness": (("--smooth", "brightness=0.3"), {"interval": [-9.0, 9.0]}),
    "contrast": (("--smooth", "contrast=0.4,about=mid"), {"interval": [0.001, 400.0]}),
    "gamma": (("--smooth", "gamma=0.4"), {"interval": [0.001, 400.0]}),
    "blur": (("--smooth", "blur=2"), {"interval": [0.0, 300.0]}),
    "translation": (("--smooth", "translation=0.7"), {"radius": 16.0}),
    "a box": (
        (*BOX, "--attack", "contrast=0.9:1.1", "--attack", "brightness=-0.05:0.05"),
        {"contrast": {"low": 0.01, "high": 50.0}, "brightness": {"low": -4.0, "high": 4.0}},
    ),
    "a grid": (
        ("--smooth", "gamma=0.3", "--attack", "gamma=0.8:1.2:5"),
        {"gamma": {"low": 0.001, "high": 400.0, "points": 3}},
    ),
    "four parts": (
        (*FOUR, "--attack", "translation=1", "--attack", "noise=0.02", "--attack", "blur=0:0.1"),
        {"translation": {"low": 16.0, "high": 16.0}, "noise": {"low": 0.02, "high": 0.02}},
    ),
    "enumeration": (
        ("--mode", "enumerate", "--attack", "rotation=-4:4:9", "--attack", "brightness=-0.02:0.02"),
        {"rotation": {"low": -180.0, "high": 180.0, "points": 9}, "brightness": {"low": -0.02, "high": 0.02}},
    ),
    "enumerated translation": (
        ("--mode", "enumerate", "--attack", "translation=1.5"),
        {"translation": {"low": 30.0, "high": 30.0}},
    ),
}  # fmt: skip
TURN = (Rotation(3), Noise(0.7))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that several tests start from."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def certified(cli: Cli, few_digits: Path, shelf: Path) -> Callable[[str], None]:
    """`certified(name)` leaves that run in the folder r."""

    def make(name: str) -> None:
        kept = shelf / name.replace(" ", "-")
        if not kept.exists():
            assert cli(*BASE, *RUNS[name][0]).code == 0
            shutil.copytree("r", kept)
        shutil.rmtree("r", ignore_errors=True)
        shutil.copytree(kept, "r")
        recipe = RunFolder(Path("r")).recipe()
        recipe["data"]["path"] = str(few_digits)
        Path("r", RECIPE).write_text(tomli_w.dumps(recipe))

    return make


def forge(change: dict[str, Any]) -> None:
    """Make the run in the folder r claim more: a radius or an interval in every certificate, or its recipe's attack."""
    folder = RunFolder(Path("r"))
    recipe, entries = folder.recipe(), folder.entries()
    if change.keys() <= {"radius", "interval"}:
        for entry in entries:
            entry["certificate"] |= {"radius": 1.0, **change}
    else:
        recipe["algorithm"] |= {"attack": change, "order": [*change]}
    Path("r", RECIPE).write_text(tomli_w.dumps(recipe))
    Path("r", LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def written() -> dict[str, Any]:
    """What the audit of r left."""
    found: dict[str, Any] = json.loads(Path("r", "audit.json").read_text())
    return found


def png(name: str, suffix: str) -> NDArray[Any]:
    """A picture as (height, width, colours), RGB."""
    picture = cv2.imread(str(Path("r", "audit", f"{name}-{suffix}.png")), cv2.IMREAD_UNCHANGED)
    return picture[..., None] if picture.ndim == 2 else picture[..., ::-1]


# --- Sound runs, forged runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_a_sound_run_stands(cli: Cli, certified: Callable[[str], None], name: str) -> None:
    certified(name)
    ledger = Path("r", LEDGER).read_bytes()
    result = cli("audit", "r", "--seed", 1, "--attacks", 12)
    assert (result.code, result.err) == (0, "")
    found = written()
    certificates = [e for e in RunFolder(Path("r")).entries() if e["certificate"]["prediction"] >= 0]
    per = Counter(replay["index"] for replay in found["replays"])
    assert per.keys() == {entry["index"] for entry in certificates}
    assert 4 <= min(per.values()) <= max(per.values()) <= 12
    assert found["counts"]["violation"] == 0
    assert found["counts"]["confirmed"] >= 0.8 * len(found["replays"])
    assert sum(found["counts"].values()) == len(found["replays"]) == per.total()
    assert f"{len(certificates)} certificates audited, {per.total()} attacks replayed" in result.out
    assert Path("r", LEDGER).read_bytes() == ledger
    assert cli("verify", "r").code == 0


def by_hand(recipe: dict[str, Any], attack: dict[str, Any], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image under an attack of the JSON file, in the order of the parts, or of the enumeration."""
    parts = recipe["smoothing"].get("parts", [])
    names = [part["part"] for part in parts] or recipe["algorithm"]["order"]
    for name in names:
        value = attack.get(name)
        match name:
            case _ if value is None or name == "noise":
                pass
            case "brightness":
                image = transforms.brightness(image, value)
            case "contrast":
                about = next((part["about"] for part in parts if part["part"] == name), "0")
                image = transforms.contrast(image, value, 0.5 if about == "mid" else 0.0)
            case "gamma":
                image = transforms.gamma(image, value)
            case "blur":
                image = transforms.gaussian_blur(image, value)
            case "rotation":
                image = transforms.rotate(image, value)
            case "translation":
                image = transforms.translate(image, value[1], value[0], "wrap" if parts else "black", "nearest")
    return image


@pytest.mark.parametrize("name", RUNS)
def test_a_planted_violation_is_found_and_drawn(
    cli: Cli, certified: Callable[[str], None], few_digits: Path, name: str
) -> None:
    certified(name)
    forge(RUNS[name][1])
    result = cli("audit", "r", "--seed", 1, "--attacks", 12, "--quiet")
    assert result.code == 1
    assert "violation: input " in result.out
    found, recipe = written(), RunFolder(Path("r")).recipe()
    violations = [replay for replay in found["replays"] if replay["outcome"] == "violation"]
    assert found["counts"]["violation"] == len(violations) > 0
    assert found["violated"] == len({replay["index"] for replay in violations}) > found["allowed"]
    with np.load(few_digits) as archive:
        images = archive["x"]
    for replay in violations:
        assert replay["answer"] not in (None, replay["certified"])
        assert max(replay["votes"], key=replay["votes"].get) == str(replay["answer"])
        assert f"input {replay['index']} under" in result.out
        original = images[replay["index"]]
        np.testing.assert_array_equal(png(replay["pictures"], "original")[..., 0], original)
        changed = png(replay["pictures"], "attacked")[..., 0].astype(float) - by_hand(
            recipe, replay["attack"], original
        )
        assert np.linalg.norm(changed) / 255 <= replay["attack"].get("noise", {}).get("norm", 0.0) + 1e-12
    count = 2 * sum(replay["outcome"] in ("violation", "beyond") for replay in found["replays"])
    assert len(list(Path("r", "audit").iterdir())) == count


def test_a_new_audit_replaces_the_last(cli: Cli, certified: Callable[[str], None]) -> None:
    certified("translation")
    forge({"radius": 16.0})
    cli("audit", "r", "--seed", 1, "--quiet")
    first, pictures = written(), sorted(Path("r", "audit").iterdir())
    cli("audit", "r", "--seed", 1, "--quiet", "--threads", 1)
    assert (written(), sorted(Path("r", "audit").iterdir())) == (first, pictures)
    forge({"radius": 0.5})
    assert cli("audit", "r", "--seed", 1, "--quiet").code == 0
    assert not list(Path("r", "audit").iterdir())


def test_predictions_alone_are_asked_again(cli: Cli, few_digits: Path) -> None:
    assert cli("predict", MODEL, "six.npz", "--smooth", "noise=0.5", "--run", "r", "--quiet").code == 0
    assert cli("audit", "r").code == 0
    assert [replay["attack"] for replay in written()["replays"]] == [{}] * 6
    entries = RunFolder(Path("r")).entries()
    entries[2]["certificate"]["prediction"] = 7
    Path("r", LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    result = cli("audit", "r", "--quiet")
    assert (result.code, "input 2 under no attack: certified class 7" in result.out) == (1, True)


def test_an_unfinished_run_is_audited_as_far_as_it_is(cli: Cli, certified: Callable[[str], None]) -> None:
    certified("noise")
    lines = Path("r", LEDGER).read_bytes().splitlines(keepends=True)
    entry = json.loads(lines[1])
    entry["certificate"] |= {"prediction": -1, "radius": 0.0}
    failed = {"index": 2, "label": 1, "seconds": 0.1, "error": "corrupt"}
    torn = [lines[0], *((json.dumps(e) + "\n").encode() for e in (entry, failed)), lines[3], lines[4][:50]]
    Path("r", LEDGER).write_bytes(b"".join(torn))
    assert cli("audit", "r", "--attacks", 3).code == 0
    assert {replay["index"] for replay in written()["replays"]} == {0, 3}
    assert cli("audit", "r", "--attacks", 3, "--limit", 1).code == 0
    assert {replay["index"] for replay in written()["replays"]} == {0}
    assert written()["replays"][0]["attack"]["noise"]["direction"] == "towards 3"  # certified, if not audited


def test_rotations_of_the_raw_image_under_pixel_noise(cli: Cli, certified: Callable[[str], None]) -> None:
    """A run that certifies rotations by pixel noise alone names the border of its attacks in its algorithm."""
    certified("noise")
    recipe = RunFolder(Path("r")).recipe()
    for degrees, code in ((2.0, 0), (180.0, 1)):
        attack = {"rotation": {"low": -degrees, "high": degrees}}
        manner = {"border": "reflect101", "interpolation": "nearest"}
        recipe["algorithm"] = {"mode": "slices", "attack": attack, "n": 1000, "alpha": 0.001, **manner}
        Path("r", RECIPE).write_text(tomli_w.dumps(recipe))
        assert cli("audit", "r", "--quiet", "--seed", 3).code == code
    with np.load("six.npz") as archive:
        for replay in (r for r in written()["replays"] if r["outcome"] == "violation"):
            image = transforms.rotate(
                archive["x"][replay["index"]], replay["attack"]["rotation"], "reflect101", "nearest"
            )
            np.testing.assert_array_equal(png(replay["pictures"], "attacked")[..., 0], image)


# --- Calibrated smoothings --------------------------------------------------------------------------------------------


def calibration(images: NDArray[np.uint8], strategy: str) -> Calibration:
    """Rotation by N(0, 3^2) degrees, attacks within 3: the errors of 200 draws and 5 attacks, measured by hand."""
    draws = np.random.default_rng(2).normal(0, 3, 200)
    grid = np.linspace(-3, 3, 5)

    def error(image: NDArray[np.uint8], g: float, b: float) -> float:
        once = transforms.rotate(image, b + g).astype(float)
        return float(np.linalg.norm(transforms.rotate(transforms.rotate(image, g), b) - once)) / 255

    samples = [np.array([[error(x, g, b) for g in grid] for b in draws], np.float32) for x in images]
    bounds = [error_bounds(sample, 0.01) for sample in samples]
    own = strategy.startswith("input")
    return Calibration(
        sha256="0" * 64,
        strategy=strategy,
        confidence=0.99,
        attack=Attack.of({"rotation": (-3, 3)}),
        spatial=PLAIN,
        colours=1,
        opencv=cv2.__version__,
        bounds=() if own else error_bounds(np.concatenate(samples).max(1, keepdims=True), 0.01),
        inputs={fingerprint(x): b for x, b in zip(images, bounds, strict=True)} if own else {},
        parts=(Rotation(3).description,),
    )


@pytest.mark.parametrize("strategy", ["dataset-sampling", "input-global"])
@pytest.mark.parametrize("attack", [None, {"rotation": (-2, 1)}], ids=["radius", "attack"])
def test_calibrated_rotation(cli: Cli, few_digits: Path, strategy: str, attack: dict[str, Any] | None) -> None:
    with np.load(few_digits) as archive:
        images = archive["x"]
    smoothing = compose(*TURN, calibration=calibration(images, strategy))
    run_job(smoothing, few_digits, Fixed(attack=None if attack is None else Attack.of(attack), n=3000))
    assert (cli("verify", "r").code, "0 problems" in cli("verify", "r").out) == (3, True)  # the file is made up
    assert cli("audit", "r", "--seed", 5, "--attacks", 10, "--quiet").code == 0
    found = written()
    asked = [replay for replay in found["replays"] if replay["attack"]]  # without: a certificate of radius 0
    assert sum(replay["outcome"] == "confirmed" for replay in asked) >= 15
    for replay in asked:
        assert -3 <= replay["attack"]["rotation"] <= 3
        if attack is not None:
            assert -2 <= replay["attack"]["rotation"] <= 1
    wide = {"rotation": {"low": -180.0, "high": 180.0}}
    forge(wide if attack else {"interval": [-180.0, 180.0]})
    assert cli("audit", "r", "--seed", 5, "--attacks", 10, "--quiet").code == 1
    for replay in (r for r in written()["replays"] if r["outcome"] == "violation"):
        turned = transforms.rotate(images[replay["index"]], replay["attack"]["rotation"])
        assert np.array_equal(png(replay["pictures"], "attacked")[..., 0], turned)


def run_job(smoothing: Smoothing, data: Path, algorithm: Any, model: Path = MODEL) -> None:
    """A finished run in the folder r."""
    classifier = OrtClassifier(model)
    run = new_run(Files(model, data), classifier, open_dataset(data, classifier.channels), smoothing, algorithm)
    assert all("certificate" in entry for entry in complete(RunFolder(Path("r")), run))


def test_another_opencv_is_refused(cli: Cli, few_digits: Path) -> None:
    with np.load(few_digits) as archive:
        smoothing = compose(*TURN, calibration=calibration(archive["x"][:1], "dataset-sampling"))
    run_job(smoothing, few_digits, Fixed(n=1000))
    recipe = RunFolder(Path("r")).recipe()
    recipe["smoothing"]["calibration"]["opencv"] = "3.0"
    Path("r", RECIPE).write_text(tomli_w.dumps(recipe))
    result = cli("audit", "r")
    assert (result.code, "made with OpenCV 3.0" in result.err) == (2, True)


# --- Known classifiers ------------------------------------------------------------------------------------------------


def audit_of(
    part: Part, x: NDArray[Any], function: Callable[[Any], Any], certificate: dict[str, Any], **options: Any
) -> Audit:
    """An audit of the claim that inputs x are of class 1, for a callable."""
    recipe = {"smoothing": compose(part).recipe, "algorithm": {"mode": "fixed", "alpha": 0.001}}
    evidence = {"mode": "fixed", "selection": {}, "estimation": {"1": 9}, "looks": [], "key": "0", "index": 0}
    evidence |= {"slack": 0.0, "attack_model": "float-unclipped"}
    entries = tuple(
        {"index": i, "input": fingerprint(x[i]), "evidence": evidence, "certificate": {"prediction": 1} | certificate}
        for i in range(len(x))
    )
    run = OpenRun(Question.of(recipe), CallableClassifier(function), Archive(Path("x.npz"), x, None))
    return Audit(run, entries, **options)


def test_what_saturates_alone_is_no_violation(cli: Cli, tmp_path: Path) -> None:
    """200 against 1.2 x 150: no real factor changes the order; 255 against 1.2 x 225, with factor 1.5, is changed."""
    (tmp_path / "ratio.onnx").write_bytes(half_space((2,), [1.0, -1.2], 0.0))
    np.savez(tmp_path / "pair.npz", x=np.array([[200, 150]], np.uint8))
    run = ("certify", "ratio.onnx", "pair.npz", "--smooth", "contrast=0.3", "--n", 1000, "--run", "r", "--quiet")
    assert cli(*run).code == 0
    result = cli("audit", "r", "--seed", 0)
    found = written()
    assert (result.code, found["counts"]["violation"]) == (0, 0)
    beyond = [replay for replay in found["replays"] if replay["outcome"] == "beyond"]
    factors = {replay["attack"]["contrast"]: replay["outcome"] for replay in found["replays"]}
    for factor, got in factors.items():
        a, b = (min(255, round(factor * level)) for level in (200, 150))
        assert got == ("confirmed" if a > 1.2 * b else "beyond"), factor
    assert 0 < len(beyond) < len(found["replays"])
    assert "beyond the attack model (float-unclipped): input 0 under contrast" in result.out
    assert "in real arithmetic class 1" in beyond[0]["note"]
    assert len(list(Path("r", "audit").glob("*.png"))) == 2 * len(beyond)


@pytest.mark.parametrize(
    ("part", "x", "function", "claim", "false", "true"),
    [
        (Brightness(0.3), np.zeros((1, 4), np.float32), lambda v: v.mean(1) < 0.5, "interval", [-0.6, 0.6],
         [-0.4, 0.4]),
        (Brightness(0.3), np.full((1, 4, 4), 99, np.uint8), lambda v: v.mean((1, 2)) < 0.8, "interval", [-0.6, 0.6],
         [-0.3, 0.3]),
        (Contrast(0.3), np.ones((1, 4), np.float32), lambda v: v[:, 0] < 2, "interval", [0.5, 2.5], [0.5, 1.6]),
        (Noise(0.3), np.zeros((1, 9), np.float32), lambda v: v.sum(1) < 1.5, "radius", 0.7, 0.4),
        (Noise(0.3), np.full((1, 3, 3), 100, np.uint8), lambda v: v.sum((1, 2)) < 1.5 + 900 / 255, "radius", 0.7, 0.4),
    ],
    ids=["float brightness", "8-bit brightness", "contrast", "float noise", "8-bit noise"],
)  # fmt: skip
def test_both_sides_of_a_known_border(
    part: Part, x: Any, function: Callable[[Any], Any], claim: str, false: Any, true: Any
) -> None:
    """Class 1 up to a border that is known: claims on this side of it stand, on that side they fall."""
    for claimed, outcomes in ((true, {"confirmed"}), (false, {"confirmed", "violation", "undecided"})):
        certificate = {"radius": 1.0, claim: claimed}
        audit = audit_of(part, x, lambda v: function(v).astype(int), certificate, seed=4, attacks=16)
        found = {replay.outcome for replay in audit.replays(audit.entries[0])}
        assert found <= outcomes
        assert ("violation" in found) == ("violation" in outcomes)


def test_false_confirmations_keep_to_the_confidence() -> None:
    """At the upper end the class has probability exactly 1/2: any answer confirmed there may be false.

    The certificate [-0.4, 0.4] is true; each audit asks at both ends of two inputs, with confidence 0.6.
    """
    false = total = 0
    for seed in range(300):
        x = np.zeros((2, 3), np.float32)
        audit = audit_of(
            Brightness(0.5), x, lambda v: (v[:, 0] < 0.4).astype(int), {"radius": 0.4, "interval": [-0.4, 0.4]},
            seed=seed, attacks=2, n=60, confidence=0.6,
        )  # fmt: skip
        assert audit.alpha == pytest.approx(0.4 / 8)
        ends = [r for entry in audit.entries for r in audit.replays(entry) if r.member["brightness"] > 0]
        assert len(ends) == 2
        false += any(replay.outcome == "violation" for replay in ends)
        total += sum(replay.answer >= 0 for replay in ends)
    # PREDICT confirms one class or the other with probability 0.0273 (60 draws, 39 or more of either) at alpha 0.05.
    once = 2 * binom.sf(38, 60, 0.5)
    assert once <= 0.4 / 8
    assert binom.ppf(1e-4, 600, once) <= total <= binom.ppf(1 - 1e-4, 600, once)
    assert false <= binom.ppf(1 - 1e-4, 300, 0.4)


def test_draws_are_fresh(certified: Callable[[str], None]) -> None:
    """Equal seeds give equal votes; other seeds, attacks and the run itself, others."""
    certified("noise")
    run = RunFolder(Path("r"))
    votes = []
    for seed in (1, 1, 2, run_key(run.recipe())):
        audit = Audit(*certificates(run), limit=6, attacks=3, n=1000, seed=seed)
        votes.append([replay.votes for entry in audit.entries for replay in audit.replays(entry)])
    assert votes[0] == votes[1]
    assert votes[1] != votes[2]
    keys = {audit._key(i, j, kind) for i in range(3) for j in range(3) for kind in ("8-bit", "real")}
    assert len(keys) == 18
    assert run_key(run.recipe()) not in keys


def test_an_input_that_cannot_be_asked_is_undecided() -> None:
    def picky(values: NDArray[Any]) -> NDArray[Any]:
        return np.where(values.mean(1, keepdims=True) > 1, np.nan, np.array([0.0, 1.0]))

    x = np.zeros((1, 4), np.float32)
    audit = audit_of(Brightness(0.1), x, picky, {"radius": 3.0, "interval": [-3.0, 3.0]}, attacks=2, seed=0)
    replays = list(audit.replays(audit.entries[0]))
    assert {(r.member["brightness"], r.outcome) for r in replays} == {(-3.0, "confirmed"), (3.0, "undecided")}
    assert "NaN" in next(r.note for r in replays if r.outcome == "undecided")


def test_allowed_false_certificates() -> None:
    """Oracle: the least k with P(Binomial(m, alpha) > k) <= alpha, by SciPy."""
    x = np.zeros((40, 3), np.float32)
    audit = audit_of(Brightness(0.5), x, lambda v: np.ones(len(v), int), {"radius": 0.0}, attacks=1)
    for alpha in (0.001, 0.01, 0.2):
        audit.question.recipe["algorithm"]["alpha"] = alpha
        assert outcome(audit, []).allowed == int(binom.ppf(1 - alpha, 40, alpha))


def test_colours_come_out_as_they_are(cli: Cli, tmp_path: Path) -> None:
    """A red image whose class falls when it is darkened; read back, it is red."""
    weights = np.zeros((3, 4, 4))
    weights[0] = 1.0
    (tmp_path / "red.onnx").write_bytes(half_space((3, 4, 4), weights, -8.0))
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[..., 0], image[..., 1] = 200, 10
    np.savez(tmp_path / "red.npz", x=image)
    run = ("certify", "red.onnx", "red.npz", "--mode", "enumerate", "--attack", "brightness=-0.1:0.1")
    assert cli(*run, "--run", "r", "--quiet").code == 0
    assert cli("audit", "r").code == 0
    forge({"brightness": {"low": -1.0, "high": 0.1}})
    assert cli("audit", "r", "--quiet").code == 1
    first = next(replay for replay in written()["replays"] if replay["outcome"] == "violation")
    np.testing.assert_array_equal(png(first["pictures"], "original"), image[0])
    changed = transforms.brightness(image[0], first["attack"]["brightness"])
    np.testing.assert_array_equal(png(first["pictures"], "attacked"), changed)


def test_attacks_ahead_of_the_preprocessing_and_behind(cli: Cli, tmp_path: Path) -> None:
    """Behind a resize and a mask, a part acts on the model's pixels, an enumerated attack on the raw image."""
    raw = np.random.default_rng(0).integers(0, 256, (1, 8, 6), np.uint8)
    (tmp_path / "sum.onnx").write_bytes(half_space((1, 4, 4), np.ones(16), -1.0))
    np.savez(tmp_path / "raw.npz", x=raw)
    model = ("certify", "sum.onnx", "raw.npz", "--resize", 4, "--crop", 4, "--mask", "circle", "--quiet", "--run", "r")
    assert cli(*model, "--smooth", "translation=0.5", "--n", 1000).code == 0
    assert cli("audit", "r", "--seed", 0).code == 0  # cyclic shifts keep the sum of the model's pixels
    audit = Audit(*certificates(RunFolder(Path("r"))), seed=0)
    subject = audit.subject(audit.entries[0])
    moved, pictures = subject.in_levels({"translation": (1.0, -1.0)})
    np.testing.assert_array_equal(moved.values[0], np.roll(subject.x.values[0], (1, -1), (0, 1)))
    assert pictures[1].shape == (4, 4, 1)
    shutil.rmtree("r")
    assert cli(*model, "--mode", "enumerate", "--attack", "translation=1").code == 0
    audit = Audit(*certificates(RunFolder(Path("r"))), seed=0)
    subject = audit.subject(audit.entries[0])
    moved, pictures = subject.in_levels({"translation": (1.0, -1.0)})
    by_hand = transforms.translate(raw[0], -1, 1)
    np.testing.assert_array_equal(pictures[1][..., 0], by_hand)
    np.testing.assert_array_equal(moved.values, audit.run.classifier.prepare(by_hand).values)


# --- Bad input --------------------------------------------------------------------------------------------------------


def spoiled() -> Iterator[tuple[str, Callable[[], Any], tuple[Any, ...], str]]:
    """(name, what is done to the run, options, what the line says)."""

    def without_certificates() -> None:
        entries = RunFolder(Path("r")).entries()
        for entry in entries:
            entry["certificate"] |= {"prediction": -1, "radius": 0.0}
        Path("r", LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    def without_evidence() -> None:
        entries = RunFolder(Path("r")).entries()
        del entries[0]["evidence"]
        Path("r", LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    def another_input() -> None:
        entries = RunFolder(Path("r")).entries()
        entries[0]["input"] = "0" * 64
        Path("r", LEDGER).write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    def another_model() -> None:
        Path("other.onnx").write_bytes(MODEL.read_bytes() + b"\x3a\x00")

    def nothing() -> None:
        pass

    yield "no certificates", without_certificates, (), "expected certificates to audit, got none"
    yield "no ledger", lambda: Path("r", LEDGER).unlink(), (), "expected certificates to audit, got none"
    yield "no run", lambda: shutil.rmtree("r"), (), "expected a run folder"
    yield "no evidence", without_evidence, (), "a certificate and its evidence, got certificate"
    yield "another input", another_input, (), "expected SHA-256 0000"
    yield "no model", nothing, ("--model", "gone.onnx"), "gone.onnx is not there; pass --model"
    yield "no data", nothing, ("--data", "gone.npz"), "gone.npz is not there; pass --data"
    yield "another model", another_model, ("--model", "other.onnx"), "model: expected SHA-256"
    yield "other data", nothing, ("--data", IMAGES), "data: expected SHA-256"
    yield "no attacks", nothing, ("--attacks", 0), "--attacks: expected at least 1"
    yield "no limit", nothing, ("--limit", 0), "--limit: expected at least 1"
    yield "few votes", nothing, ("--n", 15), "--n: expected enough votes"
    yield "confidence", nothing, ("--confidence", 1), "--confidence: expected 0.5 to 1"
    yield "seed", nothing, ("--seed", -1), "--seed: expected a whole number"
    yield "provider", nothing, ("--provider", "abacus"), "abacus"


@pytest.mark.parametrize(("name", "spoil", "options", "said"), [pytest.param(*case, id=case[0]) for case in spoiled()])
def test_bad_input_is_one_line(
    cli: Cli, certified: Callable[[str], None], name: str, spoil: Callable[[], Any], options: Any, said: str
) -> None:
    certified("noise")
    spoil()
    result = cli("audit", "r", *options)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert said in result.err
    assert not Path("r", "audit.json").exists()
