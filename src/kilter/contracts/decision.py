"""Decisions, the commands they give, and the events that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kilter.contracts.ids import DecisionId

__all__ = ["Decision", "Job", "Lease", "OutboxEvent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision by policy or a person, with its reasons and evidence.

    ``command`` names exactly one service action (empty: nothing to do); ``key`` makes it
    idempotent: the same key is decided once.
    """

    id: DecisionId
    key: str
    deployment: str
    kind: str
    reason: str
    command: str
    arguments: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    by: str = "policy"
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEvent:
    """Something that became true and must be acted on; kept until it was.

    Delivered at least once, in order per ``subject``; a failed delivery is retried from
    ``available_at``; after 20 attempts the event is parked and alerted, never dropped.
    """

    id: str
    topic: str
    subject: str
    payload: Mapping[str, str | int | float | bool | None]
    created_at: datetime
    available_at: datetime
    attempts: int = 0
    is_done: bool = False
    is_parked: bool = False
    last_error: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who leads; ``token`` grows with every change of hands and fences off a paused leader."""

    id: str
    holder: str
    token: int
    expires_at: datetime
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of long work that people can watch and cancel."""

    id: str
    kind: str
    deployment: str
    state: str
    progress: float
    message: str
    created_at: datetime
    updated_at: datetime
    version: int = 1
