"""Finite sets of attacks, member by member. Oracle: the same loop written out, on the bare model, image by image."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tomli_w
from numpy.typing import NDArray

from smoothcert import (
    ABSTAIN,
    Attack,
    Noise,
    OrtClassifier,
    certify,
    certify_enumerated,
    certify_targets,
    compose,
    predict,
    transforms,
)
from smoothcert.algorithms import Enumerate
from smoothcert.certification import run
from smoothcert.errors import DataError, RunError
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.runs.question import _algorithm_of
from smoothcert.runs.recipe import differences, run_key
from smoothcert.smoothing import UNSMOOTHED

from . import models
from .conftest import IMAGES, MODEL

Image = NDArray[np.uint8]
RNG = np.random.default_rng(6)
DISC = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if y * y + x * x <= 4]
LEVELS = [level / 255 for level in range(-26, 27)]  # what a brightness of -0.1 to 0.1 rounds to


def grid(low: float, high: float, points: int) -> list[float]:
    return [low + (high - low) * i / (points - 1) for i in range(points)]


BY_HAND: dict[str, Callable[[Image, Any], Image]] = {
    "brightness": transforms.brightness,
    "contrast": transforms.contrast,
    "gamma": transforms.gamma,
    "blur": transforms.gaussian_blur,
    "translation": lambda image, d: transforms.translate(image, d[1], d[0]),
    "rotation": transforms.rotate,
    "scaling": transforms.scale,
}
IDENTITY = {"brightness": 0, "contrast": 1, "gamma": 1, "blur": 0, "translation": (0, 0), "rotation": 0, "scaling": 1}
SETS: dict[str, tuple[dict[str, Any], list[list[Any]]]] = {  # the attack, the values of each parameter
    "translation": ({"translation": 2}, [DISC]),
    "translation, short of the next": ({"translation": 2.2}, [DISC]),
    "brightness": ({"brightness": (-0.1, 0.1)}, [LEVELS]),
    "brightness to one side": ({"brightness": (0.05, 0.1)}, [LEVELS[39:]]),
    "brightness, a grid": ({"brightness": (-0.5, 0.5, 11)}, [grid(-0.5, 0.5, 11)]),
    "contrast": ({"contrast": (0.25, 4, 16)}, [grid(0.25, 4, 16)]),
    "one contrast": ({"contrast": 0.3}, [[0.3]]),
    "gamma": ({"gamma": (0.2, 3, 15)}, [grid(0.2, 3, 15)]),
    "blur": ({"blur": (0, 12, 13)}, [grid(0, 12, 13)]),
    "rotation": ({"rotation": (-60, 60, 25)}, [grid(-60, 60, 25)]),
    "scaling": ({"scaling": (0.5, 2, 7)}, [grid(0.5, 2, 7)]),
    "rotation, then translation": (
        {"rotation": (-30, 30, 5), "translation": 2},
        [grid(-30, 30, 5), DISC],
    ),
    "translation, then rotation": (
        {"translation": 2, "rotation": (-30, 30, 5)},
        [DISC, grid(-30, 30, 5)],
    ),
    "contrast, brightness, blur": (
        {"contrast": (0.5, 2, 4), "brightness": (-0.4, 0.4, 5), "blur": 2},
        [grid(0.5, 2, 4), grid(-0.4, 0.4, 5), [2.0]],
    ),
}


@pytest.fixture(scope="module")
def digits() -> OrtClassifier:
    return OrtClassifier(MODEL)


@pytest.mark.parametrize(("attack", "values"), SETS.values(), ids=SETS)
def test_members_are_complete_distinct_and_begin_with_the_identity(attack: Any, values: list[list[Any]]) -> None:
    members = Enumerate(Attack.of(attack)).members()
    identity = tuple(IDENTITY[name] for name in attack)
    expected = {identity, *itertools.product(*values)}
    assert members[0] == identity
    assert len(set(members)) == len(members) == len(expected)
    found, wanted = (np.array([np.hstack(m) for m in sorted(s)], float) for s in (members, expected))
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("which", [0, 7])
@pytest.mark.parametrize(("attack", "values"), SETS.values(), ids=SETS)
def test_votes_are_those_of_a_loop(digits: OrtClassifier, attack: Any, values: list[list[Any]], which: int) -> None:
    """Each member made by the attacker's own functions, in order, and given to the model as levels, alone."""
    with np.load(IMAGES) as archive:
        image = archive["x"][which]
    identity = tuple(IDENTITY[name] for name in attack)
    votes = Counter[int]()
    one = OrtClassifier(MODEL, threads=1, batch_size=1)
    for member in {identity, *itertools.product(*values)}:
        changed = image
        for name, value in zip(attack, member, strict=True):
            changed = BY_HAND[name](changed, value)
        votes[int(one.labels(changed[None, None].astype(np.int16), 1, EIGHT_BIT)[0])] += 1
    own = int(one.labels(image[None, None].astype(np.int16), 1, EIGHT_BIT)[0])
    certificate = certify_enumerated(digits, image, attack)
    assert certificate.evidence.estimation == votes
    assert certificate.evidence.selection == {own: 1}
    assert certificate.prediction == (own if votes[own] == votes.total() else ABSTAIN)
    assert bool(certificate.reason) == (certificate.prediction == ABSTAIN)


