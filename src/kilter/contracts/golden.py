"""Stored rows with their recorded answers: what a version must repeat wherever it is loaded."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GoldenRows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenRows:
    """Rows in signature order and the raw answers (before calibration) given at registration.

    ``numeric`` and ``text`` hold one tuple per row (None = missing); ``raw`` one tuple per row:
    probabilities by class, or one value. Its msgspec JSON is ``Manifest.golden_file``.
    """

    numeric: tuple[tuple[float | None, ...], ...]
    text: tuple[tuple[str | None, ...], ...]
    raw: tuple[tuple[float, ...], ...]
