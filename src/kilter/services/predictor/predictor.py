"""The predictor: choose a version, run it, write it down, answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kilter.contracts.prediction import Arm, RecordKind
from kilter.errors import DeadlineExceeded, KilterError, ModelFailed, NotReady, Overloaded
from kilter.services.predictor._call import Call, Prediction, late
from kilter.services.predictor._lane_desk import Desk, instead
from kilter.services.predictor._lanes import Lanes
from kilter.services.predictor._snapshot import Target
from kilter.services.predictor._steps import Steps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kilter.contracts.batch import Batch
    from kilter.contracts.blob import BlobStore
    from kilter.contracts.clock import Clock
    from kilter.contracts.format import ModelFormat
    from kilter.contracts.ids import Digest
    from kilter.contracts.journal import Journal
    from kilter.contracts.meters import Meters
    from kilter.contracts.quarantine import QuarantineShelf
    from kilter.contracts.scoring import IdSource
    from kilter.services.predictor._backup import Backup
    from kilter.services.predictor._lane_queue import Job

__all__ = ["Predictor"]

_SMALL = 16  # rows up to which a call on the event loop is not worth a note of what it took
_SHADOW_NS = 60_000_000_000


class Predictor(Steps):
    """Answers from the table in force and writes every answer down before it leaves.

    Guarantees: ``answer`` and ``commit`` run on one thread and never see a half-changed table;
    ``prepare`` may run on another. A version that is loaded is not loaded again. When ``answer``
    returns, the record is written at the route's level; a failure is on record too. A shadow copy
    runs later, never delays and never fails an answer.

    Parameters
    ----------
    journal : Journal
        Takes the records.
    blobs : BlobStore
        Holds manifests and golden rows.
    materialise : callable of digest and name
        Gives the verified local file of a blob.
    formats : callable of name
        Gives the driver of a runtime.
    clock : Clock
        The time for routing.
    ids : IdSource
        Makes prediction ids.
    shadow_limit : int
        Shadow copies that may wait; more are dropped and counted.
    page : sequence of one int
        The mark of the table in force, as it is at this moment; a constant leaves swaps to ``commit``.
    meters : Meters or None
        Where answers and failures are counted.
    quarantine : QuarantineShelf or None
        Where inputs that end their model's process are kept.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        blobs: BlobStore,
        materialise: Callable[[Digest, str], str],
        formats: Callable[[str], ModelFormat],
        clock: Clock,
        ids: IdSource,
        shadow_limit: int = 1_024,
        page: Sequence[int] = (0,),
        meters: Meters | None = None,
        quarantine: QuarantineShelf | None = None,
    ) -> None:
        lanes = Lanes(time_ns=clock.time_ns, shelf=quarantine)
        super().__init__(
            journal=journal,
            blobs=blobs,
            materialise=materialise,
            formats=formats,
            clock=clock,
            ids=ids,
            lanes=lanes,
            shadow_limit=shadow_limit,
            page=page,
            meters=meters,
        )
        self._desk = Desk(lanes)

    def answer(
        self,
        whom: str | Target,
        batch: Batch,
        *,
        routing_key: str | None = None,
        version: int | None = None,
        face: str = "http",
        request_id: str = "",
        trace_id: str = "",
        started_ns: int = 0,
        deadline_ms: int | None = None,
    ) -> Prediction:
        """Choose a version, run it, write the record, and return the answer.

        Parameters
        ----------
        whom : str or Target
            Name of a deployment, or the target by whose signature the rows were read.
        batch : Batch
            Rows in the order of the target's signature.
        routing_key : str or None
            What keeps a user on one version; None takes the route's key column of row 0, else the id.
        version : int or None
            With a name: exactly this loaded version; the request is then outside of any experiment.
        face : str
            Where the request came in.
        request_id : str
            The caller's own id, for the record only.
        trace_id : str
            Of the trace that the request is part of, for the record only.
        started_ns : int
            ``time.perf_counter_ns()`` when the request came in; 0 means now.
        deadline_ms : int or None
            The caller's deadline; the route's holds if it is sooner.

        Returns
        -------
        Prediction

        Raises
        ------
        NotFound
            If there is no such deployment or version.
        NotReady
            If no table is in force yet.
        DeadlineExceeded
            If the deadline passed before the answer was there.
        ModelFailed
            If the model raises, or answers what no model may answer.
        JournalUnavailable
            If the record cannot be written and the route says ``fail``.
        """
        call = self._begin(
            whom if isinstance(whom, Target) else self.target(whom, version),
            batch,
            routing_key,
            face=face,
            request_id=request_id,
            trace_id=trace_id,
            started_ns=started_ns,
            deadline_ms=deadline_ms,
        )
        begun = time.perf_counter_ns()
        try:
            if begun > call.deadline_ns:
                raise late(call)
            raw = call.variant.run(call.batch)
            if batch.rows > _SMALL:
                self._desk.learn(call, time.perf_counter_ns() - begun)
            prediction = self._finish(call, raw, begun)
        except (ModelFailed, DeadlineExceeded) as error:
            self._fail(call, error)
            made = self._instead(call, error)
            if made is None:
                raise
            call, prediction = made
        if call.route.durable == "disk":
            self._journal.sync()
        self._counts.answered(call)
        return prediction

    def answer_later(
        self,
        whom: str | Target,
        batch: Batch,
        *,
        routing_key: str | None = None,
        version: int | None = None,
        face: str = "http",
        request_id: str = "",
        trace_id: str = "",
        started_ns: int = 0,
        deadline_ms: int | None = None,
    ) -> Awaitable[Prediction]:
        """As ``answer``, for what must be waited for: other requests are answered meanwhile.

        The request takes its place at once, by the table of this moment. Parameters and errors are those of
        ``answer``, raised by the wait, and these.

        Raises
        ------
        Overloaded
            If it cannot be answered in time, or too many wait.
        """
        call = self._begin(
            whom if isinstance(whom, Target) else self.target(whom, version),
            batch,
            routing_key,
            face=face,
            request_id=request_id,
            trace_id=trace_id,
            started_ns=started_ns,
            deadline_ms=deadline_ms,
        )
        return self._later(*self._desk.enter(call))

    def is_immediate(self, target: Target, rows: int) -> bool:
        """Say whether ``answer`` returns within the time that other requests may be kept waiting."""
        if rows > _SMALL and target.immediate_rows:
            return self._desk.is_immediate(target, rows)
        return rows <= target.immediate_rows

    def broken(self) -> tuple[tuple[str, int], ...]:
        """Return deployment and number of the versions whose process falls again and again."""
        return tuple(self._desk.broken(self._snapshot))

    def count_processes(self) -> None:
        """Count what befell the processes of models since the last look; to be called from time to time."""
        self._counts.processes(self._desk.lanes(self._snapshot))

    def close(self) -> None:
        """Let all models go; what still waits is told."""
        self._lanes.close()

    async def run_shadow(self) -> bool:
        """Run the shadow copy that waits longest; False if none waits. A failing one is on record, too.

        One that the event loop cannot run waits until its version has nothing else to do.

        Raises
        ------
        JournalUnavailable
            If the record cannot be written and the route says ``fail``.
        """
        call = self.shadows.take()
        if call is None:
            return False
        if self._snapshot.variants.get((call.route.deployment, call.variant.number)) is not call.variant:
            return True  # let go of by a swap in between
        call.started_ns = time.perf_counter_ns()
        call.deadline_ns = call.started_ns + _SHADOW_NS
        lane = self._desk.lane(call)
        try:
            if lane.is_immediate(call.batch.rows):
                raw = call.variant.run(call.batch)
            else:
                raw = (await lane.run(call, is_shadow=True)).raw
            outputs = call.variant.calibrated(raw)
        except (ModelFailed, DeadlineExceeded) as error:
            self._write(call, RecordKind.FAILURE, None, error_code=error.code)
        except (NotReady, Overloaded):
            self._counts.dropped(call)
        else:
            elapsed = time.perf_counter_ns() - call.started_ns
            self._write(call, RecordKind.SHADOW, raw, outputs=outputs, compute_ns=elapsed)
        return True

    async def _later(self, call: Call, job: Job | None) -> Prediction:
        """Wait for the raw answers, then go on as ``answer`` does."""
        try:
            begun = time.perf_counter_ns()
            if job is None:
                if begun > call.deadline_ns:
                    raise late(call)
                raw = call.variant.run(call.batch)
                if call.batch.rows > _SMALL:
                    self._desk.learn(call, time.perf_counter_ns() - begun)
                prediction = self._finish(call, raw, begun)
            else:
                try:
                    ran = await job.future
                finally:
                    job.note()
                call.queue_ns = ran.queue_ns
                prediction = self._finish(call, ran.raw, time.perf_counter_ns() - ran.compute_ns)
        except (ModelFailed, DeadlineExceeded, NotReady, Overloaded) as error:
            if isinstance(error, ModelFailed | DeadlineExceeded):
                self._fail(call, error)
            made = self._instead(call, error) or await self._instead_later(call, error)
            if made is None:
                raise
            call, prediction = made
        if call.route.durable == "disk" and not await self._journal.durable(call.route):
            prediction = prediction._replace(is_logged=False)
        self._counts.answered(call)
        return prediction

    def _instead(self, call: Call, error: KilterError) -> tuple[Call, Prediction] | None:
        """Answer from the fallback, if the deployment wants that and the event loop can; else None."""
        backup = _wanted(call, error)
        if backup is None:
            return None
        call = instead(call, backup, self._ids.new(""))
        begun = time.perf_counter_ns()
        raw, outputs = backup.constant(call.batch.rows), None
        try:
            if raw is None:
                if not self._desk.lane(call).is_immediate(call.batch.rows):
                    return None
                raw = call.variant.run(call.batch)
                outputs = call.variant.calibrated(raw)
        except ModelFailed as failure:
            self._fail(call, failure)
            return None
        call.compute_ns = time.perf_counter_ns() - begun
        return call, self._conclude(call, raw, outputs)

    async def _instead_later(self, call: Call, error: KilterError) -> tuple[Call, Prediction] | None:
        """Answer from a fallback that must be waited for, within what is left of the deadline; else None."""
        backup = _wanted(call, error)
        if backup is None or backup.row is not None:
            return None
        call = instead(call, backup, self._ids.new(""))
        lane = self._desk.lane(call)
        if lane.is_immediate(call.batch.rows):
            return None
        try:
            ran = await lane.run(call)
            call.queue_ns, call.compute_ns = ran.queue_ns, ran.compute_ns
            return call, self._conclude(call, ran.raw, call.variant.calibrated(ran.raw))
        except ModelFailed as failure:
            self._fail(call, failure)
        except (DeadlineExceeded, NotReady, Overloaded):
            pass  # the caller is told of the first error
        return None


def _wanted(call: Call, error: KilterError) -> Backup | None:
    """Return who answers instead of this error; None where the error is the answer."""
    route, backups = call.route, call.target.backups
    is_wanted = route.on_overload == "fallback" if isinstance(error, Overloaded) else route.on_error == "open"
    if not is_wanted or backups.chosen is None or call.assignment.arm is Arm.PINNED:
        return None
    is_itself = backups.chosen.row is None and backups.chosen.variant.digest == call.variant.digest
    return None if is_itself else backups.chosen
