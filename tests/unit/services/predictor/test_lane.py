"""Claims about lanes: batches, deadlines, refusals, processes that die. No thread, no time but what is told."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.golden import GoldenRows
from kilter.contracts.prediction import Arm
from kilter.contracts.route import Route, RouteVariant
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import DeadlineExceeded, KilterError, ModelFailed, NotReady, Overloaded
from kilter.policy.batching import CostFit, largest_rows, observed
from kilter.policy.overload import QUEUE_ROWS
from kilter.policy.routing import Assignment
from kilter.services.predictor._call import Call
from kilter.services.predictor._lane import INLINE_S, SIDE_S, Lane, LaneKind, kind_of
from kilter.services.predictor._lane_poison import Poison, fingerprint
from kilter.services.predictor._lane_probe import Probe, plausible, probe
from kilter.services.predictor._lane_queue import JobQueue, size_of
from kilter.services.predictor._lane_thread import LaneThread
from kilter.services.predictor._snapshot import Target
from kilter.services.predictor._variant import Variant, load
from kilter.stores.memory import MemoryBlobs
from kilter.testing.lanes import (
    FATAL,
    ONE_NUMBER,
    REFUSED,
    ManualEvent,
    ManualExecutor,
    ManualTime,
    ScriptedFormat,
    ScriptedModel,
    ScriptedProcess,
    rows_of,
)
from kilter.testing.plane import publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.batch import Batch
    from kilter.contracts.quarantine import Quarantined
    from kilter.services.predictor._lane_queue import Job, Ran

NS = 1_000_000_000

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _variant(model: ScriptedModel, number: int = 1) -> Variant:
    blobs = MemoryBlobs()
    wanted = publish(blobs, number=number, signature=ONE_NUMBER)
    return load(wanted, blobs=blobs, materialise=lambda _, name: name, formats=lambda _: ScriptedFormat(model))


class _Shelf:
    """A quarantine in memory."""

    def __init__(self, known: dict[str, int] | None = None) -> None:
        self.kept: list[Quarantined] = []
        self._known = known or {}

    def known(self, digest: str) -> dict[str, int]:
        del digest
        return self._known

    def keep(self, entry: Quarantined) -> None:
        self.kept.append(entry)


@dataclass
class _Stand:
    """A lane and all that it needs; ``run`` takes the thread's turns."""

    model: ScriptedModel
    time: ManualTime
    fit: CostFit = field(default_factory=CostFit)
    kind: LaneKind = LaneKind.SIDE
    shelf: _Shelf = field(default_factory=_Shelf)
    redact: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.executor = ManualExecutor()
        self.thread = LaneThread("test", now_ns=self.time.now_ns, executor=self.executor)
        self.thread.closing = ManualEvent(self.time)
        self.closed: list[Lane] = []
        self.lane = self.another(self.model)
        self.model.calls.clear()

    def another(self, model: ScriptedModel, number: int = 1) -> Lane:
        variant = _variant(model, number)
        poison = Poison(variant.digest, time_ns=self.time.now_ns, shelf=self.shelf)
        timed = Probe(0.001, self.fit)
        return Lane(variant, self.kind, self.thread, probe=timed, poison=poison, on_closed=self.closed.append)

    def call(self, batch: Batch, *, within_s: float = 1.0, cap: int = 1_024, lane: Lane | None = None) -> Call:
        variant = (lane or self.lane).variant
        wanted = RouteVariant(version=variant.number, digest=variant.digest)
        route = Route(deployment="d", champion=wanted, max_rows=cap, redact=self.redact)
        target = Target(route, variant, 1, None, {}, (variant.digest, cap))
        now = self.time.ns
        return Call(
            target,
            variant,
            Assignment(wanted, Arm.CHAMPION, 1.0),
            "id",
            batch,
            batch,
            "key",
            "http",
            "",
            None,
            0,
            now,
            now + round(within_s * NS),
        )

    def enter(self, *values: float, within_s: float = 1.0, cap: int = 1_024, lane: Lane | None = None) -> Job:
        call = self.call(rows_of(*values), within_s=within_s, cap=cap, lane=lane)
        return (lane or self.lane).enter(call)

    async def outcome(self, job: Job) -> list[float] | KilterError:
        self.executor.run()
        await asyncio.sleep(0)
        try:
            ran: Ran = await job.future
        except KilterError as error:
            return error
        return [float(value) for value in ran.raw]

    async def outcomes(self, jobs: Sequence[Job]) -> list[list[float] | KilterError]:
        return [await self.outcome(job) for job in jobs]


