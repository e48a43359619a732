"""The conventions of a denoiser: how its file takes a noisy image, and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import require, require_number
from ..files.documents import built

SIGMA, STEP = "sigma", "step"  # what an input may get besides a number
_CHOICES = {"output": ("image", "noise"), "channels": ("rgb", "bgr"), "variance": ("none", "learned")}
_SCHEDULES = ("linear", "cosine")
_FILES = ("sha256", "model", "preprocess")  # in recipes and metadata, beside the conventions
_INPUT = "input."
_LARGEST, _LEAST = 1e6, 1e-6  # number that a denoiser is given, and product of alphas, that anyone has
_WORDS = "range=LOW:HIGH, output=, channels=, diffusion=, steps=, variance=, clip= and input.NAME="


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """From z, an image in [0,1] with noise on it, to what a denoiser's file takes, and from what it gives to an image.

    `range`: where the file has 0 and 1. `output`: it gives the clean `image`, or the `noise`. `diffusion`: it was
    trained to invert a diffusion, by the `linear` or the `cosine` schedule of `steps` steps (Ho et al. 2020; Nichol and
    Dhariwal 2021), or by a product of alphas, abar, that is given itself. It then gets sqrt(abar) z for that step whose
    noise is that of z, images in [-1,1], and gives noise of deviation 1, unless `range` and `output` say otherwise.
    `sigma`: standard deviation of the noise on z. `inputs`: what inputs beside the image get: a number, "sigma", the
    noise's deviation in the file's own range, or "step", the time step. `variance`: `learned` where the output has
    twice the channels, of which the first half counts. `clip`: the clean image is clipped to [0,1], which is what the
    classifier was trained on. `channels`: the file's order of colours; images are rgb.

    Whatever is said here, the classifier behind the denoiser is a deterministic function of z: a convention that is not
    the file's costs accuracy, never soundness. Raises `ArgumentError`.
    """

    sigma: float | None = None
    range: tuple[float, float] | None = None
    output: str = ""
    channels: str = "rgb"
    diffusion: str | float = ""
    steps: int = 1000
    variance: str = "none"
    clip: bool = True
    inputs: Mapping[str, float | str] | None = None

    def __post_init__(self) -> None:
        low, high = self.range or ((-1.0, 1.0) if self.diffusion else (0.0, 1.0))
        object.__setattr__(self, "range", (low, high))
        object.__setattr__(self, "output", self.output or ("noise" if self.diffusion else "image"))
        object.__setattr__(self, "inputs", dict(self.inputs or {}))
        require_number("denoiser: range", low, high)
        require(-_LARGEST < low < high < _LARGEST, f"denoiser: expected range=LOW:HIGH, such as -1:1, got {low}:{high}")
        for name, choices in _CHOICES.items():
            got = getattr(self, name)
            require(got in choices, f"denoiser: expected {name}={' or '.join(choices)}, got {got!r}")
        require_number("denoiser: steps", self.steps, whole=True)
        require(1 < self.steps <= 100_000, f"denoiser: expected steps of 2 to 100000, got {self.steps}")
        if self.sigma is not None:
            require_number("denoiser_sigma", self.sigma)
            require(0 < self.sigma < math.inf, f"denoiser_sigma: expected a number above 0, got {self.sigma}")
        self._require_diffusion()
        for name, value in self.values.items():
            fine = value in (SIGMA, STEP) or (isinstance(value, int | float) and abs(value) < _LARGEST)
            expected = f"{_INPUT}{name}=VALUE, a number, sigma or step"
            require(fine, f"denoiser: expected {expected}, got {value!r}")
            require(value != STEP or self.scheduled, f"denoiser: {_INPUT}{name}=step needs diffusion=linear or cosine")

    def _require_diffusion(self) -> None:
        known = self.diffusion in ("", *_SCHEDULES) or isinstance(self.diffusion, float | int)
        expected = "diffusion=linear, cosine or a product of alphas between 0 and 1"
        require(known, f"denoiser: expected {expected}, got {self.diffusion!r}")
        require(self.scheduled or self.steps == 1000, "denoiser: steps needs diffusion=linear or cosine; leave it out")
        if isinstance(self.diffusion, float | int):
            require(_LEAST < self.diffusion < 1, f"denoiser: expected {expected}, got {self.diffusion}")

    @staticmethod
    def of(words: str, sigma: float | None = None) -> Denoiser:
        """From `range=-1:1,output=noise,input.t=step`; all by default of an empty text."""
        found: dict[str, Any] = {}
        inputs: dict[str, float | str] = {}
        for word in words.split(",") if words else ():
            name, _, value = word.rpartition("=")
            if name.startswith(_INPUT):
                require(
                    name.removeprefix(_INPUT) not in inputs, f"denoiser: expected {name} once, got {word!r} as well"
                )
                inputs[name.removeprefix(_INPUT)] = value if value in (SIGMA, STEP) else _number(word, value)
                continue
            known = name in _READ and name not in found
            require(known, f"denoiser: expected {_WORDS}, each once, with commas between, got {word!r}")
            found[name] = _READ[name](word, value)
        return Denoiser(sigma=sigma, inputs=inputs, **found)

    @staticmethod
    def of_recipe(recipe: Mapping[str, Any]) -> Denoiser:
        """The conventions that `recipe` wrote, files beside them; `ArgumentError` for anything else."""
        return built({name: value for name, value in recipe.items() if name not in _FILES}, Denoiser, "denoiser")

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values; unset ones left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"range": list(self.ends), "steps": self.steps if self.scheduled else None}
        return {name: value for name, value in values.items() if value not in (None, "", {}, "none")}

    @property
    def ends(self) -> tuple[float, float]:
        """What the file has for 0 and 1."""
        assert self.range is not None
        return self.range

    @property
    def values(self) -> Mapping[str, float | str]:
        """`inputs`, none where there are none."""
        return self.inputs or {}

    @property
    def scheduled(self) -> bool:
        """Whether there are time steps."""
        return self.diffusion in _SCHEDULES

    @property
    def deviation(self) -> float:
        """Of the noise, in the file's own range; `ArgumentError` where `sigma` is not known."""
        require(
            self.sigma is not None,
            "denoiser_sigma: expected the standard deviation of the noise, which this denoiser is told, got none",
        )
        return (self.sigma or 0.0) * (self.ends[1] - self.ends[0])

    @property
    def step(self) -> int:
        """The step whose noise is nearest to that of z, by its logarithm; `ArgumentError` beyond the schedule."""
        ratios = np.log(_ratio(_products(str(self.diffusion), self.steps)))
        wanted = math.log(self.deviation)
        least, most = (math.exp(end) / (self.ends[1] - self.ends[0]) for end in (ratios[0], ratios[-1]))
        inside = ratios[0] - 0.5 <= wanted <= ratios[-1]
        require(inside, f"denoiser_sigma: expected {least:.3g} to {most:.3g} for this schedule, got {self.sigma}")
        return int(np.abs(ratios - wanted).argmin())

    @property
    def abar(self) -> float | None:
        """The product of alphas at that step, or the one given; None for what is no diffusion."""
        if isinstance(self.diffusion, float | int):
            return float(self.diffusion)
        return float(_products(self.diffusion, self.steps)[self.step]) if self.scheduled else None

    def value(self, name: str) -> float:
        """The number that an input beside the image gets."""
        asked = self.values[name]
        return float(self.step) if asked == STEP else self.deviation if asked == SIGMA else float(asked)

    @property
    def into(self) -> tuple[float, float]:
        """(a, b): the file gets a z + b."""
        (low, high), gain = self.ends, math.sqrt(self.abar or 1.0)
        return gain * (high - low), gain * low

    @property
    def back(self) -> tuple[float, float, float]:
        """(p, q, r): the clean image is p v + q y + r, where the file got v and gave y."""
        (low, high), abar = self.ends, self.abar
        width = high - low
        if self.output == "image":
            return 0.0, 1 / width, -low / width
        if abar is None:
            return 1 / width, -1 / width, -low / width
        return 1 / (math.sqrt(abar) * width), -math.sqrt((1 - abar) / abar) / width, -low / width

    def __str__(self) -> str:
        low, high = self.ends
        words = [f"images in {low:g}:{high:g}", f"gives the {self.output}"]
        words += [] if self.sigma is None else [f"for noise of {self.sigma:g}"]
        words += [f"time step {self.step} of {self.steps}"] if self.scheduled else []
        words += [] if self.abar is None else [f"abar {self.abar:.4g}"]
        words += [f"{name} = {self.value(name):g}" for name in self.values]
        return ", ".join(words)


