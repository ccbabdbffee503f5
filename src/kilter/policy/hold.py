"""Holds: versions that were rejected stay out until a person overrides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilter.contracts.deployment import Hold
from kilter.errors import OnHold

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from kilter.contracts.ids import Digest
    from kilter.contracts.model import ModelVersion

__all__ = ["holding", "new_hold", "on_hold", "released"]


def new_hold(
    hold_id: str,
    version: ModelVersion,
    *,
    deployment: str,
    reason: str,
    by: str,
    now: datetime,
    evidence: tuple[str, ...] = (),
) -> Hold:
    """Build the hold of a version; a reason that starts with a metric and a colon names the metric."""
    metric, colon, _ = reason.partition(":")
    return Hold(
        id=hold_id,
        deployment=deployment,
        number=version.number,
        digest=version.digest,
        reason=reason,
        metric=metric if colon and " " not in metric else "",
        evidence=evidence,
        created_at=now,
        created_by=by,
    )


def holding(holds: Iterable[Hold], digest: Digest) -> Hold | None:
    """Return the hold in force on a digest, or None."""
    return next((hold for hold in holds if hold.digest == digest and hold.released_at is None), None)


def released(hold: Hold, *, by: str, now: datetime) -> Hold:
    """Return the hold after a person overrode it."""
    return replace(hold, released_at=now, released_by=by, version=hold.version + 1)


def on_hold(hold: Hold) -> OnHold:
    """Build the refusal of a held version."""
    return OnHold(
        f"version {hold.number} of `{hold.deployment}` is on hold",
        why=hold.reason,
        hint=f"override with `--override {hold.id} --reason TEXT`",
        details={"hold": hold.id, "metric": hold.metric, "since": hold.created_at.isoformat()},
    )