def _linear(a: float, c: float) -> CostFit:
    fit = CostFit()
    for rows in (1, 64) * 3:
        fit = observed(fit, rows, a + c * rows)
    return fit


def _plain(a: float = 0.0, c: float = 0.001, *, fit: CostFit | None = None) -> _Stand:
    time = ManualTime()
    return _Stand(ScriptedModel(time, a=a, c=c), time, _linear(a, c) if fit is None else fit)


def _process(a: float = 0.0, c: float = 0.001, redact: tuple[str, ...] = ()) -> tuple[_Stand, ScriptedProcess]:
    time = ManualTime()
    model = ScriptedProcess(time, a=a, c=c)
    return _Stand(model, time, _linear(a, c), LaneKind.WORKER, redact=redact), model


async def test_what_waits_is_taken_together_and_answered_apart() -> None:
    stand = _plain()
    jobs = [stand.enter(1.0), stand.enter(2.0, 3.0), stand.enter(4.0)]
    assert await stand.outcomes(jobs) == [[2.0], [4.0, 6.0], [8.0]]
    assert stand.model.calls == [[1.0, 2.0, 3.0, 4.0]]
    assert (stand.lane.stats.batches, stand.lane.stats.batched_requests, stand.lane.stats.batched_rows) == (1, 3, 4)


async def test_a_batch_is_never_above_the_cap() -> None:
    stand = _plain(c=1e-6)
    jobs = [stand.enter(float(number), cap=3) for number in range(8)]
    assert await stand.outcomes(jobs) == [[number * 2.0] for number in range(8)]
    assert [len(call) for call in stand.model.calls] == [3, 3, 2]


async def test_a_batch_takes_no_more_than_fifty_milliseconds() -> None:
    stand = _plain(a=0.01, c=0.01)
    await stand.outcomes([stand.enter(float(number), within_s=10.0) for number in range(9)])
    assert [len(call) for call in stand.model.calls] == [4, 4, 1]


async def test_a_request_in_a_hurry_is_not_kept_by_others() -> None:
    stand = _plain(c=0.01)
    jobs = [stand.enter(1.0, within_s=9), stand.enter(2.0, within_s=0.045), stand.enter(3.0, within_s=9)]
    assert await stand.outcomes(jobs) == [[2.0], [4.0], [6.0]]
    assert [len(call) for call in stand.model.calls] == [2, 1]


async def test_the_cost_is_learned_from_calls() -> None:
    stand = _plain(c=0.01, fit=CostFit())
    for rows in (1, 4, 1, 4):
        await stand.outcome(stand.enter(*range(rows), within_s=9))
    await stand.outcomes([stand.enter(float(number), within_s=9) for number in range(12)])
    assert [len(call) for call in stand.model.calls[4:]] == [5, 5, 2]


async def test_one_failing_request_does_not_harm_its_neighbours() -> None:
    stand = _plain()
    first, second, third = await stand.outcomes([stand.enter(1.0), stand.enter(REFUSED), stand.enter(3.0)])
    assert (first, third) == ([2.0], [6.0])
    assert isinstance(second, ModelFailed)
    assert stand.model.calls == [[1.0, REFUSED, 3.0], [1.0], [REFUSED], [3.0]]


async def test_expired_work_is_not_run() -> None:
    stand = _plain()
    late, kept = stand.enter(1.0, within_s=0.5), stand.enter(2.0, within_s=5.0)
    stand.time.pass_s(0.6)
    assert await stand.outcome(kept) == [4.0]
    assert stand.model.calls == [[2.0]]
    assert not late.is_queued
    late.future.cancel()


async def test_a_deadline_that_passes_while_waiting_is_told_at_once() -> None:
    stand = _plain()
    job = stand.enter(1.0, within_s=0.0)
    with pytest.raises(DeadlineExceeded, match="`d`"):
        await job.future
    await asyncio.sleep(0)
    assert (stand.lane.stats.expired, stand.lane.queue.rows, stand.lane.queue.size_bytes) == (1, 0, 0)
    stand.executor.run()
    assert stand.model.calls == []


