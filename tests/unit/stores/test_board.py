from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.route import AcceptorStatus
from kilter.errors import Conflict, StoreError
from kilter.stores.board import Board

if TYPE_CHECKING:
    from pathlib import Path


def status(slot: int, pid: int) -> AcceptorStatus:
    return AcceptorStatus(
        slot=slot,
        pid=pid,
        generation=1,
        prepared=2,
        refused="",
        sealed_epoch=3,
        requests=4,
        failures=0,
        started_ns=5,
        heartbeat_ns=6,
    )


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "run")


def test_an_empty_board_shows_nothing(board: Board) -> None:
    assert (board.statuses(), board.supervisor_pid(), board.seal_epoch()) == ((), None, 0)


def test_statuses_of_live_processes_are_shown_by_slot(board: Board) -> None:
    for slot in (1, 0):
        board.report(status(slot, os.getpid()))
    assert board.statuses() == (status(0, os.getpid()), status(1, os.getpid()))
    board.withdraw(0)
    board.withdraw(0)
    assert board.statuses() == (status(1, os.getpid()),)


def test_a_dead_process_is_not_shown(board: Board) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        board.report(status(0, child.pid))
        assert len(board.statuses()) == 1
    assert board.statuses() == ()


def test_a_reused_pid_is_not_believed(board: Board, tmp_path: Path) -> None:
    board.report(status(0, os.getpid()))
    shown = tmp_path / "run" / "acceptor-0.json"
    shown.write_bytes(shown.read_bytes().replace(b'"born":', b'"born":1'))
    (tmp_path / "run" / "acceptor-1.json").write_bytes(b"half a sta")
    assert board.statuses() == ()


def test_one_supervisor_at_a_time(board: Board, tmp_path: Path) -> None:
    board.claim()
    other = Board(tmp_path / "run")
    assert board.supervisor_pid() == other.supervisor_pid() == os.getpid()
    with pytest.raises(Conflict, match=str(os.getpid())) as caught:
        other.claim()
    assert caught.value.hint == f"use it, or stop it with `kill {os.getpid()}`"
    board.release()
    board.release()
    assert other.supervisor_pid() is None
    other.claim()
    other.release()


def test_a_stale_pid_file_is_not_believed(board: Board, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "supervisor.pid").write_text(str(os.getpid()))
    assert board.supervisor_pid() is None


def test_epochs_grow(board: Board, tmp_path: Path) -> None:
    assert [board.request_seal(), board.request_seal()] == [1, 2]
    assert Board(tmp_path / "run").seal_epoch() == 2


def test_a_folder_that_is_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    board = Board(tmp_path / "run")
    for call in (board.request_seal, board.seal_epoch, board.claim, board.supervisor_pid):
        with pytest.raises(StoreError):
            call()
