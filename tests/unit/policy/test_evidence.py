"""A rule calls for its judges, and missing evidence is explained."""

from __future__ import annotations

from kilter.contracts.reading import Basis, Reading
from kilter.contracts.verdict import GateRule, OnFail, VerdictState
from kilter.errors import StoreError
from kilter.policy.evidence import check_of, error_verdict, fault_text, judges_for, unmeasured

COUNT = Reading(metric="m", estimate=0.0, basis=Basis.CENSUS)
SAMPLE = Reading(metric="m", estimate=0.5, low=0.4, high=0.6)


def test_parameters_are_no_part_of_the_check() -> None:
    assert check_of("f1_score[average=macro]") == "f1_score"
    assert check_of("f1_score") == "f1_score"


def test_each_rule_calls_for_its_judges() -> None:
    assert judges_for(GateRule(metric="m"), [SAMPLE]) == ()
    assert judges_for(GateRule(metric="m", max=0.0), [COUNT]) == ("zero",)
    assert judges_for(GateRule(metric="m", max=0.0), [SAMPLE]) == ("limit",)
    assert judges_for(GateRule(metric="m", min=0.0, no_worse_than="live"), [SAMPLE]) == ("limit", "no_worse_than")
    assert judges_for(GateRule(metric="m", max=1.0, slices=("plan",)), [SAMPLE]) == ("slices",)


def test_an_error_does_what_a_failure_does() -> None:
    verdict = error_verdict(GateRule(metric="m", on_fail=OnFail.REVIEW), "limit", "because")
    assert (verdict.gate, verdict.state, verdict.on_fail) == ("m.limit", VerdictState.ERROR, OnFail.REVIEW)


def test_faults_carry_their_code() -> None:
    assert fault_text(StoreError("the disk is full")) == "backend.store: the disk is full"
    assert fault_text(ValueError("two")) == "check.ValueError: two"


def test_a_failed_check_is_told_from_an_unknown_name() -> None:
    rule = GateRule(metric="f1_score[average=macro]")
    assert "could not be measured: broken" in unmeasured(rule, [], {"f1_score": "broken"})
    unknown = unmeasured(GateRule(metric="mm"), [SAMPLE], {"other": "broken"})
    assert "unknown metric `mm`" in unknown
    assert unknown.endswith("; other failed: broken")
