"""Overrides of the route table as one file that is replaced whole."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kilter.errors import StoreError
from kilter.stores._file import locked, replace_file

__all__ = ["OverrideFile"]

_SCHEMA = 1


class _Said(msgspec.Struct, frozen=True):
    """What stands in the file."""

    schema: int = _SCHEMA
    generation: int = 0
    unloaded: tuple[str, ...] = ()


class OverrideFile:
    """``overrides.json`` in the folder of the route tables.

    Guarantees: those of ``Overrides``. A file that is not one of these says nothing, and the next call
    replaces it.

    Parameters
    ----------
    folder : str or Path
        Where the file is; made by the first call that writes.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._path = self._folder / "overrides.json"

    def unloaded(self, generation: int) -> frozenset[str]:
        """Return the deployments that are unloaded while this generation is in force.

        Raises
        ------
        StoreError
            If the file cannot be read.
        """
        try:
            said = self._read()
        except OSError as cause:
            message = "cannot read the overrides of the route table"
            raise StoreError(
                message, where=str(self._path), why=cause.strerror, hint="make the file readable"
            ) from cause
        return frozenset(said.unloaded if said.generation == generation else ())

    def unload(self, deployment: str, *, generation: int) -> frozenset[str]:
        """Keep a deployment from answering; return all that are unloaded then.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        return self._change(generation, add={deployment}, remove=set())

    def load(self, deployment: str, *, generation: int) -> frozenset[str]:
        """Let a deployment answer again; return all that are unloaded then.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        return self._change(generation, add=set(), remove={deployment})

    def token(self) -> tuple[int, ...]:
        """Return numbers that change when the file does; one stat call."""
        try:
            stat = self._path.stat()
        except OSError:
            return ()
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _read(self) -> _Said:
        """Return what the file says; nothing if it is not there, or none of these."""
        try:
            said = msgspec.json.decode(self._path.read_bytes(), type=_Said)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return _Said()
        return said if said.schema == _SCHEMA else _Said()

    def _change(self, generation: int, *, add: set[str], remove: set[str]) -> frozenset[str]:
        """Replace the file under its lock; a process that is behind speaks of the newer generation, too."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with locked(self._folder / "overrides.lock"):
                said = self._read()
                before = frozenset(said.unloaded if said.generation >= generation else ())
                names = (before | add) - remove
                said = _Said(generation=max(generation, said.generation), unloaded=tuple(sorted(names)))
                replace_file(self._path, msgspec.json.encode(said))
        except OSError as cause:
            message = "cannot write the overrides of the route table"
            hint = "free space on the disk, or make the folder writable; see `kilter doctor`"
            raise StoreError(message, where=str(self._path), why=cause.strerror, hint=hint) from cause
        return names
