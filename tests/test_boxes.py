"""Boxes of a sliced attack and brightness behind it: what slices cover, what they promise where truth is known, runs.

Keys are fixed: every test passes or fails always. Unsound variants are shown to be found out by the same checks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from smoothcert import ABSTAIN, Certificate, Evidence, Noise, compose
from smoothcert.algorithms import Slices
from smoothcert.certification import run
from smoothcert.errors import DataError
from smoothcert.evidence import Slice
from smoothcert.inputs.spatial import Raw, Spatial
from smoothcert.model.classifier import CallableClassifier
from smoothcert.runs.folder import LEDGER
from smoothcert.smoothing import Attack, Range, offsets, slicing
from smoothcert.smoothing.cutting import enclosable, farthest
from smoothcert.smoothing.offsets import Piece
from smoothcert.smoothing.slicing import PixelSlicing
from smoothcert.transforms import brightness, rotate, scale

from .conftest import MODEL
from .test_slices import Cli, Image, as_raw, changed, rough, smooth, timeless, within, write

QUICK = (
    "test_nothing_in_a_slice_is_farther_than_its_reach",
    "test_saturation_that_is_left_out_is_found_out",
    "test_pieces_are_whole_levels_side_by_side",
    "test_every_real_brightness_is_a_level_of_the_range",
    "test_brightness_up_to_a_known_flip",
    "test_rotation_up_to_a_known_flip",
    "test_a_gap_is_found_out",
    "test_forged_evidence_is_not_consistent",
    "test_it_refuses_at_once",
    "test_verify_refuses_a_box_that_is_not_covered",
)

SIGMA, ALPHA, N, KEY = 0.5, 0.2, 512, 11
SMOOTHING = compose(Noise(SIGMA))


def boxed(levels: tuple[float, float], *, n0: int | None = 320, n: int = N, **sliced: tuple[float, float]) -> Slices:
    """Of `levels`, offsets as real numbers of levels, behind an attack."""
    low, high = (level / 255 for level in levels)
    return Slices(Attack.of({**sliced, "brightness": (low, high)}), n=n, alpha=ALPHA, n0=n0)


def seen(raw: Raw, mode: Slices, value: float, b: float) -> NDArray[np.int64]:
    """What the model sees of the attacked image, by the attacker's own functions."""
    warp = {"rotation": rotate, "scaling": scale}[mode.name]
    return raw.processed(brightness(warp(raw.image, value, mode.border), b)).astype(np.int64).reshape(-1)


# --- Geometry ---------------------------------------------------------------------------------------------------------

CIRCLE = Spatial(resize=24, antialias=True, mask="circle")
BOXES: dict[str, tuple[Raw, Slices]] = {
    "dark and bright": (as_raw(smooth(20, 20)), boxed((-12.3, 9.0), rotation=(-3, 2))),
    "brighter alone": (as_raw(rough(14, 17)), boxed((3, 17), rotation=(-1, 1))),
    "saturated": (as_raw(255 * (smooth(20, 20) > 128).astype(np.uint8)), boxed((-30, 30), rotation=(-1, 2))),
    "colours, in a circle": (as_raw(smooth(48, 48, 3), CIRCLE), boxed((-5, 5), rotation=(-1, 1))),
    "letterbox": (as_raw(smooth(20, 30), Spatial(resize="16x16", pad="grey")), boxed((-9, 9), scaling=(0.95, 1.05))),
}


