"""What the loop asks of the services that it drives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from kilter.contracts.decision import Decision, OutboxEvent
    from kilter.contracts.monitor import MonitorTick
    from kilter.contracts.rollout import Rollout
    from kilter.contracts.trigger import Trigger

__all__ = ["Collected", "Collects", "Deploys", "Monitors", "Repairs", "Tends"]


class Collected(Protocol):
    """What a collection brought in."""

    @property
    def until_ns(self) -> int:
        """Every record before this time is in committed parts."""
        ...


class Collects(Protocol):
    """Brings the prediction log into the table."""

    def collect(self, now: datetime) -> Collected:
        """Seal, compact and commit what was logged."""
        ...


class Tends(Protocol):
    """Keeps the files of the log few and young."""

    def tend(self, now: datetime) -> object:
        """Do what is due; raise if the disk is nearly full."""
        ...


class Monitors(Protocol):
    """Closes windows, and opens alerts."""

    def tick(self, deployment: str, now: datetime) -> MonitorTick:
        """Look at one deployment's log up to ``now``."""
        ...


class Deploys(Protocol):
    """Moves rollouts on."""

    def adopt(self, now: datetime) -> tuple[str, ...]:
        """Take over tables that others wrote."""
        ...

    def tick(self, deployment: str, now: datetime) -> Rollout | None:
        """Judge one deployment's open rollout on evidence up to ``now``."""
        ...


class Repairs(Protocol):
    """Answers alerts with repairs."""

    def respond(self, event: OutboxEvent, now: datetime) -> Decision | None:
        """Decide on an event, or carry a decision out."""
        ...

    def tick(self, deployment: str, now: datetime) -> Trigger | None:
        """Drive one deployment's open retraining."""
        ...
