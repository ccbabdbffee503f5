"""Keeps the files of the prediction log few and young: merges small parts, deletes what nobody reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from kilter.contracts.log import LogPart, LogSegment
from kilter.errors import Conflict, StoreError
from kilter.policy.parts import merges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from kilter.contracts.clock import Clock
    from kilter.contracts.log import PartStore, Room, SegmentStore
    from kilter.contracts.metadata import MetadataStore, ReadTx, Record, WriteTx

__all__ = ["Caretaker", "Ledger", "Tended"]

R = TypeVar("R", bound="Record")

_EVERY = timedelta(minutes=10)
_SUPERSEDED = timedelta(hours=1)
_STRAY = timedelta(hours=24)
_RETIRED = timedelta(hours=24)
_MOST_MERGES = 4
_PAGE = 5_000
_MARK_BYTES = 1024**3
_MARK_DIVISOR = 20  # on a small disk: a twentieth of it
_MIB = 1024**2


def _nothing(_: datetime) -> int:
    """Delete nothing."""
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tended:
    """What one round did: parts merged away, parts made of them, files deleted."""

    merged: int = 0
    made: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What went into the compaction, and what came out of it.

    ``logged`` counts the records of compacted segments, ``kept`` those in parts, ``doubles`` those left out
    because another one had their id. The account is even if the first is the sum of the other two.
    """

    segments: int
    logged: int
    parts: int
    kept: int
    doubles: int

    @property
    def is_even(self) -> bool:
        """Whether every record is accounted for."""
        return self.logged == self.kept + self.doubles


class Caretaker:
    """The housekeeping of the log, beside the collector.

    Guarantees: rows first, files second, so that a crash leaves files that nobody reads and never a row
    without its file. A merge is one transaction: the new part, and the end of those it replaces. What readers
    may still hold is kept: superseded parts for an hour, retired segments and files without a row for a day;
    where room is tight, retired segments go at once. Several at a time do no harm.

    Parameters
    ----------
    metadata : MetadataStore
        Holds the rows of parts and segments.
    parts : PartStore
        The parts' files.
    segments : SegmentStore
        Where retired segments are.
    machine : Clock
        The machine's time, which decides how long something is kept.
    sweep_blobs : callable taking the moment before which a left-over is old; returns how many it deleted
        Deletes what killed writers of blobs have left.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        parts: PartStore,
        segments: SegmentStore,
        machine: Clock,
        sweep_blobs: Callable[[datetime], int] = _nothing,
    ) -> None:
        self._metadata = metadata
        self._parts = parts
        self._segments = segments
        self._machine = machine
        self._sweep_blobs = sweep_blobs
        self._next: datetime | None = None

    def tend(self, now: datetime) -> Tended:
        """Do what is due: the files at most every ten minutes, a look at the room every time.

        Parameters
        ----------
        now : datetime
            The time that the records live by: its day is the one that still grows.

        Returns
        -------
        Tended
            Nothing, if nothing was due.

        Raises
        ------
        StoreError
            If a file or row cannot be read, written or deleted, or, after all else was done, if the disk
            is nearly full.
        """
        machine_now = self._machine.now()
        done = Tended()
        if self._next is None or machine_now >= self._next:
            self._next = machine_now + _EVERY
            merged, made = self._merge(now, machine_now)
            done = Tended(merged=merged, made=made, deleted=self._delete(machine_now))
        _require_room(self._segments.sweep(machine_now - _RETIRED, is_tight=_is_tight))
        return done

    def ledger(self) -> Ledger:
        """Compare what was compacted with what is in the parts.

        Returns
        -------
        Ledger
            Of the log's whole life: parts that were deleted since count, too.

        Raises
        ------
        StoreError
            If the rows cannot be read.
        """

        def read(tx: ReadTx) -> Ledger:
            segments = _all(tx, LogSegment)
            parts = [part for part in _all(tx, LogPart) if part.superseded_at is None]
            return Ledger(
                segments=len(segments),
                logged=sum(segment.records for segment in segments),
                parts=len(parts),
                kept=sum(part.records for part in parts),
                doubles=sum(part.doubles for part in parts),
            )

        return self._metadata.read(read)

    def _merge(self, now: datetime, machine_now: datetime) -> tuple[int, int]:
        """Merge small parts; return how many went, and how many came."""
        live = self._metadata.read(lambda tx: _all(tx, LogPart, superseded_at=None))
        merged = made = 0
        groups = merges(live, today=now.date().isoformat())
        if len(groups) > _MOST_MERGES:  # the rest at the next turn: nobody waits for long
            self._next = None
        for group in groups[:_MOST_MERGES]:
            part = self._parts.merge(group, now)
            try:
                self._metadata.write(lambda tx, part=part, group=group: _supersede(tx, part, group, machine_now))  # type: ignore[misc]  # bound now
            except Conflict:  # somebody else has merged them: the file has no row and is swept one day
                continue
            merged, made = merged + len(group), made + 1
        return merged, made

    def _delete(self, machine_now: datetime) -> int:
        """Delete files of parts superseded long enough, and files without a row; return how many."""
        parts = self._metadata.read(lambda tx: _all(tx, LogPart, deleted_at=None))
        due = [
            part for part in parts if part.superseded_at is not None and part.superseded_at <= machine_now - _SUPERSEDED
        ]
        for part in due:
            gone = replace(part, deleted_at=machine_now, version=part.version + 1)
            self._metadata.write(lambda tx, gone=gone: tx.replace(gone))  # type: ignore[misc]  # bound now
            self._parts.remove(part)
        strays = set(self._parts.strays(machine_now - _STRAY)) - {part.path for part in parts}
        for path in strays:
            self._parts.discard(path)
        return len(due) + len(strays) + self._sweep_blobs(machine_now - _STRAY)


def _supersede(tx: WriteTx, part: LogPart, group: Iterable[LogPart], machine_now: datetime) -> None:
    """Put a part in the place of others, if they are what they were."""
    for old in group:
        tx.replace(replace(old, superseded_at=machine_now, version=old.version + 1))
    tx.add(part)


def _all(tx: ReadTx, kind: type[R], **where: None) -> list[R]:
    """Return all records of a kind, page by page, in one view."""
    found = list(tx.list(kind, where=where, limit=_PAGE))
    page = found
    while len(page) == _PAGE:
        page = list(tx.list(kind, where=where, limit=_PAGE, after=found[-1].id))
        found += page
    return found


def _is_tight(room: Room) -> bool:
    """Say whether less than 1 GiB is free, or 5 % of a disk under 20 GiB."""
    return room.free_bytes < min(_MARK_BYTES, room.total_bytes // _MARK_DIVISOR)


def _require_room(room: Room) -> None:
    """Raise what becomes an alert, before the disk is full."""
    if _is_tight(room):
        message = f"the disk of the prediction log is nearly full: {room.free_bytes / _MIB:.1f} MiB are free"
        why = "when nothing is left, predictions are refused or go without a record"
        raise StoreError(message, why=why, hint="make room, or move the home folder to a larger disk")
