from __future__ import annotations

from datetime import UTC, datetime

from kilter.policy.hold import holding, new_hold, on_hold, released
from kilter.testing.rollouts import version

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOLD = new_hold("hold_1", version(2), deployment="d", reason="loss: worse", by="policy", now=NOW)


def test_a_hold_keeps_its_version_out() -> None:
    assert holding([HOLD], version(2).digest) == HOLD
    assert holding([HOLD], version(3).digest) is None


def test_a_person_can_release_it() -> None:
    over = released(HOLD, by="me", now=NOW)
    assert (over.released_by, over.version) == ("me", 2)
    assert holding([over], version(2).digest) is None


def test_the_metric_is_named_where_the_reason_begins_with_it() -> None:
    assert HOLD.metric == "loss"
    plain = new_hold("hold_2", version(2), deployment="d", reason="it looked: odd", by="me", now=NOW)
    assert plain.metric == ""


def test_the_refusal_says_how_to_override() -> None:
    refusal = on_hold(HOLD)
    assert (refusal.why, refusal.details["hold"]) == ("loss: worse", "hold_1")
    assert refusal.hint == "override with `--override hold_1 --reason TEXT`"
