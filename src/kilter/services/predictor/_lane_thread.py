"""A thread that runs what waits in its lanes, by turns."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kilter.policy.batching import LONGEST_S, cost_s, work_s
from kilter.policy.overload import Waiting, remainder_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.policy.batching import CostFit
    from kilter.services.predictor._lane_queue import Job, JobQueue

__all__ = ["LaneThread", "Turns"]

_log = logging.getLogger(__name__)

_NS_PER_S = 1_000_000_000


class Turns(Protocol):
    """What a thread runs by turns. ``cap`` is the most rows of a batch, ``pace`` how much longer calls take now."""

    queue: JobQueue
    fit: CostFit
    cap: int
    pace: float

    def turn(self) -> None:
        """Do a bounded piece of work."""

    def has_work(self) -> bool:
        """Say whether a further turn is needed; the thread's lock is held."""


class _Running(NamedTuple):
    begun_ns: int
    predicted_s: float


class LaneThread:
    """One thread, and the lanes that share it.

    Guarantees: a lane with work gets a turn after every other lane with work had one, so none starves; a turn
    that fails does not end the thread. ``lock`` guards the queues of all its lanes and is held only for moments.

    Parameters
    ----------
    name : str
        Of the thread.
    now_ns : callable
        The clock of deadlines.
    executor : Executor or None
        Runs the turns; None makes one thread.
    """

    def __init__(
        self, name: str, *, now_ns: Callable[[], int] = time.perf_counter_ns, executor: Executor | None = None
    ) -> None:
        self._executor = executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._ring: deque[Turns] = deque()
        self._current: Turns | None = None
        self._running: _Running | None = None
        self._is_turning = False
        self.now_ns = now_ns
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def put(self, lane: Turns, job: Job, *, is_first: bool = False) -> None:
        """Let a request wait in a lane, and see that the lane gets its turn."""
        with self.lock:
            lane.queue.put(job, is_first=is_first)
            self._wake(lane)

    def wake(self, lane: Turns) -> None:
        """See that a lane gets its turn."""
        with self.lock:
            self._wake(lane)

    def take(self, lane: Turns) -> list[Job]:
        """Return a lane's next batch and note that it runs; called within a turn."""
        with self.lock:
            now_ns = self.now_ns()
            jobs = lane.queue.take(lane.fit, now_ns, pace=lane.pace)
            if jobs:
                rows = sum(job.call.batch.rows for job in jobs)
                self._running = _Running(now_ns, cost_s(lane.fit, rows) * lane.pace)
            return jobs

    def ahead(self, lane: Turns) -> Waiting:
        """Return what is ahead of a new request in a lane.

        Of another lane on the thread only as much counts as it can do by turns before the request's own.
        """
        with self.lock:
            own_s = _work_s(lane)
            others_s = sum(min(_work_s(other), own_s + LONGEST_S) for other in self._ring if other is not lane)
            running_s = 0.0
            if self._running is not None:
                elapsed_s = (self.now_ns() - self._running.begun_ns) / _NS_PER_S
                running_s = remainder_s(self._running.predicted_s, elapsed_s)
            return Waiting(lane.queue.rows, lane.queue.size_bytes, own_s + others_s, running_s)

    def close(self) -> None:
        """Begin no further turn; the one at hand may end."""
        self.closing.set()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _wake(self, lane: Turns) -> None:
        """Line a lane up; the lock is held."""
        if lane is not self._current and lane not in self._ring:
            self._ring.append(lane)
        if not self._is_turning and not self.closing.is_set():
            self._is_turning = True
            self._executor.submit(self._drain).add_done_callback(_report)

    def _drain(self) -> None:
        """Give turns until nothing has work."""
        try:
            while (lane := self._next()) is not None:
                lane.turn()
        finally:
            with self.lock:
                self._is_turning = False
                self._settle_current()
                if self._ring:
                    self._wake(self._ring[0])

    def _next(self) -> Turns | None:
        """Line the lane of the last turn up again if it has more to do, and return the next."""
        with self.lock:
            self._settle_current()
            if self.closing.is_set() or not self._ring:
                return None
            self._current = self._ring.popleft()
            return self._current

    def _settle_current(self) -> None:
        """End a turn; the lock is held."""
        lane, self._current, self._running = self._current, None, None
        if lane is not None and lane.has_work() and lane not in self._ring:
            self._ring.append(lane)


def _work_s(lane: Turns) -> float:
    """Return the seconds of work that wait in a lane."""
    return work_s(lane.fit, (lane.queue.requests, lane.queue.rows), lane.cap) * lane.pace


def _report(future: Future[None]) -> None:
    """Log a turn that failed: a fault of kilter or of a plug-in; its requests have been told."""
    if not future.cancelled() and (error := future.exception()) is not None:
        _log.error("fault in a lane", exc_info=error)
