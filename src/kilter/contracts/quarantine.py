"""Inputs that ended a model's process: kept out, and kept for inspection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["QuarantineShelf", "Quarantined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """Rows that ended the process of one version twice.

    ``fingerprint`` names the rows, ``digest`` the version. ``rows`` hold one cell for each of ``columns``, None
    where missing or personal. ``since_ns`` is the time of the second death, since the epoch.
    """

    digest: str
    fingerprint: str
    deployment: str
    version: int
    since_ns: int
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, float | str | None], ...]


class QuarantineShelf(Protocol):
    """Where such rows are kept, by all serving processes of a node.

    Guarantees: bounded in number and size, the oldest go first; safe from threads and processes.
    """

    def known(self, digest: str) -> Mapping[str, int]:
        """Return the fingerprints that are kept for a version, and since when.

        Raises
        ------
        Nothing
        """
        ...

    def keep(self, entry: Quarantined) -> None:
        """Keep rows; where that is impossible it is logged, for the model's failure is told in any case.

        Raises
        ------
        Nothing
        """
        ...
