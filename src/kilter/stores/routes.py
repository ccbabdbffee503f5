"""Route tables as files that are replaced whole."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kilter.contracts.route import RouteTable
from kilter.errors import ChecksumMismatch, StoreError, WorldMoved
from kilter.stores._file import locked, replace_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RouteFiles"]

_SCHEMA = 1


class RouteFiles:
    """``table.json``, ``table.prev.json``, ``table.next.json`` and ``refused.json`` below one folder.

    Guarantees: those of ``RouteStore``. Files are canonical JSON with the SHA-256 of what they say;
    a table that does not match it is damaged and never served.

    Parameters
    ----------
    folder : str or Path
        Where the files are; made by the first proposal.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._live = self._folder / "table.json"
        self._previous = self._folder / "table.prev.json"
        self._next = self._folder / "table.next.json"
        self._refused = self._folder / "refused.json"

    def live(self) -> RouteTable | None:
        """Return the table in force, or None before the first.

        Returns
        -------
        RouteTable or None
            The previous one if the live one is damaged.

        Raises
        ------
        StoreError
            If neither the live nor the previous table can be read.
        """
        try:
            table = self._read(self._live)
        except ChecksumMismatch as damage:
            table = self.previous()
            if table is None:
                message = "the live route table is damaged and there is no previous one"
                raise StoreError(message, where=str(self._live), why=damage.why, hint="run `kilter apply`") from damage
        return table

    def previous(self) -> RouteTable | None:
        """Return the table before the live one, or None.

        Raises
        ------
        StoreError
            If it cannot be read, or is damaged.
        """
        return self._read_sound(self._previous)

    def proposed(self) -> RouteTable | None:
        """Return the table that waits to be prepared by all acceptors, or None; a damaged one is none.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        try:
            return self._read(self._next)
        except ChecksumMismatch:
            return None

    def propose(self, table: RouteTable) -> None:
        """Offer a table of a higher generation than the live one.

        Parameters
        ----------
        table : RouteTable
            Its generation is that of the live table plus one.

        Raises
        ------
        WorldMoved
            If the live generation is not the one just below, or another proposal is open.
        StoreError
            If it cannot be written.
        """
        with self._changing():
            live, waiting = self.live(), self.proposed()
            generation = live.generation if live else 0
            if waiting is not None:
                message = f"route table {waiting.generation} is being prepared; expected no open proposal"
                raise WorldMoved(message, where=str(self._next), hint="try again when it is settled")
            if table.generation != generation + 1:
                message = f"route table {table.generation} cannot follow {generation}"
                raise WorldMoved(message, where=str(self._live), hint=f"make generation {generation + 1}")
            replace_file(self._next, _encode(table))

    def settle(self, generation: int, *, refused: str | None = None) -> None:
        """Put the proposal of this generation in force, or drop it with a reason.

        Parameters
        ----------
        generation : int
            Of the open proposal.
        refused : str or None
            None accepts it; a text says why it was dropped.

        Raises
        ------
        WorldMoved
            If the open proposal has another generation.
        StoreError
            If it cannot be written.
        """
        with self._changing():
            waiting = self.proposed()
            if waiting is None or waiting.generation != generation:
                found = waiting.generation if waiting else "none"
                message = f"expected the open proposal to be route table {generation}, found {found}"
                raise WorldMoved(message, where=str(self._next), hint="read the proposal again")
            if refused is None:
                with contextlib.suppress(ChecksumMismatch):  # a damaged live table is no good previous one
                    if (live := self._read(self._live)) is not None:
                        replace_file(self._previous, _encode(live))
                self._next.replace(self._live)
            else:
                replace_file(self._refused, msgspec.json.encode({"generation": generation, "reason": refused}))
                self._next.unlink()
            sync_folder(self._folder)

    def mend(self, table: RouteTable) -> bool:
        """Write the live table anew if its file is damaged or gone.

        Parameters
        ----------
        table : RouteTable
            What is in force, as its keeper remembers it.

        Returns
        -------
        bool
            Whether there was anything to mend.

        Raises
        ------
        StoreError
            If it cannot be read or written.
        """
        with self._changing():
            try:
                if self._read(self._live) is not None:
                    return False
            except ChecksumMismatch:
                self._live.replace(self._live.with_suffix(".bad"))
            replace_file(self._live, _encode(table))
        return True

    def set_aside(self) -> tuple[str, ...]:
        """Move damaged tables out of the way, for somebody to look at; return the new names.

        Raises
        ------
        StoreError
            If they cannot be read or moved.
        """
        moved: list[str] = []
        with self._changing():
            for path in (self._live, self._previous):
                try:
                    self._read(path)
                except ChecksumMismatch:
                    aside = path.with_suffix(".bad")
                    path.replace(aside)
                    moved.append(aside.name)
        return tuple(moved)

    def refusal(self) -> tuple[int, str] | None:
        """Return generation and reason of the last proposal that was dropped, or None.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        data = self._bytes(self._refused)
        if data is None:
            return None
        try:
            said = msgspec.json.decode(data, type=dict[str, int | str])
            return int(said["generation"]), str(said["reason"])
        except (ValueError, KeyError):
            return None

    def token(self) -> tuple[int, ...]:
        """Return numbers that change when the live or the proposed table does; two stat calls."""
        numbers: list[int] = []
        for path in (self._live, self._next):
            try:
                stat = path.stat()
            except OSError:
                numbers += (0, 0, 0)
            else:
                numbers += (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        return tuple(numbers)

    def _read_sound(self, path: Path) -> RouteTable | None:
        """Return a table, None if there is no file; damage is an error."""
        try:
            return self._read(path)
        except ChecksumMismatch as damage:
            message = "a route table is damaged"
            raise StoreError(message, where=str(path), why=damage.why, hint="run `kilter apply`") from damage

    def _read(self, path: Path) -> RouteTable | None:
        """Return a table, None if there is no file; damage is ChecksumMismatch."""
        data = self._bytes(path)
        if data is None:
            return None
        message = "a route table does not match its digest"
        try:
            told = msgspec.json.decode(data, type=dict[str, object])
            digest = told.pop("digest", None)
            if digest != _digest(told):
                raise ChecksumMismatch(message, where=str(path), why="the digest differs")
            return msgspec.convert(told["table"], RouteTable)
        except (ValueError, KeyError) as cause:
            raise ChecksumMismatch(message, where=str(path), why=str(cause)) from cause

    def _bytes(self, path: Path) -> bytes | None:
        """Return a file's bytes, None if there is none."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as cause:
            message = "cannot read the route tables"
            raise StoreError(message, where=str(path), why=cause.strerror, hint="make the folder readable") from cause

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the folder's lock; turn the operating system's errors into StoreError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with locked(self._folder / "lock"):
                yield
        except OSError as cause:
            message = "cannot write the route tables"
            hint = "free space on the disk, or make the folder writable; see `kilter doctor`"
            raise StoreError(message, where=str(self._folder), why=cause.strerror, hint=hint) from cause


def _encode(table: RouteTable) -> bytes:
    """Return the file of a table."""
    told: dict[str, object] = {"schema": _SCHEMA, "table": msgspec.to_builtins(table)}
    return msgspec.json.encode(told | {"digest": _digest(told)}, order="sorted")


def _digest(told: dict[str, object]) -> str:
    """Return the SHA-256 of the canonical JSON."""
    return f"sha256:{hashlib.sha256(msgspec.json.encode(told, order='sorted')).hexdigest()}"
