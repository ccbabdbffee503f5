from __future__ import annotations

from kilter.contracts.rollout import RolloutState


def test_nothing_follows_the_last_three_states() -> None:
    assert [state.value for state in RolloutState if state.is_final] == ["done", "rolled_back", "rejected"]
