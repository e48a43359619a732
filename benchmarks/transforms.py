"""What transformations cost: images a second under each smoothing, against bare ONNX Runtime; and the time of p_star.

Bare ONNX Runtime is the exported file on a ready float32 batch of our shape, as in `benchmarks.throughput`; all
contenders use the same threads, take turns in one process, and are compared round by round. p_star is computed afresh
each time.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Mapping

from smoothcert import Attack, Blur, Brightness, Contrast, Gamma, Noise, OrtClassifier, Range, Translation, compose
from smoothcert.sampling import ESTIMATION, Sampler
from smoothcert.smoothing import Smoothing

from .measure import Contender, alternate, cores, environment, ratio, say, table, verdict
from .models import NETWORKS, SEED, Network
from .throughput import bare_network, image

SMOOTHINGS: Mapping[str, Smoothing] = {
    "noise": compose(Noise(0.5)),
    "contrast, brightness": compose(Contrast(0.4), Brightness(0.3)),
    "gamma, contrast": compose(Gamma(0.2), Contrast(0.2)),
    "translation": compose(Translation(4)),
    "blur": compose(Blur(2)),
    "translation, blur, brightness, contrast": compose(
        Translation(4), Blur(2, border="wrap"), Brightness(0.3), Contrast(0.3)
    ),
    "contrast, brightness, noise": compose(Contrast(0.4), Brightness(0.3), Noise(0.25)),
}
GOALS = {"resnet20": 0.75, "resnet50": 0.90}  # ours / bare ONNX Runtime
ATTACKS = {
    "point, contrast then brightness": (SMOOTHINGS["contrast, brightness"], {"contrast": 1.4, "brightness": 0.2}, 0.02),
    "point, brightness then contrast": (
        compose(Brightness(0.3), Contrast(0.4)), {"contrast": 1.4, "brightness": 0.2}, 0.02,
    ),
    "box, contrast then brightness": (
        SMOOTHINGS["contrast, brightness"], {"contrast": (0.5, 2), "brightness": (-0.2, 0.2)}, 0.2,
    ),
    "box, brightness then contrast": (
        compose(Brightness(0.3), Contrast(0.4)), {"contrast": (0.5, 2), "brightness": (-0.2, 0.2)}, 0.2,
    ),
    "box, gamma then contrast": (SMOOTHINGS["gamma, contrast"], {"gamma": (0.7, 1.4), "contrast": (0.8, 1.2)}, 0.2),
}  # fmt: skip


def our_loop(network: Network, smoothing: Smoothing, threads: int) -> tuple[Contender, int]:
    """Votes of our sampler, and its batch size."""
    classifier = OrtClassifier(network.onnx, threads=threads)
    x = classifier.prepare(image(network))
    sampler = Sampler(classifier, smoothing.perturbation, x, key=SEED, index=0)
    batch = classifier.batch_size(x.values.size)
    return Contender(lambda count: sampler.counts(ESTIMATION, 0, count), batch * threads), batch


def compare(network: Network, threads: int, seconds: float, rounds: int) -> list[list[str]]:
    """Rows of the table for one network."""
    seconds *= 1 if network.side < 100 else 4
    loops = {name: our_loop(network, smoothing, threads) for name, smoothing in SMOOTHINGS.items()}
    size = loops["noise"][1]
    bare = f"bare ONNX Runtime, batch {size}"
    contenders = {bare: bare_network(network, threads, size)} | {name: loop for name, (loop, _) in loops.items()}
    say(f"{network.name}: {rounds} rounds")
    rates, worst = alternate(contenders, seconds=seconds, rounds=rounds)
    say(f"{network.name}: other processes used up to {worst:.0%} of the CPU")
    rows = [[network.name, bare, f"{statistics.median(rates[bare]):.1f}", "", "", ""]]
    goal = GOALS[network.name]
    for name in SMOOTHINGS:
        share = ratio(rates, name, bare)
        speed = f"{statistics.median(rates[name]):.1f}"
        rows.append([network.name, name, speed, f"{share:.1%}", f">= {goal:.0%}", verdict(share, goal)])
    return rows


def moved(attack: Mapping[str, object], turn: int) -> Attack:
    """The attack, moved by next to nothing: what p_star has computed once, it remembers."""
    factor = 1 + 1e-12 * turn
    return Attack(tuple((name, Range(factor * r.low, factor * r.high)) for name, r in Attack.of(attack)))


def bounds(repeats: int = 5) -> list[list[str]]:
    """Rows of the table of p_star."""
    rows = []
    for name, (smoothing, attack, goal) in ATTACKS.items():
        times = []
        for turn in range(repeats):
            asked = moved(attack, turn)
            start = time.perf_counter()
            value = smoothing.p_star(asked)
            times.append(time.perf_counter() - start)
        median = statistics.median(times)
        rows.append(
            [
                name,
                f"{value:.6f}",
                f"{1e3 * median:.1f} ms",
                f"< {1e3 * goal:.0f} ms",
                verdict(median, goal, at_least=False),
            ]
        )
    return rows


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn, four times that for 224x224")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(environment(arguments.threads), flush=True)
    table(["p_star of", "value", "time", "goal", ""], bounds())
    print()
    rows = [
        compare(NETWORKS[name], arguments.threads, arguments.seconds, arguments.rounds) for name in arguments.networks
    ]
    table(["network", "smoothing", "images/s", "share of bare", "goal", ""], itertools.chain.from_iterable(rows))


if __name__ == "__main__":
    main()
