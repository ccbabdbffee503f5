"""The time: the system's, a replayed one, and ids that sort by it."""

from __future__ import annotations

import mmap
import os
import threading
import time
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.errors import StoreError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from kilter.contracts.clock import Clock

__all__ = ["ReplayClock", "ReplayFile", "SystemClock", "UuidSource", "replay_file"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIZE_BYTES = 8
_NS_PER_MS = 1_000_000
_POOL_BYTES = 4_096
_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))


class SystemClock:
    """The machine's own clock.

    Guarantees: safe from any thread; follows the steps of the system's clock.
    """

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return datetime.now(tz=UTC)

    def time_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return time.time_ns()


class ReplayClock:
    """A clock that reads what a replay wrote: 8 bytes, little-endian nanoseconds, shared by all processes.

    Guarantees: never goes backwards; safe from any thread; one read is one load of 8 aligned bytes.

    Parameters
    ----------
    path : str
        The file of a ``ReplayFile``.

    Raises
    ------
    StoreError
        If the file is missing, short or unreadable.
    """

    def __init__(self, path: str) -> None:
        self._view = _map(path, is_writable=False)
        self._last_ns = 0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the replayed time, aware, in UTC.

        Raises
        ------
        StoreError
            If the clock was closed.
        """
        return _EPOCH + timedelta(microseconds=self.time_ns() // 1_000)

    def time_ns(self) -> int:
        """Return the replayed nanoseconds since the epoch.

        Raises
        ------
        StoreError
            If the clock was closed.
        """
        with self._lock:
            try:
                self._last_ns = max(self._last_ns, self._view[0])
            except ValueError as cause:
                message = "the replayed clock is closed"
                raise StoreError(message, hint="open it again") from cause
            return self._last_ns

    def close(self) -> None:
        """Let go of the file; later calls raise."""
        self._view.release()


class ReplayFile:
    """The writing end of a replayed clock.

    Guarantees: readers in other processes see each time whole, and never an earlier one after a later one.
    One writer at a time.

    Parameters
    ----------
    path : str
        An existing file of 8 bytes, as ``replay_file`` makes it.

    Raises
    ------
    StoreError
        If the file is missing, short or not writable.
    """

    def __init__(self, path: str) -> None:
        self._view = _map(path, is_writable=True)

    def set(self, ns: int) -> None:
        """Move the time forward.

        Raises
        ------
        ValueError
            If the time is earlier than the present one.
        """
        if ns < self._view[0]:
            message = f"a replayed clock cannot go back from {self._view[0]} to {ns} ns"
            raise ValueError(message)
        self._view[0] = ns

    def close(self) -> None:
        """Let go of the file; the time stays in it."""
        self._view.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def replay_file(path: str, start_ns: int = 0) -> ReplayFile:
    """Open the file of a replayed clock for writing, making it if it is missing; the time is at least ``start_ns``.

    Parameters
    ----------
    path : str
        Where the file is, or is to be.
    start_ns : int
        Nanoseconds since the epoch.

    Returns
    -------
    ReplayFile

    Raises
    ------
    StoreError
        If the file cannot be made, or is no replayed clock.
    """
    target = Path(path)
    if not target.exists():
        spool = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            spool.write_bytes(start_ns.to_bytes(_SIZE_BYTES, "little"))
            spool.replace(target)
        except OSError as cause:
            message = "the replayed clock cannot be made"
            raise StoreError(message, where=path, why=str(cause), hint="give a folder that can be written") from cause
    writer = ReplayFile(path)
    if start_ns > writer._view[0]:  # noqa: SLF001 - the maker of its own class
        writer.set(start_ns)
    return writer


class UuidSource:
    """Ids of 48 bits of milliseconds, a 12-bit counter and 62 random bits: UUIDs of version 7.

    Guarantees: ids of one process sort in the order they were made, even if the clock stands still or goes
    back (the counter runs over into the milliseconds); safe from threads; forked children draw other bits.

    Parameters
    ----------
    clock : Clock
        Gives the milliseconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._time_ns = clock.time_ns
        self._lock = threading.Lock()
        self._stamp = 0
        self._ms = -1
        self._head = ""
        self._tails = ""
        self._used = 0
        mine = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _start_anew(mine()))

    def new(self, prefix: str) -> str:
        """Return ``prefix_`` and a UUIDv7, or the bare UUIDv7 for an empty prefix.

        Raises
        ------
        StoreError
            If a replayed clock cannot be read.
        """
        stamp = self._time_ns() // _NS_PER_MS << 12
        with self._lock:
            if stamp <= self._stamp:
                stamp = self._stamp + 1
            self._stamp = stamp
            if self._ms != stamp >> 12:
                self._ms = ms = stamp >> 12
                self._head = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7"
            if self._used == len(self._tails):
                self._tails, self._used = _random_tails(), 0
            start = self._used
            self._used = start + 16
            head, tail = self._head, self._tails[start : start + 16]
        uuid = f"{head}{stamp & 0xFFF:03x}-{tail[:4]}-{tail[4:]}"
        return f"{prefix}_{uuid}" if prefix else uuid


def _start_anew(source: UuidSource | None) -> None:
    """Draw other random bits in a forked child, where another thread of the parent may have held the lock."""
    if source is not None:
        source._lock = threading.Lock()  # noqa: SLF001 - part of the class above
        source._tails, source._used = "", 0  # noqa: SLF001


def _random_tails() -> str:
    """Draw the lower halves of many ids as hexadecimal digits: the variant in two bits, 62 random ones."""
    tails = bytearray(os.urandom(_POOL_BYTES))
    tails[::8] = tails[::8].translate(_VARIANT)
    return tails.hex()


def _map(path: str, *, is_writable: bool) -> memoryview[int]:
    """Map the 8 bytes of a replayed clock."""
    try:
        with Path(path).open("r+b" if is_writable else "rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes != _SIZE_BYTES:
                message = f"a replayed clock has {_SIZE_BYTES} bytes, this file has {size_bytes}"
                raise StoreError(
                    message,
                    where=path,
                    hint="delete the file and start the replay again",
                )
            access = mmap.ACCESS_WRITE if is_writable else mmap.ACCESS_READ
            return memoryview(mmap.mmap(file.fileno(), _SIZE_BYTES, access=access)).cast("Q")
    except OSError as cause:
        message = "the replayed clock cannot be read"
        raise StoreError(
            message, where=path, why=str(cause), hint="start the replay first, or unset its path"
        ) from cause
