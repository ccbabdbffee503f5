from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from kilter.formats.base import inference
from kilter.formats.base.conversion import Conversion, convert
from kilter.formats.base.feeding import NativeModel
from kilter.formats.base.reference import read_reference
from kilter.testing.estimators import Untyped, customers, make_request, table_of

if TYPE_CHECKING:
    from kilter.contracts.signature import Signature

NUMBERS, TEXTS = ["age", "visits", "is new"], ["plan", "home-region"]


def converted(estimator: Untyped, table: Untyped, target: str) -> tuple[Conversion, Signature]:
    request = make_request(table, target)
    reference = read_reference(request.arrow_ipc)
    signature = inference.estimator_signature(estimator, reference, request)
    batch = inference.sample_rows(reference, signature)
    fitted, batch = inference.fit_missing(signature, lambda wanted: NativeModel(estimator, wanted), batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(estimator, fitted, batch), fitted


def fit(estimator: Untyped, features: Untyped, target: Untyped) -> Untyped:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(features, target)


CLASSIFIERS = [
    LogisticRegression(max_iter=50),
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=50)),
    RandomForestClassifier(5),
    GradientBoostingClassifier(n_estimators=5),
    HistGradientBoostingClassifier(max_iter=5),
    HistGradientBoostingClassifier(max_iter=5, class_weight="balanced"),
    make_pipeline(StandardScaler(), SVC(probability=True)),
    KNeighborsClassifier(31),
    make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=10)),
    CalibratedClassifierCV(LinearSVC(max_iter=100), cv=2),
    GridSearchCV(LogisticRegression(max_iter=20), {"C": [0.1, 1.0]}, cv=2),
]


@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda model: "".join(str(model).split()))
@pytest.mark.parametrize("load", [load_breast_cancer, load_iris], ids=["binary", "multiclass"])
def test_the_usual_classifiers_convert_and_agree(model: Untyped, load: Untyped) -> None:
    features, target = load(return_X_y=True)
    result, signature = converted(fit(model, features, target), table_of(features, target), "y")
    assert result.parity is not None, result.reason
    assert result.parity.label_flips == 0
    assert result.parity.max_abs_difference < 1e-5
    assert len(signature.classes) == len(set(target.tolist()))


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        RandomForestRegressor(5),
        GradientBoostingRegressor(n_estimators=5),
        HistGradientBoostingRegressor(max_iter=5),
        KNeighborsRegressor(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_usual_regressions_convert_and_agree(model: Untyped) -> None:
    features, target = load_diabetes(return_X_y=True)
    result, _ = converted(fit(model, features, target), table_of(features, target), "y")
    assert result.parity is not None, result.reason


def preprocessed(model: Untyped, encoder: Untyped) -> Pipeline:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return Pipeline(
        [("columns", ColumnTransformer([("n", numbers, NUMBERS), ("t", encoder, TEXTS)])), ("model", model)]
    )


ENCODERS = {
    "one-hot": OneHotEncoder(handle_unknown="ignore"),
    "imputed": make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    ),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
}


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("gaps", ["", "gaps"])
def test_pipelines_over_named_columns_convert_with_and_without_gaps(encoder: str, gaps: str) -> None:
    table = customers(gaps=bool(gaps))
    frame = table.to_pandas()
    model = HistGradientBoostingClassifier(max_iter=5) if encoder == "ordinal" else LogisticRegression()
    estimator = fit(preprocessed(model, ENCODERS[encoder]), frame.drop(columns="left"), frame["left"])
    result, signature = converted(estimator, table, "left")
    assert result.parity is not None, result.reason
    assert signature.positive in {"yes", "no"}
    assert {column.name for column in signature.columns if column.nullable} == ({"age", "plan"} if gaps else set())


def test_trees_behind_scaled_inputs_are_tried_in_float64() -> None:
    rng = np.random.default_rng(0)
    features = np.stack((rng.normal(1e9, 1e3, 600), rng.normal(0, 1, 600)), axis=1)
    target = (features[:, 0] > 1e9).astype(int)
    models = [
        RandomForestClassifier(5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5),
        GradientBoostingClassifier(n_estimators=5),
        DecisionTreeClassifier(),
        RandomForestRegressor(5, random_state=0),
        HistGradientBoostingRegressor(max_iter=5),
        GradientBoostingRegressor(n_estimators=5),
    ]
    for model in models:
        estimator = fit(make_pipeline(SimpleImputer(), StandardScaler(), model), features, target)
        result, _ = converted(estimator, table_of(features, target), "y")
        assert result.parity is not None, result.reason
        assert result.reason == "float64 inputs"


def test_what_no_converter_knows_keeps_its_reason() -> None:
    features, target = load_iris(return_X_y=True)
    model = VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression(max_iter=50))], voting="soft")
    result, _ = converted(fit(model, features, target), table_of(features, target), "y")
    assert result.parity is None
    assert result.graph == b""
    assert "the converter refused: NotImplementedError" in result.reason


def test_what_converts_but_disagrees_is_dropped() -> None:
    features, target = load_breast_cancer(return_X_y=True)
    model = CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=10), cv=3, method="isotonic")
    result, _ = converted(fit(model, features, target), table_of(features, target), "y")
    assert result.parity is None
    assert "differ by more" in result.reason or "labels changed" in result.reason


def test_a_calibrated_pipeline_over_columns_stays_native() -> None:
    frame = customers().to_pandas()
    inner = make_column_transformer((OneHotEncoder(), TEXTS), remainder="passthrough")
    model = CalibratedClassifierCV(make_pipeline(inner, LogisticRegression(max_iter=300)), cv=2)
    result, _ = converted(fit(model, frame.drop(columns="left"), frame["left"]), customers(), "left")
    assert result.parity is None
    assert result.reason.startswith("not converted: the converter refused")
