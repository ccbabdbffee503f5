# ruff: noqa: ARG002 - fakes take what their ports say
from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pytest

from kilter.contracts.arrays import Columns
from kilter.contracts.decision import Decision
from kilter.contracts.evidence import AuditRow
from kilter.contracts.executor import TrainingOutcome, TrainingTask
from kilter.contracts.ids import AlertId, DecisionId
from kilter.contracts.monitor import Alert, Severity
from kilter.contracts.signature import ColumnType
from kilter.contracts.spec import RetrainSpec
from kilter.contracts.table import Table
from kilter.contracts.trigger import Trigger, TriggerState
from kilter.contracts.verdict import VerdictState
from kilter.errors import Conflict, FormatError, Inconclusive, InvalidRequest, KilterError, NotFound, OnHold
from kilter.policy.rollout import start
from kilter.services.trainer import Trainer
from kilter.stores.memory import MemoryMetadata
from kilter.testing.rollouts import (
    START,
    Book,
    FormulaScorer,
    Gates,
    LoggedRow,
    LogTable,
    Notes,
    deployed,
    spec,
    version,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.contracts.metadata import WriteTx
    from kilter.contracts.rollout import Rollout

T = TypeVar("T")
NOW = START + timedelta(hours=2_000)


@dataclass
class Runner:
    """Implements ``Executor`` with an outcome set by hand."""

    result: TrainingOutcome | None = None
    is_lost: bool = False
    tasks: dict[str, TrainingTask] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, task: TrainingTask) -> None:
        self.tasks[task.id] = task

    def outcome(self, task_id: str) -> TrainingOutcome | None:
        if self.is_lost:
            message = "gone"
            raise NotFound(message)
        return self.result

    def cancel(self, task_id: str) -> None:
        self.cancelled.append(task_id)


@dataclass
class Tables:
    """Implements ``TableReader`` in memory."""

    files: dict[str, Columns] = field(default_factory=dict)

    def read(self, path: str) -> Table:
        columns = {"x": np.zeros(7), "y": np.zeros(7), "id": np.zeros(7)}
        return Table(name=path, rows=7, types={"x": ColumnType.FLOAT}, columns=columns, digest="")

    def to_arrow(self, table: Table) -> bytes:
        return b""

    def to_parquet(self, columns: Columns, path: str, types: Mapping[str, ColumnType] | None = None) -> None:
        self.files[path] = columns


@dataclass
class Starter:
    """Implements ``RolloutStarter`` by remembering, or refusing."""

    refusal: KilterError | None = None
    begun: list[int] = field(default_factory=list)

    def begin(self, deployment: str, number: int, *, origin: str, by: str, reason: str) -> Rollout:
        if self.refusal is not None:
            raise self.refusal
        self.begun.append(number)
        return start(
            f"ro_{by}",  # type: ignore[arg-type]
            deployment=deployment,
            champion=1,
            candidate=number,
            spec=spec().rollout,
            now=NOW,
            origin=origin,
            reason=reason,
        )


class Broken(Book):
    """A book that cannot read what was trained."""

    def register(self, *_args: object, **_kwargs: object) -> None:  # type: ignore[override]
        message = "no model in it"
        raise FormatError(message)


