"""One record says how a deployment is."""

from __future__ import annotations

import pytest

from kilter.contracts.decision import OutboxEvent
from kilter.contracts.monitor import HealthState
from kilter.contracts.trigger import Trigger, TriggerState
from kilter.control.status import StatusReader
from kilter.errors import NotFound
from kilter.testing.panel import Panel, panel


@pytest.fixture
def app() -> Panel:
    return panel()


@pytest.fixture
def reader(app: Panel) -> StatusReader:
    return StatusReader(metadata=app.metadata, monitor=app.monitor, deployer=app.deployer)


def test_the_worst_comes_first(reader: StatusReader) -> None:
    assert [(item.deployment, item.state) for item in reader.every()] == [
        ("late-payment", HealthState.STOPPED),
        ("bike-hourly", HealthState.WATCH),
        ("churn", HealthState.UNKNOWN),
    ]


def test_a_status_holds_what_is_open_and_nothing_that_is_over(reader: StatusReader) -> None:
    status = reader.one("bike-hourly")
    assert [alert.id for alert in status.alerts] == ["alert_002"]
    assert status.rollout is not None
    assert status.rollout.id == "rollout_003"
    assert [hold.number for hold in status.holds] == [4]
    assert not status.is_busy


def test_an_undelivered_event_makes_busy(app: Panel, reader: StatusReader) -> None:
    now = app.clock.now()
    event = OutboxEvent(id="e", topic="t", subject="churn", payload={}, created_at=now, available_at=now)
    app.metadata.write(lambda tx: tx.add(event))
    assert (reader.one("churn").pending_events, reader.one("churn").is_busy) == (1, True)


def test_an_open_retraining_makes_busy(app: Panel, reader: StatusReader) -> None:
    now = app.clock.now()
    trigger = Trigger(
        id="trigger_1",  # type: ignore[arg-type]
        deployment="churn",
        parent=1,
        state=TriggerState.RUNNING,
        reason="asked",
        command="m:f",
        data_from=now,
        holdout_from=now,
        data_to=now,
        seed=0,
        requested_at=now,
        updated_at=now,
        deadline_at=now,
    )
    app.metadata.write(lambda tx: tx.add(trigger))
    status = reader.one("churn")
    assert status.trigger == trigger
    assert status.is_busy


def test_an_unknown_deployment_is_not_found_with_near_names(reader: StatusReader) -> None:
    with pytest.raises(NotFound) as caught:
        reader.one("bike-hour")
    assert caught.value.hint == "use `bike-hourly`"
