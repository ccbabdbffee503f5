"""Claims about models in processes of their own, made on real ones: a tree that crashes and one that never ends."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.tree import DecisionTreeRegressor

from kilter.contracts.route import Route
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.testing.estimators import save
from kilter.testing.node import Node
from kilter.testing.plane import publish, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kilter.contracts.route import RouteVariant

_SIGNATURE = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))
_NOWHERE, _ROOT = 2**40, 0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    running = Node(tmp_path)
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


def _spoiled(node: Node, right: int) -> RouteVariant:
    """Publish a tree that answers 1 below a half, and above follows a branch to where it should not."""
    tree = DecisionTreeRegressor().fit([[0.0], [1.0]], [1.0, 3.0])
    tree.tree_.children_right[0] = right
    content = save(tree, node.home.parent / "tree.joblib").read_bytes()
    return publish(node.blobs, signature=_SIGNATURE, runtime="sklearn", content=content)


def _ask(node: Node, value: float, name: str = "tree") -> tuple[int, dict[str, Any], dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    row = {"a": value} if name == "tree" else {"a": value, "b": 0.0}
    connection.request("POST", f"/predict/{name}", json.dumps({"rows": [row]}))
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told, {key.lower(): value for key, value in answer.getheaders()}


def _metrics(node: Node) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    connection.request("GET", "/metrics")
    told = connection.getresponse().read().decode()
    connection.close()
    return told


def _serve(node: Node, *routes: Route) -> None:
    node.routes.propose(table(1, *routes))
    node.routes.settle(1)
    node.start(workers=1)
    node.until_ready(workers=1)


def test_a_deadly_input_is_kept_out_and_nobody_else_notices(node: Node) -> None:
    _serve(
        node,
        Route(deployment="tree", champion=_spoiled(node, _NOWHERE), deadline_ms=30_000),
        Route(deployment="sum", champion=node.version(1)),
    )
    assert _ask(node, 0.0)[1]["predictions"][0]["value"] == 1.0
    status, told, _ = _ask(node, 1.0)
    assert (status, told["code"]) == (500, "model.failed")
    assert "kept out" in told["error"]
    assert _ask(node, 5.0, "sum")[0] == 200
    assert _ask(node, 1.0)[0] == 500
    assert _ask(node, 0.0)[1]["predictions"][0]["value"] == 1.0
    falls = 'kilter_worker_restarts_total{deployment="tree",version="1"} '
    node.until(lambda: falls + "2" in _metrics(node))
    (kept,) = (node.home / "quarantine").glob("*/*.json")
    assert json.loads(kept.read_text())["rows"] == [{"a": 1.0}]


def test_a_call_that_never_ends_is_answered_at_its_deadline_and_ended(node: Node) -> None:
    route = Route(
        deployment="tree",
        champion=_spoiled(node, _ROOT),
        deadline_ms=400,
        on_overload="fallback",
        on_error="open",
        fallback="constant:-1",
    )
    _serve(node, route)
    assert _ask(node, 0.0)[1]["predictions"][0]["value"] == 1.0
    status, told, headers = _ask(node, 1.0)
    assert (status, told["fallback"], headers["kilter-fallback"]) == (200, True, "true")
    assert told["predictions"][0]["value"] == -1.0
    assert _ask(node, 0.0)[1]["fallback"] is True
    node.until(lambda: "fallback" not in _ask(node, 0.0)[1], within_s=30.0)
    assert _ask(node, 0.0)[1]["predictions"][0]["value"] == 1.0
