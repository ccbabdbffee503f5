"""The data plane's pen: writes every answer and every label down before it is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.prediction import Arm, EventRecord, FeedbackRecord, Flag, PredictionRecord, RecordKind
from kilter.errors import JournalUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.arrays import Array
    from kilter.contracts.batch import Batch
    from kilter.contracts.clock import Clock
    from kilter.contracts.log import RecordLog, SegmentInfo
    from kilter.contracts.prediction import LogRecord, SchemaRecord
    from kilter.contracts.route import Route

__all__ = ["Journal"]

_BUFFER_BYTES = 8 * 1024 * 1024
_RECORD_BYTES = 512  # what a record weighs beside its tensors, roughly


class Journal:
    """Builds records and writes them at the level of durability that a route asks for.

    Guarantees: records are stamped at the moment they are written, so that whatever comes after a
    ``seal`` is later than it. Columns named in ``route.redact`` never reach the log. A record that
    cannot be written is an error (``on_full = "fail"``) or counted (``"count"``), never lost in
    silence. Not thread-safe: one event loop owns it; only ``sync`` may run beside it.

    Parameters
    ----------
    log : RecordLog
        Where records go.
    clock : Clock
        Gives each record its time.
    """

    def __init__(self, *, log: RecordLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._schemas: dict[str, SchemaRecord] = {}
        self._redactions: dict[tuple[str, tuple[str, ...]], tuple[list[int], list[int]]] = {}
        self._buffer: list[LogRecord] = []
        self._buffered_bytes = 0
        self.dropped = 0
        self.failing = False

    def describe(self, schema: SchemaRecord) -> None:
        """Tell the names of a version's columns, once, before its first record.

        Parameters
        ----------
        schema : SchemaRecord
            Names by the digest of the version's manifest.

        Raises
        ------
        JournalUnavailable
            If the log cannot accept it.
        """
        self._schemas[schema.digest] = schema
        self._log.append((schema,))

    def predicted(
        self,
        route: Route,
        *,
        prediction_id: str,
        version: int,
        digest: str,
        generation: int,
        arm: Arm,
        propensity: float,
        face: str,
        batch: Batch | None,
        raw: Array | None,
        outputs: Array | None,
        threshold: float,
        key: int,
        kind: RecordKind = RecordKind.PREDICTION,
        rows: int | None = None,
        entity_id: str | None = None,
        compute_us: int = 0,
        total_us: int = 0,
        flags: int = 0,
        request_id: str = "",
        parent_id: str = "",
        error_code: str = "",
    ) -> bool:
        """Write one answer, shadow or failure down.

        Parameters
        ----------
        route : Route
            Says deployment, rollout, redaction, durability and what to do when the log is full.
        batch, raw, outputs : Batch, Array or None
            Inputs; answers before and after the calibration map (None: the same as ``raw``). A
            failure may lack them all; then ``rows`` says how many were asked.

        Returns
        -------
        bool
            True if it is stored at the route's level, False if it was dropped and counted.

        Raises
        ------
        JournalUnavailable
            If the log cannot accept it and the route says ``fail``.
        """
        numeric, text = _cells(batch)
        if route.redact and batch is not None and batch.rows:
            numeric, text = self._redact(route, digest, batch)
            flags |= Flag.INPUTS_REDACTED
        record = PredictionRecord(
            kind=kind,
            prediction_id=prediction_id,
            ts_ns=self._clock.time_ns(),
            deployment=route.deployment,
            version=version,
            digest=digest,
            generation=generation,
            arm=arm,
            propensity=propensity,
            face=face,
            rows=rows if rows is not None else batch.rows if batch is not None else 0,
            numeric=numeric,
            text=text,
            raw=b"" if raw is None else raw.tobytes(),
            outputs=b"" if outputs is None else outputs.tobytes(),
            threshold=threshold,
            key=key,
            entity_id=entity_id,
            compute_us=compute_us,
            total_us=total_us,
            flags=int(flags),
            request_id=request_id,
            parent_id=parent_id,
            rollout_id=route.rollout_id,
            error_code=error_code,
        )
        return self._write(route, (record,), len(numeric) + len(record.raw) + len(record.outputs))

    def feedback(self, route: Route, records: Sequence[FeedbackRecord]) -> bool:
        """Write labels down, all of them or none.

        Parameters
        ----------
        route : Route
            Of the deployment that they belong to.
        records : sequence of FeedbackRecord
            As ``FeedbackIntake`` made them in this turn of the event loop.

        Returns
        -------
        bool
            As ``predicted``.

        Raises
        ------
        JournalUnavailable
            As ``predicted``.
        """
        return self._write(route, records, 0) if records else True

    def event(self, name: str, detail: str, *, deployment: str = "") -> None:
        """Write down that something happened to the data plane; a full disk counts it.

        Parameters
        ----------
        name : str
            What kind of thing: ``swap``, ``refused``, ``recovered`` ...
        detail : str
            One sentence.
        deployment : str, default ""
            Empty for the whole node.
        """
        record = EventRecord(ts_ns=self._clock.time_ns(), name=name, detail=detail, deployment=deployment)
        try:
            self._append((record,))
        except JournalUnavailable:
            self.dropped += 1

    def flush(self) -> None:
        """Write what the level ``memory`` has gathered; the acceptor's timer calls it every 100 ms.

        Raises
        ------
        JournalUnavailable
            If the log cannot accept it. The records stay gathered.
        """
        if self._buffer:
            self._append(self._buffer)
            self._buffer = []
            self._buffered_bytes = 0

    def sync(self) -> None:
        """Force what was written to the device; the acceptor's timer calls it every second.

        Raises
        ------
        JournalUnavailable
            If the device refuses.
        """
        self._log.sync()

    def seal(self) -> SegmentInfo | None:
        """Write what is gathered and end the segment, so that it can be compacted.

        Returns
        -------
        SegmentInfo or None
            None if nothing was written since the last seal.

        Raises
        ------
        JournalUnavailable
            If it cannot be written; nothing is lost by that.
        """
        self.flush()
        return self._log.seal()

    def close(self) -> None:
        """Write what is gathered, seal, and let go of the file.

        Raises
        ------
        JournalUnavailable
            As ``seal``.
        """
        try:
            self.flush()
        finally:
            self._log.close()

    def _write(self, route: Route, records: Sequence[LogRecord], tensor_bytes: int) -> bool:
        """Write at the route's level; on failure raise or count, as the route says."""
        try:
            if route.durable == "memory":
                self._gather(records, tensor_bytes)
            else:
                self._append(records)
                if route.durable == "disk":
                    self._log.sync()
        except JournalUnavailable:
            self.failing = True
            if route.on_full == "count":
                self.dropped += len(records)
                return False
            raise
        return True

    def _gather(self, records: Sequence[LogRecord], tensor_bytes: int) -> None:
        """Keep records for the next flush; a full buffer is written in place."""
        if self._buffered_bytes >= _BUFFER_BYTES:
            self.flush()
        self._buffer += records
        self._buffered_bytes += tensor_bytes + _RECORD_BYTES * len(records)

    def _append(self, records: Sequence[LogRecord]) -> None:
        """Append, remembering whether the log works."""
        try:
            self._log.append(records)
        except JournalUnavailable:
            self.failing = True
            raise
        self.failing = False

    def _redact(self, route: Route, digest: str, batch: Batch) -> tuple[bytes, tuple[str | None, ...]]:
        """Return the cells with the named columns blanked: NaN for numbers, None for text."""
        places = self._redactions.get((digest, route.redact))
        if places is None:
            schema = self._schemas.get(digest)
            if schema is None:  # nothing tells which columns these are, so none is written
                return b"", ()
            named = set(route.redact)
            places = (
                [i for i, name in enumerate(schema.numeric) if name in named],
                [i for i, name in enumerate(schema.text) if name in named],
            )
            self._redactions[digest, route.redact] = places
        numeric = np.array(batch.numeric, dtype=np.float64)
        text = np.array(batch.text, dtype=object)
        if places[0]:
            numeric[:, places[0]] = np.nan
        if places[1]:
            text[:, places[1]] = None
        return numeric.tobytes(), tuple(text.ravel().tolist())


def _cells(batch: Batch | None) -> tuple[bytes, tuple[str | None, ...]]:
    """Return a batch's cells, row by row."""
    if batch is None:
        return b"", ()
    text = np.asarray(batch.text)
    return batch.numeric.tobytes(), tuple(text.ravel().tolist()) if text.size else ()
