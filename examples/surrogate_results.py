"""What a surrogate certifies: the tables of the GSmooth paper on the digits, one command each.

    python examples/surrogate_results.py ranges BUNDLE        certified accuracy over growing ranges, way by way
    python examples/surrogate_results.py attack BUNDLE        the worst of a grid and of random search (its table 2)
    python examples/surrogate_results.py noise BUNDLE         sigma1 against sigma2 (its table 3)
    python examples/surrogate_results.py corruptions BUNDLE   other corruptions than the one trained on (its table 4)
    python examples/surrogate_results.py pictures BUNDLE OUT  input, attacked, imitated

BUNDLE is a folder of `smoothcert export surrogate`, such as examples/train_surrogate.py makes. Each prints a Markdown
table over the first `--limit` test digits of the package. Sampled numbers depend on nothing but the bundle.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smoothcert import (
    Certificate,
    CodeNoise,
    OrtClassifier,
    certify,
    certify_enumerated,
    demo_file,
    open_surrogate,
    predict,
    read_published,
)
from smoothcert.algorithms import Slices
from smoothcert.certification import run
from smoothcert.report.ends import draw
from smoothcert.smoothing import Attack, Range, Smoothing
from smoothcert.smoothing.coded import planar
from smoothcert.smoothing.transform import attacked, transform_of
from smoothcert_calibration.surrogates import measure

STEPS = 5  # ranges, from a fifth of the trained one to all of it
POINTS = 41  # of a range that has no end of members
PUBLISHED = CodeNoise(sigma1=0.25, sigma2=0.5)  # for the paper's bound, which takes no fitted noise
CORRUPTIONS = {
    "blur": 1.5, "brightness": 0.15, "contrast": 0.6, "defocus-blur": 2.0, "zoom-blur": 1.25, "motion-blur": 4,
    "pixelate": 0.5, "rotational-blur": 8.0, "rotation": 6.0, "shear": 0.08, "jpeg": 30,
}  # fmt: skip


class Setting:
    """A bundle, the classifier that it was joined with, and the first test digits."""

    def __init__(self, path: Path, limit: int, n: int, threads: int | None) -> None:
        self.opened, self.n = open_surrogate(path), n
        self.classifier = OrtClassifier(path / "model.onnx", threads=threads)
        with np.load(demo_file("digits.npz")) as digits:
            self.images, self.labels = digits["x"][:limit], digits["y"][:limit].tolist()
        self.transform, self.whole = self.opened.bundle.transform, self.opened.bundle.trained
        self.name = self.transform.name

    @property
    def finite(self) -> bool:
        """Whether intervals have finitely many outcomes."""
        try:
            self.transform.members_on(self.whole, self.images[0].shape)
        except ValueError:
            return False
        return True

    def part(self, share: float) -> Range:
        """That share of the trained range, around the value that changes nothing."""
        low, high = (self.transform.identity + share * (end - self.transform.identity) for end in self._ends)
        whole = self.name == "motion-blur"
        return Range(round(low) if whole else low, round(high) if whole else high)

    @property
    def _ends(self) -> tuple[float, float]:
        return self.whole.low, self.whole.high

    def attack(self, r: Range) -> Attack:
        """All values of a range, or a grid of those that have no end."""
        return Attack(((self.name, r if self.finite else Range(r.low, r.high, POINTS)),))

    def accuracy(self, answers: Iterable[int]) -> str:
        """The share of right answers, in percent."""
        right = [int(answer) == label for answer, label in zip(answers, self.labels, strict=True)]
        return f"{100 * np.mean(right):.1f}"

    def certificates(self, smoothing: Smoothing, attack: Attack) -> list[Certificate]:
        """Fixed n votes for each digit."""
        return [
            certify(self.classifier, smoothing, x, n=self.n, key=7, index=i, attack=attack)
            for i, x in enumerate(self.images)
        ]

    def values(self, r: Range) -> list[Any]:
        """The members of a range, or a fine grid of it."""
        fine = r if self.finite else Range(r.low, r.high, POINTS)
        return list(self.transform.members_on(fine, self.images[0].shape))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print Markdown."""
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def held(smoothing: Any, found: Sequence[Certificate], attack: Attack) -> list[int]:
    """The certified class for each digit over a part of the attacks, from the votes there are; -1 for none."""
    answers = []
    for c in found:
        own = smoothing.of_evidence(c.evidence)
        label = max(c.evidence.selection, key=lambda k: (c.evidence.selection[k], -k))
        answers.append(label if own.survives(attack, c.p_lower, c.p_upper) else -1)
    return answers