async def test_a_deadline_that_passes_during_a_rerun_spares_the_model() -> None:
    stand = _plain(c=0.2)
    first, second = stand.enter(REFUSED, within_s=0.5), stand.enter(2.0, within_s=0.5)
    stand.lane.fit = CostFit()
    assert isinstance(await stand.outcome(first), ModelFailed)
    assert isinstance(await stand.outcome(second), DeadlineExceeded)
    assert stand.model.calls == [[REFUSED, 2.0], [REFUSED]]


async def test_a_caller_who_left_costs_nothing() -> None:
    stand = _plain()
    waiting = asyncio.ensure_future(stand.lane.run(stand.call(rows_of(1.0))))
    await asyncio.sleep(0)
    assert stand.lane.queue.rows == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    stand.executor.run()
    assert (stand.model.calls, stand.lane.queue.rows) == ([], 0)


async def test_a_wait_beyond_the_deadline_is_refused_at_once() -> None:
    stand = _plain(c=0.1)
    kept = [stand.enter(float(number), within_s=9) for number in range(15)]
    refused = stand.enter(1.0, within_s=0.5).future.exception()
    assert isinstance(refused, Overloaded)
    assert refused.retry_after_s == 2
    assert stand.lane.stats.refused == 1
    await stand.outcomes(kept)


async def test_the_rest_of_the_running_batch_counts() -> None:
    stand = _plain(c=0.4)
    stand.lane.fit = _linear(0.0, 1.0)
    seen: list[bool] = []

    def meanwhile() -> None:
        stand.model.during = lambda: None
        seen.append(stand.enter(1.0, within_s=1.5).future.done())  # 0.6 s to go, and 1 s of its own
        seen.append(stand.enter(1.0, within_s=1.7).future.done())

    stand.model.during = meanwhile
    assert await stand.outcome(stand.enter(1.0)) == [2.0]
    assert seen == [True, False]


async def test_what_hangs_is_not_believed_to_end_soon() -> None:
    stand = _plain(c=5.0)
    stand.lane.fit = _linear(0.0, 0.01)
    seen: list[BaseException | None] = []

    def meanwhile() -> None:
        seen.append(stand.enter(1.0, within_s=1.0).future.exception())

    stand.model.during = meanwhile
    await stand.outcome(stand.enter(1.0, within_s=9))
    (error,) = seen
    assert isinstance(error, Overloaded)
    assert error.retry_after_s == 5


async def test_the_queue_is_bounded() -> None:
    stand = _plain(c=1e-9)
    kept = stand.enter(*range(QUEUE_ROWS), within_s=9, cap=65_536)
    refused = stand.enter(1.0, within_s=9)
    assert isinstance(refused.future.exception(), Overloaded)
    assert not kept.future.done()
    await stand.outcome(kept)


async def test_an_idle_lane_takes_what_is_predicted_to_be_late() -> None:
    stand = _plain(c=0.001)
    stand.lane.fit = _linear(0.0, 100.0)
    assert await stand.outcome(stand.enter(1.0)) == [2.0]


async def test_a_shadow_runs_only_when_nothing_else_waits() -> None:
    stand = _plain()
    shadow = stand.lane.enter(stand.call(rows_of(9.0)), is_shadow=True)
    jobs = [stand.enter(1.0), stand.enter(2.0)]
    assert stand.thread.ahead(stand.lane).rows == 2
    await stand.outcomes([*jobs, shadow])
    assert stand.model.calls == [[1.0, 2.0], [9.0]]


async def test_lanes_of_one_thread_take_turns() -> None:
    stand = _plain(c=0.01)
    other_model = ScriptedModel(stand.time, c=0.01)
    other = stand.another(other_model, number=2)
    other_model.calls.clear()
    order: list[str] = []
    stand.model.during = lambda: order.append("busy")
    other_model.during = lambda: order.append("other")
    busy = [stand.enter(float(number), within_s=9) for number in range(20)]
    few = stand.enter(1.0, within_s=9, lane=other)
    await stand.outcomes([*busy, few])
    assert order[:3] == ["busy", "other", "busy"]


