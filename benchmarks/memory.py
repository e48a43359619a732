"""Peak memory of certifying one input: n = 10,000 samples against n = 1,000,000.

Against itself: memory must not depend on n. Each measurement is `certify` on ResNet-20 in a fresh process, whose peak
resident set is read at its end. The million takes about four minutes on two cores; `--network digits` takes the small
embedded classifier instead, `--n` changes the numbers of samples.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

from .measure import DIGITS, ROOT, cores, environment, say, table, verdict

GOAL = 1.10  # peak at the larger n / peak at the smaller
NETWORK = "resnet20"


def certify_once(path: str, n: int) -> float:
    """Certify one image in this process; its peak resident set in MB."""
    import numpy as np

    from smoothcert import Noise, OrtClassifier, certify

    classifier = OrtClassifier(path)
    shape = [side or 1 for side in classifier.shape]
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    certify(classifier, Noise(0.5), x, n=n, key=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


def fresh(module: str, *arguments: str) -> str:
    """Last line that a module of this folder prints in a process of its own, which starts from this small one."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--network", default=NETWORK, choices=("resnet20", "resnet110", "resnet50", "digits"))
    parser.add_argument("--n", type=int, nargs=2, default=[10_000, 1_000_000], metavar=("SMALL", "LARGE"))
    parser.add_argument("--once", metavar="MODEL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(certify_once(arguments.once, arguments.n[0]))
        return
    print(environment(cores()), flush=True)
    path = str(DIGITS.with_suffix(".onnx")) if arguments.network == "digits" else fresh("models", arguments.network)
    peaks, rows = [], []
    for n in arguments.n:
        say(f"{arguments.network}: n = {n:,}")
        start = time.perf_counter()
        peaks.append(float(fresh("memory", "--once", path, "--n", str(n), str(n))))
        rows.append(
            [arguments.network, f"{n:,}", f"{peaks[-1]:.0f} MB", f"{time.perf_counter() - start:.0f} s", "", ""]
        )
    value = peaks[1] / peaks[0]
    rows.append(
        [arguments.network, "ratio", f"{value:.3f}", "", f"<= {GOAL:.2f}", verdict(value, GOAL, at_least=False)]
    )
    table(["network", "n", "peak memory", "time", "goal", ""], rows)


if __name__ == "__main__":
    main()
