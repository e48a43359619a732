"""What the help and the completion say of each part: the one place of these texts, and no heavy import for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartHelp:
    """What a part does to an image, what the number of --smooth and those of --attack are, each with an example."""

    does: str
    smooth: str
    attack: str
    options: str = ""


PARTS = {
    "noise": PartHelp(
        "a number is added to every pixel, each its own",
        "standard deviation of the numbers: noise=0.5",
        "l2 norm (root of the sum of squares) of the change: noise=0.5",
    ),
    "brightness": PartHelp(
        "b is added to every pixel",
        "standard deviation of b: brightness=0.2",
        "b: brightness=-0.1:0.1",
    ),
    "contrast": PartHelp(
        "every pixel is multiplied by c",
        "standard deviation of log c: contrast=0.4",
        "c: contrast=0.7:1.4",
        "about=0 or mid: the intensity that stays as it is",
    ),
    "gamma": PartHelp(
        "every pixel is raised to the power g",
        "standard deviation of log g: gamma=0.4",
        "g: gamma=0.6:1.6",
        "law=lognormal or rayleigh",
    ),
    "blur": PartHelp(
        "Gaussian blur by a kernel of variance v, in pixels^2",
        "scale of v: blur=2",
        "v: blur=0:2",
        "law=exponential, uniform, folded-normal or rayleigh\nborder=reflect101, reflect or wrap",
    ),
    "translation": PartHelp(
        "shift by whole pixels; what leaves comes back on the other side",
        "standard deviation on each axis, pixels: translation=2",
        "length of the shift, at most: translation=3",
        "with --calibration border= and interpolation=, as rotation",
    ),
    "rotation": PartHelp(
        "turn around the centre",
        "standard deviation, degrees, with --calibration: rotation=10",
        "degrees: rotation=-10:10",
        "border=black, wrap, reflect101 or replicate\ninterpolation=nearest, bilinear or bicubic",
    ),
    "scaling": PartHelp(
        "enlarge by a factor around the centre, or shrink below 1",
        "standard deviation of its log, with --calibration: scaling=0.1",
        "factor: scaling=0.9:1.1",
        "border= and interpolation=, as rotation",
    ),
}


def parts_table(attacks: bool = True) -> str:
    """The parts for the end of a help page, in lines of at most 78 columns."""
    options = "--smooth and --attack" if attacks else "--smooth"
    lines = [f"Parts, for {options}. Intensities run from 0, black, to 1, white."]
    for name, part in PARTS.items():
        lines += [f"{name:12}{part.does}", f"{'--smooth':>10}  {part.smooth}"]
        lines += [f"{'--attack':>10}  {part.attack}"] if attacks else []
        lines += [f"{'options':>10}  " + part.options.replace("\n", f"\n{'':12}")] if part.options else []
    return "\n".join(lines)


def part_names(incomplete: str) -> list[tuple[str, str]]:
    """Completions of a part's name on the command line, each with what it does."""
    return [(f"{name}=", part.does) for name, part in PARTS.items() if name.startswith(incomplete)]
