"""The kit is itself tested: for each clause a log that breaks its promise is caught."""

# ruff: noqa: ANN401 - stand-ins pass calls on, whatever they are

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from kilter.contracts.prediction import SchemaRecord
from kilter.stores.segments import SegmentFolder, SegmentLog
from kilter.testing import log as kit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kilter.contracts.log import Room, SegmentInfo


class Log:
    """A log that passes everything on; the broken ones below change one thing."""

    def __init__(self, inner: SegmentLog) -> None:
        self.inner = inner

    def append(self, records: Any) -> None:
        self.inner.append(records)

    def sync(self) -> None:
        self.inner.sync()

    def end(self, *, older_than_s: float = 0.0) -> SegmentInfo | None:
        return self.inner.end(older_than_s=older_than_s)

    def seal(self) -> SegmentInfo | None:
        return self.inner.seal()

    def room(self) -> Room:
        return self.inner.room()

    def close(self) -> None:
        self.inner.close()


class Backwards(Log):
    def append(self, records: Any) -> None:
        super().append(list(reversed(records)))


class OneOnly(Log):
    seen = 0

    def append(self, records: Any) -> None:
        self.seen += 1
        if self.seen == 1:
            super().append(records)


class Nameless(Log):
    def append(self, records: Any) -> None:
        super().append([record for record in records if not isinstance(record, SchemaRecord)])


class AlwaysSealed(Log):
    def seal(self) -> SegmentInfo | None:
        super().append([kit.prediction(1)])
        return super().seal()


class LosesOnSync(Log):
    def sync(self) -> None:
        self.inner._forget()  # noqa: SLF001 - breaks on purpose


class SealsItself(Log):
    def append(self, records: Any) -> None:
        super().append(records)
        self.inner.seal()


class EndsLate(Log):
    def end(self, *, older_than_s: float = 0.0) -> SegmentInfo | None:
        """Forget to end anything."""


class Shows(SegmentFolder):
    def retire(self, segment: SegmentInfo) -> None:
        """Do nothing."""


class Keeps(SegmentFolder):
    def remove(self, segment: SegmentInfo) -> None:
        """Do nothing."""


def run(clause: Any, broken: Callable[[SegmentLog], Log], folder: Path, store: type[SegmentFolder]) -> None:
    ticks = count(kit.START_NS, 1_000_000)
    clause(lambda: broken(SegmentLog(folder, slot=0, clock_ns=lambda: next(ticks))), store(folder))


@pytest.mark.parametrize(
    ("clause", "broken", "store"),
    [
        (kit.records_are_read_back_in_order, OneOnly, SegmentFolder),
        (kit.one_append_takes_many, Backwards, SegmentFolder),
        (kit.a_seal_says_what_it_holds, OneOnly, SegmentFolder),
        (kit.an_open_segment_is_not_read, SealsItself, SegmentFolder),
        (kit.an_empty_seal_leaves_nothing, AlwaysSealed, SegmentFolder),
        (kit.writers_do_not_mix, SealsItself, SegmentFolder),
        (kit.every_segment_explains_itself, Nameless, SegmentFolder),
        (kit.a_removed_segment_is_gone, Log, Keeps),
        (kit.a_retired_segment_is_out_of_sight_until_it_is_swept, Log, Shows),
        (kit.an_ended_segment_is_sealed_by_the_next_sync, EndsLate, SegmentFolder),
        (kit.syncing_is_allowed_at_any_time, LosesOnSync, SegmentFolder),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_promise_is_caught(
    clause: kit.LogClause, broken: type[Log], store: type[SegmentFolder], tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match="promise broken"):
        run(clause, broken, tmp_path, store)


def test_every_clause_is_broken_above_and_holds_for_a_sound_log(tmp_path: Path) -> None:
    for i, clause in enumerate(kit.LOG):
        run(clause, Log, tmp_path / str(i), SegmentFolder)
