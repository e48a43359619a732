"""Certify one input from Python: `certify`, `certify_radius`, `certify_targets`, `predict`."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .algorithms import PILOT, Algorithm, Enumerate, Fixed, Predict, Radius, Target, why_only_abstain
from .bounds.confidence import Bound
from .certificate import Certificate
from .errors import ArgumentError, first_line, require, require_number
from .inputs.input import Input
from .inputs.levels import EIGHT_BIT
from .model.classifier import OrtClassifier, as_classifier
from .model.labels import Classifier
from .sampling import Sampler
from .smoothing import UNSMOOTHED, AnyAttack, Attack, Part, Smoothing, compose

LEVELS = (
    "the inputs look like 8-bit levels (whole numbers up to 255) held as floats: a radius of 1 is then one level of "
    "255; as uint8 they would get radii in [0,1] intensities and integer noise"
)
BaseClassifier = Classifier | Callable[[NDArray[np.float32]], Any]


def certify(
    classifier: BaseClassifier,
    smoothing: Smoothing | Part,
    x: NDArray[Any],
    *,
    n0: int = 100,
    n: int = 100_000,
    alpha: float = 0.001,
    key: int | None = None,
    index: int = 0,
    bound: Bound = "one-sided",
    attack: AnyAttack | None = None,
) -> Certificate:
    """Certify one input by CERTIFY of Cohen et al.

    `x`: one input without batch axis, uint8 (integer noise, radius in [0,1] intensities) or float (its own units).
    `attack`: the set to certify, such as `{"contrast": (0.5, 2), "brightness": (-0.2, 0.2)}`; without it, smoothings of
    one parameter get the largest radius.
    `key`: 64-bit run key, fresh from the operating system by default; with the same key and `index` the same votes
    come again. With probability at least 1 - alpha, the prediction is ABSTAIN or the smoothed classifier's answer
    everywhere within the radius.

    >>> import numpy as np
    >>> from smoothcert import Noise, certify
    >>> halfspace = lambda batch: (batch.sum(axis=1) > 1).astype(int)
    >>> c = certify(halfspace, Noise(0.5), np.zeros(4, np.float32), n=10_000, key=1)
    >>> c.prediction, 0.4 < c.radius < 0.5  # the plane is 1 / sqrt(4) away
    (0, True)
    """
    asked = None if attack is None else Attack.of(attack)
    return run(Fixed(n0, n, alpha, bound, asked), classifier, smoothing, x, key=key, index=index)


def certify_radius(
    classifier: BaseClassifier,
    smoothing: Smoothing | Part,
    x: NDArray[Any],
    *,
    n0: int = PILOT,
    n: int = 100_000,
    alpha: float = 0.001,
    key: int | None = None,
    index: int = 0,
    bound: Bound = "one-sided",
) -> Certificate:
    """As `certify`, with a pilot that chooses how many of the n samples are worth drawing. See `Radius`."""
    return run(Radius(n0, n, alpha, bound), classifier, smoothing, x, key=key, index=index)


def certify_targets(
    classifier: BaseClassifier,
    smoothing: Smoothing | Part,
    x: NDArray[Any],
    radii: Sequence[float] = (),
    *,
    attack: AnyAttack | None = None,
    n: int = 100_000,
    alpha: float = 0.001,
    key: int | None = None,
    index: int = 0,
) -> Certificate:
    """The largest of the ascending `radii`, or the one `attack`, that n samples at most certify. See `Target`."""
    asked = None if attack is None else Attack.of(attack)
    require(np.ndim(radii) == 1, f"radii: expected a list of numbers, got {radii!r:.99}")
    return run(Target(tuple(radii), n, alpha, asked), classifier, smoothing, x, key=key, index=index)


def predict(
    classifier: BaseClassifier,
    smoothing: Smoothing | Part,
    x: NDArray[Any],
    *,
    n: int = 1000,
    alpha: float = 0.001,
    key: int | None = None,
    index: int = 0,
) -> Certificate:
    """The smoothed classifier's answer at x, wrong with probability at most alpha, or ABSTAIN. See `Predict`."""
    return run(Predict(n, alpha), classifier, smoothing, x, key=key, index=index)