async def test_a_busy_neighbour_delays_a_lane_by_turns_only() -> None:
    stand = _plain(c=0.01)
    other = stand.another(ScriptedModel(stand.time, c=0.01), number=2)
    busy = [stand.enter(float(number), within_s=20) for number in range(1_000)]
    assert isinstance(stand.enter(1.0, within_s=1.0).future.exception(), Overloaded)
    few = stand.enter(1.0, within_s=1.0, lane=other)
    assert await stand.outcome(few) == [2.0]
    await stand.outcomes(busy)


async def test_a_fault_of_a_model_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stand = _plain()

    def burst() -> None:
        stand.model.during = lambda: None
        message = "a plug-in's mistake"
        raise RuntimeError(message)

    stand.model.during = burst
    first, second = stand.enter(1.0, cap=1), stand.enter(2.0, cap=1)
    assert isinstance(await stand.outcome(first), ModelFailed)
    assert await stand.outcome(second) == [4.0]
    assert "fault in a lane" in caplog.text


async def test_a_retired_lane_finishes_its_work_before_it_closes() -> None:
    stand = _plain()
    job = stand.enter(1.0)
    stand.lane.retire()
    assert stand.model.closed == 0
    assert await stand.outcome(job) == [2.0]
    assert (stand.model.closed, stand.closed) == (1, [stand.lane])
    assert isinstance(stand.enter(1.0).future.exception(), NotReady)


async def test_an_idle_lane_closes_at_once() -> None:
    stand = _plain()
    stand.lane.retire()
    stand.lane.close()
    assert stand.model.closed == 1


async def test_closing_tells_what_waits() -> None:
    stand = _plain()
    job = stand.enter(1.0)
    stand.thread.close()
    stand.lane.close()
    await asyncio.sleep(0)
    assert isinstance(job.future.exception(), NotReady)
    assert stand.executor.is_shut


async def test_an_outcome_after_the_loop_is_gone_is_no_fault() -> None:
    stand = _plain()
    loop = asyncio.new_event_loop()
    job = replace(stand.enter(1.0), future=loop.create_future())
    loop.close()
    stand.lane.queue.take_all()
    stand.thread.put(stand.lane, job)
    stand.executor.run()
    assert job.is_settled


async def test_requests_in_flight_when_the_process_dies_are_run_again_alone() -> None:
    stand, model = _process()
    jobs = [stand.enter(1.0, within_s=9), stand.enter(FATAL, within_s=9), stand.enter(3.0, within_s=9)]
    first, second, third = await stand.outcomes(jobs)
    assert (first, third) == ([2.0], [6.0])
    assert isinstance(second, ModelFailed)
    assert "kept out" in second.message
    assert model.calls == [[1.0, FATAL, 3.0], [1.0], [FATAL], [3.0]]
    assert (model.falls, stand.lane.falls, stand.lane.stats.retried, stand.lane.stats.quarantined) == (2, 2, 3, 1)
    (kept,) = stand.shelf.kept
    assert (kept.rows, kept.deployment, kept.version) == (({"x": FATAL},), "d", 1)


async def test_what_killed_twice_is_refused_for_a_day_and_others_are_not() -> None:
    stand, model = _process()
    assert isinstance(await stand.outcome(stand.enter(FATAL, within_s=9)), ModelFailed)
    runs = len(model.calls)
    refused = stand.enter(FATAL, within_s=9).future.exception()
    assert isinstance(refused, ModelFailed)
    assert await stand.outcome(stand.enter(FATAL + 1)) == [2 * FATAL + 2]
    assert len(model.calls) == runs + 1
    stand.time.pass_s(24 * 3_600 + 1)
    assert not stand.enter(FATAL, within_s=9).future.done()


async def test_an_innocent_input_is_cleared_when_it_survives_alone() -> None:
    stand, _ = _process()
    await stand.outcomes([stand.enter(1.0, within_s=9), stand.enter(FATAL, within_s=9)])
    job = stand.enter(1.0, within_s=9)
    assert not job.is_alone
    await stand.outcome(job)


async def test_a_death_without_time_for_a_retry_is_remembered() -> None:
    stand, model = _process()
    error = await stand.outcome(stand.enter(FATAL, within_s=0.1))
    assert isinstance(error, ModelFailed)
    assert "died on this input" in error.message
    assert (model.falls, model.is_up, stand.shelf.kept) == (1, True, [])
    again = stand.enter(FATAL, within_s=0.1)
    assert again.is_alone
    assert "kept out" in str(await stand.outcome(again))


