"""What a model file says of itself beside its graph: input range, classes, training noise, origin, parity, 8 bits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from ..errors import ModelError, require
from ..files.documents import json_value, typed, understood
from ..files.limits import METADATA_BYTES

PREFIX = "smoothcert."


@dataclass(frozen=True)
class ModelCard:
    """Metadata of an exported classifier, which change no vote; unset where a file says nothing.

    Format: docs/model-metadata.md.
    """

    input_range: tuple[float, float] | None = None  # of an input without noise, as the graph takes it
    class_names: tuple[str, ...] = ()
    training_noise: float | None = None  # standard deviation, in [0,1] intensities
    sample_rate: int | None = None  # in Hz, of the recordings that the graph takes
    denoiser: Mapping[str, Any] | None = None  # of a file that was made of two: hashes, conventions
    source: str = ""  # framework and version
    weights_sha256: str = ""  # of the graph's weights alone
    parity: Mapping[str, Any] | None = None  # what the export measured
    quantisation: Mapping[str, Any] | None = None  # how its 8 bits came about: method, data, smoothing, agreement

    def __post_init__(self) -> None:
        span = self.input_range
        ordered = span is None or (len(span) == 2 and -math.inf < span[0] < span[1] < math.inf)
        require(ordered, f"input_range: expected LOW < HIGH, got {span}")
        strange = [name for name in self.class_names if not isinstance(name, str) or not name]
        require(not strange, f"class_names: expected a word for each class, got {strange[:1]}")
        noise = self.training_noise
        require(noise is None or 0 <= noise < math.inf, f"training_noise: expected at least 0, got {noise}")
        rate = self.sample_rate
        require(rate is None or 0 < rate < 10**7, f"sample_rate: expected a number of Hz, got {rate}")

    @staticmethod
    def of(metadata: Mapping[str, str]) -> ModelCard:
        """The card in a model's metadata; keys of newer versions are passed over. `ModelError` for a damaged one."""
        found: dict[str, Any] = {}
        for name in (field.name for field in fields(ModelCard)):
            if PREFIX + name in metadata:
                with entry(metadata, PREFIX + name) as value:
                    found[name] = getattr(typed({name: value}, ModelCard), name)
        return ModelCard(**found)

    @property
    def metadata(self) -> dict[str, str]:
        """Keys and JSON values; unset ones left out. Equal cards give equal bytes."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            PREFIX + name: json.dumps(value, sort_keys=True, ensure_ascii=False)
            for name, value in values.items()
            if value not in (None, (), "")
        }


def smoothing_words(quantisation: Mapping[str, Any]) -> str:
    """The smoothing that 8-bit ranges were measured at, as `noise = 0.5, blur = 2`."""
    parts = quantisation.get("smoothing")
    known = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    words = ", ".join(f"{part.get('part')} = {part.get('scale')}" for part in known)
    return words if words and words.isprintable() and len(words) < 200 else "an unknown smoothing"


@contextmanager
def entry(metadata: Mapping[str, str], key: str) -> Iterator[Any]:
    """The JSON value of that entry; what reading it raises, there or inside, becomes a `ModelError`."""
    with understood(f"the model's metadata {key!r}", "what an exporter writes", ModelError, "write them again"):
        length = len(metadata[key])
        require(length <= METADATA_BYTES, f"expected at most {METADATA_BYTES:,} characters, got {length:,}")
        yield json_value(metadata[key].encode())
