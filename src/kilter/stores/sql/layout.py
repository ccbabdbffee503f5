"""What the metadata stores know of each kind of record: its table, its filterable fields, what is unique."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from kilter.contracts.decision import Decision, Job, Lease, OutboxEvent
from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.evidence import AuditRow
from kilter.contracts.log import LogPart, LogSegment
from kilter.contracts.metadata import Record
from kilter.contracts.model import Model, ModelVersion
from kilter.contracts.monitor import Alert, Signal, Window
from kilter.contracts.rollout import Rollout, RolloutStep
from kilter.contracts.trigger import Trigger
from kilter.contracts.verdict import CheckRun

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LAYOUT", "MAX_LIMIT", "KindLayout", "check_limit", "column_value", "layout_of"]

MAX_LIMIT = 5_000
"""Most records that one ``list`` returns."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindLayout:
    """One kind of record: the table it lies in, the fields that are columns, the groups of fields that are unique.

    ``numbers`` are the columns that hold integers: counts, truths (0 and 1), times (microseconds since the epoch).
    """

    kind: type[Record]
    table: str
    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns besides ``id``, ``version`` and ``body``."""
        return (*self.texts, *self.numbers)

    @property
    def is_mutable(self) -> bool:
        """Say whether records of this kind can be replaced: they carry a version."""
        return "version" in {field.name for field in fields(self.kind)}  # type: ignore[arg-type]

    def row(self, record: Record) -> dict[str, str | int | None]:
        """Return the values of all columns of a record but its body."""
        names = ("id", "version", *self.columns) if self.is_mutable else ("id", *self.columns)
        return {name: column_value(getattr(record, name)) for name in names}

    def conditions(self, where: Mapping[str, object] | None) -> dict[str, str | int | None]:
        """Return the filter with values as the columns hold them.

        Raises
        ------
        ValueError
            If a field is not a column of this kind.
        """
        known = {"id", *self.columns, *(("version",) if self.is_mutable else ())}
        unknown = sorted(set(where or ()) - known)
        if unknown:
            message = (
                f"{self.kind.__name__} is not filtered by {', '.join(unknown)}, only by {', '.join(sorted(known))}"
            )
            raise ValueError(message)
        return {name: column_value(value) for name, value in (where or {}).items()}


LAYOUT: tuple[KindLayout, ...] = (
    KindLayout(kind=Model, table="models", texts=("name", "owner", "risk"), unique=(("name",),)),
    KindLayout(
        kind=ModelVersion,
        table="model_versions",
        texts=("model_id", "model_name", "digest", "origin", "trigger_id"),
        numbers=("number", "parent_number"),
        unique=(("model_id", "number"), ("model_id", "digest")),
    ),
    KindLayout(
        kind=CheckRun,
        table="check_runs",
        texts=("version_id", "model_name", "data_name", "data_digest", "state"),
        numbers=("number",),
    ),
    KindLayout(kind=Deployment, table="deployments", numbers=("champion", "previous", "generation")),
    KindLayout(
        kind=Hold,
        table="holds",
        texts=("deployment", "digest", "metric", "created_by", "released_by"),
        numbers=("number", "released_at"),
    ),
    KindLayout(
        kind=Rollout,
        table="rollouts",
        texts=("deployment", "state", "origin"),
        numbers=("champion", "candidate", "step", "finished_at"),
    ),
    KindLayout(
        kind=RolloutStep,
        table="rollout_steps",
        texts=("rollout_id", "deployment", "from_state", "to_state", "event"),
        numbers=("step",),
    ),
    KindLayout(
        kind=Window,
        table="windows",
        texts=("deployment", "trust"),
        numbers=("number", "is_mature", "start_at", "end_at", "closed_at"),
    ),
    KindLayout(
        kind=Signal,
        table="signals",
        texts=("deployment", "family", "name"),
        numbers=("number", "last_window"),
    ),
    KindLayout(
        kind=Alert,
        table="alerts",
        texts=("deployment", "family", "severity", "acknowledged_by", "closed_reason"),
        numbers=("number", "window", "closed_at"),
    ),
    KindLayout(
        kind=Decision,
        table="decisions",
        texts=("key", "deployment", "kind", "command", "by"),
        unique=(("key",),),
    ),
    KindLayout(kind=OutboxEvent, table="outbox", texts=("topic", "subject"), numbers=("is_done", "is_parked")),
    KindLayout(kind=Lease, table="leases", texts=("holder",), numbers=("token",)),
    KindLayout(kind=Job, table="jobs", texts=("kind", "deployment", "state")),
    KindLayout(
        kind=Trigger,
        table="triggers",
        texts=("deployment", "state", "reason", "command"),
        numbers=("parent", "is_manual", "candidate"),
    ),
    KindLayout(kind=AuditRow, table="audit", texts=("by", "action", "subject")),
    KindLayout(kind=LogSegment, table="log_segments", texts=("digest",)),
    KindLayout(
        kind=LogPart,
        table="log_parts",
        texts=("deployment", "kind", "date", "path"),
        numbers=("superseded_at", "deleted_at"),
    ),
)
"""All kinds that are stored."""


@cache
def layout_of(kind: type[object]) -> KindLayout:
    """Return the layout of a kind.

    Raises
    ------
    ValueError
        If records of this type are not stored.
    """
    for layout in LAYOUT:
        if layout.kind is kind:
            return layout
    message = f"{kind.__name__} is not a kind of record that is stored"
    raise ValueError(message)


def column_value(value: object) -> str | int | None:
    """Return a field's value as its column holds it.

    Raises
    ------
    ValueError
        If the value is of a type that no column holds.
    """
    match value:
        case None:
            return None
        case Enum():
            return str(value.value)
        case str():
            return value
        case int():
            return int(value)
        case datetime():
            return (value - _EPOCH) // _MICROSECOND
    message = f"a column holds text, integers, truths and times, not {type(value).__name__}"
    raise ValueError(message)


def check_limit(limit: int) -> None:
    """Refuse a page that is empty or too large.

    Raises
    ------
    ValueError
        If the limit is not in 1 to 5,000.
    """
    if not 1 <= limit <= MAX_LIMIT:
        message = f"limit is {limit}, not in 1 to {MAX_LIMIT}"
        raise ValueError(message)