def detector(shape: tuple[int, ...], at: tuple[int, ...]) -> OrtClassifier:
    """Class 1 where one pixel is brighter than half."""
    w = np.zeros(shape)
    w[at] = 1
    return OrtClassifier(models.half_space(shape, w, -0.5))


@pytest.mark.parametrize(("radius", "found"), [(2.2, 0), (2.24, 1), (3, 1)])
def test_one_member_is_enough(radius: float, found: int) -> None:
    """A bright pixel that a shift by (1, 2), of length sqrt(5), alone brings under the detector."""
    image = np.zeros((1, 9, 9), np.uint8)
    image[0, 3, 3] = 255
    certificate = certify_enumerated(detector((1, 9, 9), (0, 4, 5)), image, {"translation": radius})
    size = sum(y * y + x * x <= radius**2 for y in range(-3, 4) for x in range(-3, 4))
    assert certificate.evidence.estimation == ({0: size - 1, 1: 1} if found else {0: size})
    assert certificate.attack_model == "enumerated"
    assert (certificate.alpha, certificate.radius, certificate.interval) == (0.0, 0.0, None)
    if found:
        assert certificate.prediction == ABSTAIN
        assert certificate.reason == f"attack found: 1 of {size} members are not class 0"
        assert certificate.p_lower == pytest.approx(1 - 1 / size)
        assert certificate.p_upper == pytest.approx(1 / size)
    else:
        assert (certificate.prediction, certificate.reason) == (0, "")
        assert (certificate.p_lower, certificate.p_upper) == (1.0, 0.0)


def test_the_answer_is_that_of_the_image_itself() -> None:
    """Nearly all members are class 1; the image is class 0, and that is what changes."""
    image = np.full((1, 4, 4), 127, np.uint8)
    certificate = certify_enumerated(detector((1, 4, 4), (0, 1, 1)), image, {"brightness": (0.0, 0.4)})
    assert certificate.reason == "attack found: 102 of 103 members are not class 0"


def spied(x: Image, attack: Any, border: str = "black") -> NDArray[Any]:
    """Every image that a callable is shown, in levels, in the order of the members."""
    shown: list[NDArray[Any]] = []

    def spy(batch: NDArray[np.float32]) -> NDArray[np.int64]:
        shown.append(np.rint(255 * batch.astype(float)))
        return np.zeros(len(batch), np.int64)

    certify_enumerated(spy, x, attack, border=border)  # the first time, the callable is tried on other rows too
    shown.clear()
    certificate = certify_enumerated(spy, x, attack, border=border)
    members = sum(certificate.evidence.estimation.values())
    return np.concatenate(shown[1:])[:members]  # behind the image itself


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.1), (0.2, 0.25), (0.001, 0.001), (-1, 1)])
def test_brightness_covers_every_level(low: float, high: float) -> None:
    """Every b of the interval, by a walk in steps of a tenth of a level at most: its image is among the members."""
    x = np.array([[100]], np.uint8)
    seen = {int(v) for v in spied(x, {"brightness": (low, high)}).ravel()}
    walked = {int(transforms.brightness(x, b)[0, 0]) for b in np.linspace(low, high, 5101)}
    assert seen == walked | {100}


