from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kilter.contracts.ids import AlertId, Digest
from kilter.contracts.monitor import Alert, HealthState, LabelCoverage, Severity, Window
from kilter.contracts.reading import Reading
from kilter.contracts.spec import MonitorSpec
from kilter.policy.health import Filling, health

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.monitor import DeploymentHealth


AT = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(
    id="w",
    deployment="d",
    number=1,
    start_at=AT,
    end_at=AT + timedelta(hours=1),
    rows=700,
    profile=Digest(""),
    readings=(),
    coverage=LabelCoverage(predictions=700, joined=650, pending=0, missing=50),
)
JUDGED = replace(WINDOW, is_mature=True, realised=(Reading(metric="accuracy_score", estimate=0.9, n=650),))
ALERT = Alert(
    id=AlertId("a"),
    deployment="d",
    number=1,
    family="performance",
    severity=Severity.PAGE,
    headline="Accuracy is 61 %",
    since=AT,
    window=1,
    log_evidence=9.0,
    log_threshold=8.0,
    causes=(),
    suggestion="refit",
    opened_at=AT,
    updated_at=AT,
)


def say(
    *,
    champion: int | None = 1,
    windows: Sequence[Window] = (WINDOW,),
    mature: Sequence[Window] = (),
    alerts: Sequence[Alert] = (),
    rows: int = 5_000,
    filling: Filling | None = None,
    elsewhere: int = 0,
    least: int = 500,
) -> DeploymentHealth:
    return health(
        "d",
        champion=champion,
        windows=windows,
        mature=mature,
        alerts=alerts,
        reference_rows=rows,
        spec=MonitorSpec(min_rows=least),
        filling=filling,
        elsewhere=elsewhere,
    )


def test_no_version_is_stopped() -> None:
    assert say(champion=None, windows=()).state is HealthState.STOPPED


def test_no_traffic_is_stopped_and_never_fine() -> None:
    found = say(windows=[replace(WINDOW, rows=0)], mature=[JUDGED])
    assert found.state is HealthState.STOPPED
    assert "between 2026-01-01 00:00 and 2026-01-01 01:00" in found.sentence


def test_labels_within_tolerance_are_fine() -> None:
    found = say(mature=[JUDGED])
    assert found.state is HealthState.FINE
    assert "650 labels" in found.sentence
    assert say(mature=[replace(JUDGED, coverage=None)]).state is HealthState.FINE


def test_too_little_data_says_how_much_more() -> None:
    assert say(windows=()).rows_needed == 500
    assert "no prediction is logged, a window needs 500" in say(windows=()).sentence
    assert say(windows=[replace(WINDOW, rows=120)]).rows_needed == 380
    unlabelled = say(mature=[replace(WINDOW, coverage=LabelCoverage(predictions=9, joined=9, pending=0, missing=0))])
    assert (unlabelled.state, unlabelled.rows_needed) == (HealthState.UNKNOWN, 21)
    assert say(mature=[]).rows_needed == 30


def test_before_the_first_window_the_missing_rows_and_time_are_said() -> None:
    short = say(windows=(), filling=Filling(1_234, AT, is_over=True), least=2_000)
    assert (short.rows_needed, short.next_step) == (766, "send predictions")
    assert short.sentence.endswith("1,234 of 2,000 predictions are logged")
    early = say(windows=(), filling=Filling(1_543, AT))
    assert (early.rows_needed, early.next_step) == (0, "wait for the window to end")
    assert early.sentence.endswith(
        "1,543 predictions are logged, which is enough; the window ends at 2026-01-01 00:00 UTC"
    )
    assert "120 of 500 predictions are logged; the window" in say(windows=(), filling=Filling(120, AT)).sentence


def test_a_champion_whose_traffic_a_candidate_answers_is_not_called_stopped() -> None:
    found = say(windows=[replace(WINDOW, rows=0)], elsewhere=40)
    assert found.state is HealthState.UNKNOWN
    assert "a candidate answered 40 predictions" in found.sentence


def test_the_loudest_alert_speaks() -> None:
    notice = replace(ALERT, severity=Severity.NOTICE, family="score_drift", headline="Scores moved", suggestion="look")
    assert say(alerts=[notice]).state is HealthState.WATCH
    found = say(alerts=[notice, ALERT])
    assert found.state is HealthState.ATTENTION
    assert found.sentence == "Accuracy is 61 % (and 1 more)"
    assert found.next_step.startswith("retrain")
    assert say(alerts=[replace(ALERT, suggestion="")], windows=()).next_step.startswith("look")


def test_a_small_reference_is_said() -> None:
    assert "only 120 rows" in say(mature=[JUDGED], rows=120).sentence