def overshoot(mode: Slices, raw: Raw, reach: float, drawn: int = 6) -> float:
    """By how much, in deviations, what is seen leaves its slice's ball, at the most: corners and random attacks.

    The middle is the one around which samples would be drawn.
    """
    found = PixelSlicing(enclosable(raw), mode.transform, SIGMA, mode.levels)
    random, worst = np.random.default_rng(1), -1.0
    pieces, cuts = found.pieces(reach), found.cut(mode.whole, reach)
    assert offsets.cover(pieces, mode.levels)
    for least, most in pieces:
        for low, high in cuts:
            turned = mode.transform.apply(raw.image, (low + high) / 2)
            middle = raw.processed(offsets.brightened(turned, offsets.middle((least, most)))).astype(int).reshape(-1)
            values = [low, high, *random.uniform(low, high, drawn).tolist()]
            ends = [(least - 0.49) / 255, (most + 0.49) / 255]  # real numbers that are rounded to the end's level
            for value, b in zip(values, [*ends, *random.uniform(*ends, drawn).tolist()], strict=True):
                far = np.linalg.norm(seen(raw, mode, value, b) - middle)
                worst = max(worst, float(far) / 255 / SIGMA - reach)
    return worst


@pytest.mark.parametrize("reach", [0.5, 1.4])
@pytest.mark.parametrize("name", BOXES)
def test_nothing_in_a_slice_is_farther_than_its_reach(name: str, reach: float) -> None:
    assert -0.7 * reach < overshoot(BOXES[name][1], BOXES[name][0], reach) <= 0


def wrapping(image: Image, level: int) -> Image:
    """Unsound: addition that goes on at 0 beyond 255."""
    return image + np.uint8(level % 256)


def test_saturation_that_is_left_out_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, mode = BOXES["saturated"]
    assert overshoot(mode, raw, 1.4) <= 0
    monkeypatch.setattr(offsets, "brightened", wrapping)
    assert overshoot(mode, raw, 1.4) > 1


def without_brightness(*arguments: Any, pieces: object = None) -> float:
    """Unsound: how far the attack alone moves the image."""
    return farthest(*arguments[:4])


def test_a_distance_without_brightness_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "farthest", without_brightness)
    raw, mode = BOXES["letterbox"]
    assert overshoot(mode, raw, 1.4) > 0.3


@pytest.mark.parametrize("levels", [(0, 0), (-3, 9), (5, 5), (-255, 255)])
@pytest.mark.parametrize("allowed", [0.1, 1.0, 2.5, 40.0, 1e6])
def test_pieces_are_whole_levels_side_by_side(levels: Piece, allowed: float) -> None:
    found = offsets.cut(levels, allowed)
    assert [level for low, high in found for level in range(low, high + 1)] == list(range(levels[0], levels[1] + 1))
    assert max(max(offsets.middle(p) - p[0], p[1] - offsets.middle(p)) for p in found) < allowed
    assert offsets.cover(found, levels)


@pytest.mark.parametrize("ends", [(-0.05, 0.05), (0.5 / 255, 1.5 / 255), (-2.5 / 255, 2.5 / 255), (0.1, 0.1), (-1, 1)])
def test_every_real_brightness_is_a_level_of_the_range(ends: tuple[float, float]) -> None:
    """By the attacker's own code, ties and their neighbours included."""
    grey, (low, high) = np.full((1, 1), 128, np.uint8), offsets.levels_in(Range(*ends))
    near = [math.nextafter(end, other) for end, other in (ends, ends[::-1])]
    ties = [b for level in range(-256, 256) if ends[0] <= (b := (level + 0.5) / 255) <= ends[1]]
    found = {int(brightness(grey, b)[0, 0]) for b in (*ends, *near, *ties, *np.linspace(*ends, 5000).tolist())}
    assert found == {min(max(128 + level, 0), 255) for level in range(low, high + 1)}


