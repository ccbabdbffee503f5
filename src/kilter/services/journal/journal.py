"""The data plane's pen: writes every answer and every label down before it is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.prediction import EventRecord, Flag
from kilter.errors import JournalUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.clock import Clock
    from kilter.contracts.log import RecordLog, SegmentInfo
    from kilter.contracts.prediction import FeedbackRecord, LogRecord, PredictionRecord, SchemaRecord
    from kilter.contracts.route import Route

__all__ = ["Journal"]

_BUFFER_BYTES = 8 * 1024 * 1024
_RECORD_BYTES = 512  # what a record weighs beside its tensors, roughly


class Journal:
    """Builds records and writes them at the level of durability that a route asks for.

    Guarantees: columns named in ``route.redact`` never reach the log. A record that
    cannot be written is an error (``on_full = "fail"``) or counted (``"count"``), never lost in
    silence. Not thread-safe: one event loop owns it; only ``sync`` may run beside it.

    Parameters
    ----------
    log : RecordLog
        Where records go.
    clock : Clock
        Gives events their time.
    """

    def __init__(self, *, log: RecordLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._schemas: dict[str, SchemaRecord] = {}
        self._redactions: dict[tuple[str, tuple[str, ...]], tuple[list[bool], list[bool]]] = {}
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

    def predicted(self, route: Route, record: PredictionRecord) -> bool:
        """Write one answer, shadow or failure down.

        Parameters
        ----------
        route : Route
            Says redaction, durability and what to do when the log is full.
        record : PredictionRecord
            With the time of this moment.

        Returns
        -------
        bool
            True if it is stored at the route's level (``disk``: once ``durable`` returns), False if
            it was dropped and counted.

        Raises
        ------
        JournalUnavailable
            If the log cannot accept it and the route says ``fail``.
        """
        if route.redact:
            record = self._redacted(route, record)
        return self._write(route, (record,), len(record.numeric) + len(record.raw) + len(record.outputs))

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

    async def durable(self) -> None:
        """Wait until everything written so far is on the device.

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

    def _redacted(self, route: Route, record: PredictionRecord) -> PredictionRecord:
        """Return the record with the named columns blanked: NaN for numbers, None for text."""
        if not (record.numeric or record.text):
            return record
        flags = record.flags | Flag.INPUTS_REDACTED
        places = self._redactions.get((record.digest, route.redact))
        if places is None:
            schema = self._schemas.get(record.digest)
            if schema is None:  # nothing tells which columns these are, so none is written
                return record._replace(numeric=b"", text=(), flags=int(flags))
            named = set(route.redact)
            places = (
                [name in named for name in schema.numeric],
                [name in named for name in schema.text],
            )
            self._redactions[record.digest, route.redact] = places
        hidden, veiled = np.array(places[0], dtype=bool), np.array(places[1], dtype=bool)
        numeric = np.frombuffer(record.numeric).reshape(record.rows, len(hidden)).copy()
        text = np.array(record.text, dtype=object).reshape(record.rows, len(veiled))
        numeric[:, hidden] = np.nan
        text[:, veiled] = None
        cells = tuple(text.ravel().tolist())
        return record._replace(numeric=numeric.tobytes(), text=cells, flags=int(flags))
