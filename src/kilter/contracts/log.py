"""The ports of the prediction log: append, seal, read back, query by column."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from kilter.contracts.arrays import Array, Columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilter.contracts.prediction import LogRecord, PredictionRecord

__all__ = [
    "FailureCount",
    "JoinedRows",
    "LogPart",
    "LogSegment",
    "PartStore",
    "PredictionTable",
    "RecordLog",
    "Room",
    "RowQuery",
    "SegmentInfo",
    "SegmentStore",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentInfo:
    """One sealed segment file. ``damaged_bytes`` could not be read and were set aside.

    ``is_carried``: a writer wrote records of an earlier segment again, so they may be in both.
    """

    id: str
    path: str
    digest: str
    size_bytes: int
    records: int
    min_ts_ns: int
    max_ts_ns: int
    damaged_bytes: int = 0
    is_carried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSegment:
    """Metadata row: this segment is compacted; a segment with such a row is never read again."""

    id: str
    digest: str
    records: int
    compacted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPart:
    """Metadata row: one committed Parquet part. A file without such a row does not exist.

    ``kind`` is ``prediction``, ``shadow``, ``failure``, ``feedback`` or ``event``; ``date`` is the UTC day
    of the rows' ``ts``. ``records`` counts the log's records in it (a request of many rows is one),
    ``doubles`` those left out because another one had their id. ``replaces`` names the parts that
    this one was merged from; a part with ``superseded_at`` is read no more, one with ``deleted_at``
    has no file. Both times are the machine's.
    """

    id: str
    deployment: str
    kind: str
    date: str
    path: str
    rows: int
    size_bytes: int
    min_ts_ns: int
    max_ts_ns: int
    created_at: datetime
    records: int = 0
    doubles: int = 0
    replaces: tuple[str, ...] = ()
    superseded_at: datetime | None = None
    deleted_at: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Room on the disk of the log, and the bytes that are not known to be on the device yet."""

    free_bytes: int
    total_bytes: int
    unsynced_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuery:
    """Which rows: of a deployment, ``start_ns <= ts < end_ns``; None and empty mean no restriction.

    ``labelled_until_ns``: feedback received later is not seen (a replay reads what was known then).
    """

    deployment: str
    start_ns: int
    end_ns: int
    versions: tuple[int, ...] = ()
    arms: tuple[str, ...] = ()
    rollout_id: str = ""
    kind: str = "prediction"
    labelled_until_ns: int | None = None
    with_columns: bool = True
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedRows:
    """Logged rows in order of time, with the winning label where one arrived. All arrays have n rows.

    ``raw``, ``scores``: float64 (n, k) before and after calibration (k = classes, 1 for
    regression). ``labels``: object (n,), text or None. ``label_ns``: int64 (n,), when the label
    arrived, 0 if none. ``total_us``: int64 (n,).
    """

    n: int
    ids: Array
    parent_ids: Array
    ts_ns: Array
    version: Array
    arm: Array
    key: Array
    raw: Array
    scores: Array
    threshold: Array
    labels: Array
    label_ns: Array
    total_us: Array
    flags: Array
    columns: Columns


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCount:
    """Requests of one version and arm in a range, and how many of them failed."""

    version: int
    arm: str
    requests: int
    failures: int


class RecordLog(Protocol):
    """Append-only log of one writing process.

    Guarantees: when ``append`` returns, the record survives ``kill -9`` of this process (level
    ``process``); when ``sync`` returns, all records appended before its call survive loss of power.
    A failed ``sync`` is final for its file: the next ``append``, even of nothing, writes what no sync
    has confirmed anew, after an event ``log.carried``, and until then every ``sync`` fails.
    One writer per slot; not thread-safe, but for ``sync``, which may run beside the others.
    """

    def append(self, records: Sequence[LogRecord]) -> None:
        """Append records in order, in one write.

        Raises
        ------
        JournalUnavailable
            If the records cannot be written whole (full or read-only disk); none of them stays.
        InvalidRequest
            If a record holds what cannot be encoded.
        TooLarge
            If one record is too large for a frame.
        """
        ...

    def sync(self) -> None:
        """Force what was appended to the device.

        Raises
        ------
        JournalUnavailable
            If the device refuses.
        """
        ...

    def end(self, *, older_than_s: float = 0.0) -> SegmentInfo | None:
        """End the open segment, if it is old enough and not empty; the next ``sync`` seals it.

        Raises
        ------
        JournalUnavailable
            If its end cannot be written; the segment stays recoverable.
        """
        ...

    def seal(self) -> SegmentInfo | None:
        """Close the open segment so that it can be compacted; None if it is empty.

        Raises
        ------
        JournalUnavailable
            If the seal cannot be written; the segment stays recoverable.
        """
        ...

    def room(self) -> Room:
        """Return how much room the disk has.

        Raises
        ------
        JournalUnavailable
            If the folder is gone.
        """
        ...

    def close(self) -> None:
        """Seal and let go of the file.

        Raises
        ------
        JournalUnavailable
            As ``seal``.
        """
        ...


