"""Users' own transformations: what a file may add, by which door, and what is kept of it in recipes."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from smoothcert import ABSTAIN, Attack, Brightness, Noise, OrtClassifier, certify, certify_enumerated, compose
from smoothcert import load_plugin as public
from smoothcert.algorithms import Enumerate, Slices
from smoothcert.calibration_file import read_calibration
from smoothcert.errors import ArgumentError, CalibrationError, DataError, PluginError
from smoothcert.inputs.datasets import open_dataset
from smoothcert.smoothing import PARTS, TRANSFORMS, Part, described, parse_part, smoothing_of
from smoothcert.smoothing.pairs import TABLE
from smoothcert.smoothing.plugins import LOADED, load_plugin
from smoothcert.smoothing.transform import attacked, transform_of
from smoothcert_calibration.measure import measure
from smoothcert_calibration.plan import plan_of

from .conftest import IMAGES, MODEL
from .models import linear
from .plugged import EXAMPLE, tables_kept

Forget = Callable[[], None]


@pytest.fixture(autouse=True)
def forget() -> Iterator[Forget]:
    """Takes out what was added, as another process would begin."""
    with tables_kept() as take_out:
        yield take_out


HEAD = "from dataclasses import dataclass\nimport numpy as np\nfrom smoothcert import Normal, Part, Transform\n"
GLOW = """
@dataclass(frozen=True)
class Glow(Transform):
    name, unit, kind, identity, help = "glow", "levels", "additive", 0.0, "an offset in levels"
    least: float = 0.0
    def apply(self, image, value):
        return np.clip(image + value, self.least, 255).astype(np.uint8)
"""
GLOWING = """
@dataclass(frozen=True)
class Glowing(Part):
    transforms, laws, composes = Glow, {"normal": Normal}, True
    pairs = (("glow least=0.0", "noise", "carries"),)
    scale: float
    law: str = "normal"
    least: float = 0.0
    def act(self, out, values, unit):
        out += (values * unit / 255).reshape(-1, 1, 1, 1, 1)
"""


def written(folder: Path, text: str = GLOW, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(HEAD + text)
    return path


# --- What a file adds -------------------------------------------------------------------------------------------------


def test_the_example_adds_one_of_each_kind() -> None:
    plugin = load_plugin(EXAMPLE)
    assert public is load_plugin
    assert plugin.sha256 == hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()
    assert (plugin.path, set(plugin.names)) == (str(EXAMPLE), {"bits", "swirl", "vignette"})
    assert LOADED[plugin.sha256] is plugin
    assert {TRANSFORMS[name].plugin for name in plugin.names} == {plugin.sha256}
    assert "bits" not in PARTS
    assert (PARTS["swirl"](5.0).composes, PARTS["vignette"](0.3).composes) == (False, True)
    assert not {kind.plugin for name, kind in TRANSFORMS.items() if name not in plugin.names} - {""}


def test_the_example_is_short() -> None:
    """One of each, of a user's own lines: imports, comments and empty lines aside."""
    lines = [line.strip() for line in EXAMPLE.read_text().splitlines()]
    own = [
        line for line in lines if line and not line.startswith(("#", '"""', "import", "from dataclasses", "from sm"))
    ]
    assert len(own) < 40


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    first, kind, part = load_plugin(path), TRANSFORMS["glow"], PARTS["glow"]
    assert load_plugin(str(path)) is first
    copy = written(tmp_path, name="copy.py")
    assert load_plugin(copy) is first  # the same bytes
    assert (TRANSFORMS["glow"], PARTS["glow"]) == (kind, part)


def test_a_changed_file_does_not_replace_what_is_there(tmp_path: Path) -> None:
    path = written(tmp_path)
    load_plugin(path)
    before = TRANSFORMS["glow"]
    path.write_text(path.read_text() + "# changed\n")
    with pytest.raises(PluginError, match=r"mine.py: glow: expected a new name, got one that is taken"):
        load_plugin(path)
    assert TRANSFORMS["glow"] is before


