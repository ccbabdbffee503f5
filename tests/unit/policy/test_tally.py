from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kilter.contracts.ids import RolloutId
from kilter.contracts.rollout import ArmEvidence
from kilter.contracts.spec import RolloutSpec
from kilter.measures.sequential.pairs import log_inferiority
from kilter.policy.rollout import start
from kilter.policy.tally import tally

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEW = start(RolloutId("ro_1"), deployment="d", champion=1, candidate=2, spec=RolloutSpec(), now=NOW)


def test_losses_wait_for_a_partner_in_the_other_arm() -> None:
    one = tally(NEW, ArmEvidence(loss_candidate=(0.1, 0.2, 0.3), loss_control=(0.1,)), NOW)
    assert (one.processes[1].n, one.waiting_candidate, one.waiting_control) == (1, (0.2, 0.3), ())
    two = tally(one, ArmEvidence(loss_control=(0.2,)), NOW)
    assert (two.processes[1].n, two.waiting_candidate) == (2, (0.3,))


def test_failures_wait_until_both_arms_have_traffic() -> None:
    one = tally(NEW, ArmEvidence(requests_candidate=50, failures_candidate=5), NOW)
    assert (one.processes[0].n, one.failures_candidate) == (0, 5)
    two = tally(one, ArmEvidence(requests_control=40, failures_control=2), NOW)
    assert (two.processes[0].n, two.processes[0].sum, two.processes[0].sum_squares) == (40, 3, 7)
    assert tally(two, ArmEvidence(), NOW).processes == two.processes


def test_the_margin_grows_with_the_champions_own_loss_unless_it_is_declared() -> None:
    pairs = ArmEvidence(loss_candidate=(0.5,) * 100, loss_control=(0.5,) * 100)
    usual = log_inferiority(tally(NEW, pairs, NOW).processes[1])
    hard = log_inferiority(tally(replace(NEW, reference_loss=0.5), pairs, NOW).processes[1])
    declared = replace(NEW, spec=replace(NEW.spec, margins=(("loss", 0.05),)))
    assert hard > usual
    assert log_inferiority(tally(declared, pairs, NOW).processes[1]) == pytest.approx(hard)
