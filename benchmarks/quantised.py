"""Images a second with 8 bits against float32: today's loop, end to end, on the same inputs.

Each network is exported by `--precision int8` at noise 0.5 from random images. Its weights are random too, so its
labels say little: how far labels and radii agree is measured on the embedded digits, which are trained.
The loops are `Sampler.counts` on an 8-bit input with `Noise(0.5)` and the default batch size; they take turns in one
process and are compared round by round.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np

from smoothcert import Noise, compose
from smoothcert_exporters.finish import Export
from smoothcert_exporters.onnx_file import export_file
from smoothcert_exporters.options import Options, Quantisation

from .measure import DIGITS, alternate, cores, eight_bit_instructions, environment, ratio, say, table, verdict
from .models import CACHE, NETWORKS, SEED, Network
from .throughput import SIGMA, smoothcert_loop

GOALS = {"resnet20": 1.8, "resnet110": 2.1, "resnet50": 3.0}  # int8 / float32, where the processor has VNNI


def exported(network: Network, copies: int) -> Export:
    """The network in 8 bits, ranges measured on random images."""
    images = np.random.default_rng(SEED).integers(0, 256, (16, 3, network.side, network.side), dtype=np.uint8)
    data = CACHE / f"{network.name}.npz"
    np.savez(data, x=images)
    asked = Quantisation(data=data, smoothing=compose(Noise(SIGMA)), agreement=0, copies=copies, inputs=4, votes=copies)
    options = Options(input_range=(0, 1), precision="int8", quantisation=asked)
    return export_file(network.onnx, CACHE / f"{network.name}-int8.onnx", options=options)


def compare(network: Network, threads: int, seconds: float, rounds: int, copies: int) -> list[str]:
    """The row of the table for one network."""
    say(f"{network.name}: exporting it with 8 bits")
    small = exported(network, copies).path
    seconds *= 1 if network.side < 100 else 4
    contenders = {
        "float32": smoothcert_loop(network, threads)[0],
        "int8": smoothcert_loop(network, threads, model=small)[0],
    }
    say(f"{network.name}: {rounds} rounds")
    rates, worst = alternate(contenders, seconds=seconds, rounds=rounds)
    value, goal = ratio(rates, "int8", "float32"), GOALS[network.name]
    speeds = [f"{statistics.median(rates[name]):.1f}" for name in contenders]
    return [network.name, *speeds, f"{value:.2f}", f">= {goal:.2f}", verdict(value, goal), f"{worst:.0%}"]


def digits(sigma: float) -> list[str]:
    """How far labels and radii of the embedded digits agree at one scale."""
    asked = Quantisation(
        data=DIGITS.with_suffix(".npz"), smoothing=compose(Noise(sigma)), agreement=0, inputs=50, votes=1000
    )
    options = Options(input_range=(0, 1), precision="int8", quantisation=asked)
    found = export_file(DIGITS.with_suffix(".onnx"), CACHE / "digits-int8.onnx", options=options).compared
    assert found is not None
    pair = (found.float32, found.int8)
    counts, radii = ([str(one.count) for one in pair], [f"{one.mean_radius or 0:.3f}" for one in pair])
    return [f"{sigma:g}", f"{found.agreement:.2%}", f"{found.worst[1]:.2%}", *counts, *radii]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn, four times that for 224x224")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--copies", type=int, default=128, help="perturbed images that ranges are measured on")
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    print(environment(arguments.threads), f"8-bit instructions: {eight_bit_instructions()}\n", sep="\n", flush=True)
    header = ["network", "float32 images/s", "int8 images/s", "int8 / float32", "goal", "", "CPU used by others"]
    table(
        header,
        [
            compare(NETWORKS[name], arguments.threads, arguments.seconds, arguments.rounds, arguments.copies)
            for name in arguments.networks
        ],
    )
    header = ["digits, noise", "labels agree", "worst of 50", "certified", "int8", "mean radius", "int8"]
    table(header, [digits(sigma) for sigma in (0.25, 0.5, 1.0)])


if __name__ == "__main__":
    main()
