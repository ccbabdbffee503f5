"""Claims about answers that must be waited for, and about who answers instead. Real threads, no real model."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.prediction import Arm, EventRecord, Flag, PredictionRecord, RecordKind
from kilter.contracts.route import Route, RouteVariant
from kilter.contracts.signature import Column, ColumnType
from kilter.errors import DeadlineExceeded, ModelFailed, NotReady, Overloaded
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.testing.lanes import FATAL, ONE_NUMBER, REFUSED, ManualTime, ScriptedModel, ScriptedProcess, rows_of
from kilter.testing.meters import MemoryMeters
from kilter.testing.plane import MemoryLog, publish, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilter.contracts.signature import Signature
    from kilter.testing.estimators import Untyped

pytestmark = pytest.mark.anyio
PATIENCE_S = 20.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class _Plane:
    """A predictor whose versions are scripted: 1 to 9 in a process of their own, from 10 on on the event loop."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.blobs = MemoryBlobs()
        self.models: dict[str, ScriptedModel] = {}
        self.meters = MemoryMeters()
        clock = SystemClock()
        self.predictor = Predictor(
            journal=Journal(log=self.log, clock=clock),
            blobs=self.blobs,
            materialise=lambda _, name: name,
            formats=lambda _: self,
            clock=clock,
            ids=UuidSource(clock),
            meters=self.meters,
        )
        self._generation = 0

    def load(self, path: str, signature: Signature) -> ScriptedModel:
        del signature
        return self.models[path]

    def version(self, number: int, signature: Signature = ONE_NUMBER) -> RouteVariant:
        path = f"m{number}.formula"
        if path not in self.models:
            self.models[path] = ScriptedProcess(ManualTime()) if number < 10 else ScriptedModel()
        return publish(self.blobs, number=number, signature=signature, mode=f"m{number}")

    def model(self, number: int) -> ScriptedModel:
        return self.models[f"m{number}.formula"]

    def process(self, number: int) -> ScriptedProcess:
        model = self.model(number)
        assert isinstance(model, ScriptedProcess)
        return model

    def serve(self, *routes: Route) -> None:
        self._generation += 1
        self.predictor.prepare(table(self._generation, *routes))
        self.predictor.commit(self._generation)

    @property
    def records(self) -> list[PredictionRecord]:
        return [record for record in self.log.records if isinstance(record, PredictionRecord)]

    @property
    def events(self) -> list[str]:
        return [record.detail for record in self.log.records if isinstance(record, EventRecord)]

    async def until_broken(self, number: int, version: int | None = None, key: str | None = None) -> None:
        """Let a version's process fall until it counts as broken."""
        self.process(number).is_startable = False
        with pytest.raises(NotReady):
            await self.predictor.answer_later("d", rows_of(FATAL), version=version, routing_key=key)
        assert self.predictor.broken() == (("d", number),)


@pytest.fixture
def plane() -> Iterator[_Plane]:
    plane = _Plane()
    yield plane
    plane.predictor.close()


class _Gate:
    """Keeps a model busy until it is opened."""

    def __init__(self, model: ScriptedModel) -> None:
        self.entered, self._opened = threading.Event(), threading.Event()
        model.during = self._wait

    def _wait(self) -> None:
        self.entered.set()
        assert self._opened.wait(PATIENCE_S)

    async def until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, PATIENCE_S)

    def open(self) -> None:
        self._opened.set()


def _route(champion: RouteVariant, **options: Untyped) -> Route:
    return Route(deployment="d", champion=champion, deadline_ms=15_000, **options)


async def test_an_answer_from_a_process_is_on_record_with_its_times(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1)))
    assert not plane.predictor.is_immediate(plane.predictor.target("d"), 1)
    made = await plane.predictor.answer_later("d", rows_of(1.0, 4.0))
    assert made.values.tolist() == [2.0, 8.0]
    (record,) = plane.records
    assert (record.kind, record.prediction_id, record.rows, record.flags & Flag.FALLBACK) == (
        RecordKind.PREDICTION,
        made.prediction_id,
        2,
        0,
    )
    ((_, total_ns, compute_ns, queue_ns),) = plane.meters.by_series["d", "1", "champion", "http"].answers
    assert 0 < compute_ns < total_ns
    assert 0 < queue_ns < total_ns