def certify_enumerated(
    classifier: BaseClassifier, x: NDArray[Any], attack: AnyAttack, *, border: str = "black"
) -> Certificate:
    """The base classifier's answer for an 8-bit image under every attack of a finite set, exact; see `Enumerate`."""
    return run(Enumerate(Attack.of(attack), border), classifier, UNSMOOTHED, x, key=0)


def run(
    algorithm: Algorithm,
    classifier: BaseClassifier,
    smoothing: Smoothing | Part,
    x: NDArray[Any],
    *,
    key: int | None = None,
    index: int = 0,
) -> Certificate:
    """Draw and decide for one input; warn where it looks like levels held as floats.

    `ArgumentError` for an algorithm that could only abstain.
    """
    if isinstance(smoothing, Part):
        smoothing = compose(smoothing)
    require(
        isinstance(smoothing, Smoothing),
        f"smoothing: expected a smoothing, such as Noise(0.5), got {type(smoothing).__name__}",
    )
    key = secrets.randbits(64) if key is None else key
    require_number("key", key, whole=True)
    require_number("index", index, whole=True)
    try:
        x = np.asarray(x)
    except ValueError as error:  # rows of unequal length
        raise ArgumentError(f"x: expected one array, got: {first_line(error)}") from None
    prepared = as_classifier(classifier).prepare(x)
    found = certify_input(algorithm, classifier, smoothing, prepared, key=key, index=index)
    if in_levels(classifier, [x]):
        warnings.warn(LEVELS, stacklevel=3)
    return found


def in_levels(classifier: BaseClassifier, inputs: Iterable[NDArray[Any]]) -> bool:
    """Whether float images, for a model that names no input range, look like 8-bit levels: whole, from 0 to 255."""
    if isinstance(classifier, OrtClassifier) and classifier.card.input_range is not None:
        return False
    xs = [x for x in inputs if x.dtype.kind == "f" and x.ndim > 1 and x.size]
    whole = all(map(EIGHT_BIT.are_in, xs))
    return whole and max((float(x.max()) for x in xs), default=0.0) > 1


def certify_input(
    algorithm: Algorithm, classifier: BaseClassifier, smoothing: Smoothing, x: Input, *, key: int, index: int
) -> Certificate:
    """As `run`, for an input that the classifier has prepared."""
    best = smoothing.favourable
    require(algorithm.largest(best) > 0, why_only_abstain(algorithm, best))
    smoothing = smoothing.of_input(x) if algorithm.certifies else smoothing  # attacked inputs have no bounds
    sampler = sampler_of(algorithm, as_classifier(classifier), smoothing, x, key=key, index=index)
    require_one_function(classifier, sampler, smoothing)
    return algorithm.decide(algorithm.draw(sampler, smoothing), smoothing)


def sampler_of(
    algorithm: Algorithm, classifier: Classifier, smoothing: Smoothing, x: Input, *, key: int, index: int
) -> Sampler:
    """The votes that the algorithm asks for."""
    return Sampler(smoothing.voter(classifier), algorithm.perturbation(smoothing), x, key, index, smoothing.evidence)


_tried: WeakKeyDictionary[Any, set[tuple[Any, ...]]] = WeakKeyDictionary()


def require_one_function(
    classifier: BaseClassifier, sampler: Sampler, smoothing: Smoothing, others: Iterable[Input] = ()
) -> None:
    """As `Sampler.require_one_function`, asked once for each shape of an input and each smoothing."""
    x = sampler.x
    case = (x.values.shape, x.values.dtype, smoothing.guarantee, smoothing.label)
    try:
        known = _tried.setdefault(classifier, set())
    except TypeError:  # a callable that cannot be remembered
        known = set()
    if case not in known:
        sampler.require_one_function(others)
        known.add(case)
