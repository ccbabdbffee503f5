"""The steps of one prediction: choose a version, take its answer, write it down."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.prediction import Arm, Flag, PredictionRecord, RecordKind
from kilter.errors import ModelFailed
from kilter.policy.routing import Assignment, assign, hash64, is_shadowed
from kilter.services.predictor._call import Call, Prediction, key_of, late
from kilter.services.predictor._counts import Counts
from kilter.services.predictor._loaded import LoadedRoutes
from kilter.services.predictor._shadow import ShadowQueue

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
    from kilter.errors import DeadlineExceeded
    from kilter.measures.rows import FloatArray
    from kilter.services.predictor._lanes import Lanes
    from kilter.services.predictor._snapshot import Target

__all__ = ["Steps"]

_UNSTICKY, _LATE, _FALLBACK = int(Flag.UNSTICKY), int(Flag.LATE_GENERATION), int(Flag.FALLBACK)
_RETRIED = int(Flag.RETRIED)
_NS_PER_MS = 1_000_000
_NS_PER_US = 1_000


class Steps(LoadedRoutes):
    """What an answer goes through, whether somebody waits for it or not.

    Guarantees: one thread; every answer and every failure is written before it is returned.
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
        lanes: Lanes,
        shadow_limit: int,
        page: Sequence[int],
        meters: Meters | None,
    ) -> None:
        super().__init__(journal=journal, blobs=blobs, materialise=materialise, formats=formats, lanes=lanes, page=page)
        self._clock = clock
        self._ids = ids
        self._counts = Counts(meters)
        self.shadows: ShadowQueue[Call] = ShadowQueue(shadow_limit)
        self.requests = 0
        self.failures = 0

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
        outputs = call.variant.calibrated(raw)
        ended = time.perf_counter_ns()
        if ended > call.deadline_ns:
            raise late(call)
        call.compute_ns = ended - begun_ns
        return self._conclude(call, raw, outputs)

    def _conclude(self, call: Call, raw: FloatArray, outputs: FloatArray | None) -> Prediction:
        """Write the record of an answer, queue a shadow copy."""
        variant, route = call.variant, call.route
        call.flags |= variant.flags(call.batch)
        if call.target.generation != self._snapshot.generation:
            call.flags |= _LATE
        is_logged = self._write(call, RecordKind.PREDICTION, raw, outputs=outputs, compute_ns=call.compute_ns)
        values = raw if outputs is None else outputs
        is_fallback = bool(call.flags & _FALLBACK)
        if route.shadow is not None and not is_fallback:
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
            is_fallback,
        )

    def _fail(self, call: Call, error: ModelFailed | DeadlineExceeded) -> None:
        """Write a failure down, unless the caller is to blame.

        Raises
        ------
        InvalidRequest
            If the input is why the model failed.
        """
        if isinstance(error, ModelFailed):
            call.variant.blame_input(call.batch, error)
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
        """Write the record of an answer, or of a failure (``raw`` is None), with its inputs."""
        route, variant, (_, arm, propensity, _) = call.route, call.variant, call.assignment
        cells = np.asarray(call.batch.text)
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
            call.batch.numeric.tobytes(),
            tuple(cells.ravel().tolist()) if cells.size else (),
            b"" if raw is None else raw.tobytes(),
            b"" if outputs is None else outputs.tobytes(),
            variant.manifest.threshold,
            hash64(route.salt, call.key) if route.salt or not call.flags & _UNSTICKY else int(call.key[-12:], 16),
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
            flags=call.flags & ~_RETRIED,
        )
        numbers, texts = np.asarray(batch.numeric), np.asarray(batch.text)
        if not self.shadows.put(copy, numbers.nbytes + sum(len(cell or "") + 64 for cell in texts.flat)):
            self._counts.dropped(copy)
