"""What is printed: a Markdown table for people, one line of JSON for programs."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.serving.target import Verdict

__all__ = ["machine", "markdown"]

_PACKAGES = ("kilter", "numpy", "onnxruntime", "uvicorn", "uvloop", "httptools", "msgspec", "orjson")


def machine() -> dict[str, str | int | float | None]:
    """Say where this was measured."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), model)
    versions = {name: version(name) for name in _PACKAGES}
    place = {"cpu": model, "cores": os.cpu_count(), "system": platform.release(), "python": platform.python_version()}
    return {**place, **versions, "load_before": round(os.getloadavg()[0], 2)}


def markdown(
    command: str,
    medians: Mapping[str, Mapping[str, float]],
    *,
    servers: Mapping[str, Mapping[str, float]],
    judged: Sequence[Verdict],
    skipped: Mapping[str, str],
    place: Mapping[str, object],
    loader: str,
) -> str:
    """Return the report."""
    lines = [f"`{command}`", ""]
    lines += [
        "| case | connections | requests/s | p50 ms | p99 ms | server cpu us | failed |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for key, row in medians.items():
        case, _, connections = key.rpartition("@")
        figures = f"{row['per_second']:,.0f} | {row['p50_ms']:.3f} | {row['p99_ms']:.3f} | {row['cpu_us']:,.0f}"
        lines.append(f"| {case} | {connections} | {figures} | {row['failures']:.0f} |")
    lines += ["", "| server | ready after s | memory MB, all processes | of a worker |", "|---|--:|--:|--:|"]
    for name, row in servers.items():
        ready, every, worker = (row.get(key) for key in ("ready_s", "memory_mb", "worker_mb"))
        shown = " | ".join(
            "-" if value is None else f"{value:,.{digits}f}" for value, digits in ((ready, 2), (every, 0), (worker, 0))
        )
        lines.append(f"| {name} | {shown} |")
    lines += ["", "| target | measured | asked | |", "|---|--:|--:|---|"]
    for verdict in judged:
        value = "-" if verdict.value is None else f"{verdict.value:,.2f}"
        sign = ">=" if verdict.is_at_least else "<="
        mark = {True: "met", False: "**missed**", None: "not measured"}[verdict.is_met]
        lines.append(f"| {verdict.what} | {value} | {sign} {verdict.bound:,g} | {mark} |")
    lines += ["", *(f"- not measured: {name}: {reason.splitlines()[0]}" for name, reason in skipped.items())]
    for case, row in medians.items():
        if "loader_share" in row:
            lines.append(
                f"- {case}: our own loader used {row['loader_share']:.0%} of a core; at 100 % it would be the limit"
            )
    versions = ", ".join(f"{name} {place[name]}" for name in _PACKAGES)
    lines += [
        "",
        f"{place['cpu']}, {place['cores']} cores, Linux {place['system']}, Python {place['python']}; {versions}.",
    ]
    lines += [f"Load by {loader} on the same cores; load average before: {place['load_before']}."]
    return "\n".join(lines)
