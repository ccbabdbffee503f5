"""One number that all processes of a node see at the same moment: which route table is in force."""

from __future__ import annotations

import mmap
import os
import sys
from functools import cached_property
from pathlib import Path

from kilter.errors import StoreError

__all__ = ["FlipPage"]

_BYTES = 8


class FlipPage:
    """Eight bytes shared by the supervisor, who writes a file, and the acceptors, who map it and read.

    Guarantees: all readers see a mark as soon as ``show`` returns, because the kernel writes to the very
    memory that they have mapped. It copies eight aligned bytes, in practice in one step; a mixture of
    two marks would equal no table's, and readers keep to the table that they have until a mark does.
    The mark outlives the processes. 0 stands for none. Whoever shortens the file ends the processes that
    read ``marks`` (the kernel sends SIGBUS), never the one that only shows: it maps nothing.

    Parameters
    ----------
    folder : str or Path
        Where the page's file is.

    Raises
    ------
    StoreError
        If it cannot be made.
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder) / "flip"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = self._open()
            try:
                if os.fstat(fd).st_size < _BYTES:  # whole and on the disk, or it could not be read through a map
                    os.posix_fallocate(fd, 0, _BYTES)
            finally:
                os.close(fd)
        except OSError as cause:
            raise self._fault(cause.strerror, verb="made") from cause

    @cached_property
    def marks(self) -> memoryview[int]:
        """One element: the mark. Reading it costs what reading a list does.

        Raises
        ------
        StoreError
            If the page cannot be mapped.
        """
        try:
            fd = self._open()
            try:
                shared = mmap.mmap(fd, _BYTES, access=mmap.ACCESS_READ)
            finally:
                os.close(fd)
        except (OSError, ValueError) as cause:
            why = cause.strerror if isinstance(cause, OSError) else str(cause)
            raise self._fault(why, verb="mapped") from cause
        return memoryview(shared).cast("Q")

    def show(self, mark: int) -> None:
        """Let every process see another mark; a file that somebody has shortened is whole again.

        Parameters
        ----------
        mark : int, 0 <= mark < 2**64
            Of the table that is in force from now on.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        try:
            fd = self._open()
            try:
                os.pwrite(fd, mark.to_bytes(_BYTES, sys.byteorder), 0)
            finally:
                os.close(fd)
        except OSError as cause:
            raise self._fault(cause.strerror, verb="written") from cause

    def _open(self) -> int:
        """Return a descriptor of the file."""
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _fault(self, why: str | None, *, verb: str) -> StoreError:
        """Say what could not be done to the page."""
        message = f"the page that tells the route table in force cannot be {verb}"
        hint = "make room, or make the folder writable; see `kilter doctor`"
        return StoreError(message, where=str(self._path), why=why, hint=hint)
