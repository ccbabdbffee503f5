"""Models for tests of lanes: what a call costs and how it ends is said by the rows; time is a number."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np

from kilter.contracts.batch import Batch, Scores
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import FormatError, ModelFailed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FATAL",
    "ONE_NUMBER",
    "REFUSED",
    "ManualEvent",
    "ManualExecutor",
    "ManualTime",
    "ScriptedFormat",
    "ScriptedModel",
    "ScriptedProcess",
    "rows_of",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")

ONE_NUMBER = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="x", type=ColumnType.FLOAT),))
"""Of every model here; the answer to ``x`` is twice ``x``."""

REFUSED = 13.0
"""A row that the model raises on."""

FATAL = 666.0
"""A row that the model's process dies of."""


def rows_of(*values: float) -> Batch:
    """Return rows of the one column."""
    return Batch(
        rows=len(values),
        numeric=np.array(values, dtype=np.float64).reshape(-1, 1),
        text=np.empty((len(values), 0), dtype=np.object_),
    )


class ManualTime:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000

    def now_ns(self) -> int:
        """Return the time in nanoseconds."""
        return self.ns

    def now_s(self) -> float:
        """Return the time in seconds."""
        return self.ns / 1e9

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.ns += round(seconds * 1e9)


class ManualEvent(threading.Event):
    """An event whose wait lets manual time pass."""

    def __init__(self, time: ManualTime) -> None:
        super().__init__()
        self._time = time

    def wait(self, timeout: float | None = None) -> bool:
        """Let the time pass, unless it is set."""
        if not self.is_set():
            self._time.pass_s(timeout or 0.0)
        return self.is_set()


class ManualExecutor(Executor):
    """Keeps what is submitted until ``run`` is called, on the caller's thread; a RuntimeError stays in the future."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.is_shut = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Keep the work."""
        future: Future[_T] = Future()

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except RuntimeError as error:
                future.set_exception(error)

        self.waiting.append(work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as Executor
        """Remember it."""
        del wait, cancel_futures
        self.is_shut = True

    def run(self) -> int:
        """Do all that waits, and what that submits; return how many pieces it was."""
        done = 0
        while self.waiting:
            self.waiting.pop(0)()
            done += 1
        return done


class ScriptedFormat:
    """A format whose every file is one given model."""

    def __init__(self, model: ScriptedModel) -> None:
        self._model = model

    def load(self, path: str, signature: Signature) -> ScriptedModel:
        """Return the model.

        Raises
        ------
        FormatError
            If the signature is not that of the models here.
        """
        if signature != ONE_NUMBER:
            message = f"`{path}` takes one number"
            raise FormatError(message)
        return self._model


class ScriptedModel:
    """Doubles its rows; a call costs ``a + c * rows`` seconds of manual time. ``during`` is called at its end."""

    def __init__(self, time: ManualTime | None = None, *, a: float = 0.0, c: float = 0.0) -> None:
        self._time = time
        self.a = a
        self.c = c
        self.calls: list[list[float]] = []
        self.during: Callable[[], None] = lambda: None
        self.closed = 0

    def run(self, batch: Batch) -> Scores:
        """Answer, or raise on a row that is refused."""
        values = np.asarray(batch.numeric, dtype=np.float64)[:, 0]
        self.calls.append(values.tolist())
        if self._time is not None:
            self._time.pass_s(self.a + self.c * batch.rows)
        self.during()
        if REFUSED in values:
            message = "the model raised"
            raise ModelFailed(message)
        return Scores(values=values * 2)

    def close(self) -> None:
        """Count."""
        self.closed += 1


class ScriptedProcess(ScriptedModel):
    """The same in a process that dies of a fatal row, rests for a tenth of a second and starts within another."""

    def __init__(self, time: ManualTime, *, a: float = 0.0, c: float = 0.0) -> None:
        super().__init__(time, a=a, c=c)
        self._clock = time
        self._ready_ns = 0
        self.is_up = True
        self.is_startable = True
        self.falls = 0
        self.starts = 0
        self.patience_s = 0.0
        self.patiences: list[float] = []

    def run(self, batch: Batch) -> Scores:
        """Answer, raise, or die."""
        self.patiences.append(self.patience_s)
        if not self.is_up:
            message = "the process is gone"
            raise ModelFailed(message)
        if FATAL in np.asarray(batch.numeric):
            self.calls.append(np.asarray(batch.numeric).reshape(-1).tolist())
            self.die()
            message = "the model's process died on this input"
            raise ModelFailed(message)
        return super().run(batch)

    def die(self) -> None:
        """Fall."""
        self.is_up = False
        self.falls += 1
        self._ready_ns = self._clock.ns + 100_000_000

    def wait_s(self) -> float:
        """Return the seconds until it can take a call."""
        return 0.0 if self.is_up else self.rest_s() + 0.1

    def rest_s(self) -> float:
        """Return the seconds until it may start."""
        return max(0.0, (self._ready_ns - self._clock.ns) / 1e9)

    def revive(self) -> None:
        """Start again.

        Raises
        ------
        ModelFailed
            If it is told not to start.
        """
        self._clock.pass_s(0.1)
        self.starts += 1
        if not self.is_startable:
            self.die()
            raise _down() from FormatError("the file is gone")
        self.is_up = True


def _down() -> ModelFailed:
    """Build the error of a process that does not start."""
    return ModelFailed("the model's process cannot be started again")