class SegmentStore(Protocol):
    """Sealed segments, seen from the reading side.

    Guarantees: ``recover`` is idempotent and may be killed at any point; a record that was
    acknowledged is found, a record that was not written is never made up.
    """

    def recover(self) -> tuple[SegmentInfo, ...]:
        """Seal the segments of dead writers, setting torn tails aside; return those sealed now.

        Raises
        ------
        StoreError
            If the folder cannot be read or written.
        """
        ...

    def sealed(self) -> tuple[SegmentInfo, ...]:
        """Return all sealed segments, oldest first.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        ...

    def records(self, segment: SegmentInfo) -> Iterator[LogRecord]:
        """Yield the segment's records in order.

        Raises
        ------
        NotFound
            If the segment is gone.
        ChecksumMismatch
            If a frame is damaged.
        """
        ...

    def remove(self, segment: SegmentInfo) -> None:
        """Delete a compacted segment; a missing one is no error.

        Raises
        ------
        StoreError
            If the file cannot be deleted.
        """
        ...

    def retire(self, segment: SegmentInfo) -> None:
        """Put a compacted segment out of sight until ``sweep`` deletes it; a missing one is no error.

        Raises
        ------
        StoreError
            If the file cannot be renamed.
        """
        ...

    def sweep(self, before: datetime, *, is_tight: Callable[[Room], bool]) -> Room:
        """Delete segments retired before a moment, then further ones, oldest first, while room is tight.

        Raises
        ------
        StoreError
            If a file cannot be deleted.
        """
        ...


class PredictionTable(Protocol):
    """Columnar parts of the log, and the join of predictions with labels.

    Guarantees: ``write`` is deterministic in what it is given (same keys, same bytes), so it can
    be repeated; readers see only the parts they name, and of these none that another one replaces.
    """

    def write(
        self,
        segments: Sequence[SegmentInfo],
        records: Iterator[LogRecord],
        now: datetime,
        *,
        beside: Sequence[LogPart] = (),
    ) -> tuple[LogPart, ...]:
        """Write the records of these segments as parts by deployment, kind and day, but what is ``beside``.

        Raises
        ------
        StoreError
            If the parts cannot be written.
        """
        ...

    def rows(self, parts: Sequence[LogPart], query: RowQuery) -> JoinedRows:
        """Return rows joined with the winning label: largest (observed, received, feedback id).

        Raises
        ------
        StoreError
            If a part cannot be read.
        """
        ...

    def failures(self, parts: Sequence[LogPart], query: RowQuery) -> tuple[FailureCount, ...]:
        """Count requests and failures by version and arm.

        Raises
        ------
        StoreError
            If a part cannot be read.
        """
        ...

    def find(self, parts: Sequence[LogPart], prediction_id: str) -> PredictionRecord | None:
        """Return one logged request by id (with or without ``:row``), or None.

        Raises
        ------
        StoreError
            If a part cannot be read.
        """
        ...


class PartStore(Protocol):
    """The files of the parts, seen by whoever keeps them few and young.

    Guarantees: nothing here makes a part exist or end: that is said by the rows.
    """

    def merge(self, parts: Sequence[LogPart], now: datetime) -> LogPart:
        """Write the rows of parts of one deployment, kind and day as one part.

        Raises
        ------
        StoreError
            If a part cannot be read, or the new one not be written.
        """
        ...

    def remove(self, part: LogPart) -> None:
        """Delete a part's file; a missing one is no error.

        Raises
        ------
        StoreError
            If it cannot be deleted.
        """
        ...

    def strays(self, before: datetime) -> tuple[str, ...]:
        """Return the paths of files last written before a moment, as ``LogPart.path`` names them.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        ...

    def discard(self, path: str) -> None:
        """Delete one of ``strays``; a missing one is no error.

        Raises
        ------
        StoreError
            If it cannot be deleted.
        """
        ...