async def test_quarantine_outlives_the_process_and_hides_personal_columns() -> None:
    stand, model = _process(redact=("x",))
    await stand.outcome(stand.enter(FATAL, within_s=9))
    (kept,) = stand.shelf.kept
    assert kept.rows == ({"x": None},)
    known = _Shelf({kept.fingerprint: kept.since_ns})
    reborn = _Stand(model, stand.time, kind=LaneKind.WORKER, shelf=known)
    assert isinstance(reborn.enter(FATAL).future.exception(), ModelFailed)


async def test_a_process_that_died_idle_is_started_for_the_next_request() -> None:
    stand, model = _process()
    model.die()
    assert isinstance(stand.enter(1.0, within_s=0.05).future.exception(), NotReady)
    assert stand.executor.run() == 1
    assert (model.is_up, model.starts) == (True, 1)
    assert await stand.outcome(stand.enter(1.0)) == [2.0]


async def test_five_falls_in_a_minute_are_broken_and_tell_what_waits() -> None:
    stand, model = _process()
    job = stand.enter(FATAL, within_s=50)
    starts = model.revive

    def revive() -> None:  # it comes up only when there is nobody left to serve
        model.is_startable = job.is_settled
        starts()

    model.revive = revive  # type: ignore[method-assign]
    assert isinstance(await stand.outcome(job), NotReady)
    assert (stand.lane.is_broken, stand.lane.falls) == (True, 5)
    assert isinstance(stand.enter(1.0, within_s=9).future.exception(), NotReady)
    stand.time.pass_s(61)
    assert not stand.lane.is_broken
    assert await stand.outcome(stand.enter(1.0, within_s=9)) == [2.0]


async def test_a_call_may_keep_its_process_for_twice_the_deadline_and_five_seconds_at_least() -> None:
    stand, model = _process()
    await stand.outcome(stand.enter(1.0, within_s=1.0))
    await stand.outcomes([stand.enter(1.0, within_s=1.0), stand.enter(1.0, within_s=10.0)])
    assert model.patiences[-2:] == [pytest.approx(6.0), pytest.approx(30.0)]


async def test_a_batch_whose_process_dies_in_its_rerun_waits_for_the_next_one() -> None:
    stand, _ = _process()
    jobs = [stand.enter(value, within_s=9) for value in (REFUSED, FATAL, 5.0)]
    refused, fatal, last = await stand.outcomes(jobs)
    assert isinstance(refused, ModelFailed)
    assert isinstance(fatal, ModelFailed)
    assert last == [10.0]


def test_a_fingerprint_names_rows_and_version() -> None:
    rows = rows_of(1.0, float("nan"), 0.0)
    assert fingerprint("a", rows) == fingerprint("a", rows_of(1.0, -float("nan"), -0.0))
    assert fingerprint("a", rows) != fingerprint("b", rows)
    assert fingerprint("a", rows) != fingerprint("a", rows_of(1.0, 0.0, float("nan")))
    texts = [np.array([[left, right]], dtype=object) for left, right in (("ab", "c"), ("a", "bc"), (None, "abc"))]
    assert len({fingerprint("a", rows._replace(text=text)) for text in texts}) == 3


def test_only_ten_thousand_inputs_are_remembered() -> None:
    stand, _ = _process()
    poison = Poison("d", time_ns=stand.time.now_ns)
    for number in range(10_001):
        poison.died(stand.call(rows_of(float(number))), is_alone=True)
    assert not poison.is_suspect(rows_of(0.0))
    assert poison.is_suspect(rows_of(1.0))


@pytest.mark.parametrize(
    ("single_s", "kind", "is_immediate"),
    [(INLINE_S, LaneKind.INLINE, True), (SIDE_S, LaneKind.SIDE, False), (SIDE_S * 1.01, LaneKind.THREAD, False)],
)
def test_the_cost_of_a_row_decides_where_a_version_runs(single_s: float, kind: LaneKind, *, is_immediate: bool) -> None:
    time = ManualTime()
    variant = _variant(ScriptedModel(time, c=single_s))
    timed = probe(variant, now_ns=time.now_ns)
    assert timed.single_s == pytest.approx(single_s)
    assert kind_of(variant, timed._replace(single_s=single_s)) is kind
    thread = LaneThread("test", executor=ManualExecutor())
    lane = Lane(variant, kind, thread, probe=timed, poison=Poison("d", time_ns=time.now_ns))
    assert lane.is_immediate(1) is is_immediate
    assert not lane.is_immediate(11)


