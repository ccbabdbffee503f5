"""The meters of one process, and the sum over all processes of its node."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.contracts.meters import METRICS
from kilter.errors import StoreError
from kilter.stores._process import born
from kilter.stores.meters._counters import SeriesCounters, SlotCounter
from kilter.stores.meters._file import OwnFile
from kilter.stores.meters._folder import MeterFolder, file_name
from kilter.stores.meters._layout import OTHER, SERIES, SERIES_SLOTS, RowKind, kind_of
from kilter.stores.meters._sums import all_statistics, statistics_of, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kilter.contracts.meters import Statistics, Total
    from kilter.stores.meters._layout import Key

__all__ = ["MeterFiles"]

_log = logging.getLogger(__name__)


class MeterFiles:
    """Counts in a file of its own, and reads those of all processes.

    Guarantees: those of ``Meters`` and ``MeterReader``. The file appears with the first counter that
    is asked for. It stays when the process ends, however that happens, until the node's supervisor
    has folded it. At most 2,048 sets of labels a process: what comes later, or finds the disk full,
    is counted under labels of ``other``.

    Parameters
    ----------
    folder : str or Path
        Of the files of all processes of the node; made when something is first counted.
    clock_ns : callable
        Nanoseconds since the epoch; for the time of the last answer.
    """

    def __init__(self, folder: str | Path, *, clock_ns: Callable[[], int]) -> None:
        self._folder = Path(folder)
        self._clock_ns = clock_ns
        self._all = MeterFolder(self._folder)
        self._file: OwnFile | None = None
        self._series: dict[Key, SeriesCounters] = {}
        self._slots: dict[Key, SlotCounter] = {}
        self._lock = threading.Lock()
        self._is_full = False

    def series(self, deployment: str, version: str, arm: str, face: str) -> SeriesCounters:
        """Return the counters of requests; to be asked once and kept.

        Raises
        ------
        StoreError
            If this process's file cannot be made, which only the first call of all meets.
        """
        key = (SERIES, deployment, version, arm, face)
        found = self._series.get(key)
        return found if found is not None else self._new_series(key)

    def slot(self, name: str, *labels: str) -> SlotCounter:
        """Return a counter or gauge of ``METRICS``; to be asked once and kept.

        Raises
        ------
        ValueError
            If there is no such counter or gauge, or it has another number of labels.
        StoreError
            If this process's file cannot be made, which only the first call of all meets.
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
            return totals_of(self._all.counts())

    def statistics(self, deployment: str, version: str | None = None) -> Statistics:
        """Return the totals of a deployment, or of one version.

        Raises
        ------
        StoreError
            As ``totals``.
        """
        with self._reading():
            return statistics_of(self._all.counts(), deployment, version)

    def all_statistics(self) -> Mapping[tuple[str, str], Statistics]:
        """Return the totals by deployment and version, read once.

        Raises
        ------
        StoreError
            As ``totals``.
        """
        with self._reading():
            return all_statistics(self._all.counts())

    def fold(self) -> None:
        """Take over what dead processes had counted; the supervisor calls it when one has died.

        Raises
        ------
        StoreError
            If a file cannot be read or written; nothing is lost by that.
        """
        with self._writing():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._all.fold()

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

    def _row(self, file: OwnFile, kind: RowKind, key: Key, slots: int) -> memoryview | None:
        """Add a row; None, and at the first time a line in the log, if there is no room."""
        try:
            return file.add(kind, key, slots)
        except OSError as error:
            if not self._is_full:
                _log.warning("no room for a counter of its own for %s (%s); nor for what follows", key, error.strerror)
            self._is_full = True
            return None

    def _opened(self) -> OwnFile:
        """Return this process's file, made if it is not there; it begins with a row for all others of a kind."""
        if self._file is not None:
            return self._file
        pid = os.getpid()
        since = born(pid)
        with self._writing():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = OwnFile(self._folder / file_name(pid, since), pid=pid, born=since)
            other = _other((SERIES, "", "", "", ""))
            self._series[other] = self._counters(file.add(RowKind.SERIES, other, SERIES_SLOTS), other[1:])
            for spec in METRICS:
                kind = kind_of(spec.name)
                if kind is not None:
                    key = _other((spec.name, *spec.labels))
                    self._slots[key] = SlotCounter(file.add(kind, key, 1))
        self._file = file
        return file

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
