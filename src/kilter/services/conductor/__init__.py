"""The conductor: drives rollouts, evidence in, transitions out."""

from kilter.services.conductor._drive import Conductor

__all__ = ["Conductor"]
