from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.executor import TrainingOutcome, TrainingTask
from kilter.engines.exec_python import PythonExecutor
from kilter.errors import EngineError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

CODE = """
import json, os, pathlib, subprocess, sys, time

class Model:
    pass

def returns(data_path, request):
    print("rows of", data_path, request["target"], json.loads(os.environ["KILTER_TRIGGER"])["target"])
    return {"coefficient": 1.0}

def writes(data_path, request):
    pathlib.Path(request["output_path"] + ".onnx").write_bytes(b"model")

def nothing(data_path, request):
    return None

def fails(data_path, request):
    raise ValueError("no such column")

def leaves(data_path, request):
    os._exit(7)

def secrets(data_path, request):
    pathlib.Path(request["output_path"] + ".onnx").write_text(os.environ.get("SECRET_TOKEN", "none"))

def waits(data_path, request):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pathlib.Path(request["output_path"] + ".pid").write_text(str(child.pid))
    time.sleep(60)

def hungry(data_path, request):
    return bytearray(8 * 2**30)
"""


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., TrainingTask]:
    (tmp_path / "training.py").write_text(CODE, encoding="utf-8")

    def build(function: str, *, timeout_s: float = 30.0, name: str = "trg_1") -> TrainingTask:
        return TrainingTask(
            id=name,
            command=f"training:{function}",
            data_path=str(tmp_path / "train.parquet"),
            output_path=str(tmp_path / f"{name}.model"),
            request={"target": "y"},
            python_path=str(tmp_path),
            timeout_s=timeout_s,
        )

    return build


@pytest.fixture
def executor(tmp_path: Path) -> PythonExecutor:
    return PythonExecutor(folder=str(tmp_path / "jobs"))


def ended(executor: PythonExecutor, task_id: str = "trg_1", *, within_s: float = 30.0) -> TrainingOutcome:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        outcome = executor.outcome(task_id)
        if outcome is not None:
            return outcome
        time.sleep(0.05)
    pytest.fail("the task did not end in time")


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_returned_estimator_is_saved(executor: PythonExecutor, task: Callable[..., TrainingTask]) -> None:
    executor.submit(task("returns"))
    outcome = ended(executor)
    assert outcome.is_ok, outcome.message
    assert outcome.model_path.endswith("trg_1.model.joblib")
    assert Path(outcome.model_path).stat().st_size > 0
    assert "rows of" in outcome.message
    assert outcome.message.endswith("y y")


def test_a_file_that_the_function_wrote_is_taken(executor: PythonExecutor, task: Callable[..., TrainingTask]) -> None:
    executor.submit(task("writes"))
    assert ended(executor).model_path.endswith(".onnx")


def test_a_green_job_without_a_model_has_failed(executor: PythonExecutor, task: Callable[..., TrainingTask]) -> None:
    executor.submit(task("nothing"))
    outcome = ended(executor)
    assert (outcome.is_ok, outcome.message.startswith("nothing_registered")) == (False, True)


def test_an_exception_comes_back_as_a_sentence(executor: PythonExecutor, task: Callable[..., TrainingTask]) -> None:
    executor.submit(task("fails"))
    assert ended(executor).message.startswith("ValueError: no such column")


def test_an_unknown_function_comes_back_as_a_sentence(
    executor: PythonExecutor, task: Callable[..., TrainingTask]
) -> None:
    executor.submit(task("missing"))
    assert "AttributeError" in ended(executor).message


def test_a_child_that_leaves_no_word_has_failed(executor: PythonExecutor, task: Callable[..., TrainingTask]) -> None:
    executor.submit(task("leaves"))
    assert "ended with 7" in ended(executor).message


def test_secrets_are_not_inherited(
    executor: PythonExecutor, task: Callable[..., TrainingTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    executor.submit(task("secrets"))
    assert Path(ended(executor).model_path).read_text(encoding="utf-8") == "none"


def test_named_variables_are_passed_on(tmp_path: Path, task: Callable[..., TrainingTask]) -> None:
    executor = PythonExecutor(folder=str(tmp_path / "jobs"), environment={"SECRET_TOKEN": "given"})
    executor.submit(task("secrets"))
    assert Path(ended(executor).model_path).read_text(encoding="utf-8") == "given"


def test_too_much_memory_fails(executor: PythonExecutor, task: Callable[..., TrainingTask]) -> None:
    executor.submit(task("hungry"))
    assert "MemoryError" in ended(executor).message


def test_too_much_time_fails(executor: PythonExecutor, task: Callable[..., TrainingTask]) -> None:
    executor.submit(task("waits", timeout_s=1.0))
    assert "TimeoutError" in ended(executor).message


def test_cancelling_ends_the_whole_group(
    executor: PythonExecutor, task: Callable[..., TrainingTask], tmp_path: Path
) -> None:
    executor.submit(task("waits"))
    grandchild = tmp_path / "trg_1.model.pid"
    deadline = time.monotonic() + 20
    while not (grandchild.exists() and grandchild.read_text(encoding="utf-8")) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int(grandchild.read_text(encoding="utf-8"))
    assert is_alive(pid)
    executor.cancel("trg_1")
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)
    assert not ended(executor).is_ok
    executor.cancel("trg_1")


def test_a_task_runs_once(executor: PythonExecutor, task: Callable[..., TrainingTask], tmp_path: Path) -> None:
    executor.submit(task("returns"))
    executor.submit(task("returns"))
    ended(executor)
    model = tmp_path / "trg_1.model.joblib"
    written_at = model.stat().st_mtime_ns
    executor.submit(task("returns"))
    assert model.stat().st_mtime_ns == written_at


def test_another_process_finds_the_outcome(
    executor: PythonExecutor, task: Callable[..., TrainingTask], tmp_path: Path
) -> None:
    executor.submit(task("returns"))
    again = PythonExecutor(folder=str(tmp_path / "jobs"))
    deadline = time.monotonic() + 30
    while executor.outcome("trg_1") is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended(again).is_ok


def test_a_task_that_a_restart_took_away_is_not_found(executor: PythonExecutor, tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "trg_9"
    folder.mkdir(parents=True)
    (folder / "pid").write_text(f"{os.getpid()} 1", encoding="utf-8")
    with pytest.raises(NotFound):
        executor.outcome("trg_9")
    with pytest.raises(NotFound):
        executor.outcome("never")


def test_a_folder_that_cannot_be_made_is_an_engine_error(tmp_path: Path, task: Callable[..., TrainingTask]) -> None:
    (tmp_path / "jobs").write_text("a file", encoding="utf-8")
    with pytest.raises(EngineError):
        PythonExecutor(folder=str(tmp_path / "jobs")).submit(task("returns"))
