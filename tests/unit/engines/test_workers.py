from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeRegressor

from kilter.contracts.batch import Batch
from kilter.contracts.format import IsolatedModel
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.engines.workers import WorkerModel, WorkerPool
from kilter.errors import EngineError, FormatError, ModelFailed, UnsafeArtifact
from kilter.testing.estimators import Untyped, save

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))
FITTED = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
ROW = Batch(rows=1, numeric=np.array([[2.0]]), text=np.empty((1, 0), dtype=object))
ENVIRONMENT = {k: v for k, v in os.environ.items() if k.startswith("COVERAGE_")}


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(environment=ENVIRONMENT)
    yield pool
    pool.close()


def loaded(pool: WorkerPool, tmp_path: Path) -> WorkerModel:
    model = pool.load(str(save(FITTED, tmp_path / "m.joblib")), SIGNATURE)
    assert isinstance(model, WorkerModel)
    return model


def answered(model: WorkerModel) -> float:
    return float(np.asarray(model.run(ROW).values)[0])


def until_answered(model: WorkerModel) -> float:
    deadline = time.monotonic() + 60
    while True:
        try:
            return answered(model)
        except ModelFailed:
            assert time.monotonic() < deadline, "the worker does not come back"
            time.sleep(0.05)


def test_a_dead_worker_fails_one_call_and_comes_back(pool: WorkerPool, tmp_path: Path) -> None:
    model = loaded(pool, tmp_path)
    assert answered(model) == pytest.approx(5.0)
    first = model.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with pytest.raises(ModelFailed, match="died on this input"):
        model.run(ROW)
    with pytest.raises(ModelFailed, match="started again in"):
        model.run(ROW)
    assert until_answered(model) == pytest.approx(5.0)
    assert (model.restarts, model.pid == first) == (1, False)
    model.close()
    assert model.pid is None
    with pytest.raises(ModelFailed, match="closed"):
        model.run(ROW)


def test_a_call_past_its_deadline_ends_the_worker(tmp_path: Path) -> None:
    pool = WorkerPool(deadline_s=0.3, environment=ENVIRONMENT)
    model = loaded(pool, tmp_path)
    assert model.pid is not None
    os.kill(model.pid, signal.SIGSTOP)
    with pytest.raises(ModelFailed, match="took longer"):
        model.run(ROW)
    assert model.pid is None
    pool.close()


def test_a_worker_that_cannot_start_again_is_the_models_failure(pool: WorkerPool, tmp_path: Path) -> None:
    model = loaded(pool, tmp_path)
    (tmp_path / "m.joblib").write_bytes(b"noise")
    assert model.pid is not None
    os.kill(model.pid, signal.SIGKILL)
    with pytest.raises(ModelFailed):
        model.run(ROW)
    deadline = time.monotonic() + 60
    reason = ""
    while "cannot be started" not in reason:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        try:
            answered(model)
        except ModelFailed as error:
            reason = error.message


def test_a_model_that_raises_stays_alive(pool: WorkerPool, tmp_path: Path) -> None:
    model = loaded(pool, tmp_path)
    before = model.pid
    wide = Batch(rows=1, numeric=np.zeros((1, 3)), text=np.empty((1, 0), dtype=object))
    with pytest.raises(ModelFailed, match="failed on this input"):
        model.run(wide)
    assert model.pid == before
    assert answered(model) == pytest.approx(5.0)


def test_a_worker_ends_with_the_pool_and_leaves_nothing(pool: WorkerPool, tmp_path: Path) -> None:
    model = loaded(pool, tmp_path)
    pid = model.pid
    pool.close()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("data", "suffix", "kind"),
    [
        (b"noise", ".joblib", FormatError),
        (b"cposix\nsystem\n(S'true'\ntR.", ".pkl", UnsafeArtifact),
        (b"x", ".txt", FormatError),
    ],
)
def test_a_file_that_cannot_be_loaded_is_refused(
    data: bytes, suffix: str, kind: type[Exception], pool: WorkerPool, tmp_path: Path
) -> None:
    (tmp_path / f"m{suffix}").write_bytes(data)
    with pytest.raises(kind):
        pool.load(str(tmp_path / f"m{suffix}"), SIGNATURE)


