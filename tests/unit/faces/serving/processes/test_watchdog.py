"""A process that hangs is found; one that is merely slow, new or woken up is not."""

from __future__ import annotations

from kilter.contracts.route import AcceptorStatus
from kilter.faces.serving.processes.watchdog import Watchdog


class Node:
    def __init__(self) -> None:
        self.now = 0.0
        self.beats = {0: 1, 1: 1}
        self.running: dict[int, int | None] = {0: 100, 1: 101}
        self.watchdog = Watchdog(self.statuses, now_s=lambda: self.now)

    def statuses(self) -> list[AcceptorStatus]:
        return [
            AcceptorStatus(
                slot=slot,
                pid=100 + slot,
                generation=1,
                prepared=0,
                refused="",
                sealed_epoch=0,
                requests=0,
                failures=0,
                started_ns=0,
                heartbeat_ns=beat,
            )
            for slot, beat in self.beats.items()
        ]

    def after(self, seconds: int, *, beating: tuple[int, ...] = ()) -> set[int]:
        found: set[int] = set()
        for _ in range(seconds):
            self.now += 1.0
            for slot in beating:
                self.beats[slot] += 1
            found |= set(self.watchdog.hung(self.running))
        return found


def test_a_heartbeat_that_stands_still_is_a_hang() -> None:
    node = Node()
    assert node.after(15, beating=(0,)) == set()
    assert node.after(3, beating=(0,)) == {1}


def test_a_process_that_is_not_the_one_that_runs_is_nobodys_business() -> None:
    node = Node()
    node.running[1] = 999  # the status on the board is that of the process before
    assert node.after(30, beating=(0,)) == set()
    node.running[1] = None
    assert node.after(30, beating=(0,)) == set()


def test_time_in_which_nobody_looked_does_not_count() -> None:
    node = Node()
    node.after(10)
    node.now += 3_600.0
    assert node.after(1) == set()
    assert node.after(14) == set()
    assert node.after(3) == {0, 1}


def test_it_looks_once_a_second() -> None:
    node = Node()
    node.after(1)
    node.now += 0.5
    assert node.watchdog.hung(node.running) == ()
