"""The supervisor takes a broken candidate off the traffic by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.ids import Digest
from kilter.contracts.meters import BOUNDS_NS, Total
from kilter.contracts.route import Route, RouteVariant
from kilter.faces.serving.processes import reflex
from kilter.faces.serving.processes.reflex import Reflex
from kilter.stores.routes import RouteFiles
from kilter.testing.plane import table

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = (RouteVariant(version=number, digest=Digest(f"sha256:{number}")) for number in (1, 2))
TRIED = Route(deployment="churn", champion=FIRST, challenger=SECOND, weight=1_000, rollout_id="r1", salt="s")
CALM = Route(deployment="calm", champion=FIRST)
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def counted(arm: str, version: str, *, failed: int = 0, answered: int = 0, deployment: str = "churn") -> list[Total]:
    buckets = (answered, *[0] * len(BOUNDS_NS))
    return [
        Total(name="kilter_requests_total", labels=(deployment, version, arm, "http", "model.failed"), value=failed),
        Total(name="kilter_requests_total", labels=(deployment, version, arm, "http", "ok"), value=answered),
        Total(name="kilter_request_seconds", labels=(deployment, version, arm, "http"), value=1, buckets=buckets),
        Total(name="kilter_route_generation", labels=(), value=1),
        Total(name="kilter_shadow_dropped_total", labels=(deployment,), value=1),
    ]


class Node:
    def __init__(self, folder: Path) -> None:
        self.routes = RouteFiles(folder)
        self.totals: list[Total] = []
        self.reads = 0
        self.reflex = Reflex(routes=self.routes, totals=self.read, now=lambda: NOW)

    def read(self) -> list[Total]:
        self.reads += 1
        return self.totals

    def serve(self, *routes: Route) -> None:
        live = self.routes.live()
        self.routes.propose(table(1 if live is None else live.generation + 1, *routes))
        self.routes.settle(1 if live is None else live.generation + 1)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(reflex, "_EVERY_S", 0.0)
    return Node(tmp_path)


def test_a_broken_candidate_loses_its_traffic(node: Node) -> None:
    node.serve(TRIED, CALM)
    node.totals = counted("champion", "1", answered=5_000) + counted("challenger", "2", answered=100)
    node.reflex.step()
    assert node.routes.proposed() is None
    node.totals = counted("champion", "1", answered=6_000) + counted("challenger", "2", answered=129, failed=21)
    node.reflex.step()
    proposed = node.routes.proposed()
    assert proposed is not None
    assert (proposed.generation, proposed.origin, proposed.written_at) == (2, "reflex", NOW)
    assert proposed.reason == "version 2 of churn is broken: 21 of the last 50 requests failed"
    back = proposed.route("churn")
    assert back is not None
    assert (back.champion, back.challenger, back.weight) == (FIRST, None, 0)
    assert proposed.route("calm") == CALM
    node.reflex.step()  # its own proposal is open: nothing is proposed on top of it
    assert node.routes.proposed() == proposed


def test_failures_of_others_are_not_the_candidates(node: Node) -> None:
    node.serve(TRIED)
    node.totals = (
        counted("champion", "1", failed=1_000)
        + counted("challenger", "3", failed=1_000)
        + counted("challenger", "2", failed=1_000, deployment="calm")
        + counted("shadow", "2", failed=1_000)
        + counted("challenger", "2", answered=100)
    )
    node.reflex.step()
    node.reflex.step()
    assert node.routes.proposed() is None


def test_without_a_candidate_in_traffic_nothing_is_read(node: Node) -> None:
    node.reflex.step()
    node.serve(CALM)
    node.reflex.step()
    assert node.reads == 0


def test_a_new_rollout_starts_afresh(node: Node) -> None:
    node.serve(TRIED)
    node.totals = counted("challenger", "2", answered=30)
    node.reflex.step()
    node.serve(CALM)
    node.reflex.step()
    node.totals = counted("challenger", "2", answered=30, failed=40)
    node.serve(TRIED)
    node.reflex.step()
    assert node.routes.proposed() is None  # these failures came before it


def test_it_looks_once_a_second_at_most(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflex, "_EVERY_S", 60.0)
    node.serve(TRIED)
    for _ in range(3):
        node.reflex.step()
    assert node.reads == 1