def test_the_loop_runs_no_call_that_is_predicted_to_keep_it_for_two_milliseconds() -> None:
    time = ManualTime()
    variant = _variant(ScriptedModel(time, a=1e-4, c=1e-5))
    thread = LaneThread("test", executor=ManualExecutor())
    timed = probe(variant, now_ns=time.now_ns)
    lane = Lane(variant, LaneKind.INLINE, thread, probe=timed, poison=Poison("d", time_ns=time.now_ns))
    assert lane.immediate_rows in (189, 190)


def test_what_calls_cost_later_decides_how_much_the_loop_runs() -> None:
    time = ManualTime()
    variant = _variant(ScriptedModel(time, a=1e-4, c=1e-5))
    timed, poison = probe(variant, now_ns=time.now_ns), Poison("d", time_ns=time.now_ns)
    thread = LaneThread("test", executor=ManualExecutor())
    inline, side = (
        Lane(variant, kind, thread, probe=timed, poison=poison) for kind in (LaneKind.INLINE, LaneKind.SIDE)
    )
    for lane in (inline, side):
        for rows in (20, 100) * 500:
            lane.learn(rows, 1e-4 + 4e-5 * rows)
    assert 40 < inline.immediate_rows < 52
    assert side.immediate_rows == 0


def _mixed(golden: GoldenRows | None = None) -> Variant:
    blobs = MemoryBlobs()
    columns = (
        Column(name="a", type=ColumnType.FLOAT, low=-8e307, high=8e307),
        Column(name="b", type=ColumnType.INTEGER, low=3.0),
        Column(name="c", type=ColumnType.FLOAT, high=-5.0),
        Column(name="d", type=ColumnType.TEXT, levels=("x", "y", "z")),
        Column(name="e", type=ColumnType.TEXT, levels=("u", "v")),
        Column(name="f", type=ColumnType.TEXT),
    )
    signature = Signature(task=Task.REGRESSION, target="y", columns=columns)
    wanted = publish(blobs, signature=signature, golden=golden)
    model = ScriptedModel(ManualTime())
    return load(wanted, blobs=blobs, materialise=lambda _, name: name, formats=lambda _: _Any(model))


class _Any:
    """A format whose every file is one given model, whatever it takes."""

    def __init__(self, model: ScriptedModel) -> None:
        self._model = model

    def load(self, path: str, signature: Signature) -> ScriptedModel:
        del path, signature
        return self._model


def test_rows_for_timing_are_unlike_one_another_and_the_same_every_time() -> None:
    variant = _mixed()
    rows, again = plausible(variant, 64), plausible(variant, 64)
    numeric, text = np.asarray(rows.numeric), np.asarray(rows.text)
    assert numeric.tobytes() == np.asarray(again.numeric).tobytes()
    assert len(np.unique(numeric[:, 0])) == 64
    assert np.isfinite(numeric).all()
    assert (set(numeric[:, 1]), set(numeric[:, 2])) == ({3.0}, {-5.0})  # nothing beyond the one end that is known
    assert {tuple(cells) for cells in text.tolist()} == {(d, e, "") for d in "xyz" for e in "uv"}


@pytest.mark.parametrize(("distinct", "kept"), [(7, 7), (40, 40), (90, 64)])
def test_golden_rows_are_what_is_timed_if_there_are_enough(distinct: int, kept: int) -> None:
    numbers = [100.0 + number % distinct for number in range(2 * distinct)]
    golden = GoldenRows(
        numeric=tuple((number, None, -5.5) for number in numbers),
        text=tuple(("x", None, "t") for _ in numbers),
        raw=tuple((2 * number,) for number in numbers),
    )
    variant = _mixed(golden)
    assert variant.samples is not None
    assert variant.samples.rows == kept
    rows = plausible(variant, 100)
    found = np.asarray(rows.numeric)[:, 0].tolist()
    assert (found == [100.0 + number % kept for number in range(100)]) is (distinct >= 8)
    assert (rows.rows, np.asarray(rows.text).shape, len(set(found)) >= kept) == (100, (100, 3), True)


