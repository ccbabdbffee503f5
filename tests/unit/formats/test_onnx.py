from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression

from kilter.contracts.signature import Task
from kilter.errors import FormatError, SchemaMismatch
from kilter.formats import onnx as driver
from kilter.measures.rows import batch_of
from kilter.testing.estimators import make_request, table_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("zipmap", ["zipmap", ""])
def test_a_foreign_classifier_is_described_and_runs(zipmap: str, tmp_path: Path) -> None:
    features, target = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(features, target)
    path = tmp_path / "foreign.onnx"
    proto = to_onnx(model, features[:1].astype(np.float32), options={id(model): {"zipmap": bool(zipmap)}})
    path.write_bytes(proto.SerializeToString())
    found = driver.read(str(path), make_request(table_of(features, target), "y"))
    assert (found.signature.task, found.signature.classes) == (Task.MULTICLASS, ("0", "1", "2"))
    assert (found.runtime, found.runtime_file, found.converted) == ("onnx", "original/foreign.onnx", False)
    batch = batch_of(found.signature, {f"x{i}": features[:, i] for i in range(4)})
    got = np.asarray(driver.load(str(path), found.signature).run(batch).values)
    assert np.allclose(got, model.predict_proba(features), atol=1e-5)


def test_a_foreign_regression_is_described_and_runs(tmp_path: Path) -> None:
    features, target = load_diabetes(return_X_y=True)
    model = LinearRegression().fit(features, target)
    path = tmp_path / "foreign.onnx"
    path.write_bytes(to_onnx(model, features[:1]).SerializeToString())
    found = driver.read(str(path), make_request(table_of(features, target), "y", task="regression"))
    batch = batch_of(found.signature, {f"x{i}": features[:, i] for i in range(10)})
    got = np.asarray(driver.load(str(path), found.signature).run(batch).values)
    assert np.allclose(got, model.predict(features), rtol=1e-4)


def test_a_table_of_another_width_does_not_fit(tmp_path: Path) -> None:
    features, target = load_iris(return_X_y=True)
    path = tmp_path / "foreign.onnx"
    path.write_bytes(
        to_onnx(
            LogisticRegression(max_iter=500).fit(features, target), features[:1].astype(np.float32)
        ).SerializeToString()
    )
    with pytest.raises(SchemaMismatch, match="takes 4 columns"):
        driver.read(str(path), make_request(table_of(features[:, :3], target), "y"))


def test_noise_is_refused(tmp_path: Path) -> None:
    features, target = load_iris(return_X_y=True)
    (tmp_path / "m.onnx").write_bytes(b"\x08\x01noise")
    with pytest.raises(FormatError, match="no ONNX model"):
        driver.read(str(tmp_path / "m.onnx"), make_request(table_of(features, target), "y"))


def test_the_driver_says_that_it_runs_no_code() -> None:
    assert not driver.FORMAT.runs_code
