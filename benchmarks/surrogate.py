"""Smoothing by a surrogate on the CPU: the loop against bare ONNX Runtime, and the distances of 1,000 attacks.

The surrogate's networks have random weights, of the sizes that `smoothcert surrogate train` has by default for 32x32
colour images; ResNet-20 labels what the decoder makes of a code. Bare ONNX Runtime is decoder and classifier as one
file on a ready float32 batch of our shape: as many host threads, each calling the one-threaded session. smoothcert is
`Sampler.counts` with noise in 16 directions of the code and on each of its 3,072 values. Both take turns.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.surrogates import affine, write_bundle

from smoothcert import OrtClassifier, open_surrogate
from smoothcert.sampling import ESTIMATION, Sampler
from smoothcert.surrogate_file import OpenBundle

from .bare import bare_loop
from .measure import Contender, alternate, cores, environment, ratio, say, table, verdict
from .models import NETWORKS, SEED

SHAPE, SIZE = (3, 32, 32), 3072
BARE, SECONDS = 0.9, 0.5  # goals: ours / bare ONNX Runtime, at least; for 1,000 distances, at most
ATTACKS = 1000
RANGES = {"brightness": (-0.3, 0.3), "rotation": (-10.0, 10.0)}


def convolutions(given: str, outof: str, channels: list[int], prefix: str) -> tuple[list, list]:
    """A stack of 5x5 convolutions with ReLU between them, of random weights: nodes and initialisers."""
    rng, nodes, weights = np.random.default_rng(SEED), [], []
    for i, (a, b) in enumerate(itertools.pairwise(channels)):
        name, last = f"{prefix}{i}", i == len(channels) - 2
        weights.append(numpy_helper.from_array(rng.normal(size=(b, a, 5, 5)).astype(np.float32) / (5 * a), f"{name}w"))
        target = outof if last else f"{name}c"
        nodes.append(helper.make_node("Conv", [given, f"{name}w"], [target], pads=[2, 2, 2, 2]))
        if not last:
            nodes.append(helper.make_node("Relu", [target], [f"{name}r"]))
            given = f"{name}r"
    return nodes, weights


def graph(nodes: list, weights: list, given: tuple[str, list], outof: tuple[str, list]) -> onnx.ModelProto:
    """A float32 graph of one input and one output."""
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in (given, outof)]
    made = helper.make_graph(nodes, "surrogate", *ends, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def encoder() -> bytes:
    """x + three convolutions of it, flat."""
    nodes, weights = convolutions("image", "residual", [3, 8, 8, 3], "e")
    nodes += [helper.make_node("Add", ["image", "residual"], ["sum"]), helper.make_node("Flatten", ["sum"], ["code"])]
    return graph(nodes, weights, ("image", ["N", *SHAPE]), ("code", ["N", SIZE])).SerializeToString()


def classifier() -> bytes:
    """A code as an image, two convolutions, ResNet-20."""
    nodes, weights = convolutions("square", "drawn", [3, 8, 3], "d")
    weights.append(numpy_helper.from_array(np.array([-1, *SHAPE], np.int64), "shape"))
    decoder = graph(
        [helper.make_node("Reshape", ["code", "shape"], ["square"]), *nodes], weights,
        ("code", ["N", SIZE]), ("drawn", ["N", *SHAPE]),
    )  # fmt: skip
    network = onnx.load(NETWORKS["resnet20"].onnx)
    network.ir_version = decoder.ir_version
    network = onnx.version_converter.convert_version(network, 18)
    mapped = [("drawn", network.graph.input[0].name)]
    return onnx.compose.merge_models(decoder, network, io_map=mapped, prefix2="net_").SerializeToString()


def bundle(folder: Path, name: str, ends: tuple[float, float]) -> OpenBundle:
    """A bundle with noise in 16 directions."""
    graphs = {
        "encoder.onnx": encoder(),
        "decoder.onnx": affine("code", "image", (SIZE,), np.eye(SIZE), SHAPE),
        "classifier.onnx": classifier(),
        "model.onnx": NETWORKS["resnet20"].onnx.read_bytes(),
    }
    write_bundle(
        folder, name=name, trained=ends, matrix=np.eye(1), normal=np.ones(SIZE), image=SHAPE, graphs=graphs,
        factor=np.random.default_rng(SEED).normal(size=(SIZE, 16)) / 50, deviations=np.full(SIZE, 0.25),
    )  # fmt: skip
    return open_surrogate(folder)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    print(environment(asked.threads), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        opened = {name: bundle(Path(folder, name), name, ends) for name, ends in RANGES.items()}
        model = OrtClassifier(Path(folder, "rotation", "model.onnx"), threads=asked.threads)
    content = classifier()
    x = model.prepare(np.random.default_rng(SEED).integers(0, 256, SHAPE, dtype=np.uint8))
    smoothing = opened["rotation"].smoothing()
    sampler = Sampler(smoothing.voter(model), smoothing.perturbation, x, key=SEED, index=0)
    size = sampler.classifier.batch_size(SIZE)
    ours = Contender(lambda count: sampler.counts(ESTIMATION, 0, count), size * asked.threads)
    names = f"bare ONNX Runtime, batch {size}", f"smoothcert, batch {size}"
    codes = np.random.default_rng(SEED).standard_normal((size, SIZE), dtype=np.float32)
    contenders = {names[0]: bare_loop(content, codes, asked.threads), names[1]: ours}
    rates, worst = alternate(contenders, seconds=asked.seconds, rounds=asked.rounds)
    say(f"other processes used up to {worst:.0%} of the CPU")
    value = ratio(rates, names[1], names[0])
    speeds = [[name, f"{statistics.median(rates[name]):.1f}"] for name in names]
    goals = [f"{value:.1%}", f">= {BARE:.0%}", verdict(value, BARE)], ["", "", ""]
    table(["contender", "codes/s", "smoothcert / contender", "goal", ""], map(list.__add__, speeds, goals))
    rows = []
    for name, ends in RANGES.items():
        grid, took = opened[name].smoothing(attack={name: (*ends, ATTACKS)}), []
        for _ in range(asked.rounds):
            start = time.perf_counter()
            found = grid.of_input(x).found
            took.append(time.perf_counter() - start)
        spent = statistics.median(took)
        rows.append([f"{len(found)} of {name}", f"{spent:.3f}", f"<= {SECONDS}", verdict(spent, SECONDS, False)])
    table(["distances", "s", "goal", ""], rows)


if __name__ == "__main__":
    main()
