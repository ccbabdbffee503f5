"""One number that all processes of a node see at the same moment: which route table is in force."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from kilter.errors import StoreError

__all__ = ["FlipPage"]

_BYTES = 8


class FlipPage:
    """Eight bytes of memory shared by the supervisor, who writes, and the acceptors, who read.

    Guarantees: a reader sees the old mark or the new one, never a mixture (an aligned store of eight
    bytes is one step on every machine that runs CPython); all readers see it at once. The mark outlives
    the processes. 0 stands for none.

    Parameters
    ----------
    folder : str or Path
        Where the page's file is.

    Raises
    ------
    StoreError
        If it cannot be made or mapped.
    """

    def __init__(self, folder: str | Path) -> None:
        path = Path(folder) / "flip"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(fd).st_size < _BYTES:
                    os.ftruncate(fd, _BYTES)
                shared = mmap.mmap(fd, _BYTES)
            finally:
                os.close(fd)
        except (OSError, ValueError) as cause:
            message = "the page that tells the route table in force cannot be mapped"
            why = cause.strerror if isinstance(cause, OSError) else str(cause)
            hint = "make room, or make the folder writable; see `kilter doctor`"
            raise StoreError(message, where=str(path), why=why, hint=hint) from cause
        self.marks: memoryview[int] = memoryview(shared).cast("Q")
        """One element: the mark. Reading it costs what reading a list does."""

    def show(self, mark: int) -> None:
        """Let every process see another mark.

        Parameters
        ----------
        mark : int, 0 <= mark < 2**64
            Of the table that is in force from now on.
        """
        self.marks[0] = mark