class World:
    """A deployment whose truth is x; a challenger of quality 1 knows it, the champion does not."""

    def __init__(
        self,
        *,
        promote: str = "auto",
        action: str = "ladder",
        quality: float = 1.0,
        n: int = 1_000,
        store: MemoryMetadata | None = None,
    ) -> None:
        self.store = store or MemoryMetadata()
        self.book = Book(self.store)
        self.book.add(version(1), version(2, origin="recalibrated", parent=1))
        retrain = RetrainSpec(command="training:train", promote=promote, action=action)
        wanted = spec()
        self.spec = replace(wanted, retrain=retrain, data=replace(wanted.data, reference="train.csv"))
        deployed(self.store, self.spec, champion=2)
        self.runner, self.tables, self.starter, self.gates = Runner(), Tables(), Starter(), Gates()
        self.scorer = FormulaScorer({1: 0.2, 2: 0.2, 3: quality})
        rng = np.random.default_rng(1)
        x = rng.integers(0, 2, n)
        self.log = LogTable(
            [
                LoggedRow(
                    at=START + timedelta(hours=place),
                    label=str(x[place]),
                    label_at=START + timedelta(hours=place),
                    x=float(x[place]),
                )
                for place in range(n)
            ]
        )
        self.service = self.serve(self.book)

    def serve(self, book: Book) -> Trainer:
        return Trainer(
            metadata=self.store,
            table=self.log,
            tables=self.tables,
            versions=book,
            scorer=self.scorer,
            gates=self.gates,
            executor=self.runner,
            rollouts=self.starter,
            auditor=Notes(),
            home="home",
            python_path="project",
        )

    def request(self, number: int = 1, by: str = "policy") -> Trigger:
        decision = Decision(
            id=DecisionId(f"dec_{number}"),
            key=str(number),
            deployment="d",
            kind="repair",
            reason="it fell",
            command="retrain",
            by=by,
            at=NOW,
        )
        return self.service.request(decision, now=NOW)

    def tick(self, hours: float = 0.0) -> Trigger:
        trigger = self.service.tick("d", NOW + timedelta(hours=hours))
        assert trigger is not None
        return trigger

    def trained(self) -> Trigger:
        self.request()
        self.tick()
        self.runner.result = TrainingOutcome(is_ok=True, model_path="home/tmp/m.joblib", message="")
        return self.tick()


def test_training_sees_older_rows_and_the_newest_are_kept_for_judging() -> None:
    world = World()
    trigger = world.request()
    assert (trigger.state, trigger.holdout_from) == (TriggerState.REQUESTED, START + timedelta(hours=700))
    assert world.tick().state is TriggerState.RUNNING
    table = world.tables.files["home/tmp/trg_1.parquet"]
    assert (sorted(table), np.asarray(table["x"]).size) == (["x", "y"], 707)
    task = world.runner.tasks["trg_1"]
    assert (task.command, task.request["target"], task.python_path) == ("training:train", "y", "project")


def test_fresh_training_leaves_the_reference_out() -> None:
    world = World(action="fresh")
    world.request()
    world.tick()
    assert np.asarray(world.tables.files["home/tmp/trg_1.parquet"]["x"]).size == 700


def test_a_better_challenger_goes_on_trial() -> None:
    world = World()
    candidate = world.trained()
    assert (candidate.state, candidate.candidate) == (TriggerState.CANDIDATE, 3)
    assert (world.book.registered[0].source, world.book.registered[0].trust) == ("home/tmp/m.joblib", True)
    done = world.tick()
    assert (done.state, world.starter.begun, world.gates.runs) == (TriggerState.ACCEPTED, [3], [3])
    assert np.asarray(world.tables.files["home/tmp/trg_1.holdout.parquet"]["x"]).size == 300
    assert world.service.tick("d", NOW) is None


def test_a_challenger_that_is_no_better_is_rejected() -> None:
    world = World(quality=0.2)
    world.trained()
    done = world.tick()
    assert (done.state, done.message.split(":")[0]) == (TriggerState.REJECTED, "non_inferior")


def test_an_equal_challenger_is_tried_while_an_alert_is_open() -> None:
    world = World(quality=0.2)
    alert = Alert(
        id=AlertId("alert_1"),
        deployment="d",
        number=2,
        family="performance",
        severity=Severity.PAGE,
        headline="",
        since=START,
        window=1,
        log_evidence=1.0,
        log_threshold=1.0,
        causes=(),
        suggestion="",
        opened_at=START,
        updated_at=START,
    )
    world.store.write(lambda tx: tx.add(alert))
    world.trained()
    assert world.tick().state is TriggerState.ACCEPTED


def test_gates_decide_over_the_comparison() -> None:
    world = World()
    world.gates.state = VerdictState.FAIL
    world.trained()
    assert world.tick().message.startswith("gates fail")
    assert world.starter.begun == []


