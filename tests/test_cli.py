"""The command line as a user meets it: the main job, its output, and one clear line for everything that is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import smoothcert
from smoothcert.cli.show import entry_text
from smoothcert.inputs.levels import EIGHT_BIT
from smoothcert.runs.folder import RunFolder
from smoothcert.smoothing import PARTS

from . import models
from .conftest import IMAGES, MODEL, Result

Cli = Callable[..., Result]
SMOOTH = ("--smooth", "noise=0.5")


def test_demo_certifies_the_digits_and_verifies(cli: Cli) -> None:
    result = cli("demo", "--run", "demo")
    assert result.code == 0
    assert "preflight: 100 inputs" in result.out
    assert "certified accuracy" in result.out
    assert cli("verify", "demo").out == "demo: 100 entries (attack model integer), 0 problems\n"
    assert cli("report", "demo", "--fail-under", "0.5=0.9").code == 0


def test_the_embedded_model_keeps_its_promises(cli: Cli) -> None:
    """Over 95 % clean accuracy; over 90 % certified correct at 0.5 under sigma 0.5; small enough to ship."""
    with np.load(IMAGES) as archive:
        x, y = archive["x"], archive["y"]
    assert x.shape[1:] == (32, 32)
    assert x.dtype == np.uint8
    assert len(x) >= 200
    assert MODEL.stat().st_size < 500_000
    classifier = smoothcert.OrtClassifier(MODEL)
    clean = classifier.labels(x.astype(np.int16)[:, None], len(x), EIGHT_BIT)
    assert (clean == y).mean() > 0.95
    run = (
        "certify",
        MODEL,
        IMAGES,
        *SMOOTH,
        "--mode",
        "target",
        "--radii",
        "0.5",
        "--n",
        5000,
        "--quiet",
        "--run",
        "r",
    )
    assert cli(*run).code == 0
    result = cli("report", "r", "--fail-under", "0.5=0.9")
    assert (result.code, result.err) == (0, "")


def test_default_folder_is_found_again(cli: Cli, few_digits: Path) -> None:
    run = ("certify", MODEL, "six.npz", *SMOOTH, "--n", 500, "--quiet")
    first, second = cli(*run), cli(*run)
    assert "run folder: runs/digits-six-noise0.5-fixed-n=500" in first.out
    assert "6 of 6 inputs were there already" in second.out


def test_lines_say_prediction_radius_and_why_it_abstains(cli: Cli, few_digits: Path) -> None:
    result = cli("certify", MODEL, "six.npz", "--smooth", "noise=2.5", "--n", 500)
    assert result.code == 0
    lines = [line for line in result.out.splitlines() if line[:1].isdigit()]
    assert len(lines) == 6
    assert any("abstains, no majority: class " in line and " of 500 votes" in line for line in lines)
    missed = cli("certify", MODEL, "six.npz", "--smooth", "noise=2.5", "--mode", "target", "--radii", "1", "--n", 500)
    assert "abstains, futile: class" in missed.out or "abstains, target missed: class" in missed.out


def test_the_preflight_names_radii_out_of_reach(cli: Cli, few_digits: Path) -> None:
    target = ("certify", MODEL, "six.npz", *SMOOTH, "--mode", "target", "--quiet", "--radii")
    fine, some = (cli(*target, radii).out.splitlines()[0] for radii in ("0.25,0.5", "0.25,0.5,3,30"))
    assert "radius up to 0.500; " in fine
    assert "radius up to 0.500 (3 and 30 out of reach: raise n or leave them out); " in some
    assert fine.split("samples each")[0] == some.split("samples each")[0]
    assert (
        "preflight: 6 inputs, 200 samples each, no radius; "
        in cli("predict", MODEL, "six.npz", *SMOOTH, "--n", 200).out
    )


@pytest.mark.parametrize("options", [(), ("--n", 9), ("--alpha", 0.01), ("--n", 100_000, "--alpha", 0.001)], ids=str)
def test_enumeration_says_that_it_takes_no_samples(cli: Cli, few_digits: Path, options: tuple[object, ...]) -> None:
    run = ("certify", MODEL, "six.npz", "--mode", "enumerate", "--attack", "brightness=0.01", "-q", "--run", "r")
    result = cli(*run, *options)
    assert result.code == 0
    assert ("--n and --alpha have no meaning there" in result.err) == (options in (("--n", 9), ("--alpha", 0.01)))


BRIGHTNESS = ("--smooth", "brightness=0.2", "--attack", "brightness=-0.1:0.1", "--mode", "target")
REAL: dict[str, tuple[tuple[object, ...], bool]] = {
    "brightness": (BRIGHTNESS, True),
    "contrast, no attack": (("--smooth", "contrast=0.2", "--n", 200), True),
    "noise behind gamma": (
        ("--smooth", "gamma=0.1", "--smooth", "noise=0.2", "--attack", "gamma=0.9:1.1", "--mode", "target"),
        True,
    ),
    "noise": ((*SMOOTH, "--n", 200), False),
    "translation": (("--smooth", "translation=3", "--n", 200), False),
    "enumerated": (("--mode", "enumerate", "--attack", "brightness=0.01"), False),
}


@pytest.mark.parametrize(("options", "noted"), REAL.values(), ids=REAL)
def test_the_preflight_notes_what_rounding_does(
    cli: Cli, few_digits: Path, options: tuple[object, ...], noted: bool
) -> None:
    result = cli("certify", MODEL, "six.npz", *options, "--limit", 1, "--run", "r", "-q")
    assert result.out.startswith("preflight: 1 input, ")
    assert ", 1 input\n" in result.out
    assert result.out.count("note: the data are 8-bit images: what rounding to 8 bits") == noted


def test_a_resumed_run_counts_what_is_left_and_says_so_first(cli: Cli, few_digits: Path) -> None:
    run = ("certify", MODEL, "six.npz", *BRIGHTNESS, "--run", "r")
    first = cli(*run, "--limit", 2)
    assert "preflight: 2 inputs, " in first.out
    assert "resumed" not in first.out
    lines = cli(*run).out.splitlines()
    assert lines[0].startswith("preflight: 4 of 6 inputs left, ")
    place = lines.index("resumed: 2 of 6 inputs were there already")
    assert lines[place - 1] == "run folder: r"
    assert [line.split()[0] for line in lines[place + 1 : place + 5]] == ["2", "3", "4", "5"]
    lines = cli(*run, "--limit", 1).out.splitlines()
    assert lines[0].startswith("preflight: 0 of 1 input left, ")
    assert "resumed: 6 of 6 inputs were there already" in lines
    assert "more than --limit 1: 5 inputs of the ledger are beyond it, and reported too" in lines


def test_a_folder_of_another_run_says_what_is_another_before_anything_else(cli: Cli, few_digits: Path) -> None:
    run = ("certify", MODEL, "six.npz", "--n", 200, "-q", "--run", "r", "--smooth")
    assert cli(*run, "blur=0.3").code == 0
    weaker, wrapped = (cli(*run, smooth) for smooth in ("blur=0.25", "blur=0.3,border=wrap"))
    assert "smoothing: blur0.3 there, blur0.25 here; choose" in weaker.err
    assert "border=reflect101 there, blur0.3 law=exponential border=wrap here; choose" in wrapped.err
    with np.load("six.npz") as archive:
        np.savez("six.npz", x=255 - archive["x"], y=archive["y"])
    changed = cli(*run, "blur=0.3")
    assert "r holds another run: the data changed since: SHA-256 " in changed.err
    assert (weaker.out, wrapped.out, changed.out) == ("", "", "")


ENTRIES: dict[str, tuple[int | None, int, float, bool, str]] = {  # label, prediction, radius, attack asked about
    "right, radius": (8, 8, 1.0, False, "0 label 8 predicts 8 radius 1.000 (0.09 s)"),
    "wrong, radius": (7, 8, 1.0, False, "0 label 7 predicts 8 (wrong) radius 1.000 (0.09 s)"),
    "no label": (None, 8, 1.0, False, "0 predicts 8 radius 1.000 (0.09 s)"),
    "attack": (0, 0, 0.0, True, "0 label 0 predicts 0 certified (0.09 s)"),
    "attack, wrong": (0, 1, 0.0, True, "0 label 0 predicts 1 (wrong) certified (0.09 s)"),
    "attack and radius": (None, 0, 0.5, True, "0 predicts 0 certified radius 0.500 (0.09 s)"),
    "prediction": (3, 3, 0.0, False, "0 label 3 predicts 3 (0.09 s)"),
    "abstained": (3, -1, 0.0, True, "0 label 3 abstains, futile (0.09 s)"),
}


@pytest.mark.parametrize(("label", "prediction", "radius", "attacked", "line"), ENTRIES.values(), ids=ENTRIES)
def test_lines_of_entries(label: int | None, prediction: int, radius: float, attacked: bool, line: str) -> None:
    certificate = {"prediction": prediction, "radius": radius, "reason": "futile"}
    entry = {"index": 0, "label": label, "seconds": 0.09, "certificate": certificate}
    assert entry_text(entry, attacked=attacked) == line


def test_sides_and_deviations_that_were_meant_otherwise(cli: Cli, few_digits: Path) -> None:
    resize = cli("certify", MODEL, "six.npz", *SMOOTH, "--resize", "48,192")
    assert (resize.code, resize.err.count("\n")) == (2, 1)
    assert "'--resize': expected a side in pixels, such as 256, or WIDTHxHEIGHT, got '48,192'" in resize.err
    noise = cli("certify", MODEL, "six.npz", "--smooth", "noise=128")
    assert noise.err.endswith("got 128; it is in [0,1] intensities: 0.5, not 128\n")


@pytest.mark.parametrize(
    ("kind", "noted"),
    [(TensorProto.INT32, True), (TensorProto.INT64, True), (TensorProto.UINT8, False), (TensorProto.FLOAT, False)],
    ids=["int32", "int64", "uint8", "float"],
)
def test_models_of_integers_say_what_they_get(cli: Cli, few_digits: Path, kind: int, noted: bool) -> None:
    """int32 and int64 levels as they are: the class is whether the pixel is above 128, which values / 255 never are."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["f", "half"], ["d"]),
        helper.make_node("Neg", ["d"], ["m"]),
        helper.make_node("Concat", ["m", "d"], ["y"], axis=1),
    ]
    half = numpy_helper.from_array(np.array([128], np.float32), "half")
    values = [models.value("x", kind, ("N", 1))], [models.value("y", TensorProto.FLOAT, ("N", 2))]
    graph = helper.make_graph(nodes, "levels", *values, initializer=[half])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), "tokens.onnx")
    np.savez("tokens.npz", x=np.array([[20], [200]], np.uint8))
    run = ("predict", "tokens.onnx", "tokens.npz", "--smooth", "noise=0.01", "--n", 100, "--run")
    result = cli(*run, "r")
    assert ("note: the model takes integers: it gets the levels 0 to 255 themselves" in result.out) == noted
    assert ("remark: the model takes integers" in cli("inspect", "tokens.onnx").out) == noted
    if noted:
        assert [line[:12] for line in result.out.splitlines() if " predicts " in line] == [
            "0 predicts 0",
            "1 predicts 1",
        ]
        assert "note: the model takes" not in cli(*run, "s", "--scale", 0.5).out


