"""Wall time of `smoothcert --help`, against starting Python itself.

Median of several fresh processes, files already in the operating system's cache.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from .measure import cores, environment, table, verdict

GOAL = 0.5  # seconds


def seconds(command: list[str], runs: int) -> float:
    """Median wall time of a command, the first run not counted."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    print(environment(cores()), flush=True)
    bare = seconds([sys.executable, "-c", "pass"], runs)
    ours = seconds([str(Path(sys.executable).with_name("smoothcert")), "--help"], runs)
    rows = [
        ["python -c pass", f"{bare:.3f} s", "", ""],
        ["smoothcert --help", f"{ours:.3f} s", f"<= {GOAL} s", verdict(ours, GOAL, at_least=False)],
    ]
    table(["command", "wall time", "goal", ""], rows)


if __name__ == "__main__":
    main()
