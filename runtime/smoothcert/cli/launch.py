"""From a command's options to a running job."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from ..algorithms import PILOT, Algorithm, Enumerate, Fixed, Radius, Slices, Target
from ..calibration_file import read_calibration
from ..errors import SmoothcertError, require
from ..inputs.datasets import open_dataset
from ..inputs.spatial import Spatial
from ..model.classifier import OrtClassifier
from ..model.labels import Classifier
from ..model.preprocess import Preprocess
from ..runs.asked import Files, new_run
from ..runs.folder import RunFolder
from ..runs.folder_name import folder_name
from ..smoothing import UNSMOOTHED, Attack, Smoothing, compose, parse_part
from .show import show_run

MODES = ("fixed", "radius", "target", "slices", "enumerate")
DEFAULTS: dict[str, Any] = {
    "resize": None, "interpolation": None, "antialias": False, "crop": None, "mask": "",
    "calibration": None, "error_rule": "tight",
    "skip": 0, "shard": "1/1", "nonce": "", "provider": "cpu", "threads": None, "batch_size": None, "output": None,
    "scale": None, "mean": "", "std": "", "layout": "auto", "tf32": False, "quiet": False,
    "mode": "fixed", "attack": [], "guarantee": "exact", "border": "",
}  # fmt: skip
_UNNAMED = (
    "resize", "interpolation", "antialias", "crop", "mask", "scale", "mean", "std", "layout", "output", "tf32",
    "error_rule",
)  # fmt: skip  # what the default folder's name has no words for


def algorithm(o: Mapping[str, Any]) -> Algorithm:
    """The algorithm that --mode names, with its numbers; `ValueError` for options that it does not take."""
    mode, n, n0, alpha, bound = o["mode"], o["n"], o["n0"], o["alpha"], o["bound"]
    radii, attack = numbers("--radii", o["radii"]), Attack.parse(o["attack"])
    require(mode in MODES, f"--mode: expected {', '.join(MODES[:-1])} or {MODES[-1]}, got {mode!r}")
    require(not radii or mode == "target", f"--radii: expected with --mode target alone, got --mode {mode}")
    require(
        attack is None or mode != "radius", "--mode radius finds the largest radius; with --attack use fixed or target"
    )
    if mode in ("target", "slices", "enumerate"):
        meant = bound == "one-sided" and n0 is None
        require(meant, f"--mode {mode}: --bound and --n0 have no meaning there; leave them out")
    if mode == "enumerate":
        if (n, alpha) != (Fixed.n, Fixed.alpha):
            print("warning: --mode enumerate samples nothing; --n and --alpha have no meaning there", file=sys.stderr)
        return Enumerate(attack or Attack(()), o["border"] or "black")
    if mode == "slices":
        require(attack is not None, "--mode slices: expected --attack rotation=LOW:HIGH or scaling=LOW:HIGH, got none")
        return Slices(attack or Attack(()), n, alpha, o["border"] or "black")
    if mode == "target":
        return Target(radii, n, alpha, attack)
    if mode == "radius":
        return Radius(PILOT if n0 is None else n0, n, alpha, bound)
    return Fixed(100 if n0 is None else n0, n, alpha, bound, attack)


def smoothing(o: Mapping[str, Any]) -> Smoothing:
    """What --smooth and --guarantee name, or with --mode enumerate the members of --attack."""
    if o["mode"] != "enumerate":
        require(bool(o["smooth"]), "--smooth: expected at least one NAME=SCALE, such as noise=0.5, got none")
        sliced = o["mode"] == "slices"
        require(sliced or not o["border"], "--border: expected with --mode enumerate or slices; parts have border=...")
        parts = [parse_part(text) for text in o["smooth"]]
        measured = read_calibration(o["calibration"]) if o["calibration"] else None
        require(measured is not None or o["error_rule"] == "tight", "--error-rule: expected with --calibration alone")
        return compose(*parts, guarantee=o["guarantee"], calibration=measured, error_rule=o["error_rule"])
    require(not o["calibration"], "--mode enumerate: --calibration has no meaning there; leave it out")
    require(o["guarantee"] == "exact", "--mode enumerate: --guarantee has no meaning there; leave it out")
    require(
        not o["smooth"] and bool(o["attack"]),
        "--mode enumerate: expected --attack and no --smooth; it asks the model itself about each attack",
    )
    return UNSMOOTHED


def numbers(option: str, text: str) -> tuple[float, ...]:
    """`0.25,0.5` as numbers; `ValueError` that names the option."""
    try:
        values = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        values = (math.nan,)
    require(all(map(math.isfinite, values)), f"{option}: expected numbers separated by commas, got {text!r}")
    return values


def spatial(o: Mapping[str, Any]) -> Spatial:
    """The pipeline that --resize, --interpolation, --antialias, --crop and --mask name."""
    mask, _, share = o["mask"].partition("=")
    shares = numbers("--mask", share) or (1.0,)
    require(len(shares) == 1, f"--mask: expected NAME or NAME=SHARE, such as circle=0.9, got {o['mask']!r}")
    return Spatial(o["resize"], o["interpolation"] or "bilinear", o["antialias"], o["crop"], mask, shares[0])


def preprocess(o: Mapping[str, Any]) -> Preprocess | None:
    """What the options say of preprocessing; None where they say nothing, and the model's metadata may."""
    means = numbers("--mean", o["mean"]), numbers("--std", o["std"])
    said = Preprocess(o["scale"], *means, o["layout"], spatial(o))
    return None if said == Preprocess() else said


def print_notes(classifier: Classifier | None) -> None:
    """A line where a model's file was adapted in memory, and one on stderr for what could not be changed."""
    if not isinstance(classifier, OrtClassifier):
        return
    if classifier.adapted:
        print(f"adapted in memory: {'; '.join(classifier.adapted)}")
    if classifier.warning:
        print(f"warning: {classifier.warning}", file=sys.stderr)


def launch(o: Mapping[str, Any], algorithm: Algorithm) -> None:
    """Build the run from a command's options, complete it, print. `SmoothcertError` where an input failed."""
    o = DEFAULTS | dict(o)
    require(not o["tf32"] or o["provider"] != "cpu", "--tf32: expected with --provider cuda or tensorrt, got cpu")
    asked = {name: o[name] for name in ("output", "threads", "batch_size", "tf32")}
    classifier = OrtClassifier(o["model"], providers=o["provider"], preprocess=preprocess(o), **asked)
    print_notes(classifier)
    files, data = Files(o["model"], o["data"], o["calibration"]), open_dataset(o["data"], classifier.channels)
    selected = {name: o[name] for name in ("skip", "limit", "shard", "nonce")}
    run = new_run(files, classifier, data, smoothing(o), algorithm, **selected)
    names = (*_UNNAMED, *(() if o["provider"] == "cpu" else ("batch_size",)))  # which changes scores on a GPU
    unnamed = {name: o[name] for name in names if o[name] != DEFAULTS[name]}
    folder = RunFolder(o["run"] or folder_name(run.question, files, unnamed))
    failed = show_run(run, folder, quiet=o["quiet"])
    if failed:
        raise SmoothcertError(failed)