def test_predict_answers_or_abstains(cli: Cli, few_digits: Path) -> None:
    result = cli("predict", MODEL, "six.npz", *SMOOTH, "--n", 200)
    with np.load("six.npz") as archive:
        labels = archive["y"]
    predicted = [line for line in result.out.splitlines() if " predicts " in line]
    assert result.code == 0
    assert [int(line.split(" predicts ")[1].split()[0]) for line in predicted] == labels.tolist()


def test_report_tsv_has_the_fields_columns(cli: Cli, few_digits: Path) -> None:
    assert cli("certify", MODEL, "six.npz", *SMOOTH, "--n", 500, "--quiet", "--run", "r").code == 0
    lines = cli("report", "r", "--tsv").out.splitlines()
    assert lines[0] == "idx\tlabel\tpredict\tradius\tcorrect\ttime\tbase\tattack_model"
    entries = RunFolder(Path("r")).entries()
    for line, entry in zip(lines[1:], entries, strict=True):
        index, label, predict, radius, correct, _, base, attack_model = line.split("\t")
        certificate = entry["certificate"]
        assert (int(index), int(label), int(predict)) == (entry["index"], entry["label"], certificate["prediction"])
        assert certificate["radius"] - 1e-6 <= float(radius) <= certificate["radius"]
        assert int(correct) == (label == predict)
        assert (int(base), attack_model) == (entry["base"], "integer")


