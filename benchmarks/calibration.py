"""Measuring calibrations: images a second against bare OpenCV calls of the same work, and peak memory on large images.

Both read JPEG files of smooth noise, turn them three times for each draw but the shared first, resize, crop and take
norms, on as many threads, OpenCV's own threads off. Ours also draws by address and writes the file. Memory is the peak
resident set of a fresh process.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from smoothcert.inputs.datasets import Dataset, Example, open_dataset
from smoothcert.inputs.spatial import Spatial
from smoothcert.machine import one_thread
from smoothcert.smoothing import Attack, Rotation
from smoothcert_calibration.measure import measure
from smoothcert_calibration.plan import plan_of

from .measure import Contender, alternate, cores, environment, ratio, say, table, verdict
from .memory import fresh

GOAL, MEMORY = 0.90, 2000.0  # ours / bare OpenCV; MB
CASES = {
    "1500x2000, 10 draws": (1500, 2000, 10),
    "1500x2000, 1 draw": (1500, 2000, 1),
    "375x500, 10 draws": (375, 500, 10),
    "375x500, 1 draw": (375, 500, 1),
}
LARGE, LARGE_DRAWS = 24, 10
_FILES = 8


@dataclass(frozen=True, eq=False)
class Repeated:
    """A data set over and over."""

    data: Dataset
    times: int
    sha256: str = "0" * 63 + "1"

    def __len__(self) -> int:
        return len(self.data) * self.times

    def name(self, index: int) -> str:
        return f"{index}: {self.data.name(index % len(self.data))}"

    def label(self, index: int) -> int | None:
        return None

    def load(self, index: int) -> Example:
        return Example(index, self.name(index), None, self.data.load(index % len(self.data)).x)


def write_images(folder: Path, count: int, height: int, width: int) -> None:
    """JPEG files of smooth noise."""
    rng = np.random.default_rng(0)
    for i in range(count):
        noise = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i:02d}.jpg"), cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))


def bare(folder: Path, draws: int, count: int, threads: int) -> float:
    """The largest error of so many images, by OpenCV alone: rotation by 5 degrees, attacks to 10, 256 pixels, 224."""
    files = sorted(map(str, folder.iterdir()))

    def turned(image: np.ndarray, degrees: float) -> np.ndarray:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
        return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)

    def seen(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        small = cv2.resize(image, (256 * width // height, 256), interpolation=cv2.INTER_LINEAR)
        left = (small.shape[1] - 224) // 2
        return small[16:240, left : left + 224]

    def error(index: int) -> float:
        rng = np.random.default_rng(index)
        image, g = cv2.imread(files[index % len(files)]), rng.uniform(-10, 10)
        attacked = turned(image, g)
        angles = 5 * rng.standard_normal(draws)
        return max(cv2.norm(seen(turned(attacked, b)), seen(turned(image, b + g)), cv2.NORM_L2) for b in angles)

    with one_thread(), ThreadPoolExecutor(threads) as pool:
        return max(pool.map(error, range(count))) / 255


def ours(folder: Path, draws: int, count: int, threads: int) -> float:
    """The same by `measure`, file included."""
    data = open_dataset(folder)
    repeated = Repeated(data, -(-count // len(data)))
    spatial = Spatial(resize=256, crop=224)
    attack = Attack.of({"rotation": (-10, 10)})
    plan = plan_of(repeated, "noise", (Rotation(5.0),), attack, draws=draws, spatial=spatial, limit=count)
    with tempfile.TemporaryDirectory() as out:
        return float(measure(plan, repeated, Path(out, "noise.cal"), threads=threads).errors.max())


def compare(name: str, threads: int, seconds: float, rounds: int) -> list[list[str]]:
    """Rows of the table for one case."""
    height, width, draws = CASES[name]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        write_images(folder, _FILES, height, width)
        contenders = {
            "bare OpenCV": Contender(lambda count: bare(folder, draws, count, threads), threads),
            "measure": Contender(lambda count: ours(folder, draws, count, threads), threads),
        }
        rates, worst = alternate(contenders, seconds=seconds, rounds=rounds)
    say(f"{name}: other processes used up to {worst:.0%} of the CPU")
    share = ratio(rates, "measure", "bare OpenCV")
    speeds = [f"{statistics.median(rates[contender]):.1f}" for contender in contenders]
    return [
        [name, "bare OpenCV", speeds[0], "", "", ""],
        [name, "measure", speeds[1], f"{share:.1%}", f">= {GOAL:.0%}", verdict(share, GOAL)],
    ]


def peak(threads: int) -> float:
    """Measure large images in this process; its peak resident set in MB."""
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), LARGE, 1500, 2000)
        ours(Path(folder), LARGE_DRAWS, LARGE, threads)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(peak(arguments.threads))
        return
    print(environment(arguments.threads), flush=True)
    found = [compare(name, arguments.threads, arguments.seconds, arguments.rounds) for name in CASES]
    table(["images", "by", "images/s", "share of bare", "goal", ""], itertools.chain.from_iterable(found))
    used = float(fresh("calibration", "--once", "--threads", str(arguments.threads)))
    what = f"{LARGE} images of 1500x2000, {LARGE_DRAWS} draws, {arguments.threads} threads"
    table(
        ["memory", "peak", "goal", ""],
        [[what, f"{used:.0f} MB", f"< {MEMORY:.0f} MB", verdict(used, MEMORY, at_least=False)]],
    )


if __name__ == "__main__":
    main()
