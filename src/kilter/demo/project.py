"""Lays out the demo's project folder, as a user would."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import pyarrow.parquet as pq

from kilter.demo.rides import TARGET, Rides, in_utc
from kilter.demo.training import fit

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

__all__ = ["NAME", "Project", "free_port", "lay_out", "write_settings"]

NAME = "busy-hours"

_SETTINGS = """\
schema = 1

[project]
name = "Bike rides"
clock = {clock}

[server]
port = {port}

[serving]
port = {data_port}
grpc_port = {grpc_port}
workers = 2

[control]
poll_s = 0.05

[model]
name = "{name}"
source = {source}
target = "{target}"
positive = "1"
owner = "ride planning"
purpose = "say an hour ahead whether many bikes will be rented"
risk = "minimal"
trust = true

[data]
reference = {data}
holdout = {data}
label_delay = "2d"

[rollout]
steps = [25, 100]
step_min = "7d"
step_max = "120d"
min_units = 40
deadline = "240d"
hold_max = "60d"
margins = {{ error = 0.05, loss = 0.05 }}

[monitor]
window = "14d"
min_rows = 300
every = "7d"

[retrain]
command = "kilter.demo.training:train"
min_labels = 500
cool_down = "14d"
deadline = "30d"
promote = "auto"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Where everything of one demo is."""

    folder: Path
    port: int
    data_port: int
    grpc_port: int

    @property
    def home(self) -> Path:
        """The home folder that kilter makes."""
        return self.folder / ".kilter"

    @property
    def clock(self) -> Path:
        """The replayed clock."""
        return self.folder / "clock"


def free_port(wanted: int) -> int:
    """Return the wanted port if it is free, else one that is."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    message = "no port is free on 127.0.0.1"
    raise OSError(message)


def lay_out(project: Project, rides: Rides) -> None:
    """Train the first model and the faulty one, and write both beside their data.

    The faulty one learns from an export whose hour of day is in UTC; its held-out rows come from the
    same export, so they agree with it.
    """
    project.folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rides.holdout, project.folder / "holdout.parquet")
    _save(fit(rides.train), project.folder / "model.joblib")
    pq.write_table(in_utc(rides.holdout), project.folder / "export.parquet")
    _save(fit(in_utc(rides.train)), project.folder / "export.joblib")
    write_settings(project, source="model.joblib", data="holdout.parquet")


def write_settings(project: Project, *, source: str, data: str) -> None:
    """Write kilter.toml."""
    text = _SETTINGS.format(
        clock=json.dumps(f"replay:{project.clock}"),
        port=project.port,
        data_port=project.data_port,
        grpc_port=project.grpc_port,
        name=NAME,
        target=TARGET,
        source=json.dumps(source),
        data=json.dumps(data),
    )
    (project.folder / "kilter.toml").write_text(text, encoding="utf-8")


def _save(model: ClassifierMixin, path: Path) -> None:
    """Write a model as most people do."""
    joblib.dump(model, path)
