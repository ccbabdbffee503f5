"""Claims about the work beside answering: refusals are tried again, faults end the process."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

import pytest

from kilter import plane
from kilter.contracts.route import Route
from kilter.errors import StoreError
from kilter.faces.serving import __main__ as process
from kilter.faces.serving.metrics.observation import Observation
from kilter.faces.serving.processes import rounds
from kilter.faces.serving.processes.follower import Follower
from kilter.faces.serving.processes.rounds import Rounds
from kilter.services.journal.journal import Journal
from kilter.settings import transfer
from kilter.settings.tree import ProjectSettings, ServingSettings, Settings
from kilter.stores.board import Board
from kilter.testing.node import Node
from kilter.testing.plane import table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    made.routes.propose(table(1, Route(deployment="sum", champion=made.version(1))))
    made.routes.settle(1)
    serving = ServingSettings(port=0, workers=1, drain_s=1.0)
    transfer.write(Settings(project=ProjectSettings(home=str(made.home)), serving=serving), made.settings)
    return made


def _after(calls: int, owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a method raise once, after some calls."""
    real, left = getattr(owner, name), [calls]

    def broken(*args: object) -> object:
        left[0] -= 1
        if left[0] == -1:
            message = "nobody thought of this"
            raise RuntimeError(message)
        return real(*args)

    monkeypatch.setattr(owner, name, broken)


@pytest.mark.parametrize("calls", [0, 3])
@pytest.mark.parametrize(
    ("owner", "name", "work"),
    [(Follower, "look", "following the routes"), (Observation, "refresh", "the heartbeat")],
)
def test_a_process_whose_work_beside_answering_fails_ends(
    owner: type,
    name: str,
    work: str,
    calls: int,
    *,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _after(calls, owner, name, monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        code = process.main(["--settings", str(node.settings), "--slot", "0", "--fd", str(listening.detach())])
    assert code == 1
    (told,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert told.getMessage() == f"{work} failed; the process ends"
    assert told.exc_info is not None
    assert isinstance(told.exc_info[1], RuntimeError)
    assert node.board.statuses() == ()  # it said goodbye: the log is closed and the board is clean


def test_the_log_is_closed_whatever_else_cannot_be(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[None] = []

    def broken(_: Observation) -> None:
        message = "nobody thought of this"
        raise RuntimeError(message)

    real = Journal.close
    monkeypatch.setattr(Observation, "refresh", broken)
    monkeypatch.setattr(Journal, "close", lambda upkeep: closed.append(real(upkeep)))
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(RuntimeError, match="nobody thought"):
        process.main(["--settings", str(node.settings), "--slot", "0", "--fd", str(listening.detach())])
    assert len(closed) == 1
    assert node.board.statuses() == ()


class _Refuses:
    """Raises what kilter raises, a few times, then ends the round."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls > 2:
            raise asyncio.CancelledError
        message = "no room"
        raise StoreError(message, hint="make room")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("follow", "cannot follow: no room"),
        ("keep_log", "the log refuses: no room"),
        ("show", "cannot report: no room"),
    ],
)
def test_what_kilter_refuses_is_tried_again(
    name: str, said: str, *, node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for pause in ("_POLL_S", "_FLUSH_S", "_HEARTBEAT_S", "_SYNC_S"):
        monkeypatch.setattr(rounds, pause, 0.0)
    refuses = _Refuses()

    async def run() -> bool:
        parts = plane.serving(transfer.read(node.settings), 0)
        monkeypatch.setattr(type(parts.upkeep), "flush", lambda _: refuses())
        follower = Follower(
            predictor=parts.predictor,
            journal=parts.journal,
            routes=parts.routes,
            token=parts.token,
            marks=parts.flip.marks,
        )
        made = Rounds(parts, slot=0, follower=follower, follow=refuses, tend=refuses)
        made.begin()
        try:
            with pytest.raises(asyncio.CancelledError):
                await getattr(made, name)()
        finally:
            follower.close()
            parts.predictor.close()
            monkeypatch.undo()
            parts.upkeep.close()
        return made.has_looked.is_set()

    assert asyncio.run(run()) is (name == "follow")
    assert refuses.calls == 3
    assert [record.getMessage() for record in caplog.records].count(said) == 2


def test_a_status_that_cannot_be_written_stops_nothing_and_is_said_once(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rounds, "_HEARTBEAT_S", 0.0)
    tended: list[None] = []

    def tend() -> None:
        tended.append(None)
        if len(tended) == 3:
            monkeypatch.setattr(Board, "report", real)  # there is room again
        if len(tended) > 4:
            raise asyncio.CancelledError

    real, refuses = Board.report, StoreError("no room", why="the disk is full", hint="make room")

    def full(*_: object) -> None:
        raise refuses

    async def run() -> None:
        parts = plane.serving(transfer.read(node.settings), 0)
        follower = Follower(
            predictor=parts.predictor,
            journal=parts.journal,
            routes=parts.routes,
            token=parts.token,
            marks=parts.flip.marks,
        )
        made = Rounds(parts, slot=0, follower=follower, follow=lambda: None, tend=tend)
        monkeypatch.setattr(Board, "report", full)
        made.begin()
        assert node.board.statuses() == ()
        with pytest.raises(asyncio.CancelledError):
            await made.show()
        follower.close()
        parts.predictor.close()
        parts.upkeep.close()

    asyncio.run(run())
    assert [status.slot for status in node.board.statuses()] == [0]
    said = [record.getMessage() for record in caplog.records]
    assert said.count("cannot report: no room: the disk is full") == 1
