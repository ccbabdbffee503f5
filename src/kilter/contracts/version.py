"""The version of kilter itself, for every ring: nothing inside imports the front door."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