def ranges(setting: Setting, published: bool) -> None:
    """Certified accuracy over growing ranges: exact with fitted and published noise, paper, slices, enumeration."""
    parts = [setting.part((step + 1) / STEPS) for step in range(STEPS)]
    rows = []
    whole = setting.attack(setting.whole)
    ways: dict[str, Smoothing] = {"exact, fitted noise": setting.opened.smoothing(attack=whole)}
    if published and setting.opened.lipschitz is not None:
        ways[f"exact, {PUBLISHED}"] = setting.opened.smoothing(PUBLISHED, whole)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "constants"
            measure(setting.opened, map(setting.classifier.prepare, setting.images), file)
            ways[f"paper, {PUBLISHED}"] = setting.opened.smoothing(PUBLISHED, published=read_published(file))
    for name, smoothing in ways.items():
        asked = Attack(((setting.name, setting.whole),)) if smoothing.guarantee == "paper" else whole
        found = setting.certificates(smoothing, asked)
        kinds = [Attack(((setting.name, r),)) for r in parts] if asked is not whole else map(setting.attack, parts)
        if setting.finite or asked is not whole:
            shares = [setting.accuracy(held(smoothing, found, part)) for part in kinds]
        else:  # another grid for each range
            shares = [setting.accuracy(c.prediction for c in _over(setting, smoothing, part)) for part in kinds]
        rows.append([name, *shares])
    slices = [Slices(Attack(((setting.name, r),)), setting.n, 0.001) for r in parts]
    if setting.finite:
        rows.append(["slices, fitted noise", *(setting.accuracy(_sliced(setting, one)) for one in slices)])
    rows.append(["enumeration, the model itself", *(setting.accuracy(_enumerated(setting, r)) for r in parts)])
    table([f"certified accuracy, % ({len(setting.images)} digits, n = {setting.n})", *map(str, parts)], rows)


def _over(setting: Setting, smoothing: Any, attack: Attack) -> list[Certificate]:
    return setting.certificates(setting.opened.smoothing(smoothing.noise, attack), attack)


def _sliced(setting: Setting, algorithm: Slices) -> list[int]:
    smoothing = setting.opened.smoothing(attack=algorithm.attack)
    return [
        run(algorithm, setting.classifier, smoothing, x, key=7, index=i).prediction
        for i, x in enumerate(setting.images)
    ]


def _enumerated(setting: Setting, r: Range) -> list[int]:
    return [certify_enumerated(setting.classifier, x, setting.attack(r)).prediction for x in setting.images]


