from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from kilter.contracts.signature import ColumnType
from kilter.errors import UnsafeArtifact
from kilter.formats import onnx
from kilter.formats import sklearn as driver
from kilter.measures.rows import batch_of
from kilter.testing.estimators import customers, make_request, save, table_of

if TYPE_CHECKING:
    from pathlib import Path

X, Y = load_iris(return_X_y=True)
FITTED = LogisticRegression(max_iter=500).fit(X, Y)


@pytest.fixture
def _sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILTER_SANDBOX", "1")


@pytest.mark.parametrize("suffix", [".joblib", ".pkl", ".pickle"])
def test_a_pickle_is_never_loaded_outside_a_sandbox(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KILTER_SANDBOX", raising=False)
    path = str(save(FITTED, tmp_path / f"m{suffix}"))
    request = make_request(table_of(X, Y), "y")
    with pytest.raises(UnsafeArtifact, match="never loaded in this process"):
        driver.read(path, request)


def test_a_skops_file_is_safe_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KILTER_SANDBOX", raising=False)
    path = save(FITTED, tmp_path / "m.skops")
    found = driver.read(str(path), make_request(table_of(X, Y), "y"))
    assert (found.runtime, found.converted, found.source_format) == ("onnx", True, "sklearn")
    (tmp_path / "model.onnx").write_bytes(found.files["model.onnx"])
    batch = batch_of(found.signature, {f"x{i}": X[:, i] for i in range(4)})
    for model in (driver.load(str(path), found.signature), onnx.load(str(tmp_path / "model.onnx"), found.signature)):
        assert np.allclose(np.asarray(model.run(batch).values), FITTED.predict_proba(X), atol=1e-6)


@pytest.mark.usefixtures("_sandbox")
def test_what_does_not_convert_runs_natively_with_the_reason(tmp_path: Path) -> None:
    model = VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression(max_iter=500))], voting="soft").fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = driver.read(str(save(model, tmp_path / "m.joblib")), make_request(table_of(X, Y), "y"))
    assert (found.runtime, found.runtime_file, found.converted) == ("sklearn", "original/m.joblib", False)
    assert found.reason.startswith("not converted")


@pytest.mark.usefixtures("_sandbox")
def test_numbers_with_blanks_in_a_text_column_are_numbers_to_a_model_of_numbers(tmp_path: Path) -> None:
    table = customers(200)
    age = [str(value) if i % 9 else " " for i, value in enumerate(table["age"].to_pylist())]
    frame = table.to_pandas()[["age", "visits"]]
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(frame, table["left"].to_pylist())
    blank = table.set_column(0, "age", pa.array(age)).select(["age", "visits", "left"])
    found = driver.read(str(save(model, tmp_path / "m.joblib")), make_request(blank, "left"))
    column = found.signature.columns[0]
    assert (column.type, column.nullable) == (ColumnType.FLOAT, True)
