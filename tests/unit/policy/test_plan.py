from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.deployment import Deployment
from kilter.contracts.ids import RolloutId
from kilter.contracts.spec import LogSpec, RolloutSpec
from kilter.contracts.verdict import CheckRun, Verdict, VerdictState
from kilter.errors import Conflict
from kilter.policy.hold import new_hold
from kilter.policy.plan import ancestors, diff, first, objections, refuse_second, warnings
from kilter.policy.rollout import start
from kilter.testing.rollouts import spec, version

if TYPE_CHECKING:
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.plan import Plan
    from kilter.contracts.rollout import Rollout

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIVE = Deployment(id="d", spec=spec(), champion=1, previous=None, generation=1, created_at=NOW, updated_at=NOW)
RUN = CheckRun(
    id="check_1",
    version_id="ver_1",
    model_name="d",
    number=1,
    data_name="",
    data_digest="",
    rows=1,
    state=VerdictState.FAIL,
    verdicts=(),
    readings=(),
    created_at=NOW,
    seconds=0.0,
)
HOLD = new_hold("hold_1", version(2), deployment="d", reason="loss: worse", by="policy", now=NOW)


def planned(
    wanted: ModelVersion | None,
    *,
    live: Deployment | None = LIVE,
    rollout: Rollout | None = None,
    held: bool = False,
    lineage: tuple[int, ...] = (),
) -> Plan:
    holds = (HOLD,) if held else ()
    return diff(spec(), wanted=wanted, lineage=lineage, live=live, rollout=rollout, holds=holds, generation=1)


def trial(candidate: int) -> Rollout:
    return start(RolloutId("ro_1"), deployment="d", champion=1, candidate=candidate, spec=RolloutSpec(), now=NOW)


def kinds(plan: Plan) -> list[str]:
    return [action.kind for action in plan.actions]


def test_no_difference_is_an_empty_plan() -> None:
    assert planned(version(1)).is_empty
    assert planned(version(2), lineage=(2,)).is_empty


def test_what_is_missing_comes_in_order() -> None:
    assert kinds(planned(None, live=None)) == ["register", "deploy"]
    assert kinds(planned(version(1), live=None)) == ["deploy"]
    assert kinds(planned(version(2))) == ["rollout"]


def test_settings_are_a_difference_of_their_own() -> None:
    changed = replace(LIVE, spec=replace(spec(), log=LogSpec(durable="disk")))
    assert kinds(planned(version(1), live=changed)) == ["configure"]


def test_a_hold_comes_first_and_blocks() -> None:
    plan = planned(version(2), held=True)
    assert (kinds(plan), plan.is_blocked) == (["blocked", "rollout"], True)
    assert "hold_1" in plan.actions[0].reversal


def test_an_open_rollout_is_awaited_or_in_the_way() -> None:
    assert kinds(planned(version(2), rollout=trial(2))) == ["wait"]
    assert kinds(planned(version(3), rollout=trial(2))) == ["blocked"]


def test_the_hash_names_the_world() -> None:
    same = planned(version(2)).hash
    assert planned(version(2)).hash == same
    others = [
        planned(version(3)).hash,
        planned(version(2), held=True).hash,
        planned(version(2), rollout=trial(2)).hash,
        planned(version(2), live=replace(LIVE, previous=2)).hash,
        planned(version(2), live=None).hash,
        planned(None).hash,
    ]
    assert len({same, *others}) == 7
    assert planned(version(2), live=replace(LIVE, generation=99)).hash == same


def test_the_line_of_a_version_is_followed_to_its_root() -> None:
    book = [version(1), version(2, parent=1), version(3, parent=2), version(4, parent=4)]
    assert ancestors(book, 3) == (2, 1)
    assert ancestors(book, 4) == (4,)
    assert ancestors(book, None) == ()


def test_gates_that_passed_object_to_nothing() -> None:
    good = Verdict(gate="auc.limit", state=VerdictState.PASS, reason="fine")
    bad = Verdict(gate="ece.limit", state=VerdictState.FAIL, reason="0.2 above 0.1")
    assert objections(replace(RUN, verdicts=(good, bad))) == ("ece.limit fail (block): 0.2 above 0.1",)


def test_a_second_rollout_is_refused() -> None:
    with pytest.raises(Conflict, match="is open"):
        refuse_second(trial(2), LIVE, 3)
    with pytest.raises(Conflict, match="champion already"):
        refuse_second(None, LIVE, 1)
    refuse_second(None, LIVE, 2)


def test_warnings_are_counted_and_the_first_are_named() -> None:
    def run(*gates: str) -> CheckRun:
        verdicts = tuple(Verdict(gate=gate, state=VerdictState.INCONCLUSIVE, reason="small") for gate in gates)
        return replace(RUN, verdicts=(Verdict(gate="log_loss.limit", state=VerdictState.PASS, reason="ok"), *verdicts))

    assert warnings(run()) == ""
    assert warnings(run("a.slices")) == " (1 warning: a.slices inconclusive)"
    assert warnings(run("a", "b", "c", "d")) == (
        " (4 warnings: a inconclusive, b inconclusive, c inconclusive, and 1 more)"
    )


def test_a_first_deployment_has_nothing_before_it() -> None:
    made = first(spec(), 3, NOW)
    assert (made.id, made.champion, made.previous, made.generation, made.created_at) == ("d", 3, None, 0, NOW)