@pytest.mark.parametrize("attack", [{"rotation": (-20, 20, 3), "brightness": 0.1}, {"translation": 2, "blur": 1.5}])
@pytest.mark.parametrize("border", ["black", "wrap", "reflect101", "replicate"])
def test_colours_first_and_last(attack: dict[str, Any], border: str) -> None:
    """Oracle: the attacker's functions on the image with its colours last; for colours first the same, moved."""
    x = RNG.integers(0, 256, (9, 8, 3), dtype=np.uint8)
    last, first = spied(x, attack, border), spied(np.moveaxis(x, 2, 0), attack, border)
    np.testing.assert_array_equal(np.moveaxis(last, 3, 1), first)
    members = Enumerate(Attack.of(attack), border).members()
    assert len(last) == len(members)
    for image, member in zip(last, members, strict=True):
        expected = x
        for name, value in zip(attack, member, strict=True):
            match name:
                case "translation":
                    expected = transforms.translate(expected, value[1], value[0], border)
                case "rotation":
                    expected = transforms.rotate(expected, value, border)
                case _:
                    expected = BY_HAND[name](expected, value)
        np.testing.assert_array_equal(image, expected)


def test_votes_do_not_depend_on_batch_or_threads() -> None:
    with np.load(IMAGES) as archive:
        image = archive["x"][7]
    votes = [
        certify_enumerated(
            OrtClassifier(MODEL, threads=threads, batch_size=size), image, {"rotation": (-60, 60, 121)}
        ).evidence.estimation
        for threads, size in ((1, 1), (1, 50), (2, 7), (2, 64))
    ]
    assert all(v == votes[0] for v in votes)
    assert len(votes[0]) > 1


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "endless": ({"contrast": (0.5, 2)}, "black", "contrast 0.5:2 has no end of members; give a grid, contrast=0.5:2:"),
    "endless rotation": ({"rotation": (-8, 8)}, "black", "give a grid, rotation=-8:8:POINTS"),
    "noise": ({"noise": 0.1}, "black", "expected a parameter to enumerate, got noise; certify it by smoothing"),
    "a grid of noise": ({"noise": (0, 0.1, 3)}, "black", "expected a parameter to enumerate, got noise"),
    "no name": ({"": 1.0}, "black", "expected a parameter of noise, brightness, .*, got $"),
    "grid of translations": ({"translation": (0, 3, 4)}, "black", "translation=RADIUS to enumerate, got 0:3:4"),
    "ring of translations": ({"translation": (1, 3)}, "black", "expected translation=RADIUS to enumerate, got 1:3"),
    "translation below 0": ({"translation": -1}, "black", "a radius of 0 to 500 pixels, got -1"),
    "far translation": ({"translation": 501}, "black", "a radius of 0 to 500 pixels, got 501"),
    "brighter than white": ({"brightness": (0, 1.1)}, "black", "brightness between -1 and 1 to enumerate, got 0:1.1"),
    "too many": ({"rotation": (0, 1, 5000), "gamma": (1, 2, 5000)}, "black", "at most 1,000,000 members, got 25,"),
    "border": ({"translation": 1}, "mirror", "black, wrap, reflect101, replicate, got 'mirror'"),
}  # fmt: skip


