"""People's answers to alerts."""

from __future__ import annotations

import pytest

from kilter.contracts.evidence import AuditRow
from kilter.contracts.monitor import Alert
from kilter.control.alert import Alerts
from kilter.errors import AlreadyFinal, NotFound
from kilter.testing.panel import Panel, panel


@pytest.fixture
def app() -> Panel:
    return panel()


@pytest.fixture
def alerts(app: Panel) -> Alerts:
    return Alerts(metadata=app.metadata, auditor=app.governance, ids=app.ids)


def test_an_acknowledged_alert_says_by_whom_and_leaves_evidence(app: Panel, alerts: Alerts) -> None:
    seen = alerts.acknowledge("alert_002", by="ann", now=app.clock.now(), reason="on it")
    assert seen.acknowledged_by == "ann"
    rows = app.metadata.read(lambda tx: tx.list(AuditRow, where={"action": "alert.acknowledged"}))
    assert [(row.by, row.subject, row.detail["reason"]) for row in rows] == [("ann", "bike-hourly", "on it")]


def test_the_first_to_acknowledge_stays(app: Panel, alerts: Alerts) -> None:
    alerts.acknowledge("alert_002", by="ann", now=app.clock.now())
    assert alerts.acknowledge("alert_002", by="bob", now=app.clock.now()).acknowledged_by == "ann"


def test_a_closed_alert_cannot_be_acknowledged(app: Panel, alerts: Alerts) -> None:
    with pytest.raises(AlreadyFinal):
        alerts.acknowledge("alert_001", by="ann", now=app.clock.now())


def test_an_unknown_alert_is_not_found(app: Panel, alerts: Alerts) -> None:
    with pytest.raises(NotFound):
        alerts.acknowledge("alert_999", by="ann", now=app.clock.now())


def test_a_fault_of_no_deployment_is_said_to_be_of_all(app: Panel, alerts: Alerts) -> None:
    fault = alerts.raise_fault("", "collect", error="disk full", now=app.clock.now())
    assert "all deployments" in fault.headline
    assert app.metadata.read(lambda tx: tx.get(Alert, fault.id)) == fault
