"""The person in the demo: asks for a retraining if none came, and one day ships a faulty export."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kilter.demo.processes import command
from kilter.demo.project import NAME, Project, write_settings
from kilter.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.demo.watch import Watch

__all__ = ["Operator", "Shipment"]

_ASK_TO_RETRAIN = datetime(2012, 4, 1, tzinfo=UTC)
_ASK_EVERY = timedelta(days=28)
_SHIP_EXPORT = datetime(2012, 7, 1, tzinfo=UTC)
_SHIP_ANYWAY = datetime(2012, 10, 1, tzinfo=UTC)


@dataclass(slots=True)
class Shipment:
    """What became of the faulty version. Times are of the machine's clock, in seconds since the epoch."""

    number: int = 0
    passed_gates: bool = False
    applied_at: datetime | None = None
    rolled_back_at: datetime | None = None
    flipped: float = 0.0
    refused_again: bool = False


class Operator:
    """Acts between two looks, through the same commands as any user."""

    def __init__(self, project: Project, watch: Watch, say: Callable[[str], None]) -> None:
        self.shipment = Shipment()
        self._project, self._watch, self._say = project, watch, say
        self._next_request = _ASK_TO_RETRAIN

    def act(self, now: datetime) -> None:
        """Do what is due.

        Raises
        ------
        EngineError
            If a command does not end as it should.
        """
        status = self._watch.status()
        if status.get("rollout") is None and status.get("trigger") is None:
            has_retrained = self._has_retrained()
            if now >= (_SHIP_EXPORT if has_retrained else _SHIP_ANYWAY) and not self.shipment.number:
                self._ship(now)
            elif now >= self._next_request and not has_retrained:
                self._ask(now)
        if self.shipment.number and self.shipment.rolled_back_at is None:
            self._follow(now)

    def _ask(self, now: datetime) -> None:
        """Ask for a retraining; whether its result is any better is for kilter to say."""
        self._next_request = now + _ASK_EVERY
        command(self._project, "retrain", NAME, "--reason", "a season of new labels", accept=(0, 1, 3))
        self._say(f"{now:%Y-%m-%d}  person: kilter retrain: a season of new labels")

    def _ship(self, now: datetime) -> None:
        """Ship a version that was trained and tested on an export with the hour in UTC."""
        folder = self._project.folder
        write_settings(self._project, source="export.joblib", data="export.parquet")
        command(
            self._project, "add", str(folder / "export.joblib"), "--name", NAME, "--trust",
            "--data", str(folder / "export.parquet"), "--target", "busy", "--positive", "1",
        )  # fmt: skip
        code, printed = command(self._project, "check", NAME, accept=(0, 1, 3, 4))
        self.shipment.passed_gates = code in (0, 4)
        self._say(f"{now:%Y-%m-%d}  person: a new export, its hours in UTC by mistake: {printed.splitlines()[-1]}")
        _, printed = command(self._project, "apply", NAME, "--yes")
        self._say(f"{now:%Y-%m-%d}  person: kilter apply: {printed.splitlines()[-2 if 'undo' in printed else -1]}")
        rollout = self._watch.status().get("rollout")
        if not isinstance(rollout, dict):
            msg = "the faulty version did not start a rollout"
            raise EngineError(msg, why=printed[-300:])
        self.shipment.number = int(rollout["candidate"])
        self.shipment.applied_at = now

    def _follow(self, now: datetime) -> None:
        """See whether the faulty version was rolled back; if so, try to ship it again."""
        rollouts = self._watch.get(f"/v1/rollouts?deployment={NAME}&limit=5").get("items")
        states = {one["candidate"]: one["state"] for one in rollouts} if isinstance(rollouts, list) else {}
        if states.get(self.shipment.number) not in ("rolled_back", "rejected"):
            return
        self.shipment.rolled_back_at = now
        self.shipment.flipped = (self._project.home / "route" / "table.json").stat().st_mtime
        code, printed = command(self._project, "apply", NAME, "--yes", accept=(0, 1))
        self.shipment.refused_again = code == 1
        line = next((line for line in printed.splitlines() if line.startswith("error:")), printed.splitlines()[-1])
        self._say(f"{now:%Y-%m-%d}  person: kilter apply again: {line}")
        write_settings(self._project, source="model.joblib", data="holdout.parquet")

    def _has_retrained(self) -> bool:
        """Say whether a retrained version was accepted."""
        triggers = self._watch.get(f"/v1/triggers?deployment={NAME}").get("items")
        return isinstance(triggers, list) and any(one["state"] == "accepted" for one in triggers)
