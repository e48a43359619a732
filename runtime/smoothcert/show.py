"""What the command line prints: preflight, progress, report, the state of the machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .algorithms import Slices, hopeless
from .certificate import ABSTAIN
from .demo_files import demo_file
from .errors import SmoothcertError, require
from .report import evaluation, floor_text, summarise, table
from .report.terminal import console, progress_bar
from .runs import Entry, Recipe, RunFolder
from .smoothing import Enumeration, smoothing_of

if TYPE_CHECKING:
    from .job import Job

_HINT = (
    "\nhint: the inputs look like 8-bit images divided by 255; as uint8 they would get integer noise, which is exact"
)


def print_report(recipe: Recipe, entries: Sequence[Entry], radii: Sequence[float] = ()) -> None:
    """The table and the lines under it."""
    terminal = console()
    for part in table(recipe, summarise(recipe, entries, radii)):
        terminal.print(part)


def print_evaluation(recipe: Recipe, entries: Sequence[Entry]) -> None:
    """The table of verified inputs, against the base classifier's own answers."""
    units = (entry["certificate"].get("unit", "") for entry in entries if "certificate" in entry)
    unit = next(filter(None, units), "")
    main = smoothing_of(recipe["smoothing"]).main
    unit = f"log {unit}" if unit and main and main.kind == "factor" else unit
    console().print(evaluation(summarise(recipe, entries), unit))


def print_ends(recipe: Recipe, entries: Sequence[Entry], index: int, run: Path, picture: Path | None) -> None:
    """Where the picture of an input at the ends of its certified set has been drawn."""
    from .report.ends import draw, ends

    found = ends(recipe, entries, index)
    picture = picture or run / f"ends-{index}.png"
    draw(found, picture)
    print(f"{found[0][0]} to {found[-1][0]}; picture: {picture}")


def print_region(recipe: Recipe, entries: Sequence[Entry], text: str, run: Path, picture: Path | None) -> None:
    """The table of a region, and its picture, in the run's folder unless another path is given."""
    from .report.region import draw, region, region_table

    found = region(recipe, entries, text)
    terminal = console()
    terminal.print(region_table(found))
    picture = picture or run / f"region-{'-'.join(found.names)}.png"
    draw(found, picture)
    terminal.print(f"each point for itself, {found.accuracy.size} points, nothing promised between; picture: {picture}")


def preflight_text(job: Job) -> str:
    """The preflight line, and a hint under it; `ValueError` for a run that could only abstain."""
    smoothing = job.smoothing.favourable
    reach = job.algorithm.reachable(smoothing)
    require(reach > 0, hopeless(job.algorithm, smoothing))
    first = job.preflight()
    least, most = job.algorithm.samples(smoothing)
    samples = f"{most:,}" if least == most else f"{least:,} to {most:,}"
    each = "a slice" if isinstance(job.algorithm, Slices) else "each"
    reached = "no attack named" if reach == float("inf") else f"radius up to {floor_text(reach)}"
    if job.algorithm.attack is not None:
        reached = f"p_lower above {job.algorithm.needed(smoothing):.6f} needed"
    if isinstance(job.smoothing, Enumeration):
        reached = f"all attacks: {job.smoothing.attack}"
    c = job.classifier
    fastest, slowest = (_duration(len(job.indices) * n / first.rate) for n in (least, most))
    return (
        f"preflight: {len(job.indices)} inputs, {samples} samples {each}, {reached}; "
        f"{first.rate:,.0f} samples/s on {c.provider} "
        f"({c.precision}, {c.threads} threads, batch {first.batch_size}): {fastest}"
        + ("" if least == most else f" to {slowest}")
        + (_HINT if first.disguised and all(part.whole for part in job.smoothing.parts) else "")
    )


def show_run(job: Job, folder: RunFolder, *, quiet: bool) -> str:
    """Run the job with its preflight, progress and report. Returns a line on failed inputs, or nothing."""
    terminal = console()
    terminal.print(preflight_text(job))
    terminal.print(f"run folder: {folder.path}")
    before = len(folder.entries())
    with progress_bar(terminal, quiet) as progress:
        task = progress.add_task("certifying", total=len(job.indices), completed=before)
        for entry in job.run(folder):
            progress.advance(task)
            if not quiet and not terminal.is_terminal:
                terminal.print(entry_text(entry))
    entries = folder.entries()
    if before:
        terminal.print(f"resumed: {before} of {len(entries)} inputs were there already")
    print_report(folder.recipe(), entries)
    failed = [entry for entry in entries if "error" in entry]
    return f"{len(failed)} of {len(entries)} inputs failed, the first: {failed[0]['error']}" if failed else ""


def entry_text(entry: Entry) -> str:
    """One input in a line: `12 label 3 predicts 3 radius 0.812 (1.2 s)`, with the reason where it abstained."""
    head = str(entry["index"]) + ("" if entry["label"] is None else f" label {entry['label']}")
    if "error" in entry:
        return f"{head} failed: {entry['error']}"
    certificate = entry["certificate"]
    if certificate["prediction"] == ABSTAIN:
        return f"{head} abstains, {certificate['reason']} ({entry['seconds']:.2f} s)"
    radius = f" radius {floor_text(certificate['radius'])}" if certificate["radius"] else ""
    return f"{head} predicts {certificate['prediction']}{radius} ({entry['seconds']:.2f} s)"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_doctor() -> bool:
    """Print the state of this machine; whether a model can run on it."""
    import cv2
    import numpy
    import onnx
    import scipy

    from . import __version__, providers

    print(f"smoothcert {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"numpy {numpy.__version__}, scipy {scipy.__version__}, onnx {onnx.__version__}, opencv {cv2.__version__}")
    found = providers.distributions()
    print("ONNX Runtime: " + (", ".join(f"{name} {version}" for name, version in found.items()) or "none installed"))
    started = [name for name in providers.PROVIDERS if _starts(name)]
    print(
        f"throughput: {_throughput(started[-1]):,.0f} noisy 32x32 digits a second on {started[-1]}"
        if started
        else "no provider starts"
    )
    return bool(started)


def _starts(provider: str) -> bool:
    from .classifier import OrtClassifier

    try:
        OrtClassifier(demo_file("digits.onnx"), providers=provider)
    except SmoothcertError as error:
        print(f"no: {error}")
        return False
    print(f"provider {provider} starts")
    return True


def _throughput(provider: str) -> float:
    from .classifier import OrtClassifier
    from .datasets import open_dataset
    from .sampling import ESTIMATION, Sampler
    from .smoothing import Noise

    classifier = OrtClassifier(demo_file("digits.onnx"), providers=provider)
    x = classifier.fit(open_dataset(demo_file("digits.npz")).load(0).x)
    sampler = Sampler(classifier, Noise(0.5), x, key=0, index=0)
    sampler.counts(ESTIMATION, 0, 1000)
    start = time.perf_counter()
    sampler.counts(ESTIMATION, 0, 20_000)
    return 20_000 / (time.perf_counter() - start)
