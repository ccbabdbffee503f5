"""A disk that is really full, and one that is really read-only: what clients are told, and what is on record."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kilter.contracts.prediction import EventRecord, PredictionRecord
from kilter.contracts.route import Route
from kilter.errors import JournalUnavailable
from kilter.stores.segments import SegmentFolder, SegmentLog
from kilter.testing.log import prediction, read_all
from kilter.testing.node import Node
from kilter.testing.plane import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 512 * 1024
WIDE = 200  # rows of a request: some kilobytes of record


def mount(folder: Path, options: str) -> None:
    """Mount a small disk in memory; skip where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],  # noqa: S607 - wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"this system lets nobody mount: {done.stderr.strip()}")


def remount(folder: Path, options: str) -> None:
    """Change a mounted disk."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True, timeout=30)  # noqa: S607


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, f"size={SIZE}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)  # noqa: S607


class Told(NamedTuple):
    status: int
    headers: dict[str, str]
    body: dict[str, Any]


class User:
    """One client of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.acknowledged: list[str] = []

    def get(self, path: str) -> Told:
        return self._call("GET", path, b"")

    def predict(self, rows: int = WIDE) -> Told:
        body = json.dumps({"rows": [{"a": 1.0, "b": 2.0}] * rows}).encode()
        told = self._call("POST", "/predict/sum", body)
        if told.status == 200 and "kilter-logged" not in told.headers:
            self.acknowledged.append(told.body["prediction_id"])
        return told

    def label(self) -> Told:
        body = json.dumps({"prediction_id": self.acknowledged[0] + ":0", "label": 3.5}).encode()
        return self._call("POST", "/feedback/sum", body)

    def _call(self, method: str, path: str, body: bytes) -> Told:
        connection = http.client.HTTPConnection("127.0.0.1", self._node.port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Told(answer.status, headers, json.loads(answer.read()))
        finally:
            connection.close()


def until_full(user: User) -> Told:
    for _ in range(2_000):
        told = user.predict()
        if told.status != 200 or "kilter-logged" in told.headers:
            return told
    pytest.fail("the disk was never full")


@pytest.mark.parametrize("durable", ["process", "disk"])
def test_a_full_disk_refuses_or_counts_as_declared_and_goes_on_when_there_is_room(tmp_path: Path, durable: str) -> None:
    node = Node(tmp_path)
    log = node.home / "log"
    mount(log, f"size={SIZE}")
    try:
        route = Route(deployment="sum", champion=node.version(1), durable=durable)
        node.routes.propose(table(1, route))
        node.routes.settle(1)
        node.start(workers=1)
        node.until_ready(workers=1)
        user = User(node)

        refused = until_full(user)
        assert refused.status == 503
        assert refused.headers["kilter-error-code"] == "backend.journal"
        assert refused.headers["retry-after"] == "1"
        assert "the record cannot be kept" in refused.body["error"]
        assert 'on_full = "count"' in refused.body["hint"]
        assert user.label().status in {202, 503}  # a label is smaller than what had no room
        node.until(lambda: user.get("/v2/health/ready").status == 503)

        node.until(lambda: "log.low" in (node.home / "supervisor.log").read_text())
        remount(log, f"size={SIZE * 4}")
        node.until(lambda: user.get("/v2/health/ready").status == 200)  # by itself, nobody asked
        assert user.predict().status == 200

        node.routes.propose(table(2, replace(route, on_full="count")))
        node.until(lambda: all(status.generation == 2 for status in node.board.statuses()))
        counted = until_full(user)
        assert (counted.status, counted.headers["kilter-logged"], counted.body["logged"]) == (200, "false", False)
        assert counted.body["predictions"][0]["value"] == 3.0

        remount(log, f"size={SIZE * 16}")
        node.until(lambda: "kilter-logged" not in user.predict().headers)
    finally:
        node.stop()
        records = node.logged()
        subprocess.run(["umount", "--lazy", str(log)], check=True, timeout=30)  # noqa: S607
    ids = [record.prediction_id for record in records if isinstance(record, PredictionRecord)]
    assert set(user.acknowledged) <= set(ids)
    assert len(set(ids)) == len(ids)
    assert all(len(record.numeric) == 16 * WIDE for record in records if isinstance(record, PredictionRecord))
    events = [record.name for record in records if isinstance(record, EventRecord)]
    assert events.count("log.recovered") >= 2


def test_a_read_only_disk_is_an_error_and_goes_on_when_it_is_writable_again(disk: Path) -> None:
    (disk / "log").mkdir()
    remount(disk, "ro")
    log = SegmentLog(disk / "log", slot=0, clock_ns=lambda: 1)
    with pytest.raises(JournalUnavailable) as caught:
        log.append((prediction(1),))
    assert caught.value.why == "Read-only file system"
    remount(disk, "rw")
    log.append((prediction(2),))
    log.close()
    assert read_all(SegmentFolder(disk / "log")) == [prediction(2)]


@pytest.mark.parametrize("pages", range(3, 40, 6))
def test_at_every_size_of_the_disk_whole_records_only_stay(disk: Path, pages: int) -> None:
    remount(disk, f"size={4096 * pages}")
    log = SegmentLog(disk / "log", slot=0, clock_ns=lambda: 1, roll_bytes=20_000)
    stored = []
    for i in range(10_000):
        try:
            log.append((prediction(i, rows=1 + i % 7),))
        except JournalUnavailable:
            break
        stored.append(prediction(i, rows=1 + i % 7))
    assert len(stored) < 10_000
    log._forget()  # noqa: SLF001 - a writer that died
    remount(disk, f"size={SIZE * 64}")
    store = SegmentFolder(disk / "log")
    store.recover()
    assert read_all(store) == stored


def fill(folder: Path) -> Path:
    """Leave no page free on a small disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for _ in range(1_000_000):
            file.write(bytes(4096))
    return filler


def served_by_one_process(tmp_path: Path, on_full: str) -> Node:
    """Start a node on the small disk."""
    node = Node(tmp_path)
    node.routes.propose(table(1, Route(deployment="sum", champion=node.version(1), on_full=on_full)))
    node.routes.settle(1)
    node.start(workers=1)
    node.until_ready(workers=1)
    return node


@pytest.mark.parametrize("on_full", ["fail", "count"])
def test_a_process_that_dies_while_the_disk_is_full_comes_back_and_answers_as_declared(
    disk: Path, on_full: str
) -> None:
    remount(disk, f"size={SIZE * 8}")
    node = served_by_one_process(disk, on_full)
    try:
        user = User(node)
        assert user.predict(1).status == 200
        filler = fill(disk)
        victim = node.board.statuses()[0].pid
        node.kill(victim)
        node.until_gone(victim)

        told = until_answered(node, user)
        if on_full == "fail":
            assert (told.status, told.headers["kilter-error-code"]) == (503, "backend.journal")
        else:
            assert (told.status, told.headers["kilter-logged"], told.body["logged"]) == (200, "false", False)
            assert told.body["predictions"][0]["value"] == 3.0
            assert metric(node, 'kilter_requests_total{deployment="sum"') >= 1
        assert node.process is not None
        assert node.process.poll() is None
        assert node.board.statuses() == ()  # nothing of the new process found room
        counting = {path.name.partition("-")[0] for path in (node.home / "run" / "meters").glob("*.kmet")}
        assert counting <= {str(victim), str(node.process.pid)}

        filler.unlink()
        node.until(lambda: "kilter-logged" not in (told := user.predict(1)).headers and told.status == 200)
        node.until(lambda: len(node.board.statuses()) == 1)
        node.until(lambda: len(list((node.home / "run" / "meters").glob(f"{node.board.statuses()[0].pid}-*"))) == 1)
    finally:
        assert node.stop() == 0
    ids = [record.prediction_id for record in node.logged() if isinstance(record, PredictionRecord)]
    assert set(user.acknowledged) <= set(ids)


def until_answered(node: Node, user: User) -> Told:
    """Ask until the process that was started again has a table."""
    answers: list[Told] = []

    def has_table() -> bool:
        try:
            answers.append(user.predict(1))
        except OSError:
            return False
        return answers[-1].headers.get("kilter-error-code") != "state.not_ready"

    node.until(has_table)
    return answers[-1]


def metric(node: Node, start: str) -> float:
    """Return the sum of a metric's samples."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start))


def test_files_that_are_cut_off_under_a_running_node_end_no_supervisor(tmp_path: Path) -> None:
    node = served_by_one_process(tmp_path, "fail")
    try:
        user = User(node)
        assert user.predict(1).status == 200
        for path in [*(node.home / "run" / "meters").glob("*.kmet"), node.home / "run" / "flip"]:
            os.truncate(path, 0)
        node.until(lambda: until_answered(node, user).status == 200)
        node.routes.propose(table(2, Route(deployment="sum", champion=node.version(2, factor=2.0))))
        node.until(lambda: {status.generation for status in node.board.statuses()} == {2})
        node.until(lambda: until_answered(node, user).body["predictions"][0]["value"] == 6.0)
        assert metric(node, "kilter_worker_restarts_total") >= 1
        assert (node.home / "run" / "flip").stat().st_size == 8
        assert node.process is not None
        assert node.process.poll() is None
    finally:
        assert node.stop() == 0
