"""A disk that forgets what was not synced: what a loss of power leaves of the prediction log."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

from kilter.stores.segments import OsDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from random import Random

__all__ = ["PowerDisk"]

_SECTOR = 512


class _Image:
    """One file: what programs see of it, what the device holds, and the names that it has had."""

    def __init__(self, name: str) -> None:
        self.seen = bytearray()
        self.kept = b""
        self.names = [name]
        self.kept_names = 0
        self.is_broken = False

    def after_power(self, chance: Random) -> tuple[str, bytes] | None:
        """Return a name and bytes that may be found when power is back; None if the file is not."""
        place = chance.randrange(self.kept_names - 1, len(self.names))
        if place < 0:
            return None
        low, high = sorted((len(self.kept), len(self.seen)))
        size = chance.choice((low, high, chance.randint(low, high)))
        share = chance.choice((0.0, 0.5, 1.0))
        torn_at = chance.randint(low, high)  # sometimes all before a point has arrived, and nothing after it
        is_prefix = chance.random() < 0.5
        found = bytearray()
        for start in range(0, size, _SECTOR):
            end = min(start + _SECTOR, size)
            is_new = end <= torn_at if is_prefix else chance.random() < share
            source = self.seen if is_new else self.kept
            found += bytes(source[start:end]).ljust(end - start, b"\0")
        return self.names[place], bytes(found)

    def after_kill(self) -> tuple[str, bytes]:
        """Return name and bytes as other processes see them."""
        return self.names[-1], bytes(self.seen)


class PowerDisk(OsDisk):
    """A ``Disk`` over real files that also keeps account of what a loss of power could leave.

    Bytes reach the device by ``sync`` only, names by ``sync_folder`` only; of the rest any 512-byte sectors
    may have arrived, in any order, the length without the bytes too. A file whose sync failed once keeps
    nothing more, whatever later syncs say, as Linux does it.

    Parameters
    ----------
    chance : Random
        Decides what survives.
    moment : int
        The power fails at this step; every call has one before and one after its effect.
    at_cut : callable
        Called at that moment, once, to look at what was acknowledged by then.
    """

    def __init__(self, chance: Random, *, moment: int, at_cut: Callable[[], None]) -> None:
        self._chance = chance
        self._left = moment
        self._at_cut = at_cut
        self._lock = threading.RLock()
        self._images: dict[int, _Image] = {}
        self._all: list[_Image] = []
        self._found: list[tuple[str, bytes]] | None = None
        self._killed: list[tuple[str, bytes]] = []
        self.failing_syncs = 0
        self.failing_writes = 0

    def create(self, path: Path) -> int:
        """Make a file."""
        with self._step():
            fd = super().create(path)
            image = self._images[os.fstat(fd).st_ino] = _Image(path.name)
            self._all.append(image)
        self._tick()
        return fd

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        """Write, half of it or nothing where a fault is due."""
        with self._step():
            image = self._image(fd)
            if self.failing_writes and self._chance.random() < 0.5:
                self.failing_writes -= 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.failing_writes:
                data = data[: max(1, len(data) // 2)]
            written = super().write(fd, data)
            image.seen += data[:written]
        self._tick()
        return written

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cut the file."""
        with self._step():
            super().truncate(fd, size_bytes)
            del self._image(fd).seen[size_bytes:]
        self._tick()

    def sync(self, fd: int) -> None:
        """Keep the bytes, or fail where a fault is due."""
        with self._step():
            image = self._image(fd)
            if self.failing_syncs:
                self.failing_syncs -= 1
                image.is_broken = True
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            seen = bytes(image.seen)
        self._tick()
        with self._lock:
            if not image.is_broken:
                image.kept = seen
        self._tick()

    def rename(self, path: Path, to: Path) -> None:
        """Give another name."""
        with self._step():
            inode = path.stat().st_ino
            super().rename(path, to)
            self._images[inode].names.append(to.name)
        self._tick()

    def sync_folder(self, folder: Path) -> None:  # noqa: ARG002 - one folder is all there is
        """Keep the names."""
        with self._step():
            named = [(image, len(image.names)) for image in self._all]
        self._tick()
        for image, count in named:
            image.kept_names = max(image.kept_names, count)
        self._tick()

    def leave(self, folder: Path, *, is_power_lost: bool = True) -> None:
        """Put into a folder what is found after the moment: of a loss of power, or of ``kill -9``."""
        if self._found is None:
            self._cut()
        found: Iterable[tuple[str, bytes]] = (self._found or ()) if is_power_lost else self._killed
        for name, data in found:
            (folder / name).write_bytes(data)

    def _image(self, fd: int) -> _Image:
        """Return the account of an open file."""
        return self._images[os.fstat(fd).st_ino]

    def _step(self) -> threading.RLock:
        """Count the moment before an effect; what follows happens at once."""
        self._tick()
        return self._lock

    def _tick(self) -> None:
        """Count one moment, and cut the power if it is the one."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._cut()

    def _cut(self) -> None:
        """Decide what survives."""
        self._at_cut()
        states = [image.after_power(self._chance) for image in self._all]
        self._found = [state for state in states if state is not None]
        self._killed = [image.after_kill() for image in self._all]
