from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from kilter.engines.isolation import reader
from kilter.engines.isolation.limits import child_environment
from kilter.testing.estimators import make_request, save, table_of

if TYPE_CHECKING:
    from pathlib import Path

X, Y = load_iris(return_X_y=True)


def outcome(folder: Path, *, format_name: str, path: str) -> reader.Outcome:
    request = reader.Request(format_name, path, make_request(table_of(X, Y), "y"), 8192, 60)
    (folder / reader.REQUEST).write_bytes(msgspec.msgpack.encode(request))
    command = [sys.executable, "-m", "kilter.engines.isolation.reader", str(folder)]
    done = subprocess.run(command, check=False, timeout=120, env=child_environment(str(folder), {}))
    assert done.returncode == 0
    return msgspec.msgpack.decode((folder / reader.RESULT).read_bytes(), type=reader.Outcome)


def test_what_was_found_is_written_beside_the_request(tmp_path: Path) -> None:
    path = save(LogisticRegression(max_iter=500).fit(X, Y), tmp_path / "m.joblib")
    found = outcome(tmp_path, format_name="sklearn", path=str(path))
    assert found.imported is not None, found.fault
    assert (found.imported.runtime, found.fault) == ("onnx", None)


def test_whatever_went_wrong_is_written_too(tmp_path: Path) -> None:
    found = outcome(tmp_path, format_name="sklearn", path=str(tmp_path / "missing.joblib"))
    assert found.fault is not None
    assert found.fault.kind == "FormatError"
    found = outcome(tmp_path, format_name="nothing", path="x")
    assert found.fault is not None
    assert found.fault.kind == "UnknownName"