@pytest.mark.parametrize(("promote", "state"), [("review", VerdictState.PASS), ("auto", VerdictState.INCONCLUSIVE)])
def test_a_person_decides_where_policy_may_not(promote: str, state: VerdictState) -> None:
    world = World(promote=promote)
    world.gates.state = state
    world.trained()
    done = world.tick()
    assert (done.state, world.starter.begun) == (TriggerState.ACCEPTED, [])
    assert "waits for a person" in done.message


def test_a_busy_deployment_is_awaited_and_a_hold_ends_it() -> None:
    world = World()
    world.trained()
    world.starter.refusal = Conflict("another rollout is open")
    assert world.tick().state is TriggerState.CANDIDATE
    world.starter.refusal = OnHold("held")
    assert world.tick().state is TriggerState.REJECTED


def test_a_failed_function_ends_the_request_with_its_words() -> None:
    world = World()
    world.request()
    world.tick()
    assert world.tick(1).state is TriggerState.RUNNING
    world.runner.result = TrainingOutcome(is_ok=False, model_path="", message="ValueError: no")
    failed = world.tick(2)
    assert (failed.state, failed.message) == (TriggerState.FAILED, "ValueError: no")


def test_a_model_that_cannot_be_read_fails_the_request() -> None:
    world = World()
    world.request()
    world.tick()
    world.runner.result = TrainingOutcome(is_ok=True, model_path="m.joblib", message="")
    world.service = world.serve(Broken(world.store))
    assert "cannot be used: no model in it" in world.tick().message


def test_training_that_takes_too_long_is_ended() -> None:
    world = World()
    world.request()
    world.tick()
    assert world.tick(24).state is TriggerState.EXPIRED
    assert world.runner.cancelled == ["trg_1"]


def test_training_lost_in_a_restart_starts_again() -> None:
    world = World()
    world.request()
    world.tick()
    world.runner.is_lost = True
    assert world.tick().state is TriggerState.REQUESTED
    assert world.tick().state is TriggerState.RUNNING


def test_one_request_is_open_at_a_time_and_one_decision_makes_one() -> None:
    world = World()
    first = world.request(1)
    assert world.request(1) == first
    assert world.request(2, by="me") == first


class Meddling(MemoryMetadata):
    """Somebody else writes first, once."""

    meddle: Callable[[], object] | None = None

    def write(self, fn: Callable[[WriteTx], T]) -> T:
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            meddle()
        return super().write(fn)


def test_of_two_requests_at_once_one_is_made() -> None:
    world = World(store=Meddling())
    assert isinstance(world.store, Meddling)
    world.store.meddle = lambda: world.request(2, by="me")
    assert world.request(1).id == "trg_2"
    assert len(world.store.read(lambda tx: tx.list(Trigger))) == 1


def test_a_step_that_somebody_else_took_is_taken_once() -> None:
    world = World(store=Meddling())
    assert isinstance(world.store, Meddling)
    world.request()
    world.store.meddle = world.tick
    assert world.tick().state is TriggerState.RUNNING
    assert [row.action for row in world.store.read(lambda tx: tx.list(AuditRow))].count("retrain.running") == 1


def test_without_a_function_or_labels_nothing_is_requested() -> None:
    with pytest.raises(Inconclusive, match="50 labelled rows"):
        World(n=50).request()
    world = World()
    state = world.service._deployment("d")  # noqa: SLF001
    changed = replace(state, spec=replace(world.spec, retrain=RetrainSpec()), version=2)
    world.store.write(lambda tx: tx.replace(changed))
    with pytest.raises(InvalidRequest, match="no training function"):
        world.request()


def test_labels_count_since_the_weights_were_registered() -> None:
    world = World()
    assert world.service.labels("d", START + timedelta(hours=10)) == 10
    with pytest.raises(NotFound):
        world.service.labels("nobody", NOW)


def test_nothing_to_judge_by_rejects_the_candidate() -> None:
    world = World()
    candidate = world.trained()
    world.log.logged.clear()
    assert candidate.state is TriggerState.CANDIDATE
    assert world.tick().message.startswith("inconclusive")


def test_times_stay_exact() -> None:
    world = World()
    assert isinstance(world.request().data_from, datetime)
    assert world.request().data_from == START
