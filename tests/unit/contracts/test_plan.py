from __future__ import annotations

from kilter.contracts.plan import Plan, PlanAction


def plan(*kinds: str) -> Plan:
    actions = tuple(PlanAction(kind=kind, subject="d@2", reason="", risk="", reversal="") for kind in kinds)
    return Plan(deployment="d", number=2, actions=actions, holds=(), generation=1, hash="")


def test_a_plan_without_actions_is_empty() -> None:
    assert plan().is_empty
    assert not plan("rollout").is_empty


def test_one_blocked_action_blocks_the_plan() -> None:
    assert plan("configure", "blocked").is_blocked
    assert not plan("rollout").is_blocked
