"""The demo's report: one HTML file that needs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.demo.project import Project
    from kilter.demo.summary import Summary

__all__ = ["write"]


def write(project: Project, summary: Summary) -> Path:
    """Write the report and return its path."""
    raise NotImplementedError
