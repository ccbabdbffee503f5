"""The writing side of the prediction log: append-only segment files, one writer per process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from kilter.contracts.log import SegmentInfo
from kilter.contracts.prediction import LogRecord, PredictionRecord, SchemaRecord
from kilter.errors import JournalUnavailable, TooLarge
from kilter.stores._file import sync_folder
from kilter.stores.segments._frame import MAX_FRAME_BYTES, Codec, Header, encode_header, frame, seal_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Disk", "OsDisk", "SegmentLog"]

ROLL_BYTES = 64 * 1024 * 1024
_OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Disk(Protocol):
    """The three calls that can fail under a writer; tests inject faults here.

    Guarantees: each raises OSError where the operating system would.
    """

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write some bytes at the end of the file; return how many.

        Raises
        ------
        OSError
            If nothing can be written.
        """
        ...

    def sync(self, fd: int) -> None:
        """Force the file's bytes to the device.

        Raises
        ------
        OSError
            If the device refuses.
        """
        ...

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cut the file.

        Raises
        ------
        OSError
            If it cannot be cut.
        """
        ...


class OsDisk:
    """The operating system's own calls."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write some bytes at the end of the file; return how many."""
        return os.write(fd, data)

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cut the file."""
        os.ftruncate(fd, size_bytes)

    def sync(self, fd: int) -> None:
        """Force the file's bytes through the drive's cache where the system can ask for it."""
        if hasattr(fcntl, "F_FULLFSYNC"):
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(fd)


class SegmentLog:
    """Append-only log of one writing process, in segments below a folder.

    Guarantees: those of ``RecordLog``. Every segment explains itself: the schema of a version stands
    before its first record. The file opens at the first append, so an idle writer holds none. A
    segment is rolled when it reaches ``roll_bytes``. Not thread-safe, but for ``sync``, which may run
    beside the others. A failed sync or cut gives the file up (it stays recoverable) and the next
    append begins another.

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
    ) -> None:
        self._folder = Path(folder)
        self._slot = slot
        self._clock_ns = clock_ns
        self._node = hashlib.sha256(node.encode()).digest()[:8]
        self._disk = disk or OsDisk()
        self._roll_bytes = roll_bytes
        self._encode = Codec().encode
        self._schemas: dict[str, SchemaRecord] = {}
        self._last_id = 0
        self._stem = self._folder
        self._fd = -1
        self._closing = threading.Lock()
        self._doubtful = -1  # descriptor of the file whose sync failed
        self._size = self._records = self._min_ts_ns = self._max_ts_ns = 0
        self._told: set[str] = set()  # digests whose schema stands in the open segment

    def describe(self, schema: SchemaRecord) -> None:
        """Remember the names of a version's columns; they are written before its first record in a segment.

        Parameters
        ----------
        schema : SchemaRecord
            Names by the digest of the version's manifest.
        """
        self._schemas[schema.digest] = schema

    def append(self, records: Sequence[LogRecord]) -> None:
        """Append records in order, in one write.

        Parameters
        ----------
        records : sequence of LogRecord
            What to write; a schema that stands in the segment already is not repeated.

        Raises
        ------
        JournalUnavailable
            If the records cannot be written whole; none of them stays.
        TooLarge
            If one record has more than 64 MiB.
        """
        if self._fd == self._doubtful or self._size >= self._roll_bytes:
            self._roll()
        told: set[str] = set()
        data = self._frames(records[0], told) if len(records) == 1 else self._frames_of(records, told)
        if data:
            self._put(data)
            self._told |= told
            self._count(records)

    def sync(self) -> None:
        """Force what was appended to the device.

        Raises
        ------
        JournalUnavailable
            If the device refuses. The file is given up: what it holds on the device is unknown.
        """
        stem, copy = self._stem, -1
        try:
            with self._closing:
                if self._fd == self._doubtful:
                    return
                stem, copy = self._stem, os.dup(self._fd)  # the writing thread may close its own meanwhile
            self._disk.sync(copy)
        except OSError as cause:
            with self._closing:
                if self._stem == stem:
                    self._doubtful = self._fd
            self._fail("cannot force the prediction log to the device", cause)
        finally:
            if copy >= 0:
                os.close(copy)

    def seal(self) -> SegmentInfo | None:
        """Close the open segment so that it can be compacted; None if it is empty.

        Returns
        -------
        SegmentInfo or None
            With an empty ``digest``: hashing is the reader's work, not the request path's.

        Raises
        ------
        JournalUnavailable
            If the seal cannot be written; the segment stays recoverable.
        """
        if self._fd == self._doubtful:
            self._forget()
            return None
        if self._records == 0:
            self._stem.with_suffix(".open").unlink(missing_ok=True)
            self._forget()
            return None
        self._put(
            seal_frame(records=self._records, offset=self._size, min_ts_ns=self._min_ts_ns, max_ts_ns=self._max_ts_ns)
        )
        info = SegmentInfo(
            id=self._stem.name.partition("-")[2],
            path=str(self._stem.with_suffix(".seg")),
            digest="",
            size_bytes=self._size,
            records=self._records,
            min_ts_ns=self._min_ts_ns,
            max_ts_ns=self._max_ts_ns,
        )
        try:
            self._disk.sync(self._fd)
            self._stem.with_suffix(".open").rename(info.path)
            sync_folder(self._folder)
        except OSError as cause:
            self._fail("cannot seal the prediction log's segment", cause)
        finally:
            self._forget()
        return info

    def close(self) -> None:
        """Seal and let go of the file.

        Raises
        ------
        JournalUnavailable
            As ``seal``; the file is let go of all the same.
        """
        try:
            self.seal()
        finally:
            self._forget()

    def _frames(self, record: LogRecord, told: set[str]) -> bytes:
        """Return a record's frame, after its schema's if this segment lacks it."""
        before = b""
        if isinstance(record, SchemaRecord):
            self.describe(record)
            if record.digest in self._told or record.digest in told:
                return b""
            told.add(record.digest)
        elif (
            isinstance(record, PredictionRecord)
            and record.digest not in self._told
            and record.digest not in told
            and record.digest in self._schemas
        ):
            before = self._frames(self._schemas[record.digest], told)
        try:
            payload = self._encode(record)
        except (TypeError, ValueError, OverflowError) as cause:
            message = "a record does not fit the prediction log"
            raise JournalUnavailable(message, why=str(cause), hint="report the fields of this record") from cause
        if len(payload) > MAX_FRAME_BYTES:
            message = f"a log record is limited to {MAX_FRAME_BYTES} bytes, got {len(payload)}"
            raise TooLarge(message, hint="send fewer rows in one request")
        return before + frame(payload)

    def _frames_of(self, records: Sequence[LogRecord], told: set[str]) -> bytes:
        """Return the frames of several records."""
        return b"".join([self._frames(record, told) for record in records])

    def _put(self, data: bytes) -> None:
        """Write all bytes, or none and raise."""
        try:
            written = self._disk.write(self._fd, data)
            if written < len(data):
                self._put_rest(memoryview(data)[written:])
        except OSError as cause:
            try:
                self._disk.truncate(self._fd, self._size)
            except OSError:
                self._forget()
            self._fail("cannot append to the prediction log", cause)
        self._size += len(data)

    def _put_rest(self, data: memoryview) -> None:
        """Continue a short write."""
        while data:
            written = self._disk.write(self._fd, data)
            if written == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            data = data[written:]

    def _count(self, records: Sequence[LogRecord]) -> None:
        """Keep what the seal will say."""
        for record in records:
            if not isinstance(record, SchemaRecord):
                ts_ns = record.ts_ns
                self._records += 1
                if ts_ns > self._max_ts_ns or self._records == 1:
                    self._max_ts_ns = ts_ns
                if ts_ns < self._min_ts_ns or self._records == 1:
                    self._min_ts_ns = ts_ns

    def _roll(self) -> None:
        """Begin a segment: header and lock first, then the name that readers look for."""
        self.seal()
        self._stem = self._folder / f"w{self._slot}-{self._next_id()}"
        fd = -1
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._stem.with_suffix(".new"), _OPEN_FLAGS, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            header = Header(
                segment_id=uuid.UUID(self._stem.name.partition("-")[2]).bytes,
                created_ns=max(self._clock_ns(), 0),
                slot=self._slot,
                pid=os.getpid(),
                node=self._node,
            )
            self._fd, self._size = fd, 0
            self._put(encode_header(header))
            self._stem.with_suffix(".new").rename(self._stem.with_suffix(".open"))
            sync_folder(self._folder)
        except (OSError, JournalUnavailable) as cause:
            self._fd = fd
            self._forget()
            with contextlib.suppress(OSError):
                self._stem.with_suffix(".new").unlink(missing_ok=True)
            self._fail("cannot begin a segment of the prediction log", cause)

    def _next_id(self) -> str:
        """Return a UUIDv7 that sorts after all earlier ones of this writer (12 bits count within a millisecond)."""
        self._last_id = max(self._last_id + 1, max(self._clock_ns(), 0) // 1_000_000 << 12)
        ms, count = self._last_id >> 12, self._last_id & 0xFFF
        value = (ms & (1 << 48) - 1) << 80 | 7 << 76 | count << 64 | 2 << 62 | secrets.randbits(62)
        return str(uuid.UUID(int=value))

    def _forget(self) -> None:
        """Let go of the file, whatever its state."""
        with self._closing:
            if self._fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(self._fd)
            self._fd = self._doubtful = -1
        self._size = self._records = self._min_ts_ns = self._max_ts_ns = 0
        self._told = set()

    def _fail(self, message: str, cause: OSError | JournalUnavailable) -> NoReturn:
        """Raise the error that says what to do."""
        why = cause.why if isinstance(cause, JournalUnavailable) else cause.strerror
        hint = "free space on the disk, or make the folder writable; see `kilter doctor`"
        raise JournalUnavailable(message, where=str(self._folder), why=why, hint=hint) from cause
