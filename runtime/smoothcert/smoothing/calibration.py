"""What a certificate needs of a calibration file: which error was measured, and what may be claimed with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cv2

from ..bounds.error_rule import ErrorBounds
from ..errors import CalibrationError, DataError, require
from ..inputs.spatial import Raw, Spatial
from ..transforms.sound import libraries
from .attack import Attack
from .part import Part
from .ranges import Range

STRATEGIES: Mapping[str, str] = {
    "dataset-sampling": "on average over inputs and attacks: inputs drawn like the calibration's, attacks drawn evenly "
    "from {attack}",
    "dataset-worst": "on average over inputs drawn like the calibration's, for the attacks {attack}",
    "input-sampling": "for this input, for the attacks {attack}",
    "input-global": "for this input, for {attack}, as far as a search found: heuristic, not a proof",
}  # how the error was measured, and what a certificate may then claim


@dataclass(frozen=True)
class Calibration:
    """What a certificate needs of a calibration file, and echoes.

    `attack` is the range measured, beyond which nothing is certified; `bounds` hold together with probability
    `confidence`, and are empty where every input has its own, in `inputs` by the input's SHA-256. `parts` is what was
    measured, as descriptions; the rest of the pipeline is `spatial`, `colours` and OpenCV's version. `sizes`:
    least and greatest height, then width, of the raw images measured (of recordings 1, then samples); unknown where
    empty. Of recordings there are `rate`, in Hz where it is known, and `libraries` with their versions, too.
    """

    sha256: str
    strategy: str
    confidence: float
    attack: Attack
    spatial: Spatial
    colours: int
    opencv: str
    sizes: tuple[tuple[int, int], ...] = ()
    rate: int | None = None
    libraries: tuple[tuple[str, str], ...] = ()
    bounds: ErrorBounds = ()
    inputs: Mapping[str, ErrorBounds] = field(default_factory=dict, compare=False, repr=False)
    parts: tuple[Mapping[str, Any], ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        require(self.strategy in STRATEGIES, f"strategy: expected {', '.join(STRATEGIES)}, got {self.strategy!r}")
        require(0.5 < self.confidence < 1, f"confidence: expected 0.5 to 1, got {self.confidence:g}")
        pairs = [*self.bounds, *(pair for bounds in self.inputs.values() for pair in bounds)]
        sound = all(0 <= bound < math.inf and 0 <= e <= 1 for bound, e in pairs)
        require(sound, "calibration: expected errors >= 0, each with a probability, got others; measure again")

    @property
    def on_grid(self) -> bool:
        """Whether every attack of a grid was measured, and nothing between."""
        return self.strategy in ("dataset-worst", "input-sampling")

    def require_points(self) -> Calibration:
        """Itself; `ArgumentError` unless its attack has points in every range, or in none, as the strategy measures."""
        fits = all((r.points is not None) == self.on_grid for _, r in self.attack)
        want = "points in every range" if self.on_grid else "no points, for it measures intervals"
        require(fits, f"calibration: expected an attack with {want} with {self.strategy}, got {self.attack}")
        return self

    @property
    def per_input(self) -> bool:
        """Whether each input has bounds of its own."""
        return self.strategy.startswith("input")

    @property
    def rho(self) -> float:
        """Probability that the bounds are wrong."""
        return 1 - self.confidence

    @property
    def errors(self) -> ErrorBounds:
        """The bounds where they belong to the evidence of one input; none where all inputs share them."""
        return self.bounds if self.per_input else ()

    def require_bounds(self) -> None:
        """`CalibrationError` where each input has bounds of its own and the file that holds them is missing."""
        if self.per_input and not self.bounds and not self.inputs:
            raise CalibrationError(
                f"calibration: expected the file with SHA-256 {self.sha256}, for each input has error bounds of its "
                "own there, got none; pass `calibration`"
            )

    def of_input(self, sha256: str) -> Calibration:
        """With the bounds of that input, where each has its own; `DataError` for an input that has none."""
        if not self.per_input or self.bounds:
            return self
        if sha256 not in self.inputs:
            raise DataError(
                "calibration: expected an input that was calibrated, for the strategy is "
                f"{self.strategy}, got another; calibrate these data, or use a dataset strategy"
            )
        return replace(self, bounds=self.inputs[sha256])

    @property
    def favourable(self) -> Calibration:
        """With the bounds of the input that it suits best: what a run can reach at most."""
        if not self.per_input or self.bounds:
            return self
        return replace(self, bounds=tuple({pair for bounds in self.inputs.values() for pair in bounds}))

    @property
    def claim(self) -> str:
        """What certificates may claim, in words."""
        return STRATEGIES[self.strategy].format(attack=self.attack)

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "sha256": self.sha256, "strategy": self.strategy, "claim": self.claim, "confidence": self.confidence,
            "attack": self.attack.recipe, "spatial": self.spatial.recipe, "colours": self.colours,
            "opencv": self.opencv, "sizes": [list(side) for side in self.sizes],
            **self.of_sound,
            **({} if self.per_input else {"bounds": [list(pair) for pair in self.bounds]}),
        }  # fmt: skip

    @property
    def of_sound(self) -> dict[str, Any]:
        """Sample rate and libraries, as far as they are known: nothing for images."""
        known = {"rate": self.rate, "libraries": dict(self.libraries)}
        return {name: value for name, value in known.items() if value}

    @staticmethod
    def of(recipe: Mapping[str, Any]) -> Calibration:
        """The calibration that `recipe` wrote; `KeyError`, `TypeError` or `ValueError` for anything else."""
        values = {k: v for k, v in recipe.items() if k not in ("claim", "error_rule")}
        values["attack"] = Attack.of(values["attack"])
        values["spatial"] = Spatial.of(values["spatial"])
        values["sizes"] = tuple((int(least), int(most)) for least, most in values["sizes"])
        values["libraries"] = tuple(sorted(values.get("libraries", {}).items()))
        values["bounds"] = tuple((float(bound), float(e)) for bound, e in values.get("bounds", ()))
        return Calibration(**values).require_points()

    def require_parts(self, parts: tuple[Part, ...]) -> None:
        """`CalibrationError` where the file measured other parts."""
        here = [plain(part.description) for part in parts]
        there = [plain(part) for part in self.parts]
        if here != there:
            raise CalibrationError(
                f"calibration: made for {_texts(there)}, got {_texts(here)}; calibrate this pipeline"
            )

    def require_measured(self, parts: tuple[Part, ...], attack: Attack) -> None:
        """`ValueError` where the attack, with the identities of parts it leaves out, holds more than was measured."""
        asked, limits = dict(attack), dict(self.attack)
        for part in parts:
            name, still = part.name, Range(part.value(0.0), part.value(0.0))
            r, limit = asked.get(name, still), limits.get(name, still)
            inside = r.high <= limit.high and (r.low >= limit.low or not part.signed)
            values = part.transforms.listed(r)
            got = str(r) if name in asked else f"none, which leaves it at {r}; name {name} in the attack, too"
            require(inside, f"attack: expected {name} within {limit}, which was calibrated, got {got}; calibrate more")
            if limit.points:
                held = r == limit or (values is not None and not part.transforms.grid(limit).lacks(values))
                want = f"{name} at points of the grid {limit}, which alone were calibrated"
            else:
                held = values is None or self.strategy != "dataset-sampling" or name not in limits
                want = f"an interval of {name}, for attacks were drawn evenly from {limit} and single values never are"
            require(held, f"attack: expected {want}, got {got}")

    def require_way(self, raw: Raw) -> None:
        """`CalibrationError` where the raw image goes another way to the model, `DataError` for another size."""
        if raw.spatial != self.spatial:
            raise CalibrationError(
                f"calibration: made for the preprocessing {self.spatial.recipe or 'none'}, "
                f"got {raw.spatial.recipe or 'none'}; calibrate this pipeline"
            )
        if raw.colours != self.colours:
            raise CalibrationError(f"calibration: made for images of {self.colours} colours, got {raw.colours}")
        height, width = raw.sides
        inside = all(a <= n <= b for (a, b), n in zip(self.sizes, (height, width), strict=False))
        if not inside:
            sizes = [f"{a:,} to {b:,}" if a < b else f"{a:,}" for a, b in self.sizes]
            on_images, samples = raw.image.ndim > 1, f"recordings of {sizes[-1]} samples"
            made = f"raw images of {' x '.join(sizes)} pixels" if on_images else samples
            raise DataError(f"calibration: made for {made}, got {raw.size}; calibrate those")

    def require_libraries(self, fix: str = "calibrate again") -> None:
        """`CalibrationError` where another OpenCV measured, or, of recordings, another NumPy, SciPy or librosa."""
        there, here = {"OpenCV": self.opencv, **dict(self.libraries)}, {"OpenCV": cv2.__version__, **dict(libraries())}
        for name, made in there.items():
            if made != here.get(name):
                what = "pixels" if name == "OpenCV" else "samples"
                raise CalibrationError(
                    f"calibration: made with {name} {made}, got {here.get(name)}, whose {what} may differ; {fix}"
                )

    def require_rate(self, rate: int | None) -> None:
        """`CalibrationError` for recordings of another sample rate, where both are known."""
        if None not in (self.rate, rate) and self.rate != rate:
            raise CalibrationError(
                f"calibration: made for recordings at {self.rate} Hz, got {rate} Hz; calibrate the data at that rate"
            )


def plain(description: Mapping[str, Any]) -> dict[str, Any]:
    """What determines a part, of its description: all but the unit, which is there for people."""
    return {k: v for k, v in description.items() if k != "unit"}


def _texts(descriptions: list[dict[str, Any]]) -> str:
    return " then ".join(",".join(f"{k}={v}" for k, v in d.items()) for d in descriptions) or "nothing"
