from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.ids import AlertId, Digest
from kilter.contracts.monitor import Severity, Window
from kilter.contracts.reading import Reading
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.contracts.spec import MonitorSpec
from kilter.measures.profile.reference import build
from kilter.measures.signals import Evidence
from kilter.policy.judgement import History, families, judge

if TYPE_CHECKING:
    from kilter.contracts.monitor import Alert
    from kilter.policy.judgement import Judged


AT = datetime(2026, 1, 1, tzinfo=UTC)
P = np.linspace(0.01, 0.99, 400)
SIGNATURE = Signature(
    task=Task.BINARY,
    target="y",
    columns=(Column(name="a", type=ColumnType.FLOAT),),
    classes=("no", "yes"),
    positive="yes",
)
LABELS = (np.random.default_rng(0).random(400) < P).astype(float)
REFERENCE = build(SIGNATURE, {"a": P}, np.column_stack([1 - P, P]), LABELS)


def window(hour: int) -> Window:
    area = Reading(metric="roc_auc_score", estimate=0.84, low=0.83, high=0.85, n=900)
    return Window(
        id=f"{hour}",
        deployment="d",
        number=1,
        start_at=AT + timedelta(hours=hour),
        end_at=AT + timedelta(hours=hour + 1),
        rows=900,
        profile=Digest(""),
        readings=(),
        is_mature=True,
        realised=(area,),
    )


WINDOWS = tuple(window(hour) for hour in (9, 8, 7, 6))


def run(
    family: str,
    log_e: float,
    *,
    alerts: tuple[Alert, ...] = (),
    is_champion: bool = True,
    windows: tuple[Window, ...] = WINDOWS,
) -> Judged:
    return judge(
        [Evidence(family=family, name="all above", log_e=log_e)],
        History(signals=(), alerts=alerts, windows=windows, mature=windows),
        reference=REFERENCE,
        spec=MonitorSpec(),
        deployment="d",
        number=1,
        is_champion=is_champion,
        ordinal=lambda one: int(one.id),
        area=lambda chosen: chosen[0].realised[0],
        at=AT,
        new_id=lambda: AlertId("alert_1"),
    )


def test_a_version_shares_its_budget_among_what_can_be_tested() -> None:
    assert set(families(REFERENCE)) == {
        "performance",
        "calibration",
        "operational",
        "score_drift",
        "feature_drift",
        "input_health",
    }
    number = Signature(task=Task.REGRESSION, target="y", columns=())
    assert set(families(build(number, {}, np.zeros(60), None))) == {"operational", "score_drift"}


def test_an_alarm_is_drafted_with_its_start_and_suggestion() -> None:
    (change,) = run("calibration", 40.0).changes
    assert change.kind == "opened"
    assert change.alert.since == AT + timedelta(hours=9)
    assert change.alert.window == 9
    assert change.alert.suggestion == "recalibrate"


def test_a_calm_window_changes_signals_only() -> None:
    judged = run("score_drift", -1.0)
    assert len(judged.signals) == 1
    assert judged.changes == ()


def test_versions_that_no_longer_answer_raise_no_alert() -> None:
    assert run("calibration", 40.0, is_champion=False).changes == ()


def test_windows_before_the_alarm_do_not_close_it() -> None:
    (change,) = run("calibration", 40.0).changes
    calm = Reading(metric="calibration_error", estimate=0.0, low=0.0, high=0.01, n=900)
    good = tuple(replace(one, realised=(calm,)) for one in WINDOWS)
    late = replace(change.alert, window=8)
    early = replace(change.alert, window=5)
    assert run("calibration", -1.0, alerts=(late,), windows=good).changes == ()
    (closed,) = run("calibration", -1.0, alerts=(early,), windows=good).changes
    assert closed.kind == "closed"
    assert run("performance", -1.0, alerts=(early,), windows=good).changes == ()


def test_a_surge_of_missing_values_is_repaired_before_the_model() -> None:
    (change,) = run("calibration", 40.0).changes
    surge = replace(change.alert, id=AlertId("alert_0"), family="input_health", severity=Severity.WARN)
    (opened,) = run("calibration", 40.0, alerts=(surge,)).changes
    assert opened.alert.suggestion == "fix the feed"


def test_an_outage_that_leaves_no_rows_is_drafted_from_its_own_window() -> None:
    silent = replace(WINDOWS[0], rows=0, realised=())
    (change,) = run("operational", 40.0, windows=(silent, *WINDOWS[1:])).changes
    assert (change.alert.family, change.alert.window, change.alert.since) == ("operational", 9, silent.start_at)
