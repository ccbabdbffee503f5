"""Tells what happens while it happens, from what the control plane says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from kilter.demo.watch import Watch

__all__ = ["Narrator"]

_PAGE = 50


class Narrator:
    """Prints one line for every new alert, decision and step of a rollout.

    Guarantees: each is told once, in the order in which it happened.
    """

    def __init__(self, watch: Watch, model: str, say: Callable[[str], None]) -> None:
        self._watch, self._model, self._say = watch, model, say
        self._told: set[str] = set()
        self._state = ""

    def tell(self, now: datetime) -> None:
        """Tell what is new, and how kilter sees the model if that has changed.

        Raises
        ------
        NotReady
            If the control plane does not answer.
        """
        lines: list[tuple[str, str, str]] = []
        for alert in self._items(f"/v1/alerts?deployment={self._model}&limit={_PAGE}"):
            lines += self._new(alert, "opened_at", f"{alert['severity']}: {alert['headline']}")
        for decision in self._items(f"/v1/decisions?deployment={self._model}&limit={_PAGE}"):
            lines += self._new(decision, "at", f"decision: {decision['reason']}")
        for rollout in self._items(f"/v1/rollouts?deployment={self._model}&limit={_PAGE}"):
            if rollout.get("finished_at") and f"final {rollout['id']}" in self._told:
                continue
            for step in self._items(f"/v1/rollouts/{rollout['id']}/steps?limit={_PAGE}"):
                lines += self._new(step, "at", self._step(rollout, step))
            if rollout.get("finished_at"):
                self._told.add(f"final {rollout['id']}")
        for at, _, text in sorted(lines):
            self._say(f"{at[:10]}  {text}")
        status = self._watch.status()
        if status["state"] != self._state:
            self._state = str(status["state"])
            self._say(f"{now:%Y-%m-%d}  status: {self._state}. {status['sentence']}")

    def _items(self, path: str) -> list[dict[str, object]]:
        """Return one page of a list."""
        items = self._watch.get(path).get("items")
        return items if isinstance(items, list) else []

    def _new(self, record: Mapping[str, object], time_field: str, text: str) -> list[tuple[str, str, str]]:
        """Return the line of a record that was not told yet."""
        key = str(record["id"])
        if key in self._told:
            return []
        self._told.add(key)
        return [(str(record[time_field]), key.partition("_")[2], text)]

    @staticmethod
    def _step(rollout: Mapping[str, object], step: Mapping[str, object]) -> str:
        """Put one step of a rollout into words."""
        weight = step["weight"]
        share = f", {weight / 100:g} % of traffic" if isinstance(weight, int) and weight else ""
        state = str(step["to_state"]).replace("_", " ")
        return f"rollout of version {rollout['candidate']}: {state}{share}. {step['reason']}"
