from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.ids import AlertId, Digest
from kilter.contracts.monitor import Alert, Severity, Window
from kilter.contracts.reading import Reading
from kilter.contracts.signature import Signature, Task
from kilter.contracts.spec import MonitorSpec
from kilter.measures.comparison import CALIBRATION
from kilter.measures.profile.reference import build
from kilter.policy.alerts import FOREIGN, Draft, passes, ranking, settle, severity, suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.policy.alerts import Change


AT = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = MonitorSpec()
BINARY = Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"), positive="yes")
NUMBER = Signature(task=Task.REGRESSION, target="y", columns=())
RNG = np.random.default_rng(0)
P = RNG.random(4_000)
SCORES = np.column_stack([1 - P, P])
REFERENCE = build(BINARY, {}, SCORES, (RNG.random(4_000) < P).astype(float))
BLIND = build(BINARY, {}, SCORES, None)
NUMBERS = build(NUMBER, {}, np.zeros(900), RNG.normal(0, 1, 900))


def reading(
    metric: str, estimate: float, half: float = 0.01, *, subject: str = "model", n: int = 900, **extra: float
) -> Reading:
    return Reading(
        metric=metric, subject=subject, estimate=estimate, low=estimate - half, high=estimate + half, n=n, extra=extra
    )


def window(*realised: Reading, readings: tuple[Reading, ...] = ()) -> Window:
    return Window(
        id="w",
        deployment="d",
        number=1,
        start_at=AT,
        end_at=AT,
        rows=900,
        profile=Digest(""),
        readings=readings,
        realised=realised,
    )


def draft(family: str, *, level: Severity = Severity.PAGE, headline: str = "") -> Draft:
    return Draft(
        family=family,
        severity=level,
        headline=headline or f"{family} is off",
        since=AT,
        window=4,
        log_evidence=9.0,
        log_threshold=8.0,
        suggestion="look",
    )


def run(
    open_alerts: Sequence[Alert] = (), drafts: Sequence[Draft] = (), passing: Sequence[str] = (), *, number: int = 1
) -> tuple[Change, ...]:
    made = iter(f"alert_{place}" for place in range(9))
    return settle(
        open_alerts, drafts, passing, deployment="d", number=number, at=AT, new_id=lambda: AlertId(next(made))
    )


def opened(family: str, *, level: Severity = Severity.PAGE, causes: tuple[str, ...] = ()) -> Alert:
    (only,) = run(drafts=[draft(family, level=level)])
    return replace(only.alert, id=AlertId(f"old_{family}"), causes=causes)


def test_harm_pages_and_movement_is_a_notice() -> None:
    surge = [reading("missing", 0.3, subject="column:a", difference=0.25)]
    assert severity("operational", []) is Severity.PAGE
    assert severity("input_health", surge) is Severity.WARN
    assert severity("input_health", []) is Severity.NOTICE
    assert severity("score_drift", surge) is Severity.NOTICE


def test_ranking_needs_evidence_either_way() -> None:
    assert ranking(reading("roc_auc_score", 0.9), 0.9) is True
    assert ranking(reading("roc_auc_score", 0.7), 0.9) is False
    assert ranking(reading("roc_auc_score", 0.9, 0.1), 0.9) is None
    assert ranking(None, 0.9) is None
    assert ranking(Reading(metric="roc_auc_score", not_evaluated="one_class: "), 0.9) is None
    assert ranking(reading("roc_auc_score", 0.9), None) is None


@pytest.mark.parametrize(
    ("family", "task", "holds", "firing", "expected"),
    [
        ("calibration", Task.BINARY, True, ["calibration"], "recalibrate"),
        ("performance", Task.BINARY, True, ["performance", "calibration"], "recalibrate"),
        ("performance", Task.BINARY, True, ["performance"], "look"),
        ("performance", Task.BINARY, None, ["performance", "calibration"], "look"),
        ("calibration", Task.MULTICLASS, False, ["calibration"], "refit"),
        ("performance", Task.REGRESSION, None, ["performance"], "refit"),
        ("performance", Task.BINARY, False, ["performance", "input_health"], "refit"),
        ("input_health", Task.BINARY, None, ["input_health"], "look"),
        ("operational", Task.BINARY, True, ["input_health"], "look"),
        ("score_drift", Task.BINARY, True, [], "look"),
    ],
)
def test_the_cheapest_supported_rung_is_suggested(
    family: str, task: Task, *, holds: bool | None, firing: list[str], expected: str
) -> None:
    assert suggestion(family, task=task, holds=holds, firing=firing) == expected