def attack(setting: Setting, votes: int = 200, tries: int = 8) -> None:
    """Accuracy under the worst of a grid, and of random attacks, against certified accuracy."""
    smoothing = setting.opened.smoothing(attack=setting.attack(setting.whole))
    certified = setting.accuracy(c.prediction for c in setting.certificates(smoothing, setting.attack(setting.whole)))
    rng, answers = np.random.default_rng(0), {"smoothed": list[int](), "plain": list[int]()}
    for i, (x, label) in enumerate(zip(setting.images, setting.labels, strict=True)):
        values = setting.values(setting.whole)
        own = smoothing.of_input(setting.classifier.prepare(x))
        far = sorted(own.found, key=lambda row: -row.deviations)[: tries // 2]  # what moves the code most
        chosen = [row.first for row in far] + rng.choice(values, tries - len(far)).tolist()
        images = [attacked(x[..., None], [(setting.transform, value)])[..., 0] for value in values]
        plain = [setting.classifier.answer(setting.classifier.prepare(image)) for image in images]
        votes_of = [
            predict(setting.classifier, smoothing, attacked(x[..., None], [(setting.transform, value)])[..., 0],
                    n=votes, alpha=0.05, key=11, index=i).prediction
            for value in chosen
        ]  # fmt: skip
        answers["plain"].append(label if all(answer == label for answer in plain) else -1)
        answers["smoothed"].append(label if all(answer in (label, -1) for answer in votes_of) else -1)
    rows = [[certified, *(setting.accuracy(found) for found in answers.values())]]
    table(["certified, %", "attacked, smoothed, %", "attacked, plain, %"], rows)


def noise(setting: Setting) -> None:
    """Certified accuracy of two fifths of the range by sigma1 (down) and sigma2 (across), the classifier as it is."""
    across, rows = (0.1, 0.25, 0.5, 0.75), []
    whole = setting.attack(setting.part(2 / STEPS))
    for sigma1 in (0.1, 0.25, 0.5, 1.0):
        found = (setting.opened.smoothing(CodeNoise(sigma1=sigma1, sigma2=sigma2), whole) for sigma2 in across)
        shares = (setting.accuracy(c.prediction for c in setting.certificates(one, whole)) for one in found)
        rows.append([f"{sigma1:g}", *shares])
    table([f"{whole}, sigma1 \\ sigma2", *map(str, across)], rows)


def corruptions(setting: Setting, votes: int = 200) -> None:
    """Accuracy, of the smoothed classifier and the plain one, under corruptions that it was not trained on."""
    smoothing, rows = setting.opened.smoothing(), []
    for name, value in CORRUPTIONS.items():
        transform = transform_of(name, {})
        images = [attacked(x[..., None], [(transform, value)])[..., 0] for x in setting.images]
        smoothed = (
            predict(setting.classifier, smoothing, image, n=votes, alpha=0.4, key=13, index=i).prediction
            for i, image in enumerate(images)
        )
        plain = (setting.classifier.answer(setting.classifier.prepare(image)) for image in images)
        rows.append([f"{name} {value:g}", setting.accuracy(smoothed), setting.accuracy(plain)])
    table([f"surrogate of {setting.name}", "smoothed, %", "plain, %"], rows)


def pictures(setting: Setting, out: Path, digit: int = 0) -> None:
    """One digit: as it is, attacked at the end of the range, and what the surrogate makes of it."""
    value = setting.whole.high if setting.transform.identity != setting.whole.high else setting.whole.low
    image = setting.images[digit][..., None]
    made = setting.opened.imitated(planar(image), np.array([setting.opened.xi(value)]))[0]
    imitated = np.moveaxis(np.clip(np.rint(made * 255), 0, 255).astype(np.uint8), 0, -1)
    real = attacked(image, [(setting.transform, value)])
    draw([("input", image), (f"{setting.name} {value:g}", real), ("imitated by the surrogate", imitated)], out)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ranges", "attack", "noise", "corruptions", "pictures"))
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("surrogate.png"))
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--published", action="store_true", help="ranges: the paper's noise and bound as well")
    asked = parser.parse_args()
    setting = Setting(asked.bundle, asked.limit, asked.n, asked.threads)
    commands: dict[str, Callable[[], None]] = {
        "ranges": lambda: ranges(setting, asked.published),
        "attack": lambda: attack(setting),
        "noise": lambda: noise(setting),
        "corruptions": lambda: corruptions(setting),
        "pictures": lambda: pictures(setting, asked.out),
    }
    commands[asked.what]()


if __name__ == "__main__":
    main()
