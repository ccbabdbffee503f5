"""Claims about the serving processes and their supervisor, made on real ones."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilter.contracts.prediction import EventRecord, PredictionRecord
from kilter.contracts.route import Route
from kilter.testing.node import Node
from kilter.testing.plane import table

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_S = 60.0
_ROW = b'{"rows": [{"a": 1.0, "b": 2.0}]}'


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    running = Node(tmp_path)
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


def _post(connection: http.client.HTTPConnection) -> dict[str, Any]:
    connection.request("POST", "/predict/sum", _ROW)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    told: dict[str, Any] = json.loads(body)
    return told


class _Load:
    """Users who ask one prediction after the other."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.acknowledged: list[dict[str, Any]] = []
        self.faults: list[BaseException] = []
        self.resets = 0
        self._is_over = threading.Event()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self._is_over.is_set():
            try:
                self.acknowledged.append(_post(connection))
            except (ConnectionError, http.client.HTTPException, OSError):
                self.resets += 1
                connection.close()
            except BaseException as fault:  # noqa: BLE001 - shown by the test
                self.faults.append(fault)
                return
        connection.close()

    @contextmanager
    def running(self, users: int = 4) -> Iterator[_Load]:
        threads = [threading.Thread(target=self._ask) for _ in range(users)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join(30)


def test_a_killed_process_is_back_within_two_seconds_and_nothing_acknowledged_is_lost(node: Node) -> None:
    node.routes.propose(table(1, Route(deployment="sum", champion=node.version(1))))
    node.routes.settle(1)
    node.start()
    node.until_ready()
    with _Load(node.port).running() as load:
        for _ in range(2):
            node.until(lambda: len(load.acknowledged) > 50)
            victim = node.board.statuses()[0].pid
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            node.until_gone(victim)
            node.until_ready()
            assert time.monotonic() - killed < _limit_s(2.0)
            seen = len(load.acknowledged)
            node.until(lambda seen=seen: len(load.acknowledged) > seen + 50)  # type: ignore[misc]  # bound now
    assert load.faults == []
    assert load.resets <= 8  # connections of the killed process, no others
    assert node.stop() == 0
    written = {record.prediction_id for record in node.logged() if isinstance(record, PredictionRecord)}
    assert {told["prediction_id"] for told in load.acknowledged} <= written


def _limit_s(quiet_s: float) -> float:
    """Allow for a machine whose cores are busy with other tests."""
    return quiet_s * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def test_swaps_under_load_fail_no_request(node: Node) -> None:
    first, second = node.version(1), node.version(2, factor=2.0)
    route = Route(deployment="sum", champion=first)
    node.routes.propose(table(1, route))
    node.routes.settle(1)
    node.start()
    node.until_ready()
    with _Load(node.port).running() as load:
        for generation in range(2, 8):
            champion, previous = (second, first) if generation % 2 == 0 else (first, second)
            node.routes.propose(table(generation, replace(route, champion=champion, previous=previous)))
            node.until(lambda at=generation: all(s.generation == at for s in node.board.statuses()))  # type: ignore[misc]
    assert (load.faults, load.resets) == ([], 0)
    assert {told["version"] for told in load.acknowledged} == {"1", "2"}
    values = {(told["version"], told["predictions"][0]["value"]) for told in load.acknowledged}
    assert values == {("1", 3.0), ("2", 6.0)}
    node.stop()
    assert sum(isinstance(record, EventRecord) and record.name == "swap" for record in node.logged()) >= 12


def test_a_broken_candidate_loses_its_traffic_without_a_control_plane(node: Node) -> None:
    broken = node.version(2, factor=3e38)  # fine at the row of the warm-up, beyond float32 at the users'
    trial = Route(
        deployment="sum", champion=node.version(1), challenger=broken, weight=5_000, rollout_id="r1", salt="s"
    )
    node.routes.propose(table(1, trial))
    node.routes.settle(1)
    node.start()
    node.until_ready()
    statuses: set[int] = set()
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)

    def is_back() -> bool:
        for key in range(20):
            connection.request("POST", "/predict/sum", _ROW, {"kilter-routing-key": f"user {key}"})
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)
        return all(status.generation == 2 for status in node.board.statuses())

    node.until(is_back)
    connection.close()
    assert statuses == {200, 500}
    live = node.routes.live()
    assert live is not None
    assert (live.origin, live.routes[0].challenger, live.routes[0].champion.version) == ("reflex", None, 1)
    assert "version 2 of sum is broken" in live.reason


