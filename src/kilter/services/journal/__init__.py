"""Writes every answer and every label down before it is acknowledged."""

from kilter.services.journal.journal import Journal

__all__ = ["Journal"]
