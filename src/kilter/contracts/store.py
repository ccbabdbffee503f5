"""What a storage driver says of itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StoreSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSpec:
    """The one constant ``STORE`` of a driver's file. ``keeps`` is ``metadata``, ``blobs`` or ``log``.

    ``is_lasting`` says whether what was stored outlives the process.
    """

    name: str
    keeps: tuple[str, ...]
    is_lasting: bool = True
