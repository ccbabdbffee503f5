"""Runs a user's training function in a child process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.contracts.executor import TrainingOutcome, TrainingTask
from kilter.errors import EngineError, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PythonExecutor"]

_TAIL_BYTES = 4_000
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TZ")
_SUFFIXES = (".skops", ".joblib", ".onnx")
_PATIENCE_S = 5.0


class PythonExecutor:
    """Implements ``Executor`` with one child process per task.

    Guarantees: a task is started at most once while its pid file names a living child; what a finished
    child left (exit file, model, log) is found again after a restart of this process. Children have
    limits of memory and time, their own process group, and no environment but named variables.
    """

    def __init__(self, *, folder: str, environment: Mapping[str, str] | None = None) -> None:
        self._folder = Path(folder)
        self._environment = dict(environment or {})
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, task: TrainingTask) -> None:
        """Start a task unless one of this id runs or is done.

        Parameters
        ----------
        task : TrainingTask
            What to run.

        Returns
        -------
        None

        Raises
        ------
        EngineError
            If the child cannot be started.
        """
        folder = self._folder / task.id
        if (folder / "exit.json").exists() or self._is_running(task.id):
            return
        request = {**task.request, "data_path": task.data_path, "output_path": task.output_path}
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
            (folder / "output").write_text(task.output_path, encoding="utf-8")
            with (folder / "request.json").open("rb") as stdin, (folder / "log").open("wb") as log:
                child = subprocess.Popen(  # noqa: S603 - the user's own training function, named in the settings
                    self._command(task, folder),
                    stdin=stdin,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._clean_environment(json.dumps(request)),
                    cwd=task.python_path or None,
                    start_new_session=True,
                )
            (folder / "pid").write_text(f"{child.pid} {_started_at(child.pid)}", encoding="utf-8")
        except OSError as cause:
            message = f"the training process of {task.id} cannot be started"
            raise EngineError(message, why=str(cause), hint="check the free space and memory") from cause
        self._children[task.id] = child

    def outcome(self, task_id: str) -> TrainingOutcome | None:
        """Return how the task ended, or None while it runs.

        Parameters
        ----------
        task_id : str
            Its id.

        Returns
        -------
        TrainingOutcome or None
            With the model file, or the last lines of what was printed.

        Raises
        ------
        NotFound
            If no task of this id is known, or its process went away without a word (the machine restarted).
        """
        folder = self._folder / task_id
        if self._is_running(task_id):
            return None
        child = self._children.get(task_id)
        if not (folder / "exit.json").exists():
            if child is None or child.returncode is None:
                message = f"no training task `{task_id}` is known"
                raise NotFound(message, hint="submit it again")
            return TrainingOutcome(is_ok=False, model_path="", message=f"{_death(child.returncode)}\n{_tail(folder)}")
        written = json.loads((folder / "exit.json").read_text(encoding="utf-8"))
        output = (folder / "output").read_text(encoding="utf-8")
        models = [output + suffix for suffix in _SUFFIXES if Path(output + suffix).exists()]
        if written["ok"] and models:
            return TrainingOutcome(is_ok=True, model_path=models[0], message=_tail(folder))
        reason = "nothing_registered: the function wrote no model file" if written["ok"] else written["error"]
        return TrainingOutcome(is_ok=False, model_path="", message=f"{reason}\n{_tail(folder)}".strip())

    def cancel(self, task_id: str) -> None:
        """End the task and everything that it started.

        Parameters
        ----------
        task_id : str
            Its id; one that does not run is no error.

        Returns
        -------
        None

        Raises
        ------
        EngineError
            If it cannot be ended.
        """
        pid = self._pid(task_id)
        if pid is None or not self._is_running(task_id):
            return
        try:
            os.killpg(pid, signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE_S
            while self._is_running(task_id) and time.monotonic() < deadline:
                time.sleep(0.02)
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        except OSError as cause:
            message = f"training task {task_id} cannot be ended"
            raise EngineError(message, why=str(cause), hint=f"end process group {pid} by hand") from cause

    def _command(self, task: TrainingTask, folder: Path) -> list[str]:
        """Write the child's command line."""
        child = Path(__file__).with_name("_child.py")
        limits = [str(task.memory_mib), str(int(task.timeout_s))]
        return [sys.executable, "-P", str(child), task.command, task.python_path, str(folder / "exit.json"), *limits]

    def _clean_environment(self, request: str) -> dict[str, str]:
        """Pass on named variables only."""
        kept = {name: os.environ[name] for name in _PASSED if name in os.environ}
        return {**kept, **self._environment, "KILTER_TRIGGER": request, "PYTHONUNBUFFERED": "1"}

    def _pid(self, task_id: str) -> int | None:
        """Return the child's process id if that process is still the same one."""
        try:
            pid, _, started = (self._folder / task_id / "pid").read_text(encoding="utf-8").partition(" ")
        except OSError:
            return None
        return int(pid) if started and started == _started_at(int(pid)) else None

    def _is_running(self, task_id: str) -> bool:
        """Say whether the child lives; one of ours is reaped here."""
        child = self._children.get(task_id)
        if child is not None:
            return child.poll() is None
        return self._pid(task_id) is not None


def _started_at(pid: int) -> str:
    """Return when a process was started, which tells it from a later one with the same id; empty if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    state, *rest = text.rpartition(")")[2].split()
    return "" if state == "Z" else rest[18]


def _tail(folder: Path) -> str:
    """Return the last lines of the child's output."""
    try:
        data = (folder / "log").read_bytes()
    except FileNotFoundError:
        return ""
    return data[-_TAIL_BYTES:].decode("utf-8", "replace").strip()


def _death(code: int) -> str:
    """Say how a child ended that left no word."""
    return (
        f"the training process was ended by signal {-code}" if code < 0 else f"the training process ended with {code}"
    )
