"""What the command line prints: preflight, progress, report, the state of the machine."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import fields

from ..certificate import ABSTAIN
from ..errors import SmoothcertError
from ..files.demo_files import demo_file
from ..model.classifier import Classifier, OrtClassifier
from ..model.denoiser import Denoiser
from ..report import floor_text, summarise, table
from ..report.answers import Answers
from ..report.terminal import console, counted, duration, watched
from ..runs.complete import complete
from ..runs.decisions import require_decided
from ..runs.folder import Entry, RunFolder
from ..runs.opening import OpenRun
from ..runs.preflight import Preflight, preflight
from ..runs.recipe import Recipe
from .messages import as_options
from .preprocessing import Normalisation


def print_notes(classifier: Classifier | None) -> None:
    """A line where a model's file was adapted in memory, and one on stderr for what could not be changed."""
    if not isinstance(classifier, OrtClassifier):
        return
    if classifier.denoiser:
        print(f"denoiser: {Denoiser.of_recipe(classifier.denoiser)}")
    if classifier.adapted:
        print(f"adapted in memory: {'; '.join(classifier.adapted)}")
    if classifier.warning:
        print(f"warning: {classifier.warning}", file=sys.stderr)


def print_report(recipe: Recipe, entries: Sequence[Entry], radii: Sequence[float] = ()) -> None:
    terminal = console()
    for part in table(recipe, summarise(recipe, entries, radii)):
        terminal.print(part)


def print_warning(entries: Sequence[Entry]) -> None:
    """On stderr, where it is so: what makes the numbers of a run mean less than they seem to."""
    if line := Answers.of(entries).warning:
        options = {field.name: f"--{field.name}" for field in fields(Normalisation)}
        print(f"warning: {as_options(line, options, named=False)}", file=sys.stderr)


def preflight_text(run: OpenRun, first: Preflight, done: int = 0) -> str:
    """The preflight line, and notes under it. `done`: how many of the inputs the ledger holds already."""
    question, classifier = run.question, run.classifier
    algorithm, smoothing = question.algorithm, question.smoothing.favourable
    left, numbers = len(question.indices) - done, sorted(set(algorithm.samples(smoothing)))
    samples = " to ".join(f"{n:,}" for n in numbers)
    times = [duration(left * (first.cutting + first.slices * n / first.rate)) for n in numbers]
    spent = " to ".join(times) if first.slices == 1 else f"{times[0]} if votes agree"
    each = f"for each of about {first.slices:,} slices" if first.slices > 1 else "each"
    inputs = f"{left} of {counted(len(question.indices), 'input')} left" if done else counted(left, "input")
    line = (
        f"preflight: {inputs}, {samples} samples {each}, {algorithm.goal(smoothing)}; "
        f"{first.rate:,.0f} samples/s on {classifier.provider} "
        f"({classifier.precision}, {classifier.threads} threads, batch {first.batch_size}): {spent}"
    )
    options = {"calibration": "--calibration"}
    return "\n".join([line, *(as_options(note, options, named=False) for note in first.notes)])


def show_run(run: OpenRun, folder: RunFolder, *, quiet: bool) -> str:
    """Complete the run with its preflight, progress and report. Returns a line on failed inputs, or nothing."""
    terminal, question = console(), run.question
    there, indices = folder.entries(), question.indices
    if there:
        folder.require_same(question.recipe)
    done, before, first = {entry["index"] for entry in there}, len(there), preflight(run)
    terminal.print(preflight_text(run, first, len(done & set(indices))))
    if first.warning:
        print(f"warning: {first.warning}", file=sys.stderr)
    terminal.print(f"run folder: {folder.path}")
    if there:
        require_decided(folder.path, folder.recipe(), there)
        terminal.print(f"resumed: {before} of {len(done | set(indices))} inputs were there already")
    with watched("certifying", len(indices), quiet=quiet, done=before) as progress:
        for number, entry in enumerate(complete(folder, run), start=before + 1):
            progress(number)
            if not quiet and not terminal.is_terminal:
                terminal.print(entry_text(entry, attacked=question.attack is not None))
    entries = folder.entries()
    if more := len(done - set(indices)):
        limit = question.recipe["selection"].get("limit")
        terminal.print(f"more than --limit {limit}: {more} inputs of the ledger are beyond it, and reported too")
    print_warning(entries)
    print_report(folder.recipe(), entries)
    failed = [entry for entry in entries if "error" in entry]
    return f"{len(failed)} of {len(entries)} inputs failed, the first: {failed[0]['error']}" if failed else ""


def entry_text(entry: Entry, *, attacked: bool = False) -> str:
    """One input in a line: `12 label 3 predicts 3 radius 0.812 (1.2 s)`; `attacked`: a prediction certifies a set."""
    head = str(entry["index"]) + ("" if entry["label"] is None else f" label {entry['label']}")
    if "error" in entry:
        return f"{head} failed: {entry['error']}"
    certificate = entry["certificate"]
    if certificate["prediction"] == ABSTAIN:
        return f"{head} abstains, {certificate['reason']} ({entry['seconds']:.2f} s)"
    wrong = " (wrong)" if entry["label"] not in (None, certificate["prediction"]) else ""
    certified = " certified" if attacked else ""
    radius = f" radius {floor_text(certificate['radius'])}" if certificate["radius"] else ""
    return f"{head} predicts {certificate['prediction']}{wrong}{certified}{radius} ({entry['seconds']:.2f} s)"


def print_doctor() -> bool:
    """Print the state of this machine; whether a model can run on it."""
    import cv2
    import numpy
    import onnx
    import scipy

    from .. import __version__
    from ..model import providers

    print(f"smoothcert {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"numpy {numpy.__version__}, scipy {scipy.__version__}, onnx {onnx.__version__}, opencv {cv2.__version__}")
    found = providers.distributions()
    print("ONNX Runtime: " + (", ".join(f"{name} {version}" for name, version in found.items()) or "none installed"))
    started = [name for name in providers.PROVIDERS if _starts(name)]
    if not started:
        print("no provider starts")
        return False
    print(f"throughput: {_throughput(started[-1]):,.0f} noisy 32x32 digits a second on {started[-1]}")
    return True


def _starts(provider: str) -> bool:
    try:
        OrtClassifier(demo_file("digits.onnx"), providers=provider)
    except SmoothcertError as error:
        print(f"no: {error}")
        return False
    print(f"provider {provider} starts")
    return True


def _throughput(provider: str) -> float:
    from ..inputs.datasets import open_dataset
    from ..sampling import ESTIMATION, Sampler
    from ..smoothing import Noise, compose

    classifier = OrtClassifier(demo_file("digits.onnx"), providers=provider)
    x = classifier.prepare(open_dataset(demo_file("digits.npz")).load(0).x)
    sampler = Sampler(classifier, compose(Noise(0.5)).perturbation, x, key=0, index=0)
    sampler.counts(ESTIMATION, 0, 1000)
    start = time.perf_counter()
    sampler.counts(ESTIMATION, 0, 20_000)
    return 20_000 / (time.perf_counter() - start)
