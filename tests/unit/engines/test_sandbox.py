from __future__ import annotations

import hashlib
import os
import pickle  # noqa: TID251 - writes what is to be refused
from typing import TYPE_CHECKING

import joblib
import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from kilter.engines.sandbox import SandboxImporter
from kilter.errors import EngineError, FormatError, NotFound, UnsafeArtifact
from kilter.testing.estimators import make_request, save, table_of

if TYPE_CHECKING:
    from pathlib import Path

X, Y = load_iris(return_X_y=True)
FITTED = LogisticRegression(max_iter=500).fit(X, Y)
REQUEST = make_request(table_of(X, Y), "y")


@pytest.fixture
def importer() -> SandboxImporter:
    return SandboxImporter(environment={k: v for k, v in os.environ.items() if k.startswith("COVERAGE_")})


class Acts:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /nowhere/kilter-was-hit",)


def test_a_trusted_pickle_is_read_in_a_child_its_original_kept_and_warnings_told(
    importer: SandboxImporter, tmp_path: Path
) -> None:
    here = sklearn.__version__
    other = here[:-1] + ("0" if here[-1] != "0" else "9")
    path = tmp_path / "iris.pkl"
    path.write_bytes(pickle.dumps(FITTED).replace(here.encode(), other.encode()))
    found = importer.read(str(path), REQUEST, trust=True)
    assert (found.runtime, found.source_format, found.converted) == ("onnx", "sklearn", True)
    assert found.files["original/iris.pkl"] == path.read_bytes()
    assert set(found.files) == {"original/iris.pkl", "model.onnx"}
    assert any(other in line for line in found.warnings)


def test_a_pickle_without_consent_is_refused_before_any_child(tmp_path: Path) -> None:
    path = save(FITTED, tmp_path / "iris.joblib")
    with pytest.raises(UnsafeArtifact) as caught:
        SandboxImporter(python="/nowhere/python").read(str(path), REQUEST, trust=False)
    assert "--trust" in str(caught.value.hint)


def test_a_skops_file_needs_no_consent(importer: SandboxImporter, tmp_path: Path) -> None:
    found = importer.read(str(save(FITTED, tmp_path / "iris.skops")), REQUEST, trust=False)
    assert found.converted
    assert found.warnings == ()


def test_a_malicious_pickle_is_named_in_spite_of_consent(importer: SandboxImporter, tmp_path: Path) -> None:
    joblib.dump(Acts(), tmp_path / "m.joblib")
    with pytest.raises(UnsafeArtifact, match=r"posix\.system"):
        importer.read(str(tmp_path / "m.joblib"), REQUEST, trust=True)


def test_fingerprints_are_those_of_the_bytes(importer: SandboxImporter, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"abc")
    assert importer.fingerprint(str(tmp_path / "m.onnx")) == "sha256:" + hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("missing.onnx", NotFound, "no file"),
        ("missing.txt", NotFound, "no file"),
        ("folder", FormatError, "is a folder"),
        ("folder.onnx", FormatError, "is a folder"),
        ("empty.onnx", FormatError, "is empty"),
        ("notes.txt", FormatError, "no known kind"),
    ],
)
def test_what_is_no_model_file_is_refused_with_a_hint(
    name: str, kind: type[FormatError | NotFound], what: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "notes.txt").write_text("notes")
    for call in (
        lambda: SandboxImporter().fingerprint(str(tmp_path / name)),
        lambda: SandboxImporter().read(str(tmp_path / name), REQUEST, trust=True),
    ):
        with pytest.raises(kind, match=what) as caught:
            call()
        assert caught.value.hint


def test_an_unreadable_path_is_a_format_error(tmp_path: Path) -> None:
    loop = tmp_path / "loop.onnx"
    loop.symlink_to(loop)
    with pytest.raises(FormatError, match="cannot be read"):
        SandboxImporter().fingerprint(str(loop))


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    path = save(FITTED, tmp_path / "iris.joblib")
    with pytest.raises(FormatError, match="took longer than"):
        SandboxImporter(timeout_s=0.05).read(str(path), REQUEST, trust=True)


def test_a_child_that_dies_is_a_format_error(tmp_path: Path) -> None:
    path = save(FITTED, tmp_path / "iris.joblib")
    with pytest.raises(FormatError, match=r"memory|died|reading the model failed"):
        SandboxImporter(memory_mib=60).read(str(path), REQUEST, trust=True)


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "signal SIGKILL"),
        ("exit 0", "left no answer"),
        ('printf "\\200" > "${!#}/result.msgpack"', "left an empty answer"),
    ],
)
def test_a_child_that_says_nothing_is_a_format_error(script: str, what: str, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\n{script}\n")
    python.chmod(0o700)
    path = save(FITTED, tmp_path / "iris.joblib")
    with pytest.raises(FormatError, match=what):
        SandboxImporter(python=str(python)).read(str(path), REQUEST, trust=True)


def test_no_interpreter_is_the_engines_failure(tmp_path: Path) -> None:
    path = save(FITTED, tmp_path / "iris.joblib")
    with pytest.raises(EngineError, match="no child process"):
        SandboxImporter(python="/nowhere/python").read(str(path), REQUEST, trust=True)
