"""Run all benchmarks in order, each in a fresh process: `python -m benchmarks [--quick]` in the repository's root.

About half an hour on two cores; with `--quick` a few, whose numbers only show that everything runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from .measure import ROOT

QUICK = {
    "startup": ["--runs", "3"],
    "samples": ["--limit", "10", "--n", "10000"],
    "throughput": ["--seconds", "0.5", "--rounds", "3"],
    "quantised": ["--seconds", "0.5", "--rounds", "3", "--copies", "16"],
    "surrogate": ["--seconds", "0.5", "--rounds", "3"],
    "denoised": ["--seconds", "0.5", "--rounds", "3"],
    "transforms": ["--seconds", "0.5", "--rounds", "3"],
    "calibration": ["--seconds", "0.5", "--rounds", "2"],
    "audio": ["--seconds", "0.5", "--rounds", "3"],
    "memory": ["--network", "digits", "--n", "10000", "100000"],
    "gpu": ["--seconds", "0.5", "--rounds", "3"],
}


def main() -> int:
    """How many benchmarks failed to run; a missed goal is no failure."""
    parser = argparse.ArgumentParser(description="Run all benchmarks in order.")
    parser.add_argument("--quick", action="store_true", help="a few minutes: shows that everything runs")
    quick = parser.parse_args().quick
    failed = []
    for name, arguments in QUICK.items():
        print(f"## {name}\n", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *(arguments if quick else [])]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
