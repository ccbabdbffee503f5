"""The SDK: the same steps in Python, with tables of any kind."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pandas as pd  # type: ignore[import-untyped] # noqa: TID251 - frames of users are handed to the SDK
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kilter
from kilter.contracts.spec import RolloutSpec
from kilter.errors import (
    InvalidRequest,
    NotFound,
    NotReady,
    OnHold,
    SettingsError,
    StoreError,
    UnknownName,
    UnsafeArtifact,
)
from kilter.faces.sdk import Project
from kilter.faces.sdk.frame import path_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def estimator(penalty: float) -> object:
    frame = data()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty))
    return model.fit(frame.iloc[:250, :3], frame["kind"].iloc[:250])


def data() -> pd.DataFrame:
    loaded = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(loaded.data))
    frame = pd.DataFrame(loaded.data[order][:, :3], columns=["a", "b", "c"])
    frame["kind"] = np.array(["bad", "good"])[loaded.target[order]]
    return frame


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "kilter.toml").write_text("[serving]\nport = 1\n")
    with kilter.open(tmp_path) as opened:
        yield opened


def test_importing_kilter_loads_nothing_and_offers_its_names() -> None:
    script = (
        "import sys; bare = set(sys.modules); import kilter; "
        "print(kilter.__version__, len(set(sys.modules) - bare) <= 60, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.1.0", "True", "False"]
    assert kilter.Project is Project
    with pytest.raises(AttributeError, match="no attribute 'serve'"):
        kilter.serve  # noqa: B018 - the access itself is what is tested


def test_a_model_in_memory_lives_through_add_check_deploy_and_rollback(project: Project) -> None:
    frame = data()
    first = project.add("cells", estimator(1.0), data=frame[:300], target="kind", holdout=pl.from_pandas(frame[300:]))
    assert repr(first).startswith("<kilter model cells@1 sha256:")
    report = first.check()
    assert report.ok
    assert all(isinstance(sentence, str) for sentence in report.failed)
    assert first.check(pa.Table.from_pandas(frame[300:])).run.rows == len(frame) - 300
    assert first.deploy().outcome == "deployed"
    assert project.status("cells").deployment == "cells"

    second = project.add(
        "cells", estimator(0.5), data=frame[:300], target="kind", holdout=frame[300:], rollout=RolloutSpec(min_units=10)
    )
    assert second.version.number == 2
    assert second.deploy(steps=[10, 100]).outcome == "rollout_started"
    assert second.deploy(steps=[10, 100]).outcome == "unchanged"
    assert project.rollback("cells", reason="a trial").champion == 1
    with pytest.raises(OnHold):
        second.deploy()
    assert project.app.settings.deployments == ()


def test_a_file_of_the_user_is_taken_by_its_path(project: Project, tmp_path: Path) -> None:
    frame = data()
    frame.to_csv(tmp_path / "ref.csv", index=False)
    joblib.dump(estimator(1.0), tmp_path / "m.joblib")
    with pytest.raises(UnsafeArtifact):
        project.add("cells", tmp_path / "m.joblib", data=tmp_path / "ref.csv", target="kind")
    handle = project.add("cells", tmp_path / "m.joblib", data=str(tmp_path / "ref.csv"), target="kind", trust=True)
    assert handle.spec.data.reference == str(tmp_path / "ref.csv")


def test_what_is_not_there_is_said(project: Project) -> None:
    for call in (
        lambda: project.status("cells"),
        lambda: project.rollback("cells", reason="x"),
        lambda: project.recalibrate("cells"),
        lambda: project.retrain("cells", reason="x"),
    ):
        with pytest.raises(UnknownName, match="unknown deployment `cells`"):
            call()
    with pytest.raises(NotFound):
        project.explain("0198")
    with pytest.raises(NotReady):
        project.predict("cells", {"a": 1.0})
    with pytest.raises(NotReady):
        project.feedback("cells", [{"prediction_id": "x", "label": "y"}])
    with pytest.raises(InvalidRequest, match="int is no model"):
        project.add("cells", 3, data=[{"a": 1}], target="a")


def test_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "kilter.toml").write_text("nonsense = 1\n")
    with pytest.raises(SettingsError):
        kilter.open(tmp_path)


ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize(
    "frame",
    [
        ROWS,
        {"a": [1, 2], "b": ["x", "y"]},
        pa.Table.from_pylist(ROWS),
        pd.DataFrame(ROWS),
        pl.DataFrame(ROWS),
    ],
    ids=["rows", "columns", "arrow", "pandas", "polars"],
)
def test_tables_of_any_kind_are_rows(frame: object) -> None:
    assert rows_of(frame) == ROWS


def test_one_mapping_is_one_row() -> None:
    assert rows_of(ROWS[0]) == [ROWS[0]]


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="int is no table"):
        rows_of(3)
    with pytest.raises(InvalidRequest, match="int is no table"):
        path_of(3, tmp_path / "x.parquet")


def test_a_table_is_kept_as_a_file_unless_it_is_one(tmp_path: Path) -> None:
    assert path_of(tmp_path / "a.csv", tmp_path / "b.parquet") == str(tmp_path / "a.csv")
    kept = path_of(ROWS, tmp_path / "deep" / "b.parquet")
    assert pq.read_table(kept).to_pylist() == ROWS
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        path_of(ROWS, tmp_path / "file" / "b.parquet")
