"""One segment that is being written: its descriptor, its counts, and the bytes not known to be on the device."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import uuid
from typing import TYPE_CHECKING

from kilter.contracts.log import SegmentInfo
from kilter.stores.segments._disk import OsDisk
from kilter.stores.segments._frame import seal_frame

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.stores.segments._disk import Disk

__all__ = ["OpenSegment", "next_id"]


class OpenSegment:
    """A file that one thread writes and another may sync.

    The writing thread owns ``size``, the counts and ``told``; a sync owns ``synced`` and ``is_named``.
    ``unsynced`` are the pieces written since the last sync, in order: the writer adds at the end, a sync takes
    from the front. ``is_doubtful``: a sync or a cut failed, so nobody knows what the device holds.
    """

    __slots__ = (
        "began_s",
        "disk",
        "fd",
        "is_doubtful",
        "is_named",
        "max_ts_ns",
        "min_ts_ns",
        "ready",
        "records",
        "size",
        "stem",
        "synced",
        "told",
        "unsynced",
        "write",
    )

    def __init__(self, fd: int, *, stem: Path, disk: Disk, began_s: float) -> None:
        self.fd = fd
        self.stem = stem
        self.disk = disk
        self.write = os.write if type(disk) is OsDisk else disk.write  # the hot path: spare it a call
        self.began_s = began_s
        self.size = self.synced = self.records = self.min_ts_ns = self.max_ts_ns = 0
        self.unsynced: list[bytes] = []
        self.told: set[str] = set()  # digests whose schema stands in the file
        self.ready: set[str] = set()  # digests whose records need nothing before them
        self.is_doubtful = self.is_named = False

    @property
    def id(self) -> str:
        """The segment's id, as its name says it."""
        return self.stem.name.partition("-")[2]

    def put(self, data: bytes) -> None:
        """Write records' bytes at the end, or none and raise; they are kept until a sync.

        Raises
        ------
        OSError
            If they cannot be written whole. The file is cut back; where even that fails, it is doubtful.
        """
        self._put(data)
        self.unsynced.append(data)

    def begin(self, header: bytes) -> None:
        """Write the header.

        Raises
        ------
        OSError
            As ``put``.
        """
        self._put(header)

    def count(self, ts_ns: int) -> None:
        """Keep what the seal will say of one more record."""
        self.records += 1
        if ts_ns > self.max_ts_ns or self.records == 1:
            self.max_ts_ns = ts_ns
        if ts_ns < self.min_ts_ns or self.records == 1:
            self.min_ts_ns = ts_ns

    def end(self) -> SegmentInfo:
        """Write the seal; the file's name still says that it is open.

        Raises
        ------
        OSError
            As ``put``.
        """
        self._put(
            seal_frame(records=self.records, offset=self.size, min_ts_ns=self.min_ts_ns, max_ts_ns=self.max_ts_ns)
        )
        return SegmentInfo(
            id=self.id,
            path=str(self.stem.with_suffix(".seg")),
            digest="",
            size_bytes=self.size,
            records=self.records,
            min_ts_ns=self.min_ts_ns,
            max_ts_ns=self.max_ts_ns,
        )

    def sync(self, fd: int) -> None:
        """Force bytes, and once the file's name, to the device through a descriptor of the caller's own.

        Raises
        ------
        OSError
            If the device refuses, now or before: what one sync has lost, no later one brings back.
        """
        if self.is_doubtful:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        pieces, size = self.unsynced, self.size
        taken = len(pieces)  # written before this line, so before the call
        if size == self.synced and self.is_named:
            return
        self.disk.sync(fd)
        if not self.is_named:
            self.disk.sync_folder(self.stem.parent)
            self.is_named = True
        self.synced = size
        del pieces[:taken]

    def let_go(self) -> None:
        """Close the file, whatever its state."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.fd)
        self.fd = -1

    def _put(self, data: bytes) -> None:
        """Write all bytes at the end, or none and raise."""
        try:
            written = self.write(self.fd, data)
            if written != len(data):
                self._put_rest(memoryview(data)[written:])
        except OSError:
            try:
                self.disk.truncate(self.fd, self.size)
            except OSError:
                self.is_doubtful = True
            raise
        self.size += len(data)

    def _put_rest(self, data: memoryview) -> None:
        """Continue a short write."""
        while data:
            written = self.write(self.fd, data)
            if written == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            data = data[written:]


def next_id(last: int, now_ns: int) -> tuple[int, str]:
    """Return the next number and its UUIDv7, which sorts after those of all smaller numbers.

    The number is the time in milliseconds with 12 bits that count within one; it never goes back.
    """
    number = max(last + 1, now_ns // 1_000_000 << 12)
    ms, count = number >> 12, number & 0xFFF
    value = (ms & (1 << 48) - 1) << 80 | 7 << 76 | count << 64 | 2 << 62 | secrets.randbits(62)
    return number, str(uuid.UUID(int=value))
