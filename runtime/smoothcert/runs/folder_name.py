"""Where a run goes unless it is told: a name that the same command finds again, and another command does not."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..algorithms import Algorithm
from ..smoothing import Attack
from ..smoothing.ranges import exact_text
from .asked import Files
from .question import Question

_LONGEST = 200  # bytes of a name; file systems take 255


def folder_name(question: Question, files: Files, asked: Mapping[str, Any]) -> Path:
    """runs/MODEL-DATA-SMOOTHING-MODE-ATTACK, then NAME=VALUE for other settings that are not the default's.

    `asked`: settings that the name has no words for, such as preprocessing; where there are any, the name ends in 8
    hexadecimal digits of their SHA-256. What changes no vote does not enter, nor does the number of inputs.
    """
    recipe, smoothing = question.recipe, question.smoothing
    skip, shard = recipe["selection"]["skip"], recipe["selection"]["shard"]
    words = [files.model.stem, files.data.stem, *([smoothing.label] if smoothing.label else [])]
    words += [smoothing.guarantee] if smoothing.guarantee not in ("exact", "none") else []
    words += [files.calibration.stem] if files.calibration else []
    words.append(question.algorithm.recipe["mode"])
    words += [f"{name}{r}".replace(":", "to") for name, r in question.attack or ()]
    words += [] if shard == "1/1" else [shard.replace("/", "of")]
    simple = {"skip": skip or "", "provider": recipe["model"]["provider"], "nonce": recipe["nonce"]}
    values = dict(_changed(question.algorithm)) | {k: str(v) for k, v in simple.items() if v not in ("", "cpu")}
    rest = dict(asked) | {k: v for k, v in values.items() if not re.fullmatch(r"[\w.,+-]{1,40}", v, re.ASCII)}
    numbers = [part.scale for part in smoothing.parts] + [x for _, r in question.attack or () for x in (r.low, r.high)]
    if any(exact_text(x) != f"{x:g}" for x in numbers):  # labels have six digits
        rest["numbers"] = numbers
    name = "-".join([*words, *(f"{k}={v}" for k, v in values.items() if k not in rest)])
    if len(name.encode()) > _LONGEST:
        rest["name"], name = name, name.encode()[:_LONGEST].decode(errors="ignore")
    if rest:
        text = json.dumps(rest, sort_keys=True, default=str)
        name += "-" + hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
    return Path("runs", name)


def _changed(algorithm: Algorithm) -> Iterator[tuple[str, str]]:
    for field in fields(algorithm):  # type: ignore[arg-type]  # every algorithm is a dataclass
        value = getattr(algorithm, field.name)
        if value != field.default and not isinstance(value, Attack):
            yield field.name, ",".join(map(exact_text, value)) if isinstance(value, tuple) else str(value)
