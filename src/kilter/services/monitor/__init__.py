"""The monitor: closes windows of predictions, takes in their labels, raises alerts."""

from kilter.services.monitor._tick import Monitor

__all__ = ["Monitor"]