async def test_requests_that_come_while_the_process_is_busy_are_run_together(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1)))
    model, gate = plane.model(1), _Gate(plane.model(1))
    first = asyncio.ensure_future(plane.predictor.answer_later("d", rows_of(1.0)))
    await gate.until_entered()
    others = [asyncio.ensure_future(plane.predictor.answer_later("d", rows_of(float(x)))) for x in (2, 3, 4)]
    gate.open()
    made = await asyncio.gather(first, *others)
    assert [prediction.values.tolist() for prediction in made] == [[2.0], [4.0], [6.0], [8.0]]
    assert model.calls[-1] == [2.0, 3.0, 4.0]
    assert len({prediction.prediction_id for prediction in made}) == 4


async def test_a_deployment_cannot_take_the_room_of_the_others(plane: _Plane) -> None:
    plane.serve(
        _route(plane.version(1), max_in_flight=2),
        Route(deployment="e", champion=plane.version(2), deadline_ms=15_000),
    )
    gate = _Gate(plane.model(1))
    waiting = [asyncio.ensure_future(plane.predictor.answer_later("d", rows_of(1.0))) for _ in range(2)]
    with pytest.raises(Overloaded, match="2 requests of `d`"):
        await plane.predictor.answer_later("d", rows_of(1.0))
    assert (await plane.predictor.answer_later("e", rows_of(5.0))).values.tolist() == [10.0]
    gate.open()
    await asyncio.gather(*waiting)
    assert (await plane.predictor.answer_later("d", rows_of(5.0))).values.tolist() == [10.0]


async def test_a_deadline_is_kept_although_the_process_hangs(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1)))
    gate = _Gate(plane.model(1))
    with pytest.raises(DeadlineExceeded):
        await plane.predictor.answer_later("d", rows_of(1.0), deadline_ms=20)
    gate.open()
    (record,) = plane.records
    assert (record.kind, record.error_code) == (RecordKind.FAILURE, "busy.deadline")
    assert record.numeric == rows_of(1.0).numeric.tobytes()


async def test_a_swap_lets_what_is_in_flight_finish_on_the_old_version(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1)))
    old, gate = plane.model(1), _Gate(plane.model(1))
    running = asyncio.ensure_future(plane.predictor.answer_later("d", rows_of(1.0)))
    await gate.until_entered()
    waiting = plane.predictor.answer_later("d", rows_of(2.0))
    plane.serve(_route(plane.version(2)))
    assert (await plane.predictor.answer_later("d", rows_of(3.0))).variant.number == 2
    assert old.closed == 0
    gate.open()
    made = [await running, await waiting]
    assert [(prediction.variant.number, prediction.values.tolist()) for prediction in made] == [(1, [2.0]), (1, [4.0])]
    for _ in range(2_000):
        if old.closed:
            break
        await asyncio.to_thread(threading.Event().wait, 0.005)
    assert old.closed == 1
    assert plane.records[-1].flags & Flag.LATE_GENERATION


async def test_a_failure_is_the_answer_unless_the_deployment_says_otherwise(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1), previous=plane.version(10), fallback="last_good", on_overload="fallback"))
    with pytest.raises(ModelFailed):
        await plane.predictor.answer_later("d", rows_of(REFUSED))
    assert [record.kind for record in plane.records] == [RecordKind.FAILURE]


