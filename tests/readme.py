"""The commands of a Markdown page, run as they stand, and what the page shows of their output.

    python -m tests.readme [--write]

says where README.md shows other output than its commands print now, or with --write puts that into it.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
Fits = Callable[[str, str], bool]


@dataclass(frozen=True)
class Command:
    """A line `$ text` of a console block, its number on the page, and the lines of output that are shown below it."""

    text: str
    line: int
    shown: tuple[str, ...]

    @property
    def words(self) -> str:
        """What the shell gets."""
        return self.text.partition("  #")[0].rstrip()

    @property
    def runs(self) -> bool:
        """Whether it is run here: `make` sets up the environment that the others run in, and is what runs the tests."""
        return not self.words.startswith("make ")

    @property
    def repeats(self) -> bool:
        """Whether it prints the same each time, but for seconds: nothing is drawn afresh."""
        draws = {"certify": "--nonce", "predict": "--nonce", "audit": "--seed"}
        fixed = [option in self.words for name, option in draws.items() if f"smoothcert {name} " in self.words]
        return "--mode enumerate" in self.words or all(fixed)


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: tuple[str, ...]
    err: str


def commands(page: str) -> list[Command]:
    """Those of the page's console blocks, in order."""
    found: list[Command] = []
    console = False
    for number, line in enumerate(page.splitlines()):
        if line.startswith("```"):
            console = line == "```console"
        elif console and line.startswith("$ "):
            found.append(Command(line[2:], number, ()))
        elif console and found:
            found[-1] = Command(found[-1].text, found[-1].line, (*found[-1].shown, line))
    return found


def run(command: Command, folder: Path) -> Done:
    """Run it in the folder as a reader's shell would, with this environment's programs first on the PATH."""
    programs = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command.words], cwd=folder, capture_output=True, text=True, env=os.environ | {"PATH": programs}
    )
    return Done(done.returncode, tuple(done.stdout.splitlines()), done.stderr)


def like_a_clone(folder: Path) -> None:
    """What the commands expect of the folder that `make demo` has run in: the environment, and the examples."""
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "examples").symlink_to(ROOT / "examples")


# --- What has to agree ------------------------------------------------------------------------------------------------


def differences(command: Command, out: tuple[str, ...]) -> list[str]:
    """Lines that the page shows, and that the command no longer prints.

    Titles, heads of tables and preflights are not compared, nor are seconds. Numbers have to agree where the command
    `repeats`; otherwise rows agree to three points, and other lines but for their numbers.
    """
    fits = same if command.repeats else near
    return [line for line in _compared(command.shown) if not any(fits(line, other) for other in out)]


def same(line: str, other: str) -> bool:
    """Alike but for the width of cells, and for seconds."""
    return _timeless(line) == _timeless(other)


def near(line: str, other: str) -> bool:
    """Alike but for numbers; in rows, percentages within three points, the first cell and all else alike."""
    if not line.startswith("│"):
        return _blurred(line) == _blurred(other)
    if len(cells(line)) != len(cells(other)) or cells(line)[0] != cells(other)[0]:
        return False
    return all(_close(a, b) for a, b in zip(cells(line), cells(other), strict=True))


def cells(row: str) -> list[str]:
    """Of a table's row, without the space around them."""
    return [cell.strip() for cell in row.strip("│").split("│")]


def _close(a: str, b: str) -> bool:
    if a == b or not (a.endswith("%") and b.endswith("%")):
        return a == b
    return abs(float(a[:-1]) - float(b[:-1])) <= 3


def _compared(shown: tuple[str, ...]) -> Iterator[str]:
    for line, after in zip(shown, (*shown[1:], ""), strict=False):
        border = line[:1] in "┏┃┡└" or line in ("", "...")
        if not border and not after.startswith("┏") and not line.startswith("preflight: "):
            yield line


def _timeless(line: str) -> str:
    return " ".join(re.sub(r"\d+\.\d+ s\b", "# s", line).replace("│", " │ ").split())


def _blurred(line: str) -> str:
    return re.sub(r"\d[\d,.]*", "#", _timeless(line))


# --- What is written --------------------------------------------------------------------------------------------------


def updated(command: Command, out: tuple[str, ...]) -> tuple[str, ...]:
    """What the page shows, of this output: the same choice of lines as before; those that are not found stay.

    Stretches between `...` that hold a whole table are taken from their first line to their last; of other lines,
    each is replaced by the one that is most like it.
    """
    lines: list[str] = []
    stretch: list[str] = []
    for line in (*command.shown, "..."):
        if line != "...":
            stretch.append(line)
            continue
        lines += [*_stretch(stretch, out), "..."]
        stretch = []
    return tuple(lines[:-1])


def _stretch(shown: list[str], out: tuple[str, ...]) -> list[str]:
    if not any(line.startswith("┏") for line in shown):
        return [_most_like(line, out) for line in shown]
    first, last = _most_like(shown[0], out), _most_like(shown[-1], out)
    if first not in out or last not in out:
        return shown
    return list(out[out.index(first) : out.index(last) + 1])


def _most_like(line: str, out: tuple[str, ...]) -> str:
    if line.startswith("│"):
        rows = [other for other in out if other.startswith("│") and cells(other)[0] == cells(line)[0]]
        return rows[0] if rows else line
    others = [other for other in out if other and not other.startswith("│")]
    alike = [other for other in others if other.split()[:1] == line.split()[:1]]
    found = difflib.get_close_matches(line, alike or others, 1, 0.5)
    return found[0] if found else line


def main() -> None:
    """Run the README's commands in a folder of their own; compare, or write."""
    write, page, wrong = "--write" in sys.argv[1:], README.read_text().splitlines(), 0
    with tempfile.TemporaryDirectory() as name:
        like_a_clone(Path(name))
        ran = [(command, run(command, Path(name))) for command in commands(README.read_text()) if command.runs]
    for command, done in reversed(ran):  # from below, so that numbers of lines hold while lines come and go
        place = f"README.md:{command.line + 1}"
        if done.code != 0 or done.err:
            sys.exit(f"{place}: {command.words}: exit code {done.code}, {done.err}")
        lost = differences(command, done.out)
        wrong += len(lost)
        print("".join(f"{place}: no longer printed: {line}\n" for line in lost), end="")
        if write:
            page[command.line + 1 : command.line + 1 + len(command.shown)] = updated(command, done.out)
    if write:
        README.write_text("\n".join(page) + "\n")
    sys.exit(int(wrong > 0 and not write))


if __name__ == "__main__":
    main()
