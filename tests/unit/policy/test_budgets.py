from __future__ import annotations

import math

import pytest

from kilter.contracts.spec import MonitorSpec
from kilter.errors import UnknownName
from kilter.policy.budgets import FAMILIES, NOTICES, PAGES, log_threshold

SPEC = MonitorSpec()


@pytest.mark.parametrize("ledger", [PAGES, NOTICES], ids=["pages", "notices"])
def test_the_rates_of_a_ledger_add_up_to_its_budget(ledger: dict[str, float]) -> None:
    period = SPEC.pages_period_s if ledger is PAGES else SPEC.notices_period_s
    rate = sum(math.exp(-log_threshold(family, FAMILIES, SPEC)) for family in ledger)
    assert rate == pytest.approx(SPEC.window_s / period)


def test_absent_families_leave_their_share_to_the_others() -> None:
    assert log_threshold("performance", ["performance"], SPEC) == pytest.approx(math.log(2_160))
    assert log_threshold("performance", [], SPEC) == pytest.approx(math.log(2_160))


def test_long_windows_still_need_evidence() -> None:
    assert log_threshold("performance", ["performance"], MonitorSpec(window_s=90 * 86_400.0)) == math.log(20)


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(UnknownName):
        log_threshold("luck", [], SPEC)
