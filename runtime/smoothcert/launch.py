"""From a command's options to a running job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .algorithms import PILOT, Algorithm, Fixed, Radius, Target
from .classifier import OrtClassifier
from .confidence import Bound
from .datasets import open_dataset
from .errors import SmoothcertError, require
from .job import Job
from .preprocess import Preprocess
from .runs import RunFolder
from .show import show_run
from .smoothing import compose, parse_part

DEFAULTS: dict[str, Any] = {
    "skip": 0, "shard": "1/1", "nonce": "", "provider": "cpu", "threads": None, "batch_size": None, "output": None,
    "scale": None, "mean": "", "std": "", "layout": "auto", "tf32": False, "quiet": False,
}  # fmt: skip


def algorithm(mode: str, n: int, n0: int | None, alpha: float, bound: Bound, radii: tuple[float, ...]) -> Algorithm:
    """The algorithm that --mode names, with its numbers; `ValueError` for options that it does not take."""
    if mode not in ("fixed", "radius", "target"):
        raise ValueError(f"--mode: expected fixed, radius or target, got {mode!r}")
    if radii and mode != "target":
        raise ValueError(f"--radii: expected with --mode target alone, got --mode {mode}")
    if mode == "target":
        if bound != "one-sided" or n0 is not None:
            raise ValueError("--mode target: --bound and --n0 have no meaning there; leave them out")
        return Target(radii, n, alpha)
    kind, first = (Fixed, 100) if mode == "fixed" else (Radius, PILOT)
    return kind(first if n0 is None else n0, n, alpha, bound)


def numbers(option: str, text: str) -> tuple[float, ...]:
    """`0.25,0.5` as numbers; `ValueError` that names the option."""
    try:
        values = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        values = (math.nan,)
    require(all(map(math.isfinite, values)), f"{option}: expected numbers separated by commas, got {text!r}")
    return values


def launch(o: Mapping[str, Any], algorithm: Algorithm) -> None:
    """Build the job from a command's options, run it, print. `SmoothcertError` where an input failed."""
    smoothing = compose(*(parse_part(text) for text in o["smooth"]))
    preprocess = Preprocess(o["scale"], numbers("--mean", o["mean"]), numbers("--std", o["std"]), o["layout"])
    classifier = OrtClassifier(
        o["model"],
        providers=o["provider"],
        threads=o["threads"],
        batch_size=o["batch_size"],
        output=o["output"],
        preprocess=preprocess,
        tf32=o["tf32"],
    )
    job = Job(
        o["model"],
        classifier,
        o["data"],
        open_dataset(o["data"], classifier.channels),
        smoothing,
        algorithm,
        skip=o["skip"],
        limit=o["limit"],
        shard=o["shard"],
        nonce=o["nonce"],
    )
    failed = show_run(job, RunFolder(o["run"] or job.folder_name), quiet=o["quiet"])
    if failed:
        raise SmoothcertError(failed)
