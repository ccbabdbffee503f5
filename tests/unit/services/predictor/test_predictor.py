"""Claims about the predictor."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from kilter.contracts.batch import Batch
from kilter.contracts.calibration import CalibrationMap
from kilter.contracts.golden import GoldenRows
from kilter.contracts.prediction import Arm, Flag, PredictionRecord, RecordKind, SchemaRecord
from kilter.contracts.route import Route, RouteVariant
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import (
    ChecksumMismatch,
    DeadlineExceeded,
    FormatError,
    InvalidRequest,
    JournalUnavailable,
    ModelFailed,
    NotFound,
    NotReady,
    SchemaMismatch,
    WorldMoved,
)
from kilter.measures.calibration.beta import apply_scores
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.testing.meters import MemoryMeters
from kilter.testing.plane import MIXED, FormulaFormat, MemoryLog, publish, table

DROPPED = "kilter_shadow_dropped_total"


class _Plane:
    """A predictor and everything below it."""

    def __init__(self, shadow_limit: int = 8) -> None:
        self.log = MemoryLog()
        self.meters = MemoryMeters()
        self.blobs = MemoryBlobs()
        self.formats = FormulaFormat()
        clock = SystemClock()
        self.predictor = Predictor(
            journal=Journal(log=self.log, clock=clock),
            blobs=self.blobs,
            materialise=lambda _, name: name,
            formats=lambda _: self.formats,
            clock=clock,
            ids=UuidSource(clock),
            shadow_limit=shadow_limit,
            meters=self.meters,
        )

    def serve(self, route: Route, generation: int = 1) -> None:
        self.predictor.prepare(table(generation, route))
        self.predictor.commit(generation)

    @property
    def predictions(self) -> list[PredictionRecord]:
        return [record for record in self.log.records if isinstance(record, PredictionRecord)]


def _batch(rows: int = 1, *, age: float = 40.0, plan: str = "basic") -> Batch:
    numeric = np.tile(np.array([age, 3.0, 1.0, np.nan]), (rows, 1))
    text = np.empty((rows, 2), dtype=object)
    text[:] = [plan, None]
    return Batch(rows=rows, numeric=numeric, text=text)


@pytest.fixture
def plane() -> _Plane:
    return _Plane()


def test_an_answer_is_on_record_before_it_is_returned(plane: _Plane) -> None:
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs)))
    answer = plane.predictor.answer("churn", _batch(2), routing_key="u1", request_id="r-1")
    (record,) = plane.predictions
    assert (record.kind, record.prediction_id, record.rows) == (RecordKind.PREDICTION, answer.prediction_id, 2)
    assert np.frombuffer(record.raw).reshape(2, 2) == pytest.approx(answer.values)
    assert (record.entity_id, record.request_id, record.generation) == ("u1", "r-1", 1)
    assert isinstance(plane.log.records[0], SchemaRecord)
    assert answer.labels == [1, 1]


def test_before_the_first_table_nothing_is_ready(plane: _Plane) -> None:
    with pytest.raises(NotReady):
        plane.predictor.answer("churn", _batch())


def test_an_unknown_deployment_names_the_known_ones(plane: _Plane) -> None:
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs)))
    with pytest.raises(NotFound) as caught:
        plane.predictor.answer("chrun", _batch())
    assert "`churn`" in str(caught.value.hint)
    with pytest.raises(NotFound, match="version 9"):
        plane.predictor.answer("churn", _batch(), version=9)


def test_a_pinned_version_answers_outside_of_the_experiment(plane: _Plane) -> None:
    first, second = publish(plane.blobs), publish(plane.blobs, number=2)
    plane.serve(Route(deployment="churn", champion=first, previous=second))
    assert plane.predictor.answer("churn", _batch(), version=2).variant.number == 2
    assert plane.predictions[0].arm is Arm.PINNED


def test_a_withheld_deployment_does_not_answer_until_the_next_table(plane: _Plane) -> None:
    route = Route(deployment="churn", champion=publish(plane.blobs), previous=publish(plane.blobs, number=2))
    plane.serve(route)
    plane.predictor.withhold(frozenset({"churn", "nobody"}))
    assert plane.predictor.withheld == {"churn"}
    for version in (None, 2):
        with pytest.raises(NotReady, match="unloaded"):
            plane.predictor.answer("churn", _batch(), version=version)
    with pytest.raises(NotFound, match="version 9"):
        plane.predictor.target("churn", 9)
    assert plane.predictor.versions("churn") == (1, 2)
    plane.predictor.withhold(frozenset())
    assert plane.predictor.answer("churn", _batch()).generation == 1
    plane.predictor.withhold(frozenset({"churn"}))
    plane.serve(route, generation=2)
    assert plane.predictor.withheld == frozenset()
    assert plane.predictor.answer("churn", _batch()).generation == 2
    assert plane.formats.closed == 0


@pytest.mark.parametrize("mode", ["nan", "high", "short"])
@pytest.mark.parametrize("rows", [1, 3])
def test_an_illegal_answer_is_a_failure_on_record(plane: _Plane, mode: str, rows: int) -> None:
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs, mode=mode)))
    with pytest.raises(ModelFailed):
        plane.predictor.answer("churn", _batch(rows))
    (record,) = plane.predictions
    assert (record.kind, record.error_code, record.rows) == (RecordKind.FAILURE, "model.failed", rows)
    assert record.numeric == _batch(rows).numeric.tobytes()
    assert (record.text, record.raw, record.outputs) == (("basic", None) * rows, b"", b"")
    assert plane.predictor.failures == 1


@pytest.mark.parametrize(("version", "is_late"), [(1, False), (1, True), (None, True)])
def test_a_failure_keeps_personal_columns_from_the_log(plane: _Plane, *, version: int | None, is_late: bool) -> None:
    route = Route(
        deployment="churn", champion=publish(plane.blobs, mode="fine" if is_late else "nan"), redact=("plan",)
    )
    plane.serve(route)
    with pytest.raises(DeadlineExceeded if is_late else ModelFailed):
        plane.predictor.answer("churn", _batch(2), version=version, deadline_ms=0 if is_late else None)
    (record,) = plane.predictions
    assert (record.kind, record.text) == (RecordKind.FAILURE, (None,) * 4)
    assert record.numeric == _batch(2).numeric.tobytes()
    assert record.flags & Flag.INPUTS_REDACTED


def test_a_version_that_cannot_even_warm_up_is_refused_and_closed(plane: _Plane) -> None:
    route = Route(deployment="churn", champion=publish(plane.blobs, mode="raises"))
    with pytest.raises(ModelFailed):
        plane.predictor.prepare(table(1, route))
    assert plane.formats.closed == 1
    with pytest.raises(FormatError):
        plane.predictor.prepare(table(1, replace(route, champion=publish(plane.blobs, mode="broken"))))
    damaged = RouteVariant(version=1, digest=plane.blobs.put(b"{}"))
    with pytest.raises(FormatError, match="manifest"):
        plane.predictor.prepare(table(1, replace(route, champion=damaged)))


def test_golden_rows_must_be_repeated(plane: _Plane) -> None:
    def route(score: float) -> Route:
        rows = GoldenRows(numeric=((40.0, 3.0, 1.0, None),), text=(("basic", None),), raw=((1 - score, score),))
        return Route(deployment="churn", champion=publish(plane.blobs, golden=rows))

    with pytest.raises(ChecksumMismatch):
        plane.predictor.prepare(table(1, route(0.6)))
    plane.predictor.prepare(table(1, route(float(1 / (1 + np.exp(-0.11))))))
    assert plane.predictor.prepared == 1


def test_a_version_that_is_loaded_is_not_loaded_again(plane: _Plane) -> None:
    first, second = publish(plane.blobs), publish(plane.blobs, number=2)
    plane.serve(Route(deployment="churn", champion=first))
    plane.serve(Route(deployment="churn", champion=second, previous=first), 2)
    plane.serve(Route(deployment="churn", champion=first, previous=second), 3)
    assert (plane.formats.loads, plane.formats.closed) == (2, 0)
    plane.serve(Route(deployment="churn", champion=first), 4)
    assert plane.formats.closed == 1


def test_a_replaced_proposal_lets_go_of_what_only_it_wanted(plane: _Plane) -> None:
    first, second = publish(plane.blobs), publish(plane.blobs, number=2)
    plane.serve(Route(deployment="churn", champion=first))
    plane.predictor.prepare(table(2, Route(deployment="churn", champion=first, challenger=second)))
    plane.predictor.prepare(table(2, Route(deployment="churn", champion=first)))
    assert plane.formats.closed == 1


def test_only_the_prepared_generation_can_be_committed(plane: _Plane) -> None:
    with pytest.raises(WorldMoved):
        plane.predictor.commit(1)
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs)))
    with pytest.raises(WorldMoved):
        plane.predictor.prepare(table(1))


def test_the_same_bytes_may_serve_under_two_numbers(plane: _Plane) -> None:
    first = publish(plane.blobs)
    plane.serve(Route(deployment="churn", champion=first, previous=replace(first, version=5)))
    assert plane.formats.loads == 1
    assert plane.predictor.variant("churn", 5).name == "5"


def test_a_challenger_may_take_fewer_columns_in_another_order(plane: _Plane) -> None:
    columns = {column.name: column for column in MIXED.columns}
    fewer = replace(MIXED, columns=tuple(columns[name] for name in ("visits", "region", "age")))
    second = publish(plane.blobs, number=2, signature=fewer)
    route = Route(deployment="churn", champion=publish(plane.blobs), challenger=second, weight=10_000, salt="s")
    plane.serve(route)
    answer = plane.predictor.answer("churn", _batch())
    assert (answer.variant.number, answer.arm) == (2, Arm.CHALLENGER)
    assert np.frombuffer(plane.predictions[0].numeric).tolist() == [3.0, 40.0]
    assert plane.predictions[0].text == (None,)


def test_a_challenger_with_new_columns_is_refused(plane: _Plane) -> None:
    more = replace(MIXED, columns=(*MIXED.columns, Column(name="new", type=ColumnType.FLOAT)))
    route = Route(
        deployment="churn", champion=publish(plane.blobs), challenger=publish(plane.blobs, number=2, signature=more)
    )
    with pytest.raises(SchemaMismatch, match="new"):
        plane.predictor.prepare(table(1, route))
    assert plane.formats.closed == plane.formats.loads


def test_the_key_column_keeps_a_user_on_one_version(plane: _Plane) -> None:
    route = Route(deployment="churn", champion=publish(plane.blobs), key="plan")
    plane.serve(route)
    plane.predictor.answer("churn", _batch(plan="plus"))
    plane.serve(replace(route, key="age", redact=("age",)), 2)
    plane.predictor.answer("churn", _batch())
    plane.serve(replace(route, key="income"), 3)
    plane.predictor.answer("churn", _batch())
    plane.serve(replace(route, key="region"), 4)
    plane.predictor.answer("churn", _batch())
    plane.serve(replace(route, key="elsewhere"), 5)
    plane.predictor.answer("churn", _batch())
    assert [record.entity_id for record in plane.predictions] == ["plus", None, None, None, None]
    unsticky = [bool(record.flags & Flag.UNSTICKY) for record in plane.predictions]
    assert unsticky == [False, False, True, True, True]


def test_facts_about_the_inputs_are_flags_not_errors(plane: _Plane) -> None:
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs)))
    plane.predictor.answer("churn", _batch(age=500.0, plan="gold"), routing_key="u")
    flags = Flag(plane.predictions[0].flags)
    assert flags == Flag.OUT_OF_RANGE | Flag.UNSEEN_LEVEL | Flag.MISSING_FILLED


def test_scores_are_calibrated_and_the_raw_ones_kept(plane: _Plane) -> None:
    calibration = CalibrationMap(a=2.0, b=2.0, c=0.1, n=100)
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs, calibration=calibration)))
    for rows in (1, 2):
        answer = plane.predictor.answer("churn", _batch(rows))
        record = plane.predictions[-1]
        raw = np.frombuffer(record.raw).reshape(rows, 2)
        assert answer.values == pytest.approx(apply_scores(calibration, raw, 1))
        assert np.frombuffer(record.outputs).reshape(rows, 2) == pytest.approx(answer.values)


def test_a_late_answer_is_a_failure(plane: _Plane) -> None:
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs), deadline_ms=5))
    with pytest.raises(DeadlineExceeded):
        plane.predictor.answer("churn", _batch(), started_ns=1)
    assert plane.predictions[0].error_code == "busy.deadline"


def test_what_is_not_written_is_not_answered(plane: _Plane) -> None:
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs)))
    plane.log.refuses = JournalUnavailable("the disk is full")
    with pytest.raises(JournalUnavailable):
        plane.predictor.answer("churn", _batch())


def test_a_shadow_runs_later_and_names_its_parent(plane: _Plane) -> None:
    first, second = publish(plane.blobs), publish(plane.blobs, number=2)
    plane.serve(Route(deployment="churn", champion=first, shadow=second, shadow_rate=10_000))
    answer = plane.predictor.answer("churn", _batch(), routing_key="u")
    assert len(plane.predictions) == 1
    assert asyncio.run(plane.predictor.run_shadow())
    assert not asyncio.run(plane.predictor.run_shadow())
    shadow = plane.predictions[1]
    assert (shadow.kind, shadow.version, shadow.parent_id) == (RecordKind.SHADOW, 2, answer.prediction_id)
    assert shadow.arm is Arm.SHADOW


def test_a_failing_shadow_is_on_record_and_hurts_nobody(plane: _Plane) -> None:
    route = Route(deployment="churn", champion=publish(plane.blobs), shadow_rate=10_000)
    plane.serve(replace(route, shadow=publish(plane.blobs, number=2, mode="nan")))
    plane.predictor.answer("churn", _batch())
    assert asyncio.run(plane.predictor.run_shadow())
    assert [record.kind for record in plane.predictions] == [RecordKind.PREDICTION, RecordKind.FAILURE]


def test_shadows_that_do_not_fit_are_dropped_and_counted() -> None:
    plane = _Plane(shadow_limit=2)
    route = Route(deployment="churn", champion=publish(plane.blobs), shadow_rate=10_000)
    plane.serve(replace(route, shadow=publish(plane.blobs, number=2)))
    for _ in range(5):
        plane.predictor.answer("churn", _batch())
    assert (len(plane.predictor.shadows), plane.meters.value(DROPPED, "churn")) == (2, 3)
    plane.predictor.answer("churn", _batch(), version=1)
    assert plane.meters.value(DROPPED, "churn") == 3
    plane.serve(route, 2)
    assert asyncio.run(plane.predictor.run_shadow())
    assert [record.kind for record in plane.predictions].count(RecordKind.SHADOW) == 0


def test_unjudged_challengers_lose_their_share(plane: _Plane) -> None:
    first, second = publish(plane.blobs), publish(plane.blobs, number=2)
    past = datetime.now(tz=UTC) - timedelta(hours=1)  # noqa: TID251 - the system clock is under test
    route = Route(deployment="churn", champion=first, challenger=second, weight=10_000, judged_until=past)
    plane.serve(route)
    assert plane.predictor.answer("churn", _batch()).variant.number == 1


def test_regression_answers_values_and_refuses_infinite_ones(plane: _Plane) -> None:
    columns = (Column(name="x", type=ColumnType.FLOAT),)
    signature = Signature(task=Task.REGRESSION, target="y", columns=columns)
    golden = GoldenRows(numeric=((2.0,),), text=(), raw=((2.0,),))
    plane.serve(Route(deployment="price", champion=publish(plane.blobs, signature=signature, golden=golden)))
    batch = Batch(rows=2, numeric=np.array([[1.0], [3.0]]), text=np.empty((2, 0), dtype=object))
    answer = plane.predictor.answer("price", batch)
    assert (answer.values.tolist(), answer.labels) == ([1.0, 3.0], [])
    plane.serve(Route(deployment="price", champion=publish(plane.blobs, signature=signature, mode="nan")), 2)
    large = Batch(rows=1, numeric=np.array([[9.0]]), text=np.empty((1, 0), dtype=object))
    with pytest.raises(ModelFailed, match="finite"):
        plane.predictor.answer("price", large)


def test_the_most_likely_of_many_classes_is_decided(plane: _Plane) -> None:
    signature = Signature(
        task=Task.MULTICLASS, target="y", columns=(Column(name="x", type=ColumnType.FLOAT),), classes=("a", "b", "c")
    )
    plane.serve(Route(deployment="kind", champion=publish(plane.blobs, signature=signature)))
    batch = Batch(rows=1, numeric=np.array([[1.0]]), text=np.empty((1, 0), dtype=object))
    assert plane.predictor.answer("kind", batch).labels == [0]


def test_a_number_beyond_float32_is_the_callers_fault_where_the_model_fails_on_it(plane: _Plane) -> None:
    columns = (Column(name="x", type=ColumnType.FLOAT), Column(name="y", type=ColumnType.FLOAT))
    signature = Signature(task=Task.REGRESSION, target="z", columns=columns)
    golden = GoldenRows(numeric=((1.0, 1.0),), text=(), raw=((1.0,),))
    plane.serve(
        Route(deployment="price", champion=publish(plane.blobs, signature=signature, mode="nan", golden=golden))
    )
    large = Batch(rows=1, numeric=np.array([[1.0, -1e39]]), text=np.empty((1, 0), dtype=object))
    assert plane.predictor.answer("price", large).values.tolist() == [-5e38]  # this model can answer it
    large = large._replace(numeric=np.array([[9.0, 4e38]]))
    with pytest.raises(InvalidRequest, match=r"column `y` holds a number beyond 3\.4e38"):
        plane.predictor.answer("price", large)
    assert [record.kind for record in plane.predictions] == [RecordKind.PREDICTION]
    assert plane.predictor.failures == 0


def test_who_holds_a_version_that_a_swap_let_go_is_asked_to_come_again(plane: _Plane) -> None:
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs)))
    held = plane.predictor.target("churn")
    plane.serve(Route(deployment="churn", champion=publish(plane.blobs, number=2)), 2)

    async def ask() -> None:
        await plane.predictor.answer_later(held, _batch())

    with pytest.raises(NotReady, match="let go by a swap"):
        asyncio.run(ask())
