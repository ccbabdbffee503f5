"""The predictor: choose a version, run it, write it down, answer."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.prediction import Arm, Flag, RecordKind
from kilter.errors import DeadlineExceeded, ModelFailed
from kilter.policy.routing import Assignment, assign, hash64, is_shadowed
from kilter.services.predictor._call import Call, Prediction, key_of, late, pinned_to
from kilter.services.predictor._loaded import LoadedRoutes
from kilter.services.predictor._shadow import ShadowQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.batch import Batch
    from kilter.contracts.blob import BlobStore
    from kilter.contracts.clock import Clock
    from kilter.contracts.format import ModelFormat
    from kilter.contracts.ids import Digest
    from kilter.contracts.journal import Journal
    from kilter.contracts.scoring import IdSource
    from kilter.measures.rows import FloatArray

__all__ = ["Predictor"]

_UNSTICKY = int(Flag.UNSTICKY)
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
    ) -> None:
        super().__init__(journal=journal, blobs=blobs, materialise=materialise, formats=formats)
        self._clock = clock
        self._ids = ids
        self.shadows: ShadowQueue[Call] = ShadowQueue(shadow_limit)
        self.requests = 0
        self.failures = 0

    def answer(
        self,
        deployment: str,
        batch: Batch,
        *,
        routing_key: str | None = None,
        version: int | None = None,
        face: str = "http",
        request_id: str = "",
        started_ns: int = 0,
        deadline_ms: int | None = None,
    ) -> Prediction:
        """Choose a version, run it, write the record, and return the answer.

        Parameters
        ----------
        deployment : str
            Name of the deployment.
        batch : Batch
            Rows in the order of ``variant(deployment, version).signature``.
        routing_key : str or None
            What keeps a user on one version; None takes the route's key column of row 0, else the id.
        version : int or None
            Exactly this loaded version; the request is then outside of any experiment.
        face : str
            Where the request came in.
        request_id : str
            The caller's own id, for the record only.
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
        started = started_ns or time.perf_counter_ns()
        snapshot = self._snapshot
        route = snapshot.routes.get(deployment) or self.route(deployment)
        number = route.champion.version if version is None else version
        asked = snapshot.variants.get((deployment, number)) or self.variant(deployment, version)
        prediction_id, flags = self._ids.new(""), 0
        entity = routing_key if routing_key is not None else key_of(route, asked, batch)
        key = entity
        if key is None:
            key, flags = prediction_id, _UNSTICKY
        elif route.key in route.redact:
            entity = None  # personal: only its keyed hash is written
        if version is not None:
            assignment = pinned_to(route, version)
        else:
            assignment = snapshot.plain.get(deployment) or assign(route, key, self._clock.now())
        call = Call(
            route,
            snapshot.variants[deployment, assignment.variant.version],
            snapshot.generation,
            assignment,
            prediction_id,
            batch,
            key,
            face,
            request_id,
            entity,
            flags,
            started,
        )
        self.requests += 1
        limit_ms = route.deadline_ms if deadline_ms is None else min(deadline_ms, route.deadline_ms)
        try:
            return self._run(call, started + limit_ms * _NS_PER_MS)
        except (ModelFailed, DeadlineExceeded) as error:
            self.failures += 1
            self._write(call, RecordKind.FAILURE, None, error_code=error.code)
            raise

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

    def _run(self, call: Call, deadline_ns: int) -> Prediction:
        """Run the model, write the record, queue a shadow copy."""
        begun = time.perf_counter_ns()
        if begun > deadline_ns:
            raise late(call)
        projection = self._snapshot.projections.get((call.route.deployment, call.variant.number))
        if projection is not None and call.assignment.arm is not Arm.PINNED:
            champion_batch, call.batch = call.batch, projection.of(call.batch)
        else:
            champion_batch = call.batch
        raw = call.variant.run(call.batch)
        outputs = call.variant.calibrated(raw)
        ended = time.perf_counter_ns()
        if ended > deadline_ns:
            raise late(call)
        call.flags |= call.variant.flags(call.batch)
        self._write(call, RecordKind.PREDICTION, raw, outputs=outputs, compute_ns=ended - begun)
        values = raw if outputs is None else outputs
        if call.route.shadow is not None:
            self._queue_shadow(call, champion_batch)
        return Prediction(
            call.prediction_id,
            call.route.deployment,
            call.generation,
            call.assignment.arm,
            call.variant,
            values,
            call.variant.labels(values),
        )

    def _write(
        self,
        call: Call,
        kind: RecordKind,
        raw: FloatArray | None,
        *,
        outputs: FloatArray | None = None,
        compute_ns: int = 0,
        error_code: str = "",
    ) -> None:
        """Write the record of an answer, or of a failure (``raw`` is None)."""
        variant, assignment = call.variant, call.assignment
        self._journal.predicted(
            call.route,
            kind=kind,
            prediction_id=call.prediction_id,
            version=variant.number,
            digest=variant.digest,
            generation=call.generation,
            arm=assignment.arm,
            propensity=assignment.propensity,
            face=call.face,
            batch=None if raw is None else call.batch,
            raw=raw,
            outputs=outputs,
            threshold=variant.manifest.threshold,
            key=hash64(call.route.salt, call.key),
            rows=call.batch.rows,
            entity_id=call.entity_id,
            compute_us=compute_ns // _NS_PER_US,
            total_us=(time.perf_counter_ns() - call.started_ns) // _NS_PER_US,
            flags=call.flags,
            request_id=call.request_id,
            parent_id=call.parent_id,
            error_code=error_code,
        )

    def _queue_shadow(self, call: Call, champion_batch: Batch) -> None:
        """Let the shadow version see the request later, if it is sampled."""
        route = call.route
        if route.shadow is None or call.assignment.arm is Arm.PINNED or not is_shadowed(route, call.key):
            return
        place = (route.deployment, route.shadow.version)
        projection = self._snapshot.projections.get(place)
        batch = champion_batch if projection is None else projection.of(champion_batch)
        copy = replace(
            call,
            variant=self._snapshot.variants[place],
            assignment=Assignment(route.shadow, Arm.SHADOW, route.shadow_rate / 10_000, is_judged=False),
            prediction_id=self._ids.new(""),
            parent_id=call.prediction_id,
            batch=batch,
        )
        numbers, texts = np.asarray(batch.numeric), np.asarray(batch.text)
        self.shadows.put(copy, numbers.nbytes + sum(len(cell or "") + 64 for cell in texts.flat))
