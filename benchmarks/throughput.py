"""Images a second on the CPU: smoothcert against the plain PyTorch loop, and against bare ONNX Runtime.

The PyTorch loop is the field's own (Cohen et al. 2019): repeat the input, add noise, forward, argmax, count; eager,
float32, no gradients. It runs at the batch size that the field uses, and at the best of several in channels_last memory
format. Bare ONNX Runtime is the exported file itself on a ready float32 batch of our shape: as many host threads, each
calling the one-threaded session, no noise, no argmax, no counts.
smoothcert is `Sampler.counts` on an 8-bit input with `Noise(0.5)` and its default batch size.
All use the same number of threads, take turns in one process, and are compared round by round.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from pathlib import Path

import numpy as np
import torch

from smoothcert import Noise, OrtClassifier, compose
from smoothcert.sampling import ESTIMATION, Sampler

from .bare import bare_loop
from .measure import Contender, alternate, cores, environment, ratio, say, table, verdict
from .models import NETWORKS, SEED, Network

SIGMA = 0.5
USUAL = {"resnet20": 2.0, "resnet110": 1.8, "resnet50": 2.5}  # goals: ours / PyTorch at its usual batch,
BEST = 1.1  # at its best batch in channels_last,
BARE = {"resnet20": 0.93, "resnet110": 0.97, "resnet50": 0.97}  # ours / bare ONNX Runtime


def image(network: Network) -> np.ndarray:
    """One random 8-bit image, channels first."""
    shape = (3, network.side, network.side)
    return np.random.default_rng(SEED).integers(0, 256, shape, dtype=np.uint8)


def pytorch_loop(
    network: Network,
    batch: int,
    memory_format: torch.memory_format = torch.contiguous_format,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Contender:
    """Votes of the PyTorch module, as the field counts them."""
    module = network.module.to(device, dtype).to(memory_format=memory_format)  # type: ignore[call-overload]
    x = (torch.from_numpy(image(network)).float() / 255).to(device, dtype)

    def run(count: int) -> torch.Tensor:
        counts = torch.zeros(1000, dtype=torch.int64, device=device)
        with torch.inference_mode():
            for start in range(0, count, batch):
                size = min(batch, count - start)
                inputs = x.repeat(size, 1, 1, 1).contiguous(memory_format=memory_format)
                labels = module(inputs + torch.randn_like(inputs) * SIGMA).argmax(1)
                counts += torch.bincount(labels, minlength=1000)
        return counts.cpu()

    return Contender(run, batch)


def smoothcert_loop(
    network: Network, threads: int, provider: str = "cpu", model: Path | None = None
) -> tuple[Contender, int]:
    """Votes of our sampler, and its batch size; of the network's own export, or of another."""
    classifier = OrtClassifier(model or network.onnx, threads=threads, providers=provider)
    x = classifier.prepare(image(network))
    sampler = Sampler(classifier, compose(Noise(SIGMA)).perturbation, x, key=SEED, index=0)
    batch = classifier.batch_size(x.values.size)
    return Contender(lambda count: sampler.counts(ESTIMATION, 0, count), batch * threads), batch


def bare_network(network: Network, threads: int, batch: int) -> Contender:
    """Nothing but `session.run` on the network."""
    shape = (batch, 3, network.side, network.side)
    return bare_loop(network.onnx, np.random.default_rng(SEED).standard_normal(shape, dtype=np.float32), threads)


def best_batch(network: Network, seconds: float) -> int:
    """The batch size at which PyTorch is fastest in channels_last, of those tried."""
    tried = {
        str(batch): pytorch_loop(network, batch, torch.channels_last)
        for batch in (*network.tried_batches, network.usual_batch)
    }
    rates, _ = alternate(tried, seconds=seconds, rounds=3)
    return int(max(rates, key=lambda name: statistics.median(rates[name])))


def compare(network: Network, threads: int, seconds: float, rounds: int) -> list[list[str]]:
    """Rows of the table for one network."""
    seconds *= 1 if network.side < 100 else 4  # long beside one batch: threads that end apart must not show
    say(f"{network.name}: looking for PyTorch's best batch")
    best = best_batch(network, seconds / 4)
    ours, size = smoothcert_loop(network, threads)
    usual_name, best_name = f"PyTorch, batch {network.usual_batch}", f"PyTorch, batch {best}, channels_last"
    bare_name, our_name = f"bare ONNX Runtime, batch {size}", f"smoothcert, batch {size}"
    say(f"{network.name}: {rounds} rounds")
    contenders = {
        usual_name: pytorch_loop(network, network.usual_batch),
        best_name: pytorch_loop(network, best, torch.channels_last),
        bare_name: bare_network(network, threads, size),
        our_name: ours,
    }
    rates, worst = alternate(contenders, seconds=seconds, rounds=rounds)
    say(f"{network.name}: other processes used up to {worst:.0%} of the CPU")
    goals = {usual_name: USUAL[network.name], best_name: BEST, bare_name: BARE[network.name]}
    rows = []
    for name in contenders:
        speed = [network.name, name, f"{statistics.median(rates[name]):.1f}"]
        if name in goals:
            value = ratio(rates, our_name, name)
            shown = [f"{v:.1%}" if name == bare_name else f"{v:.2f}" for v in (value, goals[name])]
            rows.append([*speed, shown[0], f">= {shown[1]}", verdict(value, goals[name])])
        else:
            rows.append([*speed, "", "", ""])
    return rows


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn, four times that for 224x224")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(environment(arguments.threads), flush=True)
    rows = [
        compare(NETWORKS[name], arguments.threads, arguments.seconds, arguments.rounds) for name in arguments.networks
    ]
    header = ["network", "contender", "images/s", "smoothcert / contender", "goal", ""]
    table(header, itertools.chain.from_iterable(rows))


if __name__ == "__main__":
    main()
