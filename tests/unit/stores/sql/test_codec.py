"""Records survive the way to JSON and back."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.contracts.decision import Decision, Lease
from kilter.contracts.ids import DecisionId
from kilter.contracts.monitor import Signal, SignalState
from kilter.errors import StoreError
from kilter.stores.sql.codec import decode, encode

AT = datetime(2026, 1, 1, tzinfo=UTC)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)


def decision(arguments: dict[str, str | int | float | bool | None]) -> Decision:
    return Decision(
        id=DecisionId("d"), key="k", deployment="d", kind="x", reason="r", command="c", arguments=arguments, at=AT
    )


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), SCALARS))
def test_free_form_facts_keep_value_and_type(facts: dict[str, str | int | float | bool | None]) -> None:
    found = decode(Decision, encode(decision(facts)))
    assert found == decision(facts)
    assert [type(found.arguments[key]) for key in facts] == [type(value) for value in facts.values()]


@given(st.floats(), st.floats())
def test_every_float_survives(log_r: float, log_e: float) -> None:
    signal = Signal(id="a", deployment="d", number=1, family="f", name="n", state=SignalState(log_r=log_r), log_e=log_e)
    found = decode(Signal, encode(signal))
    for value, expected in ((found.state.log_r, log_r), (found.log_e, log_e)):
        assert value == expected or (math.isnan(value) and math.isnan(expected))
        assert math.copysign(1, value) == math.copysign(1, expected) or math.isnan(expected)


def test_the_body_is_canonical() -> None:
    body = encode(Lease(id="a", holder="ü", token=0, expires_at=AT))
    expected = '{"expires_at":"2026-01-01T00:00:00Z","holder":"ü","id":"a","token":0,"version":1}'
    assert body.decode() == expected


def test_a_key_that_looks_like_the_mark_is_only_a_key() -> None:
    facts: dict[str, str | int | float | bool | None] = {"~nonfinite": "x", "inf": math.inf}
    assert decode(Decision, encode(decision(facts))) == decision(facts)


@pytest.mark.parametrize(
    "holder", [3, ["a"], object(), "\ud800", None], ids=["integer", "list", "object", "half a pair", "none"]
)
def test_what_could_not_be_read_back_is_not_stored(holder: object) -> None:
    with pytest.raises(StoreError, match="Lease `a` cannot be stored") as caught:
        encode(Lease(id="a", holder=cast("str", holder), token=0, expires_at=AT))
    assert caught.value.why
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"id":1}', b'{"id":"a"}', b'{"~nonfinite":[["x","inf"]]}'])
def test_a_damaged_body_is_named(body: bytes) -> None:
    with pytest.raises(StoreError, match="a stored Lease cannot be read"):
        decode(Lease, body)
