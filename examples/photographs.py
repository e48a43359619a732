"""Crops of photographs that scikit-learn and scikit-image carry with them, as a labelled data set.

    pip install scikit-image scikit-learn
    python examples/photographs.py [OUT] [--side PIXELS] [--crops N] [--whole] [--seed N]

Writes OUT (default `photographs288.npz`): x uint8 [N,SIDE,SIDE,3], y int64 [N]. The class is the photograph. Each
crop is drawn at random, its photograph first and then its place, so that the crops are independent and any part of them
may calibrate for the rest. They come from the right part of each photograph; `examples/train_photographs.py` trains on
the left part, and no pixel is in both. `--whole` draws from all of each photograph, for larger sides: such crops
measure errors, and say nothing about accuracy. The same bytes every time. Nothing is downloaded.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
TESTED = 288  # pixels: the right part of a photograph is at least so wide


@dataclass(frozen=True)
class Photograph:
    """One class. `licence`: what the package says of it."""

    name: str
    package: str
    licence: str


PHOTOGRAPHS = (
    Photograph("astronaut", "scikit-image", "no known copyright restrictions, released into the public domain (NASA)"),
    Photograph("chelsea", "scikit-image", "CC0 by the photographer (Stefan van der Walt)"),
    Photograph("china", "scikit-learn", "CC BY 2.0, danielbuechele"),
    Photograph("coffee", "scikit-image", "CC0 by the photographer (Rachel Michetti)"),
    Photograph("flower", "scikit-learn", "CC BY 2.0, vultilion"),
    Photograph("hubble_deep_field", "scikit-image", "may be freely used in the public domain (NASA)"),
    Photograph("immunohistochemistry", "scikit-image", "no known copyright restrictions (CMMI)"),
    Photograph("retina", "scikit-image", "CC0 1.0 (Mikael Haggstrom)"),
    Photograph("rocket", "scikit-image", "released in the public domain (SpaceX)"),
)


def opened(photograph: Photograph) -> Image:
    """The photograph, RGB, from the installed package."""
    if photograph.package == "scikit-learn":
        from sklearn.datasets import load_sample_image

        return np.asarray(load_sample_image(f"{photograph.name}.jpg"))
    import skimage.data

    return np.asarray(getattr(skimage.data, photograph.name)())


def border(width: int) -> int:
    """The first column of the right part, which tests; all before it trains. Half, or less where TESTED is more."""
    return min(width // 2, width - TESTED)


def right(image: Image) -> Image:
    """The part that test crops are drawn from."""
    return image[:, border(image.shape[1]) :]


def left(image: Image) -> Image:
    """The part that training sees."""
    return image[:, : border(image.shape[1])]


def cropped(images: list[Image], side: int, count: int, seed: int) -> tuple[Image, npt.NDArray[np.int64]]:
    """So many crops (N, side, side, 3) with their labels. An image that is smaller than a crop gives none."""
    rng = np.random.default_rng(seed)
    large = [i for i, image in enumerate(images) if min(image.shape[:2]) >= side]
    if not large:
        raise SystemExit(f"--side: expected at most {max(min(image.shape[:2]) for image in images)}, got {side}")
    y = rng.choice(large, count)
    x = np.empty((count, side, side, 3), np.uint8)
    for crop, label in zip(x, y, strict=True):
        height, width = images[label].shape[:2]
        top, start = rng.integers(height - side + 1), rng.integers(width - side + 1)
        crop[:] = images[label][top : top + side, start : start + side]
    return x, y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--side", type=int, default=288, help="of a crop, in pixels")
    parser.add_argument("--crops", type=int, default=600)
    parser.add_argument("--whole", action="store_true", help="crops of all of each photograph, not to test with")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    images = [image if asked.whole else right(image) for image in map(opened, PHOTOGRAPHS)]
    x, y = cropped(images, asked.side, asked.crops, asked.seed)
    out = asked.out or Path(f"photographs{asked.side}.npz")
    np.savez(out, x=x, y=y)
    print(f"{out}: {len(x)} crops of {asked.side}x{asked.side}, {len(set(y.tolist()))} photographs")


if __name__ == "__main__":
    main()