@pytest.mark.parametrize("family", ["input_health", "performance", "calibration"])
def test_a_broken_feed_is_fixed_first(family: str) -> None:
    assert suggestion(family, task=Task.BINARY, holds=True, firing=[family], is_feed_broken=True) == "fix the feed"


def test_warnings_stand_beside_pages() -> None:
    warned = opened("input_health", level=Severity.WARN)
    (change,) = run([warned], [draft("performance")])
    assert (change.kind, change.alert.causes) == ("opened", ())
    (change,) = run([opened("performance")], [draft("input_health", level=Severity.WARN)])
    assert (change.kind, change.alert.family) == ("opened", "input_health")


def test_an_alarm_opens_an_alert_and_a_repeat_updates_it() -> None:
    (first,) = run(drafts=[draft("performance")])
    assert (first.kind, first.alert.version, first.alert.number) == ("opened", 1, 1)
    (again,) = run([first.alert], [draft("performance", headline="worse")])
    assert (again.kind, again.alert.version, again.alert.repeats, again.alert.headline) == ("updated", 2, 1, "worse")


def test_an_alert_never_becomes_quieter() -> None:
    warned = opened("input_health", level=Severity.WARN)
    (change,) = run([warned], [draft("input_health", level=Severity.NOTICE)])
    assert change.alert.severity is Severity.WARN


def test_open_notices_become_causes_of_a_page() -> None:
    notice = opened("feature_drift", level=Severity.NOTICE)
    changes = run([notice], [draft("performance")])
    assert [change.kind for change in changes] == ["closed", "opened"]
    assert changes[0].alert.closed_reason == "now a cause of alert alert_0"
    assert changes[1].alert.causes == ("feature_drift is off",)


def test_a_notice_under_an_open_page_is_its_cause() -> None:
    changes = run(
        [opened("performance"), opened("calibration")],
        [draft(name, level=Severity.NOTICE) for name in ("score_drift", "feature_drift")],
    )
    assert {change.kind for change in changes} == {"updated"}
    assert all(change.alert.causes == ("score_drift is off", "feature_drift is off") for change in changes)
    assert all(change.alert.version == 2 for change in changes)


def test_page_and_notice_of_one_window_are_one_alert() -> None:
    (only,) = run(drafts=[draft("feature_drift", level=Severity.NOTICE), draft("performance")])
    assert (only.kind, only.alert.causes, only.alert.version) == ("opened", ("feature_drift is off",), 1)


def test_a_notice_that_is_open_already_beside_a_page_is_updated() -> None:
    changes = run(
        [opened("feature_drift", level=Severity.NOTICE), opened("performance")],
        [draft("feature_drift", level=Severity.NOTICE)],
    )
    assert [(change.kind, change.alert.family) for change in changes] == [("updated", "feature_drift")]


def test_causes_are_few_and_each_once() -> None:
    alert = opened("performance", causes=("a", "b", "c", "d", "e"))
    (change,) = run([alert], [draft("score_drift", level=Severity.NOTICE, headline="b")])
    assert change.alert.causes == ("a", "c", "d", "e", "b")


def test_passing_families_are_closed_unless_they_fire() -> None:
    (change,) = run([opened("performance")], passing=["performance", "calibration"])
    assert (change.kind, change.alert.closed_reason) == ("closed", "3 windows in a row within tolerance")
    assert change.alert.version == 2
    (change,) = run([opened("performance")], [draft("performance")], ["performance"])
    assert change.kind == "updated"


