"""Isolated worker processes for models that a server must not load itself."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from kilter import plugins
from kilter.engines.isolation.limits import child_environment
from kilter.engines.isolation.wire import Answer, Call, Fault, Hello, raise_fault, receive, send
from kilter.errors import EngineError, FormatError, KilterError, ModelFailed
from kilter.policy.restart import HEALTHY_S, delay_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.contracts.batch import Batch, Scores
    from kilter.contracts.format import LoadedModel
    from kilter.contracts.signature import Signature

__all__ = ["WorkerModel", "WorkerPool"]

_GRACE_S: Final = 1.0
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class WorkerPool:
    """A ``ModelFormat`` whose models live in child processes of their own.

    Guarantees: a model's file is opened in its child only; a crash there fails that call and nothing
    else; children end with this process, however it ends. Safe from threads.

    Parameters
    ----------
    python : str
        The interpreter of the children.
    deadline_s : float
        Longest time that one call may take, until its caller says otherwise; the child is killed then.
    start_s : float
        Longest time that a child may take to load its model.
    memory_mib : int
        Address space of each child.
    environment : mapping
        Further variables for the children.
    """

    def __init__(
        self,
        *,
        python: str = sys.executable,
        deadline_s: float = 10.0,
        start_s: float = 60.0,
        memory_mib: int = 8192,
        environment: Mapping[str, str] = _NONE,
    ) -> None:
        self._python = python
        self._deadline_s = deadline_s
        self._start_s = start_s
        self._memory_mib = memory_mib
        self._environment = dict(environment)
        self._models: list[WorkerModel] = []

    def load(self, path: str, signature: Signature) -> LoadedModel:
        """Start a child, let it load the model, and wait until it has.

        Raises
        ------
        FormatError
            If the file is corrupt, does not fit the signature, or the child dies or takes too long.
        UnsafeArtifact
            If the file names a global that is not allowed.
        EngineError
            If no child can be started.
        """
        hello = Hello(_format(path), str(Path(path).resolve()), signature, self._memory_mib)
        model = WorkerModel(
            hello,
            python=self._python,
            deadline_s=self._deadline_s,
            start_s=self._start_s,
            environment=self._environment,
        )
        self._models = [kept for kept in self._models if not kept.is_closed] + [model]
        return model

    def close(self) -> None:
        """End all children."""
        for model in self._models:
            model.close()


class WorkerModel:
    """A model in a child process, as an ``IsolatedModel``.

    Guarantees: calls are answered one at a time; a child that dies fails the call at hand and is started
    again, later and later while it keeps dying; ``close`` ends it.
    """

    def __init__(
        self, hello: Hello, *, python: str, deadline_s: float, start_s: float, environment: Mapping[str, str]
    ) -> None:
        self._hello = hello
        self._python = python
        self._start_s = start_s
        self._environment = environment
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._home = tempfile.TemporaryDirectory(prefix="kilter-worker-", ignore_cleanup_errors=True)
        self._is_ready = False
        self._started_s = 0.0
        self._took_s = 0.0
        self._retry_at_s = 0.0
        self._recent_falls = 0
        self.patience_s = deadline_s
        self.falls = 0
        self.restarts = 0
        self.is_closed = False
        try:
            self._start()
            self._wait_ready(self._start_s)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._child.pid if self._child is not None else None

    def wait_s(self) -> float:
        """Return the expected seconds until the child can take a call: 0 while it lives."""
        child = self._child
        if child is not None and self._is_ready and child.poll() is None:
            return 0.0
        return self.rest_s() + self._took_s

    def rest_s(self) -> float:
        """Return the seconds until the child may be started again."""
        return max(0.0, self._retry_at_s - time.monotonic())

    def run(self, batch: Batch) -> Scores:
        """Score the rows in the child; one that is gone is started again first, if its time has come.

        Raises
        ------
        ModelFailed
            If the model raises, dies, takes longer than ``patience_s``, or is being started again.
        """
        with self._lock:
            deadline_s = time.monotonic() + self.patience_s
            self._come_up(deadline_s)
            try:
                answer = self._exchange(Call.of(batch), deadline_s)
            except TimeoutError as error:
                self._fell()
                msg = f"the model took longer than {self.patience_s:g} s and was ended"
                raise ModelFailed(msg) from error
            except (OSError, msgspec.MsgspecError) as error:
                self._fell()
                msg = "the model's process died on this input"
                raise ModelFailed(msg, why=str(error)[:200]) from error
        if answer.fault is not None:
            raise_fault(answer.fault)
        return answer.scores()

    def revive(self) -> None:
        """Start the child again if it is gone, and wait until it has loaded the model.

        Raises
        ------
        ModelFailed
            If it does not come up, or its time has not come.
        """
        with self._lock:
            if self._child is not None and self._child.poll() is not None:
                self._fell()  # it died while nobody asked it anything
            self._come_up(time.monotonic() + self._start_s)

    def close(self) -> None:
        """End the child."""
        self.is_closed = True
        self._end()
        self._home.cleanup()

    def _come_up(self, deadline_s: float) -> None:
        """Start the child again if it is gone and its time has come."""
        try:
            self._revive(deadline_s)
        except ModelFailed:
            raise
        except KilterError as error:
            self._fell()
            msg = "the model's process cannot be started again"
            raise ModelFailed(msg, why=error.message) from error
        except OSError as error:  # it closed its end while it was being told what to load
            self._fell()
            msg = "the model's process died while it was started again"
            raise ModelFailed(msg, why=str(error)[:200]) from error

    def _exchange(self, call: Call, deadline_s: float) -> Answer:
        """Send one call and wait for its answer."""
        connection = self._connected()
        connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        send(connection, call)
        answer = receive(connection, Answer)
        if answer is None:
            message = "the connection closed"
            raise ConnectionResetError(message)
        return answer

    def _connected(self) -> socket.socket:
        """Return the connection."""
        if self._connection is None:
            message = "there is no connection"
            raise ConnectionResetError(message)
        return self._connection

    def _revive(self, deadline_s: float) -> None:
        """Start the child again if it is gone and its time has come."""
        if self.is_closed:
            msg = "the model is closed"
            raise ModelFailed(msg)
        if self._child is None:
            wait_s = self._retry_at_s - time.monotonic()
            if wait_s > 0:
                msg = f"the model's process died and is started again in {wait_s:.1f} s"
                raise ModelFailed(msg)
            self.restarts += 1
            self._start()
        if not self._is_ready:
            self._wait_ready(deadline_s - time.monotonic())

    def _start(self) -> None:
        """Start the child and tell it what to load."""
        ours, theirs = socket.socketpair()
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [self._python, "-P", "-m", "kilter.engines.isolation.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=self._home.name,
                env=child_environment(self._home.name, self._environment),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            msg = f"no worker process can be started: {error.strerror}"
            raise EngineError(msg, where=self._python, hint="run `kilter doctor`") from error
        finally:
            theirs.close()
        self._connection, self._is_ready, self._started_s = ours, False, time.monotonic()
        with suppress(OSError):  # a child that died at once is noticed when its answer is awaited
            send(ours, self._hello)

    def _wait_ready(self, patience_s: float) -> None:
        """Wait until the child has loaded the model."""
        connection = self._connected()
        connection.settimeout(max(0.001, patience_s))
        name = Path(self._hello.path).name
        try:
            answer = receive(connection, Answer)
        except ConnectionError:
            answer = None
        except (OSError, msgspec.MsgspecError) as error:
            answer = Answer(fault=_not_loaded(name, str(error)))
        if answer is None:
            answer = Answer(fault=_not_loaded(name, "its process died while loading"))
        if answer.fault is not None:
            raise_fault(answer.fault)
        self._took_s = time.monotonic() - self._started_s
        self._is_ready = True

    def _fell(self) -> None:
        """Note a fall, and when to try again."""
        if time.monotonic() - self._started_s > HEALTHY_S:
            self._recent_falls = 0
        jitter = secrets.randbelow(2_001) / 1_000 - 1.0
        self._retry_at_s = time.monotonic() + delay_s(self._recent_falls, jitter)
        self._recent_falls += 1
        self.falls += 1
        self._end()

    def _end(self) -> None:
        """End the child, if there is one."""
        child, self._child, self._is_ready = self._child, None, False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if child is None:
            return
        try:
            child.wait(_GRACE_S if self.is_closed else 0)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _not_loaded(name: str, why: str) -> Fault:
    """Build the fault of a model that never became ready."""
    return Fault("FormatError", f"`{name}` could not be loaded by its worker", name, why, "run `kilter doctor`")


def _format(path: str) -> str:
    """Find the format of a file by its suffix."""
    for module in plugins.members("formats", "FORMAT"):
        if path.lower().endswith(module.FORMAT.suffixes):
            return str(module.FORMAT.name)
    msg = f"`{Path(path).name}` is no known kind of model file"
    raise FormatError(msg, where=Path(path).name)