@pytest.mark.parametrize("fallback", ["last_good", "d@10"])
async def test_an_open_deployment_answers_from_the_previous_version(plane: _Plane, fallback: str) -> None:
    plane.serve(_route(plane.version(1), previous=plane.version(10), fallback=fallback, on_error="open"))
    plane.model(1).during = _burst
    made = await plane.predictor.answer_later("d", rows_of(3.0))
    assert (made.is_fallback, made.variant.number, made.arm, made.values.tolist()) == (True, 10, Arm.FALLBACK, [6.0])
    failure, answer = plane.records
    assert (failure.kind, failure.version, failure.error_code) == (RecordKind.FAILURE, 1, "model.failed")
    assert (answer.kind, answer.version, bool(answer.flags & Flag.FALLBACK)) == (RecordKind.PREDICTION, 10, True)
    assert made.prediction_id == answer.prediction_id != failure.prediction_id
    assert ("d", "10", "fallback", "http") in plane.meters.by_series


def _burst() -> None:
    message = "the model raised"
    raise ModelFailed(message)


async def test_a_fallback_may_be_a_version_of_another_deployment(plane: _Plane) -> None:
    plane.serve(
        _route(plane.version(1), fallback="e@10", on_error="open"),
        Route(deployment="e", champion=plane.version(10)),
    )
    plane.model(1).during = _burst
    made = await plane.predictor.answer_later("d", rows_of(3.0))
    assert (made.deployment, made.variant.number, made.is_fallback) == ("d", 10, True)


async def test_a_fallback_in_a_process_is_waited_for(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1), previous=plane.version(2), fallback="last_good", on_error="open"))
    plane.model(1).during = _burst
    assert (await plane.predictor.answer_later("d", rows_of(3.0))).variant.number == 2
    plane.model(2).during = _burst
    with pytest.raises(ModelFailed):
        await plane.predictor.answer_later("d", rows_of(3.0))
    assert [record.kind for record in plane.records].count(RecordKind.FAILURE) == 3


async def test_a_constant_answers_instead_of_a_refusal(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1), max_in_flight=1, fallback="constant:-1.5", on_overload="fallback"))
    gate = _Gate(plane.model(1))
    waiting = asyncio.ensure_future(plane.predictor.answer_later("d", rows_of(1.0)))
    made = await plane.predictor.answer_later("d", rows_of(1.0, 2.0))
    assert (made.is_fallback, made.values.tolist()) == (True, [-1.5, -1.5])
    gate.open()
    assert not (await waiting).is_fallback
    assert [bool(record.flags & Flag.FALLBACK) for record in plane.records] == [True, False]


def test_an_inline_version_falls_back_at_once(plane: _Plane) -> None:
    plane.serve(_route(plane.version(10), previous=plane.version(11), fallback="last_good", on_error="open"))
    plane.model(10).during = _burst
    made = plane.predictor.answer("d", rows_of(3.0))
    assert (made.is_fallback, made.variant.number) == (True, 11)
    plane.model(11).during = _burst
    with pytest.raises(ModelFailed):
        plane.predictor.answer("d", rows_of(3.0))


def test_a_fallback_in_a_process_is_not_waited_for_by_the_loop(plane: _Plane) -> None:
    plane.serve(_route(plane.version(10), previous=plane.version(1), fallback="last_good", on_error="open"))
    plane.model(10).during = _burst
    with pytest.raises(ModelFailed):
        plane.predictor.answer("d", rows_of(3.0))


@pytest.mark.parametrize(
    ("fallback", "why"),
    [("e@3", "`e@3` is not loaded"), ("constant:often", "no answer of this model"), ("last_good", "")],
)
async def test_a_fallback_that_is_not_there_is_told_and_the_error_stays(plane: _Plane, fallback: str, why: str) -> None:
    plane.serve(_route(plane.version(1), fallback=fallback, on_error="open"))
    assert [why in event for event in plane.events] == [True] * bool(why)
    with pytest.raises(ModelFailed):
        await plane.predictor.answer_later("d", rows_of(REFUSED))