def test_an_additive_transformation_gets_a_part_of_its_options(tmp_path: Path) -> None:
    """Of a normal law, for a calibration; text becomes a number where the option is one."""
    load_plugin(written(tmp_path))
    part = parse_part("glow=4,least=8")
    assert (part.scale, part.law, part.transform.options) == (4.0, "normal", {"least": 8.0})
    assert (part.label, part.unit, part.form) == ("glow48.0", "levels", "glow least=8.0")
    assert described(json.loads(json.dumps(part.description))) == part
    with pytest.raises(ArgumentError, match=r"glow: least: expected a number such as 0.0, got 'high'"):
        parse_part("glow=4,least=high")
    with pytest.raises(ArgumentError, match=r"glow48.0 composes only up to an error"):
        compose(part)


def test_a_factor_gets_a_lognormal_part(tmp_path: Path) -> None:
    text = GLOW.replace('"additive", 0.0', '"factor", 1.0')
    load_plugin(written(tmp_path, text))
    part = PARTS["glow"](0.2)
    assert (part.law, part.line.name, part.coordinate(1.0)) == ("lognormal", "lognormal", 0.0)


@pytest.mark.parametrize("kind", ["variance", "listed"])
def test_other_kinds_are_enumerated_alone(tmp_path: Path, kind: str) -> None:
    load_plugin(written(tmp_path, GLOW.replace("additive", kind)))
    assert "glow" in TRANSFORMS
    assert "glow" not in PARTS


def test_a_listed_transformation_without_an_identity_takes_a_grid(tmp_path: Path) -> None:
    load_plugin(written(tmp_path, GLOW.replace('"additive", 0.0', '"listed", None')))
    members = Enumerate(Attack.of({"glow": (-4, 4, 3)})).members()
    assert members == ((None,), (-4.0,), (0.0,), (4.0,))
    assert str(Attack.of({"glow": (-4, 4, 3)})) == "glow -4:4:3 (grid: glow every 4; nothing between)"


def test_classes_of_others_and_bases_are_passed_over(tmp_path: Path) -> None:
    """What is imported is not added, nor what is abstract or has no name."""
    base = "from smoothcert import Brightness\nclass Base(Transform):\n    unit = 'x'\n"
    assert load_plugin(written(tmp_path, base + GLOW)).names == ("glow",)
    assert PARTS["brightness"] is Brightness


# --- What is refused, in one line -------------------------------------------------------------------------------------