def test_a_table_that_cannot_be_loaded_is_dropped_and_the_old_one_serves_on(node: Node) -> None:
    route = Route(deployment="sum", champion=node.version(1))
    node.start(workers=1)
    node.until(lambda: len(node.board.statuses()) == 1)
    node.routes.propose(table(1, route))
    node.until_ready(workers=1)
    node.routes.propose(table(2, replace(route, champion=node.version(2, content=b"no graph"))))
    node.until(lambda: node.routes.refusal() is not None)
    refusal = node.routes.refusal()
    assert refusal is not None
    assert refusal[0] == 2
    assert "process 0" in refusal[1]
    node.routes.propose(table(2, replace(route, champion=node.version(3, factor=5.0))))
    node.until(lambda: node.board.statuses()[0].generation == 2)
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    assert _post(connection)["predictions"][0]["value"] == 15.0
    connection.close()
    epoch = node.board.request_seal()
    node.until(lambda: node.board.statuses()[0].sealed_epoch == epoch)
    assert any(isinstance(record, PredictionRecord) for record in node.logged())


def test_the_end_is_clean_and_leaves_no_process(node: Node) -> None:
    node.routes.propose(table(1, Route(deployment="sum", champion=node.version(1))))
    node.routes.settle(1)
    child = [sys.executable, "-c", "import time; time.sleep(600)"]
    node.start("--child", f"control={json.dumps(child)}")
    node.until_ready()
    pids = [status.pid for status in node.board.statuses()]
    assert node.board.supervisor_pid() == (node.process.pid if node.process else None)
    assert node.stop() == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list((node.home / "log").glob("*.open")) == []
    assert node.board.statuses() == ()


def test_children_end_with_a_killed_supervisor(node: Node) -> None:
    node.start()
    node.until(lambda: len(node.board.statuses()) == 2)
    assert node.process is not None
    node.process.kill()
    node.process.wait(10)
    node.until(lambda: len(node.board.statuses()) == 0)


def test_a_busy_port_is_named(node: Node) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        node.start(port=port)
        assert node.process is not None
        assert node.process.wait(_START_S) == 1
    told = (node.home / "supervisor.log").read_text()
    assert f"port {port} on 127.0.0.1 is in use" in told
    assert "fix:" in told


def test_a_second_supervisor_is_refused(node: Node) -> None:
    node.start(workers=1)
    node.until(lambda: len(node.board.statuses()) == 1)
    argv = [sys.executable, "-m", "kilter.faces.serving.processes.supervisor", "--settings", str(node.settings)]
    second = subprocess.run(argv, capture_output=True, timeout=_START_S, check=False)
    assert second.returncode == 1
    assert b"already running" in second.stderr


def test_nothing_but_the_named_address_is_listened_on(node: Node) -> None:
    node.start(workers=1)
    node.until((node.home / "run" / "ports.json").exists)
    port = json.loads((node.home / "run" / "ports.json").read_text())["serving"]["port"]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}
    assert listening == {"0100007F"}


def test_a_serving_process_loads_nothing_of_the_control_plane() -> None:
    heavy = {"alembic", "duckdb", "fastapi", "pandas", "polars", "pyarrow", "sklearn", "sqlalchemy", "starlette"}
    program = "import sys, kilter.faces.serving.__main__, kilter.formats.onnx; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert heavy & {name.partition(".")[0] for name in told.stdout.split()} == set()


def test_a_live_table_damaged_while_it_serves_is_written_anew(node: Node) -> None:
    route = Route(deployment="sum", champion=node.version(1))
    node.routes.propose(table(1, route))
    node.routes.settle(1)
    node.start(workers=1)
    node.until_ready(workers=1)
    node.routes.propose(table(2, replace(route, champion=node.version(2, factor=2.0), previous=node.version(1))))
    node.until(lambda: node.board.statuses()[0].generation == 2)
    (node.home / "route" / "table.json").write_bytes(b"")
    node.until(lambda: (node.home / "route" / "table.json").stat().st_size > 0)
    live = node.routes.live()
    assert live is not None
    assert live.generation == 2
    assert "was damaged" in (node.home / "supervisor.log").read_text()


def test_without_any_sound_table_the_processes_live_and_wait(node: Node) -> None:
    for name in ("table.json", "table.prev.json"):
        (node.home / "route" / name).write_text("garbage")
    node.start(workers=1)
    node.until(lambda: len(node.board.statuses()) == 1)
    node.routes.propose(table(1, Route(deployment="sum", champion=node.version(1))))
    node.until_ready(workers=1)
    assert "set aside as table.bad, table.prev.bad" in (node.home / "supervisor.log").read_text()


def test_a_process_that_hangs_is_ended_and_started_again(node: Node) -> None:
    node.routes.propose(table(1, Route(deployment="sum", champion=node.version(1))))
    node.routes.settle(1)
    node.start(workers=1)
    node.until_ready(workers=1)
    hung = node.board.statuses()[0].pid
    os.kill(hung, signal.SIGSTOP)
    node.until_gone(hung)
    node.until_ready(workers=1)
    assert "no sign of life" in (node.home / "supervisor.log").read_text()
