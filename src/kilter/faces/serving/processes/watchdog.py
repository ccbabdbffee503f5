"""Which serving processes no longer move: they run, but their heartbeat has stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kilter.contracts.route import AcceptorStatus

__all__ = ["Watchdog"]

_EVERY_S = 1.0
_STILL_S = 15.0
_NAP_S = 5.0


class Watchdog:
    """Looks once a second whether each process's heartbeat has changed.

    A process cannot report that it hangs. Heartbeats are compared with one another and never with a
    clock, and time in which the supervisor itself did not run does not count: neither a clock that is
    set nor a machine that slept ends a healthy process.

    Parameters
    ----------
    statuses : callable
        What the processes show.
    still_s : float
        How long a heartbeat may stand still.
    now_s : callable
        A clock that only grows.
    """

    def __init__(
        self,
        statuses: Callable[[], Iterable[AcceptorStatus]],
        *,
        still_s: float = _STILL_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._statuses = statuses
        self._still_s = still_s
        self._now_s = now_s
        self._looked_s = now_s()
        self._seen: dict[int, tuple[int, float]] = {}

    def hung(self, running: Mapping[int, int | None]) -> tuple[int, ...]:
        """Return the slots whose process hangs; at most one look a second, nothing in between.

        Parameters
        ----------
        running : mapping of slot to process id
            None while a process is not running.

        Raises
        ------
        StoreError
            If the statuses cannot be read.
        """
        now_s = self._now_s()
        gap_s = now_s - self._looked_s
        if gap_s < _EVERY_S:
            return ()
        self._looked_s = now_s
        shown = {status.pid: status for status in self._statuses() if running.get(status.slot) == status.pid}
        if gap_s > _NAP_S:
            self._seen = {}
        self._seen = {
            pid: (status.heartbeat_ns, now_s)
            if self._seen.get(pid, (0, 0.0))[0] != status.heartbeat_ns
            else self._seen[pid]
            for pid, status in shown.items()
        }
        return tuple(shown[pid].slot for pid, (_, since_s) in self._seen.items() if now_s - since_s > self._still_s)