def _number(word: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        found = None
    require(found is not None, f"denoiser: expected a number in {word!r}, got {value!r}")
    return 0.0


def _ends(word: str, value: str) -> tuple[float, float]:
    low, colon, high = value.partition(":")
    require(bool(colon), f"denoiser: expected range=LOW:HIGH, such as -1:1, got {word!r}")
    return _number(word, low), _number(word, high)


def _steps(word: str, value: str) -> int:
    require(value.isascii() and value.isdigit(), f"denoiser: expected a whole number of steps, got {word!r}")
    return int(value)


def _clip(word: str, value: str) -> bool:
    require(value in ("yes", "no"), f"denoiser: expected clip=yes or clip=no, got {word!r}")
    return value == "yes"


_READ: dict[str, Callable[[str, str], Any]] = {
    "range": _ends,
    "steps": _steps,
    "clip": _clip,
    "diffusion": lambda word, value: value if value in _SCHEDULES else _number(word, value),
    **dict.fromkeys(_CHOICES, lambda _, value: value),
}


def _ratio(abar: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviation of the noise beside an image of gain 1."""
    return np.asarray(np.sqrt((1 - abar) / abar))


def _products(schedule: str, steps: int) -> NDArray[np.float64]:
    """abar of each step: beta from 1e-4 to 0.02 over 1000 steps, or cosine with offset 0.008, beta at most 0.999."""
    if schedule == "linear":
        beta = np.minimum(np.linspace(1e-4, 0.02, steps) * 1000 / steps, 0.999)
    else:
        at = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
        beta = np.minimum(1 - at[1:] / at[:-1], 0.999)
    return np.asarray(np.cumprod(1 - beta))
