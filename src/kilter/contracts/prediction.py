"""What is written down of every request, and of every truth that arrives later."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum
from typing import NamedTuple, TypeAlias

__all__ = [
    "OWN_ARMS",
    "Arm",
    "EventRecord",
    "FeedbackRecord",
    "Flag",
    "LogRecord",
    "PredictionRecord",
    "RecordKind",
    "SchemaRecord",
]


class RecordKind(IntEnum):
    """First byte of a frame's payload."""

    PREDICTION = 1
    FEEDBACK = 2
    SHADOW = 3
    FAILURE = 4
    EVENT = 5
    TOMBSTONE = 6
    SCHEMA = 7
    SEAL = 255


class Arm(StrEnum):
    """Why this version answered: outside any experiment, one of its two arms, asked for by number, or instead."""

    CHAMPION = "champion"
    CONTROL = "control"
    CHALLENGER = "challenger"
    PINNED = "pinned"
    SHADOW = "shadow"
    FALLBACK = "fallback"


OWN_ARMS: tuple[str, ...] = ("champion", "control", "challenger", "pinned")
"""Arms whose answers are those of the version that was chosen: a fallback speaks for none."""


class Flag(IntFlag):
    """Facts about one request; ``RETRIED``: its process died with it in flight, so it was handed out once more."""

    NONE = 0
    UNSTICKY = 1
    UNSEEN_LEVEL = 2
    OUT_OF_RANGE = 4
    MISSING_FILLED = 8
    FALLBACK = 16
    INPUTS_REDACTED = 32
    LATE_GENERATION = 64
    RETRIED = 128


class PredictionRecord(NamedTuple):
    """One request and its answer (kinds prediction, shadow, failure).

    ``numeric`` holds float64 row-major of shape (rows, numeric columns), ``text`` the text cells
    row-major; names are those of the segment's ``SchemaRecord`` for ``digest``. ``raw`` and
    ``outputs`` are float64 (rows, classes) or (rows,): before and after the calibration map
    (``outputs`` empty = the same as ``raw``). ``key`` is the keyed 64-bit hash of the routing key
    (outside of a rollout, for a request without a key: random bits of its id).
    The order of the fields after ``kind`` is that of the log's bytes: new ones are only appended.
    """

    kind: RecordKind
    prediction_id: str
    ts_ns: int
    deployment: str
    version: int
    digest: str
    generation: int
    arm: Arm
    propensity: float
    face: str
    rows: int
    numeric: bytes
    text: tuple[str | None, ...]
    raw: bytes
    outputs: bytes
    threshold: float
    key: int
    entity_id: str | None = None
    compute_us: int = 0
    total_us: int = 0
    flags: int = 0
    request_id: str = ""
    parent_id: str = ""
    rollout_id: str = ""
    error_code: str = ""
    queue_us: int = 0
    trace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecord:
    """A label that arrived. ``label`` is the text form of the truth (class name or number).

    ``prediction_id`` may end in ``:row``; otherwise ``entity_id`` is given.
    """

    feedback_id: str
    ts_ns: int
    deployment: str
    label: str
    observed_ns: int
    prediction_id: str = ""
    entity_id: str = ""
    name: str = ""
    source: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Something that happened to the data plane: swap, refusal, recovery."""

    ts_ns: int
    name: str
    detail: str
    deployment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRecord:
    """Names of the columns of one version's records; written before their first record in a segment."""

    digest: str
    numeric: tuple[str, ...]
    text: tuple[str, ...]
    classes: tuple[str, ...]
    target: str


LogRecord: TypeAlias = PredictionRecord | FeedbackRecord | EventRecord | SchemaRecord
