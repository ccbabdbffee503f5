"""A deployment's live state, and the holds that keep rejected versions out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kilter.contracts.ids import Digest
from kilter.contracts.spec import DeploymentSpec

__all__ = ["Deployment", "Hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What one deployment is now. ``id`` is its name; ``champion`` is a version number of its model.

    ``generation`` is the last route generation that the control plane knows of.
    """

    id: str
    spec: DeploymentSpec
    champion: int | None
    previous: int | None
    generation: int
    created_at: datetime
    updated_at: datetime
    monitored_until: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A version that was rejected; applying its digest again is refused until overridden."""

    id: str
    deployment: str
    number: int
    digest: Digest
    reason: str
    metric: str
    evidence: tuple[str, ...]
    created_at: datetime
    created_by: str
    released_at: datetime | None = None
    released_by: str = ""
    version: int = 1
