from __future__ import annotations

import gzip
import os
import pickle  # noqa: TID251 - writes what is to be refused
import subprocess
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from kilter.errors import FormatError, UnsafeArtifact
from kilter.formats.base.reading import Unpickler, read_estimator
from kilter.testing.estimators import Untyped, save

if TYPE_CHECKING:
    from pathlib import Path

X, Y = load_iris(return_X_y=True)
FITTED = LogisticRegression(max_iter=200).fit(X, Y)


class Runs:
    """A pickle of this calls a function when it is loaded."""

    def __init__(self, function: Untyped, *arguments: Untyped) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Untyped, tuple[Untyped, ...]]:
        return self.call


@pytest.mark.parametrize("suffix", [".joblib", ".pkl", ".skops"])
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(max_iter=200),
        RandomForestClassifier(3, random_state=np.random.RandomState(0)),
        HistGradientBoostingClassifier(max_iter=3),
        KNeighborsClassifier(algorithm="ball_tree"),
        make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(max_iter=200)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_comes_back_as_it_was_saved(model: Untyped, suffix: str, tmp_path: Path) -> None:
    model.fit(X, Y)
    loaded = read_estimator(str(save(model, tmp_path / f"m{suffix}")))
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)])
def test_compressed_files_are_read(compress: tuple[str, int], tmp_path: Path) -> None:
    model = FITTED
    joblib.dump(model, tmp_path / "m.joblib", compress=compress)
    assert np.array_equal(read_estimator(str(tmp_path / "m.joblib")).coef_, model.coef_)


def test_old_protocols_are_read(tmp_path: Path) -> None:
    model = FITTED
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model, protocol=2))
    assert np.array_equal(read_estimator(str(tmp_path / "m.pkl")).coef_, model.coef_)


@pytest.mark.parametrize(
    "call",
    [
        (os.system, ("touch hit",), "posix.system"),
        (eval, ("open('hit', 'w')",), "builtins.eval"),
        (subprocess.Popen, (["touch", "hit"],), "subprocess.Popen"),
        (getattr, ("text", "upper"), "builtins.getattr"),
        (open, ("hit", "w"), "io.open"),
    ],
    ids=lambda call: call[2],
)
@pytest.mark.parametrize("writer", ["pickle", "joblib", "gzip", "object array", "nested"])
def test_a_malicious_pickle_is_named_and_runs_nothing(
    call: tuple[Untyped, Untyped, str], writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function, arguments, name = call
    bad: Untyped = Runs(function, *arguments)
    path = tmp_path / "m.joblib"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(bad))
    elif writer == "gzip":
        path.write_bytes(gzip.compress(pickle.dumps(bad)))
    elif writer == "joblib":
        joblib.dump(bad, path)
    elif writer == "object array":
        joblib.dump({"a": np.array([bad, 1], dtype=object)}, path)
    else:
        model = clone(FITTED)
        model.extra_ = [{"deep": (bad,)}]
        joblib.dump(model, path)
    with pytest.raises(UnsafeArtifact, match=name):
        read_estimator(str(path))
    assert not (tmp_path / "hit").exists()


def test_a_class_of_the_user_is_refused(tmp_path: Path) -> None:
    class Mine(LogisticRegression):  # type: ignore[misc] # scikit-learn ships no types
        pass

    data = pickle.dumps(LogisticRegression()).replace(b"sklearn.linear_model._logistic", b"__main__" + b"x" * 22)
    (tmp_path / "m.pkl").write_bytes(data)
    assert Mine is not None
    with pytest.raises(UnsafeArtifact, match="__main__"):
        read_estimator(str(tmp_path / "m.pkl"))


def test_a_skops_file_with_a_foreign_type_is_refused(tmp_path: Path) -> None:
    model = clone(FITTED)
    model.extra_ = subprocess.run
    with pytest.raises(UnsafeArtifact, match=r"subprocess\.run"):
        read_estimator(str(save(model, tmp_path / "m.skops")))


@pytest.mark.parametrize("suffix", [".joblib", ".skops"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_cut_short_is_a_format_error(suffix: str, share: float, tmp_path: Path) -> None:
    path = save(RandomForestClassifier(3).fit(X, Y), tmp_path / f"m{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FormatError, match="damaged") as caught:
        read_estimator(str(path))
    assert caught.value.hint


def test_what_has_no_predict_is_a_format_error(tmp_path: Path) -> None:
    joblib.dump({"a": 1}, tmp_path / "m.joblib")
    with pytest.raises(FormatError, match="holds a dict"):
        read_estimator(str(tmp_path / "m.joblib"))


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"cxgboost.sklearn\nXGBClassifier\n.")
    with pytest.raises((FormatError, UnsafeArtifact)) as caught:
        read_estimator(str(tmp_path / "m.pkl"))
    assert "xgboost" in caught.value.message


def test_a_stack_of_nothing_is_no_model() -> None:
    with pytest.raises((EOFError, IndexError)):
        Unpickler(b"").load()
