"""Requests that wait for one version."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.prediction import Flag
from kilter.policy.batching import is_hopeless, taken
from kilter.services.predictor._call import Call

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilter.errors import KilterError
    from kilter.measures.rows import FloatArray
    from kilter.policy.batching import CostFit

__all__ = ["Job", "JobQueue", "Ran", "joined", "refused", "size_of"]

_NS_PER_S = 1_000_000_000
_CELL_BYTES = 64
_RETRIED = int(Flag.RETRIED)


class Ran(NamedTuple):
    """Raw answers as ``Variant.run`` gives them, and the two parts of the time that they took."""

    raw: FloatArray
    queue_ns: int = 0
    compute_ns: int = 0


@dataclass(slots=True, eq=False)
class Job:
    """One request that waits or runs. Its future belongs to the event loop; threads only look whether it is done.

    ``is_alone``: never among others. ``is_retry``: was in flight when its process died.
    """

    call: Call
    future: asyncio.Future[Ran]
    queued_ns: int
    size_bytes: int
    is_shadow: bool = False
    is_alone: bool = False
    is_retry: bool = False
    is_queued: bool = False
    is_settled: bool = False
    queue_ns: int = 0

    def note(self) -> None:
        """Put on the request's record that it was run again; for the event loop, once there is an outcome."""
        if self.is_retry:
            self.call.flags |= _RETRIED


class JobQueue:
    """First in, first out; shadow copies only when nothing else waits.

    Guarantees: nothing whose deadline passed or whose caller left is handed out. Not safe from threads: the
    lock of the lane's thread is held around every call.
    """

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._shadows: deque[Job] = deque()
        self.requests = 0
        self.rows = 0
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self.requests or self._shadows)

    def put(self, job: Job, *, is_first: bool = False) -> None:
        """Let a request wait, at the end or before all others."""
        queue = self._shadows if job.is_shadow else self._jobs
        if is_first:
            queue.appendleft(job)
        else:
            queue.append(job)
        job.is_queued = True
        if not job.is_shadow:
            self._count(job, 1)

    def forget(self, job: Job) -> None:
        """Drop a request that waits: its deadline passed, or its caller left."""
        if not job.is_queued:
            return
        self._release(job)
        for queue in (self._jobs, self._shadows):
            while queue and not queue[0].is_queued:
                queue.popleft()

    def take(self, fit: CostFit, now_ns: int, *, pace: float = 1.0) -> list[Job]:
        """Return the requests for the next batch, none if none waits; calls take ``pace`` times what ``fit`` says."""
        self._drop_late(now_ns)
        self._drop_hopeless(fit, now_ns, pace)
        queue = self._jobs or self._shadows
        if not queue:
            return []
        first = queue[0]
        count = 1
        if not first.is_alone:
            company = _company(queue, now_ns)
            sizes = ((job.call.batch.rows, (job.call.deadline_ns - now_ns) / _NS_PER_S) for job in company)
            count = taken(fit, sizes, first.call.route.max_rows)
        batch: list[Job] = []
        while queue and len(batch) < count:
            job = queue.popleft()
            if not job.is_queued:
                continue
            self._release(job)
            if _is_wanted(job, now_ns):
                batch.append(job)
        return batch

    def take_all(self) -> list[Job]:
        """Return everything that waits."""
        jobs = [job for job in (*self._jobs, *self._shadows) if job.is_queued]
        for job in jobs:
            job.is_queued = False
        self._jobs.clear()
        self._shadows.clear()
        self.requests = self.rows = self.size_bytes = 0
        return jobs

    def _drop_late(self, now_ns: int) -> None:
        """Drop from the front what nobody waits for any more."""
        for queue in (self._jobs, self._shadows):
            while queue and (not queue[0].is_queued or not _is_wanted(queue[0], now_ns)):
                job = queue.popleft()
                if job.is_queued:
                    self._release(job)

    def _drop_hopeless(self, fit: CostFit, now_ns: int, pace: float) -> None:
        """Drop from the front what cannot be done in time and would only delay the others; its timer answers."""
        while self._jobs:
            job = self._jobs[0]
            rows, slack_s = job.call.batch.rows, (job.call.deadline_ns - now_ns) / _NS_PER_S / pace
            if not is_hopeless(fit, rows, slack_s, self.rows - rows, job.call.route.max_rows):
                return
            self._jobs.popleft()
            self._release(job)
            self._drop_late(now_ns)

    def _release(self, job: Job) -> None:
        """Note that a request waits no longer."""
        job.is_queued = False
        if not job.is_shadow:
            self._count(job, -1)

    def _count(self, job: Job, sign: int) -> None:
        """Keep the totals."""
        self.requests += sign
        self.rows += sign * job.call.batch.rows
        self.size_bytes += sign * job.size_bytes


def _is_wanted(job: Job, now_ns: int) -> bool:
    """Say whether somebody still waits for the answer."""
    return not job.future.done() and job.call.deadline_ns > now_ns


def _company(queue: deque[Job], now_ns: int) -> Iterator[Job]:
    """Yield those from the front that may share a batch."""
    for job in queue:
        if job.is_alone:
            return
        if job.is_queued and _is_wanted(job, now_ns):
            yield job


def refused(call: Call, error: KilterError) -> Job:
    """Return the job of a request that is refused: it has failed before it waited."""
    job = Job(call, asyncio.get_running_loop().create_future(), 0, 0)
    job.future.set_exception(error)
    job.future.exception()  # a caller who never asks has left
    return job


def joined(jobs: Sequence[Job]) -> Batch:
    """Return the rows of all requests, in order."""
    batches = [job.call.batch for job in jobs]
    if len(batches) == 1:
        return batches[0]
    return Batch(
        rows=sum(batch.rows for batch in batches),
        numeric=np.concatenate([np.asarray(batch.numeric) for batch in batches]),
        text=np.concatenate([np.asarray(batch.text) for batch in batches]),
    )


def size_of(batch: Batch) -> int:
    """Return the bytes that rows take, roughly."""
    texts = np.asarray(batch.text)
    return int(np.asarray(batch.numeric).nbytes) + sum(len(cell or "") + _CELL_BYTES for cell in texts.flat)