def test_each_call_that_is_timed_begins_with_another_row() -> None:
    time = ManualTime()
    model = ScriptedModel(time, a=1e-5)
    columns = (Column(name="x", type=ColumnType.FLOAT, low=0.0, high=1.0),)
    wanted = publish(blobs := MemoryBlobs(), signature=Signature(task=Task.REGRESSION, target="y", columns=columns))
    variant = load(wanted, blobs=blobs, materialise=lambda _, name: name, formats=lambda _: _Any(model))
    model.calls.clear()
    probe(variant, now_ns=time.now_ns)
    assert len({call[0] for call in model.calls if len(call) == 1}) == 15
    assert len(set(model.calls[-1])) == 64


def test_an_isolated_model_has_a_thread_of_its_own_whatever_it_costs() -> None:
    time = ManualTime()
    variant = _variant(ScriptedProcess(time))
    assert kind_of(variant, probe(variant, now_ns=time.now_ns)) is LaneKind.WORKER


def test_probing_a_slow_model_is_bounded() -> None:
    time = ManualTime()
    model = ScriptedModel(time, c=0.5)
    variant = _variant(model)
    model.calls.clear()
    before = time.now_s()
    assert probe(variant, now_ns=time.now_ns).single_s == pytest.approx(0.5)
    assert [len(call) for call in model.calls] == [1, 2]
    assert time.now_s() - before == pytest.approx(1.5)


def test_an_empty_queue_gives_nothing() -> None:
    queue = JobQueue()
    assert queue.take(CostFit(), 0) == []
    assert queue.take_all() == []
    assert not queue


def test_the_size_of_rows_counts_their_texts() -> None:
    rows = rows_of(1.0)._replace(text=np.array([["abc", None]], dtype=object))
    assert size_of(rows) == 8 + 3 + 2 * 64


class _Traffic:
    """Arrivals by a Poisson process, also while the model runs; what came of them."""

    def __init__(self, stand: _Stand, rate: float, within_s: float) -> None:
        self._stand, self._rate, self._within_s = stand, rate, within_s
        self._random = random.Random(0)  # noqa: S311 - arrivals, not secrets
        self._next_ns = float(stand.time.ns)
        self.jobs: list[Job] = []
        stand.model.during = self.catch_up

    def catch_up(self) -> None:
        """Let in what arrived until now, each at its time."""
        now_ns = self._stand.time.ns
        while self._next_ns < now_ns:
            self.arrive()
        self._stand.time.ns = now_ns

    def arrive(self) -> None:
        """Let the next one in."""
        self._stand.time.ns = round(self._next_ns)
        self._next_ns += self._random.expovariate(self._rate) * NS
        self.jobs.append(self._stand.enter(1.0, within_s=self._within_s))

    async def run(self, seconds: float) -> tuple[int, int]:
        """Let it come for so long; return how many were answered in time, and how many refused."""
        end_ns = self._stand.time.ns + seconds * NS
        while self._stand.time.ns < end_ns:
            if not self._stand.lane.queue:
                self.arrive()
            self._stand.lane.turn()
            self._stand.thread._settle_current()  # noqa: SLF001 - the turns are taken by hand
            await asyncio.sleep(0)
        errors = [job.future.exception() for job in self.jobs if job.future.done()]
        answered = sum(job.is_settled for job in self.jobs)
        return answered, sum(isinstance(error, Overloaded) for error in errors)


@pytest.mark.parametrize(
    ("a", "c", "slower", "share"),
    [(0.02, 0.001, 1.0, 0.95), (0.0, 0.005, 1.0, 0.95), (0.1, 0.001, 1.0, 0.9), (0.02, 0.001, 2.0, 0.8)],
)
@pytest.mark.parametrize("load", [1.5, 3.0])
async def test_overload_costs_no_throughput(a: float, c: float, slower: float, share: float, load: float) -> None:
    """``slower``: how much longer calls take than was learned, as on a machine that is suddenly shared."""
    stand = _plain(a=a * slower, c=c * slower, fit=_linear(a, c))
    full = largest_rows(_linear(a * slower, c * slower), 9.0, 1_024)
    capacity = full / ((a + c * full) * slower)
    answered, refused = await _Traffic(stand, load * capacity, 1.0).run(10.0)
    assert answered >= share * capacity * 10
    assert refused > 0
