"""The settings tree: what every part of kilter is told when it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kilter.contracts.spec import DeploymentSpec

__all__ = ["ControlSettings", "ProjectSettings", "ServerSettings", "ServingSettings", "Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """``[project]``: its name, its home folder (absolute), and the clock that it lives by.

    ``clock`` is ``system``, or ``replay:PATH`` for a clock that a replay drives.
    """

    name: str = "kilter"
    home: str = ".kilter"
    folder: str = "."
    clock: str = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """``[server]``: where the control plane listens."""

    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """``[serving]``: where the data plane listens, for all deployments. ``workers = 0``: one per usable core.

    ``grpc_port = 0``: no gRPC. A program that starts a plane may also ask for any free port (``port`` 0,
    ``grpc_port`` -1); the supervisor writes down which it got.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int = 8081
    metrics_port: int = 0
    workers: int = 0
    body_max_bytes: int = 16 * 1024 * 1024
    fast_path: str = "auto"
    drain_s: float = 30.0
    prepare_timeout_s: float = 120.0
    default_deployment: str = ""
    repository_control: str = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """``[control]``: how often the loop turns, in seconds of the machine's own clock."""

    poll_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything, parsed once. ``origins`` says of each value that is not a default where it came from."""

    project: ProjectSettings = field(default_factory=ProjectSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)
    control: ControlSettings = field(default_factory=ControlSettings)
    deployments: tuple[DeploymentSpec, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    def deployment(self, name: str) -> DeploymentSpec | None:
        """Return the desired state of a deployment, or None if the file does not name it."""
        return next((spec for spec in self.deployments if spec.model.name == name), None)
