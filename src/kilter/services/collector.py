"""Turns sealed segments of the prediction log into committed parts, each record once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from kilter.contracts.log import LogPart, LogSegment
from kilter.errors import ChecksumMismatch, Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    from kilter.contracts.clock import Clock
    from kilter.contracts.log import PredictionTable, SegmentInfo, SegmentStore
    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.prediction import LogRecord
    from kilter.contracts.route import PlaneBoard

__all__ = ["Collected", "Collector"]

_PAUSE_S = 0.01
_BATCH_BYTES = 128 * 1024 * 1024
_PAGE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What one round did. Every record with ``ts_ns < until_ns`` is in a committed part."""

    records: int
    segments: int
    parts: int
    until_ns: int


class Collector:
    """Asks writers to seal, takes over from dead ones, and commits what is sealed.

    Guarantees: the metadata rows are the commit. Killed at any step, the next round comes to the
    same end: every acknowledged record is in committed parts exactly once, also one that a writer
    wrote again after a failed sync, and a segment is put away only after its row exists; it is kept
    out of sight for a day (``SegmentStore.retire``). Several collectors at once do no harm.

    Parameters
    ----------
    metadata : MetadataStore
        Holds the rows of segments and parts.
    segments : SegmentStore
        What writers left.
    table : PredictionTable
        Writes the parts.
    board : PlaneBoard
        Where acceptors are asked to seal, and answer.
    clock : Clock
        The time that records carry.
    wait : callable taking seconds
        Pauses in real time, such as ``time.sleep``.
    patience_s : float, default 2
        How long to wait for acceptors to seal.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        segments: SegmentStore,
        table: PredictionTable,
        board: PlaneBoard,
        clock: Clock,
        wait: Callable[[float], None],
        patience_s: float = 2.0,
    ) -> None:
        self._metadata = metadata
        self._segments = segments
        self._table = table
        self._board = board
        self._clock = clock
        self._wait = wait
        self._patience_s = patience_s
        self._until_ns = 0

    def collect(self, now: datetime) -> Collected:
        """Commit everything written so far.

        Parameters
        ----------
        now : datetime
            Goes into the rows.

        Returns
        -------
        Collected
            ``until_ns`` does not advance while a live acceptor has not sealed.

        Raises
        ------
        StoreError
            If segments or parts cannot be read or written; the next call tries again.
        ChecksumMismatch
            If a segment is damaged beyond rescue.
        """
        asked_ns = self._clock.time_ns()
        is_whole = self._have_sealed(self._board.request_seal())
        self._segments.recover()
        waiting = self._waiting()
        counts = [self._commit(batch, now) for batch in _batches(waiting)]
        if is_whole and None not in counts:
            self._until_ns = max(self._until_ns, asked_ns)
        done = [count for count in counts if count is not None]
        return Collected(
            records=sum(records for records, _, _ in done),
            segments=sum(segments for _, segments, _ in done),
            parts=sum(parts for _, _, parts in done),
            until_ns=self._until_ns,
        )

    def _have_sealed(self, epoch: int) -> bool:
        """Wait until every live acceptor has sealed; tell whether all did in time."""
        for _ in range(max(int(self._patience_s / _PAUSE_S), 1)):
            if all(status.sealed_epoch >= epoch for status in self._board.statuses()):
                return True
            self._wait(_PAUSE_S)
        return False

    def _waiting(self) -> tuple[SegmentInfo, ...]:
        """Return the sealed segments without a row; the others are leftovers and put away."""
        sealed = self._segments.sealed()

        def committed(tx: ReadTx) -> set[str]:
            return {segment.id for segment in sealed if tx.get(LogSegment, segment.id) is not None}

        done = self._metadata.read(committed)
        for segment in sealed:
            if segment.id in done:
                self._segments.retire(segment)
        return tuple(segment for segment in sealed if segment.id not in done)

    def _commit(self, batch: Sequence[SegmentInfo], now: datetime) -> tuple[int, int, int] | None:
        """Write one batch's parts, then its rows, then put it away; None if another collector was first."""
        try:
            beside = self._beside(batch) if any(segment.is_carried for segment in batch) else ()
            parts = self._table.write(batch, self._records(batch), now, beside=beside)
        except ChecksumMismatch:  # damaged since it was looked at: the next round takes what is rescued
            if not self._segments.recover():
                raise
            return None
        try:
            self._metadata.write(lambda tx: _add_rows(tx, batch, parts, now))
        except Conflict:
            return None
        for segment in batch:
            self._segments.retire(segment)
        return sum(segment.records for segment in batch), len(batch), len(parts)

    def _beside(self, batch: Sequence[SegmentInfo]) -> tuple[LogPart, ...]:
        """Return the committed parts of the batch's days: some of its records may stand there already."""
        first = _day(min(segment.min_ts_ns for segment in batch))
        last = _day(max(segment.max_ts_ns for segment in batch))
        days = [(first + timedelta(days=more)).isoformat() for more in range((last - first).days + 1)]
        return self._metadata.read(lambda tx: tuple(part for day in days for part in _parts(tx, day)))

    def _records(self, batch: Sequence[SegmentInfo]) -> Iterator[LogRecord]:
        """Yield the records of a batch, segment by segment."""
        return chain.from_iterable(self._segments.records(segment) for segment in batch)


def _add_rows(tx: WriteTx, batch: Sequence[SegmentInfo], parts: Sequence[LogPart], now: datetime) -> None:
    """Commit a batch: the rows of its segments refuse a second commit."""
    for segment in batch:
        tx.add(LogSegment(id=segment.id, digest=segment.digest, records=segment.records, compacted_at=now))
    for part in parts:
        tx.add(part)


def _parts(tx: ReadTx, day: str) -> Iterator[LogPart]:
    """Yield the live parts of one day."""
    where: dict[str, str | int | bool | None] = {"date": day, "superseded_at": None}
    page = tx.list(LogPart, where=where, limit=_PAGE)
    yield from page
    while len(page) == _PAGE:
        page = tx.list(LogPart, where=where, limit=_PAGE, after=page[-1].id)
        yield from page


def _day(time_ns: int) -> date:
    """Return the UTC day of a time."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).date()


def _batches(segments: Sequence[SegmentInfo]) -> Iterator[list[SegmentInfo]]:
    """Cut segments into batches that fit into memory."""
    batch: list[SegmentInfo] = []
    for segment in segments:
        if batch and sum(item.size_bytes for item in batch) + segment.size_bytes > _BATCH_BYTES:
            yield batch
            batch = []
        batch.append(segment)
    if batch:
        yield batch
