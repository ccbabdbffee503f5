"""Replays the rides as requests, in order of time, with labels that come two days late.

Only the data and the clock are replayed: requests go over HTTP to real processes, and the clock stops
at every look until the control loop has looked.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kilter.demo.rides import FEATURES, LABEL_DELAY, TARGET, Rides
from kilter.errors import KilterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.demo.watch import Watch
    from kilter.engines.dataplane import DataPlane
    from kilter.stores.clock import ReplayFile

__all__ = ["Replay", "Tally"]

_NS = 1_000_000_000
_LOOK_EVERY = timedelta(days=7)


@dataclass(slots=True)
class Tally:
    """What the client saw. ``first_answer`` maps a version to the time of its first answer (machine clock)."""

    requests: int = 0
    failed: int = 0
    failed_during_swap: int = 0
    rows_acknowledged: int = 0
    labels_sent: int = 0
    generation: int = 0
    generations: set[int] = field(default_factory=set)
    first_answer: dict[int, float] = field(default_factory=dict)
    failures: list[tuple[int, int]] = field(default_factory=list)


class Replay:
    """A client that lives by the rides' clock."""

    def __init__(
        self,
        *,
        rides: Rides,
        model: str,
        plane: DataPlane,
        clock: ReplayFile,
        watch: Watch,
        speed: float,
    ) -> None:
        self.tally = Tally()
        self._rides, self._model, self._plane = rides, model, plane
        self._clock, self._watch, self._speed = clock, watch, speed
        self._due: deque[tuple[datetime, str, int]] = deque()

    def run(self, at_look: Callable[[datetime], None]) -> None:
        """Send everything; ``at_look`` is called after each look of the control loop.

        Raises
        ------
        KilterError
            If the control plane does not come to an end of its look.
        """
        columns = [self._rides.replay[name].to_pylist() for name in FEATURES]
        labels = self._rides.replay[TARGET].to_pylist()
        next_look = self._rides.hours[0] + _LOOK_EVERY
        day = self._rides.hours[0].date()
        for position, hour in enumerate(self._rides.hours):
            while hour >= next_look:
                self._look(next_look, at_look)
                next_look += _LOOK_EVERY
            if hour.date() != day:
                day = hour.date()
                self._send_labels(hour)
            self._set(hour)
            row = {name: column[position] for name, column in zip(FEATURES, columns, strict=True)}
            self._predict(row, hour, int(labels[position]))
        self._look(next_look, at_look)

    def _look(self, now: datetime, at_look: Callable[[datetime], None]) -> None:
        """Bring the labels up to date, stop the clock, and wait for the control loop."""
        self._send_labels(now)
        self._set(now)
        self._watch.wait(now)
        at_look(now)

    def _predict(self, row: dict[str, object], hour: datetime, label: int) -> None:
        """Send one request and remember when its label comes."""
        self.tally.requests += 1
        try:
            reply = self._plane.predict(self._model, [row])
        except KilterError:
            self.tally.failed += 1
            self.tally.failures.append((self.tally.requests, self.tally.generation))
            return
        generation, version = int(str(reply["generation"])), int(str(reply["version"]))
        if self.tally.failures and generation != self.tally.generation:
            last, before = self.tally.failures[-1]
            if last == self.tally.requests - 1 and before != generation:
                self.tally.failed_during_swap += 1
        self.tally.generation = generation
        self.tally.generations.add(generation)
        self.tally.rows_acknowledged += 1
        self.tally.first_answer.setdefault(version, time.time())
        self._due.append((hour + LABEL_DELAY, str(reply["prediction_id"]), label))

    def _send_labels(self, now: datetime) -> None:
        """Send every label that has become known."""
        items = []
        while self._due and self._due[0][0] <= now:
            observed, prediction, label = self._due.popleft()
            items.append(
                {
                    "prediction_id": prediction,
                    "label": label,
                    "observed_at": observed.isoformat().replace("+00:00", "Z"),
                }
            )
        if items:
            self._plane.feedback(self._model, items)
            self.tally.labels_sent += len(items)

    def _set(self, now: datetime) -> None:
        """Move the clock, at the asked speed."""
        self._clock.set(int(now.timestamp()) * _NS)
        if self._speed > 0:
            time.sleep(1.0 / self._speed)
