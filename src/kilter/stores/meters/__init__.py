"""Counters of all processes of a node, in files that outlive ``kill -9``."""

from kilter.stores.meters.files import MeterFiles

__all__ = ["MeterFiles"]
