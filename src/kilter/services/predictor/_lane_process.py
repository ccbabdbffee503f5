"""The process of an isolated model, as its lane sees it: up, resting after a fall, or broken."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from kilter.errors import KilterError, NotReady
from kilter.policy.restart import is_broken, patience_s

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from kilter.contracts.format import IsolatedModel
    from kilter.services.predictor._lane_queue import Job

__all__ = ["Process"]

_log = logging.getLogger(__name__)

_NS_PER_S = 1_000_000_000
_FALLS_KEPT = 16


class Process:
    """Falls and restarts of one model's process.

    Guarantees: ``check`` and ``is_broken`` belong to the event loop, or to any thread that only looks; the others
    to the lane's thread.

    Parameters
    ----------
    model : IsolatedModel
        Whose process.
    name : str
        Of the version, for messages.
    now_ns : callable
        The clock of deadlines.
    """

    def __init__(self, model: IsolatedModel, name: str, now_ns: Callable[[], int]) -> None:
        self._model = model
        self._name = name
        self._now_ns = now_ns
        self._falls_s: deque[float] = deque(maxlen=_FALLS_KEPT)
        self._was_broken = False
        self.falls = 0

    @property
    def is_broken(self) -> bool:
        """Whether the process fell five times in a minute, and less than a minute ago."""
        now_s = self._now_ns() / _NS_PER_S
        self._was_broken = is_broken(tuple(self._falls_s), now_s, was_broken=self._was_broken)
        return self._was_broken

    @property
    def is_down(self) -> bool:
        """Whether the process cannot take a call now."""
        return self._model.wait_s() > 0

    def wait_s(self) -> float:
        """Return the expected seconds until it can."""
        return self._model.wait_s()

    def check(self, slack_s: float) -> float:
        """Return the seconds that a request must wait for the process.

        Raises
        ------
        NotReady
            If it is gone for longer than the request can wait, or broken.
        """
        wait_s = self._model.wait_s()
        if self._falls_s and self.is_broken:
            raise self.broken()
        if wait_s > slack_s:
            message = f"the process of version {self._name} is being started again"
            raise NotReady(message, hint=f"send the request again in about {max(1.0, wait_s):.0f} s")
        return wait_s

    def broken(self) -> NotReady:
        """Build the error of a version that falls again and again."""
        return NotReady(
            f"the process of version {self._name} ends again and again",
            hint="roll back with `kilter rollback`, and look at the server's log",
        )

    def begin(self, jobs: Sequence[Job]) -> int:
        """Set how long the next call may keep the process: the longest patience of its requests.

        Returns the falls so far, to be compared after the call.
        """
        now_ns = self._now_ns()
        self._model.patience_s = max(
            (job.call.deadline_ns - now_ns) / _NS_PER_S
            + patience_s((job.call.deadline_ns - job.call.started_ns) / _NS_PER_S)
            for job in jobs
        )
        return self._model.falls

    def has_fallen(self, since: int) -> bool:
        """Say whether the process fell during a call, and remember when."""
        if self._model.falls <= since:
            return False
        self._fell()
        return True

    def revive(self, closing: threading.Event) -> None:
        """Start the process again when its rest is over; not while the thread is closing."""
        if closing.wait(self._model.rest_s()):
            return
        falls = self._model.falls
        try:
            self._model.revive()
        except KilterError as error:
            _log.warning("version %s does not come up: %s", self._name, error.message)
        if self._model.falls > falls:
            self._fell()

    def _fell(self) -> None:
        """Remember a fall."""
        self.falls += 1
        self._falls_s.append(self._now_ns() / _NS_PER_S)
