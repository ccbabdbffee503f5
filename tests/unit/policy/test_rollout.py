from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.ids import RolloutId
from kilter.contracts.rollout import ArmEvidence, Rollout, RolloutState
from kilter.contracts.spec import RolloutSpec
from kilter.contracts.verdict import VerdictState
from kilter.errors import AlreadyFinal, Conflict, InvalidRequest
from kilter.policy.rollout import Event, acknowledged, advance, judge, start, step, step_row

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 1, 1, tzinfo=UTC)
S = RolloutState
QUICK = RolloutSpec(steps=(5, 25, 50), step_min_s=0, min_units=10, margins=(("error", 0.1), ("loss", 0.05)))


def begun(spec: RolloutSpec = QUICK, *events: Event) -> Rollout:
    rollout = start(RolloutId("ro_1"), deployment="d", champion=1, candidate=2, spec=spec, now=NOW)
    for event in (Event.START, Event.READY, *events):
        rollout = step(rollout, event, "test", NOW).rollout
    return rollout


def evidence(
    n: int = 200, *, loss: tuple[float, float] | None = None, failures: tuple[int, int] = (0, 0)
) -> ArmEvidence:
    return ArmEvidence(
        loss_candidate=(loss[0],) * n if loss else (),
        loss_control=(loss[1],) * n if loss else (),
        requests_candidate=n,
        requests_control=n,
        failures_candidate=failures[0],
        failures_control=failures[1],
    )


