"""Images a second on a CUDA GPU: smoothcert against the plain PyTorch loop.

PyTorch in float32 with TF32 off (the precision that smoothcert computes in) and in float16, at the batch size the
field uses and at a large one in channels_last memory format; smoothcert on the CUDA provider, and on TensorRT where it
starts. Where there is no GPU, no CUDA build of PyTorch or no onnxruntime-gpu, it says so on one line and ends without
an error. That line is the only part of this file that has been run so far: the table awaits a machine with a GPU.
"""

from __future__ import annotations

import argparse
import itertools
import statistics

import torch

from smoothcert.errors import SmoothcertError
from smoothcert.model.providers import distributions

from .measure import Contender, alternate, cores, environment, ratio, say, table
from .models import NETWORKS, Network
from .throughput import pytorch_loop, smoothcert_loop

LARGE = {32: 4096, 224: 256}  # PyTorch's large batch, by the side of the input
PROVIDERS = ("cuda", "tensorrt")


def missing() -> str:
    """What this machine lacks; empty where nothing."""
    lacks = []
    if not torch.cuda.is_available():
        lacks.append(f"a GPU that PyTorch {torch.__version__} can use")
    if "onnxruntime-gpu" not in distributions():
        lacks.append("onnxruntime-gpu")
    return " and ".join(lacks)


def compare(network: Network, threads: int, seconds: float, rounds: int) -> list[list[str]]:
    """Rows of the table for one network."""
    usual, large = network.usual_batch, LARGE[network.side]
    contenders: dict[str, Contender] = {}
    for name, dtype in (("float32", torch.float32), ("float16", torch.float16)):
        contenders[f"PyTorch {name}, batch {usual}"] = pytorch_loop(network, usual, device="cuda", dtype=dtype)
        contenders[f"PyTorch {name}, batch {large}, channels_last"] = pytorch_loop(
            network, large, torch.channels_last, device="cuda", dtype=dtype
        )
    ours = []
    for provider in PROVIDERS:
        try:
            contender, size = smoothcert_loop(network, threads, provider)
        except SmoothcertError as error:
            say(f"{network.name}: {error}")
            continue
        ours.append(f"smoothcert {provider}, batch {size}")
        contenders[ours[-1]] = contender
    say(f"{network.name}: {rounds} rounds")
    rates, _ = alternate(contenders, seconds=seconds, rounds=rounds)
    return [
        [
            network.name,
            name,
            f"{statistics.median(rates[name]):.1f}",
            ", ".join(f"{ratio(rates, our, name):.2f}" for our in ours if name not in ours),
        ]
        for name in contenders
    ]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if lacks := missing():
        print(f"gpu: not measured, this machine lacks {lacks}")
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {cudnn}")
    print(environment(arguments.threads), flush=True)
    rows = [
        compare(NETWORKS[name], arguments.threads, arguments.seconds, arguments.rounds) for name in arguments.networks
    ]
    header = ["network", "contender", "images/s", f"smoothcert ({', '.join(PROVIDERS)}) / contender"]
    table(header, itertools.chain.from_iterable(rows))


if __name__ == "__main__":
    main()
