from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from kilter.contracts.batch import Batch
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.engines.isolation.limits import child_environment
from kilter.engines.isolation.wire import Answer, Call, Hello, receive, send
from kilter.testing.estimators import save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNATURE = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))
FITTED = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])


@pytest.fixture
def child(tmp_path: Path) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    ours, theirs = socket.socketpair()
    kept = {k: v for k, v in os.environ.items() if k.startswith("COVERAGE_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "kilter.engines.isolation.worker", str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
        env=child_environment(str(tmp_path), kept),
    )
    theirs.close()
    ours.settimeout(60)
    yield ours, process
    ours.close()
    assert process.wait(60) in {0, 1}


def test_a_worker_loads_answers_and_ends_with_its_connection(
    child: tuple[socket.socket, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    connection, process = child
    send(connection, Hello("sklearn", str(save(FITTED, tmp_path / "m.joblib")), SIGNATURE, 8192))
    assert receive(connection, Answer) == Answer()
    for value in (0.0, 2.0):
        batch = Batch(rows=1, numeric=np.array([[value]]), text=np.empty((1, 0), dtype=object))
        send(connection, Call.of(batch))
        answer = receive(connection, Answer)
        assert answer is not None
        assert np.asarray(answer.scores().values)[0] == pytest.approx(1.0 + 2.0 * value)
    wide = Batch(rows=1, numeric=np.zeros((1, 2)), text=np.empty((1, 0), dtype=object))
    send(connection, Call.of(wide))
    answer = receive(connection, Answer)
    assert answer is not None
    assert answer.fault is not None
    assert answer.fault.kind == "ModelFailed"
    connection.close()
    assert process.wait(60) == 0


def test_a_worker_that_cannot_load_says_why(
    child: tuple[socket.socket, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    connection, process = child
    (tmp_path / "m.joblib").write_bytes(b"noise")
    send(connection, Hello("sklearn", str(tmp_path / "m.joblib"), SIGNATURE, 8192))
    answer = receive(connection, Answer)
    assert answer is not None
    assert answer.fault is not None
    assert answer.fault.kind == "FormatError"
    assert process.wait(60) == 1


def test_a_worker_that_is_told_nothing_ends(child: tuple[socket.socket, subprocess.Popen[bytes]]) -> None:
    connection, process = child
    connection.close()
    assert process.wait(60) == 0
