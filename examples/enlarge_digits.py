"""Digits as photographs come: larger than the model takes them, so that rotation acts on raw images.

    python examples/enlarge_digits.py [OUT] [--side PIXELS]

Writes OUT (default `digits256.npz`): x uint8 [360,256,256], y int64 [360], the test images that the package carries,
enlarged by OpenCV's bicubic interpolation, which leaves them smooth. The same bytes every time.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from smoothcert import demo_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("digits256.npz"))
    parser.add_argument("--side", type=int, default=256)
    arguments = parser.parse_args()
    with np.load(demo_file("digits.npz")) as digits:
        x, y = digits["x"], digits["y"]
    size = (arguments.side, arguments.side)
    large = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) for image in x])
    np.savez_compressed(arguments.out, x=large, y=y)
    print(f"{arguments.out}: {len(x)} images of {arguments.side}x{arguments.side}")


if __name__ == "__main__":
    main()
