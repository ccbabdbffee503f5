"""The files of all processes, summed; those of dead processes folded into one.

Files are read, never mapped: whoever shortens one cannot end the process that looks at it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from kilter.stores._file import locked
from kilter.stores._process import is_alive
from kilter.stores.meters._layout import gauge_kinds, layout, read_head, read_rows
from kilter.stores.meters._retired import Counts, Retired, add_up, read_retired, write_retired

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kilter.stores.meters._layout import Key, RowKind

__all__ = ["SUFFIX", "MeterFolder", "file_name"]

SUFFIX = ".kmet"

_log = logging.getLogger(__name__)

_TRIES = 20


class _Found(NamedTuple):
    """What stands in one process's file; ``rows`` is None if it cannot be read."""

    path: Path
    is_alive: bool
    rows: list[tuple[RowKind, Key, list[int]]] | None


class MeterFolder:
    """All meter files of a node.

    Guarantees: a file's counts are in the sum exactly once, at every moment of ``fold`` and wherever
    a crash interrupts it: a file counts until ``retired.json`` names its process, and ``retired.json``
    takes over its counts in the same rename.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._retired = folder / "retired.json"
        self._known: tuple[tuple[int, ...], Retired] = ((), Retired(layout()))

    def counts(self) -> Counts:
        """Return the sum of all processes, those that are gone included.

        Raises
        ------
        OSError
            If the folder cannot be read, or changes faster than it can be read.
        """
        for _ in range(_TRIES):
            token = self._token()
            retired = self._read_retired(token)
            total = retired.counts()
            for found in self._files(set(retired.folded)):
                for kind, key, slots in found.rows or ():
                    if found.is_alive or kind not in gauge_kinds():
                        add_up(total, kind, key, slots)
            if self._token() == token:  # nothing was folded meanwhile: no file was missed or met twice
                return total
        message = "processes end faster than their counts can be read"
        raise OSError(message)

    def fold(self) -> None:
        """Move the counts of dead processes into ``retired.json``, then delete their files.

        Raises
        ------
        OSError
            If a file cannot be read or written; nothing is lost by that.
        """
        with locked(self._folder / "fold.lock"):
            self._delete(self._read_retired(self._token()).folded)  # left by a crash after the rename
            dead = [found for found in self._files(set()) if not found.is_alive]
            if not dead:
                return
            retired = self._sound()
            total, folded = retired.counts(), []
            for found in dead:
                if found.rows is None:
                    self._set_aside(found.path)
                    continue
                for kind, key, slots in found.rows:
                    if kind not in gauge_kinds():
                        add_up(total, kind, key, slots)
                folded.append(found.path.stem)
            write_retired(self._retired, tuple(folded), total)
            self._delete(tuple(folded))

    def _delete(self, names: tuple[str, ...]) -> None:
        """Delete files whose counts are retired."""
        for name in names:
            (self._folder / f"{name}{SUFFIX}").unlink(missing_ok=True)

    def _sound(self) -> Retired:
        """Return what is retired; a file that this version cannot add to is set aside and said."""
        retired = self._read_retired(self._token())
        if retired.layout == layout():
            return retired
        self._set_aside(self._retired)
        return Retired(layout())

    def _set_aside(self, path: Path) -> None:
        """Keep a file that cannot be added to, out of the sum."""
        _log.warning("%s is damaged or of another version; its counts start again at 0", path)
        path.rename(path.with_name(f"{path.name}.bad"))

    def _token(self) -> tuple[int, ...]:
        """Return what changes when something is folded."""
        try:
            stat = self._retired.stat()
        except FileNotFoundError:
            return ()
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size)

    def _read_retired(self, token: tuple[int, ...]) -> Retired:
        """Return what is retired, read once for each token."""
        if token != self._known[0]:
            self._known = (token, read_retired(self._retired))
        retired = self._known[1]
        return retired if retired.layout in {0, layout()} else Retired(0, retired.folded)

    def _files(self, without: set[str]) -> Iterator[_Found]:
        """Read the files of processes that are not folded yet."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path.stem in without:
                continue
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # folded since; the token tells
                continue
            yield _found(path, data)


def file_name(pid: int, born: int) -> str:
    """Return the name of a process's file."""
    return f"{pid}-{born}{SUFFIX}"


def _found(path: Path, data: bytes) -> _Found:
    """Return what stands in a file; nothing if it was cut off."""
    head = read_head(data)
    if head is None or head.layout != layout() or len(data) < head.end:
        return _unreadable(path)
    rows = []
    for kind, key, at, slots in read_rows(data, head.end):
        counted = memoryview(data)[at : at + 8 * slots].cast("Q")
        rows.append((kind, key, counted.tolist()))
    return _Found(path, is_alive(head.pid, head.born), rows)


def _unreadable(path: Path) -> _Found:
    """Return what is known of a file that is damaged or of another version: its name says whose it is."""
    pid, _, since = path.stem.partition("-")
    return _Found(path, pid.isdigit() and since.isdigit() and is_alive(int(pid), int(since)), None)
