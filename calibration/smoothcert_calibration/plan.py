"""What a calibration measures, over which inputs: all that its file depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from smoothcert import __version__
from smoothcert.calibration_file import FORMAT, SEARCHED, VERSION
from smoothcert.draws import Stream
from smoothcert.errors import DataError, require
from smoothcert.inputs.datasets import Dataset, Example, selection
from smoothcert.inputs.levels import EIGHT_BIT, PCM16, Levels, levels_of
from smoothcert.inputs.spatial import PLAIN, Raw, Spatial
from smoothcert.model.preprocess import raw_image
from smoothcert.runs.recipe import differences
from smoothcert.smoothing import Attack, Calibration, Noise, Part
from smoothcert.smoothing.calibrated import Calibrated
from smoothcert.smoothing.calibration import STRATEGIES
from smoothcert.smoothing.perturbation import drawn
from smoothcert.transforms.sound import libraries

from .attacks import drawn_attack, ordered

_SMOOTHING, _ATTACK = 0, 1  # stages of the draws b and g
EVALUATIONS = 2000  # of `input-global`, for an input
DRAWS = {"dataset-sampling": 1, "dataset-worst": 1, "input-sampling": 1000, "input-global": 1}
_MEANING = (
    "errors[i, j, k]: l2 norm, in [0,1] intensities and rounded up, of P(T_b(T_g(x))) - P(T_{b+g}(x)) for the i-th "
    "input x, "
)
_MEANINGS = {
    "dataset-sampling": "the j-th draw b of the smoothing's laws, and one attack g for each input, drawn evenly from "
    "the range in the coordinate where attacks add up (logarithms of factors, the disc of translations)",
    "dataset-worst": "the j-th draw b of the smoothing's laws, and the k-th of `attacks` as g",
    "input-sampling": "the j-th draw b of the smoothing's laws, and the k-th of `attacks` as g",
    "input-global": f"the largest that a search found over g in the range and b within {SEARCHED:g} standard "
    "deviations on each axis; `found`: where, as [g, b]",
}
_VALUES = {
    EIGHT_BIT: "8 bits: each transformation and each step of P rounds to nearest and saturates at 0 and 255; then /255",
    PCM16: "16 bits: each transformation rounds to nearest and saturates at -32768 and 32767; then /32768",
}


_MEASURED = frozenset({"inputs", "found", "read", "sizes", "shape", "sha256"})  # of a head, known when all is measured
_DERIVED = {"claim", "meaning", "attacks"}  # of a head, follow from the rest


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One measurement. `parts` as in the smoothing, without its noise; `attack` the range G, in the parts' order.

    `data` names the data set: name, sha256, inputs. `draws` of the smoothing for each input; `evaluations` of the
    search for each, for `input-global` alone. `rate` in Hz, of recordings, where the data or the model says it.
    `ValueError` for what cannot be calibrated. Made by `plan_of`.
    """

    parts: tuple[Part, ...]
    attack: Attack
    colours: int
    levels: Levels = EIGHT_BIT
    rate: int | None = None
    data: Mapping[str, Any]
    strategy: str = "dataset-sampling"
    draws: int = 1
    evaluations: int = EVALUATIONS
    confidence: float = 0.999
    seed: int = 0
    spatial: Spatial = PLAIN
    skip: int = 0
    limit: int | None = None
    shard: str = "1/1"
    indices: range = field(init=False)
    grid: tuple[tuple[Any, ...], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require(len(self.parts) > 0, "calibration: expected at least one part, such as rotation=5, got none")
        noise = any(isinstance(part, Noise) for part in self.parts)
        require(not noise, "calibration: expected parts without noise, which follows what is measured; leave it out")
        Calibrated((*self.parts, Noise(1.0)), calibration=self.calibration)
        for part in self.parts:
            part.transforms.require_levels(self.levels, self.levels.name)
        require(0 <= self.seed < 2**63, f"seed: expected 0 to 2**63, got {self.seed}")
        require(1 <= self.draws <= 10_000_000, f"draws: expected at least 1, got {self.draws}")
        alone = self.strategy != "input-global" or self.draws == 1
        require(alone, f"draws: expected none with input-global, which searches, got {self.draws}; leave it out")
        require(self.evaluations >= 100, f"evaluations: expected at least 100, got {self.evaluations}")
        object.__setattr__(self, "attack", ordered(self.parts, self.attack, self.calibration.on_grid))
        object.__setattr__(self, "grid", self.attack.points if self.calibration.on_grid else ())
        size, wanted = self.data["inputs"], self.skip + (self.limit or 1)
        if size < wanted:
            name = self.data["name"]
            raise DataError(f"{name}: expected at least {wanted} inputs (`skip`, `limit`), got {size}; ask for fewer")
        chosen = selection(size, skip=self.skip, limit=self.limit, shard=self.shard)
        require(len(chosen) > 0, f"shard: expected at least one input in each shard, got none in {self.shard}")
        object.__setattr__(self, "indices", chosen)

    @property
    def calibration(self) -> Calibration:
        """What certificates will know of it, but for what is measured."""
        of_sound = libraries() if self.levels is PCM16 else ()
        return Calibration(
            "",
            self.strategy,
            self.confidence,
            self.attack,
            self.spatial,
            self.colours,
            cv2.__version__,
            rate=self.rate,
            libraries=of_sound,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the errors: inputs, draws, attacks."""
        return len(self.indices), self.draws, len(self.grid) or 1

    @property
    def pipeline(self) -> dict[str, Any]:
        """What certification must share with the calibration."""
        return {
            "parts": [part.description | {"scale": float(part.scale)} for part in self.parts],
            "spatial": self.spatial.recipe,
            "colours": self.colours,
            "opencv": cv2.__version__,
            **self.calibration.of_sound,
            "values": _VALUES[self.levels],
        }

    @property
    def head(self) -> dict[str, Any]:
        """The file's head but for what is known in the end: the inputs of per-input strategies, shape and checksum."""
        head = {
            "format": FORMAT,
            "version": VERSION,
            "written_by": f"smoothcert {__version__}",
            "strategy": self.strategy,
            "claim": self.calibration.claim,
            "meaning": _MEANING + _MEANINGS[self.strategy],
            "pipeline": self.pipeline,
            "attack": self.attack.recipe,
            **({"attacks": self.grid} if self.calibration.on_grid else {}),
            "seed": self.seed,
            "confidence": self.confidence,
            "draws": self.draws,
            **({"evaluations": self.evaluations} if self.strategy == "input-global" else {}),
            "data": {name: self.data[name] for name in ("name", "sha256", "inputs")},
            "selection": {"skip": self.skip, "limit": self.limit, "shard": self.shard},
            "dtype": "<f4",
            "order": "C",
            "compression": "gzip",
        }
        plain: dict[str, Any] = json.loads(json.dumps(head))
        return plain

    @cached_property
    def key(self) -> int:
        """64 bits of SHA-256 of all that determines the draws: seed, pipeline, strategy, attack."""
        text = json.dumps([self.seed, self.pipeline, self.strategy, self.attack.recipe], sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def drawn(self, index: int) -> list[tuple[Any, ...]]:
        """The smoothing's draws for the input of that index."""
        return drawn(self.parts, Stream(self.key, index, _SMOOTHING), 0, self.draws)

    def attacks(self, index: int) -> tuple[tuple[Any, ...], ...]:
        """The attacks measured for the input of that index."""
        return self.grid or (drawn_attack(self.parts, self.attack, Stream(self.key, index, _ATTACK)),)

    def raw(self, example: Example) -> Raw:
        """The input as an attacker finds it; `DataError` for one of other levels or colours than the plan's."""
        found = _eight_bit(example, self.spatial, self.colours)
        if not self.levels.hold(found.image):
            got = f"{found.image.dtype} values of shape {found.image.shape}"
            raise DataError(f"{example.name}: expected {self.levels.name} as the first input, got {got}")
        return found


def plan_of(
    data: Dataset,
    name: str,
    parts: tuple[Part, ...],
    attack: Attack,
    *,
    strategy: str = "dataset-sampling",
    draws: int | None = None,
    evaluations: int | None = None,
    confidence: float = 0.999,
    seed: int = 0,
    spatial: Spatial = PLAIN,
    skip: int = 0,
    limit: int | None = None,
    shard: str = "1/1",
) -> Plan:
    """The plan over a data set; its first input says how many colours there are. `draws` None: the strategy's own."""
    require(strategy in STRATEGIES, f"strategy: expected {', '.join(STRATEGIES)}, got {strategy!r}")
    searches = strategy == "input-global"
    require(searches or evaluations is None, f"evaluations: expected with input-global alone, got {strategy}")
    first = _eight_bit(data.load(min(max(skip, 0), len(data) - 1)), spatial)
    return Plan(
        parts=parts,
        attack=attack,
        colours=first.colours,
        levels=levels_of(first.image) or EIGHT_BIT,
        rate=data.rate,
        data={"name": name, "sha256": data.sha256, "inputs": len(data)},
        strategy=strategy,
        draws=DRAWS[strategy] if draws is None else draws,
        evaluations=EVALUATIONS if evaluations is None else evaluations,
        confidence=confidence,
        seed=seed,
        spatial=spatial,
        skip=skip,
        limit=limit,
        shard=shard,
    )


def _eight_bit(example: Example, spatial: Spatial, colours: int | None = None) -> Raw:
    raw = raw_image(np.asarray(example.x), spatial)
    if raw is None:
        x = example.x
        raise DataError(
            f"{example.name}: expected an 8-bit image of 1, 3 or 4 colours, or a 16-bit recording, got {x.dtype} "
            f"values of shape {x.shape}; convert the data"
        )
    if colours not in (None, raw.colours):
        raise DataError(
            f"{example.name}: expected {colours} colours as in the first image, got {raw.colours}; "
            "read all as grey, or as colour"
        )
    return raw


def plan_part(head: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan says, without what was measured."""
    return {name: value for name, value in head.items() if name not in _MEASURED}


def other_plan(there: Mapping[str, Any], here: Mapping[str, Any], *, shards: bool = False) -> str:
    """How the plans differ, in words; empty where they are one. `shards` may differ where that is asked for."""
    free = frozenset(_DERIVED | ({"selection.shard"} if shards else set()))
    return "; ".join(differences(plan_part(there), plan_part(here), free))
