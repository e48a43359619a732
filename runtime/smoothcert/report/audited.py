"""What an audit leaves: a line for each changed answer, pairs of pictures, audit.json, and a closing line."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import __version__
from ..audit.audits import Audit
from ..audit.members import Delta, Member
from ..audit.replay import Pictures, Replay
from ..bounds.confidence import binomial_ppf
from ..certificate import ABSTAIN
from ..files.writing import write_atomically
from .summary import averaged, failures
from .terminal import console, watched

_SUFFIXES = ("original", "attacked")


def member_text(attack: Member) -> str:
    """`rotation 12.5, scaling 1.1`; the identity is `no attack`."""
    return ", ".join(f"{name} {_text(value)}" for name, value in attack.items()) or "no attack"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(f'{v:.9g}' for v in value)})"
    return str(value) if isinstance(value, Delta) else f"{value:.9g}"


def file_name(replay: Replay) -> str:
    """INDEX-ATTACK, in letters, digits and a few signs."""
    words = member_text(replay.member).replace(", ", "-" if len(replay.member) > 1 else ",")
    kept = (c if c.isalnum() or c in "+-.," else "" for c in words.replace(" (", "-"))
    return f"{replay.index}-{''.join(kept)}"


def line(replay: Replay) -> str:
    """A changed answer in a line."""
    votes = ", ".join(f"{label}: {count}" for label, count in sorted(replay.votes.items(), key=lambda v: -v[1]))
    head, tail = "violation", ""
    if replay.outcome == "beyond":
        head, tail = "beyond the attack model (float-unclipped)", f": rounding or saturation; {replay.note}"
    return (
        f"{head}: input {replay.index} under {member_text(replay.member)}: certified class {replay.certified}, "
        f"answer {replay.answer} (votes {votes}; {replay.arithmetic} arithmetic){tail}"
    )


@dataclass(frozen=True)
class Outcome:
    """The counts of an audit."""

    certificates: int
    counts: Counter[str]  # of replays, by outcome
    violated: int  # inputs with a violation
    allowed: int | None  # false certificates that alpha allows; None: a claim on average over inputs bounds no number
    level: float  # probability that there are no more

    @property
    def text(self) -> str:
        """The closing line."""
        c = self.counts
        beyond = f", {c['beyond']} changed beyond the attack model" if c["beyond"] else ""
        per = f" in {self.violated} certificates" if self.violated else ""
        allowed = "the claim is on average over inputs, and bounds no number of false certificates"
        if self.allowed is not None:
            of = f"among {self.certificates} ({100 * self.level:g}% of the time no more)"
            allowed = f"alpha allows {self.allowed} false certificates {of}"
        return (
            f"{self.certificates} certificates audited, {c.total()} attacks replayed: {c['confirmed']} confirmed, "
            f"{c['undecided']} undecided{beyond}, {c['violation']} violations{per}; {allowed}"
        )


def outcome(audit: Audit, replays: Sequence[Replay]) -> Outcome:
    """Count; false certificates are bounded as in the report of the run."""
    m, (alpha, shared) = len(audit.entries), failures(audit.question.recipe)
    violated = {replay.index for replay in replays if replay.outcome == "violation"}
    allowed = None if averaged(audit.question.recipe) else binomial_ppf(1 - alpha, m, alpha) if alpha else 0
    return Outcome(m, Counter(r.outcome for r in replays), len(violated), allowed, 1 - shared - alpha)


def show_audit(audit: Audit, run: Path, *, quiet: bool = False) -> bool:
    """Replay, print, write RUN/audit.json and the pictures in RUN/audit. Returns whether there is a violation."""
    terminal = console()
    for suffix, kind in itertools.product(_SUFFIXES, ("png", "npy")):  # pictures of an earlier audit
        for path in (run / "audit").glob(f"*-{suffix}.{kind}"):
            path.unlink()
    found: list[Replay] = []
    with watched("auditing", len(audit.entries), quiet=quiet) as progress:
        for done, entry in enumerate(audit.entries, start=1):
            of_entry: list[Replay] = []
            for replay in audit.replays(entry):
                of_entry.append(replay)
                if replay.pictures is not None:
                    where = _draw(replay, replay.pictures, run / "audit")
                    if replay.outcome == "violation" or not quiet:
                        terminal.print(f"{line(replay)}; {where}")
            found += of_entry
            progress(done)
            if not quiet and not terminal.is_terminal:
                terminal.print(_entry_text(of_entry))
    result = outcome(audit, found)
    write_atomically(run / "audit.json", (json.dumps(_plain(audit, result, found), indent=1) + "\n").encode())
    terminal.print(result.text)
    return result.violated > 0


def _entry_text(replays: Sequence[Replay]) -> str:
    counts = Counter(replay.outcome for replay in replays)
    words = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    notes = {replay.note for replay in replays if not replay.votes}
    head = f"{replays[0].index} class {replays[0].certified}: {words}"
    return head + "".join(f" ({note})" for note in sorted(notes)[:1])


def _plain(audit: Audit, result: Outcome, replays: Sequence[Replay]) -> dict[str, Any]:
    return {
        "smoothcert": __version__,
        "seed": audit.seed,
        "confidence": audit.confidence,
        "n": audit.n,
        "alpha_each": 0.0 if audit.question.algorithm.enumerates else audit.alpha,
        "attacks": audit.attacks,
        "certificates": result.certificates,
        "counts": {name: result.counts[name] for name in ("confirmed", "undecided", "beyond", "violation")},
        "violated": result.violated,
        "allowed": result.allowed,
        "replays": [_replay(replay) for replay in replays],
    }


def _replay(replay: Replay) -> dict[str, Any]:
    deltas = {n: {"norm": v.norm, "direction": v.label} for n, v in replay.member.items() if isinstance(v, Delta)}
    return {
        "index": replay.index,
        "attack": {**replay.member, **deltas},
        "certified": replay.certified,
        "answer": None if replay.answer == ABSTAIN else replay.answer,
        "votes": {str(label): count for label, count in sorted(replay.votes.items())},
        "outcome": replay.outcome,
        "arithmetic": replay.arithmetic,
        **({"note": replay.note} if replay.note else {}),
        **({"pictures": file_name(replay)} if replay.pictures is not None else {}),
    }


def _draw(replay: Replay, pictures: Pictures, folder: Path) -> str:
    """Write the pair, as PNG, or .npy where the data are no 8-bit images; returns a line on where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    name = file_name(replay)
    kind = "png" if pictures[0].dtype == np.uint8 else "npy"
    for suffix, picture in zip(_SUFFIXES, pictures, strict=True):
        path = folder / f"{name}-{suffix}.{kind}"
        if kind == "npy":
            np.save(path, picture)
        else:
            code = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(picture.shape[2])
            _, content = cv2.imencode(".png", picture if code is None else cv2.cvtColor(picture, code))
            path.write_bytes(content.tobytes())
    return f"{folder / name}-{{{','.join(_SUFFIXES)}}}.{kind}"
