from __future__ import annotations

import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import msgspec
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import InconsistentVersionWarning

from kilter.engines.isolation import reader
from kilter.engines.isolation.limits import child_environment
from kilter.testing.estimators import Untyped, make_request, table_of

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


def test_what_went_wrong_is_written_beside_the_request(tmp_path: Path) -> None:
    found = outcome(tmp_path, format_name="nothing", path="x")
    assert found.fault is not None
    assert found.fault.kind == "UnknownName"


@pytest.mark.parametrize(
    ("category", "matters"),
    [(UserWarning, True), (InconsistentVersionWarning, True), (DeprecationWarning, False), (RuntimeWarning, False)],
)
def test_warnings_of_the_users_concern_are_kept(category: Untyped, matters: bool) -> None:  # noqa: FBT001 - a case
    text = (
        InconsistentVersionWarning(estimator_name="E", current_sklearn_version="2", original_sklearn_version="1")
        if category is InconsistentVersionWarning
        else category("w")
    )
    item = warnings.WarningMessage(text, category, "f.py", 1)
    assert reader._matters(item) is matters  # noqa: SLF001 - the rule itself
