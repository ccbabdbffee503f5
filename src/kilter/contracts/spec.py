"""The desired state of one deployment: what ``kilter.toml`` says, parsed."""

from __future__ import annotations

from dataclasses import dataclass, field

from kilter.contracts.verdict import GateRule

__all__ = [
    "DataSpec",
    "DeploymentSpec",
    "LogSpec",
    "ModelSpec",
    "MonitorSpec",
    "RetrainSpec",
    "RolloutSpec",
    "ServeSpec",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """``[model]``: the name, where the model comes from, and what it is for."""

    name: str
    source: str
    version: str = "auto"
    task: str = "auto"
    target: str = ""
    positive: str = ""
    owner: str = ""
    purpose: str = ""
    risk: str = "limited"
    trust: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """``[data]``: tables for the reference profile and the gates, and what its columns mean."""

    reference: str = ""
    holdout: str = ""
    id: str = ""
    time: str = ""
    protected: tuple[str, ...] = ()
    pii: tuple[str, ...] = ()
    label_delay_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSpec:
    """``[deployment]``: how requests are answered, and what becomes of those that cannot be."""

    deadline_ms: int = 1000
    max_batch_rows: int = 65_536
    max_in_flight: int = 512
    on_overload: str = "shed"
    on_error: str = "closed"
    fallback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSpec:
    """``[log]``: what is written of each prediction, and how durably."""

    durable: str = "process"
    on_full: str = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """``[rollout]``: how a new version takes over. ``steps`` are per cent of traffic.

    ``margins`` maps a metric (``error``, ``loss``) to the harm margin that replaces its default.
    """

    strategy: str = "canary"
    key: str = ""
    steps: tuple[float, ...] = (1.0, 5.0, 25.0, 50.0, 100.0)
    step_min_s: float = 1_800.0
    step_max_s: float = 86_400.0
    min_units: int = 500
    deadline_s: float = 7 * 86_400.0
    hold_max_s: float = 72 * 3_600.0
    margins: tuple[tuple[str, float], ...] = ()
    promote_without_labels: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSpec:
    """``[monitor]``: windows, false-alarm budgets and tolerances.

    ``pages_period_s`` and ``notices_period_s`` are the stated mean times between false alarms.
    """

    window_s: float = 3_600.0
    min_rows: int = 500
    every_s: float = 300.0
    pages_period_s: float = 90 * 86_400.0
    notices_period_s: float = 30 * 86_400.0
    drift_tolerance: float = 0.05
    loss_tolerance_absolute: float = 0.02
    loss_tolerance_relative: float = 0.10
    calibration_tolerance: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainSpec:
    """``[retrain]``: what may start a repair, and what it runs. ``command`` is ``module:function``."""

    triggers: tuple[str, ...] = ("performance", "calibration")
    action: str = "ladder"
    auto_recalibrate: bool = True
    command: str = ""
    min_labels: int = 1_000
    cool_down_s: float = 86_400.0
    per_week: int = 2
    deadline_s: float = 86_400.0
    promote: str = "review"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """Everything wanted of one deployment."""

    model: ModelSpec
    data: DataSpec = field(default_factory=DataSpec)
    deployment: ServeSpec = field(default_factory=ServeSpec)
    log: LogSpec = field(default_factory=LogSpec)
    gates: tuple[GateRule, ...] = ()
    rollout: RolloutSpec = field(default_factory=RolloutSpec)
    monitor: MonitorSpec = field(default_factory=MonitorSpec)
    retrain: RetrainSpec = field(default_factory=RetrainSpec)