def test_the_pieces_make_slices_fewest() -> None:
    """Of all numbers of pieces, by cutting with each; to a tenth."""
    raw, mode = as_raw(smooth(32, 32)), boxed((-13, 13), rotation=(-5, 5))
    for reach in (0.7, 1.4):
        found = PixelSlicing(raw, mode.transform, SIGMA, mode.levels)

        class Fixed(PixelSlicing):
            count = 1

            def pieces(self, allowed: float) -> list[Piece]:
                ends = [-13 + i * 27 // self.count for i in range(self.count + 1)]
                return [(a, b - 1) for a, b in pairwise(ends)]

        others = []
        for count in range(1, 14):
            other = Fixed(raw, mode.transform, SIGMA, mode.levels)
            Fixed.count = count
            left = reach * SIGMA - found._level * max(map(offsets.farthest_offset, other.pieces(reach)))
            others += [count * len(other.cut(mode.whole, reach))] if left > 0 else []
        chosen = len(found.pieces(reach)) * len(found.cut(mode.whole, reach))
        assert chosen <= 1.1 * min(others)
        parts = [(-5.0, 0.0), (0.0, 5.0)]
        foreseen = sum(row[0] for row in found.numbers(parts, [reach]))
        assert 0.6 * chosen <= foreseen <= 1.4 * chosen


def test_a_box_that_is_too_large_says_what_to_do() -> None:
    mode = boxed((-100, 100), rotation=(-90, 90))
    words = r"rotation -90:90 with brightness -0.392:0.392, in \d+ pieces, needs more than 4096 slices, the most there"
    with pytest.raises(DataError, match=f"{words} may be; raise sigma, or take a smaller range of either"):
        PixelSlicing(as_raw(rough(16, 16)), mode.transform, 0.1, mode.levels).cut(mode.whole, 0.5)


# --- Soundness: half-spaces ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Half:
    """Class 1 where `weights` . levels >= `cut`. Rounded Gaussian noise leaves the score normal, but for 1 % of one."""

    mode: Slices
    raw: Raw
    weights: NDArray[np.int64]
    cut: float = 0.0

    def score(self, value: float, b: float) -> int:
        return int(self.weights @ seen(self.raw, self.mode, value, b))

    @property
    def least(self) -> int:
        """The least score of the box, by dense search."""
        levels = [offsets.brightness(level) for level in range(self.mode.levels[0], self.mode.levels[1] + 1)]
        values = np.linspace(self.mode.whole.low, self.mode.whole.high, 201).tolist()
        return min(self.score(value, b) for value in values for b in levels)

    @property
    def deviation(self) -> float:
        return float(np.linalg.norm(self.weights)) * math.sqrt((255 * SIGMA) ** 2 + 1 / 12)

    def probability(self, score: float) -> float:
        """Of class 1."""
        return float(ndtr((score - self.cut) / self.deviation))

    def lowered(self, probability: float, score: float | None = None) -> Half:
        """With class 1 of that probability, or the next below it, at the worst attack of the box, or at a score."""
        score = self.least if score is None else score
        return replace(self, cut=math.ceil(score - self.deviation * float(ndtri(probability)) + 1e-9) + 0.5)

    def certificate(self, index: int = 0) -> Certificate:
        def labels(batch: NDArray[np.float32]) -> NDArray[np.int64]:
            levels = np.rint(batch * np.float32(255)).reshape(len(batch), -1)
            return (levels @ self.weights.astype(float) >= self.cut).astype(np.int64)

        classifier = CallableClassifier(labels, batch_size=32)
        return run(self.mode, classifier, SMOOTHING, self.raw.image[..., 0], key=KEY, index=index)


RAW = as_raw((smooth(12, 12, seed=2) // 2 + 40).astype(np.uint8))


def worst_way(mode: Slices) -> Half:
    """Across the way from the middle of the last slice to its farthest corner: there, the distance counts in full."""
    found = PixelSlicing(RAW, mode.transform, SIGMA, mode.levels)
    piece, cut = found.pieces(0.5)[-1], found.cut(mode.whole, 0.5)[-1]
    middle = seen(RAW, mode, sum(cut) / 2, offsets.brightness(offsets.middle(piece)))
    return Half(mode, RAW, middle - seen(RAW, mode, cut[1], offsets.brightness(piece[1])))


def darker(mode: Slices) -> Half:
    """Class 1 is lost by brightness alone, at a known level."""
    return Half(mode, RAW, -np.ones(RAW.image.size, np.int64))


def wrong_share(half: Half, runs: int) -> int:
    """False certificates of runs on a half-space that the worst attack of the box only just leaves."""
    return sum(half.certificate(i).prediction == 1 for i in range(runs))


@pytest.mark.parametrize("n0", [None, 20])
@pytest.mark.parametrize("way", [worst_way, darker])
def test_a_class_that_a_corner_flips_is_hardly_ever_certified(way: Callable[[Slices], Half], n0: int | None) -> None:
    """With a pilot of few votes, and without one, so that it is up to the slices alone."""
    half = way(boxed((0, 60), n0=n0, rotation=(0, 8))).lowered(0.5)
    assert 0.49 < half.probability(half.least) < 0.5
    assert within(wrong_share(half, 40), 40, ALPHA)


@pytest.mark.parametrize("way", [worst_way, darker])
def test_a_comfortable_margin_is_certified(way: Callable[[Slices], Half]) -> None:
    half = way(boxed((0, 60), rotation=(0, 8))).lowered(0.97)
    found = [half.certificate(i) for i in range(12)]
    assert sum(certificate.prediction == 1 for certificate in found) >= 11
    assert all(half.mode.consistent(c.evidence, SMOOTHING) for c in found)


def last_piece_left_out(levels: Piece, allowed: float) -> list[Piece]:
    """Unsound: the brightest attacks are in no slice."""
    return offsets_cut(levels, allowed)[:-1]


offsets_cut = offsets.cut


def test_a_gap_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    half = darker(boxed((0, 40), n0=None, rotation=(0, 2))).lowered(0.5)
    assert within(wrong_share(half, 12), 12, ALPHA)
    monkeypatch.setattr(offsets, "cut", last_piece_left_out)
    assert not within(wrong_share(half, 12), 12, ALPHA)
    assert not half.mode.consistent(half.certificate().evidence, SMOOTHING)


def test_slices_without_brightness_certify_what_is_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "farthest", without_brightness)
    monkeypatch.setattr(offsets, "cut", lambda levels, allowed: [levels])
    half = darker(boxed((0, 60), n0=None, rotation=(0, 8))).lowered(0.5)
    assert not within(wrong_share(half, 30), 30, ALPHA)


@pytest.mark.parametrize(("most", "certified"), [(40, True), (60, False)])
def test_brightness_up_to_a_known_flip(most: int, certified: bool) -> None:
    """At 50 levels class 1 has one half; at 40 it has .83."""
    half = darker(boxed((0, most), rotation=(-1, 1), n=2000))
    turned = [half.score(value, 50 / 255) for value in np.linspace(-1, 1, 201).tolist()]
    assert half.lowered(0.5, min(turned)).certificate().prediction == (1 if certified else ABSTAIN)


@pytest.mark.parametrize(("most", "certified"), [(12, True), (30, False)])
def test_rotation_up_to_a_known_flip(most: int, certified: bool) -> None:
    """The class is lost at 20 degrees, whatever the brightness does: weights add up to 0, and nothing saturates."""
    mode = replace(boxed((-20, 20), rotation=(0, most), n=2000), border="replicate")
    weights = seen(RAW, mode, 0, 0) - seen(RAW, mode, 20, 0)
    weights -= weights.sum() // len(weights)
    weights[: weights.sum()] -= 1
    half = Half(mode, RAW, weights)
    half = half.lowered(0.5, half.score(20, 0))
    assert half.score(7, 0.0) == half.score(7, 0.05)
    assert half.certificate().prediction == (1 if certified else ABSTAIN)


# --- Evidence ---------------------------------------------------------------------------------------------------------


@cache
def stood() -> tuple[Slices, Evidence]:
    half = darker(boxed((-20, 20), rotation=(-4, 4))).lowered(0.99)
    found = half.certificate()
    assert found.prediction == 1
    return half.mode, found.evidence


def test_json_keeps_all_of_the_evidence() -> None:
    mode, evidence = stood()
    again = Evidence.from_json(json.loads(json.dumps(evidence.to_json())))
    assert again == evidence
    assert mode.consistent(again, SMOOTHING)
    assert len(evidence.brightness) > 1
    assert len(evidence.slices) % len(evidence.brightness) == 0


def less(evidence: Evidence, gone: slice, pieces: tuple[Piece, ...]) -> Evidence:
    """Without those slices, and their votes."""
    dropped = evidence.slices[gone]
    kept = evidence.slices[: gone.start] + evidence.slices[gone.stop :]
    votes = dict(evidence.estimation)
    for look in (s.looks[-1] for s in dropped):
        votes[look.label] -= look.count
        votes[1 - look.label] = votes.get(1 - look.label, 0) - (look.n - look.count)
    return replace(evidence, slices=kept, brightness=pieces, estimation={k: v for k, v in votes.items() if v})


def _each(e: Evidence) -> int:
    return len(e.slices) // len(e.brightness)


FORGED: dict[str, Callable[[Evidence], Evidence]] = {
    "no brightness": lambda e: replace(e, brightness=()),
    "the last piece left out": lambda e: less(e, slice(len(e.slices) - _each(e), len(e.slices)), e.brightness[:-1]),
    "the first piece left out": lambda e: less(e, slice(0, _each(e)), e.brightness[1:]),
    "a piece in the middle left out": lambda e: less(
        e, slice(_each(e), 2 * _each(e)), e.brightness[:1] + e.brightness[2:]),
    "a narrower piece": lambda e: replace(e, brightness=((e.brightness[0][0] + 1, e.brightness[0][1]),
                                                         *e.brightness[1:])),
    "a gap of one level": lambda e: replace(e, brightness=((e.brightness[0][0], e.brightness[0][1] - 1),
                                                           *e.brightness[1:])),
    "pieces in another order": lambda e: replace(e, brightness=e.brightness[::-1]),
    "a piece that ends before it begins": lambda e: replace(e, brightness=((-20, 25), (26, 20))),
    "a slice of one piece left out": lambda e: less(e, slice(0, 1), e.brightness),
    "a gap in one piece": lambda e: changed(e, -1, low=e.slices[-1].low + 1e-9),
    "other cuts in one piece": lambda e: changed(changed(e, 0, high=e.slices[0].high + 0.1), 1,
                                                 low=e.slices[0].high + 0.1),
    "no slices": lambda e: replace(e, slices=()),
}  # fmt: skip


@pytest.mark.parametrize("how", FORGED)
def test_forged_evidence_is_not_consistent(how: str) -> None:
    mode, evidence = stood()
    assert not mode.consistent(FORGED[how](evidence), SMOOTHING)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ({"brightness": (-0.1, 0.1), "rotation": (-1, 1)}, "and behind it brightness or nothing, got brightness"),
        ({"rotation": (-1, 1), "contrast": (0.9, 1)}, "and behind it brightness or nothing, got rotation"),
        ({"rotation": (-1, 1), "brightness": (0, 0.1), "scaling": (1, 1)}, "and behind it brightness or nothing"),
        ({"rotation": (-1, 1), "brightness": (0, 0.1, 5)}, "expected an interval of brightness"),
        ({"rotation": (-1, 1), "brightness": (-2, 0.1)}, "expected brightness between -1 and 1"),
    ],
    ids=str,
)
def test_it_refuses_at_once(attack: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Slices(Attack.of(attack))


# --- Runs -------------------------------------------------------------------------------------------------------------

BOX = ("--mode", "slices", "--attack", "rotation=-2:2", "--attack", "brightness=-0.03:0.03")
RUN = ("certify", MODEL, "six.npz", "--smooth", "noise=0.5", *BOX, "--n", 2000, "--nonce", "s", "--quiet")


def test_a_run_verifies_resumes_and_is_audited(cli: Cli, few_digits: Path) -> None:
    result = cli(*RUN, "--run", "r")
    assert result.code == 0
    assert "brightness" in result.out
    whole = timeless(Path("r"))
    assert cli("verify", "r", "--redraw", 2).code == 0
    content = Path("r", LEDGER).read_bytes()
    Path("r", LEDGER).write_bytes(content[: len(content) * 2 // 3])
    assert cli(*RUN, "--run", "r").code == 0
    assert timeless(Path("r")) == whole
    audited = cli("audit", "r", "--limit", 2, "--attacks", 8, "--n", 400, "--seed", 1)
    assert audited.code == 0
    assert "16 attacks replayed" in audited.out
    replays = json.loads(Path("r", "audit.json").read_text())
    assert "brightness" in json.dumps(replays)


def forged(evidence: dict[str, Any], how: str) -> None:
    """Change the ledger's evidence so that all adds up, but for what is covered."""
    pieces, slices = evidence["brightness"], evidence["slices"]
    each = len(slices) // len(pieces)
    dropped = slices[-each:]
    match how:
        case "a gap":
            evidence["brightness"] = pieces[:-1]
        case "a piece stretched over it":
            evidence["brightness"] = [*pieces[:-2], [pieces[-2][0], pieces[-1][1]]]
    evidence["slices"] = slices[:-each]
    label = next(iter(evidence["pilot"]))[1]
    evidence["estimation"] = {
        str(label): sum(rows[-1][2] for _, _, rows in evidence["slices"]),
        str((label + 1) % 10): sum(rows[-1][0] - rows[-1][2] for _, _, rows in evidence["slices"]),
    }
    assert dropped


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("a gap", "the votes are not as many as the algorithm draws"),
        ("a piece stretched over it", "the slices are not those of this image: it moves farther in one than"),
    ],
)
def test_verify_refuses_a_box_that_is_not_covered(cli: Cli, few_digits: Path, how: str, message: str) -> None:
    assert cli(*RUN, "--run", "r").code == 0
    entries = timeless(Path("r"))
    entry = next(e for e in entries if len(e["evidence"].get("brightness", [])) > 2)
    forged(entry["evidence"], how)
    write(Path("r"), [one | {"seconds": 0.0} for one in entries])
    result = cli("verify", "r")
    assert result.code == 1
    assert f"wrong: input {entry['index']}: {message}" in result.out


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "brightness first": (("brightness=-0.1:0.1", "rotation=-1:1"), "and behind it brightness or nothing"),
    "brightness alone": (("brightness=-0.1:0.1",), "expected an attack of rotation or scaling or shear"),
    "a grid": (("rotation=-1:1", "brightness=-0.1:0.1:3"), "expected an interval of brightness"),
    "too bright": (("rotation=-1:1", "brightness=-0.1:1.1"), "expected brightness between -1 and 1"),
    "too large": (("rotation=-180:180", "brightness=-1:1"), "raise sigma, or take a smaller range of either"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(cli: Cli, few_digits: Path, case: str) -> None:
    attacks, message = BAD[case]
    named = [word for attack in attacks for word in ("--attack", attack)]
    result = cli("certify", MODEL, "six.npz", "--smooth", "noise=0.2", "--mode", "slices", *named, "--run", "r")
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert message in result.err
    assert not Path("r").exists()


def test_slices_of_one_attack_say_nothing_of_brightness() -> None:
    """Ledgers of one attack are what they were."""
    half = darker(boxed((0, 0), rotation=(-4, 4)))
    one = replace(half, mode=Slices(Attack.of({"rotation": (-4, 4)}), N, ALPHA)).lowered(0.99)
    found = [one.certificate().evidence, replace(one, mode=half.mode).certificate().evidence]
    assert found[0] == found[1]
    assert "brightness" not in found[0].to_json()
    assert all(isinstance(s, Slice) for s in found[0].slices)