async def test_a_previous_version_with_other_columns_cannot_take_over(plane: _Plane) -> None:
    wider = replace(ONE_NUMBER, columns=(*ONE_NUMBER.columns, Column(name="z", type=ColumnType.FLOAT)))
    plane.serve(_route(plane.version(1), previous=plane.version(10, wider), fallback="last_good", on_error="open"))
    assert "needs columns" in plane.events[0]
    with pytest.raises(ModelFailed):
        await plane.predictor.answer_later("d", rows_of(REFUSED))


async def test_a_broken_challengers_traffic_goes_to_the_champion(plane: _Plane) -> None:
    plane.serve(_route(plane.version(10), challenger=plane.version(2), weight=10_000, salt="s", rollout_id="r"))
    await plane.until_broken(2)
    made = await plane.predictor.answer_later("d", rows_of(3.0))
    assert (made.variant.number, made.arm, made.is_fallback) == (10, Arm.CHAMPION, False)
    with pytest.raises(NotReady):
        await plane.predictor.answer_later("d", rows_of(3.0), version=2)


async def test_a_broken_champion_leaves_its_traffic_to_the_previous_version(plane: _Plane) -> None:
    plane.serve(
        _route(plane.version(1), previous=plane.version(2)),
        Route(deployment="e", champion=plane.version(3), deadline_ms=15_000),
    )
    await plane.until_broken(1)
    made = await plane.predictor.answer_later("d", rows_of(3.0))
    assert (made.variant.number, made.is_fallback) == (2, True)
    assert (await plane.predictor.answer_later("e", rows_of(3.0))).variant.number == 3


async def test_a_broken_champion_without_a_previous_version_is_not_ready(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1)))
    await plane.until_broken(1)
    with pytest.raises(NotReady, match="again and again"):
        await plane.predictor.answer_later("d", rows_of(3.0))


async def test_a_shadow_in_a_process_is_waited_for_beside_the_loop(plane: _Plane) -> None:
    plane.serve(_route(plane.version(10), shadow=plane.version(1), shadow_rate=10_000, salt="s"))
    answer = plane.predictor.answer("d", rows_of(3.0))
    assert await plane.predictor.run_shadow()
    assert not await plane.predictor.run_shadow()
    shadow = plane.records[-1]
    assert (shadow.kind, shadow.version, shadow.parent_id) == (RecordKind.SHADOW, 1, answer.prediction_id)
    assert np.frombuffer(shadow.raw).tolist() == [6.0]


async def test_a_shadow_whose_process_is_gone_is_dropped_and_counted(plane: _Plane) -> None:
    plane.serve(_route(plane.version(10), shadow=plane.version(1), shadow_rate=10_000, salt="s"))
    await plane.until_broken(1, version=1)
    plane.predictor.answer("d", rows_of(3.0))
    assert await plane.predictor.run_shadow()
    assert [record.kind for record in plane.records] == [RecordKind.PREDICTION]
    assert plane.meters.value("kilter_shadow_dropped_total", "d") == 1


async def test_a_durable_answer_is_waited_for_although_the_loop_runs_the_model(plane: _Plane) -> None:
    plane.serve(_route(plane.version(10), durable="disk"))
    assert not plane.predictor.is_immediate(plane.predictor.target("d"), 1)
    assert (await plane.predictor.answer_later("d", rows_of(3.0))).values.tolist() == [6.0]
    with pytest.raises(DeadlineExceeded):
        await plane.predictor.answer_later("d", rows_of(3.0), started_ns=1, deadline_ms=1)


def test_a_canary_is_immediate_only_if_both_sides_are(plane: _Plane) -> None:
    plane.serve(_route(plane.version(10), challenger=plane.version(1), weight=100, salt="s"))
    assert not plane.predictor.is_immediate(plane.predictor.target("d"), 1)
    assert plane.predictor.is_immediate(plane.predictor.target("d", 10), 1)


