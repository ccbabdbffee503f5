"""The data plane's pen: writes every answer and every label down before it is acknowledged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kilter.contracts.prediction import EventRecord
from kilter.errors import InputError, JournalUnavailable
from kilter.services.journal._commit import GroupCommit
from kilter.services.journal._redaction import Redaction
from kilter.services.journal._room import LowWater

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.clock import Clock
    from kilter.contracts.log import RecordLog, Room, SegmentInfo
    from kilter.contracts.meters import Meters
    from kilter.contracts.prediction import FeedbackRecord, LogRecord, PredictionRecord, SchemaRecord
    from kilter.contracts.route import Route

__all__ = ["Journal"]

_BUFFER_BYTES = 8 * 1024 * 1024
_RECORD_BYTES = 512  # what a record weighs beside its cells, roughly
_CELL_BYTES = 64  # what a text cell weighs beside its characters, roughly
_SEGMENT_S = 60.0
_LEAST_FREE_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


class Journal:
    """Writes records at the level of durability that a route asks for.

    Guarantees: columns named in ``route.redact`` never reach the log. A record that
    cannot be written is an error (``on_full = "fail"``) or counted (``"count"``), never lost in
    silence. A log that refused is tried again by ``tend`` and goes on by itself. Not thread-safe:
    one event loop owns it.

    Parameters
    ----------
    log : RecordLog
        Where records go.
    clock : Clock
        Gives events their time.
    meters : Meters or None, default None
        Where lost records and bytes on their way are counted.
    """

    def __init__(self, *, log: RecordLog, clock: Clock, meters: Meters | None = None) -> None:
        self._log = log
        self._clock = clock
        self._meters = meters
        self._commit = GroupCommit(log)
        self._low_water = LowWater()
        self._redaction = Redaction()
        self._untold: list[SchemaRecord] = []  # names that the log had no room for
        self._buffer: list[LogRecord] = []
        self._buffered_bytes = 0
        self._is_refusing = False  # an append failed, and none as large has worked since
        self._refused_bytes = 0
        self._is_unsyncable = False  # the last sync failed
        self.dropped = 0

    @property
    def failing(self) -> bool:
        """Say whether the log refuses: the node is then not ready."""
        return self._is_refusing or self._is_unsyncable

    def describe(self, schema: SchemaRecord) -> None:
        """Tell the names of a version's columns, once, before its first record: with it, if the log has no room now.

        Parameters
        ----------
        schema : SchemaRecord
            Names by the digest of the version's manifest.
        """
        self._redaction.describe(schema)
        try:
            self._append((schema,))
        except JournalUnavailable:  # the node is not ready; requests are refused, or counted
            self._untold.append(schema)

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
            record = self._redaction.of(route, record)
        size_bytes = len(record.numeric) + len(record.raw) + len(record.outputs)
        if record.text:
            size_bytes += sum([len(cell) + _CELL_BYTES if cell else _CELL_BYTES for cell in record.text])
        return self._write(route, (record,), size_bytes)

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
        try:
            self._append((self._event(name, detail, deployment),))
        except JournalUnavailable:
            self._drop(1)

    def flush(self) -> None:
        """Write what the level ``memory`` has gathered; the acceptor's timer calls it every 100 ms.

        Raises
        ------
        JournalUnavailable
            If the log cannot accept it. The records stay gathered.
        """
        if not self._buffer:
            return
        try:
            self._append(self._buffer, self._buffered_bytes)
        except InputError:  # one of them cannot be written: the others must not wait for it
            for record in self._buffer:
                try:
                    self._append((record,))
                except InputError as error:
                    self._drop(1)
                    _log.error("record.lost", extra={"why": error.why or error.message})
        self._buffer = []
        self._buffered_bytes = 0

    async def tend(self) -> None:
        """Do what is due every second: try a log that refused, end old segments, sync, watch the disk.

        Raises
        ------
        JournalUnavailable
            If the log refuses, still or again.
        """
        try:
            room = self._log.room()
            self._show(room)
            if self._is_refusing:
                self._try_again(room)
            self._log.end(older_than_s=_SEGMENT_S)
        except JournalUnavailable:
            self._is_refusing = True
            raise
        await self.durable()

    def sync(self) -> None:
        """Force what was written to the device, waiting for it: for callers without an event loop.

        Raises
        ------
        JournalUnavailable
            If the device refuses, also after the last records were written anew.
        """
        try:
            try:
                self._log.sync()
            except JournalUnavailable:
                self._log.append(())
                self._log.sync()
        except JournalUnavailable:
            self._is_unsyncable = True
            raise
        self._is_unsyncable = False

    async def durable(self, route: Route | None = None, *, count: int = 1) -> bool:
        """Wait until everything written so far is on the device, together with all who wait.

        Parameters
        ----------
        route : Route or None, default None
            Says what to do when the device refuses; None raises.
        count : int, default 1
            Records that wait, for the count of the lost ones.

        Returns
        -------
        bool
            False if the device refused and the route says ``count``.

        Raises
        ------
        JournalUnavailable
            If the device refuses, also after the last records were written anew.
        """
        try:
            await self._commit.join()
        except JournalUnavailable as error:
            self._is_unsyncable = True
            if route is not None and route.on_full == "count":
                self._drop(count)
                return False
            raise _refusal(error) from error
        self._is_unsyncable = False
        return True

    async def sealed(self) -> SegmentInfo | None:
        """Write what is gathered and end the segment, while other requests are answered.

        Returns
        -------
        SegmentInfo or None
            As ``seal``.

        Raises
        ------
        JournalUnavailable
            As ``seal``.
        """
        self.flush()
        info = self._log.end()
        await self.durable()
        return info

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
            self._commit.close()
            self._log.close()

    def _write(self, route: Route, records: Sequence[LogRecord], size_bytes: int) -> bool:
        """Write at the route's level; on failure raise or count, as the route says."""
        try:
            if route.durable == "memory":
                self._gather(records, size_bytes)
            elif self._is_unsyncable and route.durable == "disk":
                message = "the device of the prediction log refuses to keep what is written"
                raise JournalUnavailable(message)  # noqa: TRY301 - as a log that is full
            else:
                self._append(records, size_bytes)
        except JournalUnavailable as error:
            if route.on_full == "count":
                self._drop(len(records))
                return False
            raise _refusal(error) from error
        return True

    def _gather(self, records: Sequence[LogRecord], size_bytes: int) -> None:
        """Keep records for the next flush; a full buffer is written in place."""
        if self._buffered_bytes + size_bytes >= _BUFFER_BYTES:
            self.flush()
        if size_bytes >= _BUFFER_BYTES:
            self._append(records, size_bytes)
            return
        self._buffer += records
        self._buffered_bytes += size_bytes + _RECORD_BYTES * len(records)

    def _append(self, records: Sequence[LogRecord], size_bytes: int = 0) -> None:
        """Append, remembering whether the log works: where a large record fails, a small one proves nothing."""
        try:
            if self._untold:
                self._log.append((*self._untold, *records))
                self._untold = []
            else:
                self._log.append(records)
        except JournalUnavailable:
            self._is_refusing = True
            self._refused_bytes = max(self._refused_bytes, size_bytes)
            raise
        if self._is_refusing and size_bytes >= self._refused_bytes:
            self._recovered()
            self.event("log.recovered", self._loss())

    def _try_again(self, room: Room) -> None:
        """End the refusing if what was refused would find room now."""
        wanted = 2 * self._refused_bytes + _LEAST_FREE_BYTES
        if room.free_bytes < wanted:
            message = f"the disk of the prediction log has {room.free_bytes} bytes free, {wanted} are needed to go on"
            raise JournalUnavailable(message, hint="free space on the disk; see `kilter doctor`")
        self._log.append((self._event("log.recovered", self._loss()),))
        self._recovered()

    def _recovered(self) -> None:
        """Note that the log works again."""
        self._is_refusing, self._refused_bytes = False, 0
        _log.warning("log.recovered", extra={"dropped": self.dropped})

    def _loss(self) -> str:
        """Say what the log did not take."""
        return f"the log takes records again; {self.dropped} records were lost since this process began"

    def _show(self, room: Room) -> None:
        """Count what waits for the device, and warn of a disk that is nearly full."""
        if self._meters is not None:
            self._meters.slot("kilter_log_lag_bytes").set(room.unsynced_bytes + self._buffered_bytes)
        change = self._low_water.look(room)
        if change is not None:
            name, detail = change
            _log.warning(name, extra={"detail": detail, "free_bytes": room.free_bytes})
            self.event(name, detail)

    def _drop(self, count: int) -> None:
        """Count records that were lost with the deployment's consent."""
        self.dropped += count
        if self._meters is not None:
            self._meters.slot("kilter_log_dropped_total").add(count)

    def _event(self, name: str, detail: str, deployment: str = "") -> EventRecord:
        """Return an event of this moment."""
        return EventRecord(ts_ns=self._clock.time_ns(), name=name, detail=detail, deployment=deployment)


def _refusal(error: JournalUnavailable) -> JournalUnavailable:
    """Return the error that says which rule refuses the call, and how to choose the other."""
    return JournalUnavailable(
        f"not answered, because the record cannot be kept: {error.message}",
        where=error.where,
        why=error.why,
        hint='free space on the disk (see `kilter doctor`), or answer without a record: `[log] on_full = "count"`',
        details={"on_full": "fail"},
    )
