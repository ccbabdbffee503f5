"""A run is as bad as its worst gate that counts; default rules fit the task."""

from __future__ import annotations

import pytest

from kilter.contracts.reading import Reading
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.contracts.verdict import GateRule, OnFail, Verdict, VerdictState
from kilter.policy.verdicts import awaits_review, consequence, default_rules, interval_text, rows_needed, worst
from kilter.testing.cases import BINARY, MULTICLASS, REGRESSION

PASS, FAIL, ERROR, OPEN = VerdictState.PASS, VerdictState.FAIL, VerdictState.ERROR, VerdictState.INCONCLUSIVE


def verdict(state: VerdictState, on_fail: OnFail = OnFail.BLOCK) -> Verdict:
    return Verdict(gate="m.limit", state=state, reason="because", on_fail=on_fail)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], OPEN),
        ([PASS], PASS),
        ([PASS, OPEN], OPEN),
        ([OPEN, ERROR, PASS], ERROR),
        ([ERROR, FAIL, OPEN], FAIL),
    ],
)
def test_the_worst_state_wins(states: list[VerdictState], expected: VerdictState) -> None:
    assert worst(verdict(state) for state in states) is expected


def test_warnings_do_not_count() -> None:
    assert worst([verdict(FAIL, OnFail.WARN), verdict(PASS)]) is PASS
    assert worst([verdict(FAIL, OnFail.WARN)]) is PASS
    assert worst([verdict(FAIL, OnFail.REVIEW)]) is FAIL


def test_a_person_is_awaited_only_if_nothing_blocks() -> None:
    assert awaits_review([verdict(FAIL, OnFail.REVIEW), verdict(PASS)])
    assert not awaits_review([verdict(FAIL, OnFail.REVIEW), verdict(OPEN)])
    assert not awaits_review([verdict(FAIL, OnFail.WARN)])


def test_want_of_evidence_does_what_the_rule_says() -> None:
    rule = GateRule(metric="m", on_fail=OnFail.REVIEW)
    assert consequence(rule, FAIL) is OnFail.REVIEW
    assert consequence(rule, OPEN) is OnFail.REVIEW
    assert consequence(GateRule(metric="m", on_inconclusive="review"), OPEN) is OnFail.REVIEW
    assert consequence(GateRule(metric="m", required=False), OPEN) is OnFail.WARN
    assert consequence(GateRule(metric="m", required=False), FAIL) is OnFail.BLOCK


def names(signature: Signature, risk: str = "limited") -> dict[str, OnFail]:
    return {rule.metric: rule.on_fail for rule in default_rules(signature, risk) if not rule.slices}


def test_default_rules_fit_the_task() -> None:
    assert names(BINARY)["roc_auc_score"] is OnFail.BLOCK
    assert "roc_auc_score" not in names(MULTICLASS)
    assert names(MULTICLASS)["brier_score_loss"] is OnFail.BLOCK
    assert names(REGRESSION)["root_mean_squared_error"] is OnFail.BLOCK
    assert "log_loss" not in names(REGRESSION)


def test_high_risk_asks_a_person_about_calibration() -> None:
    calibration = "expected_calibration_error[strategy=quantile,debiased=true]"
    assert names(BINARY)[calibration] is OnFail.WARN
    assert names(BINARY, "high")[calibration] is OnFail.REVIEW


def test_a_model_without_columns_has_no_slices_and_no_ranges() -> None:
    bare = Signature(task=Task.REGRESSION, target="y", columns=())
    assert not any(rule.slices for rule in default_rules(bare))
    assert set(names(bare)) == {"schema_faults", "root_mean_squared_error", "latency_p99_ms", "missing_faults"}


def test_slices_prefer_columns_of_few_levels() -> None:
    columns = (
        Column(name="age", type=ColumnType.FLOAT),
        Column(name="member", type=ColumnType.BOOLEAN),
        Column(name="note", type=ColumnType.TEXT, levels=tuple(str(number) for number in range(60))),
        Column(name="plan", type=ColumnType.TEXT, levels=("a", "b")),
        Column(name="spend", type=ColumnType.FLOAT),
    )
    signature = Signature(task=Task.REGRESSION, target="y", columns=columns)
    (rule,) = (rule for rule in default_rules(signature) if rule.slices)
    assert rule.slices == ("member", "plan", "age")
    assert rule.on_fail is OnFail.WARN


def test_rows_needed_follow_the_square() -> None:
    whole = Reading(metric="m", estimate=0.4, low=0.3, high=0.5, n=100)
    assert rows_needed(whole, 0.35) == 400
    assert rows_needed(whole, 0.45) == 400
    assert rows_needed(whole, 0.4) is None
    assert rows_needed(whole, 0.4 + 1e-9) is None
    assert rows_needed(Reading(metric="m", estimate=0.4), 0.3) is None


def test_an_estimate_without_interval_stands_alone() -> None:
    assert interval_text(Reading(metric="m", estimate=2.0)) == "2"