async def test_an_ending_plane_tells_what_waits(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1)))
    gate = _Gate(plane.model(1))
    running = asyncio.ensure_future(plane.predictor.answer_later("d", rows_of(1.0)))
    await gate.until_entered()
    waiting = asyncio.ensure_future(plane.predictor.answer_later("d", rows_of(2.0)))
    await asyncio.sleep(0)
    plane.predictor.close()
    with pytest.raises(NotReady, match="ending"):
        await waiting
    gate.open()
    assert (await running).values.tolist() == [2.0]


def _dies_once(model: ScriptedProcess) -> None:
    """Let the process die of its next call, whatever the rows."""

    def die() -> None:
        model.during = lambda: None
        model.die()
        message = "the model's process died"
        raise ModelFailed(message)

    model.during = die


async def test_only_a_request_whose_process_died_is_on_record_as_run_again(plane: _Plane) -> None:
    shadow = plane.version(10)
    plane.serve(_route(plane.version(1), shadow=shadow, shadow_rate=10_000))
    _dies_once(plane.process(1))
    for value in (4.0, 5.0):
        assert (await plane.predictor.answer_later("d", rows_of(value))).values.tolist() == [2 * value]
    with pytest.raises(ModelFailed, match="kept out"):
        await plane.predictor.answer_later("d", rows_of(FATAL))
    while await plane.predictor.run_shadow():
        pass
    seen = [(record.kind, bool(record.flags & Flag.RETRIED)) for record in plane.records]
    answers = [(RecordKind.PREDICTION, True), (RecordKind.PREDICTION, False), (RecordKind.FAILURE, True)]
    assert seen == [*answers, (RecordKind.SHADOW, False), (RecordKind.SHADOW, False)]


async def test_an_answer_instead_of_one_that_waits_says_whether_it_was_run_again(plane: _Plane) -> None:
    plane.serve(_route(plane.version(10), previous=plane.version(2), fallback="last_good", on_error="open"))
    plane.model(10).during = _burst
    _dies_once(plane.process(2))
    made = await plane.predictor.answer_later("d", rows_of(3.0))
    assert made.values.tolist() == [6.0]
    failure, answer = plane.records
    assert (failure.flags & Flag.RETRIED, answer.flags) == (0, failure.flags | Flag.FALLBACK | Flag.RETRIED)


@pytest.mark.parametrize("is_later", [False, True])
async def test_calls_on_the_event_loop_teach_how_many_rows_it_may_run(plane: _Plane, *, is_later: bool) -> None:
    plane.serve(_route(plane.version(10), challenger=plane.version(11), weight=0))
    target, many = plane.predictor.target("d"), rows_of(*range(100, 120))
    assert [plane.predictor.is_immediate(target, rows) for rows in (1, 16, 20)] == [True] * 3
    plane.model(10).during = lambda: time.sleep(0.004)
    for _ in range(50):
        made = await plane.predictor.answer_later("d", many) if is_later else plane.predictor.answer("d", many)
        assert made.values.tolist() == [2.0 * value for value in range(100, 120)]
    assert [plane.predictor.is_immediate(target, rows) for rows in (1, 16, 20)] == [True, True, False]


async def test_a_version_let_go_by_a_swap_is_not_for_the_event_loop(plane: _Plane) -> None:
    plane.serve(_route(plane.version(10)))
    old = plane.predictor.target("d")
    plane.serve(_route(plane.version(11)))
    assert not plane.predictor.is_immediate(old, 20)
    assert len(plane.predictor.answer(old, rows_of(*range(100, 120))).values) == 20


async def test_falls_and_kept_out_inputs_are_counted_once(plane: _Plane) -> None:
    plane.serve(_route(plane.version(1)), Route(deployment="e", champion=plane.version(10)))
    with pytest.raises(ModelFailed, match="kept out"):
        await plane.predictor.answer_later("d", rows_of(FATAL))
    for _ in range(2):
        plane.predictor.count_processes()
    assert plane.meters.value("kilter_worker_restarts_total", "d", "1") == 2
    assert plane.meters.value("kilter_quarantined_total", "d", "1") == 1
    assert plane.meters.value("kilter_worker_restarts_total", "e", "10") == 0
