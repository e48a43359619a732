"""scikit-learn classifiers, trained here, exported, certified by the runtime; oracle: scikit-learn itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smoothcert.errors import ModelError
from smoothcert_exporters import Options, export
from smoothcert_exporters.frameworks.sklearn import class_names, to_onnx

from .frameworks import certifies_as, noisy_vectors, require, run, run_page, training_vectors

require("sklearn", "skl2onnx", extra="sklearn")

from sklearn.decomposition import PCA  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier, SGDClassifier  # noqa: E402
from sklearn.multiclass import OneVsRestClassifier  # noqa: E402
from sklearn.naive_bayes import GaussianNB  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import SVC, LinearSVC  # noqa: E402
from sklearn.tree import DecisionTreeClassifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MODELS: dict[str, tuple[Callable[[], Any], str]] = {
    "scaled logistic regression": (lambda: make_pipeline(StandardScaler(), LogisticRegression()), "predict_proba"),
    "forest": (lambda: RandomForestClassifier(20, random_state=0), "predict_proba"),
    "scaled tree": (lambda: make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0)), "predict_proba"),
    "neighbours": (lambda: KNeighborsClassifier(3), "predict_proba"),
    "naive Bayes": (GaussianNB, "predict_proba"),
    "network": (
        lambda: make_pipeline(PCA(20, random_state=0), MLPClassifier((16,), max_iter=80, random_state=0)),
        "predict_proba",
    ),
    "linear support vectors": (LinearSVC, "decision_function"),
    "ridge": (RidgeClassifier, "decision_function"),
    "hinge loss": (lambda: SGDClassifier(random_state=0), "decision_function"),
    "one against the rest": (lambda: OneVsRestClassifier(LinearSVC()), "predict"),
}


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    x, y = training_vectors()
    return {name: make().fit(x, y) for name, (make, _) in MODELS.items()}


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_scikit_learn(name: str, fitted: dict[str, Any]) -> None:
    """On 400 digits, half of them noisy: scores to 1e-4 of the largest, no class flipped, behind trees as well."""
    model, method = fitted[name], MODELS[name][1]
    rows = noisy_vectors()
    proto, reference = to_onnx(model, rows[0])
    got, expected = run(proto, rows), np.asarray(getattr(model, method)(rows))
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
    labels = got if got.ndim == 1 else got.argmax(axis=1)
    assert (labels == model.predict(rows)).all()
    assert (reference(rows) == expected).all()


@pytest.mark.parametrize("name", ["network", "forest", "scaled tree", "one against the rest"])
def test_exports_certify_as_scikit_learn_does(name: str, fitted: dict[str, Any], tmp_path: Path) -> None:
    model = fitted[name]
    some = Options(examples=noisy_vectors(100))
    done = export(model, tmp_path / "m.onnx", example=training_vectors()[0], options=some)
    assert done.parity.flips == 0
    assert done.batch is None
    again = export(model, tmp_path / "again.onnx", example=training_vectors()[0], options=some)
    assert done.sha256 == again.sha256
    certified = certifies_as(
        tmp_path / "m.onnx", lambda batch: model.predict(batch.reshape(len(batch), -1)).astype(np.int64), near_ties=1
    )
    assert certified >= 2


@pytest.mark.parametrize("name", MODELS)
def test_the_same_model_gives_the_same_bytes(name: str, fitted: dict[str, Any]) -> None:
    one, two = (to_onnx(fitted[name], noisy_vectors(2))[0].SerializeToString() for _ in range(2))
    assert one == two


@pytest.mark.parametrize("classes", [list("klmnopqrst"), list(range(3, 33, 3))], ids=["names", "numbers"])
@pytest.mark.parametrize("make", [GaussianNB, lambda: OneVsRestClassifier(LinearSVC())], ids=["scores", "labels"])
def test_classes_of_any_name_become_indices(make: Callable[[], Any], classes: list[Any]) -> None:
    x, y = training_vectors()
    model = make().fit(x, np.array(classes)[y])
    rows = noisy_vectors(60)
    got = run(to_onnx(model, rows[0])[0], rows)
    indices = got if got.ndim == 1 else got.argmax(axis=1)
    assert got.ndim == (2 if make is GaussianNB else 1)
    assert [classes[i] for i in indices] == model.predict(rows).tolist()
    assert class_names(model) == tuple(map(str, classes))


def test_numbers_from_zero_need_no_names(fitted: dict[str, Any]) -> None:
    assert class_names(fitted["ridge"]) == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: SVC(probability=True, random_state=0),
        lambda: LinearSVC(),
        lambda: SGDClassifier(random_state=0),
    ],
    ids=["Platt scaling", "one decision score", "hinge loss"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_labels_where_no_scores_vote_as_predict_does(make: Callable[[], Any]) -> None:
    """Probabilities by Platt scaling are not those that predict goes by; two classes have one decision score."""
    x, y = training_vectors()
    model = make()
    model.fit(x, y if isinstance(model, SVC) else y > 4)
    rows = noisy_vectors(60)
    proto, _ = to_onnx(model, rows)
    assert (run(proto, rows) == model.predict(rows).astype(int)).all()


def test_a_converter_that_computes_something_else_is_found_out(tmp_path: Path) -> None:
    """skl2onnx takes the largest probability; scikit-learn, of the modified Huber loss, the largest score."""
    x, y = training_vectors()
    model = SGDClassifier(loss="modified_huber", random_state=0).fit(x, y)
    with pytest.raises(ModelError, match="labels differ"):
        export(model, tmp_path / "m.onnx", example=noisy_vectors(100))
    assert not (tmp_path / "m.onnx").exists()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a regressor": (LinearRegression, "expected a classifier, got LinearRegression"),
    "a pipeline that ends in one": (lambda: make_pipeline(StandardScaler(), LinearRegression()), "expected a class"),
    "a transformer": (StandardScaler, "expected a classifier, got StandardScaler"),
    "what skl2onnx does not know": (NearestCentroid, "skl2onnx cannot convert NearestCentroid"),
}


@pytest.mark.filterwarnings("ignore:.*zero standard deviation:UserWarning")
@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_why_in_a_line(make: Callable[[], Any], message: str, tmp_path: Path) -> None:
    x, y = training_vectors()
    with pytest.raises(ModelError, match=message) as error:
        export(make().fit(x, y), tmp_path / "m.onnx", example=x[0])
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_unfitted_several_targets_and_images_are_refused() -> None:
    x, y = training_vectors()
    with pytest.raises(ModelError, match="fit it first"):
        to_onnx(GaussianNB(), x[0])
    with pytest.raises(ModelError, match="one target"):
        to_onnx(DecisionTreeClassifier(max_depth=2).fit(x, np.stack([y, y], axis=1)), x[0])
    with pytest.raises(ValueError, match="flatten"):
        to_onnx(GaussianNB().fit(x, y), x[0].reshape(32, 32))


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_page("export-sklearn.md", tmp_path, monkeypatch)["certificate"].prediction == 0
