"""A classifier behind a denoiser on the CPU: the loop against bare ONNX Runtime on the graph of both.

The graph is the file that `smoothcert export denoised` writes. Bare ONNX Runtime runs it on a ready float32 batch
of our shape: as many host threads, each calling the one-threaded session, no noise, no argmax, no counts. smoothcert is
`Sampler.counts` on an 8-bit image with `Noise(0.5)` and its default batch size, on the two files joined in memory.
Both take turns. `digits` are the two files that come with the package. `resnet20` stands behind a DnCNN (Zhang et al.
2017; 17 layers of 64 channels, its BatchNormalization folded) with random weights, which gives the noise.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from smoothcert import Denoiser, Noise, OrtClassifier, compose, demo_file, open_denoised
from smoothcert.sampling import ESTIMATION, Sampler
from smoothcert_exporters.denoised.file import export_denoised
from smoothcert_exporters.denoised.pair import paired

from .bare import bare_loop
from .measure import Contender, alternate, cores, environment, ratio, say, table, verdict
from .models import NETWORKS, SEED

SIGMA, BARE = 0.5, 0.97  # the goal: ours / bare ONNX Runtime
LAYERS, WIDTH = 17, 64


def dncnn(colours: int) -> bytes:
    """A DnCNN for images of any size."""
    rng, nodes, weights, given = np.random.default_rng(SEED), [], [], "image"
    for i, (a, b) in enumerate(itertools.pairwise([colours, *[WIDTH] * (LAYERS - 1), colours])):
        weights.append(numpy_helper.from_array((rng.normal(size=(b, a, 3, 3)) / (3 * a**0.5)).astype("f"), f"w{i}"))
        last = i == LAYERS - 1
        nodes.append(helper.make_node("Conv", [given, f"w{i}"], ["noise" if last else f"c{i}"], pads=[1] * 4))
        if not last:
            nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
            given = f"r{i}"
    shape = ["N", colours, "H", "W"]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name in ("image", "noise")]
    graph = helper.make_graph(nodes, "dncnn", *ends, weights)
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def digits() -> tuple[Path, Path | bytes, Denoiser]:
    """The classifier and denoiser that come with the package."""
    return demo_file("digits-clean.onnx"), demo_file("digits-denoiser.onnx"), Denoiser(sigma=SIGMA)


def resnet20() -> tuple[Path, Path | bytes, Denoiser]:
    """ResNet-20 behind a DnCNN."""
    return NETWORKS["resnet20"].onnx, dncnn(3), Denoiser(sigma=SIGMA, output="noise")


PAIRS: dict[str, Callable[[], tuple[Path, Path | bytes, Denoiser]]] = {"digits": digits, "resnet20": resnet20}


def loops(name: str, threads: int) -> dict[str, Contender]:
    """Bare ONNX Runtime on the file of both, and our loop."""
    model, denoiser, how = PAIRS[name]()
    classifier = OrtClassifier(open_denoised(model, denoiser, how), threads=threads)
    shape = tuple(n or 0 for n in classifier.shape)
    x = classifier.prepare(np.random.default_rng(SEED).integers(0, 256, shape, dtype=np.uint8))
    sampler = Sampler(classifier, compose(Noise(SIGMA)).perturbation, x, key=SEED, index=0)
    batch = classifier.batch_size(x.values.size)
    inputs = np.random.default_rng(SEED).standard_normal((batch, *shape), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        export_denoised(paired(model, denoiser, how), Path(folder) / "both.onnx")
        bare = bare_loop(Path(folder) / "both.onnx", inputs, threads)
    return {
        f"bare ONNX Runtime, batch {batch}": bare,
        f"smoothcert, batch {batch}": Contender(lambda count: sampler.counts(ESTIMATION, 0, count), batch * threads),
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(environment(arguments.threads), flush=True)
    rows = []
    for name in arguments.pairs:
        contenders = loops(name, arguments.threads)
        say(f"{name}: {arguments.rounds} rounds")
        rates, worst = alternate(contenders, seconds=arguments.seconds, rounds=arguments.rounds)
        say(f"{name}: other processes used up to {worst:.0%} of the CPU")
        bare, ours = contenders
        share = ratio(rates, ours, bare)
        speeds = [f"{statistics.median(rates[contender]):.1f}" for contender in contenders]
        rows += [[name, bare, speeds[0], f"{share:.1%}", f">= {BARE:.1%}", verdict(share, BARE)],
                 [name, ours, speeds[1], "", "", ""]]  # fmt: skip
    table(["denoiser and", "contender", "images/s", "smoothcert / contender", "goal", ""], rows)


if __name__ == "__main__":
    main()
