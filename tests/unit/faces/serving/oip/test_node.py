"""Claims about a node of several processes, made on real ones."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

from kilter.contracts.prediction import EventRecord
from kilter.contracts.route import Route
from kilter.testing.node import Node
from kilter.testing.plane import table

if TYPE_CHECKING:
    from pathlib import Path

_ASKED = json.dumps({"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}).encode()


def _call(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_all_processes_unload_and_load_a_model_until_the_next_table(tmp_path: Path) -> None:
    node = Node(tmp_path)
    route = Route(deployment="sum", champion=node.version(1))
    node.routes.propose(table(1, route))
    node.routes.settle(1)
    node.start(repository_control="local")
    try:
        node.until_ready()

        def all_answer(status: int) -> bool:  # each connection meets either process
            return {_call(node.port, "POST", "/v2/models/sum/infer", _ASKED)[0] for _ in range(24)} == {status}

        assert all_answer(200)
        assert _call(node.port, "POST", "/v2/repository/models/sum/unload")[0] == 200
        node.until(lambda: all_answer(503))
        assert _call(node.port, "GET", "/v2/models/sum/ready") == (503, {"name": "sum", "ready": False})
        assert _call(node.port, "POST", "/v2/repository/models/sum/load")[0] == 200
        node.until(lambda: all_answer(200))
        assert _call(node.port, "POST", "/v2/repository/models/sum/unload")[0] == 200
        node.until(lambda: all_answer(503))
        node.routes.propose(table(2, route))
        node.until_ready(generation=2)
        node.until(lambda: all_answer(200))
        _, told = _call(node.port, "GET", "/v2/models/sum/stats")
        answered = told["model_stats"][0]["inference_stats"]["success"]
        assert answered["count"] >= 72
        assert answered["ns"] > 0
    finally:
        assert node.stop() == 0
    orders = [record.name for record in node.logged() if isinstance(record, EventRecord)]
    assert [name for name in sorted(orders) if name in {"load", "unload"}] == ["load", "unload", "unload"]
