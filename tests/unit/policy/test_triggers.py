from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kilter.contracts.ids import TriggerId
from kilter.contracts.spec import RetrainSpec
from kilter.contracts.trigger import Trigger, TriggerState
from kilter.policy.repair import Rung
from kilter.policy.triggers import Answer, Permission, decide, is_wanted

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SPEC = RetrainSpec(min_labels=100)


def trigger(hours_ago: float, state: TriggerState, *, manual: bool = False) -> Trigger:
    at = NOW - timedelta(hours=hours_ago)
    return Trigger(
        id=TriggerId(f"trg_{hours_ago}"),
        deployment="d",
        parent=1,
        state=state,
        reason="",
        command="",
        data_from=at,
        holdout_from=at,
        data_to=at,
        seed=0,
        requested_at=at,
        updated_at=at,
        deadline_at=at,
        is_manual=manual,
    )


def decided(
    rung: Rung = Rung.REFIT,
    *triggers: Trigger,
    spec: RetrainSpec = SPEC,
    last_repair_at: datetime | None = None,
    open_rollout: bool = False,
    labels: int = 1_000,
) -> Permission:
    return decide(
        rung,
        spec,
        now=NOW,
        triggers=triggers,
        last_repair_at=last_repair_at,
        has_open_rollout=open_rollout,
        labels=labels,
    )


def test_a_first_wish_is_granted() -> None:
    assert decided().answer is Answer.GO
    assert decided(Rung.RECALIBRATE, labels=0).answer is Answer.GO


def test_drift_alone_starts_nothing() -> None:
    assert is_wanted("performance", "page", SPEC)
    assert not is_wanted("performance", "notice", SPEC)
    assert not is_wanted("feature_drift", "page", SPEC)


def test_a_person_is_asked_where_policy_may_not_act() -> None:
    assert decided(Rung.ASK).answer is Answer.ASK
    assert decided(Rung.RECALIBRATE, spec=replace(SPEC, auto_recalibrate=False)).code == "manual"


def test_a_version_on_trial_is_awaited() -> None:
    assert decided(open_rollout=True).code == "rollout_open"


def test_one_request_flies_at_a_time() -> None:
    assert decided(Rung.REFIT, trigger(100, TriggerState.RUNNING)).code == "single_flight"


@pytest.mark.parametrize("rung", [Rung.RECALIBRATE, Rung.REFIT])
def test_repairs_cool_down(rung: Rung) -> None:
    assert decided(rung, last_repair_at=NOW - timedelta(hours=23)).code == "cool_down"
    assert decided(rung, trigger(23, TriggerState.FAILED)).code == "cool_down"
    assert decided(rung, trigger(24, TriggerState.FAILED)).answer is Answer.GO


def test_two_automatic_requests_a_week_are_enough() -> None:
    two = [trigger(hours, TriggerState.ACCEPTED) for hours in (50, 100)]
    assert decided(Rung.REFIT, *two).code == "budget"
    by_hand = [replace(one, is_manual=True) for one in two]
    assert decided(Rung.REFIT, *by_hand).answer is Answer.GO


def test_two_rejected_candidates_in_a_row_ask_a_person() -> None:
    two = [trigger(hours, TriggerState.REJECTED) for hours in (180, 200)]
    assert decided(Rung.REFIT, *two).code == "rejected_twice"
    long_ago = [trigger(hours, TriggerState.REJECTED) for hours in (400, 500)]
    assert decided(Rung.REFIT, *long_ago).answer is Answer.GO


def test_too_few_labels_are_no_answer() -> None:
    assert decided(labels=99).answer is Answer.INCONCLUSIVE


def test_an_alert_that_flaps_every_hour_for_a_month_retrains_at_most_twice_a_week() -> None:
    made: list[Trigger] = []
    for hour in range(30 * 24):
        now = NOW + timedelta(hours=hour)
        answer = decide(
            Rung.REFIT, SPEC, now=now, triggers=made, last_repair_at=None, has_open_rollout=False, labels=1_000
        )
        if answer.answer is Answer.GO:
            made.append(replace(trigger(0, TriggerState.ACCEPTED), requested_at=now, updated_at=now))
    for one in made:
        week = [t for t in made if one.requested_at <= t.requested_at < one.requested_at + timedelta(days=7)]
        assert len(week) <= 2
    assert len(made) >= 8
