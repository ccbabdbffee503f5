"""The predictor: choose a version, run it, write it down, answer."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.prediction import Arm, Flag, PredictionRecord, RecordKind
from kilter.errors import DeadlineExceeded, ModelFailed
from kilter.policy.routing import Assignment, assign, hash64, is_shadowed
from kilter.services.predictor._call import Call, Prediction, key_of, late
from kilter.services.predictor._counts import Counts
from kilter.services.predictor._loaded import LoadedRoutes
from kilter.services.predictor._shadow import ShadowQueue
from kilter.services.predictor._snapshot import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilter.contracts.batch import Batch
    from kilter.contracts.blob import BlobStore
    from kilter.contracts.clock import Clock
    from kilter.contracts.format import ModelFormat
    from kilter.contracts.ids import Digest
    from kilter.contracts.journal import Journal
    from kilter.contracts.meters import Meters
    from kilter.contracts.scoring import IdSource
    from kilter.measures.rows import FloatArray

__all__ = ["Predictor"]

_UNSTICKY, _LATE = int(Flag.UNSTICKY), int(Flag.LATE_GENERATION)
_NS_PER_MS = 1_000_000
_NS_PER_US = 1_000


class Predictor(LoadedRoutes):
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
    ) -> None:
        super().__init__(journal=journal, blobs=blobs, materialise=materialise, formats=formats, page=page)
        self._clock = clock
        self._ids = ids
        self._counts = Counts(meters)
        self.shadows: ShadowQueue[Call] = ShadowQueue(shadow_limit)
        self.requests = 0
        self.failures = 0

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
            prediction = self._finish(call, call.variant.run(call.batch), begun)
        except (ModelFailed, DeadlineExceeded) as error:
            self._fail(call, error)
            raise
        if call.route.durable == "disk":
            self._journal.sync()
        self._counts.answered(call)
        return prediction

    async def answer_later(
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
        """As ``answer``, for what must be waited for: other requests are answered meanwhile.

        Parameters and errors are those of ``answer``.
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
            prediction = self._finish(call, call.variant.run(call.batch), begun)
        except (ModelFailed, DeadlineExceeded) as error:
            self._fail(call, error)
            raise
        if call.route.durable == "disk":
            await self._journal.durable()
        self._counts.answered(call)
        return prediction

    def is_immediate(self, target: Target, rows: int) -> bool:
        """Say whether ``answer`` returns within the time that other requests may be kept waiting."""
        del rows
        return target.route.durable != "disk"

    def run_shadow(self) -> bool:
        """Run the shadow copy that waits longest; False if none waits. A failing one is on record, too.

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
        begun = time.perf_counter_ns()
        try:
            raw = call.variant.run(call.batch)
            outputs = call.variant.calibrated(raw)
        except ModelFailed as error:
            self._write(call, RecordKind.FAILURE, None, error_code=error.code)
        else:
            elapsed = time.perf_counter_ns() - begun
            call.started_ns = begun
            self._write(call, RecordKind.SHADOW, raw, outputs=outputs, compute_ns=elapsed)
        return True

    def _begin(
        self,
        target: Target,
        batch: Batch,
        routing_key: str | None,
        *,
        face: str,
        request_id: str,
        trace_id: str,
        started_ns: int,
        deadline_ms: int | None,
    ) -> Call:
        """Choose who answers."""
        route = target.route
        started = started_ns or time.perf_counter_ns()
        prediction_id, flags = self._ids.new(""), 0
        entity = routing_key if routing_key is not None or not route.key else key_of(route, target.variant, batch)
        key = entity
        if key is None:
            key, flags = prediction_id, _UNSTICKY
        elif route.key in route.redact:
            entity = None  # personal: only its keyed hash is written
        assignment = target.assignment or assign(route, key, self._clock.now())
        variant, asked = target.variant, batch
        if assignment.variant.version != variant.number:
            variant, projection = target.arms[assignment.variant.version]
            if projection is not None:
                batch = projection.of(asked)
        self.requests += 1
        limit_ms = route.deadline_ms if deadline_ms is None else min(deadline_ms, route.deadline_ms)
        return Call(
            target,
            variant,
            assignment,
            prediction_id,
            batch,
            asked,
            key,
            face,
            request_id,
            entity,
            flags,
            started,
            started + limit_ms * _NS_PER_MS,
            trace_id=trace_id,
        )

    def _finish(self, call: Call, raw: FloatArray, begun_ns: int) -> Prediction:
        """Calibrate, write the record, queue a shadow copy."""
        variant, route = call.variant, call.route
        outputs = variant.calibrated(raw)
        ended = time.perf_counter_ns()
        if ended > call.deadline_ns:
            raise late(call)
        call.flags |= variant.flags(call.batch)
        if call.target.generation != self._snapshot.generation:
            call.flags |= _LATE
        call.compute_ns = ended - begun_ns
        is_logged = self._write(call, RecordKind.PREDICTION, raw, outputs=outputs, compute_ns=call.compute_ns)
        values = raw if outputs is None else outputs
        if route.shadow is not None:
            self._queue_shadow(call)
        return Prediction(
            call.prediction_id,
            route.deployment,
            call.target.generation,
            call.assignment.arm,
            variant,
            values,
            variant.labels(values),
            is_logged,
        )

    def _fail(self, call: Call, error: ModelFailed | DeadlineExceeded) -> None:
        """Write a failure down."""
        self.failures += 1
        self._counts.failed(call, error)
        self._write(call, RecordKind.FAILURE, None, error_code=error.code)

    def _write(
        self,
        call: Call,
        kind: RecordKind,
        raw: FloatArray | None,
        *,
        outputs: FloatArray | None = None,
        compute_ns: int = 0,
        error_code: str = "",
    ) -> bool:
        """Write the record of an answer, or of a failure (``raw`` is None)."""
        route, variant, (_, arm, propensity, _) = call.route, call.variant, call.assignment
        numeric, answers = b"", b""
        text: tuple[str | None, ...] = ()
        if raw is not None:
            cells = np.asarray(call.batch.text)
            numeric, answers = call.batch.numeric.tobytes(), raw.tobytes()
            text = tuple(cells.ravel().tolist()) if cells.size else ()
        now_ns = time.perf_counter_ns()
        record = PredictionRecord(  # by position, in the order of the fields: keywords would double its price
            kind,
            call.prediction_id,
            self._clock.time_ns(),
            route.deployment,
            variant.number,
            variant.digest,
            call.target.generation,
            arm,
            propensity,
            call.face,
            call.batch.rows,
            numeric,
            text,
            answers,
            b"" if outputs is None else outputs.tobytes(),
            variant.manifest.threshold,
            hash64(route.salt, call.key),
            call.entity_id,
            compute_ns // _NS_PER_US,
            (now_ns - call.started_ns) // _NS_PER_US,
            call.flags,
            call.request_id,
            call.parent_id,
            route.rollout_id,
            error_code,
            call.queue_ns // _NS_PER_US,
            call.trace_id,
        )
        return self._journal.predicted(route, record)

    def _queue_shadow(self, call: Call) -> None:
        """Let the shadow version see the request later, if it is sampled."""
        route = call.route
        if route.shadow is None or call.assignment.arm is Arm.PINNED or not is_shadowed(route, call.key):
            return
        variant, projection = call.target.arms[route.shadow.version]
        batch = call.asked if projection is None else projection.of(call.asked)
        copy = replace(
            call,
            variant=variant,
            assignment=Assignment(route.shadow, Arm.SHADOW, route.shadow_rate / 10_000, is_judged=False),
            prediction_id=self._ids.new(""),
            parent_id=call.prediction_id,
            batch=batch,
            queue_ns=0,
        )
        numbers, texts = np.asarray(batch.numeric), np.asarray(batch.text)
        if not self.shadows.put(copy, numbers.nbytes + sum(len(cell or "") + 64 for cell in texts.flat)):
            self._counts.dropped(copy)
