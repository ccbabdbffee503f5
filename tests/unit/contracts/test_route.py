from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kilter.contracts.ids import Digest
from kilter.contracts.route import Route, RouteTable, RouteVariant

ONE = RouteVariant(version=1, digest=Digest("sha256:1"))


def test_a_table_finds_a_deployments_route() -> None:
    route = Route(deployment="d", champion=ONE)
    table = RouteTable(generation=1, written_at=datetime(2026, 1, 1, tzinfo=UTC), routes=(route,))
    assert table.route("d") is route
    assert table.route("e") is None


@pytest.mark.parametrize(("weight", "rate"), [(-1, 0), (10_001, 0), (0, -1), (0, 10_001)])
def test_shares_lie_between_nothing_and_everything(weight: int, rate: int) -> None:
    with pytest.raises(ValueError, match="integers from 0 to 10000"):
        Route(deployment="d", champion=ONE, weight=weight, shadow_rate=rate)


def test_the_ends_of_the_range_are_allowed() -> None:
    assert Route(deployment="d", champion=ONE, weight=10_000, shadow_rate=10_000).weight == 10_000
