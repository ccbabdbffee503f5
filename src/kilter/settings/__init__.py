"""One frozen settings tree: flag > ``KILTER_*`` environment > ``kilter.toml`` > default."""

from kilter.settings.load import load
from kilter.settings.schema import schema
from kilter.settings.tree import ControlSettings, ProjectSettings, ServerSettings, ServingSettings, Settings

__all__ = ["ControlSettings", "ProjectSettings", "ServerSettings", "ServingSettings", "Settings", "load", "schema"]
