"""The system calls under a writer, in one place where tests put faults."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Protocol

from kilter.stores._file import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Disk", "OsDisk"]

_CREATE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Disk(Protocol):
    """The calls that can fail under a writer; tests inject faults, full disks and losses of power here.

    Guarantees: each raises OSError where the operating system would. Only ``sync`` and ``sync_folder``
    make anything outlive a loss of power.
    """

    def create(self, path: Path) -> int:
        """Make a file that is locked by this writer; return a descriptor that appends.

        Raises
        ------
        OSError
            If it exists or cannot be made.
        """
        ...

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
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

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another name.

        Raises
        ------
        OSError
            If it cannot be renamed.
        """
        ...

    def sync_folder(self, folder: Path) -> None:
        """Force the names of a folder's files to the device.

        Raises
        ------
        OSError
            If the device refuses.
        """
        ...


class OsDisk:
    """The operating system's own calls."""

    def create(self, path: Path) -> int:
        """Make a locked file of mode 0600; return its descriptor."""
        fd = os.open(path, _CREATE, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
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

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another name."""
        path.rename(to)

    def sync_folder(self, folder: Path) -> None:
        """Force the names of a folder's files to the device."""
        sync_folder(folder)
