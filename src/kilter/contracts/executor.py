"""The port that runs a user's training function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Executor", "TrainingOutcome", "TrainingTask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """One call of ``module:function`` in a child process.

    The child gets ``request`` as JSON on standard input and in ``KILTER_TRIGGER``; it trains on
    ``data_path`` (Parquet: input columns and the target) and writes a model file to ``output_path``
    (with ``.joblib``, ``.skops`` or ``.onnx`` added), or returns an estimator, which is saved there.
    """

    id: str
    command: str
    data_path: str
    output_path: str
    request: Mapping[str, str | int | float | None]
    python_path: str
    timeout_s: float
    memory_mib: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOutcome:
    """How a task ended: the model file written, or the last lines of what it printed."""

    is_ok: bool
    model_path: str
    message: str


class Executor(Protocol):
    """Runs training tasks outside this process.

    Guarantees: idempotent on the task's id; a task is never run twice at once; cancelling ends the
    whole process group.
    """

    def submit(self, task: TrainingTask) -> None:
        """Start a task unless one of this id runs or is done.

        Raises
        ------
        EngineError
            If the child cannot be started.
        """
        ...

    def outcome(self, task_id: str) -> TrainingOutcome | None:
        """Return how the task ended, or None while it runs.

        Raises
        ------
        NotFound
            If no task of this id is known (the machine restarted, say).
        """
        ...

    def cancel(self, task_id: str) -> None:
        """End the task if it runs.

        Raises
        ------
        EngineError
            If it cannot be ended.
        """
        ...
