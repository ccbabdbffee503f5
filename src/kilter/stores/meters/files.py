"""The meters of one process, and the sum over all processes of its node."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.contracts.meters import METRICS
from kilter.errors import StoreError
from kilter.stores._file import replace_file
from kilter.stores._process import born
from kilter.stores.meters._counters import SeriesCounters, SlotCounter
from kilter.stores.meters._file import OwnFile, OwnMemory
from kilter.stores.meters._folder import MeterFolder, file_name
from kilter.stores.meters._layout import OTHER, SERIES, SERIES_SLOTS, RowKind, kind_of, read_rows
from kilter.stores.meters._retired import add_up
from kilter.stores.meters._sums import all_statistics, statistics_of, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kilter.contracts.meters import Statistics, Total
    from kilter.stores.meters._layout import Key
    from kilter.stores.meters._retired import Counts

__all__ = ["MeterFiles"]

_log = logging.getLogger(__name__)

_RETRY_S = 5.0


class MeterFiles:
    """Counts in a file of its own, and reads those of all processes.

    Guarantees: those of ``Meters`` and ``MeterReader``. The file appears with the first counter that
    is asked for. It stays when the process ends, however that happens, until the node's supervisor
    has folded it. At most 2,048 sets of labels a process: what comes later, or finds the disk full,
    is counted under labels of ``other``. If the file cannot be made, the process counts in its own
    memory, and only its own sums hold that, until ``tend`` finds room for the file.

    Parameters
    ----------
    folder : str or Path
        Of the files of all processes of the node; made when something is first counted.
    clock_ns : callable
        Nanoseconds since the epoch; for the time of the last answer.
    is_mapped : bool, default True
        Count in the file as it is mapped. Whoever shortens such a file ends the process that counts in it
        (the kernel sends SIGBUS). False counts in memory, and ``fold`` writes the file.
    """

    def __init__(self, folder: str | Path, *, clock_ns: Callable[[], int], is_mapped: bool = True) -> None:
        self._folder = Path(folder)
        self._clock_ns = clock_ns
        self._all = MeterFolder(self._folder)
        self._is_mapped = is_mapped
        self._file: OwnMemory | None = None
        self._retry_at = 0.0
        self._series: dict[Key, SeriesCounters] = {}
        self._slots: dict[Key, SlotCounter] = {}
        self._lock = threading.Lock()
        self._is_full = False

    def series(self, deployment: str, version: str, arm: str, face: str) -> SeriesCounters:
        """Return the counters of requests; to be asked once and kept."""
        key = (SERIES, deployment, version, arm, face)
        found = self._series.get(key)
        return found if found is not None else self._new_series(key)

    def slot(self, name: str, *labels: str) -> SlotCounter:
        """Return a counter or gauge of ``METRICS``; to be asked once and kept.

        Raises
        ------
        ValueError
            If there is no such counter or gauge, or it has another number of labels.
        """
        found = self._slots.get((name, *labels))
        return found if found is not None else self._new_slot(name, labels)

    def totals(self) -> tuple[Total, ...]:
        """Return everything that was ever counted.

        Raises
        ------
        StoreError
            If the files of other processes cannot be read.
        """
        with self._reading():
            return totals_of(self._counts())

    def statistics(self, deployment: str, version: str | None = None) -> Statistics:
        """Return the totals of a deployment, or of one version.

        Raises
        ------
        StoreError
            As ``totals``.
        """
        with self._reading():
            return statistics_of(self._counts(), deployment, version)

    def all_statistics(self) -> Mapping[tuple[str, str], Statistics]:
        """Return the totals by deployment and version, read once.

        Raises
        ------
        StoreError
            As ``totals``.
        """
        with self._reading():
            return all_statistics(self._counts())

    def fold(self) -> None:
        """Take over what dead processes had counted; the supervisor calls it when one has died.

        What this process counts in memory of its own, because it is to map nothing, is written to its file.

        Raises
        ------
        StoreError
            If a file cannot be read or written; nothing is lost by that.
        """
        with self._writing():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._all.fold()
            with self._lock:
                if self._file is not None and not self._is_mapped:
                    replace_file(self._path(), self._file.content(), durable=False)

    def tend(self) -> None:
        """Try to have a file, every 5 s, if there was no room for it; to be called where counters are counted."""
        if not self._is_mapped or type(self._file) is not OwnMemory or time.monotonic() < self._retry_at:
            return
        with self._lock:
            try:
                self._move()
            except OSError:  # said already, when it was first tried
                self._retry_at = time.monotonic() + _RETRY_S
            else:
                _log.warning("the meters of this process have a file now")

    def close(self) -> None:
        """Let go of this process's file; what it counted stays."""
        with self._lock:
            if self._file is not None:
                self._file.close()

    def _new_series(self, key: Key) -> SeriesCounters:
        """Add a row for a series, or share that of all others."""
        with self._lock:
            file = self._opened()
            found = self._series.get(key)
            if found is None:
                slots = self._row(file, RowKind.SERIES, key, SERIES_SLOTS)
                if slots is None:
                    return self._series[_other(key)]
                found = self._series[key] = self._counters(slots, key[1:])
        return found

    def _new_slot(self, name: str, labels: tuple[str, ...]) -> SlotCounter:
        """Add a row for a counter or gauge, or share that of all others."""
        kind = kind_of(name)
        if kind is None or len(labels) != next(len(spec.labels) for spec in METRICS if spec.name == name):
            message = f"there is no counter or gauge `{name}` with {len(labels)} labels"
            raise ValueError(message)
        key = (name, *labels)
        with self._lock:
            file = self._opened()
            found = self._slots.get(key)
            if found is None:
                slots = self._row(file, kind, key, 1)
                if slots is None:
                    return self._slots[_other(key)]
                found = self._slots[key] = SlotCounter(slots)
        return found

    def _counters(self, slots: memoryview, labels: tuple[str, ...]) -> SeriesCounters:
        """Return the counters of a row; a failure is a counter of its own."""
        return SeriesCounters(slots, self._clock_ns, lambda code: self.slot("kilter_requests_total", *labels, code))

    def _row(self, file: OwnMemory, kind: RowKind, key: Key, slots: int) -> memoryview | None:
        """Add a row; None, and at the first time a line in the log, if there is no room."""
        try:
            return file.add(kind, key, slots)
        except OSError as error:
            if not self._is_full:
                _log.warning("no room for a counter of its own for %s (%s); nor for what follows", key, error.strerror)
            self._is_full = True
            return None

    def _opened(self) -> OwnMemory:
        """Return where this process counts, made if it is not there; it begins with a row for all others of a kind."""
        if self._file is not None:
            return self._file
        file = self._file = self._made()
        other = _other((SERIES, "", "", "", ""))
        self._series[other] = self._counters(file.add(RowKind.SERIES, other, SERIES_SLOTS), other[1:])
        for spec in METRICS:
            kind = kind_of(spec.name)
            if kind is not None:
                key = _other((spec.name, *spec.labels))
                self._slots[key] = SlotCounter(file.add(kind, key, 1))
        return file

    def _made(self) -> OwnMemory:
        """Return a new file, or memory where there is to be none or none can be made."""
        if self._is_mapped:
            try:
                file = self._new_file()
                file.show()
            except OSError as error:
                self._retry_at = time.monotonic() + _RETRY_S
                why = error.strerror or error
                _log.warning("no file for the meters in %s (%s): only this process shows them", self._folder, why)
            else:
                return file
        return OwnMemory(pid=os.getpid(), born=born(os.getpid()))

    def _new_file(self) -> OwnFile:
        """Make this process's file, not shown yet."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return OwnFile(self._path(), pid=os.getpid(), born=born(os.getpid()))

    def _move(self) -> None:
        """Count on in a file."""
        file = self._new_file()
        try:
            moves = [
                self._series[key].copied(file.add(RowKind.SERIES, key, SERIES_SLOTS)) for key in list(self._series)
            ]
            for key in list(self._slots):
                kind = kind_of(key[0])
                if kind is not None:
                    moves.append(self._slots[key].copied(file.add(kind, key, 1)))
            file.show()
        except OSError:
            file.drop()
            raise
        for move in moves:
            move()
        self._file, self._is_full = file, False

    def _path(self) -> Path:
        """Return where this process's file is."""
        return self._folder / file_name(os.getpid(), born(os.getpid()))

    def _counts(self) -> Counts:
        """Return the sum of all files, and of this process's memory if it counts there."""
        if not self._is_mapped or type(self._file) is not OwnMemory:
            return self._all.counts()
        with self._lock:  # nothing moves to a file meanwhile
            total = self._all.counts()
            if type(self._file) is OwnMemory:
                data = self._file.content()
                for kind, key, at, slots in read_rows(data, len(data)):
                    add_up(total, kind, key, memoryview(data)[at : at + 8 * slots].cast("Q").tolist())
            return total

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn the operating system's errors into StoreError."""
        try:
            yield
        except OSError as cause:
            message = "cannot write the meters"
            hint = "free space on the disk, or make the folder writable; see `kilter doctor`"
            raise StoreError(message, where=str(self._folder), why=cause.strerror or str(cause), hint=hint) from cause

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn the operating system's errors into StoreError."""
        try:
            yield
        except OSError as cause:
            message = "cannot read the meters"
            why = cause.strerror or str(cause)
            raise StoreError(message, where=str(self._folder), why=why, hint="make the folder readable") from cause


def _other(key: Key) -> Key:
    """Return the key under which whatever does not fit is counted."""
    return (key[0], *[OTHER] * (len(key) - 1))
