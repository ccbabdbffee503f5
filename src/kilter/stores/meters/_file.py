"""The file of one process, written in place: rows are added to it, slots are counted in."""

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

__all__ = ["OwnFile"]

_MAX_ROWS = 2_048


class OwnFile:
    """A growing file, mapped slab by slab, so that what was mapped never moves.

    Its room on the disk is reserved before it is mapped: a full disk is an error here and not the
    process's death at the first count.

    Parameters
    ----------
    path : Path
        Where it is to be; it appears there whole, with its header.
    pid, born : int
        Whose it is.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, path: Path, *, pid: int, born: int) -> None:
        waiting = path.with_suffix(".new")
        self._fd = os.open(waiting, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._slabs: list[memoryview] = []
        try:
            first = self._map()
            first[:HEADER_BYTES] = pack_head(pid, born)
            waiting.rename(path)
        except OSError:
            os.close(self._fd)
            waiting.unlink(missing_ok=True)
            raise
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
            self._map()
            self._end = (len(self._slabs) - 1) * SLAB_BYTES
        at, slab = self._end % SLAB_BYTES, self._slabs[-1]
        slab[at : at + size] = pack_row(kind, key, slots)
        self._end += size
        self._rows += 1
        self._shown_end[0] = self._end
        return slab[at + size - 8 * slots : at + size].cast("Q")

    def close(self) -> None:
        """Let go of the file; what is mapped stays usable as long as somebody holds it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _map(self) -> memoryview:
        """Reserve and map one more slab."""
        at = len(self._slabs) * SLAB_BYTES
        os.posix_fallocate(self._fd, at, SLAB_BYTES)
        slab = memoryview(mmap.mmap(self._fd, SLAB_BYTES, offset=at))
        self._slabs.append(slab)
        return slab
