"""What a gate says of its readings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from kilter.contracts.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CheckRun", "GateRule", "GateSpec", "Judge", "OnFail", "Verdict", "VerdictState"]


class VerdictState(StrEnum):
    """The four answers of a gate; only ``pass`` lets anything through."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


class OnFail(StrEnum):
    """What a failed gate does."""

    BLOCK = "block"
    REVIEW = "review"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """One rule over one metric, as written under ``[[gates]]``.

    Exactly one of the limits (``min``/``max``) or ``no_worse_than`` is usual; both are allowed.
    ``slices`` names columns: the rule is then judged in each of their levels or decile groups.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    no_worse_than: str = ""
    margin: float | None = None
    slices: tuple[str, ...] = ()
    min_rows: int = 100
    required: bool = True
    on_fail: OnFail = OnFail.BLOCK
    on_inconclusive: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One gate's answer, with the sentence that explains it and the readings behind it."""

    gate: str
    state: VerdictState
    reason: str
    on_fail: OnFail = OnFail.BLOCK
    readings: tuple[Reading, ...] = ()
    rows_needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """One run of all gates on one version and one data set."""

    id: str
    version_id: str
    model_name: str
    number: int
    data_name: str
    data_digest: str
    rows: int
    state: VerdictState
    verdicts: tuple[Verdict, ...]
    readings: tuple[Reading, ...]
    created_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSpec:
    """The one constant ``GATE`` of a judge's file."""

    id: str
    title: str


class Judge(Protocol):
    """A judge's module: its constant and its function.

    Guarantees: pure; missing evidence never passes; a wider interval never decides.
    """

    GATE: GateSpec

    def judge(self, readings: Sequence[Reading], rule: GateRule) -> Verdict:
        """Judge readings of the rule's metric.

        Raises
        ------
        Nothing
        """
        ...
