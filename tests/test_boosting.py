"""XGBoost and LightGBM classifiers, trained here, exported, certified; oracle: the libraries themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from smoothcert.errors import ModelError
from smoothcert_exporters import Options, export
from smoothcert_exporters.frameworks.boosting import class_names, to_onnx

from .frameworks import certifies_as, noisy_vectors, require, run, run_page, training_vectors

require("onnxmltools", "skl2onnx", "sklearn", extra="boosting")

Scores = Callable[[NDArray[np.float32]], NDArray[Any]]


def lightgbm() -> Any:
    return pytest.importorskip("lightgbm", reason="lightgbm is not installed: `pip install smoothcert[boosting]`")


def xgboost() -> Any:
    return pytest.importorskip("xgboost", reason="xgboost is not installed: `pip install smoothcert[boosting]`")


def of_sklearn(make: Callable[[], Any], labels: Callable[[NDArray[np.int64]], NDArray[Any]] = lambda y: y) -> Any:
    """A fitted classifier and its scores."""
    x, y = training_vectors()
    model = make().fit(x, labels(y))
    return model, model.predict_proba


def lightgbm_classifier(**options: Any) -> Any:
    return lightgbm().LGBMClassifier(n_estimators=8, num_leaves=7, n_jobs=1, verbose=-1, **options)


def lightgbm_booster(objective: str, labels: Callable[[NDArray[np.int64]], NDArray[Any]], **options: Any) -> Any:
    x, y = training_vectors()
    parameters = {"objective": objective, "verbose": -1, "num_threads": 1, "num_leaves": 7, **options}
    model = lightgbm().train(parameters, lightgbm().Dataset(x, labels(y)), 8)
    return model, lambda rows: two_columns(model.predict(rows))


def xgboost_classifier(**options: Any) -> Any:
    return xgboost().XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1, **options)


def xgboost_booster(objective: str, labels: Callable[[NDArray[np.int64]], NDArray[Any]], **options: Any) -> Any:
    x, y = training_vectors()
    data, parameters = (
        xgboost().DMatrix(x, labels(y)),
        {"objective": objective, "max_depth": 3, "nthread": 1, **options},
    )
    model = xgboost().train(parameters, data, 8)
    margin = objective == "multi:softmax"
    return model, lambda rows: two_columns(model.predict(xgboost().DMatrix(rows), output_margin=margin))


def two_columns(answer: NDArray[Any]) -> NDArray[Any]:
    return np.stack([1 - answer, answer], axis=1) if answer.ndim == 1 else answer


def ten(y: NDArray[np.int64]) -> NDArray[np.int64]:
    return y


def two(y: NDArray[np.int64]) -> NDArray[np.int64]:
    return (y > 4).astype(np.int64)


def scaled(make: Callable[[], Any]) -> Callable[[], Any]:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return lambda: make_pipeline(StandardScaler(), make())


MODELS: dict[str, Callable[[], tuple[Any, Scores]]] = {
    "LightGBM": lambda: of_sklearn(lightgbm_classifier),
    "LightGBM, two classes": lambda: of_sklearn(lightgbm_classifier, two),
    "LightGBM, names": lambda: of_sklearn(lightgbm_classifier, lambda y: np.array(list("klmnopqrst"))[y]),
    "LightGBM behind a scaler": lambda: of_sklearn(scaled(lightgbm_classifier)),
    "LightGBM booster": lambda: lightgbm_booster("multiclass", ten, num_class=10),
    "LightGBM booster, two classes": lambda: lightgbm_booster("binary", two),
    "XGBoost": lambda: of_sklearn(xgboost_classifier),
    "XGBoost, two classes": lambda: of_sklearn(xgboost_classifier, two),
    "XGBoost behind a scaler": lambda: of_sklearn(scaled(xgboost_classifier)),
    "XGBoost booster": lambda: xgboost_booster("multi:softprob", ten, num_class=10),
    "XGBoost booster, margins": lambda: xgboost_booster("multi:softmax", ten, num_class=10),
    "XGBoost booster, two classes": lambda: xgboost_booster("binary:logistic", two),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_scores_are_those_of_the_library(make: Callable[[], tuple[Any, Scores]]) -> None:
    """On 400 digits, half of them noisy: no class flipped, scores to 1e-6; the same bytes twice."""
    model, scores = make()
    rows = noisy_vectors()
    proto, reference = to_onnx(model, rows[0])
    expected = scores(rows)
    assert np.abs(run(proto, rows) - expected).max() <= 1e-6 * max(1, np.abs(expected).max())
    assert np.allclose(reference(rows), expected, rtol=0, atol=1e-7)
    assert to_onnx(model, rows[:2])[0].SerializeToString() == proto.SerializeToString()


@pytest.mark.parametrize("name", ["LightGBM", "LightGBM booster, two classes", "XGBoost", "XGBoost booster"])
def test_exports_certify_as_the_library_does(name: str, tmp_path: Path) -> None:
    model, scores = MODELS[name]()
    done = export(model, tmp_path / "m.onnx", example=noisy_vectors(4), options=Options(examples=noisy_vectors(100)))
    assert done.parity.flips == 0
    assert done.batch is None
    certified = certifies_as(tmp_path / "m.onnx", lambda batch: scores(batch.reshape(len(batch), -1)))
    assert certified >= 2


def test_thresholds_between_two_floats_send_inputs_the_right_way() -> None:
    """Inputs of whole multiples of one last bit: a threshold, rounded to the nearest float32, meets an input exactly.

    Oracle: LightGBM, which compares in double precision.
    """
    rng = np.random.default_rng(0)
    bit = float(np.spacing(np.float32(1)))
    x = (1 + bit * rng.integers(0, 40, (600, 3))).astype(np.float32)
    y = (np.rint((x - 1) / bit).astype(int) * [1, 3, 7]).sum(axis=1) % 5
    model = lightgbm().LGBMClassifier(n_estimators=20, min_child_samples=1, n_jobs=1, verbose=-1).fit(x, y)
    expected = model.predict_proba(x)
    rounded = onnx.ModelProto()
    proto, _ = to_onnx(model, x[0])
    rounded.CopyFrom(proto)
    assert np.abs(run(proto, x) - expected).max() < 1e-6
    (tree,) = (node for node in rounded.graph.node if node.op_type == "TreeEnsembleClassifier")
    (values,) = (entry for entry in tree.attribute if entry.name == "nodes_values")
    nearest = [np.nextafter(np.float32(v), np.float32(2)) if 1 < v < 2 else v for v in values.floats]
    values.floats[:] = nearest
    assert np.abs(run(rounded, x) - expected).max() > 1e-3  # a last bit more is another function


def test_class_names_are_the_librarys() -> None:
    assert class_names(MODELS["LightGBM, names"]()[0]) == tuple("klmnopqrst")
    assert class_names(MODELS["LightGBM booster"]()[0]) == ()


def lightgbm_regressor() -> Any:
    return lightgbm().LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1).fit(*training_vectors())


def xgboost_regressor() -> Any:
    return xgboost().XGBRegressor(n_estimators=2, n_jobs=1).fit(*training_vectors())


def xgboost_dart() -> Any:
    return xgboost_classifier(booster="dart").fit(*training_vectors())


def xgboost_forest() -> Any:
    return xgboost().XGBRFClassifier(n_estimators=4, max_depth=3, n_jobs=1).fit(*training_vectors())


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "LightGBM regressor": (lightgbm_regressor, "expected a classifier, got LGBMRegressor"),
    "LightGBM ranking of numbers": (lambda: lightgbm_booster("regression", ten)[0], "objective regression"),
    "XGBoost regressor": (xgboost_regressor, "expected a classifier, got XGBRegressor"),
    "XGBoost booster of numbers": (lambda: xgboost_booster("reg:squarederror", ten)[0], "objective reg:squarederror"),
    "dropped trees": (xgboost_dart, "skl2onnx cannot convert XGBClassifier"),
    "several trees a round": (xgboost_forest, "differ"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_classifier_or_converts_to_another_one_is_refused(
    make: Callable[[], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message) as error:
        export(make(), tmp_path / "m.onnx", example=noisy_vectors(2), options=Options(examples=noisy_vectors(50)))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="1024 features"):
        to_onnx(MODELS["LightGBM booster"]()[0], np.zeros(7, np.float32))


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lightgbm(), xgboost()
    names = run_page("export-boosting.md", tmp_path, monkeypatch)
    assert names["certificate"].prediction == 0
    assert (tmp_path / "lightgbm.onnx").exists()