@pytest.mark.parametrize(("goal", "code"), [("0.5=0.5", 0), ("0.5=50%", 0), ("9=10%", 1), ("9=0.1", 1)])
def test_fail_under(cli: Cli, few_digits: Path, goal: str, code: int) -> None:
    assert cli("certify", MODEL, "six.npz", *SMOOTH, "--n", 1000, "--quiet", "--run", "r").code == 0
    result = cli("report", "r", "--fail-under", goal)
    assert result.code == code
    assert ("under" in result.err) == bool(code)


@pytest.mark.parametrize(
    "goal", ["0.5", "0.5=", "=1", "a=b", "1=2=3", "0.1=nan", "inf=0.5", "0.3=90", "0.5=1.01", "1=101%", "1=-1", "1=%"]
)
def test_bad_goals(cli: Cli, few_digits: Path, goal: str) -> None:
    assert cli("certify", MODEL, "six.npz", *SMOOTH, "--n", 100, "--quiet", "--run", "r").code == 0
    result = cli("report", "r", "--fail-under", goal)
    assert (result.code, "--fail-under" in result.err) == (2, True)


def test_an_unfinished_run_does_not_pass(cli: Cli, few_digits: Path) -> None:
    shared = ("certify", MODEL, "six.npz", *SMOOTH, "--n", 500, "--quiet", "--nonce", "x")
    assert cli(*shared, "--shard", "1/2", "--run", "half").code == 0
    assert cli("merge", "merged", "half").out == "merged: 3 of 6 inputs\n"
    result = cli("report", "merged", "--fail-under", "0.1=0.1")
    assert (result.code, result.err) == (1, "unfinished: 3 of 6 inputs are not in the ledger\n")


