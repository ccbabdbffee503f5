from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import ModelFailed
from kilter.formats.base.feeding import NativeModel, learned_texts, needs_columns, parts
from kilter.measures.rows import batch_of
from kilter.testing.estimators import Untyped, customers

if TYPE_CHECKING:
    from kilter.contracts.batch import Batch

TABLE = customers(120)
FRAME = TABLE.to_pandas()
SIGNATURE = Signature(
    task=Task.BINARY,
    target="left",
    columns=(
        Column(name="age", type=ColumnType.FLOAT),
        Column(name="visits", type=ColumnType.INTEGER, nullable=True),
        Column(name="plan", type=ColumnType.TEXT, nullable=True),
        Column(name="is new", type=ColumnType.BOOLEAN),
    ),
    classes=("no", "yes"),
    positive="yes",
)
NAMES = [column.name for column in SIGNATURE.columns]


def rows(frame: Untyped) -> Batch:
    columns = {name: frame[name].to_numpy(dtype=object if name == "plan" else np.float64) for name in NAMES}
    return batch_of(SIGNATURE, columns)


def model(**options: Untyped) -> Untyped:
    columns = make_column_transformer((OneHotEncoder(**options), ["plan", "is new"]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression(max_iter=500)).fit(FRAME[NAMES], FRAME["left"])


def answers(estimator: Untyped, frame: Untyped) -> Untyped:
    return NativeModel(estimator, SIGNATURE).run(rows(frame)).values


def test_a_model_over_names_is_fed_a_frame() -> None:
    estimator = model()
    got = answers(estimator, FRAME)
    assert np.array_equal(got, estimator.predict_proba(FRAME[NAMES]))


def test_without_pandas_columns_are_taken_by_position(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator, original = model(), builtins.__import__  # noqa: TID251 - to take pandas away

    def without(name: str, *rest: Untyped, **named: Untyped) -> Untyped:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)
        return original(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    got = answers(estimator, FRAME)
    monkeypatch.undo()
    assert np.array_equal(got, estimator.predict_proba(FRAME[NAMES]))
    assert estimator.feature_names_in_.tolist() == NAMES


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_text_is_given_as_the_encoder_learned_it(missing: Untyped) -> None:
    frame = FRAME[NAMES].astype({"plan": object}).copy()
    frame.iloc[::10, 2] = missing
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    estimator = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(frame, FRAME["left"])
    given = frame.assign(plan=[None if i % 10 == 0 else value for i, value in enumerate(FRAME["plan"])])
    got = answers(estimator, given)
    assert np.array_equal(got, estimator.predict_proba(frame))


def test_integers_with_gaps_stay_floats() -> None:
    frame = FRAME[NAMES].copy()
    frame["visits"] = frame["visits"].astype(float)
    frame.loc[0, "visits"] = np.nan
    estimator = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=3),
    ).fit(frame, FRAME["left"])
    assert np.array_equal(answers(estimator, frame), estimator.predict_proba(frame))


def test_a_categorical_model_is_fed_categories() -> None:
    frame = FRAME[NAMES].astype({"plan": "category"})
    estimator = HistGradientBoostingClassifier(max_iter=3).fit(frame, FRAME["left"])
    assert np.array_equal(answers(estimator, FRAME), estimator.predict_proba(frame))


def test_what_the_model_raises_is_its_failure() -> None:
    loaded = NativeModel(model(handle_unknown="error"), SIGNATURE)
    frame = FRAME[NAMES].assign(plan="never seen")
    with pytest.raises(ModelFailed, match="failed on this input") as caught:
        loaded.run(rows(frame))
    assert "unknown categories" in str(caught.value.why)
    loaded.close()


def test_an_answer_of_another_shape_is_its_failure() -> None:
    three = Signature(
        task=Task.MULTICLASS, target="left", columns=SIGNATURE.columns, classes=("a", "b", "c"), positive=""
    )
    with pytest.raises(ModelFailed, match="shape"):
        NativeModel(model(), three).run(rows(FRAME))


def test_parts_reach_what_is_nested_and_never_loop() -> None:
    estimator = model()
    estimator.itself = {"again": [estimator]}
    names = [type(part).__name__ for part in parts(estimator)]
    assert {"Pipeline", "ColumnTransformer", "OneHotEncoder", "LogisticRegression"} <= set(names)
    assert learned_texts(estimator) == {"basic", "pro", "team"}


def test_a_plain_model_over_numbers_is_fed_a_matrix() -> None:
    signature = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))
    assert not needs_columns(LogisticRegression(), signature)
    assert needs_columns(model(), signature)
