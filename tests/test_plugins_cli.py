"""Users' own transformations on the command line: the walk of docs/plugins.md, and runs that ask for their plugin."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Result
from .plugged import EXAMPLE, tables_kept

PAGE = EXAMPLE.parents[1] / "docs" / "plugins.md"
DIGITS = ("demo:digits.onnx", "demo:digits.npz")
Cli = Callable[..., Result]
Forget = Callable[[], None]


@pytest.fixture(autouse=True)
def forget() -> Iterator[Forget]:
    """Takes out what was added, as another process would begin."""
    with tables_kept() as take_out:
        yield take_out


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The example, in the folder that commands run in."""
    return Path(shutil.copy(EXAMPLE, tmp_path))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_shows_the_example() -> None:
    text = EXAMPLE.read_text()
    code = blocks("python")
    assert len(code) == 4
    assert all(block in text for block in code)


def shown(line: str) -> str:
    """A line of output as a pattern: `...` is anything, and so is the width of a table's columns."""
    return re.sub(r"(\\ )+", r"\\s+", re.escape(line)).replace(r"\.\.\.", ".*")


def test_the_commands_of_the_page_print_what_it_shows(cli: Cli, plugin: Path, forget: Forget) -> None:
    """Every command, in the page's order, each as a process of its own."""
    assert plugin.exists()
    commands = [part for block in blocks("console") for part in block.split("$ smoothcert ")[1:]]
    assert len(commands) == 9
    for command in commands:
        line, *lines = command.rstrip("\n").split("\n")
        forget()
        result = cli(*shlex.split(line))
        failed = any(said.startswith("smoothcert: ") for said in lines)
        assert result.code == (2 if failed else 0), (line, result)
        for said in lines:
            assert re.search(f"^{shown(said)}$", result.err if failed else result.out, re.MULTILINE), (
                line,
                said,
                result,
            )


RUNS = {
    "enumerated": ["--mode", "enumerate", "--attack", "bits=4:8:5", "--attack", "swirl=-4:4:3"],
    "exact": ["--smooth", "vignette=0.3", "--n", "200"],
    "sliced": ["--mode", "slices", "--smooth", "noise=0.5", "--attack", "faded=0:0.1", "--n", "20000"],
}
SLICED = """

@dataclass(frozen=True)
class Fade(Transform):
    name, unit, kind, identity, help = "faded", "share of the light", "additive", 0.0, "darker"

    def apply(self, image, value):
        return np.floor(image * (1 - value)).astype(np.uint8)

    def enclose(self, image, low, high):
        yield self.apply(image, high), self.apply(image, low)
"""


@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS)
def test_a_run_asks_for_the_plugin_that_it_had(cli: Cli, plugin: Path, forget: Forget, options: list[str]) -> None:
    """Whoever reads it: missing, the same, and another by one byte."""
    plugin.write_text(plugin.read_text() + SLICED)
    made = cli("certify", *DIGITS, "--plugin", plugin.name, *options, "--limit", 2, "--run", "r", "-q")
    assert made.code == 0, made
    recipe = Path("r/recipe.toml").read_text()
    assert f'path = [\n    "{plugin}",\n]' in recipe
    readers = (("verify", "r"), ("report", "r"), ("audit", "r", "-q", "--attacks", 2))
    for reader in readers:
        forget()
        asked = cli(*reader)
        assert asked.code == 2
        assert re.fullmatch(
            r"smoothcert: \w+: expected the plugin that it comes from, SHA-256 \w{64}, got none; pass --plugin\n",
            asked.err,
        )
        forget()
        assert cli(*reader, "--plugin", plugin).code == 0
    forget()
    assert cli("verify", "r", "--redraw", 2, "--plugin", plugin).code == 0
    plugin.write_text(plugin.read_text() + "#\n")
    for reader in readers:
        forget()
        asked = cli(*reader, "--plugin", plugin)
        assert asked.code == 2
        assert "; pass the file as it was" in asked.err
    forget()
    again = cli("certify", *DIGITS, "--plugin", plugin, *options, "--limit", 2, "--run", "r", "-q")
    assert (again.code, "r holds another run: " in again.err) == (2, True)


