"""What a page's file declares, and what its `data` function is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kilter.errors import InvalidRequest

__all__ = ["MODEL_TABS", "PageSpec", "Query"]

MODEL_TABS = ("overview", "performance", "calibration", "drift", "versions")
"""Pages about one model, in the order of their tabs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSpec:
    """The one constant ``PAGE`` of a page's file.

    ``name`` is also its template's; ``about`` is the line in plain words under the title; ``fields``
    are the query fields that it reads; ``section`` is the entry of the menu that it belongs to.
    """

    name: str
    url: str
    title: str
    about: str
    section: str
    fields: tuple[str, ...] = ()
    is_wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Path and query of a request, and the time of the project's clock."""

    now: datetime
    path: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """Return a field, cut to a length that no honest value exceeds."""
        return self.values.get(name, default).strip()[:200]

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number.

        Raises
        ------
        InvalidRequest
            If the field holds none, or one out of range.
        """
        raw = self.values.get(name, "")
        if not raw:
            return default
        if not raw.isdecimal() or not low <= int(raw) <= high:
            message = f"`{name}` is a whole number from {low} to {high}, not `{raw[:40]}`"
            raise InvalidRequest(message, where=f"query field {name}", hint="leave it out")
        return int(raw)
