"""The Python SDK: one project, a handful of verbs."""

from kilter.faces.sdk.project import ModelHandle, Project, Report, open

__all__ = ["ModelHandle", "Project", "Report", "open"]
