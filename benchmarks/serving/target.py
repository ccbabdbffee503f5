"""What is asked of kilter, and what was measured. People judge; the exit code does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Verdict", "verdicts"]

_PEERS = {"mlserver": 15.0, "litserve": 14.0, "mlflow": 25.0, "bentoml": 40.0, "ray": 100.0}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target; ``value`` is None when nothing was measured."""

    what: str
    value: float | None
    bound: float
    is_at_least: bool = True

    @property
    def is_met(self) -> bool | None:
        """Say whether the target is met, None if nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.is_at_least else self.value <= self.bound


def verdicts(figures: Mapping[str, Mapping[str, float]], servers: Mapping[str, Mapping[str, float]]) -> list[Verdict]:
    """Compare medians with the targets.

    Parameters
    ----------
    figures : mapping of case to mapping of figure to median
        ``case@connections``.
    servers : mapping of server to mapping of figure to number
        ``ready_s``, ``memory_mb`` of all processes, ``worker_mb`` of kilter's largest worker.
    """

    def rate(case: str) -> float | None:
        return figures[case]["per_second"] if case in figures else None

    def share(case: str, of: str) -> float | None:
        one, other = rate(case), rate(of)
        return None if one is None or not other else one / other

    rows = rate("kilter binary, 64 rows@64")
    found = [
        Verdict("/predict, 64 connections, requests/s", rate("kilter /predict@64"), 12_000.0),
        Verdict("/predict beside a plain no-op", share("kilter /predict@64", "no-op, ASGI@64"), 0.4),
        Verdict("p50 at 1 connection, ms", figures.get("kilter /predict@1", {}).get("p50_ms"), 0.2, is_at_least=False),
        Verdict("p99 at 1 connection, ms", figures.get("kilter /predict@1", {}).get("p99_ms"), 0.5, is_at_least=False),
        Verdict("64 rows binary, rows/s", None if rows is None else rows * 64, 400_000.0),
        Verdict("gRPC, 64 connections, requests/s", rate("kilter gRPC@64"), 3_500.0),
        Verdict("level disk beside process", share("kilter /predict, disk@64", "kilter /predict@64"), 0.8),
        Verdict("two workers beside one", share("kilter /predict, 2 workers@64", "kilter /predict@64"), 1.6),
        Verdict("memory of a worker, MB", servers.get("kilter", {}).get("worker_mb"), 120.0, is_at_least=False),
        Verdict("ready after start, s", servers.get("kilter", {}).get("ready_s"), 1.0, is_at_least=False),
    ]
    for peer, bound in _PEERS.items():
        best = [row["per_second"] for case, row in figures.items() if case.startswith(f"{peer}@")]
        ours = rate("kilter /predict@64")
        if best and ours is not None:
            found.append(Verdict(f"/predict beside {peer} at its best", ours / max(best), bound))
    return found