def test_names_are_not_markup(cli: Cli, few_digits: Path) -> None:
    with np.load("six.npz") as archive:
        for name, image in zip(("[bold]", "z[", "ä:smile:"), archive["x"], strict=False):
            Path("folder", name).mkdir(parents=True)
            Path("folder", name, "red].png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    Path("folder/z[/red].png").write_bytes(b"corrupt")
    result = cli("certify", MODEL, "folder", *SMOOTH, "--n", 300, "--run", "[bold]r")
    assert result.code == 2
    assert "run folder: [bold]r" in result.out
    assert "failed: folder/z[/red].png: expected an image" in result.out


@pytest.mark.parametrize(
    ("scale", "hinted"), [(1 / 255, True), (1.0, False), (1 / 200, False)], ids=["8 bits / 255", "levels", "other"]
)
def test_8_bit_images_in_disguise_are_noticed(cli: Cli, few_digits: Path, scale: float, hinted: bool) -> None:
    with np.load("six.npz") as archive:
        np.savez("float.npz", x=archive["x"].astype(np.float32) * np.float32(scale))
        if scale == 1 / 255:
            np.savez("float.npz", x=archive["x"].astype(np.float32) / 255)
    result = cli("predict", MODEL, "float.npz", *SMOOTH, "--n", 100, "--quiet")
    assert ("hint: the inputs look like 8-bit images divided by 255" in result.out) == hinted


def test_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "smoothcert", "--version"]
    assert subprocess.check_output(command, text=True).strip() == smoothcert.__version__


