"""One supervised process: started, started again when it dies, ended with the supervisor."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Child", "pinned_environment"]

_log = logging.getLogger(__name__)

_FREE_RESTARTS = 3
_WITHIN_S = 60.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_PR_SET_PDEATHSIG = 1
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def pinned_environment() -> dict[str, str]:
    """Return this process's environment with one thread per numeric library: more only fight over the cores."""
    return {**os.environ, **dict.fromkeys(_THREAD_COUNTS, "1"), "OMP_WAIT_POLICY": "PASSIVE"}


class Child:
    """A process that is to run.

    Guarantees: restarted at once the first times it dies, then after growing pauses, forgotten
    after a minute of health; ends when the supervisor dies, however that happens (Linux).

    Parameters
    ----------
    name : str
        For the log.
    argv : sequence of str
        The command.
    slot : int or None
        Number of a serving process.
    fds : sequence of int
        Its listening sockets.
    """

    def __init__(self, name: str, argv: Sequence[str], *, slot: int | None = None, fds: Sequence[int] = ()) -> None:
        self.slot = slot
        self._name = name
        self._argv = list(argv)
        self._fds = tuple(fds)
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: deque[float] = deque(maxlen=64)
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        """The process id, or None while it does not run."""
        return None if self._process is None else self._process.pid

    def tend(self) -> bool:
        """Start the process if it should run and does not; True if it was found dead."""
        now = time.monotonic()
        has_died = False
        if self._process is not None and self._process.poll() is not None:
            has_died = True
            self._note_death(now, self._process.returncode)
            self._process = None
        if self._process is None and now >= self._not_before:
            self._start()
        return has_died

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def wait(self, timeout_s: float) -> None:
        """Wait until the process has ended; kill it when the time is over."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _log.warning("%s did not end in time and is killed", self._name)
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        """Start the process."""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - argv comes from the supervisor's own caller
                self._argv,
                env=pinned_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=self._fds,
                process_group=0,
                preexec_fn=_parent_death_signal(),  # noqa: PLW1509 - the supervisor has one thread
            )
        except OSError as error:
            _log.warning("%s cannot be started: %s", self._name, error.strerror)
            self._note_death(time.monotonic(), error.errno or 1)
        else:
            _log.info("%s started as process %d", self._name, self._process.pid)

    def _note_death(self, now: float, code: int) -> None:
        """Plan the next start."""
        recent = sum(now - death < _WITHIN_S for death in self._deaths)
        self._deaths.append(now)
        pause = 0.0
        if recent >= _FREE_RESTARTS:
            pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (recent - _FREE_RESTARTS))
        self._not_before = now + pause
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        _log.warning("%s ended by %s; starting it again in %.1f s", self._name, cause, pause)


def _parent_death_signal() -> Callable[[], None] | None:
    """Return what makes a child get SIGTERM when its parent dies; None where the system cannot."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask
