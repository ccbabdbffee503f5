"""How one loaded version is run: at once, or by a thread that takes what waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kilter.contracts.format import IsolatedModel
from kilter.errors import KilterError, ModelFailed, NotReady
from kilter.policy.batching import cost_s, largest_rows, observed, own_s, paced
from kilter.policy.overload import refusal
from kilter.services.predictor._call import late
from kilter.services.predictor._lane_poison import poisonous
from kilter.services.predictor._lane_process import Process
from kilter.services.predictor._lane_queue import Job, JobQueue, Ran, joined, refused, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilter.policy.batching import CostFit
    from kilter.services.predictor._call import Call
    from kilter.services.predictor._lane_poison import Poison
    from kilter.services.predictor._lane_probe import Probe
    from kilter.services.predictor._lane_thread import LaneThread
    from kilter.services.predictor._variant import Variant

__all__ = ["INLINE_S", "SIDE_S", "STALL_S", "Lane", "LaneKind", "LaneStats", "kind_of"]

INLINE_S = 200e-6
"""Most seconds of a single row for a version that the event loop runs itself."""

SIDE_S = 5e-3
"""Most seconds of a single row for a version that shares the side thread."""

STALL_S = 2e-3
"""Longest time that one call may keep the event loop."""

_NS_PER_S = 1_000_000_000
_LARGEST = 65_536


class LaneKind(StrEnum):
    """Where a version runs: on the event loop, the shared side thread, a thread or a process of its own."""

    INLINE = "inline"
    SIDE = "side"
    THREAD = "thread"
    WORKER = "worker"


@dataclass(slots=True)
class LaneStats:
    """Counts since the version was loaded."""

    batches: int = 0
    batched_requests: int = 0
    batched_rows: int = 0
    refused: int = 0
    expired: int = 0
    retried: int = 0
    quarantined: int = 0


def kind_of(variant: Variant, probe: Probe) -> LaneKind:
    """Choose where a version runs, from what it is and what its calls cost."""
    if isinstance(variant.model, IsolatedModel):
        return LaneKind.WORKER
    if probe.single_s <= INLINE_S:
        return LaneKind.INLINE
    return LaneKind.SIDE if probe.single_s <= SIDE_S else LaneKind.THREAD


class Lane:
    """A loaded version and what waits for it.

    Guarantees: at most ``max_rows`` rows of one version in a batch, none of a request split; a request whose
    deadline passed is answered then and not run any more; requests that share a batch do not share its failure;
    the queue is bounded. ``run`` and ``retire`` belong to the event loop, ``turn`` to the lane's thread.

    Parameters
    ----------
    variant : Variant
        What runs.
    kind : LaneKind
        Where.
    thread : LaneThread
        Runs what is not run at once.
    probe : Probe
        First observations of the cost.
    poison : Poison
        Knows the deadly inputs.
    on_closed : callable
        Called when the last work of a retired lane is done and its model is closed.
    """

    def __init__(
        self,
        variant: Variant,
        kind: LaneKind,
        thread: LaneThread,
        *,
        probe: Probe,
        poison: Poison,
        on_closed: Callable[[Lane], None] = lambda _: None,
    ) -> None:
        self.variant = variant
        self.kind = kind
        self.thread = thread
        self.queue = JobQueue()
        self.fit = probe.fit
        self.cap = _LARGEST
        self.pace = 1.0
        self.stats = LaneStats()
        self.immediate_rows = _immediate_rows(probe.fit) if kind is LaneKind.INLINE else 0
        self._poison = poison
        self._on_closed = on_closed
        self._process: Process | None = None
        if isinstance(variant.model, IsolatedModel):
            self._process = Process(variant.model, variant.name, thread.now_ns)
        self._is_busy = False
        self._is_retiring = False
        self._is_closed = False

    @property
    def is_broken(self) -> bool:
        """Whether the version's process falls again and again."""
        return self._process is not None and self._process.is_broken

    @property
    def falls(self) -> int:
        """How often the version's process fell."""
        return 0 if self._process is None else self._process.falls

    def is_immediate(self, rows: int) -> bool:
        """Say whether the event loop may run so many rows itself."""
        return rows <= self.immediate_rows

    def learn(self, rows: int, seconds: float) -> None:
        """Note what a call took, on any thread: of two at the same moment one may be lost, without harm."""
        self.pace = paced(self.pace, cost_s(self.fit, rows), seconds)
        self.fit = observed(self.fit, rows, seconds)
        if self.kind is LaneKind.INLINE:
            self.immediate_rows = _immediate_rows(self.fit)

    def enter(self, call: Call, *, is_shadow: bool = False) -> Job:
        """Let a request wait for its turn; one that is refused is a job that has failed.

        Parameters
        ----------
        call : Call
            For this lane's version.
        is_shadow : bool
            Runs only while nothing else waits.

        Returns
        -------
        Job
            Its ``future`` gives raw answers or an error; cancelling that drops work that has not begun.
        """
        loop = asyncio.get_running_loop()
        now_ns = self.thread.now_ns()
        job = Job(call, loop.create_future(), now_ns, size_of(call.batch), is_shadow)
        try:
            self._admit(job, now_ns)
        except KilterError as error:
            return refused(call, error)
        self.cap = call.route.max_rows
        self.thread.put(self, job)
        timer = loop.call_later((call.deadline_ns - now_ns) / _NS_PER_S, self._expire, job)
        job.future.add_done_callback(lambda _: self._leave(job, timer))
        return job

    async def run(self, call: Call, *, is_shadow: bool = False) -> Ran:
        """Let a request wait for its turn and return its raw answers; cancelling the wait drops it.

        Parameters
        ----------
        call : Call
            For this lane's version.
        is_shadow : bool
            Runs only while nothing else waits.

        Returns
        -------
        Ran

        Raises
        ------
        Overloaded
            If it cannot be done in time, or too much waits.
        NotReady
            If the version's process is being started again, or falls too often.
        DeadlineExceeded
            If the deadline passes.
        ModelFailed
            If the model fails on it.
        """
        job = self.enter(call, is_shadow=is_shadow)
        try:
            return await job.future
        finally:
            job.note()

    def retire(self) -> None:
        """Close the model once nothing waits or runs any more; at once if that is now."""
        with self.thread.lock:
            self._is_retiring = True
            is_idle = not self.queue and not self._is_busy
        if is_idle and self._process is None:
            self._close()
        else:
            self.thread.wake(self)

    def close(self) -> None:
        """End: what still waits is told, and the model is closed whatever it does."""
        with self.thread.lock:
            jobs = self.queue.take_all()
        for job in jobs:
            self._settle(job, NotReady("this serving process is ending", hint="send the request again"))
        self._close()

    def has_work(self) -> bool:
        """Say whether a further turn is needed; the thread's lock is held."""
        if self._is_closed:
            return False
        return bool(self.queue) or self._is_retiring or self._is_down()

    def turn(self) -> None:
        """Run one batch, or start the version's process again, or close what was retired."""
        if self._is_retiring and not self.queue:
            self._close()
        elif self._process is not None and self._is_down():
            self._process.revive(self.thread.closing)
            self._give_up()
        else:
            self._is_busy = True
            try:
                if jobs := self.thread.take(self):
                    self._work(jobs)
            finally:
                self._is_busy = False

    def _admit(self, job: Job, now_ns: int) -> None:
        """Refuse at once what cannot be done in time."""
        if self._is_closed:
            message = "this version is no longer loaded"
            raise NotReady(message, hint="send the request again")
        slack_s = (job.call.deadline_ns - now_ns) / _NS_PER_S
        if self._process is not None:
            job.is_alone = self._poison.is_suspect(job.call.batch)
            if self._process.is_down:
                self.thread.wake(self)
            slack_s -= self._process.check(slack_s)
        if job.is_shadow:
            return
        rows = job.call.batch.rows
        error = refusal(
            self.thread.ahead(self),
            rows=rows,
            size_bytes=job.size_bytes,
            cost_s=own_s(self.fit, rows, slack_s, job.call.route.max_rows),
            slack_s=slack_s,
        )
        if error is not None:
            self.stats.refused += 1
            raise error

    def _leave(self, job: Job, timer: asyncio.TimerHandle) -> None:
        """Forget a request that has an outcome, or whose caller left."""
        timer.cancel()
        if not job.future.cancelled():
            job.future.exception()  # a caller who never asks has left
        if job.is_queued:
            with self.thread.lock:
                self.queue.forget(job)

    def _expire(self, job: Job) -> None:
        """Answer a request whose deadline passed; what runs goes on, what waits is dropped."""
        if not job.future.done():
            self.stats.expired += 1
            job.future.set_exception(late(job.call))

    def _work(self, jobs: list[Job]) -> None:
        """Run a batch; every request in it gets an outcome or waits for its retry."""
        begun_ns = self.thread.now_ns()
        for job in jobs:
            job.queue_ns = begun_ns - job.queued_ns
        try:
            self._attempt(jobs)
        finally:
            for job in jobs:
                if not job.is_settled and not job.is_queued:
                    self._settle(job, ModelFailed("the model's call ended by a fault", hint="look at the server's log"))

    def _attempt(self, jobs: Sequence[Job]) -> None:
        """Run requests together, and one by one if that fails."""
        process = self._process
        falls = 0 if process is None else process.begin(jobs)
        batch = joined(jobs)
        begun_ns = self.thread.now_ns()
        try:
            raw = self.variant.run(batch)
        except ModelFailed as error:
            if process is not None and process.has_fallen(falls):
                self._retry(jobs, error, process)
                self._give_up()
            elif len(jobs) > 1:
                self._one_by_one(jobs)
            else:
                self._settle(jobs[0], error)
            return
        compute_ns = self.thread.now_ns() - begun_ns
        self.learn(batch.rows, compute_ns / _NS_PER_S)
        self.stats.batches += 1
        self.stats.batched_requests += len(jobs)
        self.stats.batched_rows += batch.rows
        start = 0
        for job in jobs:
            end = start + job.call.batch.rows
            self._settle(job, Ran(raw if len(jobs) == 1 else raw[start:end].copy(), job.queue_ns, compute_ns))
            start = end
        if process is not None and jobs[0].is_alone:
            self._poison.survived(batch)

    def _one_by_one(self, jobs: Sequence[Job]) -> None:
        """Find out which request of a batch makes it fail; the others are answered."""
        for position, job in enumerate(jobs):
            if self._is_down():  # one of them ended the process: the rest waits for the next one
                for waiting in reversed(jobs[position:]):
                    self.thread.put(self, waiting, is_first=True)
                return
            if job.call.deadline_ns <= self.thread.now_ns():
                self._settle(job, late(job.call))
            elif not job.future.done():
                self._attempt([job])
            else:
                job.is_settled = True

    def _retry(self, jobs: Sequence[Job], error: ModelFailed, process: Process) -> None:
        """Let those in flight when the process died run once more, each alone, if their deadlines allow."""
        ready_ns = self.thread.now_ns() + round(process.wait_s() * _NS_PER_S)
        for job in reversed(jobs):
            if self._poison.died(job.call, is_alone=len(jobs) == 1):
                self.stats.quarantined += 1
                self._settle(job, poisonous())
            elif (
                job.is_retry or job.is_shadow or self.is_broken or job.future.done() or job.call.deadline_ns < ready_ns
            ):
                self._settle(job, error)
            else:
                job.is_retry = job.is_alone = True
                self.stats.retried += 1
                self.thread.put(self, job, is_first=True)

    def _give_up(self) -> None:
        """Tell those that wait once the version counts as broken."""
        if self._process is None or not self._process.is_broken:
            return
        with self.thread.lock:
            jobs = self.queue.take_all()
        for job in jobs:
            self._settle(job, self._process.broken())

    def _is_down(self) -> bool:
        """Say whether the version's process is gone."""
        return self._process is not None and not self._is_closed and self._process.is_down

    def _settle(self, job: Job, outcome: Ran | KilterError) -> None:
        """Hand an outcome to the event loop, unless that is gone."""
        job.is_settled = True
        loop = job.future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, job.future, outcome)

    def _close(self) -> None:
        """Let the model go, once."""
        if not self._is_closed:
            self._is_closed = True
            self.variant.model.close()
            self._on_closed(self)


def _resolve(future: asyncio.Future[Ran], outcome: Ran | KilterError) -> None:
    """Resolve a future that nobody resolved or cancelled before."""
    if future.done():
        return
    if isinstance(outcome, KilterError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _immediate_rows(fit: CostFit) -> int:
    """Return the most rows that are predicted to keep the event loop for 2 ms at most."""
    return largest_rows(fit, 2 * STALL_S, _LARGEST)
