"""Samples an input: target mode and radius mode against CERTIFY of Cohen et al. at fixed n = 100,000.

The embedded digit classifier at sigma 0.5 on its test images. Target mode must certify the same share of them at each
radius (within half a point) from at most a fifth of the samples. It is run with one target at a time, and with lists
that end ever nearer to the largest radius that n votes can reach at all: a claim there takes much of n from any method.
Radius mode must come near the fixed run's radius from fewer samples. All modes draw from one key, so that they see the
same noise and differ by what they conclude from it.
"""

from __future__ import annotations

import argparse

import numpy as np

from smoothcert import Certificate, Noise, OrtClassifier, compose
from smoothcert.algorithms import Algorithm, Fixed, Radius, Target
from smoothcert.certification import run as certify

from .measure import DIGITS, cores, environment, say, table, verdict

SIGMA, ALPHA, KEY = 0.5, 0.001, 20
RADII = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
LAST = (1.0, 1.5, 1.75)  # where the lists of targets end
SHARE_GOAL, ACCURACY_GOAL = 0.2, 0.005  # of the fixed run's samples; difference in certified accuracy
Run = list[Certificate]


def certified_accuracy(run: Run, labels: np.ndarray, radius: float) -> float:
    """Share of inputs certified with the right label at the radius."""
    return float(np.mean([c.prediction == y and c.radius >= radius for c, y in zip(run, labels, strict=True)]))


def samples(run: Run) -> float:
    """Votes an input, on average."""
    return float(np.mean([c.evidence.samples for c in run]))


def radius_share(run: Run, reference: Run) -> float:
    """Mean radius of one run against another's."""
    return float(np.sum([c.radius for c in run]) / np.sum([c.radius for c in reference]))


def algorithms(n: int) -> list[Algorithm]:
    """The fixed run first, then what is measured against it; targets out of reach of n votes left out."""
    fixed = Fixed(n=n, alpha=ALPHA)
    within = [r for r in RADII if r < fixed.largest(compose(Noise(SIGMA)))]
    lists = [*((r,) for r in within), *(tuple(r for r in within if r <= last) for last in LAST if last in within)]
    return [fixed, Radius(n=n, alpha=ALPHA), *(Target(radii, n, ALPHA) for radii in lists)]


def report(runs: dict[Algorithm, Run], labels: np.ndarray) -> None:
    """Print every algorithm's samples and what they bought."""
    fixed = next(iter(runs.values()))
    rows = []
    for algorithm, run in runs.items():
        share = samples(run) / samples(fixed)
        row = [algorithm.recipe["mode"], "", f"{samples(run):,.0f}", f"{share:.1%}"]
        if isinstance(algorithm, Target):
            last = algorithm.radii[-1]
            row[1] = " to ".join(f"{r:g}" for r in sorted({algorithm.radii[0], last}))
            accuracy = {r: [certified_accuracy(c, labels, r) for c in (run, fixed)] for r in algorithm.radii}
            lost = max(by_fixed - ours for ours, by_fixed in accuracy.values())
            met = verdict(share, SHARE_GOAL, at_least=False) if lost <= ACCURACY_GOAL else "MISSED"
            certified = f"{accuracy[last][0]:.1%} certified at {last:g}, fixed {accuracy[last][1]:.1%}"
            rows.append([*row, f"{certified}; {100 * lost:.1f} points lost at worst", met])
        else:
            rows.append([*row, f"{radius_share(run, fixed):.1%} of the fixed run's mean radius", ""])
    print(f"goal of target mode: <= {SHARE_GOAL:.0%} of the samples, <= {100 * ACCURACY_GOAL:.1f} points lost")
    table(["mode", "targets", "samples an input", "of fixed", "result", ""], rows)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--limit", type=int, default=100, help="test images, evenly spaced")
    parser.add_argument("--n", type=int, default=100_000)
    arguments = parser.parse_args()
    print(environment(cores()), flush=True)
    with np.load(DIGITS.with_suffix(".npz")) as data:
        chosen = np.linspace(0, len(data["x"]) - 1, min(arguments.limit, len(data["x"]))).astype(int)
        images, labels = data["x"][chosen], data["y"][chosen]
    classifier, smoothing = OrtClassifier(DIGITS.with_suffix(".onnx")), Noise(SIGMA)
    runs: dict[Algorithm, Run] = {}
    for algorithm in algorithms(arguments.n):
        say(f"{algorithm.recipe}: {len(images)} images")
        runs[algorithm] = [certify(algorithm, classifier, smoothing, x, key=KEY, index=i) for i, x in enumerate(images)]
    report(runs, labels)


if __name__ == "__main__":
    main()
