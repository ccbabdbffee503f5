"""The rows of one process: added one by one, counted in where they stand."""

from __future__ import annotations

import errno
import mmap
import os
from typing import TYPE_CHECKING

from kilter.stores.meters._layout import (
    END_AT,
    HEADER_BYTES,
    SLAB_BYTES,
    pack_head,
    pack_row,
    row_bytes,
)

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.stores.meters._layout import Key, RowKind

__all__ = ["OwnFile", "OwnMemory"]

_MAX_ROWS = 2_048


class OwnMemory:
    """Rows in this process's own memory, slab by slab, so that what was handed out never moves.

    Parameters
    ----------
    pid, born : int
        Whose they are.
    """

    def __init__(self, *, pid: int, born: int) -> None:
        self._slabs: list[memoryview] = []
        first = self._more()
        first[:HEADER_BYTES] = pack_head(pid, born)
        self._end, self._rows = HEADER_BYTES, 0
        self._shown_end = first[END_AT : END_AT + 8].cast("Q")

    def add(self, kind: RowKind, key: Key, slots: int) -> memoryview:
        """Add a row; return its slots.

        Raises
        ------
        OSError
            If the disk is full, there are 2,048 rows, or the labels are too long.
        """
        size = row_bytes(key, slots)
        left = len(self._slabs) * SLAB_BYTES - self._end
        if not size or self._rows >= _MAX_ROWS:
            raise OSError(errno.ENOSPC, "too many or too long labels")
        if size > left:
            self._more()
            self._end = (len(self._slabs) - 1) * SLAB_BYTES
        at, slab = self._end % SLAB_BYTES, self._slabs[-1]
        slab[at : at + size] = pack_row(kind, key, slots)
        self._end += size
        self._rows += 1
        self._shown_end[0] = self._end
        return slab[at + size - 8 * slots : at + size].cast("Q")

    def content(self) -> bytes:
        """Return the bytes that a file of these rows has."""
        return b"".join(self._slabs)

    def close(self) -> None:
        """Let go of what the rows stand in; what was handed out stays usable."""

    def _more(self) -> memoryview:
        """Add one more slab."""
        slab = memoryview(bytearray(SLAB_BYTES))
        self._slabs.append(slab)
        return slab


class OwnFile(OwnMemory):
    """Rows in a growing file that is mapped: what is counted outlives the process.

    Its room on the disk is reserved before it is mapped: a full disk is an error here and not the
    process's death at the first count.

    Parameters
    ----------
    path : Path
        Where it is to be; ``show`` makes it appear there whole.
    pid, born : int
        Whose it is.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, path: Path, *, pid: int, born: int) -> None:
        self._path, self._waiting = path, path.with_suffix(".new")
        self._fd = os.open(self._waiting, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            super().__init__(pid=pid, born=born)
        except OSError:
            self.drop()
            raise

    def show(self) -> None:
        """Let other processes see the file.

        Raises
        ------
        OSError
            If it cannot have its name.
        """
        self._waiting.rename(self._path)

    def drop(self) -> None:
        """Delete a file that was not shown."""
        self.close()
        self._waiting.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file; what is mapped stays usable as long as somebody holds it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _more(self) -> memoryview:
        """Reserve and map one more slab."""
        at = len(self._slabs) * SLAB_BYTES
        os.posix_fallocate(self._fd, at, SLAB_BYTES)
        slab = memoryview(mmap.mmap(self._fd, SLAB_BYTES, offset=at))
        self._slabs.append(slab)
        return slab