def test_a_run_goes_on_wherever_its_plugin_lies(cli: Cli, plugin: Path, forget: Forget, tmp_path: Path) -> None:
    command = ("certify", *DIGITS, "--smooth", "vignette=0.3", "--n", 200, "--run", "r", "-q", "--plugin")
    assert cli(*command, plugin, "--limit", 1).code == 0
    (tmp_path / "other").mkdir()
    moved = Path(shutil.move(plugin, tmp_path / "other" / "renamed.py"))
    forget()
    assert cli(*command, moved, "--limit", 2).code == 0
    assert len(Path("r/ledger.jsonl").read_text().splitlines()) == 2


def test_a_path_in_a_recipe_runs_nothing(cli: Cli, plugin: Path, forget: Forget, tmp_path: Path) -> None:
    """Whatever a run folder names as its plugin is not looked at."""
    attack = ("--mode", "enumerate", "--attack", "bits=4:8:5")
    assert cli("certify", *DIGITS, "--plugin", plugin, *attack, "--limit", 1, "--run", "r", "-q").code == 0
    trap = tmp_path / "trap.py"
    trap.write_text("open('sprung', 'w')\n")
    recipe = Path("r/recipe.toml")
    recipe.write_text(recipe.read_text().replace(str(plugin), str(trap)))
    forget()
    assert cli("verify", "r").code == 2
    assert not Path("sprung").exists()


def test_a_recipe_that_hides_its_plugin_is_found_out(cli: Cli, plugin: Path) -> None:
    """Removed by hand, with the plugin loaded: `verify` says what belongs there, and nothing is reported."""
    attack = ("--mode", "enumerate", "--attack", "bits=4:8:5")
    assert cli("certify", *DIGITS, "--plugin", plugin, *attack, "--limit", 1, "--run", "r", "-q").code == 0
    recipe = Path("r/recipe.toml")
    text, start = recipe.read_text(), "[algorithm.plugins]"
    recipe.write_text(re.sub(re.escape(start) + r'\nbits = "\w+"\n', "", text))
    assert start not in recipe.read_text()
    verdict = cli("verify", "r", "--plugin", plugin)
    assert verdict.code == 1
    assert "wrong: recipe: expected [algorithm] to say" in verdict.out
    assert cli("report", "r", "--plugin", plugin).code == 2


def test_runs_without_plugins_say_nothing_of_them(cli: Cli) -> None:
    assert cli("certify", *DIGITS, "--smooth", "noise=0.5", "--n", 200, "--limit", 1, "--run", "r", "-q").code == 0
    assert "plugin" not in Path("r/recipe.toml").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "expected a Transform or a Part that it defines itself, each with a name, got none"),
        ("import this is not Python\n", "it failed: SyntaxError: invalid syntax"),
    ],
)
def test_a_plugin_that_is_none_is_one_line(cli: Cli, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    result = cli("check", "bits=1:8:8", "--plugin", "bad.py")
    assert result.code == 2
    assert result.err.startswith(f"smoothcert: plugin bad.py: {message}")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wobble=3", "check: expected NAME=SCALE or NAME=LOW:HIGH with NAME one of noise, .*, got 'wobble=3'"),
        ("rotation", "check: expected NAME=SCALE or NAME=LOW:HIGH with NAME one of .*, got 'rotation'"),
        ("rotation=a:b", "expected NAME=VALUE, NAME=LOW:HIGH or"),
        ("rotation=x", "--smooth rotation: expected rotation=SCALE with a number"),
        ("blur=0:3", "no end of members"),
    ],
)
def test_what_cannot_be_checked_is_refused(cli: Cli, text: str, message: str) -> None:
    result = cli("check", text)
    assert result.code == 2
    assert re.search(message, result.err)


def test_check_says_what_fails_and_where(cli: Cli, plugin: Path) -> None:
    """Exit code 1, and the line that says how far off which case is."""
    plugin.write_text(plugin.read_text().replace("out *= np.exp(", "out *= 1.01 * np.exp("))
    result = cli("check", "vignette=0.3", "--plugin", plugin)
    assert result.code == 1
    assert re.search(
        r"^FAILED   own form: the identity changes nothing: 12 cases, off by 0.0", result.out, re.MULTILINE
    )
    assert re.search(r"^vignette=0.3: 19 checks, [1-9] failed$", result.out, re.MULTILINE)
