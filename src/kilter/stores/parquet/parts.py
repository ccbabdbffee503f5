"""The files of the parts: merged into larger ones, removed, found where no row names them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.errors import StoreError
from kilter.stores.parquet._files import read_part, write_part
from kilter.stores.parquet._join import in_time_order, union_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kilter.contracts.log import LogPart

__all__ = ["PartFiles"]


class PartFiles:
    """Parts below one folder, seen by whoever keeps them few and young.

    Guarantees: those of ``PartStore``. Merging the same parts again gives the same file. Safe from threads.

    Parameters
    ----------
    folder : str or Path
        As for ``ParquetTable``.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def merge(self, parts: Sequence[LogPart], now: datetime) -> LogPart:
        """Write the rows of parts of one deployment, kind and day as one part.

        Parameters
        ----------
        parts : sequence of LogPart
            At least one.
        now : datetime
            Goes into the row.

        Returns
        -------
        LogPart
            Replaces the parts given.

        Raises
        ------
        StoreError
            If a part cannot be read, or the new one not be written.
        """
        parts = sorted(parts, key=lambda part: (part.min_ts_ns, part.id))
        table = in_time_order(union_of([read_part(self._folder, part) for part in parts]))
        place = (parts[0].deployment, parts[0].kind, parts[0].date)
        made = write_part(self._folder, place, table, sources=[part.id for part in parts], now=now)
        return replace(
            made,
            records=sum(part.records for part in parts),
            doubles=sum(part.doubles for part in parts),
            replaces=tuple(part.id for part in parts),
        )

    def remove(self, part: LogPart) -> None:
        """Delete a part's file; a missing one is no error.

        Raises
        ------
        StoreError
            If it cannot be deleted.
        """
        self.discard(part.path)

    def strays(self, before: datetime) -> tuple[str, ...]:
        """Return the paths of files that were last written before a moment, half-written ones too.

        Parameters
        ----------
        before : datetime
            Of the machine's time; younger ones may get their row any moment.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        found = []
        try:
            for folder, _, names in os.walk(self._folder, onerror=_raise):
                for name in names:
                    path = Path(folder) / name
                    if path.stat().st_mtime < before.timestamp():
                        found.append(path.relative_to(self._folder).as_posix())
        except FileNotFoundError:
            return ()  # nothing was ever written, or a file went meanwhile: the next look sees the rest
        except OSError as cause:
            raise self._fault(self._folder, cause, doing="list") from cause
        return tuple(sorted(found))

    def discard(self, path: str) -> None:
        """Delete one of ``strays``; a missing one is no error.

        Raises
        ------
        StoreError
            If it cannot be deleted.
        """
        try:
            (self._folder / path).unlink(missing_ok=True)
        except OSError as cause:
            raise self._fault(self._folder / path, cause, doing="delete") from cause

    @staticmethod
    def _fault(path: Path, cause: OSError, *, doing: str) -> StoreError:
        """Return the error that says which file, and why."""
        message = f"cannot {doing} parts of the prediction log"
        return StoreError(message, where=str(path), why=cause.strerror, hint="make the folder writable")


def _raise(error: OSError) -> None:
    """Do not pass over folders that cannot be read."""
    raise error
