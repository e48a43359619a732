"""From the texts of options to values of the library; a text that cannot be read is an `ArgumentError`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from ..algorithms import PILOT, Algorithm, Enumerate, Fixed, Radius, Slices, Target
from ..calibration_file import read_calibration
from ..errors import ArgumentError, DataError, require
from ..inputs.grey import LUMA
from ..inputs.spatial import Spatial
from ..model.denoiser import Denoiser
from ..model.preprocess import Channels, Preprocess
from ..published_file import read_published
from ..smoothing import TRANSFORMS, UNSMOOTHED, Attack, Range, Smoothing, Transform, compose, parse_part
from ..smoothing.bundle import CodeNoise
from ..surrogate_file import open_surrogate
from . import options as opt
from .preprocessing import Normalisation, Pixels

_NO_SMOOTHING = (
    "--smooth: expected at least one NAME=SCALE, such as noise=0.5, got none; attacks with finitely many results, such "
    "as pixelate, need none with --mode enumerate"
)


def numbers(option: str, text: str) -> tuple[float, ...]:
    """`0.25,0.5` as finite numbers; none of an empty text."""
    try:
        values = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        values = (math.nan,)
    require(all(map(math.isfinite, values)), f"{option}: expected numbers separated by commas, got {text!r}")
    return values


def axes(option: str, text: str) -> tuple[int, ...]:
    """`3,32,32` as the axes of one input; none of an empty text."""
    values = numbers(option, text)
    whole = all(value == int(value) > 0 for value in values)
    require(whole, f"{option}: expected the axes of one input, such as 3,32,32, got {text!r}")
    return tuple(int(value) for value in values)


def lines(path: Path) -> tuple[str, ...]:
    """The lines of a text file, none empty; `DataError` where it cannot be read."""
    try:
        names = tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a text file of class names, one a line, got: {error}") from None
    require(all(name.strip() for name in names), f"{path}: expected a class name in every line, got an empty one")
    return names


def attack(texts: Sequence[str], option: str = "--attack") -> Attack | None:
    """The set that `NAME=VALUE`, `NAME=LOW:HIGH` and `NAME=LOW:HIGH:POINTS` name together; None where there is none."""
    ranges: dict[str, Range] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            ends = [TRANSFORMS.get(name, Transform).number(part) for part in value.split(":")]
            low, high, *points = ends * 2 if len(ends) == 1 else ends
            if not name or len(points) > 1 or any(p != int(p) for p in points):
                raise ValueError
        except (ValueError, OverflowError):
            raise ArgumentError(
                f"{option}: expected NAME=VALUE, NAME=LOW:HIGH or NAME=LOW:HIGH:POINTS, got {text!r}"
            ) from None
        require(name not in ranges, f"{option}: expected each parameter once, got {name} again in {text!r}")
        ranges[name] = Range(low, high, *map(int, points))
    return Attack(tuple(ranges.items())) if ranges else None


def region(text: str) -> list[tuple[str, Range | None]]:
    """The two parameters of `NAME,NAME`, each with the range of `NAME=LOW:HIGH[:POINTS]`, where it has one."""
    words = [word.strip().partition("=") for word in text.split(",")]
    require(len(words) == 2, f"--region: expected two parameters, such as contrast,brightness, got {text!r}")
    given = (attack([f"{name}={values}"], "--region") if values else None for name, _, values in words)
    return [(name, dict(ranges or ()).get(name)) for (name, _, _), ranges in zip(words, given, strict=True)]


def goal(text: str) -> tuple[float, float] | None:
    """Radius and share of `0.5=0.9` or `0.5=90%`; None of an empty text."""
    if not text:
        return None
    radius, _, share = text.partition("=")
    values = (*numbers("--fail-under R=ACC", radius), *numbers("--fail-under R=ACC", share.removesuffix("%")))
    require(len(values) == 2, f"--fail-under: expected R=ACC, such as 0.5=0.9, got {text!r}")
    least = values[1] / (100 if share.endswith("%") else 1)
    require(0 <= least <= 1, f"--fail-under: expected a share from 0 to 1, or a percentage such as 90%, got {share!r}")
    return values[0], least


def algorithm(how: opt.Statistics, asked: opt.ToCertify) -> Algorithm:
    """The algorithm that --mode names, with its numbers; `ArgumentError` for options that it does not take."""
    mode, radii, ranges = how.mode, numbers("--radii", how.radii), attack(asked.attack)
    require(not radii or mode == "target", f"--radii: expected with --mode target alone, got --mode {mode}")
    require(
        ranges is None or mode != "radius", "--mode radius finds the largest radius; with --attack use fixed or target"
    )
    if mode in ("target", "slices", "enumerate"):
        meant = how.bound == "one-sided" and how.n0 is None
        require(meant, f"--mode {mode}: --bound and --n0 have no meaning there; leave them out")
    if mode == "enumerate":
        if (how.n, how.alpha) != (opt.Statistics.n, opt.Statistics.alpha):
            print("warning: --mode enumerate samples nothing; --n and --alpha have no meaning there", file=sys.stderr)
        require(
            bool(ranges) and not asked.smooth,
            "--mode enumerate: expected --attack and no --smooth; it asks the model itself about each attack",
        )
        return Enumerate(ranges or Attack(()), asked.border or "black")
    if mode == "slices":
        require(ranges is not None, "--mode slices: expected --attack NAME=LOW:HIGH, such as rotation=-10:10, got none")
        return Slices(ranges or Attack(()), how.n, how.alpha, asked.border or "black")
    if mode == "target":
        return Target(radii, how.n, how.alpha, ranges)
    if mode == "radius":
        return Radius(PILOT if how.n0 is None else how.n0, how.n, how.alpha, how.bound)
    return Fixed(100 if how.n0 is None else how.n0, how.n, how.alpha, how.bound, ranges)


def smoothing(asked: opt.ToCertify, how: Algorithm) -> Smoothing:
    """What --smooth and --guarantee name; nothing with --mode enumerate."""
    if isinstance(how, Enumerate):
        require(not asked.calibration, "--mode enumerate: --calibration has no meaning there; leave it out")
        require(asked.guarantee == "exact", "--mode enumerate: --guarantee has no meaning there; leave it out")
        return UNSMOOTHED
    if any(text.startswith("surrogate=") for text in asked.smooth):
        return _surrogate(asked)
    require(asked.guarantee != "paper", "--guarantee paper: expected with --smooth surrogate=FOLDER alone")
    require(bool(asked.smooth), _NO_SMOOTHING)
    require(
        isinstance(how, Slices) or not asked.border,
        "--border: expected with --mode enumerate or slices; parts have border=...",
    )
    parts = [parse_part(text) for text in asked.smooth]
    measured = read_calibration(asked.calibration) if asked.calibration else None
    require(measured is not None or asked.error_rule == "tight", "--error-rule: expected with --calibration alone")
    return compose(*parts, guarantee=asked.guarantee, calibration=measured, error_rule=asked.error_rule)


def surrogate_path(asked: opt.ToCertify) -> Path | None:
    """The folder that `--smooth surrogate=FOLDER,...` names; None without one."""
    named = [
        text.partition(",")[0].removeprefix("surrogate=") for text in asked.smooth if text.startswith("surrogate=")
    ]
    return Path(*named[:1]) if named else None


def _surrogate(asked: opt.ToCertify) -> Smoothing:
    """What `surrogate=FOLDER[,sigma=S]` or `surrogate=FOLDER,sigma1=S,sigma2=S` names."""
    (text, *others), path = asked.smooth, surrogate_path(asked)
    require(not others and path is not None, "--smooth: expected a surrogate alone, got others beside it")
    measured = asked.calibration is not None
    require(measured == (asked.guarantee == "paper"), "--calibration: of a surrogate, with --guarantee paper alone")
    require(not asked.border, "--border: a surrogate's transformation has its own; leave it out")
    given = [word.partition("=") for word in text.split(",")[1:]]
    names = [name for name, _, _ in given]
    known = sorted(names) in ([], ["sigma"], ["sigma1", "sigma2"])
    require(known, f"--smooth: expected surrogate=FOLDER, with sigma=S or sigma1=S,sigma2=S, got {text!r}")
    values = {name: numbers(f"--smooth {name}", value) for name, _, value in given}
    require(all(len(found) == 1 for found in values.values()), f"--smooth: expected a number for each, got {text!r}")
    noise = CodeNoise(**{name: found[0] for name, found in values.items()}) if values else None
    require(asked.guarantee in ("exact", "paper"), f"--guarantee: expected exact or paper, got {asked.guarantee}")
    published = read_published(asked.calibration) if asked.calibration else None
    return open_surrogate(path or "").smoothing(noise, attack(asked.attack), published)


def denoiser(text: str, sigma: float | None) -> tuple[Path, Denoiser]:
    """The file and the conventions of `FILE,range=-1:1,output=noise`, for noise of that deviation."""
    name, _, words = text.partition(",")
    return opt.path(name), Denoiser.of(words, sigma)


def spatial(how: Pixels) -> Spatial:
    """The pipeline that --channels grey, --resize, --interpolation, --antialias, --pad, --crop and --mask name."""
    mask, _, share = how.mask.partition("=")
    shares = numbers("--mask", share) or (1.0,)
    require(len(shares) == 1, f"--mask: expected NAME or NAME=SHARE, such as circle=0.9, got {how.mask!r}")
    return Spatial(
        how.resize,
        how.interpolation or "bilinear",
        how.antialias,
        how.crop,
        mask,
        shares[0],
        how.pad,
        how.pad_align or "centre",
        _colours(how.channels)[1],
    )


def _colours(text: str) -> tuple[Channels, str]:
    """The order of the model's colours, and the weights of grey, that --channels names."""
    name, _, luma = text.lower().replace("gray", "grey").partition("=")
    if name == "grey":
        require(luma in ("", *LUMA), f"--channels grey: expected {', '.join(LUMA)}, got {luma!r}")
        return "rgb", luma or "bt601"
    require(
        name in ("", "rgb", "bgr") and not luma, f"--channels: expected rgb, bgr, grey or grey=WEIGHTS, got {text!r}"
    )
    return ("bgr" if name == "bgr" else "rgb"), ""


def preprocess(values: Normalisation, pixels: Pixels) -> Preprocess | None:
    """What the options say of preprocessing; None where they say nothing, and the model's metadata may."""
    means = numbers("--mean", values.mean), numbers("--std", values.std)
    said = Preprocess(values.scale, *means, values.layout, spatial(pixels), _colours(pixels.channels)[0])
    return None if said == Preprocess() else said
