from __future__ import annotations

import pytest

from kilter.contracts.trigger import Simulation, TriggerState


def test_only_open_requests_keep_the_next_one_out() -> None:
    opened = [state.value for state in TriggerState if not state.is_final]
    assert opened == ["requested", "running", "candidate_registered"]


@pytest.mark.parametrize(("gain_low", "helps"), [(0.01, True), (0.0, False), (-0.01, False)])
def test_a_repair_helps_only_beyond_doubt(gain_low: float, *, helps: bool) -> None:
    replay = Simulation(n=100, loss_before=0.2, loss_after=0.1, gain_low=gain_low, auc=0.9, auc_low=0.8, auc_high=0.95)
    assert replay.helps is helps