REFUSED = {
    "a syntax error": ("def (:\n", "it failed: SyntaxError: invalid syntax"),
    "an exception": ("1 / 0\n", "it failed: ZeroDivisionError: division by zero"),
    "an exit": ("import sys\nsys.exit(3)\n", "it failed: SystemExit: 3"),
    "a missing package": ("import no_such_package\n", "it failed: ModuleNotFoundError: No module named"),
    "nothing": ("x = 1\n", "expected a Transform or a Part that it defines itself, each with a name, got none"),
    "a taken name": (GLOW.replace("glow", "rotation"), "rotation: expected a new name, got one that is taken"),
    "a name twice": (GLOW + GLOW.replace("Glow", "Other"), "glow: expected a new name, got one that is taken"),
    "two words": (GLOW.replace('"glow"', '"my glow"'), "expected a name of small letters, digits and _, got 'my glow'"),
    "no help": (GLOW.replace(', help = "glow"', ' = "glow"').replace(', "an offset in levels"', ""), "got no help"),
    "another kind": (GLOW.replace("additive", "norm"), "expected a kind of additive, factor, variance, listed, got"),
    "another identity": (GLOW.replace("0.0, ", "1.0, "), "expected the identity 0.0 of additive, got 1.0"),
    "a vector": (GLOW.replace('"additive", 0.0', '"listed", (0, 0)'), r"expected a number, or None, as identity"),
    "no dataclass": (GLOW.replace("@dataclass(frozen=True)", ""), r"class Glow: expected @dataclass\(frozen=True\)"),
    "not frozen": (GLOW.replace("(frozen=True)", "(eq=False)"), "(frozen|@dataclass)"),
    "no default": (GLOW.replace("least: float = 0.0", "least: float"), "expected a default, .* for the option least"),
    "an option of a part": (GLOW.replace("least: float", "law: float"), "expected another name than law"),
    "a list as option": (
        GLOW.replace("least: float = 0.0", "least: tuple = (1, 2)"),
        "expected a default, text or a number, for the option least",
    ),
    "fields out of order": (
        GLOW
        + GLOWING.replace(
            "    scale: float\n    law: str", "    law: str = 'normal'\n    scale: float = 1.0\n    lew: str"
        ),
        "expected the fields scale and law first, got law, scale",
    ),
    "a part of another's": (
        GLOWING.replace("transforms, laws, composes = Glow", "transforms, laws, composes = Brighten").replace(
            "\n@dataclass", "from smoothcert.smoothing.color import Brighten\n@dataclass", 1
        ),
        "class Glowing: expected a transformation of the same file",
    ),
    "pairs of others": (
        GLOW + GLOWING.replace('"glow least=0.0", "noise", "carries"', '"gamma", "brightness", "commute"'),
        "glow: expected pairs with glow in them, got gamma and brightness",
    ),
    "a group that is done first": (
        GLOW
        + GLOWING.replace('"glow least=0.0", "noise", "carries"', '"contrast about=0", "glow least=0.0", "scale first"')
        + "    moves = True\n",
        "glow: expected no scale first with moves or encodes",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_whole(tmp_path: Path, text: str, message: str) -> None:
    """One line that names the file, and nothing added: not even what stands before it in the file."""
    path = written(tmp_path, GLOW.replace("glow", "fine").replace("Glow", "Fine") * (message != "got none") + text)
    if "expected a Transform or" in message:
        path = written(tmp_path, text)
    before, parts, pairs = dict(TRANSFORMS), dict(PARTS), dict(TABLE)
    with pytest.raises(PluginError, match=message) as error:
        load_plugin(path)
    assert str(error.value).startswith(f"plugin {path}: ")
    assert "\n" not in str(error.value)
    assert (before, parts, pairs) == (TRANSFORMS, PARTS, TABLE)
    assert not LOADED


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"gone.py: expected a Python file, got: No such file"):
        load_plugin(tmp_path / "gone.py")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(PluginError, match=r"folder.py: expected a Python file, a file of at most .*, got no regular"):
        load_plugin(tmp_path / "folder.py")
    with pytest.raises(PluginError, match=r"plugin: expected a file that ends in .py, or an installed one \(none\)"):
        load_plugin("glow")


# --- Installed packages -----------------------------------------------------------------------------------------------


def test_an_entry_point_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module is imported as any other; the hash is its file's."""
    path = written(tmp_path, name="smoothcert_glow.py")
    broken = written(tmp_path, "1 / 0\n", name="smoothcert_broken.py")
    points = [EntryPoint(name, f"smoothcert_{name}", "smoothcert.plugins") for name in ("glow", "broken", "absent")]
    monkeypatch.setattr("smoothcert.smoothing.plugins.entry_points", lambda group: points)
    monkeypatch.syspath_prepend(tmp_path)
    plugin = load_plugin("glow")
    assert plugin.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert TRANSFORMS["glow"] is sys.modules["smoothcert_glow"].Glow
    assert load_plugin("glow") is plugin
    with pytest.raises(PluginError, match=r"plugin broken: smoothcert_broken failed: ZeroDivisionError"):
        load_plugin("broken")
    with pytest.raises(PluginError, match=r"plugin absent: smoothcert_absent failed: ModuleNotFoundError"):
        load_plugin("absent")
    with pytest.raises(PluginError, match=r"or an installed one \(absent, broken, glow\), got 'else'"):
        load_plugin("else")
    assert broken.exists()
    monkeypatch.delitem(sys.modules, "smoothcert_glow")


# --- What it makes of images ------------------------------------------------------------------------------------------


def test_a_plugin_cannot_write_to_the_image(tmp_path: Path) -> None:
    load_plugin(written(tmp_path, GLOW.replace("return np.clip", "image[0] = 0\n        return np.clip")))
    image = np.full((2, 2, 1), 9, np.uint8)
    with pytest.raises(
        DataError, match=r"glow: its plugin failed at 3.0: ValueError: assignment destination is read-only"
    ):
        attacked(image, [(transform_of("glow", {}), 3.0)])
    assert (image == 9).all()
    assert image.flags.writeable


@pytest.mark.parametrize(
    ("said", "got"),
    [("image[1:]", r"uint8 values of shape \(1, 2, 1\)"), ("image * 1.5", "float64 values"), ("None", "NoneType")],
)
def test_what_is_no_image_is_refused(tmp_path: Path, said: str, got: str) -> None:
    load_plugin(written(tmp_path, GLOW.replace("np.clip(image + value, self.least, 255).astype(np.uint8)", said)))
    with pytest.raises(
        DataError, match=rf"glow: expected an 8-bit image of shape \(2, 2, 1\) of its plugin, got {got}"
    ):
        attacked(np.zeros((2, 2, 1), np.uint8), [(transform_of("glow", {}), 3.0)])


def threshold(size: int = 4) -> OrtClassifier:
    """Class 1 where the mean is 0.5 and more."""
    weights = np.zeros((size, 2))
    weights[:, 1] = 1 / size
    return OrtClassifier(linear((2, 2, 1), weights, [0.5, 0.0]))


def test_an_exact_part_has_the_radius_that_its_law_says(tmp_path: Path) -> None:
    """The distance to the threshold in its own unit, from both sides: a mean of 0.6 is 25.5 levels above 0.5."""
    load_plugin(written(tmp_path, GLOW + GLOWING))
    x, part = np.full((2, 2), 153, np.uint8), PARTS["glow"](20.0)
    assert certify(threshold(), part, x, attack={"glow": (-24.0, 24.0)}, n=100_000).prediction == 1
    assert certify(threshold(), part, x, attack={"glow": (-27.0, 0.0)}, n=100_000).prediction == ABSTAIN
    assert compose(part, Noise(0.2)).p_star({"glow": 20.0}) == pytest.approx(0.841344746, rel=1e-8)
    with pytest.raises(ArgumentError, match=r"glow with |glow does not compose with|no theorem"):
        compose(part, Brightness(0.1))


def test_enumeration_tries_every_member(tmp_path: Path) -> None:
    load_plugin(written(tmp_path))
    x = np.full((2, 2), 153, np.uint8)
    assert certify_enumerated(threshold(), x, {"glow": (-25, 25, 51)}).prediction == 1
    lost = certify_enumerated(threshold(), x, {"glow": (-26, 25, 52)})
    assert (lost.prediction, lost.reason) == (ABSTAIN, "attack found: 1 of 52 members are not class 1")


# --- What is kept of it: runs are in test_plugins_cli.py --------------------------------------------------------------


def test_descriptions_ask_for_their_plugin(tmp_path: Path, forget: Forget) -> None:
    """Missing, another, or one too many: a line that names the hashes."""
    sha256 = load_plugin(written(tmp_path)).sha256
    description = PARTS["glow"](4.0).description
    assert description["plugin"] == sha256
    assert "plugin" not in Brightness(0.1).description
    forget()
    want = f"glow: expected the plugin that it comes from, SHA-256 {sha256}, got none; pass `plugin`"
    with pytest.raises(PluginError) as error:
        described(description)
    assert str(error.value) == want
    other = load_plugin(written(tmp_path, GLOW + "# another\n")).sha256
    with pytest.raises(PluginError, match=f"SHA-256 {sha256}, got the plugin of SHA-256 {other}; pass the file as it"):
        described(description)
    with pytest.raises(PluginError, match=f"glow: expected no plugin, got the plugin of SHA-256 {other}"):
        described({k: v for k, v in description.items() if k != "plugin"})


def test_algorithms_name_the_plugins_of_their_attacks(tmp_path: Path) -> None:
    """Those that enumerate or slice; without plugins their recipes are what they were."""
    enclosed = """
    def enclose(self, image, low, high):
        yield self.apply(image, low), self.apply(image, high)
"""
    sha256 = load_plugin(written(tmp_path, GLOW + enclosed)).sha256
    assert Slices(Attack.of({"glow": (-3, 3)})).recipe["plugins"] == {"glow": sha256}
    mixed = Enumerate(Attack.of({"brightness": 0.1, "glow": 4.0}))
    assert mixed.recipe["plugins"] == {"glow": sha256}
    assert "plugins" not in Slices(Attack.of({"rotation": (-3, 3)})).recipe
    assert "plugins" not in Enumerate(Attack.of({"brightness": 0.1})).recipe


def test_a_calibration_is_of_one_plugin(tmp_path: Path, forget: Forget) -> None:
    """Measured with one file, certified with the same: another file's hash is named and refused."""
    load_plugin(written(tmp_path))
    data, file = open_dataset(IMAGES), tmp_path / "glow.cal"
    part: Part = PARTS["glow"](4.0)
    plan = plan_of(data, "digits", (part,), Attack.of({"glow": (-5, 5)}), limit=100)
    measure(plan, data, file, threads=1)
    calibration = read_calibration(file)
    smoothing = compose(part, Noise(0.5), calibration=calibration)
    x = np.load(IMAGES)["x"][0]
    assert certify(OrtClassifier(MODEL), smoothing, x, attack={"glow": (-5, 5)}, n=1000).prediction != ABSTAIN
    recipe = json.loads(json.dumps(smoothing.recipe))
    assert smoothing_of(recipe).recipe == smoothing.recipe
    forget()
    with pytest.raises(PluginError, match="pass `plugin`"):
        smoothing_of(recipe)
    load_plugin(written(tmp_path, GLOW.replace("image + value", "image - value")))
    with pytest.raises(CalibrationError, match=r"made for part=glow,.*plugin=\w+, got part=glow,.*; calibrate this"):
        compose(PARTS["glow"](4.0), Noise(0.5), calibration=calibration)


def test_what_a_plugin_raises_for_an_image_is_that_input_s_failure(tmp_path: Path) -> None:
    odd = "if value > 7: raise KeyError('odd')\n        return np.clip"
    load_plugin(written(tmp_path, GLOW.replace("return np.clip", odd)))
    image = np.full((2, 2), 153, np.uint8)
    assert certify_enumerated(threshold(), image, {"glow": (0, 4, 2)}).prediction == 1
    with pytest.raises(DataError, match=r"glow: its plugin failed at 8.0: KeyError: 'odd'"):
        certify_enumerated(threshold(), image, {"glow": (0, 8, 2)})


@pytest.mark.parametrize("method", ["act(self, out, values, unit)", "encode(self, pixels)", "require_data(self, x)"])
def test_what_a_plugin_s_part_raises_is_that_input_s_failure(tmp_path: Path, method: str) -> None:
    """In one line, of the part's name, whichever of its methods it comes from."""
    load_plugin(written(tmp_path, f"{GLOW}{GLOWING}    def {method}:\n        raise IndexError('odd')\n"))
    smoothing = compose(PARTS["glow"](25.0), Noise(0.5))
    with pytest.raises(DataError, match=r"^glow: its plugin failed: IndexError: odd$"):
        certify(threshold(), smoothing, np.full((2, 2), 153, np.uint8), n=1000)