def test_a_child_that_dies_while_loading_is_a_format_error(tmp_path: Path) -> None:
    path = str(save(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "m.joblib"))
    cases: list[tuple[Untyped, str]] = [({"python": "/bin/false"}, "died while"), ({"start_s": 0.01}, "timed out")]
    for options, what in cases:
        with pytest.raises(FormatError) as caught:
            WorkerPool(**options).load(path, SIGNATURE)
        assert what in str(caught.value.why)
    with pytest.raises(EngineError, match="no worker process"):
        WorkerPool(python="/nowhere/python").load(path, SIGNATURE)


def spoiled(tmp_path: Path, left: int) -> str:
    """Save a tree that answers 3 above a half and is lost below: 0 goes round for ever, far away is no memory."""
    tree = DecisionTreeRegressor().fit([[0.0], [1.0]], [1.0, 3.0])
    tree.tree_.children_left[0] = left
    return str(save(tree, tmp_path / "m.joblib"))


def row(value: float) -> Batch:
    return ROW._replace(numeric=np.array([[value]]))


def revived(model: WorkerModel) -> None:
    while model.wait_s() > 0:
        assert model.rest_s() < 1.0
        with suppress(ModelFailed):
            model.revive()


def test_an_input_that_ends_the_process_is_a_fall_and_no_more(pool: WorkerPool, tmp_path: Path) -> None:
    model = pool.load(spoiled(tmp_path, 2**40), SIGNATURE)
    assert isinstance(model, WorkerModel)
    assert isinstance(model, IsolatedModel)
    assert np.asarray(model.run(row(1.0)).values).tolist() == [3.0]
    assert (model.wait_s(), model.falls) == (0.0, 0)
    with pytest.raises(ModelFailed, match="died on this input"):
        model.run(row(0.0))
    assert model.falls == 1
    assert model.wait_s() > model.rest_s() >= 0.0
    revived(model)
    assert np.asarray(model.run(row(1.0)).values).tolist() == [3.0]


def test_an_input_that_hangs_ends_with_the_patience(pool: WorkerPool, tmp_path: Path) -> None:
    model = pool.load(spoiled(tmp_path, 0), SIGNATURE)
    assert isinstance(model, WorkerModel)
    model.patience_s = 0.3
    with pytest.raises(ModelFailed, match=r"longer than 0\.3 s"):
        model.run(row(0.0))
    assert (model.falls, model.pid) == (1, None)


def test_a_process_that_dies_while_nobody_asks_is_noticed(pool: WorkerPool, tmp_path: Path) -> None:
    model = loaded(pool, tmp_path)
    assert model.pid is not None
    os.kill(model.pid, signal.SIGKILL)
    os.waitid(os.P_PID, model.pid, os.WEXITED | os.WNOWAIT)
    assert model.wait_s() > 0
    with pytest.raises(ModelFailed, match="started again in"):
        model.revive()
    assert model.falls == 1
    revived(model)
    assert answered(model) == pytest.approx(5.0)


def test_falls_in_a_row_rest_longer_each_time(pool: WorkerPool, tmp_path: Path) -> None:
    model = loaded(pool, tmp_path)
    (tmp_path / "m.joblib").write_bytes(b"noise")
    assert model.pid is not None
    os.kill(model.pid, signal.SIGKILL)
    rests = []
    for _ in range(3):
        while model.rest_s() > 0:
            pass
        with pytest.raises(ModelFailed):
            model.revive() if model.falls else model.run(ROW)
        rests.append(model.rest_s())
    assert rests[0] < rests[1] < rests[2] < 0.5
