"""The writing side of the prediction log: append-only segment files, one writer per process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from kilter.contracts.log import Room
from kilter.contracts.prediction import EventRecord, LogRecord, PredictionRecord, SchemaRecord
from kilter.errors import JournalUnavailable
from kilter.stores.segments._disk import Disk, OsDisk
from kilter.stores.segments._frame import CARRIED, HEADER_BYTES, Codec, Header, encode_header, walk
from kilter.stores.segments._open import OpenSegment, next_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilter.contracts.log import SegmentInfo

__all__ = ["SegmentLog"]

ROLL_BYTES = 64 * 1024 * 1024
ROLL_S = 60.0
KEEP_BYTES = 64 * 1024 * 1024


class SegmentLog:
    """Append-only log of one writing process, in segments below a folder.

    Guarantees: those of ``RecordLog``. Every segment explains itself: the schema of a version stands
    before its first record. The file opens at the first append, so an idle writer holds none. A
    segment ends when it reaches ``roll_bytes``. What no sync has confirmed is kept in memory, at most
    ``keep_bytes``: beyond that an append waits for a sync. A failed sync gives the file up (it stays
    recoverable) and the next append begins another with what was kept, after an event ``log.carried``:
    such records may then be found twice, told apart by nothing but their place.

    Parameters
    ----------
    folder : str or Path
        Where the segments are; made if missing.
    slot : int
        Number of this writer on this node.
    clock_ns : callable returning int
        Nanoseconds since the epoch, for the segment's id and header.
    node : str, default "local"
        Name of this node; its hash goes into the header.
    disk : Disk or None, default None
        The system calls; None uses the operating system's.
    roll_bytes : int, default 64 MiB
        Size at which a segment ends.
    keep_bytes : int, default 64 MiB
        Most bytes that wait for a sync.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        slot: int,
        clock_ns: Callable[[], int],
        node: str = "local",
        disk: Disk | None = None,
        roll_bytes: int = ROLL_BYTES,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self._folder = Path(folder)
        self._slot = slot
        self._clock_ns = clock_ns
        self._node = hashlib.sha256(node.encode()).digest()[:8]
        self._disk = disk or OsDisk()
        self._roll_bytes = roll_bytes
        self._keep_bytes = keep_bytes
        self._frame = Codec().frame
        self._schemas: dict[str, SchemaRecord] = {}
        self._last_id = 0
        self._file: OpenSegment | None = None
        self._ended: list[OpenSegment] = []  # sealed, not yet synced and named
        self._carried: list[bytes] = []  # of files that were given up, to be written anew
        self._handing = threading.Lock()  # a file changes hands between writer and sync
        self._syncing = threading.Lock()

    def describe(self, schema: SchemaRecord) -> None:
        """Remember the names of a version's columns; they are written before its first record in a segment.

        Parameters
        ----------
        schema : SchemaRecord
            Names by the digest of the version's manifest.
        """
        self._schemas[schema.digest] = schema
        if self._file is not None:
            self._file.ready.discard(schema.digest)

    def append(self, records: Sequence[LogRecord]) -> None:
        """Append records in order, in one write.

        Parameters
        ----------
        records : sequence of LogRecord
            What to write; a schema that stands in the segment already is not repeated. Without any,
            only what a failed sync left to be written anew is written.

        Raises
        ------
        JournalUnavailable
            If the records cannot be written whole; none of them stays.
        InvalidRequest
            If a record holds what cannot be encoded, such as half a character.
        TooLarge
            If one record has more than 64 MiB.
        """
        file = self._file
        if (
            file is None
            or file.is_doubtful
            or self._carried
            or file.size >= self._roll_bytes
            or file.size - file.synced >= self._keep_bytes
        ):
            if not records and not self._carried and (file is None or not file.is_doubtful):
                return
            file = self._turn()
        if len(records) == 1:
            record = records[0]
            if isinstance(record, PredictionRecord) and record.digest in file.ready:
                self._put(file, self._frame(record))
                file.count(record.ts_ns)
                return
        told: list[SchemaRecord] = []
        self._put(file, b"".join([self._frames(record, file, told) for record in records]))
        file.told.update(schema.digest for schema in told)
        for record in records:
            if isinstance(record, PredictionRecord):
                file.ready.add(record.digest)
            if not isinstance(record, SchemaRecord):
                file.count(record.ts_ns)

    def sync(self) -> None:
        """Force what was appended to the device; segments that ended get their name.

        Raises
        ------
        JournalUnavailable
            If the device refuses, now or since the last append. The file is given up: what it holds on the
            device is unknown, so the next append writes its last records anew.
        """
        with self._syncing:
            ended, file, copy = self._taken()
            try:
                for one in ended:
                    self._finish(one)
                if file is not None:  # even if it ended meanwhile: who waits has written to it
                    file.sync(copy)
            except OSError as cause:
                if file is not None:
                    file.is_doubtful = True  # seen by the next append, or by `_finish` if it ended meanwhile
                self._fail("cannot force the prediction log to the device", cause)
            finally:
                if copy >= 0:
                    os.close(copy)

    def end(self, *, older_than_s: float = 0.0) -> SegmentInfo | None:
        """Write the seal of the open segment; the next ``sync`` makes it a sealed one.

        Parameters
        ----------
        older_than_s : float, default 0
            A younger segment is left open.

        Returns
        -------
        SegmentInfo or None
            None if there is nothing to seal. With an empty ``digest``: hashing is the reader's work.

        Raises
        ------
        JournalUnavailable
            If the seal cannot be written; the segment stays recoverable.
        """
        if self._carried or (self._file is not None and self._file.is_doubtful):
            self._turn()
        file = self._file
        if file is None or time.monotonic() - file.began_s < older_than_s:
            return None
        return self._end(file)

    def seal(self) -> SegmentInfo | None:
        """Close the open segment so that it can be compacted; None if it is empty.

        Returns
        -------
        SegmentInfo or None
            As ``end``.

        Raises
        ------
        JournalUnavailable
            If the seal cannot be written or forced to the device; the segment stays recoverable.
        """
        info = self.end()
        self.sync()
        return info

    def room(self) -> Room:
        """Return how much room the disk has, and how many bytes wait for a sync.

        Raises
        ------
        JournalUnavailable
            If the folder is gone.
        """
        with self._handing:
            files = [*self._ended, *(() if self._file is None else (self._file,))]
            waiting = sum(file.size - file.synced for file in files) + sum(map(len, self._carried))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            found = os.statvfs(self._folder)
        except OSError as cause:
            self._fail("cannot look at the disk of the prediction log", cause)
        return Room(
            free_bytes=found.f_bavail * found.f_frsize,
            total_bytes=found.f_blocks * found.f_frsize,
            unsynced_bytes=waiting,
        )

    def close(self) -> None:
        """Seal and let go of the file.

        Raises
        ------
        JournalUnavailable
            As ``seal``; the file is let go of all the same.
        """
        try:
            try:
                self.seal()
            except JournalUnavailable:  # once more, on another file
                self.seal()
        finally:
            self._forget()

    # ── Frames ───────────────────────────────────────────────────────────────────────────────────

    def _frames(self, record: LogRecord, file: OpenSegment, told: list[SchemaRecord]) -> bytes:
        """Return a record's frame, after its schema's if this segment lacks it."""
        if isinstance(record, SchemaRecord):
            if self._schemas.get(record.digest) != record:
                self.describe(record)
            return self._schema_frame(record, file, told)
        if isinstance(record, PredictionRecord) and record.digest in self._schemas:
            return self._schema_frame(self._schemas[record.digest], file, told) + self._frame(record)
        return self._frame(record)

    def _schema_frame(self, schema: SchemaRecord, file: OpenSegment, told: list[SchemaRecord]) -> bytes:
        """Return a schema's frame, or nothing if it stands in the segment already."""
        if schema.digest in file.told or schema in told:
            return b""
        told.append(schema)
        return self._frame(schema)

    def _put(self, file: OpenSegment, data: bytes) -> None:
        """Write all bytes, or none and raise."""
        try:
            if data:
                file.put(data)
        except OSError as cause:
            self._fail("cannot append to the prediction log", cause)

    # ── Files ────────────────────────────────────────────────────────────────────────────────────

    def _turn(self) -> OpenSegment:
        """Make the log ready for an append: give up, sync, end, begin, carry over, whatever is due."""
        file = self._file
        if file is not None and not file.is_doubtful and file.size - file.synced >= self._keep_bytes:
            self.sync()
        if file is not None and file.is_doubtful:
            self._give_up(file)
        elif file is not None and file.size >= self._roll_bytes:
            self._end(file)
        if self._file is None:
            self._file = self._begun()
        if self._carried:
            self._carry(self._file)
        return self._file

    def _begun(self) -> OpenSegment:
        """Begin a segment: header and lock first, then the name that readers look for."""
        now_ns = max(self._clock_ns(), 0)
        self._last_id, name = next_id(self._last_id, now_ns)
        stem = self._folder / f"w{self._slot}-{name}"
        header = Header(
            segment_id=uuid.UUID(name).bytes,
            created_ns=now_ns,
            slot=self._slot,
            pid=os.getpid(),
            node=self._node,
        )
        file = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fd = self._disk.create(stem.with_suffix(".new"))
            file = OpenSegment(fd, stem=stem, disk=self._disk, began_s=time.monotonic())
            file.begin(encode_header(header))
            self._disk.rename(stem.with_suffix(".new"), stem.with_suffix(".open"))
        except OSError as cause:
            if file is not None:
                file.let_go()
            with contextlib.suppress(OSError):
                stem.with_suffix(".new").unlink(missing_ok=True)
            self._fail("cannot begin a segment of the prediction log", cause)
        return file

    def _end(self, file: OpenSegment) -> SegmentInfo | None:
        """Write the seal and leave the rest to the next sync; nothing is left of an empty segment."""
        if file.records == 0:
            self._file = None
            file.stem.with_suffix(".open").unlink(missing_ok=True)
            file.let_go()
            return None
        try:
            info = file.end()
        except OSError as cause:
            self._fail("cannot seal the prediction log's segment", cause)
        with self._handing:
            self._ended.append(file)
            self._file = None
        return info

    def _carry(self, file: OpenSegment) -> None:
        """Write anew what given-up files held; schemas first, for the pieces may have none of their own."""
        with self._handing:
            pieces = list(self._carried)
        body = b"".join(pieces)
        found = walk(bytes(HEADER_BYTES) + body)
        detail = f"{found.records} records are written anew: the device refused to take them where they were"
        event = EventRecord(ts_ns=max(self._clock_ns(), 0), name=CARRIED, detail=detail)
        told = [schema for schema in self._schemas.values() if schema.digest not in file.told]
        self._put(file, b"".join([*map(self._frame, told), self._frame(event), body]))
        with self._handing:
            del self._carried[: len(pieces)]
        file.told.update(schema.digest for schema in told)
        file.count(event.ts_ns)
        file.records += found.records
        if found.records:
            file.min_ts_ns = min(file.min_ts_ns, found.min_ts_ns)
            file.max_ts_ns = max(file.max_ts_ns, found.max_ts_ns)

    def _taken(self) -> tuple[list[OpenSegment], OpenSegment | None, int]:
        """Return all files that hold what was appended, and a descriptor of the last that nobody else closes."""
        with self._handing:
            file = self._file
            if self._carried or (file is not None and file.is_doubtful):
                message = "the prediction log waits to be written anew after a failed sync"
                raise JournalUnavailable(message, where=str(self._folder), hint="send the request again")
            try:
                copy = -1 if file is None else os.dup(file.fd)
            except OSError as cause:
                self._fail("cannot force the prediction log to the device", cause)
            return list(self._ended), file, copy

    def _finish(self, file: OpenSegment) -> None:
        """Sync an ended file and give it the name of a sealed one."""
        try:
            file.sync(file.fd)
            self._disk.rename(file.stem.with_suffix(".open"), file.stem.with_suffix(".seg"))
            self._disk.sync_folder(self._folder)
        except OSError as cause:
            self._give_up(file)
            self._fail("cannot seal the prediction log's segment", cause)
        with self._handing:
            self._ended.remove(file)
        file.let_go()

    def _give_up(self, file: OpenSegment) -> None:
        """Close a file of unknown state for good; its last pieces wait to be written anew."""
        with self._handing:
            self._carried += file.unsynced
            if self._file is file:
                self._file = None
            if file in self._ended:
                self._ended.remove(file)
        file.let_go()

    def _forget(self) -> None:
        """Let go of all files, whatever their state."""
        with self._handing:
            for file in (*self._ended, *(() if self._file is None else (self._file,))):
                file.let_go()
            self._file, self._ended = None, []

    def _fail(self, message: str, cause: OSError) -> NoReturn:
        """Raise the error that says what to do."""
        hint = "free space on the disk, or make the folder writable; see `kilter doctor`"
        raise JournalUnavailable(message, where=str(self._folder), why=cause.strerror, hint=hint) from cause