@pytest.mark.parametrize(("attack", "border", "message"), REFUSED.values(), ids=REFUSED)
def test_sets_that_cannot_be_enumerated(attack: dict[str, Any], border: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Enumerate(Attack.of(attack), border)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "attack",
    [{"contrast": (-1, 1, 3)}, {"gamma": 0}, {"blur": -1}, {"scaling": 0}, {"scaling": 1000}],
    ids=lambda a: next(iter(a)),
)
def test_members_that_no_pipeline_makes(digits: OrtClassifier, attack: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected a"):
        certify_enumerated(digits, np.zeros((32, 32), np.uint8), attack)


@pytest.mark.parametrize(
    ("x", "model"),
    [
        (np.zeros((32, 32), np.float32), MODEL.read_bytes()),
        (np.zeros(16, np.uint8), models.half_space((16,), np.ones(16), 0.0)),
        (np.zeros(16, np.uint8), models.half_space((1, 4, 4), np.ones(16), 0.0)),
    ],
    ids=["float", "vector", "vector for an image"],
)
def test_what_is_no_8_bit_image(x: NDArray[Any], model: bytes) -> None:
    with pytest.raises(DataError, match="enumerate: expected 8-bit images or 16-bit recordings, got") as error:
        certify_enumerated(OrtClassifier(model), x, {"brightness": 0.1})
    assert "\n" not in str(error.value)


def test_four_axes_are_no_image() -> None:
    with pytest.raises(DataError, match="enumerate: expected 8-bit images or 16-bit recordings, got"):
        certify_enumerated(lambda b: np.zeros(len(b), int), np.zeros((2, 3, 4, 5), np.uint8), {"translation": 1})


def test_members_are_no_sample(digits: OrtClassifier) -> None:
    """Nothing is random in an enumeration: what speaks of probabilities is refused, and the other way round."""
    x = np.zeros((32, 32), np.uint8)
    for ask in (
        lambda: certify(digits, UNSMOOTHED, x, n=1000, key=1),
        lambda: certify(digits, UNSMOOTHED, x, n=1000, key=1, attack={"brightness": 0.1}),
        lambda: certify_targets(digits, UNSMOOTHED, x, attack={"brightness": 0.1}),
        lambda: predict(digits, UNSMOOTHED, x, key=1),
    ):
        with pytest.raises(ValueError, match="without any, attacks are enumerated"):
            ask()
    algorithm, noise = Enumerate(Attack.of({"brightness": 0.1})), compose(Noise(0.5))
    evidence = run(algorithm, digits, UNSMOOTHED, x).evidence
    for ask in (lambda: run(algorithm, digits, noise, x), lambda: algorithm.decide(evidence, noise)):
        with pytest.raises(ValueError, match=r"^enumerate: expected no smoothing, .*, got noise0\.5; leave it out$"):
            ask()


RECIPES = {
    "two": Enumerate(Attack.of({"brightness": (-0.1, 0.1), "rotation": (-5, 5, 11)}), "reflect101"),
    "two, the other way": Enumerate(Attack.of({"rotation": (-5, 5, 11), "brightness": (-0.1, 0.1)})),
}


@pytest.mark.parametrize("algorithm", RECIPES.values(), ids=RECIPES)
def test_recipes_come_back_through_toml(algorithm: Enumerate) -> None:
    """In whatever order a file has the keys of its tables."""
    recipe = {"algorithm": algorithm.recipe, "smoothing": UNSMOOTHED.recipe}
    written = tomllib.loads(tomli_w.dumps(recipe))
    assert written == recipe
    turned = dict(reversed(written["algorithm"]["attack"].items()))
    for attack in (written["algorithm"]["attack"], turned):
        back = _algorithm_of(written | {"algorithm": written["algorithm"] | {"attack": attack}})
        assert back == algorithm
        assert isinstance(back, Enumerate)
        assert back.members() == algorithm.members()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attack": {"blur": {"low": 1.0, "high": 2.0}}, "order": ["blur"]}, "no end of members"),
        ({"attack": None}, "required field `attack`"),
        ({"border": "mirror"}, "expected one of black"),
        ({"mode": "enumerated"}, "expected a mode of"),
    ],
    ids=["endless attack", "no attack", "border", "mode"],
)
def test_recipes_of_no_enumeration(changed: dict[str, Any], message: str) -> None:
    recipe = {k: v for k, v in (RECIPES["two"].recipe | changed).items() if v is not None}
    if "attack" not in recipe:
        del recipe["order"]
    with pytest.raises((ValueError, RunError), match=message):
        _algorithm_of({"algorithm": recipe})


def test_the_order_belongs_to_the_question() -> None:
    """Turning, then moving is another set than moving, then turning: another key, and no run to continue."""
    attack = {"rotation": (-30, 30, 5), "translation": 2}
    recipes = []
    for names in (("rotation", "translation"), ("translation", "rotation")):
        algorithm = Enumerate(Attack.of({name: attack[name] for name in names}))
        recipes.append(
            {
                "model": {"sha256": "m", "output": "y", "preprocess": {}},
                "data": {"sha256": "d"},
                "smoothing": UNSMOOTHED.recipe,
                "algorithm": algorithm.recipe,
                "nonce": "n",
            }
        )
    assert run_key(recipes[0]) != run_key(recipes[1])
    assert differences(recipes[0], recipes[1])


def test_samples_and_largest_claim() -> None:
    algorithm = Enumerate(Attack.of({"translation": 2}))
    assert algorithm.samples(UNSMOOTHED) == (14, 14)
    assert math.isinf(algorithm.largest(UNSMOOTHED))
    asked = {"attack": {"translation": {"low": 2.0, "high": 2.0}}, "order": ["translation"], "border": "black"}
    said = {"options": {"translation": {"interpolation": "bilinear"}}}
    assert algorithm.recipe == {"mode": "enumerate", "alpha": 0.0, **asked, **said}
