"""The route table: all that the data plane needs to serve, in one immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kilter.contracts.ids import Digest

__all__ = ["AcceptorStatus", "PlaneBoard", "Route", "RouteStore", "RouteTable", "RouteVariant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteVariant:
    """One version that can answer; ``digest`` names its manifest's blob."""

    version: int
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How one deployment is served. Weights and rates are integers out of 10,000.

    A challenger's share falls back to the champion after ``judged_until`` (nobody judges it any
    more). ``key`` is the sticky column; empty means the request's own key or id.
    ``on_overload`` (``shed``, ``fallback``) and ``on_error`` (``closed``, ``open``) say when ``fallback`` answers.
    """

    deployment: str
    champion: RouteVariant
    challenger: RouteVariant | None = None
    weight: int = 0
    shadow: RouteVariant | None = None
    shadow_rate: int = 0
    previous: RouteVariant | None = None
    rollout_id: str = ""
    salt: str = ""
    key: str = ""
    judged_until: datetime | None = None
    durable: str = "process"
    on_full: str = "fail"
    deadline_ms: int = 1000
    max_rows: int = 65_536
    redact: tuple[str, ...] = ()
    max_in_flight: int = 512
    on_overload: str = "shed"
    on_error: str = "closed"
    fallback: str = ""

    def __post_init__(self) -> None:
        """Refuse weights outside 0 to 10,000.

        Raises
        ------
        ValueError
            If a weight or rate is out of range.
        """
        if not (0 <= self.weight <= 10_000 and 0 <= self.shadow_rate <= 10_000):
            message = f"route {self.deployment}: weight and shadow_rate are integers from 0 to 10000"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """All routes of a node under one generation number, which only grows.

    ``origin`` says who wrote it: ``reconciler`` (desired state), ``rollback`` (a person, perhaps
    with the control plane down) or ``reflex`` (the supervisor).
    """

    generation: int
    written_at: datetime
    routes: tuple[Route, ...]
    origin: str = "reconciler"
    reason: str = ""

    def route(self, deployment: str) -> Route | None:
        """Return the route of a deployment, or None."""
        return next((route for route in self.routes if route.deployment == deployment), None)


class RouteStore(Protocol):
    """Where the live table is, and how a new one replaces it in two phases.

    Guarantees: readers see whole tables only; generations grow; a torn or damaged live table is
    answered from the previous one. One proposal at a time. Safe from several processes.
    """

    def live(self) -> RouteTable | None:
        """Return the table in force, or None before the first.

        Raises
        ------
        StoreError
            If neither the live nor the previous table can be read.
        """
        ...

    def previous(self) -> RouteTable | None:
        """Return the table before the live one, or None.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        ...

    def proposed(self) -> RouteTable | None:
        """Return the table that waits to be prepared by all acceptors, or None.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        ...

    def propose(self, table: RouteTable) -> None:
        """Offer a table of a higher generation than the live one.

        Raises
        ------
        WorldMoved
            If the live generation is not the one just below, or another proposal is open.
        StoreError
            If it cannot be written.
        """
        ...

    def settle(self, generation: int, *, refused: str | None = None) -> None:
        """Put the proposal of this generation in force, or drop it with a reason.

        Raises
        ------
        WorldMoved
            If the open proposal has another generation.
        StoreError
            If it cannot be written.
        """
        ...

    def refusal(self) -> tuple[int, str] | None:
        """Return generation and reason of the last proposal that was dropped, or None.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptorStatus:
    """What one serving process says of itself. Times are of the machine's own clock.

    ``prepared`` is the generation of the proposal examined last (0: none is open), ``proposal`` the
    fingerprint of exactly that table, ``refused`` why it cannot be served; empty means it is ready.
    """

    slot: int
    pid: int
    generation: int
    prepared: int
    refused: str
    sealed_epoch: int
    requests: int
    failures: int
    started_ns: int
    heartbeat_ns: int
    proposal: str = ""


class PlaneBoard(Protocol):
    """Small facts that the serving processes, their supervisor and the control plane show one another.

    Guarantees: whole values only; last writer wins; safe from several processes.
    """

    def report(self, status: AcceptorStatus) -> None:
        """Show this acceptor's status.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        ...

    def statuses(self) -> tuple[AcceptorStatus, ...]:
        """Return the status of every live acceptor, by slot.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        ...

    def supervisor_pid(self) -> int | None:
        """Return the process id of the running supervisor, or None.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        ...

    def request_seal(self) -> int:
        """Ask every acceptor to seal its open segment; return the epoch to wait for.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        ...

    def seal_epoch(self) -> int:
        """Return the latest epoch asked for; cheap enough to poll.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        ...
