"""The Python SDK: one project, a handful of verbs."""

from kilter.faces.sdk.project import (
    ModelHandle,
    Project,
    Report,
    open,  # noqa: A004 - `kilter.open` is the word that users look for
)

__all__ = ["ModelHandle", "Project", "Report", "open"]
