"""Claims about answers instead of refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kilter.contracts.signature import Signature, Task
from kilter.errors import InvalidRequest, SchemaMismatch
from kilter.policy.fallback import Fallback, constant_row, parsed

BINARY = Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"), positive="yes")
MANY = Signature(task=Task.MULTICLASS, target="y", columns=(), classes=("a", "b", "c"))
NUMBER = Signature(task=Task.REGRESSION, target="y", columns=())


def test_every_form_is_read() -> None:
    assert parsed("") is None
    assert parsed("last_good") == Fallback()
    assert parsed("constant:b@3") == Fallback(constant="b@3")
    assert parsed("eu/churn@12") == Fallback(deployment="eu/churn", version=12)


@pytest.mark.parametrize("text", ["last", "constant:", "churn@", "churn@0", "@3", "churn@x", "a@1@2"])
def test_another_form_is_refused_with_the_right_ones(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(text)
    assert "NAME@VERSION" in str(caught.value.hint)


def test_a_class_stands_for_certainty() -> None:
    assert constant_row(BINARY, "yes") == (0.0, 1.0)
    assert constant_row(MANY, "c") == (0.0, 0.0, 1.0)


def test_a_number_is_the_score_of_the_positive_class_or_the_value() -> None:
    assert constant_row(BINARY, "0.25") == (0.75, 0.25)
    assert constant_row(replace(BINARY, positive="no"), "0.25") == (0.25, 0.75)
    assert constant_row(NUMBER, "-3e2") == (-300.0,)


@pytest.mark.parametrize(
    ("signature", "value"),
    [(BINARY, "1.5"), (BINARY, "maybe"), (MANY, "0.5"), (NUMBER, "yes"), (NUMBER, "nan"), (NUMBER, "inf")],
)
def test_a_constant_that_the_model_cannot_answer_is_refused(signature: Signature, value: str) -> None:
    with pytest.raises(SchemaMismatch, match="expected"):
        constant_row(signature, value)