def test_alerts_of_another_version_are_superseded() -> None:
    (change,) = run([opened("performance")], number=2)
    assert (change.kind, change.alert.closed_reason) == ("closed", "superseded by version 2")
    changes = run([opened("performance")], [draft("performance")], number=2)
    assert [change.kind for change in changes] == ["closed", "opened"]


def usual(metric: str) -> float:
    return REFERENCE.metrics[metric].value


def test_three_good_windows_pass_and_two_do_not() -> None:
    good = window(reading("accuracy_score", usual("accuracy_score")))
    assert passes("performance", [good] * 3, REFERENCE, SPEC)
    assert not passes("performance", [good] * 2, REFERENCE, SPEC)
    assert not passes("performance", [good, good, window()], REFERENCE, SPEC)
    assert not passes("performance", [good] * 3, BLIND, SPEC)
    assert not passes("performance", [window()] * 3, REFERENCE, SPEC)


def test_one_bad_or_too_wide_window_does_not_pass() -> None:
    good = window(reading("accuracy_score", usual("accuracy_score")))
    bad = window(reading("accuracy_score", usual("accuracy_score") - 0.1))
    wide = window(reading("accuracy_score", usual("accuracy_score"), 0.3))
    assert not passes("performance", [good, bad, good], REFERENCE, SPEC)
    assert not passes("performance", [wide] * 3, REFERENCE, SPEC)


def test_calibration_passes_near_its_reference() -> None:
    assert passes("calibration", [window(reading(CALIBRATION, 0.01))] * 3, REFERENCE, SPEC)
    assert not passes("calibration", [window(reading(CALIBRATION, 0.1))] * 3, REFERENCE, SPEC)
    assert passes("calibration", [window(reading(CALIBRATION, 0.01))] * 3, BLIND, SPEC)


def test_regression_passes_on_its_own_scale() -> None:
    size = NUMBERS.metrics["mean_absolute_error"].value
    assert passes("performance", [window(reading("mean_absolute_error", size))] * 3, NUMBERS, SPEC)
    assert not passes("performance", [window(reading("mean_absolute_error", size * 2))] * 3, NUMBERS, SPEC)
    assert passes("calibration", [window(reading("mean_bias_error", -0.01))] * 3, NUMBERS, SPEC)
    assert not passes("calibration", [window(reading("mean_bias_error", -0.5))] * 3, NUMBERS, SPEC)
    unlabelled = build(NUMBER, {}, np.zeros(60), None)
    for family, metric in (("performance", "mean_absolute_error"), ("calibration", "mean_bias_error")):
        assert not passes(family, [window(reading(metric, 0.0))] * 3, unlabelled, SPEC)


def test_failures_pass_below_their_limit() -> None:
    calm = window(readings=(reading("error_rate", 0.002, 0.001, subject="requests"),))
    assert passes("operational", [calm] * 3, REFERENCE, SPEC)


@pytest.mark.parametrize(("moved", "expected"), [(0.01, True), (0.2, False)])
def test_drift_passes_when_distances_are_small_again(moved: float, *, expected: bool) -> None:
    still = window(
        readings=(
            reading("total_variation", moved, subject="score"),
            reading("total_variation", moved, subject="column:a"),
            reading("missing", 0.5, subject="column:a", difference=moved),
            reading("unseen", moved, subject="column:a"),
        )
    )
    for family in ("score_drift", "feature_drift", "input_health"):
        assert passes(family, [still] * 3, REFERENCE, SPEC) is expected


def test_missing_distances_never_pass() -> None:
    silent = Reading(metric="total_variation", subject="score", not_evaluated="too_few_rows: 3 of 50 rows")
    assert not passes("score_drift", [window(readings=(silent,))] * 3, REFERENCE, SPEC)
    assert not passes("feature_drift", [window()] * 3, REFERENCE, SPEC)


def test_alerts_of_the_control_loop_are_left_alone() -> None:
    own = replace(opened("score_drift"), family=FOREIGN, severity=Severity.WARN, number=9)
    found = run([own], [draft("performance")])
    assert [(change.kind, change.alert.family) for change in found] == [("opened", "performance")]
