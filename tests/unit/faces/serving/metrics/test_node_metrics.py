"""Claims about the metrics of a node, made on real processes that are killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Self

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kilter.contracts.route import Route
from kilter.testing.node import Node
from kilter.testing.plane import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROW = b'{"rows": [{"a": 1.0, "b": 2.0}]}'
_COUNTERS = ("_total", "_count", "_bucket", "_sum")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    running = Node(tmp_path)
    running.routes.propose(table(1, Route(deployment="sum", champion=running.version(1))))
    running.routes.settle(1)
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


def _asked(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _scraped(port: int) -> Samples:
    status, body = _asked(port, "/metrics")
    assert status == 200, body
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def _sum(samples: Samples, name: str, **labels: str) -> float:
    return sum(
        value for (named, given), value in samples.items() if named == name and labels.items() <= dict(given).items()
    )


def _shrunk(before: Samples, after: Samples) -> list[object]:
    return [
        (key, value, after.get(key))
        for key, value in before.items()
        if key[0].endswith(_COUNTERS) and after.get(key, -1.0) < value
    ]


class _Scrapes:
    """Somebody who reads the metrics all the time, from whichever process answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.seen: list[Samples] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for _ in range(2_000):
            if self._is_over.is_set():
                return
            try:
                self.seen.append(_scraped(self._port))
            except (ConnectionError, http.client.HTTPException):
                continue  # the process that would have answered was killed

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(30)


def test_counters_never_go_backwards_while_processes_are_killed_and_none_is_lost(node: Node) -> None:
    node.start()
    node.until_ready()
    answered = 0
    with _Scrapes(node.port) as scrapes:
        for _ in range(3):
            for _ in range(40):
                status, _body = _asked(node.port, "/predict/sum", _ROW)
                answered += status == 200
            assert _asked(node.port, "/predict/sum", b"no json")[0] == 400
            before = _scraped(node.port)
            assert _sum(before, "kilter_requests_total", deployment="sum", code="ok") == answered
            victim = node.board.statuses()[0].pid
            os.kill(victim, signal.SIGKILL)
            node.until_gone(victim)
            node.until_ready()
            after = _scraped(node.port)
            assert _shrunk(before, after) == []
            assert _sum(after, "kilter_requests_total", deployment="sum", code="ok") == answered
        node.until(lambda: _sum(_scraped(node.port), "kilter_worker_restarts_total") == 3)
    assert len(scrapes.seen) > 10
    pairs = zip(scrapes.seen, scrapes.seen[1:], strict=False)
    assert [shrunk for before, after in pairs if (shrunk := _shrunk(before, after))] == []
    last = _scraped(node.port)
    assert _sum(last, "kilter_request_seconds_count", deployment="sum", face="http") == answered
    assert _sum(last, "kilter_rows_total", deployment="sum") == answered
    assert _sum(last, "kilter_requests_total", deployment="sum", code="input.invalid") == 3
    assert (_sum(last, "kilter_route_generation"), _sum(last, "kilter_build_info")) == (1, 1)


def test_a_node_that_is_started_again_counts_on(node: Node) -> None:
    node.start(workers=1)
    node.until_ready(workers=1)
    assert _asked(node.port, "/predict/sum", _ROW)[0] == 200
    before = _scraped(node.port)
    assert node.process is not None
    pid = node.board.statuses()[0].pid
    node.process.kill()  # nobody is there to fold
    node.process.wait(30)
    node.until_gone(pid)
    node.start(workers=1)
    node.until_ready(workers=1)
    after = _scraped(node.port)
    assert _shrunk(before, after) == []
    assert _sum(after, "kilter_requests_total", deployment="sum", code="ok") == 1
    assert node.stop() == 0
    folder = node.home / "run" / "meters"
    assert len(list(folder.glob("*.kmet"))) == 1  # the supervisor's own: those of its processes are folded
    assert json.loads((folder / "retired.json").read_text())["rows"]


def test_metrics_on_a_port_of_their_own_leave_that_of_the_data_plane(node: Node) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    node.start(metrics_port=port)
    node.until_ready()
    assert _asked(node.port, "/predict/sum", _ROW)[0] == 200
    assert _sum(_scraped(port), "kilter_requests_total", deployment="sum", code="ok") == 1
    assert _asked(node.port, "/metrics")[0] == 404
    assert _asked(port, "/v2")[0] == 404
    victim = node.board.statuses()[0]
    os.kill(victim.pid, signal.SIGKILL)
    assert _sum(_scraped(port), "kilter_requests_total", code="ok") == 1  # waited for in the queue of the socket
    assert node.stop() == 0


def test_a_metrics_port_that_is_taken_is_said_at_the_start(node: Node) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        node.start(metrics_port=taken.getsockname()[1])
        assert node.process is not None
        assert node.process.wait(60) == 1
    log = (node.home / "supervisor.log").read_text()
    assert "is in use" in log
    assert "`metrics_port` under [serving]" in log