def test_image_folder_and_manifest_agree_with_the_archive(cli: Cli, few_digits: Path) -> None:
    with np.load("six.npz") as archive:
        x, y = archive["x"], archive["y"]
    rows = ["path,label"]
    for i, (image, label) in enumerate(zip(x, y, strict=True)):
        path = Path("folder", str(label), f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
        rows.append(f"{path},{label}")
    Path("list.csv").write_text("\n".join(rows))
    for data in ("six.npz", "folder", "list.csv"):
        assert cli("certify", MODEL, data, *SMOOTH, "--n", 500, "--quiet", "--run", f"r-{data}").code == 0
    seen = {}
    for data in ("six.npz", "folder", "list.csv"):
        entries = RunFolder(Path(f"r-{data}")).entries()
        seen[data] = sorted((e["input"], e["label"], e["certificate"]["prediction"]) for e in entries)
    assert seen["six.npz"] == seen["folder"] == seen["list.csv"]


def test_a_corrupt_image_is_recorded_and_the_run_goes_on(cli: Cli, few_digits: Path) -> None:
    with np.load("six.npz") as archive:
        for i, image in enumerate(archive["x"]):
            Path("folder").mkdir(exist_ok=True)
            cv2.imwrite(f"folder/{i}.png", image)
    Path("folder/2.png").write_bytes(Path("folder/2.png").read_bytes()[:60])
    result = cli("certify", MODEL, "folder", *SMOOTH, "--n", 500, "--quiet", "--run", "r")
    assert result.code == 2
    assert "1 of 6 inputs failed, the first: folder/2.png: expected an image" in result.err
    assert result.err.count("\n") == 1
    entries = RunFolder(Path("r")).entries()
    assert [("error" in entry) for entry in entries] == [False, False, True, False, False, False]
    assert cli("verify", "r").code == 0
    assert cli("report", "r", "--tsv").out.splitlines()[3].startswith("2\t\t-1\t0.000000\t")


def test_nan_for_one_input_is_recorded_and_the_run_goes_on(cli: Cli) -> None:
    """log of a value that noise makes negative: NaN for the dark input alone."""
    Path("log.onnx").write_bytes(models.gives_nan())
    np.savez("d.npz", x=np.array([[9, 9, 9, 8], [0, 9, 9, 9], [7, 9, 9, 9]], np.float32))
    result = cli("certify", "log.onnx", "d.npz", *SMOOTH, "--n", 500, "--quiet", "--run", "r")
    assert result.code == 2
    assert "1 of 3 inputs failed, the first: the model gave NaN" in result.err
    assert ["error" in entry for entry in RunFolder(Path("r")).entries()] == [False, True, False]


def custom_operator() -> bytes:
    node = helper.make_node("Fancy", ["x"], ["y"], domain="my.ops")
    inputs, outputs = [models.value("x", 1, ("N", 4))], [models.value("y", 1, ("N", 3))]
    graph = helper.make_graph([node], "g", inputs, outputs)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("my.ops", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def outside_weights() -> bytes:
    proto = onnx.ModelProto.FromString(models.half_space((4,), [1, 0, 0, 0], 0.0))
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    return proto.SerializeToString()


GOOD = models.half_space((4,), [1, 0, 0, 0], 0.0)
VECTORS = {"x": np.zeros((3, 4), np.float32), "y": np.array([0, 1, 0])}
WIDE = models.linear((4,), numpy_helper.to_array(numpy_helper.from_array(np.eye(4))), np.zeros(4))

DIGIT, DIGITS = MODEL.read_bytes(), {"x": np.zeros((3, 32, 32), np.uint8)}
ENUMERATE = ("--mode", "enumerate")


def part(*texts: str) -> tuple[str, ...]:
    return tuple(word for text in texts for word in ("--smooth", text))


def attack(*texts: str) -> tuple[str, ...]:
    return tuple(word for text in texts for word in ("--attack", text))


BAD: dict[str, tuple[bytes | None, dict[str, Any] | None, tuple[Any, ...], str]] = {
    "missing model": (None, VECTORS, (), "m.onnx: expected a readable ONNX file, got: No such file"),
    "truncated model": (MODEL.read_bytes()[:-5000], VECTORS, (), "truncated"),
    "no model at all": (b"not an ONNX file", VECTORS, (), "expected an ONNX"),
    "empty model": (b"", VECTORS, (), "expected an ONNX graph"),
    "weights elsewhere": (outside_weights(), VECTORS, (), "inside the model's folder, got '../secret.bin'"),
    "custom operator": (custom_operator(), VECTORS, (), "Fancy"),
    "random operator": (models.random_operator(), VECTORS, (), "RandomNormalLike"),
    "two inputs": (models.two_inputs(), VECTORS, (), "got 2 (image, mask)"),
    "regression": (models.regression(), VECTORS, (), "not a classifier's output"),
    "NaN for every input": (models.gives_nan(), VECTORS, (), "the model gave NaN"),
    "wrong shape": (GOOD, {"x": np.zeros((3, 5), np.float32)}, (), "fits the model's (4)"),
    "wrong image shape": (MODEL.read_bytes(), {"x": np.zeros((3, 28, 28), np.uint8)}, (), "got uint8 (28, 28)"),
    "wrong type": (GOOD, {"x": np.zeros((3, 4), np.int64)}, (), "uint8 or float, got int64"),
    "NaN in the data": (GOOD, {"x": np.full((3, 4), np.nan)}, (), "NaN"),
    "empty data": (GOOD, {"x": np.zeros((0, 4), np.float32)}, (), "empty data set"),
    "label out of range": (GOOD, VECTORS | {"y": np.array([0, 1, 2])}, (), "d.npz[2]: expected a label below"),
    "pickled": (GOOD, {"x": np.array([{}, {}], object)}, (), "never unpickled"),
    "missing data": (GOOD, None, (), "d.npz"),
    "nothing selected": (GOOD, VECTORS, ("--skip", 3), "leave none of its 3 inputs"),
    "no CUDA": (GOOD, VECTORS, ("--provider", "cuda"), "CUDAExecutionProvider"),
    "unknown provider": (GOOD, VECTORS, ("--provider", "tpu"), "Invalid value for '--provider'"),
    "zero n0": (GOOD, VECTORS, ("--n0", 0), "smoothcert: --n0: expected at least 1 sample"),
    "negative skip": (GOOD, VECTORS, ("--skip", -1), "smoothcert: --skip: expected at least 0, got -1"),
    "no limit": (GOOD, VECTORS, ("--limit", 0), "smoothcert: --limit: expected at least 1, got 0"),
    "shard": (GOOD, VECTORS, ("--shard", "0/2"), "smoothcert: --shard: expected i/k with 1 <= i <= k, got '0/2'"),
    "shard alone": (GOOD, VECTORS, ("--shard", "1/2"), "smoothcert: --shard: expected a --nonce too"),
    "tf32 on the CPU": (GOOD, VECTORS, ("--tf32",), "--tf32: expected with --provider cuda or tensorrt, got cpu"),
    "unknown output": (GOOD, VECTORS, ("--output", "boxes"), "no output 'boxes'; pass --output with one of: logits"),
    "unknown part": (GOOD, VECTORS, ("--smooth", "fog=1"), f"NAME one of {', '.join(PARTS)}, got 'fog=1'"),
    "no scale": (GOOD, VECTORS, ("--smooth", "noise"), "noise=SCALE with a number"),
    "negative scale": (GOOD, VECTORS, ("--smooth", "noise=-1"), "sigma > 0, got -1"),
    "two noises": (GOOD, VECTORS, ("--smooth", "noise=0.5", "--smooth", "noise=1"), "no theorem"),
    "alpha": (GOOD, VECTORS, ("--alpha", 0), "between 0 and 0.5, got 0"),
    "hopeless n": (GOOD, VECTORS, ("--n", 9), "could only abstain"),
    "zero n": (GOOD, VECTORS, ("--n", 0), "smoothcert: --n: expected at least 1 sample"),
    "mode": (GOOD, VECTORS, ("--mode", "quick"), "Invalid value for '--mode'"),
    "bound": (GOOD, VECTORS, ("--bound", "both"), "Invalid value for '--bound'"),
    "no radii": (GOOD, VECTORS, ("--mode", "target"), "such as 0.25,0.5, or an --attack, got none"),
    "radii that fall": (GOOD, VECTORS, ("--mode", "target", "--radii", "1,0.5"), "expected ascending radii"),
    "radii out of reach": (GOOD, VECTORS, ("--mode", "target", "--radii", "9"), "could only abstain"),
    "radii of words": (GOOD, VECTORS, ("--mode", "target", "--radii", "big"), "numbers separated by commas, got 'big'"),
    "radii without target": (GOOD, VECTORS, ("--radii", "1"), "--mode target alone"),
    "layout": (GOOD, VECTORS, ("--layout", "nwhc"), "Invalid value for '--layout'"),
    "channels": (MODEL.read_bytes(), {"x": np.zeros((3, 32, 32), np.uint8)}, ("--mean", "1,2,3"), "got 3"),
    "number": (GOOD, VECTORS, ("--n", "many"), "Invalid value for '--n'"),
    "option": (GOOD, VECTORS, ("--sigma", 1), "--sigma"),
    "batch size": (GOOD, VECTORS, ("--batch-size", 0), "smoothcert: --batch-size: expected at least 1"),
    "unknown law": (GOOD, VECTORS, part("gamma=1,law=normal"), "a law of lognormal, rayleigh, got 'normal'"),
    "negative scale of a part": (GOOD, VECTORS, part("brightness=-1"), "brightness: expected a scale > 0, got -1"),
    "unknown option": (GOOD, VECTORS, part("blur=1,kernel=3"), "expected options of law, border, got kernel"),
    "no option": (GOOD, VECTORS, part("contrast=1,"), "expected options of law, about, got"),
    "no theorem": (GOOD, VECTORS, part("gamma=1", "blur=1"), "no theorem for gamma then blur"),
    "noise first": (GOOD, VECTORS, part("noise=1", "gamma=1"), "noise comes last"),
    "rotation": (GOOD, VECTORS, part("rotation=5"), "for which a calibration is needed"),
    "rough path": (GOOD, DIGITS, (*part("blur=1"), "--guarantee", "path"), "needs laws with a smooth density"),
    "guarantee": (GOOD, VECTORS, ("--guarantee", "wild"), "Invalid value for '--guarantee'"),
    "blur of vectors": (GOOD, VECTORS, part("blur=1"), "blur: expected images, got values of shape (4,)"),
    "translation of vectors": (GOOD, VECTORS, part("translation=1"), "translation: expected images"),
    "gamma of negatives": (GOOD, {"x": -np.ones((3, 4))}, part("gamma=1"), "gamma: expected [0,1] intensities"),
    "attack without a value": (GOOD, VECTORS, attack("noise"), "expected NAME=VALUE, NAME=LOW:HIGH or"),
    "attack without a name": (GOOD, VECTORS, attack("=1"), "attack: expected"),
    "attack twice": (GOOD, VECTORS, attack("noise=1", "noise=2"), "expected each parameter once, got noise again"),
    "attack backwards": (GOOD, VECTORS, attack("noise=1:0"), "finite LOW <= HIGH, got 1:0"),
    "attack of NaN": (GOOD, VECTORS, attack("noise=nan"), "finite LOW <= HIGH, got nan:nan"),
    "attack below 0": (GOOD, VECTORS, attack("noise=-1"), "an l2 norm >= 0 for noise, got -1"),
    "attack not smoothed": (GOOD, VECTORS, attack("gamma=2"), "smoothed ('noise'), got gamma"),
    "attack on noise behind gamma": (
        GOOD, VECTORS, (*part("gamma=1", "noise=1"), *attack("noise=1")), "no theorem for an attack on noise behind"),
    "attack too strong for n": (GOOD, VECTORS, attack("noise=1.2"), "could only abstain, even with all votes agreeing"),
    "attack outside the law's support": (
        GOOD, VECTORS, (*part("blur=4,law=uniform"), *attack("blur=3")), "blur 3 needs p_lower > 1"),
    "endlessly strong attack": (
        GOOD, VECTORS, (*part("contrast=1", "brightness=1"), *attack("brightness=1e300")), "could only abstain"),
    "large grid": (GOOD, VECTORS, attack("noise=0:1:30000"), "a grid of at most 20,000 points"),
    "radius mode with an attack": (GOOD, VECTORS, ("--mode", "radius", *attack("noise=1")), "with --attack use fixed"),
    "radius mode with two parts": (
        GOOD, VECTORS, (*part("contrast=1", "brightness=1"), "--mode", "radius"), "use fixed or target mode with"),
    "radii with two parts": (
        GOOD, VECTORS, (*part("contrast=1", "brightness=1"), "--mode", "target", "--radii", "1"), "several parameters"),
    "radii and an attack": (
        GOOD, VECTORS, ("--mode", "target", "--radii", "1", *attack("noise=1")), "radii or an attack, got both"),
    "border without enumeration": (GOOD, VECTORS, ("--border", "wrap"), "expected with --mode enumerate or slices"),
    "enumerate nothing": (DIGIT, DIGITS, ENUMERATE, "--mode enumerate: expected --attack and no --smooth"),
    "enumerate a smoothing": (
        DIGIT, DIGITS, (*ENUMERATE, *attack("blur=1"), *part("blur=1")), "expected --attack and no --smooth"),
    "enumerate with n0": (DIGIT, DIGITS, (*ENUMERATE, *attack("blur=1"), "--n0", 9), "--n0 have no meaning"),
    "enumerate without end": (DIGIT, DIGITS, (*ENUMERATE, *attack("gamma=1:2")), "give a grid, gamma=1:2:POINTS"),
    "enumerate noise": (DIGIT, DIGITS, (*ENUMERATE, *attack("noise=1")), "to enumerate, got noise"),
    "enumerate no name": (DIGIT, DIGITS, (*ENUMERATE, *attack("=1")), "attack: expected"),
    "enumerate too much": (
        DIGIT, DIGITS, (*ENUMERATE, *attack("gamma=1:2:5000", "rotation=1:2:5000")), "at most 1,000,000 members"),
    "enumerate with a border": (
        DIGIT, DIGITS, (*ENUMERATE, *attack("rotation=1"), "--border", "mirror"), "Invalid value for '--border'"),
    "enumerate negative blur": (DIGIT, DIGITS, (*ENUMERATE, *attack("blur=-1")), "expected a variance >= 0"),
    "enumerate floats": (GOOD, VECTORS, (*ENUMERATE, *attack("blur=1")), "16-bit recordings, got float32"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(cli: Cli, case: str) -> None:
    model, arrays, options, message = BAD[case]
    if model is not None:
        Path("m.onnx").write_bytes(model)
    if arrays is not None:
        np.savez("d.npz", **arrays)
    smooth = () if {"--smooth", "enumerate"} & {*options} else SMOOTH
    votes = () if {"--n", "enumerate"} & {*options} else ("--n", 500)
    result = cli("certify", "m.onnx", "d.npz", *smooth, *votes, *options, "--run", "r")
    assert message in result.err
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert "Traceback" not in result.err
    assert not Path("r").exists()


def test_several_outputs_are_named(cli: Cli) -> None:
    Path("m.onnx").write_bytes(models.linear((4,), np.eye(4), np.zeros(4), outputs=("labels", "probabilities")))
    np.savez("d.npz", x=np.eye(4, dtype=np.float32))
    result = cli("certify", "m.onnx", "d.npz", *SMOOTH, "--n", 500, "--run", "r")
    assert "adapted in memory: outputs labels left out, 'probabilities' kept" in result.out
    for output in ("labels", "probabilities"):
        run = ("certify", "m.onnx", "d.npz", *SMOOTH, "--output", output, "--n", 2000, "--quiet", "--run", output)
        assert cli(*run).code == 0
        predictions = [e["certificate"]["prediction"] for e in RunFolder(Path(output)).entries()]
        assert predictions == [0, 1, 2, 3]


def test_doctor_names_what_starts(cli: Cli) -> None:
    result = cli("doctor")
    assert result.code == 0
    assert "provider cpu starts" in result.out
    assert "digits a second on" in result.out
    assert f"smoothcert {smoothcert.__version__}" in result.out


def test_help_and_version(cli: Cli) -> None:
    for arguments in (("--help",), ("certify", "--help"), ()):
        result = cli(*arguments)
        assert "Usage" in result.out + result.err
    assert cli("--version").out.strip() == smoothcert.__version__