def later(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def test_a_good_candidate_climbs_every_step_and_is_promoted() -> None:
    rollout, seen = begun(), []
    for hour in range(1, 20):
        transition = advance(rollout, evidence(loss=(0.1, 0.12)), later(hour))
        rollout = transition.rollout
        seen.append((rollout.state, rollout.weight))
        if rollout.state is S.PROMOTING:
            break
    assert [pair for pair in seen if pair[0] is S.CANARY][-1] == (S.CANARY, 5_000)
    assert {weight for state, weight in seen if state is S.CANARY} >= {2_500, 5_000}
    assert seen[-1] == (S.PROMOTING, 10_000)
    assert step(rollout, Event.PUBLISHED, "in force", later(30)).rollout.state is S.DONE


def test_no_data_never_passes() -> None:
    rollout = begun()
    for hour in range(1, 24):
        rollout = advance(rollout, ArmEvidence(), later(hour)).rollout
        assert rollout.state is S.CANARY
    held = advance(rollout, ArmEvidence(), later(24))
    assert (held.rollout.state, held.event, held.rollout.weight) == (S.HELD, Event.DEADLINE, 500)
    assert "no_data" in held.reason


def test_an_arm_without_traffic_never_passes() -> None:
    rollout = begun()
    lonely = ArmEvidence(requests_candidate=100_000, failures_candidate=5)
    moved = advance(rollout, lonely, later(1)).rollout
    assert moved.state is S.CANARY
    assert judge(moved, later(1)).reason.startswith("no_data")
    assert moved.processes[0].n == 0


def test_failures_that_waited_for_the_control_arm_count_once_it_has_traffic() -> None:
    waited = advance(begun(), ArmEvidence(requests_candidate=100, failures_candidate=20), later(1)).rollout
    failed = advance(waited, ArmEvidence(requests_control=100), later(2))
    assert (failed.event, failed.rollout.state) == (Event.FAIL, S.ROLLING_BACK)
    assert "20 of 100" in failed.reason


def test_too_few_requests_do_not_pass() -> None:
    rollout = begun(replace(QUICK, min_units=500))
    assert "200 of 500" in judge(advance(rollout, evidence(), later(1)).rollout, later(1)).reason


def test_a_step_takes_its_least_time() -> None:
    rollout = begun(replace(QUICK, step_min_s=7_200))
    early = advance(rollout, evidence(), later(1))
    assert early.rollout.state is S.CANARY
    assert "3600 of 7200 s" in early.reason
    assert advance(early.rollout, ArmEvidence(), later(2)).event is Event.PASS


def test_above_a_quarter_of_traffic_labels_are_needed() -> None:
    at_quarter = advance(begun(), evidence(), later(1)).rollout
    assert at_quarter.weight == 2_500
    waiting = advance(at_quarter, evidence(), later(2))
    assert waiting.rollout.weight == 2_500
    assert waiting.reason.startswith("no_data: loss")
    slow = advance(waiting.rollout, evidence(20, loss=(0.1, 0.1)), later(3))
    assert slow.reason.startswith("not shown yet: loss")
    assert advance(slow.rollout, evidence(400, loss=(0.1, 0.1)), later(4)).rollout.weight == 5_000


def test_labels_are_waived_only_when_declared() -> None:
    spec = replace(QUICK, promote_without_labels=True)
    rollout = begun(spec)
    for hour in range(1, 4):
        rollout = advance(rollout, evidence(), later(hour)).rollout
    assert rollout.state is S.PROMOTING


def test_harm_ends_a_canary_at_once_with_blame() -> None:
    failed = advance(begun(), evidence(300, loss=(0.5, 0.1)), NOW + timedelta(seconds=1))
    assert (failed.event, failed.publish) == (Event.FAIL, True)
    assert (failed.rollout.state, failed.rollout.next_state, failed.rollout.weight) == (S.ROLLING_BACK, S.REJECTED, 0)
    assert failed.reason.startswith("loss: +0.400 worse")
    over = step(failed.rollout, Event.PUBLISHED, failed.reason, later(1)).rollout
    assert (over.state, over.finished_at) == (S.REJECTED, later(1))


def test_a_held_rollout_still_ends_on_harm() -> None:
    held = step(begun(), Event.DEADLINE, "late", NOW).rollout
    assert advance(held, evidence(300, loss=(0.5, 0.1)), later(1)).rollout.state is S.ROLLING_BACK


def test_a_held_rollout_does_not_pass_by_itself() -> None:
    held = step(begun(), Event.DEADLINE, "late", NOW).rollout
    waiting = advance(held, evidence(400, loss=(0.1, 0.1)), later(1))
    assert (waiting.rollout.state, waiting.publish) == (S.HELD, False)


def test_nobody_deciding_rolls_back_without_blame() -> None:
    held = step(begun(), Event.DEADLINE, "late", NOW).rollout
    over = advance(held, ArmEvidence(), later(72))
    assert (over.event, over.rollout.next_state) == (Event.TIMEOUT, S.ROLLED_BACK)
    assert over.reason.startswith("timeout")


def test_resuming_goes_back_to_the_step_with_its_evidence() -> None:
    counted = advance(begun(), evidence(50, loss=(0.1, 0.1)), later(1)).rollout
    held = step(counted, Event.UNJUDGED, "nobody", later(2)).rollout
    assert (held.weight, held.next_state) == (0, S.CANARY)
    resumed = step(held, Event.RESUME, "by hand", later(3)).rollout
    assert (resumed.state, resumed.weight, resumed.step_started_at) == (S.CANARY, counted.weight, later(3))
    assert resumed.processes == counted.processes


def test_a_refused_promotion_resumes_as_promotion() -> None:
    held = step(step(begun(), Event.PROMOTE, "by hand", NOW).rollout, Event.REFUSED, "cannot load", NOW).rollout
    assert (held.state, held.weight) == (S.HELD, 10_000)
    assert step(held, Event.RESUME, "again", NOW).rollout.state is S.PROMOTING


def test_the_rollouts_own_deadline_holds_it() -> None:
    rollout = begun(replace(QUICK, deadline_s=3_600))
    assert advance(rollout, ArmEvidence(), later(1)).event is Event.DEADLINE


def test_evidence_counts_once() -> None:
    once = advance(begun(), evidence(5, loss=(0.1, 0.2)), later(1)).rollout
    assert advance(once, evidence(5, loss=(0.1, 0.2)), later(1)).rollout == once


def test_a_rollout_that_is_not_on_trial_is_not_judged() -> None:
    promoting = step(begun(), Event.PROMOTE, "by hand", NOW).rollout
    assert advance(promoting, evidence(300, loss=(1.0, 0.0)), later(1)).rollout == promoting


def test_a_shadow_is_judged_on_labels_before_any_user_is_served() -> None:
    rollout = begun(replace(QUICK, strategy="shadow"))
    assert (rollout.state, rollout.weight) == (S.SHADOW, 0)
    assert advance(rollout, evidence(), later(1)).reason.startswith("no_data: loss")
    passed = advance(rollout, evidence(400, loss=(0.1, 0.1)), later(1)).rollout
    assert (passed.state, passed.weight, passed.step) == (S.CANARY, 500, 0)
    held = step(rollout, Event.ERROR, "unreadable", NOW).rollout
    assert advance(held, evidence(50), later(1)).rollout.state is S.HELD


def test_a_shadow_without_steps_is_promoted_and_without_labels_judged_by_failures() -> None:
    spec = replace(QUICK, strategy="shadow", steps=(), promote_without_labels=True)
    assert advance(begun(spec), evidence(), later(1)).rollout.state is S.PROMOTING


def test_a_version_that_cannot_be_loaded_is_rejected_without_traffic() -> None:
    planned = start(RolloutId("ro_1"), deployment="d", champion=1, candidate=2, spec=QUICK, now=NOW)
    warming = step(planned, Event.START, "", NOW).rollout
    refused = step(warming, Event.REFUSED, "bad file", NOW).rollout
    assert (refused.state, refused.next_state) == (S.ROLLING_BACK, S.REJECTED)


def test_a_finished_rollout_cannot_move() -> None:
    over = step(step(begun(), Event.ABORT, "enough", NOW).rollout, Event.PUBLISHED, "", NOW).rollout
    assert over.state is S.ROLLED_BACK
    with pytest.raises(AlreadyFinal):
        step(over, Event.RESUME, "", NOW)


def test_undefined_events_are_refused() -> None:
    with pytest.raises(Conflict, match="does not apply"):
        step(begun(), Event.RESUME, "", NOW)


@pytest.mark.parametrize(
    "fault",
    [
        {"strategy": "blue-green"},
        {"steps": ()},
        {"steps": (50, 100)},
        {"steps": (5, 5)},
        {"steps": (5, 120)},
        {"steps": (0.001, 5)},
    ],
)
def test_settings_that_could_skip_evidence_are_refused(fault: Mapping[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        begun(replace(QUICK, **fault))  # type: ignore[arg-type]


def test_the_verdict_names_what_was_shown() -> None:
    counted = advance(begun(replace(QUICK, step_min_s=3_600)), evidence(), NOW + timedelta(seconds=1)).rollout
    verdict = judge(counted, later(2))
    assert (verdict.state, "not worse than the champion" in verdict.reason) == (VerdictState.PASS, True)


def test_a_step_never_begins_before_the_one_it_follows() -> None:
    early = NOW - timedelta(minutes=4)
    rollout = step(begun(), Event.ABORT, "later", early).rollout
    assert rollout.step_started_at == NOW
    assert step(rollout, Event.PUBLISHED, "later", early).rollout.finished_at == NOW


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ("canary", "loaded by all serving processes; version 2 answers 5 % of the traffic"),
        ("shadow", "loaded by all serving processes; version 2 is compared in the shadow of the champion"),
    ],
)
def test_every_step_has_a_reason_of_its_own(strategy: str, told: str) -> None:
    planned = start(
        RolloutId("ro_1"),
        deployment="d",
        champion=1,
        candidate=2,
        spec=replace(QUICK, strategy=strategy),
        now=NOW,
        reason="a better one",
    )
    warming = step(planned, Event.START, planned.reason, NOW).rollout
    assert warming.reason == "a better one"
    serving = acknowledged(warming, NOW)
    assert serving is not None
    assert serving.rollout.reason == serving.reason == told
    assert acknowledged(serving.rollout, NOW) is None
    promoting = step(serving.rollout, Event.PROMOTE, "promoted by me", NOW).rollout
    assert promoting.reason == "promoted by me; version 2 takes over"
    done = acknowledged(promoting, NOW)
    assert done is not None
    assert done.rollout.reason == "version 2 answers all traffic and is champion now"


def test_a_passed_step_says_what_it_means_for_the_traffic() -> None:
    moved = advance(begun(), evidence(loss=(0.1, 0.12)), later(1))
    assert moved.reason.endswith("200 requests per arm; version 2 answers 25 % of the traffic")


def test_what_was_taken_back_keeps_the_sentence_that_says_why() -> None:
    over = acknowledged(step(begun(), Event.REJECT, "wrong answers", NOW).rollout, NOW)
    assert over is not None
    assert (over.rollout.state, over.rollout.reason) == (S.REJECTED, "wrong answers")


def test_a_transition_leaves_one_row_under_the_version_that_it_made() -> None:
    before = begun()
    after = replace(step(before, Event.ABORT, "later", later(1)).rollout, version=7)
    row = step_row(before, after, Event.ABORT)
    assert (row.id, row.from_state, row.to_state, row.at) == ("ro_1/00000007", "canary", "rolling_back", later(1))
    assert (row.event, row.reason, row.weight) == ("abort", "later", 0)
