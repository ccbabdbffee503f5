"""Inputs that ended a model's process, as files: one folder for each version, one file for each input."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kilter.contracts.quarantine import Quarantined
from kilter.stores._file import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QuarantineFolder"]

_log = logging.getLogger(__name__)

_VERSIONS = 20
_FILES = 100
_FILE_BYTES = 256 * 2**10
_KEPT_NS = 24 * 3_600 * 1_000_000_000


class QuarantineFolder:
    """A ``QuarantineShelf`` below one folder.

    Guarantees: those of the port: of each version the latest 100 inputs, of the node the latest 20 versions. Rows
    of more than 256 KiB are not kept, only that they were. Files are whole or not there.

    Parameters
    ----------
    folder : str or Path
        Where the files are.
    time_ns : callable
        Nanoseconds since the epoch.
    """

    def __init__(self, folder: str | Path, *, time_ns: Callable[[], int]) -> None:
        self._folder = Path(folder)
        self._time_ns = time_ns

    def known(self, digest: str) -> dict[str, int]:
        """Return the fingerprints of the last 24 h for a version, and since when."""
        found: dict[str, int] = {}
        for path in self._files(self._place(digest)):
            try:
                entry = msgspec.json.decode(path.read_bytes(), type=Quarantined)
            except (OSError, msgspec.MsgspecError) as error:
                _log.warning("%s cannot be read: %s", path, error)
                continue
            if self._time_ns() - entry.since_ns <= _KEPT_NS:
                found[entry.fingerprint] = entry.since_ns
        return found

    def keep(self, entry: Quarantined) -> None:
        """Keep rows, and let the oldest go; a folder that refuses is logged."""
        data = msgspec.json.encode(entry)
        if len(data) > _FILE_BYTES:
            data = msgspec.json.encode(replace(entry, rows=()))
        place = self._place(entry.digest)
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(place / f"{entry.fingerprint}.json", data)
            for old in self._files(place)[:-_FILES]:
                old.unlink(missing_ok=True)
            folders = sorted((path for path in self._folder.iterdir() if path.is_dir()), key=_changed_ns)
            for folder in folders[:-_VERSIONS]:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            _log.error("an input cannot be kept in %s: %s", place, error.strerror)

    def _place(self, digest: str) -> Path:
        """Return the folder of a version."""
        return self._folder / digest.rpartition(":")[2]

    @staticmethod
    def _files(place: Path) -> list[Path]:
        """Return the files of a version, the oldest first."""
        return sorted(place.glob("*.json"), key=_changed_ns)


def _changed_ns(path: Path) -> int:
    """Return when a file was written; 0 if another process took it away."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
