"""What the benchmarks share: where they run, fair timing on a busy machine, tables. Measures nothing itself."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "runtime" / "smoothcert" / "data" / "digits"  # .onnx and .npz
Rates = dict[str, list[float]]  # images a second, one for each round
_TRIES, _QUIET, _PAUSE = 3, 0.05, 2.0
PACKAGES = ("smoothcert", "onnxruntime", "onnxruntime-gpu", "torch", "numpy", "opencv-python")


@dataclass(frozen=True)
class Contender:
    """Something that classifies images, best in multiples of `unit`: no thread idles over a last batch."""

    classify: Callable[[int], object]
    unit: int


def environment(threads: int) -> str:
    """Hardware and versions, on two lines."""
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    name = fields.get("model name") or platform.processor() or platform.machine()
    family = f" (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else ""
    return f"{name}{family}, {cores()} cores, {threads} threads, {platform.system()}\n{', '.join(versions)}"


def eight_bit_instructions() -> str:
    """What the processor has for sums of 8-bit products, as Linux calls it."""
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.exists() else set()
    known = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
    return ", ".join(name for name in known if name in words) or "unknown"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def say(text: str) -> None:
    """A line of progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table, columns aligned."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        print(f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |")
    print(flush=True)


def verdict(value: float, goal: float, at_least: bool = True) -> str:
    """`met` or `MISSED`."""
    return "met" if (value >= goal if at_least else value <= goal) else "MISSED"


def _busy() -> float:
    """CPU seconds that the whole machine has used, and its host has taken away; NaN where the kernel does not say."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return float("nan")
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(contender: Contender, count: int) -> tuple[float, float]:
    """Images a second, and the share of the machine's CPU that others used meanwhile (0 where unknown)."""
    busy, own, start = _busy(), _own(), time.perf_counter()
    contender.classify(count)
    seconds = time.perf_counter() - start
    others = (_busy() - busy - (_own() - own)) / (seconds * (os.cpu_count() or 1))
    return count / seconds, max(0.0, others) if others == others else 0.0


def alternate(contenders: Mapping[str, Contender], *, seconds: float, rounds: int) -> tuple[Rates, float]:
    """Images a second of each contender in each round, and the worst share of CPU that others used.

    The contenders take turns of about `seconds`, so that a slow minute of the machine slows them all. A turn in which
    other processes used more than 5 % of the CPU is repeated after a pause, at most twice, and the quietest kept.
    """
    counts = {name: _count(contender, seconds) for name, contender in contenders.items()}
    rates: Rates = {name: [] for name in contenders}
    worst = 0.0
    for turn in range(rounds):
        for name in list(contenders) if turn % 2 == 0 else reversed(list(contenders)):
            tries = [timed(contenders[name], counts[name])]
            while len(tries) < _TRIES and tries[-1][1] > _QUIET:
                time.sleep(_PAUSE)
                tries.append(timed(contenders[name], counts[name]))
            rate, others = min(tries, key=lambda t: t[1])
            rates[name].append(rate)
            worst = max(worst, others)
    return rates, worst


def _count(contender: Contender, seconds: float) -> int:
    """How many images take about that long, warm, in whole batches."""
    timed(contender, contender.unit)
    count, rate = contender.unit, timed(contender, contender.unit)[0]
    while count / rate < seconds / 4:
        count *= 4
        rate, _ = timed(contender, count)
    return contender.unit * max(1, round(rate * seconds / contender.unit))


def ratio(rates: Mapping[str, Sequence[float]], of: str, to: str) -> float:
    """Median over rounds of one contender's rate against another's in the same round."""
    return statistics.median(a / b for a, b in zip(rates[of], rates[to], strict=True))
