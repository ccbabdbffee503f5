"""What monitoring stores: windows, signals and alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kilter.contracts.ids import AlertId, Digest
from kilter.contracts.reading import Reading

__all__ = [
    "Alert",
    "DeploymentHealth",
    "HealthState",
    "LabelCoverage",
    "MonitorTick",
    "Severity",
    "Signal",
    "SignalState",
    "TrustState",
    "Window",
]


class Severity(StrEnum):
    """Harm, not drift, decides."""

    PAGE = "page"
    WARN = "warn"
    NOTICE = "notice"


class TrustState(StrEnum):
    """Whether a label-free estimate may be believed."""

    TRUSTED = "trusted"
    UNVERIFIED = "unverified"
    DISTRUSTED = "distrusted"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCoverage:
    """Labels of one window's predictions."""

    predictions: int
    joined: int
    pending: int
    missing: int
    delay_p50_s: float | None = None
    delay_p95_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One monitoring window of one deployment's champion traffic.

    ``profile`` names the blob of the mergeable profile. ``is_mature`` turns true once, when labels
    are complete enough to count; ``realised`` readings are None before.
    """

    id: str
    deployment: str
    number: int
    start_at: datetime
    end_at: datetime
    rows: int
    profile: Digest
    readings: tuple[Reading, ...]
    is_mature: bool = False
    coverage: LabelCoverage | None = None
    realised: tuple[Reading, ...] = ()
    trust: TrustState = TrustState.UNAVAILABLE
    trust_reason: str = ""
    closed_at: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalState:
    """Running state of one e-detector: logs of Shiryaev-Roberts statistic and of the evidence since the best start."""

    log_r: float = float("-inf")
    log_sum: float = 0.0
    log_sum_min: float = 0.0
    min_at: int = 0
    windows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One monitored quantity. ``id`` is ``deployment/version/family/name``."""

    id: str
    deployment: str
    number: int
    family: str
    name: str
    state: SignalState
    log_e: float = 0.0
    last_window: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that a person, or a repair, should act on; repeats update the open one."""

    id: AlertId
    deployment: str
    number: int
    family: str
    severity: Severity
    headline: str
    since: datetime
    window: int
    log_evidence: float
    log_threshold: float
    causes: tuple[str, ...]
    suggestion: str
    opened_at: datetime
    updated_at: datetime
    repeats: int = 0
    acknowledged_by: str = ""
    closed_at: datetime | None = None
    closed_reason: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorTick:
    """What one tick of the monitor did; the last three are ids of alerts."""

    deployment: str
    closed: int = 0
    matured: int = 0
    opened: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()


class HealthState(StrEnum):
    """The five words for how a deployment is."""

    FINE = "Fine"
    WATCH = "Watch"
    ATTENTION = "Needs attention"
    STOPPED = "Stopped"
    UNKNOWN = "Not enough data"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentHealth:
    """One word, one sentence and the next step; ``rows_needed`` more rows or labels before kilter can say."""

    deployment: str
    state: HealthState
    sentence: str
    next_step: str
    since: datetime | None = None
    rows_needed: int = 0
    trust: TrustState = TrustState.UNAVAILABLE
