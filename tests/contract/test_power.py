"""Whatever moment the power fails, what was acknowledged at its level is found, and nothing is made up."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kilter.contracts.ids import Digest
from kilter.contracts.prediction import EventRecord, PredictionRecord
from kilter.contracts.route import Route, RouteVariant
from kilter.errors import JournalUnavailable
from kilter.services.journal import Journal
from kilter.stores.clock import SystemClock
from kilter.stores.segments import SegmentFolder, SegmentLog
from kilter.testing.log import START_NS, prediction, read_all, schema
from kilter.testing.power import PowerDisk

if TYPE_CHECKING:
    import pytest

LEVELS = ("disk", "process")
STEPS = st.one_of(
    st.tuples(st.just("disk"), st.integers(1, 6)),  # so many requests at once that wait for the device
    st.tuples(st.just("process"), st.integers(1, 6)),
    st.tuples(st.sampled_from(["turn", "wait", "seal", "tend"]), st.just(1)),
    st.tuples(st.sampled_from(["bad sync", "bad write"]), st.integers(1, 3)),
)


def route(level: str) -> Route:
    champion = RouteVariant(version=1, digest=Digest(schema().digest))
    return Route(deployment="ward", champion=champion, durable=level)


@dataclass
class World:
    """One serving process on a disk that will lose its power."""

    folder: Path
    seed: int
    moment: int
    numbers: count[int] = field(default_factory=lambda: count(1))
    sent: dict[str, PredictionRecord] = field(default_factory=dict)
    acknowledged: dict[str, list[str]] = field(default_factory=lambda: {level: [] for level in LEVELS})
    by_then: dict[str, list[str]] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = PowerDisk(Random(self.seed), moment=self.moment, at_cut=self._look)  # noqa: S311 - no secrets
        ticks = count(START_NS, 1_000_000)
        log = SegmentLog(
            self.folder / "before",
            slot=0,
            clock_ns=lambda: next(ticks),
            disk=self.disk,
            roll_bytes=3_000,
            keep_bytes=5_000,
        )
        self.journal = Journal(log=log, clock=SystemClock())

    def _look(self) -> None:
        self.by_then = {level: list(ids) for level, ids in self.acknowledged.items()}

    async def request(self, level: str) -> None:
        record = prediction(next(self.numbers), rows=1 + len(self.sent) % 3)
        self.sent[record.prediction_id] = record
        with contextlib.suppress(JournalUnavailable):
            self.journal.predicted(route(level), record)
            if level == "disk":
                await self.journal.durable(route(level))
            self.acknowledged[level].append(record.prediction_id)

    async def live(self, steps: list[tuple[str, int]]) -> None:
        with contextlib.suppress(JournalUnavailable):
            self.journal.describe(schema())
        for name, times in steps:
            with contextlib.suppress(JournalUnavailable):
                await self.do(name, times)
        await asyncio.gather(*self.tasks)
        with contextlib.suppress(JournalUnavailable):
            self.journal.close()

    async def do(self, name: str, times: int) -> None:
        if name in LEVELS:
            self.tasks += [asyncio.create_task(self.request(name)) for _ in range(times)]
            await asyncio.sleep(0)
        elif name == "bad sync":
            self.disk.failing_syncs = times
        elif name == "bad write":
            self.disk.failing_writes = times
        elif name == "wait":
            await asyncio.gather(*self.tasks)
        elif name == "seal":
            await self.journal.sealed()
        elif name == "tend":
            await self.journal.tend()
        else:
            await asyncio.sleep(0)

    def found(self, *, is_power_lost: bool) -> list[PredictionRecord]:
        """Recover what is left, twice, and check what must hold of all that is read."""
        after = self.folder / "after"
        after.mkdir()
        self.disk.leave(after, is_power_lost=is_power_lost)
        store = SegmentFolder(after)
        store.recover()
        assert store.recover() == ()
        records = read_all(store)
        predictions = [record for record in records if isinstance(record, PredictionRecord)]
        assert all(record == self.sent.get(record.prediction_id) for record in predictions)
        carried = [record for record in records if isinstance(record, EventRecord) and record.name == "log.carried"]
        twice = [name for name, times in Counter(record.prediction_id for record in predictions).items() if times > 1]
        assert not twice or carried
        return predictions


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEPS, min_size=3, max_size=14),
    moment=st.integers(1, 120),
    seed=st.integers(0, 2**32),
    is_power_lost=st.booleans(),
)
def test_nothing_acknowledged_is_lost_and_nothing_is_made_up(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int]],
    moment: int,
    seed: int,
    *,
    is_power_lost: bool,
) -> None:
    world = World(tmp_path_factory.mktemp("power"), seed, moment)
    asyncio.run(world.live(steps))
    ids = {record.prediction_id for record in world.found(is_power_lost=is_power_lost)}
    assert set(world.by_then["disk"]) <= ids
    if not is_power_lost:
        assert set(world.by_then["process"]) <= ids
