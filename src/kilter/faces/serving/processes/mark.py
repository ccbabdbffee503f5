"""What tells one route table from any other: a generation may be proposed anew after a refusal."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from kilter.contracts.route import RouteTable

__all__ = ["fingerprint", "mark_of"]


def fingerprint(table: RouteTable) -> str:
    """Return what names exactly this table."""
    return hashlib.blake2b(msgspec.json.encode(table), digest_size=16).hexdigest()


def mark_of(table: RouteTable) -> int:
    """Return the fingerprint's first 64 bits, never 0: that stands for no table."""
    return int(fingerprint(table)[:16], 16) or 1
