"""Registers model files as immutable versions, and finds them again."""

from kilter.services.registry.registry import Profiler, Registry

__all__ = ["Profiler", "Registry"]
